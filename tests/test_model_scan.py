"""THE figure of the project: the scan against plain GLS with explicit inverses.

Given the same K and double precision, |beta difference|/se, the relative difference of se and
the absolute difference of -log10 p are each at most 1e-8, for both whiteners; in single
precision -log10 p is within 1e-4, or 1e-6 relative where that is more. The largest differences
seen are printed at the end of this file's tests (pytest -rP or -s).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from oracles import (
    DenseFit,
    centred_kernel,
    covariance,
    dense_reml_fit,
    dense_wald,
    mp_neg_log10_p_t,
    refined_inverse,
)
from scipy import stats
from simulate import FEW, SWEEP, Axes, Problem, make_problem

from lmmgwas.model.covariates import NumericCovariate, build_design
from lmmgwas.model.fitting import Analysis, FittedGroup, fit_group, fit_without_relatedness
from lmmgwas.model.genotypes import (
    KEPT,
    MISSING,
    REASONS,
    Reason,
    VariantFilters,
    count_block,
    exclusion_reasons,
    variant_stats,
)
from lmmgwas.model.grm import centre_and_scale
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.scan import ScanResult, residual_tile, scan_tile
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.numerics.optimise import Status

PROMISE = 1e-8
"""design.md, section 6: across whiteners 1e-8 in -log10 p in double; the same is asked of all."""

KINDS = (WhitenerKind.SPECTRAL, WhitenerKind.CHOLESKY)
ROWS = 16
"""Rows of a tile here: small, so that the last tile is ragged."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What the package says about all variants of a problem."""

    fitted: FittedGroup
    reasons: np.ndarray
    result: ScanResult


def scan(
    calls: np.ndarray,
    y: np.ndarray,
    covariates: np.ndarray,
    K: np.ndarray | None,
    kind: WhitenerKind,
    precision: Precision = Precision.DOUBLE,
    h2: float | None = None,
) -> Scan:
    """Run the package from calls to tests, tile by tile, as the pipeline does."""
    n = y.size
    columns = tuple(NumericCovariate(f"c{k}", col) for k, col in enumerate(covariates.T))
    X = build_design(columns, n).basis
    trait = standardise_trait("y", y)
    analysis = Analysis((trait,), X, kind, precision, h2)
    if K is None:
        fitted = fit_without_relatedness(analysis)
    else:
        K = K.copy()
        fitted = fit_group(analysis, K, centre_and_scale(K), starts=[None])
    reasons, results = [], []
    for start in range(0, len(calls), ROWS):
        block = calls[start : start + ROWS]
        counted = variant_stats(count_block(block, np.arange(n)))
        why = exclusion_reasons(counted, VariantFilters(), np.zeros(len(block), dtype=bool))
        (shared,) = fitted.batches()
        tile = residual_tile(block, counted, why, X, ROWS, shared.precision)
        assert tile.dtype == shared.precision.dtype
        (tested,) = shared.test(tile)
        reasons.append(why)
        b = len(block)
        results.append(
            [tested.beta[:b], tested.se[:b], tested.neg_log10_p[:b], tested.perfect_fit[:b]]
        )
    columns_of_results = [np.concatenate(parts) for parts in zip(*results, strict=True)]
    return Scan(fitted, np.concatenate(reasons), ScanResult(*columns_of_results))


def scan_problem(
    problem: Problem,
    kind: WhitenerKind,
    precision: Precision = Precision.DOUBLE,
    h2: float | None = None,
) -> Scan:
    return scan(problem.calls, problem.y, problem.covariates, problem.K, kind, precision, h2)


@cache
def dense_fit(axes: Axes) -> DenseFit:
    problem = make_problem(axes)
    # Centred: the intercept takes the mean away, and the oracle keeps three more digits.
    return dense_reml_fit(centred_kernel(problem.K)[0], problem.y - problem.y.mean(), problem.X)


@cache
def dense_tests(axes: Axes, h2: float | None = None) -> np.ndarray:
    """Return rows of beta, se, t, -log10 p for all variants at the oracle's own h2."""
    problem = make_problem(axes)
    K, _ = centred_kernel(problem.K)
    y = problem.y - problem.y.mean()
    h2 = dense_fit(axes).h2 if h2 is None else h2
    Vi = refined_inverse(covariance(K, h2))
    return np.array([dense_wald(x, y, problem.X, K, h2, Vi) for x in problem.dosage])


def against(result: ScanResult, expected: np.ndarray) -> dict[str, float]:
    """Return the three figures, each the largest over the variants."""
    beta, se, _, neg_log10_p = expected.T
    return {
        "|beta|/se": float(np.abs((result.beta - beta) / se).max()),
        "se, relative": float(np.abs(result.se / se - 1.0).max()),
        "-log10 p": float(np.abs(result.neg_log10_p - neg_log10_p).max()),
    }


@pytest.fixture(scope="module")
def largest() -> Iterator[dict[str, float]]:
    """Collects the largest differences and prints them after the last test."""
    seen: dict[str, float] = defaultdict(float)
    yield seen
    print("\nlargest differences from the dense oracle")
    for name, value in seen.items():
        print(f"  {name:45s} {value:.2e}")


def note(largest: dict[str, float], where: str, figures: dict[str, float]) -> None:
    for name, value in figures.items():
        largest[f"{where}: {name}"] = max(largest[f"{where}: {name}"], value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", SWEEP, ids=str)
def test_double_precision_against_plain_gls(
    axes: Axes, kind: WhitenerKind, largest: dict[str, float]
) -> None:
    found = scan_problem(make_problem(axes), kind)
    assert found.fitted.kind is kind
    assert (found.reasons == KEPT).all()
    figures = against(found.result, dense_tests(axes))
    note(largest, f"double, {kind}", figures)
    h2 = found.fitted.traits[0].null.h2
    note(largest, f"double, {kind}", {"h2": abs(h2 - dense_fit(axes).h2)})
    assert max(figures.values()) <= PROMISE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("h2", [0.0, 0.35, 0.999])
@pytest.mark.parametrize("axes", FEW[::3], ids=str)
def test_double_precision_at_a_given_h2(
    axes: Axes, h2: float, kind: WhitenerKind, largest: dict[str, float]
) -> None:
    found = scan_problem(make_problem(axes), kind, h2=h2)
    assert found.fitted.traits[0].null.status is Status.FIXED
    figures = against(found.result, dense_tests(axes, h2))
    note(largest, f"double, h2 given, {kind}", figures)
    assert max(figures.values()) <= PROMISE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", SWEEP, ids=str)
def test_single_precision(axes: Axes, kind: WhitenerKind, largest: dict[str, float]) -> None:
    found = scan_problem(make_problem(axes), kind, Precision.SINGLE)
    expected = dense_tests(axes)[:, 3]
    difference = np.abs(found.result.neg_log10_p - expected)
    note(largest, f"single, {kind}", {"-log10 p": float(difference.max())})
    # float32 whitening keeps about six digits of t; design.md measured 4e-6 for p down to
    # 1e-14 and promises 1e-5 across whiteners, 1e-4 leaves room for singular kernels.
    assert (difference <= np.maximum(1e-4, 1e-6 * expected)).all()


def test_strong_signals_far_below_the_smallest_double() -> None:
    problem = make_problem(Axes(n=250, m=40, h2=0.5, seed=5))
    x = problem.dosage[3]
    y = problem.y - problem.y.mean() + 400.0 * x
    K, _ = centred_kernel(problem.K)
    expected = dense_wald(x, y, problem.X, K, 0.3)[3]
    assert expected > 308
    for kind in KINDS:
        args = (problem.calls, y, problem.covariates, problem.K, kind)
        double = scan(*args, h2=0.3).result.neg_log10_p[3]
        single = scan(*args, Precision.SINGLE, h2=0.3).result.neg_log10_p[3]
        # RSS is r'r - beta g'r: where 1 - R2 is 1e-3, as here, it loses three digits, and
        # -log10 p is a hundred times its logarithm: measured 1e-11. In float32 the same gives
        # a fifth of the promise of 1e-6 relative.
        assert double == pytest.approx(expected, abs=PROMISE)
        assert single == pytest.approx(expected, rel=1e-6, abs=1e-4)


@pytest.mark.parametrize("axes", FEW[::2], ids=str)
def test_the_two_whiteners_agree(axes: Axes) -> None:
    one, two = (scan_problem(make_problem(axes), kind).result for kind in KINDS)
    # design.md section 6, in double precision.
    np.testing.assert_allclose(one.neg_log10_p, two.neg_log10_p, rtol=0, atol=PROMISE)
    np.testing.assert_allclose(one.se, two.se, rtol=PROMISE)


# Variants that the covariates explain, in part or wholly


def nearly(problem: Problem, j: int, noise: float) -> np.ndarray:
    """Return a covariate that is variant j plus noise: 1 - R2 is about 2 noise^2."""
    x = problem.dosage[j]
    return x + noise * np.random.default_rng(3).standard_normal(x.size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("noise", "slack"), [(0.1, 1.0), (1e-2, 1.0), (1e-3, 100.0)])
def test_nearly_collinear_variant(kind: WhitenerKind, noise: float, slack: float) -> None:
    problem = make_problem(Axes(seed=31))
    covariates = np.column_stack([problem.covariates, nearly(problem, 4, noise)])
    found = scan(problem.calls[4:5], problem.y, covariates, problem.K, kind, h2=0.4)
    assert found.reasons.tolist() == [KEPT]
    X = np.column_stack([np.ones(problem.y.size), covariates])
    K, _ = centred_kernel(problem.K)
    y = problem.y - problem.y.mean()
    expected = np.array([dense_wald(problem.dosage[4], y, X, K, 0.4)])
    # The oracle's normal equations have a condition number of 1/noise^2, 1e6 at the smallest:
    # sixteen digits less six leave 1e-10, and -log10 p takes that as it is; a hundred for
    # the n = 60 roundings on either side.
    assert max(against(found.result, expected).values()) <= PROMISE * slack


@pytest.mark.parametrize("noise", [0.0, 1e-6])
@pytest.mark.parametrize("sign", [1.0, -2.5])
def test_variant_equal_to_a_covariate_is_collinear(noise: float, sign: float) -> None:
    problem = make_problem(Axes(seed=31))
    covariates = np.column_stack([problem.covariates, 7.0 + sign * nearly(problem, 4, noise)])
    found = scan(problem.calls, problem.y, covariates, problem.K, KINDS[0], h2=0.4)
    assert REASONS[found.reasons[4]] is Reason.COLLINEAR
    assert np.isnan(found.result.beta[4])
    assert np.isnan(found.result.neg_log10_p[4])
    assert (np.delete(found.reasons, 4) == KEPT).all()
    assert np.isfinite(np.delete(found.result.neg_log10_p, 4)).all()


def test_variant_that_two_covariates_span_is_collinear() -> None:
    problem = make_problem(Axes(seed=31))
    extra = np.random.default_rng(1).standard_normal(problem.y.size)
    covariates = np.column_stack([extra, problem.dosage[2] - 3.0 * extra])
    found = scan(problem.calls, problem.y, covariates, problem.K, KINDS[1], h2=0.4)
    assert REASONS[found.reasons[2]] is Reason.COLLINEAR


def test_excluded_rows_are_not_tested() -> None:
    problem = make_problem(Axes(missing=0.1))
    calls = problem.calls.copy()
    calls[3], calls[5] = MISSING, np.where(calls[5] == MISSING, MISSING, 2)
    found = scan(calls, problem.y, problem.covariates, problem.K, KINDS[0], h2=0.4)
    plain = scan_problem(problem, KINDS[0], h2=0.4)
    assert REASONS[found.reasons[3]] is Reason.ALL_MISSING
    assert REASONS[found.reasons[5]] is Reason.MONOMORPHIC
    assert np.isnan(found.result.neg_log10_p[[3, 5]]).all()
    others = np.delete(np.arange(len(calls)), [3, 5])
    # Other rows of a product do not depend on these; only the order of BLAS's sums may.
    np.testing.assert_allclose(
        found.result.neg_log10_p[others], plain.result.neg_log10_p[others], atol=1e-12, rtol=0
    )


# Invariances (design.md section 7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("precision", "bound"), [(Precision.DOUBLE, 1e-10), (Precision.SINGLE, 1e-5)]
)
def test_duplicated_variant_gives_the_same_row(
    kind: WhitenerKind, precision: Precision, bound: float
) -> None:
    problem = make_problem(Axes(m=41, missing=0.1))
    calls = np.vstack([problem.calls, problem.calls[:7], problem.calls[:1]])
    result = scan(calls, problem.y, problem.covariates, problem.K, kind, precision).result
    # The bounds are design.md's: BLAS may sum a row's terms in another order elsewhere in a tile.
    for values in (result.neg_log10_p, result.beta / result.se):
        np.testing.assert_allclose(values[41:48], values[:7], rtol=0, atol=bound)
        np.testing.assert_allclose(values[48], values[0], rtol=0, atol=bound)


@pytest.mark.parametrize("kind", KINDS)
def test_allele_swap_flips_beta_only(kind: WhitenerKind) -> None:
    problem = make_problem(Axes(missing=0.1))
    swapped = np.where(problem.calls == MISSING, MISSING, 2 - problem.calls).astype(np.int8)
    one = scan_problem(problem, kind).result
    two = scan(swapped, problem.y, problem.covariates, problem.K, kind).result
    # 2 - x centred is -(x centred) up to the rounding of the mean.
    np.testing.assert_allclose(two.beta, -one.beta, rtol=0, atol=1e-11 * np.abs(one.se).max())
    np.testing.assert_allclose(two.se, one.se, rtol=1e-11)
    np.testing.assert_allclose(two.neg_log10_p, one.neg_log10_p, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("a", "b"), [(0.0, 1000.0), (-500.0, -0.01), (1e5, 1.0), (0.0, 1e12)])
def test_unit_and_origin_of_the_trait(kind: WhitenerKind, a: float, b: float) -> None:
    problem = make_problem(Axes())
    one = scan_problem(problem, kind)
    two = scan(problem.calls, a + b * problem.y, problem.covariates, problem.K, kind)
    # a/b standard deviations from zero cost log10(a/b) digits of y: at most six here; h2 is
    # found to 1e-10, which moves the tests by as much.
    size = np.abs(b) * one.result.se
    assert np.abs((two.result.beta - b * one.result.beta) / size).max() <= PROMISE
    np.testing.assert_allclose(two.result.se, size, rtol=PROMISE)
    np.testing.assert_allclose(two.result.neg_log10_p, one.result.neg_log10_p, rtol=0, atol=PROMISE)
    first, second = (each.fitted.traits[0].null for each in (one, two))
    assert second.h2 == pytest.approx(first.h2, abs=PROMISE)
    assert second.sigma2 == pytest.approx(b**2 * first.sigma2, rel=PROMISE)


@pytest.mark.parametrize("kind", KINDS)
def test_basis_of_the_covariates(kind: WhitenerKind) -> None:
    problem = make_problem(Axes(c=5))
    A = np.random.default_rng(2).standard_normal((4, 4))
    mixed = 1e3 * (problem.covariates @ A) + 25.0
    one = scan_problem(problem, kind)
    two = scan(problem.calls, problem.y, mixed, problem.K, kind)
    # The condition number of A is a few tens, so is the loss in the span of X A.
    assert np.linalg.cond(A) < 100
    np.testing.assert_allclose(two.result.neg_log10_p, one.result.neg_log10_p, rtol=0, atol=PROMISE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("a", "b"), [(40.0, 0.0), (1e-3, 0.0), (1.0, 0.7), (3.0, 20.0)])
def test_scale_of_the_kernel_and_a_constant_added(kind: WhitenerKind, a: float, b: float) -> None:
    problem = make_problem(Axes())
    one = scan_problem(problem, kind)
    two = scan(problem.calls, problem.y, problem.covariates, a * problem.K + b, kind)
    # Centring takes the constant away again, b/a times the rounding stays.
    np.testing.assert_allclose(two.result.neg_log10_p, one.result.neg_log10_p, rtol=0, atol=PROMISE)
    first, second = (each.fitted.traits[0].null for each in (one, two))
    assert second.loglik == pytest.approx(first.loglik, abs=PROMISE)
    assert second.grm_scale == pytest.approx(a * first.grm_scale, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", FEW[:2], ids=str)
def test_order_of_the_samples(axes: Axes, kind: WhitenerKind) -> None:
    problem = make_problem(axes)
    p = np.random.default_rng(1).permutation(problem.y.size)
    one = scan_problem(problem, kind)
    two = scan(
        problem.calls[:, p], problem.y[p], problem.covariates[p], problem.K[np.ix_(p, p)], kind
    )
    # Sums in another order; h2 is found to 1e-10.
    np.testing.assert_allclose(two.result.neg_log10_p, one.result.neg_log10_p, rtol=0, atol=PROMISE)


# Ordinary least squares


def ols(x: np.ndarray, y: np.ndarray, X: np.ndarray) -> tuple[float, float, float]:
    """Return beta, se, -log10 p of x by numpy's least squares."""
    x = np.where(np.isnan(x), np.nanmean(x), x)
    A = np.column_stack([X, x])
    b = np.linalg.lstsq(A, y, rcond=None)[0]
    residual = y - A @ b
    dof = y.size - A.shape[1]
    se = np.sqrt(residual @ residual / dof * np.linalg.inv(A.T @ A)[-1, -1])
    return float(b[-1]), float(se), mp_neg_log10_p_t(b[-1] / se, dof)


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("c", [1, 2, 5])
@pytest.mark.parametrize("how", ["no-grm", "spectral", "cholesky", "identity-kernel"])
def test_ordinary_least_squares(how: str, c: int, missing: float) -> None:
    problem = make_problem(Axes(c=c, missing=missing))
    args = (problem.calls, problem.y, problem.covariates)
    if how == "no-grm":
        found = scan(*args, None, WhitenerKind.IDENTITY)
    elif how == "identity-kernel":
        found = scan(*args, np.eye(problem.y.size), WhitenerKind.SPECTRAL)
        assert found.fitted.traits[0].null.status is Status.FLAT
    else:
        found = scan(*args, problem.K, WhitenerKind(how), h2=0.0)
    y = problem.y - problem.y.mean()
    expected = np.array([ols(x, y, problem.X) for x in problem.dosage]).T
    # h2 = 0 must be ordinary least squares to rounding: n = 60 terms, X of condition about 10.
    assert np.abs((found.result.beta - expected[0]) / expected[1]).max() <= 1e-11
    np.testing.assert_allclose(found.result.se, expected[1], rtol=1e-11)
    np.testing.assert_allclose(found.result.neg_log10_p, expected[2], rtol=0, atol=1e-11)


def test_ordinary_least_squares_against_scipy() -> None:
    problem = make_problem(Axes(c=1))
    found = scan(problem.calls, problem.y, problem.covariates, None, WhitenerKind.IDENTITY).result
    for j, x in enumerate(problem.dosage):
        expected = stats.linregress(x, problem.y)
        # linregress goes by the correlation of uncentred sums: a few digits fewer.
        assert found.beta[j] == pytest.approx(expected.slope, abs=1e-9 * expected.stderr)
        assert found.se[j] == pytest.approx(expected.stderr, rel=1e-9)
        assert found.neg_log10_p[j] == pytest.approx(-np.log10(expected.pvalue), abs=1e-9)


@pytest.mark.parametrize("kind", [*KINDS, WhitenerKind.IDENTITY])
@pytest.mark.parametrize("precision", list(Precision))
def test_perfect_fit_stays_finite(kind: WhitenerKind, precision: Precision) -> None:
    problem = make_problem(Axes())
    y = 3.0 + 2.0 * problem.dosage[7]
    K = None if kind is WhitenerKind.IDENTITY else problem.K
    found = scan(problem.calls, y, problem.covariates, K, kind, precision, h2=0.0).result
    assert found.beta[7] == pytest.approx(2.0, rel=1e-6)  # float32 keeps seven digits
    assert np.isfinite(found.se).all()
    assert np.isfinite(found.neg_log10_p).all()
    assert found.neg_log10_p[7] > 100.0
    if precision is Precision.DOUBLE:
        assert found.perfect_fit.tolist() == [j == 7 for j in range(len(problem.calls))]


def test_few_degrees_of_freedom() -> None:
    axes = Axes(n=12, m=30, c=5, seed=2)
    found = scan_problem(make_problem(axes), KINDS[0], h2=0.4)
    figures = against(found.result, dense_tests(axes, 0.4))
    assert max(figures.values()) <= PROMISE


# Tiles in single precision


def tile_of(
    calls: np.ndarray, X: np.ndarray, precision: Precision, rows: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the residual tile and the reasons."""
    counted = variant_stats(count_block(calls, np.arange(calls.shape[1])))
    why = exclusion_reasons(counted, VariantFilters(), np.zeros(len(calls), dtype=bool))
    tile = residual_tile(calls, counted, why, X, rows or len(calls), precision)
    assert tile.dtype == precision.dtype
    return tile, why


def exact_residual(dosage: np.ndarray, X: np.ndarray) -> np.ndarray:
    """x, missing at the mean, minus its projection on X, three times over in 64 bits."""
    mean = np.nanmean(dosage, axis=1, keepdims=True)
    x = np.where(np.isnan(dosage), 0.0, dosage - mean).astype(np.longdouble)
    Q = X.astype(np.longdouble)
    for _ in range(3):
        x = x - (x @ Q) @ Q.T
    return x.astype(np.float64)


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("share", [0.5, 0.02, 0.0101, 0.0099, 1e-3, 1e-5, 1e-7])
def test_single_rows_that_lean_on_the_covariates(share: float, missing: float) -> None:
    """`share` is 1 - R2 of variant 4 on the covariates."""
    problem = make_problem(Axes(n=300, m=20, c=2, missing=missing, seed=31))
    x = exact_residual(problem.dosage[4:5], problem.basis)[0]
    noise = exact_residual(np.random.default_rng(3).standard_normal((1, 300)), problem.basis)[0]
    noise -= (noise @ x) / (x @ x) * x
    # The part of x that is left beside x + a e is a^2 e'e / (x'x + a^2 e'e) of x'x.
    centred = exact_residual(problem.dosage[4:5], np.full((300, 1), 300**-0.5))[0]
    wanted = share * (centred @ centred) / (x @ x)
    scale = np.sqrt(wanted / (1.0 - wanted) * (x @ x) / (noise @ noise))
    columns = np.column_stack([np.ones(300), problem.covariates, x + scale * noise])
    X = np.ascontiguousarray(np.linalg.qr(columns)[0])
    expected = exact_residual(problem.dosage, X)
    left = (expected[4] @ expected[4]) / (centred @ centred)
    assert left == pytest.approx(share, rel=1e-6)
    for precision in Precision:
        tile, why = tile_of(problem.calls, X, precision)
        assert (why == KEPT).all()
        error = np.linalg.norm(tile - expected, axis=1) / np.linalg.norm(expected, axis=1)
        # Single: 6e-8 of each value, against a tenth of the length at least (1e-6); what leans
        # more is projected in float64. There 1e-16 of x stays where x was, of which the square
        # root of `share` is left.
        bound = 1e-5 if precision is Precision.SINGLE else 1e-15 / np.sqrt(share)
        assert error.max() <= bound


@pytest.mark.parametrize("precision", list(Precision))
def test_spanned_rows_and_rows_that_are_not_there(precision: Precision) -> None:
    problem = make_problem(Axes(n=300, m=20, c=2, missing=0.1, seed=31))
    calls = problem.calls.copy()
    calls[7] = 1
    x = exact_residual(problem.dosage[4:5], np.full((300, 1), 300**-0.5))[0]
    columns = np.column_stack([np.ones(300), problem.covariates, 2.0 - 3.0 * x])
    X = np.ascontiguousarray(np.linalg.qr(columns)[0])
    tile, why = tile_of(calls, X, precision, rows=32)
    assert tile.shape == (32, 300)
    assert REASONS[why[4]] is Reason.COLLINEAR
    assert REASONS[why[7]] is Reason.MONOMORPHIC
    assert (np.delete(why, [4, 7]) == KEPT).all()
    assert not tile[[4, 7]].any()
    assert not tile[20:].any()
    # What is left of the covariates: rounding of the type, of 300 products of order one.
    eps = float(np.finfo(precision.dtype).eps)
    assert np.abs(tile @ X).max() <= 300 * eps


def test_a_tile_has_the_same_rows_whatever_its_size() -> None:
    problem = make_problem(Axes(n=100, m=40, c=2, missing=0.1))
    whole, _ = tile_of(problem.calls, problem.basis, Precision.SINGLE, 64)
    part, _ = tile_of(problem.calls[:9], problem.basis, Precision.SINGLE, 64)
    np.testing.assert_array_equal(whole[:9], part[:9])


def test_tiles_of_the_grid() -> None:
    sizes = [scan_tile(n) for n in (1, 2, 10, 100, 255, 256, 257, 1000, 5000, 10**5, 10**6)]
    assert sizes == sorted(sizes, reverse=True)
    assert (max(sizes), min(sizes)) == (8192, 512)
    assert all(size & (size - 1) == 0 for size in sizes)
    every = [scan_tile(n) for n in range(1, 6000)]
    assert every == sorted(every, reverse=True)


LARGE = [
    Axes(n=560, m=900, c=2, h2=0.5, seed=1),
    Axes(n=540, m=400, c=3, h2=0.8, missing=0.05, seed=2),  # n > m
    Axes(n=600, m=800, c=1, h2=0.3, clones=8, seed=3),
]


@pytest.mark.parametrize("axes", LARGE, ids=str)
def test_single_precision_from_expansions(axes: Axes, largest: dict[str, float]) -> None:
    """Above 512 samples the null model, too, comes from float32."""
    problem = make_problem(axes)
    arrays = (problem.calls[:60], problem.y, problem.covariates, problem.K)
    double = scan(*arrays, WhitenerKind.SPECTRAL)
    single = scan(*arrays, WhitenerKind.CHOLESKY, Precision.SINGLE)
    assert single.fitted.kind is WhitenerKind.CHOLESKY
    null, expected = (each.fitted.traits[0].null for each in (single, double))
    assert null.information_slope == 0.0  # as after expansions, which make none
    # A cold start ends with Newton's step of at most 1e-5 in float64, which leaves its square.
    assert null.h2 == pytest.approx(expected.h2, abs=1e-8)
    assert null.h2_se == pytest.approx(expected.h2_se, rel=1e-4)
    assert null.loglik == pytest.approx(expected.loglik, abs=1e-7)
    assert null.loglik_without_grm == pytest.approx(expected.loglik_without_grm, abs=1e-8)
    difference = np.abs(single.result.neg_log10_p - double.result.neg_log10_p)
    note(largest, "single, expansions", {"-log10 p": float(difference.max())})
    # design.md: 1e-5 in -log10 p, or 1e-6 of it where that is more.
    assert (difference <= np.maximum(1e-5, 1e-6 * double.result.neg_log10_p)).all()
    np.testing.assert_allclose(single.result.se, double.result.se, rtol=1e-5)
