r"""The restricted likelihood around one h2, as power series from one factorisation in float32.

With V = h2 K + (1 - h2) I, E = K - I, W = [y, X] and d the distance from the centre h2,

    W' V(d)^-1 W = sum_k (-d)^k G_k,     G_k = W' (V^-1 E)^k V^-1 W,
    log|V(d)|    = log|V| + d t_1 - d^2/2 t_2 + d^3/3 t_3 - ...,    t_k = tr((V^-1 E)^k).

Both series converge where d is below the distance of h2 to 0 and to 1. V is factored and
inverted in float32 (n^3 operations), everything else costs O(n^2):

- G_k by products with K in float64; the solves with V^-1 in float32 are refined once, which
  brings them to rounding (Higham, Accuracy and Stability of Numerical Algorithms, ch. 12).
- As V^-1 E = (I - V^-1)/h2, t_1 and t_2 follow from the trace of V^-1 and its Frobenius norm.
  What float32 does to them is measured with probe vectors z (elements of 1 and -1) as z'V^-1 z
  and |V^-1 z|^2, refined against not refined: differences so small that a few probes suffice.
- t_3 and t_4 need tr(V^-3) and tr(V^-4): z'V^-3 z over the probes (Hutchinson, 1990), with
  z'V^-1 z and z'V^-2 z, whose expectations are known, as control variates.

So the optimum near the centre is found without another factorisation. `doubt` bounds what the
series and the probes leave open; where it is too large, the caller expands again, nearer.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.kernels import weigh_lower
from lmmgwas.numerics.likelihood import RemlPoint
from lmmgwas.numerics.linalg import (
    NotPositiveDefiniteError,
    cholesky_in_place,
    inverse_norms_in_place,
    multiply_lower_transposed,
    multiply_symmetric,
    solve_lower_rows,
)
from lmmgwas.numerics.parallel import over_triangle
from lmmgwas.numerics.symmetric import times_rows

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Real = NDArray[Any]

_SEED = 20_261_121
_N_PROBES = 32

_MAX_CORRECTION = 1e-2
"""Relative size of the first refinement beyond which float32 does not carry this V."""

_MAX_RESIDUAL = 1e-7
"""Relative residual of the refined solves; what it leaves in the score is its square."""


@dataclass(frozen=True, slots=True, eq=False)
class RemlExpansion:
    """The restricted likelihood around `h2`. c covariates; y is the first row of each G_k."""

    h2: float
    dof: int  # n - c
    gram: tuple[Array, ...]  # G_0 ... G_5, (1 + c, 1 + c) each
    logdet: float
    traces: tuple[float, float, float, float]  # t_1 ... t_4
    trace_errors: tuple[float, float]  # standard errors of t_3 and t_4

    def point(self, h2: float) -> RemlPoint:
        """Return the likelihood with its derivatives at an h2 near the centre."""
        d = h2 - self.h2
        t1, t2, t3, t4 = self.traces
        logdet = self.logdet + d * (t1 - d * (t2 / 2 - d * (t3 / 3 - d * t4 / 4)))
        logdet1 = t1 - d * (t2 - d * (t3 - d * t4))
        logdet2 = -t2 + d * (2 * t3 - 3 * d * t4)
        G, G1, G2 = self._gram_at(d)
        all0, all1, all2 = _log_determinant(G, G1, G2)
        x0, x1, x2 = _log_determinant(G[1:, 1:], G1[1:, 1:], G2[1:, 1:])
        rr, slope = math.exp(all0 - x0), all1 - x1  # y'P y and the derivative of its logarithm
        dof = self.dof
        loglik = -0.5 * (dof * (math.log(2.0 * math.pi * rr / dof) + 1.0) + logdet + x0)
        score = -0.5 * (dof * slope + logdet1 + x1)
        information = 0.5 * (dof * (all2 - x2) + logdet2 + x2)
        return RemlPoint(h2, loglik, score, information, rr / dof, rr * slope / dof)

    def doubt(self, h2: float) -> float:
        """Return about how far the score at an h2 may be off: series cut, probes' noise."""
        d = abs(h2 - self.h2)
        t2, t4 = self.traces[1], self.traces[3]
        t5 = t4 * math.sqrt(max(t4, 0.0) / max(t2, 1e-300))
        e3, e4 = self.trace_errors
        return 0.5 * d * d * (e3 + d * e4 + d * d * abs(t5))

    def _gram_at(self, d: float) -> tuple[Array, Array, Array]:
        """W'V^-1 W at distance d, and its first two derivatives."""
        G, first, second = (np.zeros_like(self.gram[0]) for _ in range(3))
        for k, g in enumerate(self.gram):
            G += (-d) ** k * g
            if k > 0:
                first -= k * (-d) ** (k - 1) * g
            if k > 1:
                second += k * (k - 1) * (-d) ** (k - 2) * g
        return G, first, second


def _log_determinant(G: Array, G1: Array, G2: Array) -> tuple[float, float, float]:
    """log|G| and its first two derivatives, from those of G; 0 for a matrix without rows."""
    sign, value = np.linalg.slogdet(G)
    if not sign > 0.0:
        raise NotPositiveDefiniteError("the series left where it holds")
    A = np.linalg.solve(G, G1)
    B = np.linalg.solve(G, G2)
    return float(value), float(np.trace(A)), float(np.trace(B) - (A * A.T).sum())


@dataclass(frozen=True, slots=True, eq=False)
class WhiteColumns:
    """y and X in the coordinates of a float32 factor L, good to float64 along V^-1."""

    residual: Array  # (n,) r = L^-1 (y - X b), as L' P y
    basis: Array  # (n, c) orthonormal basis of L^-1 X
    rr: float  # r'r = y'P y
    Py: Array  # (n,)
    VX: Array  # (n, c) V^-1 X


class ExpandingReml:
    """K, y and X, and one matrix of float32 in which V is factored again and again.

    Parameters
    ----------
    K : (n, n) float64 or float32, symmetric, both triangles filled, C order; not changed
    y : (n,)
    X : (n, c) with orthonormal columns
    threads : for what BLAS does not do

    Every method raises NotPositiveDefiniteError where float32 does not carry V: then
    `CholeskyReml` in float64 must be taken.
    """

    def __init__(self, K: Real, y: Array, X: Array, threads: int = 1) -> None:
        n = y.size
        self._K = K
        self._W = np.vstack([y[None, :], X.T])  # (1 + c, n)
        self._dof = n - X.shape[1]
        self._threads = threads
        self._V: Single | None = None
        signs = np.random.default_rng(_SEED).integers(0, 2, size=(_N_PROBES, n))
        self._probes: Array = 2.0 * signs.astype(np.float64) - 1.0

    @property
    def n_covariates(self) -> int:
        """c."""
        return len(self._W) - 1

    def factor(self, h2: float) -> Single:
        """Return L (n, n), lower triangle, of V at h2, in memory that the next call overwrites."""
        if self._V is None:
            self._V = np.empty(self._K.shape, dtype=np.float32)
        K, V = self._K, self._V
        over_triangle(
            V.shape[0], self._threads, lambda chunk: weigh_lower(K, h2, 1.0 - h2, chunk, V)
        )
        return cholesky_in_place(V)

    def release(self) -> None:
        """Let go of the matrix of float32 until the next factor."""
        self._V = None

    def loglik(self, h2: float) -> float:
        """Return the restricted log-likelihood alone, to about 1e-5: n^3/3 operations."""
        if h2 == 0.0:  # V = I whatever K is
            gram, logdet = self._W @ self._W.T, 0.0
        else:
            L = self.factor(h2)
            logdet = 2.0 * float(np.log(L.diagonal(), dtype=np.float64).sum())
            white = solve_lower_rows(L, self._W)
            gram = white @ white.T
        none = (0.0, 0.0, 0.0, 0.0)
        return RemlExpansion(h2, self._dof, (gram,), logdet, none, (0.0, 0.0)).point(h2).loglik

    def expand(self, h2: float) -> RemlExpansion:
        """Return the likelihood around h2, which must lie well inside (0, 1)."""
        L = self.factor(h2)
        logdet = 2.0 * float(np.log(L.diagonal(), dtype=np.float64).sum())
        trace, norm = inverse_norms_in_place(L)
        M = L  # V^-1 now, lower triangle
        q = len(self._W)
        right = np.vstack([self._W, self._probes])
        rough = multiply_symmetric(M, right)
        change = multiply_symmetric(M, right - self._times_v(rough, h2))
        if np.linalg.norm(change) > _MAX_CORRECTION * np.linalg.norm(rough):
            raise NotPositiveDefiniteError("V is too near singular for float32")
        solved = np.asarray(rough + change, dtype=np.float64)
        trace += float(np.einsum("ij,ij->", self._probes, change[q:])) / _N_PROBES
        between = solved[q:] + rough[q:]  # |V^-1 z|^2, refined less not refined
        norm += float(np.einsum("ij,ij->", between, change[q:])) / _N_PROBES
        traces, errors = _traces(M, h2, trace, norm, self._probes, solved[q:])
        gram = self._gram(M, h2, solved[:q])
        return RemlExpansion(h2, self._dof, gram, logdet, traces, errors)

    def whiten(self, L: Single, h2: float) -> WhiteColumns:
        """Return y and X in the coordinates of L = factor(h2)."""
        Z = self._solve(L, h2)
        XVX = self._W[1:] @ Z[1:].T
        XVy = self._W[1:] @ Z[0]
        C = np.linalg.cholesky(0.5 * (XVX + XVX.T))  # X'V^-1 X = C C'
        Py = Z[0] - np.linalg.solve(XVX, XVy) @ Z[1:]
        rows = multiply_lower_transposed(L, np.vstack([Py[None, :], np.linalg.solve(C, Z[1:])]))
        basis = np.ascontiguousarray(rows[1:].T)
        VX = np.ascontiguousarray(Z[1:].T)
        return WhiteColumns(rows[0], basis, float(self._W[0] @ Py), Py, VX)

    def _solve(self, L: Single, h2: float) -> Array:
        """V^-1 W (1 + c, n) by refinement in float64."""
        Z = np.zeros_like(self._W)
        residual = self._W
        for _ in range(3):
            Z = Z + solve_lower_rows(L, solve_lower_rows(L, residual), transposed=True)
            residual = self._W - self._times_v(Z, h2)
            if self._small(residual):
                return Z
        raise NotPositiveDefiniteError("the solves with V do not converge in float32")

    def _small(self, residual: Array) -> bool:
        return float(np.linalg.norm(residual)) <= _MAX_RESIDUAL * float(np.linalg.norm(self._W))

    def _times_v(self, rows: Array, h2: float) -> Array:
        return h2 * times_rows(self._K, rows) + (1.0 - h2) * rows

    def _times_e(self, rows: Array) -> Array:
        return np.asarray(times_rows(self._K, rows) - rows)

    def _gram(self, M: Single, h2: float, Z0: Array) -> tuple[Array, ...]:
        """G_0 ... G_5. Only G_0 and G_1 need Z_0 to rounding: the others are damped by d^2."""
        EZ0 = self._times_e(Z0)
        if not self._small(self._W - Z0 - h2 * EZ0):  # V Z_0 = Z_0 + h2 E Z_0
            raise NotPositiveDefiniteError("the solves with V do not converge in float32")
        Z1 = multiply_symmetric(M, EZ0)
        EZ1 = self._times_e(Z1)
        Z2 = multiply_symmetric(M, EZ1)
        EZ2 = self._times_e(Z2)
        products = (
            (self._W, Z0),
            (Z0, EZ0),
            (EZ0, Z1),
            (Z1, EZ1),
            (EZ1, Z2),
            (Z2, EZ2),
        )
        return tuple(0.5 * (a @ b.T + b @ a.T) for a, b in products)


def _traces(
    M: Single, h2: float, trace: float, norm: float, probes: Array, solved: Array
) -> tuple[tuple[float, float, float, float], tuple[float, float]]:
    """t_1 ... t_4 and the standard errors of the last two; `solved` is V^-1 z for each probe."""
    n = float(probes.shape[1])
    twice = multiply_symmetric(M, solved)
    control = np.column_stack(
        [np.einsum("ij,ij->i", probes, solved), np.einsum("ij,ij->i", solved, solved)]
    )
    cubic = np.einsum("ij,ij->i", solved, twice)
    quartic = np.einsum("ij,ij->i", twice, twice)
    known = np.array([trace, norm])
    m3, e3 = _controlled(cubic, control, known)
    m4, e4 = _controlled(quartic, control, known)
    t1 = (n - trace) / h2
    t2 = (n - 2.0 * trace + norm) / h2**2
    t3 = (n - 3.0 * trace + 3.0 * norm - m3) / h2**3
    t4 = (n - 4.0 * trace + 6.0 * norm - 4.0 * m3 + m4) / h2**4
    return (t1, t2, t3, t4), (e3 / h2**3, (4.0 * e3 + e4) / h2**4)


def _controlled(values: Array, control: Array, known: Array) -> tuple[float, float]:
    """Mean of `values` over the probes given the known means of the controls, and its error."""
    design = np.column_stack([np.ones(len(values)), control - known])
    coefficients, _, _, _ = np.linalg.lstsq(design, values, rcond=1e-8)
    left = values - design @ coefficients
    spread = math.sqrt(float(left @ left) / max(len(values) - design.shape[1], 1))
    return float(coefficients[0]), spread / math.sqrt(len(values))
