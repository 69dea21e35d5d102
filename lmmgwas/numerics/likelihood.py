r"""The restricted likelihood of h2, by two routes that agree to rounding.

Model: y ~ N(X b, sigma2 V), V = h2 K + (1 - h2) I; b and sigma2 are profiled out,

    loglik = -1/2 [ (n-c)(log(2 pi sigma2) + 1) + log|V| + log|X'V^-1 X| - log|X'X| ],
    sigma2 = y'P y / (n-c),   P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1.

No constant is dropped. With E = dV/dh2 = K - I and dP/dh2 = -P E P,

    score       = -1/2 [ tr(PE) - (n-c) y'PEPy / y'Py ]
    information =  1/2 [ -tr(PEPE) + 2 (n-c) y'PEPEPy / y'Py - (n-c) (y'PEPy / y'Py)^2 ]

are its first derivative and its negative second one (the observed information).

In whitened coordinates (W V W' = I, W X = Q R, F = W E W', r = (I - QQ') W y) both routes
need r'r, r'F r, r'F (I-QQ') F r, tr((I-QQ')F) and the squared norm of (I-QQ')F(I-QQ').
Symbols: n samples, c columns of X.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from lmmgwas.numerics.linalg import (
    NotPositiveDefiniteError,
    cholesky_in_place,
    inverse_norms_in_place,
    solve_lower,
)
from lmmgwas.numerics.symmetric import square_sum, times_columns

Array = NDArray[np.float64]
Real = NDArray[Any]

H2_MAX = 1.0 - 1e-6
"""The upper end of h2: at 1 a centred K makes V singular."""

_NEXT_TO_ZERO = 1e-7
"""Up to here CholeskyReml takes its series at 0: the differences of traces that it divides by
h2 and its square have lost half of their digits."""


@dataclass(frozen=True, slots=True)
class RemlPoint:
    """The restricted likelihood at one h2, with its first two derivatives."""

    h2: float
    loglik: float
    score: float
    information: float
    sigma2: float
    sigma2_slope: float  # d sigma2 / d h2

    def moved_to(self, h2: float, information: float) -> "RemlPoint":
        """Return the point at an h2 so near that Taylor's series of third order is exact."""
        d = h2 - self.h2
        return RemlPoint(
            h2,
            self.loglik + d * (self.score - 0.5 * d * self.information),
            self.score - d * self.information,
            information,
            self.sigma2 + d * self.sigma2_slope,
            self.sigma2_slope,
        )


class RestrictedLikelihood(Protocol):
    """What the optimiser needs."""

    def loglik(self, h2: float) -> float:
        """Return the restricted log-likelihood; -inf where V is not positive definite."""
        ...

    def point(self, h2: float) -> RemlPoint:
        """Return the restricted log-likelihood with its derivatives."""
        ...


@dataclass(frozen=True, slots=True)
class _Moments:
    """The five quantities of the module's docstring that the derivatives are made of."""

    rr: float
    rfr: float
    rffr: float
    trace: float
    trace_square: float


def profile_loglik(rr: float, dof: int, logdet_v: float, logdet_xvx: float) -> float:
    """Return the restricted log-likelihood at its sigma2 = rr / dof, for orthonormal X."""
    return -0.5 * (dof * (math.log(2.0 * math.pi * rr / dof) + 1.0) + logdet_v + logdet_xvx)


def _assemble(h2: float, loglik: float, dof: int, moments: _Moments) -> RemlPoint:
    """The derivatives from the moments."""
    ratio = moments.rfr / moments.rr
    score = -0.5 * (moments.trace - dof * ratio)
    information = 0.5 * (
        -moments.trace_square + 2.0 * dof * moments.rffr / moments.rr - dof * ratio**2
    )
    return RemlPoint(h2, loglik, score, information, moments.rr / dof, -moments.rfr / dof)


def _project(y_white: Array, X_white: Array) -> tuple[Array, Array, float]:
    """Return r (n,), Q (n, c) and log|X'V^-1 X| of a whitened regression."""
    Q, R = linalg.qr(X_white, mode="economic", check_finite=False)
    r = y_white - Q @ (Q.T @ y_white)
    r -= Q @ (Q.T @ r)  # once more: y may lie almost in the span of X
    return r, Q, 2.0 * float(np.log(np.abs(np.diag(R))).sum())


class SpectralReml:
    """The restricted likelihood from K = U diag(S) U': O(n c^2) for every h2.

    Parameters
    ----------
    S : (n,) eigenvalues of K, none negative
    y_rot : (n,) U'y
    X_rot : (n, c) U'X, X with orthonormal columns
    restricted : False gives the full likelihood (ML): n in place of n-c, no log|X'V^-1 X|, and
        traces of V^-1 in place of those of P
    """

    def __init__(self, S: Array, y_rot: Array, X_rot: Array, *, restricted: bool = True) -> None:
        self._S = S
        self._y = y_rot
        self._X = X_rot
        self._restricted = restricted
        self._dof = y_rot.size - (X_rot.shape[1] if restricted else 0)

    def _whiten(self, h2: float) -> tuple[Array, Array, Array, float]:
        D = h2 * self._S + (1.0 - h2)
        root = 1.0 / np.sqrt(D)
        r, Q, logdet_xvx = _project(root * self._y, root[:, None] * self._X)
        logdet_xvx = logdet_xvx if self._restricted else 0.0
        loglik = profile_loglik(float(r @ r), self._dof, float(np.log(D).sum()), logdet_xvx)
        return D, r, Q, loglik

    def loglik(self, h2: float) -> float:
        """Return the restricted log-likelihood."""
        return self._whiten(h2)[3]

    def point(self, h2: float) -> RemlPoint:
        """Return the restricted log-likelihood with its derivatives."""
        D, r, Q, loglik = self._whiten(h2)
        f = (self._S - 1.0) / D  # F is diagonal here
        Fr = f * r
        QFQ = Q.T @ (f[:, None] * Q)
        QFFQ = np.einsum("ik,i,ik->", Q, f * f, Q)
        outside = Fr - Q @ (Q.T @ Fr)
        trace, trace_square = float(f.sum()), float(f @ f)
        if self._restricted:
            trace -= float(np.trace(QFQ))
            trace_square += float((QFQ * QFQ).sum() - 2.0 * QFFQ)
        moments = _Moments(
            rr=float(r @ r),
            rfr=float(r @ Fr),
            rffr=float(outside @ outside),
            trace=trace,
            trace_square=trace_square,
        )
        return _assemble(h2, loglik, self._dof, moments)


def spectral_grid(
    S: Array, Y_rot: Array, X_rot: Array, grid: Sequence[float], *, restricted: bool = True
) -> Array:
    """Return the log-likelihood (q, G) of q traits at each h2 of a grid, by matrix products.

    As `SpectralReml.loglik` for each column of Y_rot (n, q), by normal equations: good to choose
    a point of the grid, without the digits of a projection. The traits share log|V| and
    X'V^-1 X.
    """
    n, c = X_rot.shape
    dof = n - (c if restricted else 0)
    squares = Y_rot * Y_rot
    values = np.empty((Y_rot.shape[1], len(grid)))
    for g, h2 in enumerate(grid):
        D = h2 * S + (1.0 - h2)
        weighted = X_rot / D[:, None]
        XVX = weighted.T @ X_rot
        XVY = weighted.T @ Y_rot
        rr = (1.0 / D) @ squares - np.einsum("kq,kq->q", XVY, np.linalg.solve(XVX, XVY))
        logdet_xvx = float(np.linalg.slogdet(XVX)[1]) if restricted else 0.0
        logdet = float(np.log(D).sum()) + logdet_xvx
        with np.errstate(divide="ignore", invalid="ignore"):
            values[:, g] = -0.5 * (dof * (np.log(2.0 * np.pi * rr / dof) + 1.0) + logdet)
    return values


class CholeskyReml:
    """The restricted likelihood from V = L L': n^3/3 for a value, n^3 with the derivatives.

    Two n x n matrices are alive: K, which is not changed, and V. In float32 (`draft`) all of
    it takes half the time; h2 is then good to about 1e-5, enough to start from. K may be float32
    itself (n is large then, and memory short): V is float64 all the same.

    Parameters
    ----------
    K : (n, n) symmetric, both triangles filled, C order
    y : (n,)
    X : (n, c) with orthonormal columns
    room : (n, n) where V is to be, and in what type; None for memory of its own, in float64
    """

    def __init__(self, K: Real, y: Array, X: Array, room: Real | None = None) -> None:
        self._K = K
        self._V: Real = np.empty(K.shape) if room is None else room
        self._y = y
        self._X = X
        self._dof = y.size - X.shape[1]

    @property
    def n_samples(self) -> int:
        """n."""
        return int(self._y.size)

    def draft(self) -> "CholeskyReml":
        """Return the same likelihood in float32. It works in this one's V: they take turns."""
        n = self._y.size
        room = self._V.reshape(-1).view(np.float32)[: n * n].reshape(n, n)
        return CholeskyReml(self._K, self._y, self._X, room)

    def factor(self, h2: float) -> NDArray[Any]:
        """Return L (n, n) of V at h2, in memory that the next call overwrites."""
        # Of type float64, h2 makes it the type of the products, whatever that of K and V.
        np.multiply(self._K, np.float64(h2), out=self._V, casting="same_kind")
        self._V.flat[:: self._y.size + 1] += 1.0 - h2
        return cholesky_in_place(self._V)

    def _whiten(self, h2: float) -> tuple[NDArray[Any], Array, Array, float]:
        L = self.factor(h2)
        white = solve_lower(L, np.column_stack([self._y, self._X]))
        r, Q, logdet_xvx = _project(white[:, 0], white[:, 1:])
        logdet_v = 2.0 * float(np.log(L.diagonal(), dtype=np.float64).sum())
        return L, r, Q, profile_loglik(float(r @ r), self._dof, logdet_v, logdet_xvx)

    def loglik(self, h2: float) -> float:
        """Return the restricted log-likelihood; -inf where V is not positive definite."""
        if h2 <= _NEXT_TO_ZERO:
            return self._origin().moved_to(h2, 0.0).loglik
        try:
            return self._whiten(h2)[3]
        except NotPositiveDefiniteError:
            return -np.inf

    def point(self, h2: float) -> RemlPoint:
        """Return the restricted log-likelihood with its derivatives."""
        if h2 <= _NEXT_TO_ZERO:
            origin = self._origin()
            return origin.moved_to(h2, origin.information)
        L, r, Q, loglik = self._whiten(h2)
        back = solve_lower(L, np.column_stack([r, Q]), transposed=True)  # W'r = P y, and W'Q
        Py, WtQ = back[:, 0], back[:, 1:]
        EPy = times_columns(self._K, Py) - Py
        z = solve_lower(L, EPy)
        z -= Q @ (Q.T @ z)
        BQ = solve_lower(L, WtQ)  # B = W W', so that F = (I - B)/h2
        trace_inverse, norm_inverse = inverse_norms_in_place(L)
        QBQ = WtQ.T @ WtQ
        trace_B = trace_inverse - float(np.trace(QBQ))
        norm_B = norm_inverse - 2.0 * float((BQ * BQ).sum()) + float((QBQ * QBQ).sum())
        moments = _Moments(
            rr=float(r @ r),
            rfr=float(Py @ EPy),
            rffr=float(z @ z),
            trace=(self._dof - trace_B) / h2,
            trace_square=(self._dof - 2.0 * trace_B + norm_B) / h2**2,
        )
        return _assemble(h2, loglik, self._dof, moments)

    def _origin(self) -> RemlPoint:
        """At h2 = 0 nothing has to be factored: V = I, F = E = K - I."""
        r, Q, logdet_xvx = _project(self._y, self._X)
        Er = times_columns(self._K, r) - r
        EQ = times_columns(self._K, Q) - Q
        QEQ = Q.T @ EQ
        diagonal = self._K.diagonal().astype(np.float64)
        norm_E = square_sum(self._K) - 2.0 * float(diagonal.sum()) + diagonal.size
        outside = Er - Q @ (Q.T @ Er)
        moments = _Moments(
            rr=float(r @ r),
            rfr=float(r @ Er),
            rffr=float(outside @ outside),
            trace=float(diagonal.sum() - diagonal.size - np.trace(QEQ)),
            trace_square=norm_E - 2.0 * float((EQ * EQ).sum()) + float((QEQ * QEQ).sum()),
        )
        loglik = profile_loglik(moments.rr, self._dof, 0.0, logdet_xvx)
        return _assemble(0.0, loglik, self._dof, moments)
