"""Likelihood ratio and score against dense matrices, with null and per-variant variances."""

import numpy as np
import pytest
from oracles import centred_kernel, dense_wald, mp_neg_log10_p_chi2, mp_neg_log10_p_t
from scipy import optimize
from simulate import Axes, Problem, make_problem

from lmmgwas.model.fitting import Analysis, fit_group, fit_without_relatedness
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.variant_tests import (
    ScanResult,
    TestKind,
    TraitStack,
    VarianceKind,
    WhitenedTrait,
    wald,
    wald_tile,
)
from lmmgwas.model.whitening import Precision, WhitenerKind, spectral_weights, whiten_trait

N_VARIANTS = 5
CASES = [
    Axes(n=60, m=90, c=c, h2=h2, seed=s) for s, (c, h2) in enumerate([(1, 0.5), (2, 0.3), (5, 0.7)])
]


def scan(
    problem: Problem, test: TestKind, variance: VarianceKind, h2: float | None = None
) -> ScanResult:
    """Our result for the first variants."""
    K, scale = centred_kernel(problem.K)
    trait = standardise_trait("y", problem.y)
    kind = WhitenerKind.IDENTITY if h2 == 0.0 else WhitenerKind.SPECTRAL
    analysis = Analysis(
        (trait,), problem.basis, kind, Precision.DOUBLE, h2, test, variance, threads=1
    )
    if h2 == 0.0:
        fitted = fit_without_relatedness(analysis)
    else:
        fitted = fit_group(analysis, K, scale, starts=[None])
    x = problem.dosage[:N_VARIANTS]
    tile = np.ascontiguousarray(x - (x @ problem.basis) @ problem.basis.T)
    (shared,) = fitted.batches()
    (result,) = shared.test(tile)
    return result


def dense_ml(h2: float, problem: Problem, K: np.ndarray, x: np.ndarray | None) -> float:
    """Full log-likelihood with b and sigma2 profiled out, V written out."""
    n = problem.y.size
    X = problem.X if x is None else np.column_stack([problem.X, x])
    V = h2 * K + (1 - h2) * np.eye(n)
    Vi = np.linalg.inv(V)
    r = problem.y - X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi @ problem.y)
    rss = r @ Vi @ r
    return -0.5 * (n * (np.log(2 * np.pi * rss / n) + 1) + np.linalg.slogdet(V)[1])


def best_ml(problem: Problem, K: np.ndarray, x: np.ndarray | None) -> tuple[float, float]:
    """h2 and log-likelihood of the ML optimum: grid, then a bounded search."""
    # The ML of a centred K rises again towards h2 = 1, where V is singular along the intercept:
    # the last points are part of the range.
    grid = np.concatenate([np.linspace(0.0, 0.995, 200), 1 - 10.0 ** -np.arange(3.0, 6.5, 0.5)])
    values = [dense_ml(h, problem, K, x) for h in grid]
    k = int(np.argmax(values))
    low, high = grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]
    found = optimize.minimize_scalar(
        lambda h: -dense_ml(h, problem, K, x),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-12},
    )
    candidates = [(grid[k], values[k]), (float(found.x), -float(found.fun))]
    return max(candidates, key=lambda c: c[1])


@pytest.mark.parametrize("axes", CASES, ids=str)
def test_likelihood_ratio_with_null_variances(axes: Axes) -> None:
    problem = make_problem(axes)
    K, _ = centred_kernel(problem.K)
    h2, loglik = best_ml(problem, K, None)
    result = scan(problem, TestKind.LRT, VarianceKind.NULL)
    for j in range(N_VARIANTS):
        chi2 = 2 * (dense_ml(h2, problem, K, problem.dosage[j]) - loglik)
        # The bounded search finds h2 to about 1e-8; p moves by a few times that.
        assert result.neg_log10_p[j] == pytest.approx(float(mp_neg_log10_p_chi2(chi2)), abs=1e-6)


@pytest.mark.parametrize("axes", CASES, ids=str)
def test_likelihood_ratio_with_a_fit_for_every_variant(axes: Axes) -> None:
    problem = make_problem(axes)
    K, _ = centred_kernel(problem.K)
    _, loglik = best_ml(problem, K, None)
    result = scan(problem, TestKind.LRT, VarianceKind.PER_VARIANT)
    for j in range(N_VARIANTS):
        _, full = best_ml(problem, K, problem.dosage[j])
        chi2 = max(2 * (full - loglik), 0.0)
        # At an optimum the log-likelihood is flat: 1e-8 in h2 is nothing in it.
        assert result.neg_log10_p[j] == pytest.approx(float(mp_neg_log10_p_chi2(chi2)), abs=1e-8)


@pytest.mark.parametrize("variance", list(VarianceKind))
@pytest.mark.parametrize("axes", CASES, ids=str)
def test_score(axes: Axes, variance: VarianceKind) -> None:
    problem = make_problem(axes)
    n, c = problem.X.shape
    K, _ = centred_kernel(problem.K)
    h2, _ = best_ml(problem, K, None)
    Vi = np.linalg.inv(h2 * K + (1 - h2) * np.eye(n))
    X, y = problem.X, problem.y
    P = Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
    result = scan(problem, TestKind.SCORE, variance)
    for j in range(N_VARIANTS):
        x = problem.dosage[j]
        F = n * (x @ P @ y) ** 2 / ((x @ P @ x) * (y @ P @ y))
        expected = mp_neg_log10_p_t(float(np.sqrt(F)), n - c - 1)
        assert result.neg_log10_p[j] == pytest.approx(float(expected), abs=1e-6)


def test_beta_and_se_do_not_depend_on_the_test() -> None:
    problem = make_problem(CASES[1])
    for variance in VarianceKind:
        results = [scan(problem, test, variance) for test in TestKind]
        # With null variances the sums come from one product over all traits of a stack, two of
        # them for the tests that need ML: BLAS may order the n = 60 terms differently.
        rounding = 1e-13 if variance is VarianceKind.NULL else 0.0
        for other in results[1:]:
            np.testing.assert_allclose(results[0].beta, other.beta, rtol=rounding, atol=0.0)
            np.testing.assert_allclose(results[0].se, other.se, rtol=rounding, atol=0.0)


def test_without_relatedness_the_likelihood_ratio_is_that_of_regression() -> None:
    problem = make_problem(CASES[1])
    result = scan(problem, TestKind.LRT, VarianceKind.NULL, h2=0.0)
    n = problem.y.size
    for j in range(N_VARIANTS):
        full = np.column_stack([problem.X, problem.dosage[j]])
        rss = [
            np.sum((problem.y - A @ np.linalg.lstsq(A, problem.y, rcond=None)[0]) ** 2)
            for A in (problem.X, full)
        ]
        expected = float(mp_neg_log10_p_chi2(n * np.log(rss[0] / rss[1])))
        # Rounding of the two residual sums of squares.
        assert result.neg_log10_p[j] == pytest.approx(expected, abs=1e-10)


def test_wald_with_a_fit_for_every_variant_is_gls_at_its_own_h2() -> None:
    problem = make_problem(CASES[0])
    per_variant = scan(problem, TestKind.WALD, VarianceKind.PER_VARIANT)
    null = scan(problem, TestKind.WALD, VarianceKind.NULL)
    assert not np.allclose(per_variant.neg_log10_p, null.neg_log10_p, atol=1e-6)
    t = per_variant.beta / per_variant.se
    n, c = problem.X.shape
    expected = [float(mp_neg_log10_p_t(abs(float(v)), n - c - 1)) for v in t]
    np.testing.assert_allclose(per_variant.neg_log10_p, expected, rtol=1e-11)
    gls = dense_wald(problem.dosage[0], problem.y, problem.X, problem.K, 0.5)
    assert np.sign(gls[0]) == np.sign(per_variant.beta[0])


# Many traits at once


def stack_of(kind: WhitenerKind, n: int = 80) -> list[WhitenedTrait]:
    """Traits with covariates of different numbers, in rotated coordinates."""
    rng = np.random.default_rng(3)
    S = rng.exponential(size=n)
    traits = []
    for k in range(7):
        X = rng.standard_normal((n, 1 + k % 3))
        spectral = kind is WhitenerKind.SPECTRAL
        weights = spectral_weights(S, 0.1 + 0.1 * k) if spectral else None
        traits.append(whiten_trait(rng.standard_normal(n), X, weights, 10.0**k))
    return traits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [WhitenerKind.SPECTRAL, WhitenerKind.CHOLESKY])
def test_stacked_traits_are_those_one_by_one(kind: WhitenerKind, dtype: type) -> None:
    traits = stack_of(kind)
    tile = np.random.default_rng(4).standard_normal((33, 80)).astype(dtype)
    tile[5] = 0.0
    before = tile.copy()
    stacked = TraitStack(traits).products(tile)
    np.testing.assert_array_equal(tile, before)
    assert len(stacked) == len(traits)
    for trait, products in zip(traits, stacked, strict=True):
        x, w2 = tile.astype(np.float64), trait.weights_squared
        gr = x @ trait.dots[:, 0]
        gg = (x * x if w2 is None else x * x * w2).sum(axis=1)
        gg -= ((x @ trait.dots[:, 1:]) ** 2).sum(axis=1)
        keep = np.arange(33) != 5
        # Sums of 80 terms in another order; g'g is a difference of two of them.
        np.testing.assert_allclose(products.gr, gr, rtol=0, atol=1e-13)
        np.testing.assert_allclose(products.gg[keep], gg[keep], rtol=1e-13)
        one, alone = wald(products, trait), wald_tile(tile, trait)
        for name in ("beta", "se", "neg_log10_p"):
            value = getattr(one, name)
            assert np.isnan(value[5])
            size = np.abs(one.se) if name == "beta" else 1.0
            difference = (value - getattr(alone, name)) / size
            scale = np.abs(value[keep]).max() if name == "se" else 1.0
            assert np.abs(difference[keep]).max() <= 1e-12 * scale
        np.testing.assert_array_equal(one.perfect_fit, alone.perfect_fit)


@pytest.mark.parametrize(
    ("kind", "test"),
    [(WhitenerKind.CHOLESKY, TestKind.WALD), *[(WhitenerKind.SPECTRAL, test) for test in TestKind]],
)
def test_an_analysis_of_many_traits_is_many_analyses(kind: WhitenerKind, test: TestKind) -> None:
    problem = make_problem(CASES[1])
    K, scale = centred_kernel(problem.K)
    rng = np.random.default_rng(5)
    ys = [problem.y + k * rng.standard_normal(problem.y.size) for k in range(5)]
    traits = tuple(standardise_trait(f"t{k}", y) for k, y in enumerate(ys))
    tile = problem.dosage - (problem.dosage @ problem.basis) @ problem.basis.T

    def run(some: tuple) -> dict[int, ScanResult]:
        analysis = Analysis(some, problem.basis, kind, Precision.DOUBLE, None, test)
        fitted = fit_group(analysis, K.copy(), scale, starts=[None] * len(some))
        found: dict[int, ScanResult] = {}
        for batch in fitted.batches():
            results = batch.test(tile.copy())
            found.update(zip(batch.traits, results, strict=True))
        return found

    together = run(traits)
    assert sorted(together) == list(range(5))
    for k, trait in enumerate(traits):
        (alone,) = run((trait,)).values()
        # One product for all traits or one for each: the same sums of n = 60 terms.
        np.testing.assert_allclose(together[k].neg_log10_p, alone.neg_log10_p, rtol=0, atol=1e-11)
        np.testing.assert_allclose(together[k].se, alone.se, rtol=1e-12)


def test_traits_with_and_without_weights_do_not_share_a_rotation() -> None:
    dots = np.ones((5, 2))
    plain = WhitenedTrait(dots, None, 1.0, 3, 1.0)
    weighted = WhitenedTrait(dots, np.ones(5), 1.0, 3, 1.0)
    with pytest.raises(ValueError, match="all weighted, or none"):
        TraitStack([plain, weighted])
