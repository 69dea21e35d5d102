"""Dense, slow and plain versions of the mathematics, from design.md section 2.

They import numpy, scipy and mpmath only and share no code with the package: every matrix is
written out, every inverse is an explicit inverse, every determinant is a slogdet.
Symbols: n samples, c columns of X, m variants; K is centred with mean diagonal 1 unless said.
"""

from dataclasses import dataclass

import mpmath
import numpy as np
from scipy import optimize

H2_UPPER = 1.0 - 1e-6
"""The upper end of h2, from design.md section 2."""


def centred_kernel(K: np.ndarray) -> tuple[np.ndarray, float]:
    """Return M K M / s and s = tr(M K M)/n with M = I - 11'/n written out."""
    n = K.shape[0]
    M = np.eye(n) - np.ones((n, n)) / n
    MKM = M @ K @ M
    scale = np.trace(MKM) / n
    return MKM / scale, float(scale)


def covariance(K: np.ndarray, h2: float) -> np.ndarray:
    """Return V = h2 K + (1 - h2) I."""
    return h2 * K + (1.0 - h2) * np.eye(K.shape[0])


def refined_inverse(A: np.ndarray) -> np.ndarray:
    """Return A^-1 in extended precision: numpy's, and two Newton steps B (2 I - A B).

    At h2 near 1 the condition number of V is 1e7, and a plain inverse is not good enough to
    judge others by: there the oracle itself was wrong by 1e-8. Extended precision (64 bits on
    x86) wins three digits; where a platform has none, nothing is lost.
    """
    A = A.astype(np.longdouble)
    B = np.linalg.inv(A.astype(np.float64)).astype(np.longdouble)
    for _ in range(2):
        B = B @ (2.0 * np.eye(A.shape[0]) - A @ B)
    return B


def _projection(V: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1."""
    Vi = np.linalg.inv(V)
    return Vi - Vi @ X @ np.linalg.inv(X.T @ Vi @ X) @ X.T @ Vi


def dense_reml_loglik(h2: float, K: np.ndarray, y: np.ndarray, X: np.ndarray) -> float:
    """Return the restricted log-likelihood at its best sigma2; no constant is dropped."""
    n, c = X.shape
    V = covariance(K, h2)
    Vi = np.linalg.inv(V)
    b = np.linalg.solve(X.T @ Vi @ X, X.T @ Vi @ y)
    residual = y - X @ b
    sigma2 = residual @ Vi @ residual / (n - c)
    return -0.5 * (
        (n - c) * (np.log(2.0 * np.pi * sigma2) + 1.0)
        + np.linalg.slogdet(V)[1]
        + np.linalg.slogdet(X.T @ Vi @ X)[1]
        - np.linalg.slogdet(X.T @ X)[1]
    )


def dense_reml_loglik_of(V: np.ndarray, y: np.ndarray, X: np.ndarray) -> float:
    """Return the restricted log-likelihood of y ~ N(X b, V), V with its variances in it."""
    n, c = X.shape
    Vi = np.linalg.inv(V)
    return -0.5 * (
        (n - c) * np.log(2.0 * np.pi)
        + np.linalg.slogdet(V)[1]
        + np.linalg.slogdet(X.T @ Vi @ X)[1]
        - np.linalg.slogdet(X.T @ X)[1]
        + y @ _projection(V, X) @ y
    )


def dense_reml_score(h2: float, K: np.ndarray, y: np.ndarray, X: np.ndarray) -> float:
    """Return d loglik / d h2 = -1/2 [tr(P E) - (n-c) y'P E P y / y'P y], E = K - I."""
    n, c = X.shape
    P = _projection(covariance(K, h2), X)
    E = K - np.eye(n)
    return -0.5 * (np.trace(P @ E) - (n - c) * (y @ P @ E @ P @ y) / (y @ P @ y))


def dense_sigma2(h2: float, K: np.ndarray, y: np.ndarray, X: np.ndarray) -> float:
    """Return y'P y / (n - c)."""
    n, c = X.shape
    return float(y @ _projection(covariance(K, h2), X) @ y / (n - c))


def finite_difference(function, at: float, step: float, order: int) -> float:
    """Return the first or second derivative by central differences of eighth order."""
    weights = {
        1: {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280},
        2: {0: -205 / 72, 1: 8 / 5, 2: -1 / 5, 3: 8 / 315, 4: -1 / 560},
    }[order]
    total = 0.0
    for k, weight in weights.items():
        if k == 0:
            total += weight * function(at)
        else:
            mirrored = -weight if order == 1 else weight
            total += weight * function(at + k * step) + mirrored * function(at - k * step)
    return total / step**order


@dataclass(frozen=True)
class DenseFit:
    """The best h2 over [0, H2_UPPER], and which end it is at, if any."""

    h2: float
    sigma2: float
    loglik: float
    end: str  # "", "lower" or "upper"
    n_hills: int  # local maxima on the grid, ends included


def dense_reml_fit(K: np.ndarray, y: np.ndarray, X: np.ndarray) -> DenseFit:
    """Maximise over a grid of 0.01 with both ends, then bounded search, then root of the score.

    The bounded search knows h2 to the square root of the rounding only (1e-8); the root of the
    score, which is linear there, to about 1e-12.
    """

    def loglik(h2: float) -> float:
        return dense_reml_loglik(h2, K, y, X)

    def score(h2: float) -> float:
        return dense_reml_score(h2, K, y, X)

    grid = [*np.arange(100) / 100, 0.995, 0.999, 0.9999, H2_UPPER]
    values = [loglik(h2) for h2 in grid]
    padded = [-np.inf, *values, -np.inf]
    n_hills = sum(padded[k] >= max(padded[k - 1], padded[k + 1]) for k in range(1, len(grid) + 1))
    best = int(np.argmax(values))
    if best == 0 and score(0.0) <= 0.0:
        return DenseFit(0.0, dense_sigma2(0.0, K, y, X), values[0], "lower", n_hills)
    if best == len(grid) - 1 and score(H2_UPPER) >= 0.0:
        sigma2 = dense_sigma2(H2_UPPER, K, y, X)
        return DenseFit(H2_UPPER, sigma2, values[-1], "upper", n_hills)
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        lambda h2: -loglik(h2), bounds=(low, high), method="bounded", options={"xatol": 1e-10}
    ).x
    width = 1e-7
    while True:
        left, right = max(low, found - width), min(high, found + width)
        if score(left) > 0.0 > score(right):
            break
        if width > 1.0:
            raise ArithmeticError("no maximum in the bracket")
        width *= 4.0
    h2 = float(optimize.brentq(score, left, right, xtol=1e-14, rtol=1e-14))
    return DenseFit(h2, dense_sigma2(h2, K, y, X), loglik(h2), "", n_hills)


def dense_wald(
    x: np.ndarray,
    y: np.ndarray,
    X: np.ndarray,
    K: np.ndarray,
    h2: float,
    Vi: np.ndarray | None = None,
) -> tuple[float, float, float, float]:
    """Return beta, se, t and -log10 p of x (NaN = missing, put at the mean) by plain GLS.

    `Vi` saves inverting V for every variant of the same K and h2.
    """
    x = np.where(np.isnan(x), np.nanmean(x), x)
    A = np.column_stack([X, x]).astype(np.longdouble)
    if Vi is None:
        Vi = refined_inverse(covariance(K, h2))
    information = refined_inverse(A.T @ Vi @ A)
    b = information @ (A.T @ Vi @ y)
    residual = y - A @ b
    dof = y.size - A.shape[1]
    sigma2 = residual @ Vi @ residual / dof
    se = np.sqrt(sigma2 * information[-1, -1])
    t = b[-1] / se
    return float(b[-1]), float(se), float(t), mp_neg_log10_p_t(t, dof)


def mp_neg_log10_p_t(t: float, dof: int) -> float:
    """Return -log10 of the two-sided p of Student's t, in 60 digits.

    p = I_x(a, 1/2), a = dof/2, x = dof/(dof + t^2): mpmath's incomplete beta function, and for
    large t, where that may not converge, the series of Pfaff's transformation (DLMF 15.8.1),

        p = x^a (1-x)^(-1/2) / (a B(a, 1/2)) * sum over k of (1/2)_k/(a+1)_k (-dof/t^2)^k,

    whose error is less than the first term left out.
    """
    if t == 0.0:
        return 0.0
    with mpmath.workdps(60):
        square, half = mpmath.mpf(float(t)) ** 2, mpmath.mpf(1) / 2
        a, x = mpmath.mpf(dof) / 2, dof / (dof + square)
        if square < 200:
            p = mpmath.betainc(a, half, 0, x, regularized=True)
            return float(-mpmath.log10(p))
        term = total = mpmath.mpf(1)
        k = 0
        while abs(term) > mpmath.mpf(10) ** -30:
            term *= -(k + half) / (a + 1 + k) * dof / square
            total += term
            k += 1
        p = x**a / mpmath.sqrt(1 - x) / (a * mpmath.beta(a, half)) * total
        return float(-mpmath.log10(p))


def mp_neg_log10_p_chi2(chi2: mpmath.mpf) -> mpmath.mpf:
    """Return -log10 P(chi-square(1) > chi2) in 40 digits."""
    with mpmath.workdps(40):
        return -mpmath.log10(mpmath.erfc(mpmath.sqrt(mpmath.mpf(chi2) / 2)))


def mp_chi2_quantile(neg_log10_p: float) -> float:
    """Return the chi-square(1) quantile of p = 10^-neg_log10_p, by root finding in 40 digits."""
    with mpmath.workdps(40):
        target = mpmath.mpf(neg_log10_p)
        start = 2 * target * mpmath.log(10) - mpmath.log(2 * target * mpmath.log(10) + 1)
        return float(
            mpmath.findroot(lambda q: mp_neg_log10_p_chi2(q) - target, (start * 0.98, start * 1.02))
        )


def _standardised_row(x: np.ndarray, model: str) -> np.ndarray | None:
    """Return one variant over all samples, missing at the mean; None if it does not vary."""
    seen = x[~np.isnan(x)]
    if seen.size == 0 or seen.min() == seen.max():
        return None
    mean = seen.mean()
    p = mean / 2.0
    divisor = {
        "standardized": np.sqrt(((seen - mean) ** 2).mean()),
        "hwe": np.sqrt(2.0 * p * (1.0 - p)),
        "centered": 1.0,
    }[model]
    return np.array([0.0 if np.isnan(value) else (value - mean) / divisor for value in x])


def naive_grm(dosage: np.ndarray, model: str, *, pairwise: bool = False) -> np.ndarray:
    """Return the GRM of dosage (m, n), NaN = missing: one pair and one variant at a time.

    Each pair is divided by the number of variants, or by the number of variants that both
    have a call for (`pairwise`).
    """
    rows = [(x, _standardised_row(x, model)) for x in dosage]
    rows = [(x, z) for x, z in rows if z is not None]
    n = dosage.shape[1]
    K = np.zeros((n, n))
    for i in range(n):
        for k in range(n):
            total, joint = 0.0, 0
            for x, z in rows:
                total += z[i] * z[k]
                joint += not (np.isnan(x[i]) or np.isnan(x[k]))
            K[i, k] = total / max(joint if pairwise else len(rows), 1)
    return K


def loco_by_rebuilding(
    dosage: np.ndarray, chrom: np.ndarray, left_out: str, model: str, *, pairwise: bool = False
) -> np.ndarray:
    """Return the GRM of all variants that do not lie on `left_out`, built from nothing."""
    return naive_grm(dosage[chrom != left_out], model, pairwise=pairwise)
