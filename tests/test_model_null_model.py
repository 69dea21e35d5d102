"""The null model in the trait's own unit, against the dense likelihood."""

import math

import numpy as np
import pytest
from oracles import (
    centred_kernel,
    dense_reml_fit,
    dense_reml_loglik,
    dense_reml_loglik_of,
    finite_difference,
)
from scipy import stats
from simulate import FEW, Axes, Problem, make_problem

from lmmgwas.errors import DegenerateError
from lmmgwas.model.grm import centre_and_scale
from lmmgwas.model.null_model import (
    NullModel,
    _Bounded,
    check_residual,
    fit_cholesky,
    fit_spectral,
    fit_without_grm,
    grid_values,
)
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.spectrum import decompose
from lmmgwas.numerics.likelihood import CholeskyReml
from lmmgwas.numerics.optimise import Status

INSIDE = Axes(n=60, m=100, c=2, h2=0.5, clones=6, seed=26)
"""A problem whose best h2 is far from both ends."""

ROUTES = ("spectral", "cholesky", "warm")


def fit(problem: Problem, route: str, *, h2: float | None = None, unit: float = 1.0) -> NullModel:
    trait = standardise_trait("y", unit * problem.y)
    K = problem.K.copy()
    scale = centre_and_scale(K)
    X = problem.basis
    if route == "spectral":
        found = decompose(K, scale)
        U = found.U
        return fit_spectral(found.S, U.T @ trait.values, U.T @ X, trait, scale, h2)
    start = 0.45 if route == "warm" else None
    return fit_cholesky(CholeskyReml(K, trait.values, X), trait, X, scale, h2, start)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("axes", [INSIDE, *FEW[::4]], ids=str)
def test_fit_in_the_trait_s_own_unit(axes: Axes, route: str, unit: float) -> None:
    problem = make_problem(axes)
    y = unit * (problem.y - problem.y.mean())
    K, scale = centred_kernel(problem.K)
    expected = dense_reml_fit(K, y, problem.X)
    null = fit(problem, route, unit=unit)
    # 1e-8 is design.md's bound on what h2 may do to a test; log-likelihoods are of order 100
    # and lose the condition number of V, at most 1e7 at the upper end.
    assert null.h2 == pytest.approx(expected.h2, abs=1e-8)
    assert null.sigma2 == pytest.approx(expected.sigma2, rel=1e-7)
    assert null.loglik == pytest.approx(expected.loglik, abs=1e-7)
    at_zero = dense_reml_loglik(0.0, K, y, problem.X)
    assert null.loglik_without_grm == pytest.approx(at_zero, abs=1e-8)
    assert null.grm_scale == pytest.approx(scale, rel=1e-12)
    ends = {"": Status.CONVERGED, "lower": Status.LOWER_BOUND, "upper": Status.UPPER_BOUND}
    assert null.status is ends[expected.end]
    assert null.sigma_g2 + null.sigma_e2 == pytest.approx(null.sigma2, rel=1e-14)
    assert null.sigma_g2 == pytest.approx(null.h2 * null.sigma2, rel=1e-14)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("c", [1, 2, 5])
def test_standard_error_is_that_of_the_observed_information(route: str, c: int) -> None:
    problem = make_problem(Axes(n=60, m=100, c=c, h2=0.5, clones=6, seed=26))
    K, _ = centred_kernel(problem.K)
    null = fit(problem, route)
    assert null.status is Status.CONVERGED
    curvature = finite_difference(
        lambda h2: dense_reml_loglik(h2, K, problem.y, problem.X), null.h2, 0.01, 2
    )
    # Differences of eighth order over 0.04 of 0.3 or more to the ends: 1e-7 relative.
    assert null.h2_se == pytest.approx(1.0 / math.sqrt(-curvature), rel=1e-6)


def test_variances_are_per_unit_of_the_given_kernel() -> None:
    problem = make_problem(INSIDE)
    null = fit(problem, "spectral")
    n = problem.y.size
    # The kernel as it was given, neither centred nor scaled: REML with an intercept does not
    # see the centring, so that the same likelihood comes out of plain variances.
    V = null.sigma_g2 / null.grm_scale * problem.K + null.sigma_e2 * np.eye(n)
    dense = dense_reml_loglik_of(V, problem.y, problem.X)
    assert null.loglik == pytest.approx(dense, abs=1e-9)  # rounding of sums of order 100
    # ... and a little more or less of either variance is worse.
    for g, e in ((1.05, 1.0), (0.95, 1.0), (1.0, 1.05), (1.0, 0.95)):
        V = g * null.sigma_g2 / null.grm_scale * problem.K + e * null.sigma_e2 * np.eye(n)
        assert dense_reml_loglik_of(V, problem.y, problem.X) < null.loglik


@pytest.mark.parametrize("route", ["spectral", "cholesky"])
@pytest.mark.parametrize("h2", [0.0, 0.3, 0.999])
def test_fixed_h2(route: str, h2: float) -> None:
    problem = make_problem(INSIDE)
    K, _ = centred_kernel(problem.K)
    null = fit(problem, route, h2=h2)
    assert null.status is Status.FIXED
    assert null.h2 == h2
    assert math.isnan(null.h2_se)
    y = problem.y - problem.y.mean()
    # The condition number of V is 1e4 at most: twelve digits of a number of order 100.
    assert null.loglik == pytest.approx(dense_reml_loglik(h2, K, y, problem.X), abs=1e-8)


def test_ends_have_no_standard_error() -> None:
    ends = set()
    for axes in FEW:
        null = fit(make_problem(axes), "spectral")
        if null.status in (Status.LOWER_BOUND, Status.UPPER_BOUND):
            ends.add(null.status)
            assert math.isnan(null.h2_se)
            assert null.h2 == (0.0 if null.status is Status.LOWER_BOUND else 1.0 - 1e-6)
        else:
            assert null.h2_se > 0.0
    assert ends == {Status.LOWER_BOUND, Status.UPPER_BOUND}


def test_p_of_h2_is_half_a_chi_square() -> None:
    null = fit(make_problem(INSIDE), "spectral")
    statistic = 2.0 * (null.loglik - null.loglik_without_grm)
    assert statistic > 0.0
    # Two implementations of erfc.
    assert null.p_h2 == pytest.approx(0.5 * stats.chi2.sf(statistic, 1), rel=1e-12)


def test_p_of_h2_at_zero_is_one() -> None:
    lower = [fit(make_problem(axes), "spectral") for axes in FEW[:6]]
    lower = [null for null in lower if null.status is Status.LOWER_BOUND]
    assert lower
    assert all(null.p_h2 == 1.0 for null in lower)


def test_without_a_grm() -> None:
    problem = make_problem(INSIDE)
    trait = standardise_trait("y", problem.y)
    null = fit_without_grm(trait, problem.basis)
    residual = problem.y - problem.X @ np.linalg.lstsq(problem.X, problem.y, rcond=None)[0]
    dof = problem.y.size - problem.X.shape[1]
    sigma2 = residual @ residual / dof
    assert null.h2 == 0.0
    assert null.sigma2 == pytest.approx(sigma2, rel=1e-12)  # y has a mean of 26 SD: 1e-14
    assert null.sigma_g2 == 0.0
    assert np.isnan(null.p_h2)  # fixed: nothing was estimated
    assert math.isnan(null.grm_scale)
    assert null.status is Status.FIXED
    expected = -0.5 * dof * (math.log(2.0 * math.pi * sigma2) + 1.0)
    assert null.loglik == pytest.approx(expected, rel=1e-12)


def trait_with_share_outside(X: np.ndarray, share: float) -> np.ndarray:
    """Return a trait with this share of its variance outside the covariates."""
    rng = np.random.default_rng(1)
    inside = X @ rng.standard_normal(X.shape[1])
    outside = rng.standard_normal(X.shape[0])
    outside -= X @ (X.T @ outside)
    inside -= inside.mean()
    return inside / inside.std() + math.sqrt(share) * outside / outside.std()


def test_trait_that_the_covariates_determine_is_refused() -> None:
    X = make_problem(Axes(c=5)).basis
    check_residual("y", standardise_trait("y", trait_with_share_outside(X, 1e-9)), X)
    for share in (0.0, 1e-11):
        with pytest.raises(DegenerateError, match="E408"):
            check_residual("y", standardise_trait("y", trait_with_share_outside(X, share)), X)


@pytest.mark.parametrize("route", ["cholesky", "warm"])
def test_search_in_float32_ends_where_the_search_in_float64_does(route: str) -> None:
    # 512 samples and more are searched in float32 first.
    problem = make_problem(Axes(n=520, m=300, h2=0.5, seed=8))
    plain, drafted = fit(problem, "spectral"), fit(problem, route)
    assert drafted.status is plain.status is Status.CONVERGED
    assert drafted.h2 == pytest.approx(plain.h2, abs=1e-8)  # design.md's bound, as above
    assert drafted.h2_se == pytest.approx(plain.h2_se, rel=1e-5)  # one step's change of slope


def indefinite(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A centred kernel with a negative eigenvalue, as pairs with variants of their own have."""
    problem = make_problem(INSIDE)
    S, U = np.linalg.eigh(centred_kernel(problem.K)[0])
    # The intercept has the eigenvalue 0, which stays: what is made negative stands beside it.
    lowest = np.flatnonzero(np.abs(U.sum(axis=0)) < 1e-6)[:4]
    S[lowest] = -share * np.array([1.0, 0.7, 0.5, 0.2])
    return (U * S) @ U.T, standardise_trait("y", problem.y).values, problem.basis


def fit_indefinite(share: float, h2: float | None, *, many: bool = False) -> NullModel:
    K, y, X = indefinite(share)
    found = decompose(K, 1.0)
    U, trait = found.U, standardise_trait("y", y)
    y_rot, X_rot = U.T @ trait.values, U.T @ X
    values = grid_values(found.S, y_rot[:, None], X_rot)[0] if many else None
    return fit_spectral(found.S, y_rot, X_rot, trait, 1.0, h2, values=values)


@pytest.mark.parametrize("many", [False, True], ids=["one trait", "many traits"])
@pytest.mark.parametrize("share", [1e-3, 0.05, 0.4, 2.0])
def test_under_an_indefinite_kernel_h2_ends_where_v_does(share: float, many: bool) -> None:
    K, y, X = indefinite(share)
    limit = 1.0 / (1.0 + share)
    assert np.linalg.eigvalsh(limit * K + (1.0 - limit) * np.eye(y.size))[0] < 1e-9
    grid = np.linspace(0.0, limit - 1e-4, 400)
    values = [dense_reml_loglik(h2, K, y, X) for h2 in grid]
    null = fit_indefinite(share, None, many=many)
    assert null.status is Status.CONVERGED
    assert null.loglik >= max(values) - 1e-9
    assert null.loglik == pytest.approx(dense_reml_loglik(null.h2, K, y, X), abs=1e-8)


@pytest.mark.parametrize("share", [0.05, 2.0])
def test_h2_at_which_v_is_not_positive_definite_is_refused(share: float) -> None:
    limit = 1.0 / (1.0 + share)
    assert fit_indefinite(share, 0.9 * limit).h2 == 0.9 * limit
    for h2 in (limit - 1e-4, limit + 1e-4, 0.5 + 0.5 * limit):
        with pytest.raises(DegenerateError, match=r"E701.*not positive definite"):
            fit_indefinite(share, h2)


def test_beyond_the_last_h2_the_likelihood_only_falls() -> None:
    problem = make_problem(Axes(n=30, m=40))
    K, _ = centred_kernel(problem.K)
    y = problem.y - problem.y.mean()
    inner = CholeskyReml(np.ascontiguousarray(K), y, problem.basis)
    bounded = _Bounded(inner, 0.6)
    assert bounded.loglik(0.5) == inner.loglik(0.5)
    assert bounded.point(0.6) == inner.point(0.6)
    beyond = bounded.point(0.61)
    assert bounded.loglik(0.61) == beyond.loglik == -np.inf
    assert beyond.score < 0.0
