r"""Variance components refitted for every variant, in the basis where K is diagonal.

Model of one variant: y ~ N(X b + x beta, sigma2 V), V = h2 K + (1 - h2) I, K = U diag(S) U'. All
columns Z = [X, x, y] are rotated (U'Z), so that with w = 1/D, D = h2 S + 1 - h2, everything is
a weighted sum over n coordinates. With f = (S - 1) w,

    B = Z'V^-1 Z = sum w z z',   dB/dh2 = -sum w f z z',   d2B/dh2^2 = 2 sum w f^2 z z'.

M is the block of B that belongs to [X, x] (p = c + 1 columns), u = (-M^-1 b, 1) the residual's
coefficients, rss = u'B u. Then

    REML  -1/2 [ (n-p)(log(2 pi rss/(n-p)) + 1) + log|V| + log|M| ]      (log|[X x]'[X x]| dropped)
    ML    -1/2 [   n  (log(2 pi rss/ n   ) + 1) + log|V| ]

and their derivatives follow from rss' = u'B'u, rss'' = u'B''u - 2 v'M^-1 v with v = (B'u) on
[X, x], (log|M|)' = tr(M^-1 M'), (log|M|)'' = tr(M^-1 M'') - tr((M^-1 M')^2).

A grid over all of [0, H2_MAX] by matrix products finds the hill, Newton's method inside a
bracket its top; both ends are points of the grid. A constant of each variant is dropped from
REML (it does not depend on h2), none from ML.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel
from lmmgwas.numerics.likelihood import H2_MAX

Array = NDArray[np.float64]

GRID: Array = np.concatenate(
    [
        [0.0, 1e-4, 1e-3, 3e-3],
        np.arange(1, 50) / 50.0,
        [0.99, 0.995, 0.998, 0.999, 0.9997, 0.9999, 0.99997, 0.99999, H2_MAX],
    ]
)

RSS_FLOOR = 1e-13
"""rss as a share of y'V^-1 y below which rounding, not data, is left: keeps logarithms finite."""

_MAX_STEPS = 80
_STEP_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class RotatedData:
    """What the variants of a group share. X has orthonormal columns."""

    S: Array  # (n,) eigenvalues, none negative
    y: Array  # (n,) U'y, its projection on X taken out
    X: Array  # (n, c) U'X, orthonormal columns

    @classmethod
    def of(cls, S: Array, y_rot: Array, X_rot: Array) -> "RotatedData":
        """Take X out of y first, which changes no fit.

        A centred K has the eigenvalue 0 along the intercept, where w reaches 1e6: what y has
        there would drown the rest.
        """
        y = y_rot - X_rot @ (X_rot.T @ y_rot)
        return cls(S, y - X_rot @ (X_rot.T @ y), X_rot)

    @property
    def n_fixed(self) -> int:
        """p = c + 1: the columns of X and the variant."""
        return int(self.X.shape[1]) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Refit:
    """The optimum of each of T variants. All arrays are (T,); NaN where a row is zero."""

    h2: Array
    loglik: Array
    beta: Array
    se: Array


def refit_variants(data: RotatedData, tile: Array, *, reml: bool, threads: int = 1) -> Refit:
    """Return REML (or ML) optima over h2 for each row of a rotated tile (T, n).

    Costs O(n c G) for each variant on a grid of G points, by matrix products, and O(n c^2) for
    each of the two to four steps after it. Rows are independent of each other.
    """
    values = grid_loglik(data, tile, reml=reml)
    best = np.argmax(values, axis=1)
    out = np.full((4, tile.shape[0]), np.nan)
    usable = np.flatnonzero(np.isfinite(values.max(axis=1)))
    columns = np.ascontiguousarray(np.column_stack([data.X, data.y]))  # (n, c + 1)

    def climb(rows: NDArray[np.int64]) -> None:
        climb_rows(data.S, columns, tile, rows, best, GRID, reml, out)

    if threads == 1 or usable.size < 2 * threads:
        climb(usable)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(climb, np.array_split(usable, threads)))
    return Refit(*out)


def grid_loglik(data: RotatedData, tile: Array, *, reml: bool) -> Array:
    """Return the log-likelihood (T, G) of each row of a tile (T, n) at each point of the grid.

    Rows without variance of their own get -inf.
    """
    n, p = data.y.size, data.n_fixed
    D = np.outer(data.S, GRID) + (1.0 - GRID)  # (n, G)
    W = 1.0 / D
    xx = (tile * tile) @ W  # (T, G)
    xy = (tile * data.y) @ W
    xX = np.stack([(tile * column) @ W for column in data.X.T])  # (c, T, G)
    XX = np.einsum("ig,ia,ib->gab", W, data.X, data.X, optimize=True)
    Xy = np.einsum("ig,ia,i->ga", W, data.X, data.y, optimize=True)
    yy = (data.y**2) @ W  # (G,)
    solved = np.linalg.solve(XX[None], np.moveaxis(xX, 0, 2)[..., None])[..., 0]  # (T, G, c)
    gg = xx - np.einsum("ctg,tgc->tg", xX, solved)
    gr = xy - np.einsum("ga,tga->tg", Xy, solved)
    rr = yy - np.einsum("ga,ga->g", Xy, np.linalg.solve(XX, Xy[..., None])[..., 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        rss = np.maximum(rr - gr**2 / gg, RSS_FLOOR * yy)
        logdet_v = np.log(D).sum(axis=0)
        if reml:
            logdet_m = np.linalg.slogdet(XX)[1] + np.log(gg)
            dof = n - p
            values = -0.5 * (dof * (np.log(2 * np.pi * rss / dof) + 1) + logdet_v + logdet_m)
        else:
            values = -0.5 * (n * (np.log(2 * np.pi * rss / n) + 1) + logdet_v)
    usable = (gg > 0.0).all(axis=1, keepdims=True) & np.isfinite(values)
    return np.where(usable, values, -np.inf)


@kernel
def _moments(S: Array, columns: Array, x: Array, h2: float, out_b: Array, out_log: Array) -> None:
    """Write B, its two weighted relatives (3, k, k; lower) and log|V|, sum f, sum f^2 (3,).

    columns (n, c + 1) holds X and y; the order of the k = c + 2 columns is X, x, y.
    """
    c = columns.shape[1] - 1
    k = c + 2
    out_b[:] = 0.0
    out_log[:] = 0.0
    z = np.empty(k)
    for i in range(S.size):
        d = h2 * S[i] + (1.0 - h2)
        w0 = 1.0 / d
        f = (S[i] - 1.0) * w0
        w1 = w0 * f
        w2 = w1 * f
        out_log[0] += np.log(d)
        out_log[1] += f
        out_log[2] += f * f
        for a in range(c):
            z[a] = columns[i, a]
        z[c] = x[i]
        z[c + 1] = columns[i, c]
        for a in range(k):
            z0 = w0 * z[a]
            z1 = w1 * z[a]
            z2 = w2 * z[a]
            for b in range(a + 1):
                out_b[0, a, b] += z0 * z[b]
                out_b[1, a, b] += z1 * z[b]
                out_b[2, a, b] += z2 * z[b]


@kernel
def _factor(b: Array, out_L: Array, out_inverse: Array) -> None:
    """Write L of B = L L' (k, k), whose last pivot is the root of rss, and L^-1 on [X, x]."""
    k = b.shape[0]
    for j in range(k):
        for i in range(j, k):
            total = b[i, j]
            for m in range(j):
                total -= out_L[i, m] * out_L[j, m]
            if i == k - 1 and j == k - 1:  # rss; 0 but for rounding where the fit is perfect
                total = max(total, RSS_FLOOR * b[i, i])
            if i == j:
                out_L[j, j] = np.sqrt(total) if total > 0.0 else 0.0
            else:
                out_L[i, j] = total / out_L[j, j] if out_L[j, j] > 0.0 else 0.0
    for j in range(k - 1):
        for i in range(j, k - 1):
            total = 1.0 if i == j else 0.0
            for m in range(j, i):
                total -= out_L[i, m] * out_inverse[m, j]
            out_inverse[i, j] = total / out_L[i, i]


@kernel
def _residual(
    b: Array, L: Array, inverse: Array, out_u: Array, out_v: Array
) -> tuple[float, float]:
    """Write u (k,) and (sum w f z z') u (k,); return the first two derivatives of rss."""
    k = L.shape[0]
    p = k - 1
    for i in range(p):
        total = 0.0
        for m in range(i, p):
            total -= inverse[m, i] * L[p, m]
        out_u[i] = total
    out_u[p] = 1.0
    first = 0.0
    second = 0.0
    for i in range(k):
        row1 = 0.0
        row2 = 0.0
        for j in range(k):
            row1 += b[1, max(i, j), min(i, j)] * out_u[j]
            row2 += b[2, max(i, j), min(i, j)] * out_u[j]
        out_v[i] = row1
        first -= out_u[i] * row1
        second += 2.0 * out_u[i] * row2
    for i in range(p):
        total = 0.0
        for m in range(i + 1):
            total += inverse[i, m] * out_v[m]
        second -= 2.0 * total * total
    return first, second


@kernel
def _traces(b: Array, inverse: Array, p: int) -> tuple[float, float]:
    """Return the first two derivatives of log|M|, from L^-1 A L^-T for both weighted sums."""
    first = 0.0
    second = 0.0
    for i in range(p):
        for j in range(i + 1):
            g1 = 0.0
            g2 = 0.0
            for a in range(i + 1):
                for c in range(j + 1):
                    scale = inverse[i, a] * inverse[j, c]
                    g1 += scale * b[1, max(a, c), min(a, c)]
                    g2 += scale * b[2, max(a, c), min(a, c)]
            if i == j:
                first -= g1
                second += 2.0 * g2 - g1 * g1
            else:
                second -= 2.0 * g1 * g1
    return first, second


@kernel
def _evaluate(b: Array, logs: Array, n: int, reml: bool, work: Array, out_point: Array) -> None:
    """Write log-likelihood, score, information, beta and se (5,) from the moments.

    b (3, k, k) lower triangles, logs (3,), work (3, k, k) scratch.
    """
    p = b.shape[1] - 1
    L, inverse, u, v = work[0], work[1], work[2, 0], work[2, 1]
    _factor(b[0], L, inverse)
    rss1, rss2 = _residual(b, L, inverse, u, v)
    rss = L[p, p] ** 2
    dof = n - p if reml else n
    ratio = rss1 / rss
    deviance = dof * (np.log(2.0 * np.pi * rss / dof) + 1.0) + logs[0]
    slope = dof * ratio + logs[1]
    bend = dof * (rss2 / rss - ratio * ratio) - logs[2]
    if reml:
        trace1, trace2 = _traces(b, inverse, p)
        for j in range(p):
            deviance += 2.0 * np.log(L[j, j])
        slope += trace1
        bend += trace2
    out_point[0] = -0.5 * deviance
    out_point[1] = -0.5 * slope
    out_point[2] = 0.5 * bend
    out_point[3] = -u[p - 1]
    out_point[4] = np.sqrt(rss / (n - p)) * abs(inverse[p - 1, p - 1])


@kernel
def climb_rows(
    S: Array,
    columns: Array,
    tile: Array,
    rows: NDArray[np.int64],
    best: NDArray[np.int64],
    grid: Array,
    reml: bool,
    out: Array,
) -> None:
    """Find the optimum of some rows of a tile next to the best point of the grid.

    S (n,), columns (n, c + 1) = [X, y], tile (T, n), rows indices of it, best (T,), out (4, T)
    takes h2, log-likelihood, beta, se.
    """
    n = S.size
    k = columns.shape[1] + 1
    b = np.empty((3, k, k))
    work = np.zeros((3, k, k))
    logs = np.empty(3)
    point = np.empty(5)
    for r in range(rows.size):
        j = rows[r]
        x = tile[j]
        at = best[j]
        low = grid[max(at - 1, 0)]
        high = grid[min(at + 1, grid.size - 1)]
        h2 = grid[at]
        for step in range(_MAX_STEPS):
            _moments(S, columns, x, h2, b, logs)
            _evaluate(b, logs, n, reml, work, point)
            if step == 0 and (
                (at == 0 and point[1] <= 0.0) or (at == grid.size - 1 and point[1] >= 0.0)
            ):
                break  # at an end
            if point[1] > 0.0:
                low = h2
            else:
                high = h2
            target = h2 + point[1] / point[2] if point[2] > 0.0 else -1.0
            if not low < target < high:
                target = 0.5 * (low + high)
            # Newton's step squares the error, so a step this small is below rounding already.
            if abs(target - h2) <= _STEP_TOLERANCE or high - low <= _STEP_TOLERANCE:
                break
            h2 = target
        out[0, j] = h2
        out[1, j] = point[0]
        out[2, j] = point[3]
        out[3, j] = point[4]
