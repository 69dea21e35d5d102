"""Products with packed triangles, and the check of a GRM's sums against them."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import centred_kernel, loco_by_rebuilding
from simulate import Axes, Problem, make_problem

from lmmgwas.errors import NumericalError
from lmmgwas.model.genotypes import MISSING
from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.model.grm_check import (
    BOUND,
    SumCheck,
    check_products,
    observed_values,
    parts_error,
    relative_error,
    scaled_values,
)
from lmmgwas.model.grm_sum import GroupRows, RowTile
from lmmgwas.model.kernel_products import CentredKernel, triangle_product


def packed(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.tril_indices(matrix.shape[0])].astype(np.float32)


def rows_of_z(problem: Problem) -> np.ndarray:
    """Z' (m, n): mean 0 and variance 1 over the observed calls, missing ones 0."""
    dosage = problem.dosage
    mean, sd = np.nanmean(dosage, 1, keepdims=True), np.nanstd(dosage, 1, keepdims=True)
    return np.where(np.isnan(dosage), 0.0, (dosage - mean) / sd)


@pytest.fixture
def problem() -> Problem:
    return make_problem(Axes(n=150, m=90, missing=0.1))


def make_grm(problem: Problem, *, pairwise: bool = False) -> Grm:
    Z, seen = rows_of_z(problem), (~np.isnan(problem.dosage)).astype(float)

    def part(which: np.ndarray) -> PackedPart:
        total, joint = Z[which].T @ Z[which], seen[which].T @ seen[which]
        m = int(which.sum())
        if not pairwise:
            return PackedPart(packed(total / m), m)
        return PackedPart(packed(total / np.maximum(joint, 1.0)), m, packed(joint))

    names = tuple(dict.fromkeys(problem.chrom.tolist()))
    ids = tuple(f"I{k}" for k in range(problem.y.size))
    parts = {name: part(problem.chrom == name) for name in names}
    return Grm(ids, ids, part(np.ones(len(Z), dtype=bool)), parts)


@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize("left_out", [None, "1", "3"])
def test_centred_kernel_is_the_dense_one(
    problem: Problem, left_out: str | None, pairwise: bool
) -> None:
    """n = 150 is more than one panel."""
    expected, scale = centred_kernel(
        loco_by_rebuilding(
            problem.dosage, problem.chrom, left_out or "none", "standardized", pairwise=pairwise
        )
    )
    kernel = CentredKernel(make_grm(problem, pairwise=pairwise), left_out, np.arange(150))
    rows = np.random.default_rng(1).standard_normal((3, 150))
    np.testing.assert_allclose(kernel.times(rows), rows @ expected, atol=2e-5)
    np.testing.assert_allclose(kernel.times(rows), kernel.times(rows), rtol=0)
    assert kernel.scale == pytest.approx(scale, rel=1e-6)


def test_centred_kernel_knows_its_scale_without_a_product(problem: Problem) -> None:
    grm = make_grm(problem)
    first = CentredKernel(grm, "1", np.arange(150))
    second = CentredKernel(grm, "1", np.arange(150))
    second.times(np.ones((1, 150)))
    assert first.scale == second.scale
    assert first.n_samples == 150


@pytest.mark.parametrize("pairwise", [False, True])
def test_centred_kernel_over_some_samples_in_another_order(
    problem: Problem, pairwise: bool
) -> None:
    rows = np.random.default_rng(2).permutation(150)[:60]
    K = loco_by_rebuilding(problem.dosage, problem.chrom, "2", "standardized", pairwise=pairwise)
    expected, scale = centred_kernel(K[np.ix_(rows, rows)])
    kernel = CentredKernel(make_grm(problem, pairwise=pairwise), "2", rows)
    x = np.random.default_rng(1).standard_normal((2, 60))
    np.testing.assert_allclose(kernel.times(x), x @ expected, atol=2e-5)
    assert kernel.scale == pytest.approx(scale, rel=1e-6)


@pytest.mark.parametrize("pairwise", [False, True])
def test_group_with_most_variants_is_left_out(problem: Problem, pairwise: bool) -> None:
    problem = replace(problem, chrom=np.where(np.arange(90) < 70, "big", problem.chrom))
    K = loco_by_rebuilding(problem.dosage, problem.chrom, "big", "standardized", pairwise=pairwise)
    expected, _ = centred_kernel(K)
    kernel = CentredKernel(make_grm(problem, pairwise=pairwise), "big", np.arange(150))
    x = np.random.default_rng(1).standard_normal((2, 150))
    np.testing.assert_allclose(kernel.times(x), x @ expected, atol=2e-5)


@pytest.mark.parametrize("n", [1, 7, 150, 900])
@pytest.mark.parametrize("threads", [1, 3])
def test_triangle_product(n: int, threads: int) -> None:
    rng = np.random.default_rng(n)
    S, C = (np.tril(rng.standard_normal((n, n)).astype(np.float32)) for _ in range(2))
    S, C = (M + np.tril(M, -1).T for M in (S, C))
    r = rng.choice([-1.0, 1.0], n)
    tolerance = 1e-12 * n
    plain = triangle_product(packed(S), None, r, threads)
    np.testing.assert_allclose(plain, S.astype(float) @ r, atol=tolerance)
    counted = triangle_product(packed(S), packed(C), r, threads)
    np.testing.assert_allclose(counted, (S.astype(float) * C) @ r, atol=tolerance)


def check_of(problem: Problem, *, counts: bool = False) -> tuple[SumCheck, np.ndarray, int]:
    """The check of one group, and the sum that belongs to it."""
    check = SumCheck(RowTile(0, problem.y.size))
    Z = rows_of_z(problem)
    mean, sd = np.nanmean(problem.dosage, axis=1), np.nanstd(problem.dosage, axis=1)
    values = scaled_values(mean, 1.0 / sd)
    if counts:
        Z = (~np.isnan(problem.dosage)).astype(float)
        values = observed_values(np.ones(len(Z), dtype=np.bool_))
    for start in range(0, len(Z), 32):
        rows = slice(start, start + 32)
        check.add(check.products(problem.calls[rows], values[rows]))
    return check, Z.T @ Z, len(Z)


def means(matrix: np.ndarray, products: np.ndarray) -> GroupRows:
    return GroupRows(RowTile(0, len(matrix)), packed(matrix), None, products, None)


@pytest.mark.parametrize("counts", [False, True])
def test_right_sums_pass(problem: Problem, counts: bool) -> None:
    check, total, m = check_of(problem, counts=counts)
    products = check.close_group("1", packed(total / m), None, m)
    check_products("the whole genome", means(total / m, products), m)


def test_right_means_over_own_counts_pass(problem: Problem) -> None:
    check, total, m = check_of(problem)
    seen = (~np.isnan(problem.dosage)).astype(float)
    joint = seen.T @ seen
    check.close_group("1", packed(total / joint), packed(joint), m)


def test_groups_add_up(problem: Problem) -> None:
    check, total, m = check_of(problem)
    first = check.close_group("1", packed(total / m), None, m)
    mean, sd = np.nanmean(problem.dosage, axis=1), np.nanstd(problem.dosage, axis=1)
    check.add(check.products(problem.calls, scaled_values(mean, 1.0 / sd)))
    second = check.close_group("2", packed(total / m), None, m)
    check_products("the whole genome", means(total / m, first + second), 2 * m)
    with pytest.raises(NumericalError, match=r"E903.*the whole genome"):
        check_products("the whole genome", means(total / m, first + second), m)


def test_monomorphic_variants_and_empty_groups_pass() -> None:
    check = SumCheck(RowTile(0, 20))
    calls = np.ones((4, 20), dtype=np.int8)
    check.add(check.products(calls, scaled_values(np.ones(4), np.zeros(4))))
    check.close_group("1", np.zeros(210, dtype=np.float32), None, 0)


@pytest.mark.parametrize("n", [150])
@pytest.mark.parametrize(
    "fault", ["one element", "one row", "all by 0.1 %", "diagonal", "nan", "swapped samples"]
)
def test_wrong_sums_are_found(problem: Problem, fault: str, n: int) -> None:
    check, total, m = check_of(problem)
    wrong = total.copy()
    if fault == "one element":
        wrong[77, 13] += 0.005 * m  # of the mean diagonal; only the lower triangle is packed
    elif fault == "one row":
        wrong[77] *= 1.01
    elif fault == "all by 0.1 %":
        wrong *= 1.001
    elif fault == "diagonal":
        wrong[np.arange(n), np.arange(n)] += 0.001 * m
    elif fault == "nan":
        wrong[3, 2] = np.nan
    else:
        order = np.arange(n)
        order[[5, 6]] = [6, 5]
        wrong = wrong[np.ix_(order, order)]
    with pytest.raises(NumericalError, match=r"E903.*group 1.*selftest") as caught:
        check.close_group("1", packed(wrong / m), None, m)
    assert caught.value.exit_code == 9


def test_a_wrong_count_of_variants_is_found(problem: Problem) -> None:
    check, total, m = check_of(problem)
    with pytest.raises(NumericalError, match="E903"):
        check.close_group("1", packed(total / m), None, m + 1)


def test_products_are_those_of_the_calls(problem: Problem) -> None:
    """Against Z' (Z r), Z from the dosages, r from a check of one variant that is 1 for all."""
    n = problem.y.size
    check = SumCheck(RowTile(0, n))
    ones = np.zeros((n, n), dtype=np.int8)
    np.fill_diagonal(ones, 1)
    signs = check.products(ones, np.tile([0.0, 1.0, 0.0, 0.0], (n, 1)))
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs(signs.sum()) < 5 * np.sqrt(n)
    Z = rows_of_z(problem)
    mean, sd = np.nanmean(problem.dosage, axis=1), np.nanstd(problem.dosage, axis=1)
    found = check.products(problem.calls, scaled_values(mean, 1.0 / sd))
    np.testing.assert_allclose(found, Z.T @ (Z @ signs), atol=1e-10 * np.abs(found).max())


def test_values_of_calls() -> None:
    found = scaled_values(np.array([0.5, 1.0]), np.array([2.0, 0.0]))
    np.testing.assert_array_equal(found, [[-1.0, 1.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    kept = observed_values(np.array([True, False]))
    np.testing.assert_array_equal(kept, [[1.0, 1.0, 1.0, 0.0], [0.0] * 4])
    assert MISSING < 0  # what the products take for missing


def test_relative_error() -> None:
    assert relative_error(np.zeros(4), 0.0) == 0.0
    assert relative_error(np.array([0.0, -6.0, 2.0, 1.0]), 3.0) == 1.0
    assert relative_error(np.ones(4), 0.0) == np.inf


@pytest.mark.parametrize("pairwise", [False, True])
def test_parts_of_a_set_make_up_its_whole(problem: Problem, pairwise: bool) -> None:
    grm = make_grm(problem, pairwise=pairwise)
    assert parts_error(grm) < 1e-6
    strange = make_grm(make_problem(Axes(n=150, m=90, missing=0.1, seed=2)), pairwise=pairwise)
    mixed = replace(grm, parts={**grm.parts, "2": strange.parts["2"]})
    assert parts_error(mixed) > 10 * BOUND
