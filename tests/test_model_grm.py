"""GRM sums against naive loops, and leaving a chromosome out against building without it."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import centred_kernel, loco_by_rebuilding, naive_grm
from simulate import Axes, Problem, make_problem

from lmmgwas.errors import DegenerateError, MismatchError
from lmmgwas.model.genotypes import MISSING, count_block, variant_stats
from lmmgwas.model.grm import (
    Grm,
    GrmFilters,
    GrmModel,
    PackedPart,
    centre_and_scale,
    check_loco,
    kept_in_grm,
    loco_matrix,
    loco_triangle,
    variant_scale,
)
from lmmgwas.model.grm_sum import GrmSum, RowTile
from lmmgwas.numerics.kernels import fill_tile

SHARE = 1e-6
"""Of the mean diagonal: float32 keeps 6e-8 of each product, the stored triangle as much, and
LOCO subtracts at most half, which doubles both."""

MODELS = ("standardized", "hwe", "centered")


def sums(calls: np.ndarray, model: str, tile_rows: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return sum Z Z' and the counts of jointly seen variants, by the package."""
    n = calls.shape[1]
    total, joint = GrmSum(RowTile(0, n)), GrmSum(RowTile(0, n))
    tile = np.zeros((tile_rows, n), dtype=np.float32)
    for start in range(0, len(calls), tile_rows):
        block = calls[start : start + tile_rows]
        stats = variant_stats(count_block(block, np.arange(n)))
        centre, scale = variant_scale(stats, GrmModel(model))
        tile[len(block) :] = 0.0
        fill_tile(block, centre, scale, tile)
        total.add(tile)
        seen = np.zeros_like(tile)
        seen[: len(block)] = (block >= 0) & (scale > 0.0)[:, None]
        joint.add(seen)
    total.flush()
    joint.flush()
    return total.total, joint.total


def full(lower: np.ndarray) -> np.ndarray:
    return np.tril(lower) + np.tril(lower, -1).T


def packed(matrix: np.ndarray) -> np.ndarray:
    """The layout of a file: float32, lower triangle row by row with the diagonal."""
    return matrix[np.tril_indices(matrix.shape[0])].astype(np.float32)


def n_varying(calls: np.ndarray) -> int:
    return sum(np.unique(row[row != MISSING]).size > 1 for row in calls)


def make_grm(problem: Problem, model: str, *, pairwise: bool = False) -> Grm:
    """Return the set that the package would keep: the whole and a part per chromosome."""
    parts = {}
    whole, whole_counts = 0.0, 0.0
    for name in dict.fromkeys(problem.chrom.tolist()):
        calls = problem.calls[problem.chrom == name]
        total, joint = sums(calls, model)
        whole, whole_counts = whole + total, whole_counts + joint
        parts[name] = _part(total, joint, n_varying(calls), pairwise)
    n = problem.y.size
    ids = tuple(f"I{i}" for i in range(n))
    return Grm(ids, ids, _part(whole, whole_counts, n_varying(problem.calls), pairwise), parts)


def _part(total: np.ndarray, joint: np.ndarray, m: int, pairwise: bool) -> PackedPart:
    if not pairwise:
        return PackedPart(packed(total / m), m)
    return PackedPart(packed(total / np.maximum(joint, 1.0)), m, packed(joint))


def worst(got: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest error as a share of the mean diagonal."""
    return float(np.abs(got - expected).max() / np.trace(expected) * len(expected))


@pytest.fixture
def problem() -> Problem:
    """Missing calls, 53 variants (a ragged last tile) and one that does not vary."""
    problem = make_problem(Axes(n=26, m=53, missing=0.1))
    calls, dosage = problem.calls.copy(), problem.dosage.copy()
    calls[9] = np.where(calls[9] == MISSING, MISSING, 1)
    dosage[9] = np.where(np.isnan(dosage[9]), np.nan, 1.0)
    return replace(problem, calls=calls, dosage=dosage)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("tile_rows", [1, 7, 16, 53, 64])
def test_sum_against_naive_loops(problem: Problem, model: str, tile_rows: int) -> None:
    total, _ = sums(problem.calls, model, tile_rows)
    expected = naive_grm(problem.dosage, model)
    assert worst(full(total) / n_varying(problem.calls), expected) <= SHARE


def test_sum_over_many_tiles_keeps_its_digits() -> None:
    problem = make_problem(Axes(n=40, m=6000))
    total, _ = sums(problem.calls, "standardized", 32)
    Z = (problem.dosage - problem.dosage.mean(axis=1, keepdims=True)) / problem.dosage.std(
        axis=1, keepdims=True
    )
    assert worst(full(total) / 6000, Z.T @ Z / 6000) <= SHARE


@pytest.mark.parametrize("model", MODELS)
def test_pairwise_counts_and_mean(problem: Problem, model: str) -> None:
    total, joint = sums(problem.calls, model)
    seen = (~np.isnan(np.delete(problem.dosage, 9, axis=0))).astype(float)
    np.testing.assert_array_equal(full(joint), seen.T @ seen)
    expected = naive_grm(problem.dosage, model, pairwise=True)
    assert worst(full(total) / full(joint), expected) <= SHARE


@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("group", [None, "1", "2", "3"])
def test_loco_by_subtraction_against_rebuilding(
    problem: Problem, model: str, group: str | None, pairwise: bool
) -> None:
    grm = make_grm(problem, model, pairwise=pairwise)
    got = loco_matrix(grm, group, np.arange(26))
    expected = loco_by_rebuilding(
        problem.dosage, problem.chrom, group or "none", model, pairwise=pairwise
    )
    assert worst(got, expected) <= SHARE
    np.testing.assert_array_equal(got, got.T)


@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.52, 0.9])
def test_group_with_more_than_half_of_the_variants(share: float, pairwise: bool) -> None:
    problem = make_problem(Axes(n=20, m=200, missing=0.1, seed=4))
    chrom = np.where(np.arange(200) < share * 200, "big", "2")
    chrom[-6:] = "3"
    problem = replace(problem, chrom=chrom)
    grm = make_grm(problem, "standardized", pairwise=pairwise)
    for group in ("big", "2", "3"):
        got = loco_matrix(grm, group, np.arange(20))
        expected = loco_by_rebuilding(
            problem.dosage, problem.chrom, group, "standardized", pairwise=pairwise
        )
        assert worst(got, expected) <= SHARE


def test_loco_over_some_samples_in_another_order(problem: Problem) -> None:
    grm = make_grm(problem, "standardized")
    rows = np.array([20, 3, 4, 11, 0])
    everyone = loco_matrix(grm, "2", np.arange(26))
    np.testing.assert_array_equal(loco_matrix(grm, "2", rows), everyone[np.ix_(rows, rows)])


def test_whole_matrix_without_a_count_is_taken_as_it_is() -> None:
    K = np.array([[1.0, 0.25], [0.25, 2.0]])
    grm = Grm(("a", "b"), ("a", "b"), PackedPart(packed(K), 0), {})
    np.testing.assert_array_equal(loco_matrix(grm, None, np.arange(2)), K)


def test_packed_layout_is_row_by_row() -> None:
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], dtype=np.float32)
    grm = Grm(("",) * 3, ("a", "b", "c"), PackedPart(values, 7), {})
    expected = [[0.0, 1.0, 3.0], [1.0, 2.0, 4.0], [3.0, 4.0, 5.0]]
    np.testing.assert_array_equal(loco_matrix(grm, None, np.arange(3)), expected)


def test_pairwise_part_without_counts_is_refused(problem: Problem) -> None:
    grm = make_grm(problem, "hwe", pairwise=True)
    parts = {k: PackedPart(p.values, p.n_variants) for k, p in grm.parts.items()}
    with pytest.raises(MismatchError, match="E805"):
        loco_matrix(Grm(grm.fid, grm.iid, grm.whole, parts), "2", np.arange(26))


def test_scale_of_a_variant_by_hand() -> None:
    # Calls 0 0 1 2 and one missing: mean 3/4, variance 11/16, p = 3/8.
    calls = np.array([[0, 0, 1, 2, MISSING], [1, 1, 1, 1, 1]], dtype=np.int8)
    stats = variant_stats(count_block(calls, np.arange(5)))
    expected = {
        "standardized": 1.0 / np.sqrt(11 / 16),
        "hwe": 1.0 / np.sqrt(2 * 3 / 8 * 5 / 8),
        "centered": 1.0,
    }
    for model, value in expected.items():
        centre, scale = variant_scale(stats, GrmModel(model))
        assert centre.tolist() == [0.75, 1.0]
        assert scale[0] == pytest.approx(value, rel=1e-15)  # two roundings
        assert scale[1] == 0.0


def test_filters_are_inclusive() -> None:
    # 5 copies of 200 is a frequency of 0.025; 10 of 100 calls missing.
    rare = [2, 1, 1, 1, *[0] * 96]
    calls = np.array([rare, [MISSING] * 10 + [0, 2] * 45, [1] * 100], dtype=np.int8)
    stats = variant_stats(count_block(calls, np.arange(100)))
    assert kept_in_grm(stats, GrmFilters(0.025, 0.1)).tolist() == [True, True, False]
    assert kept_in_grm(stats, GrmFilters(0.0251, 0.0999)).tolist() == [False, False, False]
    flipped = (2 - np.array([rare])).astype(np.int8)
    stats = variant_stats(count_block(flipped, np.arange(100)))
    assert kept_in_grm(stats, GrmFilters(0.025, 0.1)).tolist() == [True]


@pytest.mark.parametrize("offset", [0.0, 0.7, -300.0])
def test_centre_and_scale(problem: Problem, offset: float) -> None:
    K = 2.5 * naive_grm(problem.dosage, "centered") + offset
    expected, expected_scale = centred_kernel(K)
    scale = centre_and_scale(K)
    # Rounding of the offset is 300 * 1e-16 in each of the 26 terms of a mean.
    assert scale == pytest.approx(expected_scale, rel=1e-11)
    np.testing.assert_allclose(K, expected, atol=1e-11, rtol=0)
    assert np.trace(K) / 26 == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(K.sum(axis=0), 0.0, atol=1e-11)


@pytest.mark.parametrize("factor", [1e-14, 1e-8, 1e8])
def test_centre_and_scale_takes_any_unit(factor: float) -> None:
    K = factor * np.eye(5)
    # K -> a K changes no result (design.md section 7), so no a may be refused.
    assert centre_and_scale(K) == pytest.approx(0.8 * factor, rel=1e-14)


@pytest.mark.parametrize("value", [0.0, 1.0, 3e5])
def test_constant_kernel_is_refused(value: float) -> None:
    with pytest.raises(DegenerateError, match="E703"):
        centre_and_scale(np.full((6, 6), value))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_kernel_that_is_not_finite_is_refused(value: float) -> None:
    K = np.eye(6)
    K[2, 3] = K[3, 2] = value
    with np.errstate(invalid="ignore"), pytest.raises(DegenerateError, match="E702"):
        centre_and_scale(K)


def part(n_variants: int) -> PackedPart:
    return PackedPart(np.zeros(1, dtype=np.float32), n_variants)


def test_check_loco() -> None:
    grm = Grm(("",), ("a",), part(100), {"1": part(60), "2": part(31), "3": part(9)})
    check_loco(grm, ("1", "2", "3"))
    assert grm.n_variants_without("1") == 40
    assert grm.n_variants_without(None) == 100
    with pytest.raises(MismatchError, match="E803"):
        check_loco(grm, ("1", "7"))
    with pytest.raises(MismatchError, match="E804"):
        check_loco(Grm(("",), ("a",), part(100), {}), ("1",))
    lonely = Grm(("",), ("a",), part(100), {"1": part(91), "2": part(9)})
    with pytest.raises(DegenerateError, match="E802"):
        check_loco(lonely, ("1",))
    check_loco(lonely, ("2",))


def test_sum_over_half_a_million_variants_keeps_its_digits() -> None:
    """Common and rare variants, and two samples that are one: sums that only grow."""
    n, m, rows = 40, 500_000, 512
    rng = np.random.default_rng(1)
    total = GrmSum(RowTile(0, n))
    expected = np.zeros((n, n))
    tile = np.zeros((rows, n), dtype=np.float32)
    n_used = 0
    for start in range(0, m, rows):
        b = min(rows, m - start)
        calls = rng.integers(0, 3, (b, n), dtype=np.int8)
        calls[::3] *= rng.random((len(calls[::3]), n)) < 0.1
        calls[:, -1] = calls[:, 0]
        stats = variant_stats(count_block(calls, np.arange(n)))
        centre, scale = variant_scale(stats, GrmModel.STANDARDIZED)
        tile[b:] = 0.0
        fill_tile(calls, centre, scale, tile)
        total.add(tile)
        Z = (calls - centre[:, None]) * scale[:, None]
        expected += Z.T @ Z
        n_used += int((scale > 0.0).sum())
    total.flush()
    # Sixteen tiles in float32 hold 8192 products: 6e-8 of the sum so far for each tile of 512
    # that is added, either way, and that again over 61 flushes of which each has errors of its
    # own: measured 1e-7.
    assert worst(full(total.total) / n_used, expected / n_used) <= SHARE


@pytest.fixture(scope="module")
def large_grm() -> Grm:
    """More samples than one chunk of rows has; parts of 20 %, 60 % and 20 % of the variants."""
    n = 800
    rng = np.random.default_rng(2)
    parts = {}
    for name, m in (("1", 200), ("2", 600), ("3", 200)):
        Z = rng.standard_normal((m, n))
        parts[name] = PackedPart(packed(Z.T @ Z / m + 0.5), m)
    values = sum(p.n_variants / 1000 * p.values.astype(np.float64) for p in parts.values())
    ids = tuple(f"I{i}" for i in range(n))
    return Grm(ids, ids, PackedPart(values.astype(np.float32), 1000), parts)


@pytest.mark.parametrize("everyone", [True, False])
@pytest.mark.parametrize("group", [None, "1", "2"])
def test_threads_change_no_byte(large_grm: Grm, group: str | None, everyone: bool) -> None:
    rows = np.arange(800) if everyone else np.random.default_rng(3).permutation(800)[:760]
    found = []
    for threads in (1, 2, 3):
        K = loco_triangle(large_grm, group, rows, threads)
        triangle = np.tril(K).tobytes()
        scale = centre_and_scale(K, threads)
        found.append((triangle, K.tobytes(), scale))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("group", [None, "1", "2"])
def test_large_triangle_against_numpy(large_grm: Grm, group: str | None) -> None:
    rows = np.random.default_rng(3).permutation(800)[:760]
    parts = [p for name, p in large_grm.parts.items() if name != group]
    matrix = np.zeros((800, 800))
    matrix[np.tril_indices(800)] = sum(p.values.astype(np.float64) * p.n_variants for p in parts)
    expected = full(matrix)[np.ix_(rows, rows)] / sum(p.n_variants for p in parts)
    K = loco_triangle(large_grm, group, rows, 2)
    assert worst(full(K), expected) <= SHARE
    centred, scale = centred_kernel(full(K))
    K[np.triu_indices(760, 1)] = np.nan  # the upper triangle is not read
    # Sums of 760 values of order one, in another order.
    assert centre_and_scale(K, 2) == pytest.approx(scale, rel=1e-12)
    np.testing.assert_allclose(K, centred, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(K, K.T)
