"""Calls and dosages through the same doors: equal where dosages are whole, right where not."""

import numpy as np
import pytest

from lmmgwas.model.blocks import (
    are_dosages,
    as_dosages,
    block_stats,
    copies_of,
    count_missing,
    fill_block,
    mask_single,
    nearest_calls,
    observed,
)
from lmmgwas.model.genotypes import MISSING
from lmmgwas.numerics.dosage_kernels import NO_DOSAGE, ONE

NAMES = ("n_observed", "mean", "variance", "af", "mac")


def random_calls(b: int = 30, n: int = 101) -> np.ndarray:
    rng = np.random.default_rng(0)
    calls = rng.binomial(2, rng.uniform(0, 1, (b, 1)), (b, n)).astype(np.int8)
    calls[rng.random((b, n)) < 0.1] = MISSING
    calls[0], calls[1], calls[2] = MISSING, 0, 2
    return calls


def random_dosages(b: int = 30, n: int = 101) -> np.ndarray:
    rng = np.random.default_rng(1)
    dosages = np.rint(rng.beta(0.3, 2, (b, n)) * 2 * ONE).astype(np.uint16)
    dosages[rng.random((b, n)) < 0.1] = NO_DOSAGE
    return dosages


@pytest.mark.parametrize("on_x", [False, True])
def test_whole_dosages_have_the_statistics_of_calls(on_x: bool) -> None:
    calls = random_calls()
    men, haploid = np.arange(0, 101, 2), np.arange(30) % 3 > 0
    on_men = calls[np.ix_(haploid, men)]
    calls[np.ix_(haploid, men)] = np.where(on_men == 1, MISSING, on_men)  # a man has one X
    found = []
    for block in (calls, as_dosages(calls)):
        found.append(block_stats(block, block[:, men], haploid) if on_x else block_stats(block))
    assert found[1].n_samples == 101
    for name in NAMES:
        a, b = (getattr(stats, name) for stats in found)
        if name == "variance":  # of calls the difference of two larger numbers
            np.testing.assert_allclose(b, a, rtol=1e-12)
            np.testing.assert_array_equal(a == 0.0, b == 0.0)
        else:
            np.testing.assert_array_equal(b, a)


def test_statistics_of_dosages() -> None:
    dosages = random_dosages()
    dosages[3] = NO_DOSAGE
    stats = block_stats(dosages)
    for j, row in enumerate(dosages):
        x = row[row != NO_DOSAGE] / ONE
        assert stats.n_observed[j] == x.size
        if not x.size:
            assert [float(getattr(stats, name)[j]) for name in NAMES[1:]] == [0.0] * 4
            continue
        np.testing.assert_allclose(stats.mean[j], x.mean(), rtol=1e-14)
        np.testing.assert_allclose(stats.variance[j], x.var(), rtol=1e-12)
        np.testing.assert_allclose(stats.af[j], x.mean() / 2, rtol=1e-14)
        expected = min(x.sum(), 2 * x.size - x.sum())
        np.testing.assert_allclose(stats.mac[j], expected, rtol=1e-12)


def test_dosages_that_hardly_differ_keep_their_variance() -> None:
    """One unit of 2^-14 above 1.5 copies in one of 50,000: squares alone would lose it."""
    dosages = np.full((1, 50_000), 3 * ONE // 2, dtype=np.uint16)
    assert block_stats(dosages).variance[0] == 0.0
    dosages[0, 7] += 1
    p = 1 / 50_000
    np.testing.assert_allclose(block_stats(dosages).variance[0], p * (1 - p) / ONE**2, rtol=1e-12)


def test_men_count_once_on_x() -> None:
    dosages = random_dosages()
    men = np.arange(0, 101, 2)
    haploid = np.arange(30) % 2 == 0
    stats = block_stats(dosages, dosages[:, men], haploid)
    is_man = np.isin(np.arange(101), men)
    for j, row in enumerate(dosages):
        there = row != NO_DOSAGE
        weight = np.where(is_man & haploid[j], 0.5, 1.0)[there]
        copies = (row[there] / ONE * weight).sum()
        np.testing.assert_allclose(stats.af[j], copies / (2 * weight.sum()), rtol=1e-14)
        np.testing.assert_allclose(stats.mean[j], (row[there] / ONE).mean(), rtol=1e-14)
        expected = min(copies, 2 * weight.sum() - copies)
        np.testing.assert_allclose(stats.mac[j], expected, rtol=1e-12)


def test_a_tile_of_calls_and_of_whole_dosages_is_the_same() -> None:
    calls = random_calls()
    centre, scale = np.linspace(0, 2, 30), np.linspace(0.1, 4, 30)
    tiles = [np.empty(calls.shape, dtype=np.float32) for _ in range(2)]
    fill_block(calls, centre, scale, tiles[0])
    fill_block(as_dosages(calls), centre, scale, tiles[1])
    np.testing.assert_array_equal(*tiles)


def test_the_small_doors() -> None:
    calls, dosages = random_calls(), random_dosages()
    assert not are_dosages(calls)
    assert are_dosages(dosages)
    np.testing.assert_array_equal(nearest_calls(as_dosages(calls)), calls)
    np.testing.assert_array_equal(nearest_calls(calls), calls)
    np.testing.assert_array_equal(as_dosages(dosages), dosages)
    copies = copies_of(dosages)
    np.testing.assert_array_equal(np.isnan(copies), dosages == NO_DOSAGE)
    np.testing.assert_array_equal(observed(dosages), dosages != NO_DOSAGE)
    near = np.where(np.isnan(copies), MISSING, np.floor(copies + 0.5))
    np.testing.assert_array_equal(nearest_calls(dosages), near)
    np.testing.assert_array_equal(copies_of(as_dosages(calls)), copies_of(calls))
    lacking = [np.zeros(101, dtype=np.int64) for _ in range(2)]
    count_missing(calls, lacking[0])
    count_missing(as_dosages(calls), lacking[1])
    np.testing.assert_array_equal(*lacking)
    men, whole = np.arange(0, 101, 3), as_dosages(calls)
    assert mask_single(whole, men) == mask_single(calls, men) > 0
    np.testing.assert_array_equal(nearest_calls(whole), calls)
