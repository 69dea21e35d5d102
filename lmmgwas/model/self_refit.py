"""Variance components of one variant, found again in the plainest way: the oracle of refits.

In the basis where K is diagonal, Z = [X, (x,) y] rotated, w = 1 / (h2 S + 1 - h2): everything
is a weighted sum over n coordinates, and the likelihood is zoomed into point by point. No
derivative, no kernel, nothing shared with the refit that it checks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_COARSE = np.concatenate(
    [[0.0, 1e-4, 1e-3, 5e-3], np.linspace(0.01, 0.99, 99), [0.995, 0.999, 0.9999, 1.0 - 1e-6]]
)
_ZOOMS = 14
_POINTS = 11

_MOST_HILLS = 3
_TIE = 1e-6
"""Log-likelihoods this near are equal, as far as rounding can tell."""


@dataclass(frozen=True, slots=True)
class Hill:
    """A local maximum."""

    h2: float
    loglik: float


def spectral_loglik(S: Array, Z: Array, h2: Array, *, restricted: bool) -> Array:
    """Return the log-likelihood at each h2 (G,), up to a constant where it is restricted.

    S (n,), Z (n, q) rotated: the fixed effects and, last, y.
    """
    n, p = Z.shape[0], Z.shape[1] - 1
    D = np.outer(S, h2) + (1.0 - h2)  # (n, G)
    products = np.einsum("ia,ig,ib->gab", Z, 1.0 / D, Z, optimize=True)
    M, along, yy = products[:, :p, :p], products[:, :p, p], products[:, p, p]
    rss = yy - np.einsum("ga,ga->g", along, np.linalg.solve(M, along[..., None])[..., 0])
    rss = np.maximum(rss, 1e-300)
    dof = n - p if restricted else n
    value = dof * (np.log(2.0 * np.pi * rss / dof) + 1.0) + np.log(D).sum(axis=0)
    if restricted:
        value = value + np.linalg.slogdet(M)[1]
    return np.asarray(-0.5 * value)


def highest_hills(S: Array, Z: Array, *, restricted: bool) -> tuple[Hill, ...]:
    """Return the best local maximum over h2, and those that tie with it; the best is first."""
    values = spectral_loglik(S, Z, _COARSE, restricted=restricted)
    padded = np.concatenate([[-np.inf], values, [-np.inf]])
    tops = np.flatnonzero((values >= padded[:-2]) & (values >= padded[2:]))
    tops = tops[np.argsort(-values[tops], kind="stable")][:_MOST_HILLS]
    hills = [_climb(S, Z, int(top), restricted=restricted) for top in tops]
    hills.sort(key=lambda hill: -hill.loglik)
    return tuple(hill for hill in hills if hill.loglik >= hills[0].loglik - _TIE)


def _climb(S: Array, Z: Array, top: int, *, restricted: bool) -> Hill:
    """Zoom into the neighbours of a point of the grid."""
    low, high = _COARSE[max(top - 1, 0)], _COARSE[min(top + 1, _COARSE.size - 1)]
    best = Hill(0.0, -np.inf)
    for _ in range(_ZOOMS):
        points = np.linspace(low, high, _POINTS)
        values = spectral_loglik(S, Z, points, restricted=restricted)
        at = int(np.argmax(values))
        best = Hill(float(points[at]), float(values[at]))
        low, high = points[max(at - 1, 0)], points[min(at + 1, _POINTS - 1)]
    return best
