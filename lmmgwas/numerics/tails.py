r"""Tail probabilities on the -log10 scale, finite for any test statistic.

For t on nu degrees of freedom the two-sided p is the regularised incomplete beta function

    p = I_x(a, 1/2),   a = nu/2,   x = nu / (nu + t^2)

whose logarithm is taken directly, so that p = 1e-5000 is a number like any other:

    log I_x(a, b) = a log x + b log(1-x) - log a - log B(a, b) + log cf(x),

cf the continued fraction of DLMF 8.17.22, evaluated by the modified Lentz method; where it
converges slowly (p not small), I_x(a, b) = 1 - I_{1-x}(b, a) is used.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lmmgwas.numerics.jit import kernel

Array = NDArray[np.float64]

MEDIAN_CHI2 = 0.454936423119572
"""Median of the chi-square distribution on one degree of freedom."""

_LN10 = math.log(10.0)


def log_beta_half(a: float) -> float:
    """Return log B(a, 1/2) to rounding.

    lgamma(a) - lgamma(a + 1/2) loses digits as a grows; from 20 on its asymptotic series
    (DLMF 5.11.8 with the terms of even order cancelled) has no error at double precision.
    """
    half = 0.5 * math.log(math.pi)
    if a < 20.0:
        return half + math.lgamma(a) - math.lgamma(a + 0.5)
    u = 1.0 / (a * a)
    series = 1 / 8 - u * (1 / 192 - u * (1 / 640 - u * (17 / 14336 - u * (31 / 18432))))
    return half - 0.5 * math.log(a) + series / a


@kernel
def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of I_x(a, b), modified Lentz method."""
    tiny = 1e-300
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    fraction = d
    for k in range(1, 100_000):
        even = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k))
        d = 1.0 + even * d
        c = 1.0 + even / c
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = c if abs(c) > tiny else tiny
        fraction *= d * c
        odd = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
        d = 1.0 + odd * d
        c = 1.0 + odd / c
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = c if abs(c) > tiny else tiny
        change = d * c
        fraction *= change
        if abs(change - 1.0) < 1e-16:
            break
    return fraction


@kernel
def _neg_log_p(t: Array, dof: float, log_beta: float, out: Array) -> None:
    """Write -log of the two-sided p (natural logarithm) of each t."""
    a = 0.5 * dof
    for j in range(t.size):
        q = t[j] * t[j] / dof
        log_x = -math.log1p(q)
        x = 1.0 / (1.0 + q)
        y = q / (1.0 + q)
        if not q > 0.0:
            out[j] = 0.0 if q == 0.0 else math.nan
        elif math.isinf(q):
            out[j] = math.inf
        elif x < (a + 1.0) / (a + 4.0):
            front = a * log_x + 0.5 * math.log(y) - math.log(a) - log_beta
            out[j] = -(front + math.log(_beta_fraction(a, 0.5, x)))
        else:
            front = a * log_x + 0.5 * math.log(y) - math.log(0.5) - log_beta
            out[j] = -math.log1p(-math.exp(front) * _beta_fraction(0.5, a, y))


def neg_log10_p_from_t(t: Array, dof: int) -> Array:
    """Return -log10 of the two-sided p of Student's t on `dof` degrees of freedom.

    Relative error about 3e-13; infinite only for an infinite t. NaN stays NaN.
    """
    out = np.empty(t.size)
    _neg_log_p(
        np.ascontiguousarray(t, dtype=np.float64).ravel(), float(dof), log_beta_half(dof / 2), out
    )
    return (out / _LN10).reshape(t.shape)


def neg_log10_p_from_chi2(chi2: Array) -> Array:
    """Return -log10 of the upper tail of chi-square(1), finite for any finite statistic."""
    z = np.sqrt(np.maximum(chi2, 0.0))
    return np.asarray(-(special.log_ndtr(-z) + math.log(2.0)) / _LN10 + 0.0)


def chi2_from_neg_log10_p(neg_log10_p: Array) -> Array:
    """Return the chi-square(1) quantile of each p, also below the smallest double."""
    log_half_p = -np.asarray(neg_log10_p, dtype=np.float64) * _LN10 - math.log(2.0)
    z = special.ndtri_exp(log_half_p)
    return np.asarray(z * z)


def lambda_gc(neg_log10_p: Array) -> float:
    """Return the genomic-control lambda: median chi-square(1) over its expectation.

    The quantile of each p is taken, not t squared, so that a calibrated test has lambda 1 at
    any number of degrees of freedom. NaN without variants. Devlin and Roeder (1999).
    """
    if neg_log10_p.size == 0:
        return math.nan
    # The quantile is monotone, so only the one or two middle values need it.
    size = neg_log10_p.size
    middle = np.unique([(size - 1) // 2, size // 2])
    values = np.partition(neg_log10_p, middle)[middle]
    return float(chi2_from_neg_log10_p(values).mean() / MEDIAN_CHI2)


def half_chi2_p(statistic: float) -> float:
    """Return p of a likelihood ratio on the boundary: half chi-square(0), half chi-square(1)."""
    if statistic <= 0.0:
        return 1.0
    return float(0.5 * special.erfc(math.sqrt(0.5 * statistic)))
