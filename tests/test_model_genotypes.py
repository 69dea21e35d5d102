"""Counts, frequencies, reasons, order of variants, and tiles read in blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lmmgwas.model.chromosomes import Karyotype, Role
from lmmgwas.model.genotypes import (
    KEPT,
    MISSING,
    REASONS,
    RawVariants,
    Reason,
    Samples,
    VariantFilters,
    arrange_variants,
    calls_of,
    count_block,
    exclusion_reasons,
    read_tile,
    variant_stats,
)


def stats_of(rows: list[list[int]], males: list[int] | None = None) -> Any:
    calls = np.array(rows, dtype=np.int8)
    counts = count_block(calls, np.arange(calls.shape[1]))
    return variant_stats(counts, None if males is None else count_block(calls, np.array(males)))


def test_statistics_by_hand() -> None:
    stats = stats_of([[0, 1, 2, 2, MISSING], [1, 1, 1, 1, 1], [MISSING] * 5, [2, 2, 2, 2, 0]])
    assert stats.n_samples == 5
    assert stats.n_observed.tolist() == [4, 5, 0, 5]
    assert stats.mean.tolist() == [1.25, 1.0, 0.0, 1.6]
    # E x^2 - mean^2: 9/4 - 25/16, 0 and 16/5 - 64/25; two roundings.
    np.testing.assert_allclose(stats.variance, [0.6875, 0.0, 0.0, 0.64], rtol=1e-15)
    np.testing.assert_allclose(stats.af, [0.625, 0.5, 0.0, 0.8], rtol=1e-15)
    assert stats.mac.tolist() == [3, 5, 0, 2]
    np.testing.assert_allclose(stats.missing_rate, [0.2, 0.0, 1.0, 0.0], atol=1e-16)


@pytest.mark.parametrize("call", [0, 1, 2])
@pytest.mark.parametrize("n", [3, 7, 49])
def test_variance_of_equal_calls_is_exactly_zero(call: int, n: int) -> None:
    assert stats_of([[call] * n]).variance.tolist() == [0.0]


def test_statistics_against_numpy() -> None:
    rng = np.random.default_rng(1)
    calls = rng.choice(np.array([0, 1, 2, MISSING], dtype=np.int8), (40, 25))
    stats = variant_stats(count_block(calls, np.arange(25)))
    seen = np.where(calls == MISSING, np.nan, calls)
    # Whole numbers up to a hundred, divided and subtracted.
    np.testing.assert_allclose(stats.mean, np.nanmean(seen, axis=1), rtol=1e-14)
    np.testing.assert_allclose(stats.variance, np.nanvar(seen, axis=1), atol=1e-14)
    np.testing.assert_allclose(stats.af, np.nanmean(seen, axis=1) / 2, rtol=1e-14)


def test_males_count_once_on_x() -> None:
    # Women 0, 1, 2; men 2 (one copy), 0, and one without a call: 3 + 1 copies of 6 + 2.
    stats = stats_of([[0, 1, 2, 2, 0, MISSING]], males=[3, 4, 5])
    assert stats.af.tolist() == [0.5]
    assert stats.mac.tolist() == [4.0]
    # What is tested is the call itself: 0, 1, 2 and 2, 0.
    assert stats.mean.tolist() == [1.0]
    assert stats.n_observed.tolist() == [5]


def test_males_alone_on_x() -> None:
    stats = stats_of([[2, 0, 0, 0], [2, 2, 2, 0]], males=[0, 1, 2, 3])
    assert stats.af.tolist() == [0.25, 0.75]
    assert stats.mac.tolist() == [1.0, 1.0]


def test_frequency_on_x_flips_with_the_allele() -> None:
    row = [0, 1, 2, 1, 2, 0, 0, MISSING]
    flipped = [MISSING if call == MISSING else 2 - call for call in row]
    one, two = stats_of([row], males=[4, 5, 6, 7]), stats_of([flipped], males=[4, 5, 6, 7])
    assert one.af[0] + two.af[0] == pytest.approx(1.0, abs=1e-15)  # one rounding each
    assert one.mac.tolist() == two.mac.tolist()


def test_no_variants() -> None:
    stats = variant_stats(np.empty((0, 4), dtype=np.int64))
    assert stats.n_samples == 0
    assert stats.af.shape == (0,)


def reasons_of(
    rows: list[list[int]], filters: VariantFilters, same: Sequence[bool] | None = None
) -> list[Reason | None]:
    same_alleles = np.array(same if same is not None else [False] * len(rows))
    found = exclusion_reasons(stats_of(rows), filters, same_alleles)
    return [None if code == KEPT else REASONS[code] for code in found.tolist()]


def test_reasons_one_by_one() -> None:
    rows = [
        [0, 1, 2, 1, 0],
        [0, 1, 2, 1, 0],
        [MISSING] * 5,
        [0, 1, MISSING, MISSING, 2],
        [2, 2, 2, 2, 2],
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
    ]
    filters = VariantFilters(maf=0.11, mac=3, geno=0.3)
    same = [False, True, *[False] * 5]
    assert reasons_of(rows, filters, same) == [
        None,
        Reason.SAME_ALLELES,
        Reason.ALL_MISSING,
        Reason.HIGH_MISSING,
        Reason.MONOMORPHIC,
        Reason.LOW_MAF,
        Reason.LOW_MAC,
    ]


def test_first_reason_that_holds_is_written() -> None:
    missing_and_constant = [2, MISSING, MISSING, 2, 2]
    all_filters = VariantFilters(maf=0.5, mac=100, geno=0.1)
    rows = [[MISSING] * 5, [MISSING] * 5, missing_and_constant, [2] * 5, [1, 0, 0, 0, 0]]
    assert reasons_of(rows, all_filters, [True, False, False, False, False]) == [
        Reason.SAME_ALLELES,
        Reason.ALL_MISSING,
        Reason.HIGH_MISSING,
        Reason.MONOMORPHIC,
        Reason.LOW_MAF,
    ]


def test_order_of_reasons_is_the_documented_one() -> None:
    assert [reason.value for reason in REASONS] == [
        "NON_AUTOSOME",
        "UNPLACED",
        "SAME_ALLELES",
        "ALL_MISSING",
        "HIGH_MISSING",
        "MONOMORPHIC",
        "LOW_MAF",
        "LOW_MAC",
        "HWE",
        "COLLINEAR",
    ]


def test_thresholds_are_inclusive() -> None:
    rare = [2, 1, 1, 1, *[0] * 96]  # 5 copies of 200
    gaps = [*[MISSING] * 10, *[0, 1, 2] * 30]
    for row in (rare, [2 - call for call in rare]):
        assert reasons_of([row], VariantFilters(maf=0.025, mac=5)) == [None]
        assert reasons_of([row], VariantFilters(maf=0.02500001)) == [Reason.LOW_MAF]
        assert reasons_of([row], VariantFilters(mac=5.5)) == [Reason.LOW_MAC]
    assert reasons_of([gaps], VariantFilters(geno=0.1)) == [None]
    assert reasons_of([gaps], VariantFilters(geno=0.0999)) == [Reason.HIGH_MISSING]


@dataclass
class FakeSource:
    """Variant j is called j mod 3 for everyone; remembers what was asked for."""

    asked: list[np.ndarray] = field(default_factory=list)

    @property
    def samples(self) -> Samples:
        return Samples(
            ("",) * 2, ("a", "b"), np.zeros(2, dtype=np.int8), np.ones(2, dtype=np.bool_)
        )

    @property
    def variants(self) -> RawVariants:
        raise NotImplementedError

    def read(self, variant_index: np.ndarray) -> np.ndarray:
        self.asked.append(variant_index)
        return np.repeat(variant_index[:, None] % 100, 2, axis=1).astype(np.int8)

    def paths(self) -> Sequence[Any]:
        return ()


@pytest.mark.parametrize("n_variants", [0, 1, 7, 8, 9, 16, 37])
@pytest.mark.parametrize("block", [1, 3, 8, 11, 20, 1000])
def test_a_tile_does_not_depend_on_the_block(n_variants: int, block: int) -> None:
    source = FakeSource()
    index = np.random.default_rng(1).permutation(90)[:n_variants]
    calls = read_tile(source, index, block)
    assert calls.shape == (n_variants, 2)
    assert calls.dtype == np.int8
    np.testing.assert_array_equal(calls[:, 0], index)
    assert max(part.size for part in source.asked) <= block
    np.testing.assert_array_equal(np.concatenate(source.asked), index)


@pytest.mark.parametrize("samples", [[0, 1, 2, 3, 4, 5, 6], [0, 3, 5], [2], []])
def test_calls_of_some_samples(samples: list[int]) -> None:
    calls = np.random.default_rng(1).choice(np.array([0, 1, 2, MISSING], dtype=np.int8), (9, 7))
    before = calls.copy()
    picked = calls_of(calls, np.array(samples, dtype=np.int64))
    np.testing.assert_array_equal(picked, before[:, samples])
    assert picked.flags.c_contiguous
    counts = count_block(calls, np.array(samples, dtype=np.int64))
    expected = [(before[:, samples] == code).sum(axis=1) for code in (0, 1, 2, MISSING)]
    np.testing.assert_array_equal(counts, np.column_stack(expected))
    np.testing.assert_array_equal(calls, before)


LABELS = ("2", "X", "chr1", "XY", "MT")


def raw_variants() -> RawVariants:
    code = np.array([0, 1, 2, 0, 2, 3, 4, 2], dtype=np.int32)
    pos = np.array([50, 5, 900, 20, 100, 7, 1, -9])
    m = code.size
    text = pa.array([f"rs{j}" for j in range(m)])
    return RawVariants(LABELS, code, pos, text, pa.array(["A"] * m), pa.array(["G"] * m))


def test_output_order_of_variants() -> None:
    variants, table = arrange_variants(raw_variants(), Karyotype(), 1)
    assert [row.n_variants for row in table] == [2, 1, 3, 1, 1]
    names = [variants.chromosomes[k].name for k in variants.chrom]
    assert names == ["1", "1", "1", "2", "2", "23", "23", "25"]
    assert variants.source_index.tolist() == [7, 4, 2, 3, 0, 1, 5, 6]
    assert variants.pos.tolist() == [0, 100, 900, 20, 50, 5, 7, 1]
    assert variants.haploid_x.tolist() == [False] * 5 + [True, False, False]
    assert len(variants) == len(raw_variants()) == 8


def test_equal_positions_stay_in_file_order() -> None:
    raw = raw_variants()
    same = RawVariants(raw.labels, np.zeros(8, dtype=np.int32), np.full(8, 3), *[raw.marker_id] * 3)
    variants, _ = arrange_variants(same, Karyotype(), 1)
    assert all(a < b for a, b in pairwise(variants.source_index.tolist()))


def test_groups_and_roles() -> None:
    variants, _ = arrange_variants(raw_variants(), Karyotype(), 1)
    assert variants.groups() == ("1", "2", "X", "MT")
    assert variants.in_group("X").source_index.tolist() == [1, 5]
    assert variants.with_role(Role.MT).tolist() == [False] * 7 + [True]
    assert variants.take(slice(3, 5)).groups() == ("2",)
    assert len(variants.take(np.zeros(8, dtype=bool))) == 0
