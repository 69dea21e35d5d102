"""The expansion of the restricted likelihood from float32 against dense matrices in float64."""

import warnings
from functools import cache

import numpy as np
import pytest
from oracles import centred_kernel, covariance, dense_reml_loglik
from simulate import Axes, make_problem

from lmmgwas.model.samples import standardise_trait
from lmmgwas.numerics.expansion import ExpandingReml, RemlExpansion
from lmmgwas.numerics.linalg import NotPositiveDefiniteError

AXES = (
    Axes(n=640, m=1500, c=1, h2=0.5, seed=1),
    Axes(n=600, m=1000, c=3, h2=0.3, seed=2),
    Axes(n=700, m=400, c=3, h2=0.6, seed=4),  # n > m: K is singular
)
CENTRES = (0.12, 0.5, 0.88)

LOGLIK = 1e-5
"""Of the log-likelihood at a centre: float32 keeps 6e-8 of each of n = 700 pivots, whose errors
have either sign: 6e-8 * sqrt(700) for the root and as much again for the products; measured 5e-6
where V is singular but for 1 - h2."""

IN_H2 = 1e-7
"""Of the score over the information at a centre, that is of h2: a tenth of the promise of 1e-6.
Measured 2e-8."""

INFORMATION = 1e-6
"""Relative, at a centre. Measured 4e-7: what float32 leaves in the norm of V^-1."""

DOUBTS = 4.0
"""`doubt` is one standard error of the probes; all of these share one set of 32 of them.
Measured 2.5."""


class Dense:
    """K, y and X of a problem as the package takes them, and the likelihood written out."""

    def __init__(self, axes: Axes) -> None:
        problem = make_problem(axes)
        self.K = np.ascontiguousarray(centred_kernel(problem.K)[0])
        self.y = standardise_trait("y", problem.y).values
        self.X = problem.basis

    def reml(self) -> ExpandingReml:
        """The package's."""
        return ExpandingReml(self.K, self.y, self.X)

    def loglik(self, h2: float) -> float:
        """By the oracle."""
        return dense_reml_loglik(h2, self.K, self.y, self.X)

    def derivatives(self, h2: float) -> tuple[float, float]:
        """Score and observed information, as in design.md, section 2, from P written out."""
        n, c = self.X.shape
        Vi = np.linalg.inv(covariance(self.K, h2))
        X, y = self.X, self.y
        P = Vi - Vi @ X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi)
        PE = P @ (self.K - np.eye(n))
        Py = P @ y
        first, second = y @ PE @ Py, y @ (PE @ (PE @ Py))
        rr = y @ Py
        score = -0.5 * (np.trace(PE) - (n - c) * first / rr)
        trace = float((PE * PE.T).sum())
        return score, 0.5 * (-trace + (n - c) * (2.0 * second / rr - (first / rr) ** 2))


@cache
def dense(axes: Axes) -> Dense:
    return Dense(axes)


@cache
def expansion(axes: Axes, h2: float) -> RemlExpansion:
    return dense(axes).reml().expand(h2)


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_at_the_centre(axes: Axes, centre: float) -> None:
    found = expansion(axes, centre)
    point = found.point(centre)
    score, information = dense(axes).derivatives(centre)
    assert found.doubt(centre) == 0.0
    assert point.h2 == centre
    assert point.loglik == pytest.approx(dense(axes).loglik(centre), abs=LOGLIK)
    assert abs(point.score - score) <= IN_H2 * information
    assert point.information == pytest.approx(information, rel=INFORMATION)


@pytest.mark.parametrize("distance", [1e-4, 0.003, -0.003, 0.01, -0.01])
@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_near_the_centre(axes: Axes, centre: float, distance: float) -> None:
    found = expansion(axes, centre)
    h2 = centre + distance
    point = found.point(h2)
    score, information = dense(axes).derivatives(h2)
    doubt = DOUBTS * found.doubt(h2)
    assert abs(point.score - score) <= doubt + IN_H2 * information
    # The log-likelihood is the integral of the score, the information its slope: the doubt grows
    # at least with d^2 and at most with d^4, so that its slope is at most 4 doubt / d.
    bound = LOGLIK + abs(distance) * doubt
    assert point.loglik == pytest.approx(dense(axes).loglik(h2), abs=bound)
    bound = INFORMATION * information + 4.0 * doubt / abs(distance)
    assert abs(point.information - information) <= bound


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_sigma2_and_its_slope(axes: Axes) -> None:
    d, h2 = dense(axes), 0.42
    point = expansion(axes, 0.42).point(h2)
    dof = d.y.size - d.X.shape[1]

    def sigma2(h2: float) -> float:
        Vi = np.linalg.inv(covariance(d.K, h2))
        b = np.linalg.solve(d.X.T @ Vi @ d.X, d.X.T @ Vi @ d.y)
        r = d.y - d.X @ b
        return float(r @ Vi @ r) / dof

    # The refined solves leave the square of 1e-7; the difference has 1e-16 / 1e-4 of rounding
    # and the square of its step.
    assert point.sigma2 == pytest.approx(sigma2(h2), rel=1e-11)
    slope = (sigma2(h2 + 1e-4) - sigma2(h2 - 1e-4)) / 2e-4
    assert point.sigma2_slope == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_the_likelihood_alone(axes: Axes) -> None:
    reml = dense(axes).reml()
    for h2 in (0.0, 0.07, 0.5, 0.93):
        # n logarithms of pivots, each off by float32's rounding in an order that the number of
        # BLAS threads changes; differences on the grid are a thousand times larger.
        bound = 2.0 * axes.n * float(np.finfo(np.float32).eps)
        assert reml.loglik(h2) == pytest.approx(dense(axes).loglik(h2), abs=bound)
    assert reml.n_covariates == axes.c
    # At h2 = 0 nothing is in float32: V = I.
    assert reml.loglik(0.0) == pytest.approx(dense(axes).loglik(0.0), abs=1e-9)


@pytest.mark.parametrize("h2", [0.97, 0.99, 0.999, 0.9999, 1.0 - 1e-6, 1.0 - 1e-8])
def test_nearly_singular_is_right_or_refused(h2: float) -> None:
    d = dense(AXES[2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = d.reml().expand(h2)
    except NotPositiveDefiniteError:
        assert h2 > 0.98  # at 0.97 the condition number of V is 3,000: float32 has room
        return
    score, information = d.derivatives(h2)
    assert abs(found.point(h2).score - score) <= IN_H2 * information


def test_what_is_not_positive_definite_is_refused() -> None:
    d = dense(AXES[1])
    K = d.K - 3.0 * np.eye(len(d.K))
    reml = ExpandingReml(K, d.y, d.X)
    for method in (reml.expand, reml.factor, reml.loglik):
        with pytest.raises(NotPositiveDefiniteError):
            method(0.5)


def test_values_that_are_not_finite_are_refused() -> None:
    d = dense(AXES[1])
    K = d.K.copy()
    K[7, 5] = K[5, 7] = np.nan
    with pytest.raises(NotPositiveDefiniteError):
        ExpandingReml(K, d.y, d.X).expand(0.5)


@pytest.mark.parametrize("h2", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_whitened_columns(axes: Axes, h2: float) -> None:
    d = dense(axes)
    reml = d.reml()
    L = reml.factor(h2)
    white = reml.whiten(L, h2)
    lower = np.tril(L).astype(np.float64)
    V = covariance(d.K, h2)
    # Backward error of a float32 factorisation: a few 6e-8 of V's norm.
    assert np.abs(lower @ lower.T - V).max() <= 1e-5 * np.abs(V).max()
    VX = np.linalg.solve(V, d.X)
    b = np.linalg.solve(d.X.T @ VX, VX.T @ d.y)
    r = d.y - d.X @ b
    # L r is the residual, and L Q spans X, as well as L L' is V in float32: an error of 6e-8 |V|,
    # which meets V^-1 times the columns; ten times that, measured 4.
    error = 10 * 6e-8 * np.linalg.norm(V, 2)
    Vr = np.linalg.solve(V, r)
    assert np.linalg.norm(lower @ white.residual - r) <= error * np.linalg.norm(Vr)
    back = lower @ white.basis
    left = d.X - back @ np.linalg.lstsq(back, d.X, rcond=None)[0]
    assert np.linalg.norm(left) <= error * np.linalg.norm(VX)
    np.testing.assert_allclose(white.basis.T @ white.basis, np.eye(axes.c), atol=1e-5)
    np.testing.assert_allclose(white.basis.T @ white.residual, 0.0, atol=1e-5 * d.y.size**0.5)
    # y'P y: the residual of the solves is at most 1e-7 and comes in squared, times the condition
    # of V, up to 1e4 at h2 = 0.95 where K is singular.
    assert white.rr == pytest.approx(float(r @ np.linalg.solve(V, r)), rel=1e-10)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads: int) -> None:
    d = dense(Axes(n=800, m=900, c=2, h2=0.5, seed=3))  # more than one chunk of rows
    one, other = (ExpandingReml(d.K, d.y, d.X, k) for k in (1, threads))
    assert np.tril(one.factor(0.4)).tobytes() == np.tril(other.factor(0.4)).tobytes()


@pytest.mark.parametrize("what", ["expand", "whiten"])
def test_solves_that_do_not_converge_are_said(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """No residual is small enough for a bound of nothing."""
    reml = dense(AXES[0]).reml()
    L = reml.factor(0.5)
    monkeypatch.setattr("lmmgwas.numerics.expansion._MAX_RESIDUAL", 0.0)
    with pytest.raises(NotPositiveDefiniteError, match="do not converge in float32"):
        reml.expand(0.5) if what == "expand" else reml.whiten(L, 0.5)
