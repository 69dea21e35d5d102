"""Samples that stand out, against counts of the calls themselves."""

import numpy as np
import pytest

from lmmgwas.model.genotypes import MISSING
from lmmgwas.model.sample_quality import SampleCounts, doubtful_samples


def cohort(n: int = 200, m: int = 600, seed: int = 1) -> np.ndarray:
    """Calls (m, n) of an ordinary cohort, 2 % of them missing."""
    rng = np.random.default_rng(seed)
    calls = rng.binomial(2, rng.uniform(0.1, 0.9, (m, 1)), (m, n))
    calls[rng.random((m, n)) < 0.02] = MISSING
    return calls.astype(np.int8)


def counted(calls: np.ndarray, block: int = 64) -> SampleCounts:
    counts = SampleCounts(calls.shape[1])
    for start in range(0, len(calls), block):
        counts.add(calls[start : start + block])
    return counts


def test_counts_are_those_of_the_calls() -> None:
    calls = cohort()
    calls[[3, 100]] = MISSING  # say nothing of anybody
    counts = counted(calls)
    seen = np.delete(calls, [3, 100], axis=0)
    assert counts.n_variants == 598
    np.testing.assert_array_equal(counts.missing, (seen == MISSING).sum(axis=0))
    np.testing.assert_array_equal(counts.heterozygous, (seen == 1).sum(axis=0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [12, 200, 3000])
def test_nobody_stands_out_of_an_ordinary_cohort(n: int, seed: int) -> None:
    found = doubtful_samples(counted(cohort(n, seed=seed)))
    assert found.missing == found.heterozygosity == ()


def test_missing_calls_the_worst_first() -> None:
    calls = cohort()
    calls[:150, 7] = MISSING
    calls[:300, 90] = MISSING
    calls[:100, 91] = MISSING  # one sixth, and 2 % of the rest: not enough
    found = doubtful_samples(counted(calls))
    shares = (calls == MISSING).mean(axis=0)
    assert found.missing == ((90, shares[90]), (7, shares[7]))


def test_heterozygosity_on_either_side() -> None:
    calls = cohort()
    rng = np.random.default_rng(2)
    mixed = rng.random(600) < 0.5
    calls[mixed, 20] = 1
    calls[calls[:, 30] == 1, 30] = 2
    found = doubtful_samples(counted(calls))
    assert [i for i, _ in found.heterozygosity] == [30, 20]
    for i, share in found.heterozygosity:
        seen = calls[calls[:, i] != MISSING, i]
        assert share == pytest.approx((seen == 1).mean(), abs=1e-12)


def test_inbred_lines_and_one_that_is_not() -> None:
    """Most have no heterozygous call at all; a residue in some of them is no fault."""
    calls = cohort()
    calls[calls == 1] = 0
    calls[:15, 50:60] = 1  # 2.5 %
    calls[:200, 99] = 1
    found = doubtful_samples(counted(calls))
    assert [i for i, _ in found.heterozygosity] == [99]


def test_few_calls_say_nothing_of_heterozygosity() -> None:
    calls = cohort()
    calls[40:, 5] = MISSING
    calls[:40, 5] = 1
    found = doubtful_samples(counted(calls))
    assert [i for i, _ in found.missing] == [5]
    assert found.heterozygosity == ()
    few = doubtful_samples(counted(calls[:30]))
    assert few.heterozygosity == ()
    assert np.isnan(few.median)
    assert doubtful_samples(SampleCounts(4)).missing == ()
