"""The mathematics once more, in the plainest way: what `lmmgwas selftest` compares with.

Nothing of the package is imported, and nothing is clever: matrices are dense, V is inverted,
likelihoods are evaluated as written, tails are integrated. n samples, c covariates with the
intercept, m variants. Genotypes are (m, n) copies of the effect allele, NaN where missing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]

H2_MAX = 1.0 - 1e-6

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def standardised(genotypes: Array, min_maf: float = 0.01, max_missing: float = 0.1) -> Array:
    """Return the rows of Z' (k, n) of the variants that make up a GRM.

    Each over its observed calls: mean 0 and variance 1, missing calls 0.
    """
    rows = []
    for x in genotypes:
        seen = x[~np.isnan(x)]
        if seen.size < (1.0 - max_missing) * x.size - 1e-9 or seen.min() == seen.max():
            continue
        frequency = seen.mean() / 2.0
        if min(frequency, 1.0 - frequency) < min_maf - 1e-12:
            continue
        rows.append(np.where(np.isnan(x), 0.0, (x - seen.mean()) / seen.std()))
    return np.array(rows)


def products(Z: Array) -> Array:
    """Return Z Z' (n, n) from the rows of Z' (m, n), one variant at a time."""
    total = np.zeros((Z.shape[1], Z.shape[1]))
    for z in Z:
        total += z[:, None] * z[None, :]
    return total


def centred(K: Array) -> tuple[Array, float]:
    """Return M K M / s and s = tr(M K M) / n, M = I - 11'/n."""
    n = K.shape[0]
    M = np.eye(n) - 1.0 / n
    MKM = M @ K @ M
    scale = float(np.trace(MKM)) / n
    return MKM / scale, scale


def log_likelihood(h2: float, K: Array, y: Array, X: Array, *, restricted: bool) -> float:
    """Return the (restricted) log-likelihood at its best variance; no constant is dropped."""
    n, c = X.shape
    V = h2 * K + (1.0 - h2) * np.eye(n)
    factor = linalg.cho_factor(V, lower=True)
    right = linalg.cho_solve(factor, np.column_stack([y, X]))
    XVX, XVy = X.T @ right[:, 1:], X.T @ right[:, 0]
    rss = float(y @ right[:, 0] - XVy @ np.linalg.solve(XVX, XVy))
    dof = n - c if restricted else n
    value = dof * (math.log(2.0 * math.pi * rss / dof) + 1.0)
    value += 2.0 * np.log(np.diagonal(factor[0])).sum()
    if restricted:
        value += np.linalg.slogdet(XVX)[1] - np.linalg.slogdet(X.T @ X)[1]
    return -0.5 * float(value)


@dataclass(frozen=True, slots=True)
class Fit:
    """The highest log-likelihood over h2."""

    h2: float
    loglik: float


def best_fit(K: Array, y: Array, X: Array, *, restricted: bool = True) -> Fit:
    """Return the maximum over [0, H2_MAX]: a grid, nearer and nearer, and last a parabola."""

    def values_at(points: Array) -> Array:
        return np.array([log_likelihood(float(p), K, y, X, restricted=restricted) for p in points])

    points = np.append(np.linspace(0.0, 1.0, 13)[:-1], H2_MAX)
    values = values_at(points)
    for _ in range(4):
        at = int(np.argmax(values))
        points = np.linspace(points[max(at - 1, 0)], points[min(at + 1, points.size - 1)], 7)
        values = values_at(points)
    at = int(np.argmax(values))
    best = Fit(float(points[at]), float(values[at]))
    if 0 < at < points.size - 1:
        left, right = values[at] - values[at - 1], values[at] - values[at + 1]
        step = points[1] - points[0]
        top = points[at] + 0.5 * step * (left - right) / (left + right)
        best = Fit(float(top), float(values_at(np.array([top]))[0]))
    return best


@dataclass(frozen=True, slots=True)
class Tests:
    """Tests of m variants at one V. All arrays are (m,)."""

    __test__ = False  # not a test class, whatever its name says to a test runner

    beta: Array
    se: Array
    wald: Array  # -log10 p
    lrt: Array
    score: Array


def tests(genotypes: Array, y: Array, X: Array, K: Array, h2: float) -> Tests:
    """Return generalised least squares of each variant, missing calls at the mean."""
    n, c = X.shape
    V = h2 * K + (1.0 - h2) * np.eye(n)
    inverse = np.linalg.inv(V)
    b0 = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ y)
    rss0 = float((y - X @ b0) @ inverse @ (y - X @ b0))
    dof = n - c - 1
    half_X = inverse @ X
    rows = []
    for x in genotypes:
        filled = np.where(np.isnan(x), np.nanmean(x), x)
        A, half = np.column_stack([X, filled]), np.column_stack([half_X, inverse @ filled])
        information = np.linalg.inv(A.T @ half)
        b = information @ (half.T @ y)
        rss = float((y - A @ b) @ inverse @ (y - A @ b))
        se = math.sqrt(rss / dof * information[-1, -1])
        chi2 = n * math.log(rss0 / rss)
        f = n * (rss0 - rss) / rss0
        p = neg_log10_p_t(abs(b[-1]) / se, dof), neg_log10_p_chi2(chi2)
        rows.append((float(b[-1]), se, *p, neg_log10_p_t(math.sqrt(max(f, 0.0)), dof)))
    return Tests(*np.array(rows).reshape(-1, 5).T)


def neg_log10_p_t(t: float, dof: int) -> float:
    """Return -log10 of the two-sided p of Student's t, by integrating its density.

    From t on in steps of the density's own decay, Gauss's rule on each.
    """

    def log_density(u: Array) -> Array:
        return np.asarray(-0.5 * (dof + 1) * np.log1p(u * u / dof))

    constant = math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - 0.5 * math.log(dof * math.pi)
    at_t = float(log_density(np.array(t)))
    width = min(1.0, (1.0 + t * t / dof) / max(t, 1.0))
    total, left = 0.0, t
    while True:
        piece = (
            0.5
            * width
            * float(_WEIGHTS @ np.exp(log_density(left + 0.5 * width * (_NODES + 1.0)) - at_t))
        )
        total += piece
        left += width
        width *= 1.05
        if piece < 1e-17 * total:
            break
    return -(math.log(2.0) + constant + at_t + math.log(total)) / math.log(10.0)


def neg_log10_p_chi2(chi2: float) -> float:
    """Return -log10 p of chi-square on one degree of freedom."""
    return -math.log10(max(math.erfc(math.sqrt(max(chi2, 0.0) / 2.0)), 1e-300))
