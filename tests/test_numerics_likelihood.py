"""Both routes to the restricted likelihood against the dense formula and its derivatives."""

import numpy as np
import pytest
from oracles import (
    H2_UPPER,
    centred_kernel,
    dense_reml_loglik,
    dense_reml_score,
    dense_sigma2,
    finite_difference,
)
from simulate import FEW, SWEEP, Axes, Problem, make_problem

from lmmgwas.numerics.likelihood import (
    H2_MAX,
    CholeskyReml,
    RemlPoint,
    SpectralReml,
    spectral_grid,
)

H2_VALUES = (0.0, 0.02, 0.37, 0.9, 0.999)


def standardised(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return K, y and the orthonormal X in the units that the likelihood works in."""
    K, _ = centred_kernel(problem.K)
    y = (problem.y - problem.y.mean()) / problem.y.std()
    return K, y, problem.basis


def spectral(K: np.ndarray, y: np.ndarray, X: np.ndarray) -> SpectralReml:
    S, U = np.linalg.eigh(K)
    return SpectralReml(np.maximum(S, 0.0), U.T @ y, U.T @ X)


def both(K: np.ndarray, y: np.ndarray, X: np.ndarray) -> dict[str, SpectralReml | CholeskyReml]:
    return {"spectral": spectral(K, y, X), "cholesky": CholeskyReml(K, y, X)}


def test_upper_end_is_the_design_s() -> None:
    assert H2_MAX == H2_UPPER


@pytest.mark.parametrize("axes", SWEEP, ids=str)
def test_loglik_and_sigma2_against_the_dense_formula(axes: Axes) -> None:
    K, y, X = standardised(make_problem(axes))
    for route in both(K, y, X).values():
        for h2 in H2_VALUES:
            # The condition number of V is at most 1e5 here, so that explicit inverses keep
            # eleven digits of terms of order 100.
            expected = dense_reml_loglik(h2, K, y, X)
            point = route.point(h2)
            assert route.loglik(h2) == pytest.approx(expected, abs=1e-8)
            assert point.loglik == pytest.approx(expected, abs=1e-8)
            assert point.h2 == h2
            assert point.sigma2 == pytest.approx(dense_sigma2(h2, K, y, X), rel=1e-9)


@pytest.mark.parametrize("route_name", ["spectral", "cholesky"])
@pytest.mark.parametrize("axes", FEW, ids=str)
def test_derivatives_against_finite_differences_of_the_dense_formula(
    axes: Axes, route_name: str
) -> None:
    K, y, X = standardised(make_problem(axes))
    route = both(K, y, X)[route_name]
    largest = np.linalg.eigvalsh(K)[-1]
    for h2 in (0.0, 0.1, 0.45, 0.9):
        # Nodes at up to four steps must leave V well conditioned: the distance to h2 = 1 and
        # to the negative h2 where V turns singular.
        room = min(1.0 - h2, h2 + 1.0 / largest)
        step = room / 30.0
        point = route.point(h2)

        def dense(value: float) -> float:
            return dense_reml_loglik(value, K, y, X)

        # Truncation is about (4/30)^8 = 1e-7 relative to derivatives of size n / room; the
        # rounding of the log-likelihood (1e-12) over step^2 is smaller.
        n = y.size
        slope = finite_difference(dense, h2, step, 1)
        curvature = finite_difference(dense, h2, step, 2)
        assert point.score == pytest.approx(slope, abs=1e-7 * n / room)
        assert point.information == pytest.approx(-curvature, abs=1e-6 * n / room**2)
        drift = finite_difference(lambda value: dense_sigma2(value, K, y, X), h2, step, 1)
        assert point.sigma2_slope == pytest.approx(drift, abs=1e-7 / room)


@pytest.mark.parametrize("axes", FEW, ids=str)
def test_score_against_the_dense_formula(axes: Axes) -> None:
    K, y, X = standardised(make_problem(axes))
    for route in both(K, y, X).values():
        for h2 in H2_VALUES:
            expected = dense_reml_score(h2, K, y, X)
            # As for the log-likelihood, with E = dV/dh2 worth up to 1/(1 - h2) in units of V;
            # Cholesky's trace of F = (I - B)/h2 loses 1/h2.
            tolerance = 1e-11 * y.size / (1.0 - h2) / max(h2, 0.02)
            assert route.point(h2).score == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("axes", SWEEP, ids=str)
def test_the_two_routes_agree(axes: Axes) -> None:
    K, y, X = standardised(make_problem(axes))
    one, two = both(K, y, X).values()
    for h2 in H2_VALUES:
        a, b = one.point(h2), two.point(h2)
        # Backward stable factorisations: 1e-16 times the condition of V (1e5), times n.
        assert a.loglik == pytest.approx(b.loglik, abs=1e-9)
        assert a.sigma2 == pytest.approx(b.sigma2, rel=1e-10)
        # F = (I - B)/h2 costs Cholesky digits near h2 = 0: 1e-16 n / h2^2, at 0.02 1e-11.
        scale = y.size / (1.0 - h2) ** 2
        assert a.score == pytest.approx(b.score, abs=1e-10 * scale)
        assert a.information == pytest.approx(b.information, abs=1e-9 * scale)


@pytest.mark.parametrize("h2", [1e-3, 1e-5, 1e-7, 1e-9, 1e-20, 1e-200, 5e-324])
def test_derivatives_next_to_zero_by_both_routes(h2: float) -> None:
    for axes in (FEW[0], Axes(n=200, m=150)):
        K, y, X = standardised(make_problem(axes))
        for route in both(K, y, X).values():
            at_zero, point = route.point(0.0), route.point(h2)
            # The information changes by its slope times h2, relative to its size by at most
            # the largest eigenvalue (30) times h2 or so; the score by information times h2.
            slack = 1e-6 + 100.0 * h2
            size = y.size / 2.0
            assert point.information == pytest.approx(at_zero.information, abs=slack * size)
            assert point.score == pytest.approx(at_zero.score, abs=slack * size)


@pytest.mark.parametrize("axes", FEW, ids=str)
def test_h2_zero_is_ordinary_least_squares(axes: Axes) -> None:
    K, y, X = standardised(make_problem(axes))
    n, c = X.shape
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    rss = float(residual @ residual)
    expected = -0.5 * (n - c) * (np.log(2.0 * np.pi * rss / (n - c)) + 1.0)
    for route in both(K, y, X).values():
        # Nothing but sums of n terms: rounding of 1e-16 n.
        assert route.loglik(0.0) == pytest.approx(expected, rel=1e-13)
        assert route.point(0.0).sigma2 == pytest.approx(rss / (n - c), rel=1e-13)


def test_loglik_does_not_see_which_basis_spans_the_covariates() -> None:
    K, y, _ = standardised(make_problem(FEW[4]))
    raw = make_problem(FEW[4]).X
    X = np.linalg.qr(raw @ np.array([[1.0, 2.0], [0.5, -3.0]]))[0]
    # log|X'V^-1 X| - log|X'X| is the same for every basis; the oracle takes the raw columns.
    expected = dense_reml_loglik(0.4, K, y, raw)
    assert spectral(K, y, X).loglik(0.4) == pytest.approx(expected, abs=1e-10)


def test_draft_is_the_same_likelihood_in_float32() -> None:
    K, y, X = standardised(make_problem(Axes(n=90, m=400)))
    route = CholeskyReml(K, y, X)
    draft = route.draft()
    for h2 in (0.0, 0.3, 0.8):
        # float32 keeps seven digits of a log-likelihood of order 100.
        assert draft.loglik(h2) == pytest.approx(route.loglik(h2), abs=1e-3)
        assert draft.point(h2).score == pytest.approx(route.point(h2).score, abs=1e-2)


def test_indefinite_covariance_has_loglik_minus_infinity() -> None:
    K, y, X = standardised(make_problem(FEW[0]))
    S, U = np.linalg.eigh(K)
    S[0] = -0.5
    route = CholeskyReml((U * S) @ U.T, y, X)
    assert route.loglik(0.9) == -np.inf
    assert np.isfinite(route.loglik(0.1))


def test_cholesky_leaves_its_kernel_alone() -> None:
    K, y, X = standardised(make_problem(FEW[0]))
    before = K.copy()
    route = CholeskyReml(K, y, X)
    route.point(0.3)
    route.point(0.0)
    np.testing.assert_array_equal(K, before)


def test_factor_is_that_of_the_covariance() -> None:
    K, y, X = standardised(make_problem(FEW[0]))
    L = np.tril(CholeskyReml(K, y, X).factor(0.7))
    # Backward error of a Cholesky factorisation: n times 1e-16 of the diagonal.
    np.testing.assert_allclose(L @ L.T, 0.7 * K + 0.3 * np.eye(y.size), atol=1e-13)


def test_moved_point_follows_taylor_s_series() -> None:
    point = RemlPoint(0.5, -10.0, 2.0, 40.0, 1.5, -0.25)
    moved = point.moved_to(0.6, 44.0)
    # Arithmetic by hand: 2 * 0.1 - 40 * 0.01 / 2 = 0, 2 - 4 = -2, 1.5 - 0.025.
    assert moved.h2 == 0.6
    assert moved.loglik == pytest.approx(-10.0, abs=1e-14)
    assert moved.score == pytest.approx(-2.0, abs=1e-14)
    assert moved.information == 44.0
    assert moved.sigma2 == pytest.approx(1.475, abs=1e-14)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("c", [1, 3])
def test_grid_of_many_traits_is_that_of_each(c: int, restricted: bool) -> None:
    K, y, X = standardised(make_problem(Axes(n=90, m=200, c=c, h2=0.4, seed=7)))
    S, U = np.linalg.eigh(K)
    S, X_rot = np.maximum(S, 0.0), U.T @ X
    rng = np.random.default_rng(1)
    Y_rot = U.T @ np.column_stack([y, rng.standard_normal((90, 4))])
    grid = (0.0, 0.2, 0.7, 0.999, H2_MAX)
    together = spectral_grid(S, Y_rot, X_rot, grid, restricted=restricted)
    for k, row in enumerate(together):
        alone = SpectralReml(S, Y_rot[:, k], X_rot, restricted=restricted)
        # Normal equations lose the square of the condition of W X: at H2_MAX a sixth of the digits.
        np.testing.assert_allclose(row, [alone.loglik(h2) for h2 in grid], rtol=1e-9)
