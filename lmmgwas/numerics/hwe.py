r"""The exact test of Hardy-Weinberg equilibrium.

Given N people and the count of the rarer allele, the number of heterozygotes h has
probabilities in the fixed ratio

    P(h+2) / P(h) = 4 r c / ((h+1)(h+2)),

r and c the counts of rare and common homozygotes at h. p is the sum of all P(h') <= P(h) of
the observed h: Wigginton, Cutler and Abecasis (2005), as in PLINK.
"""

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel

_TIE = 1.0 + 2.0**-36
"""Probabilities this near to the observed one are equal to it but for rounding."""


@kernel
def _exact_p(het: int, hom_a: int, hom_b: int) -> float:
    """p of one variant; sums outwards from the observed count, which has weight 1."""
    rare = min(hom_a, hom_b)
    common = max(hom_a, hom_b)
    tail = 1.0
    total = 1.0
    weight = 1.0
    h, r, c = het, rare, common
    while r > 0:  # more heterozygotes
        weight *= 4.0 * r * c / ((h + 1.0) * (h + 2.0))
        h += 2
        r -= 1
        c -= 1
        total += weight
        if weight <= _TIE:
            tail += weight
    weight = 1.0
    h, r, c = het, rare, common
    while h > 1:  # fewer
        weight *= h * (h - 1.0) / (4.0 * (r + 1.0) * (c + 1.0))
        h -= 2
        r += 1
        c += 1
        total += weight
        if weight <= _TIE:
            tail += weight
        if weight == 0.0:
            break
    return tail / total


@kernel
def _exact_ps(counts: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """Write p of each variant; counts (b, 3 or more) of 0, 1 and 2 copies, out (b,)."""
    for j in range(counts.shape[0]):
        out[j] = _exact_p(counts[j, 1], counts[j, 0], counts[j, 2])


def hardy_weinberg_p(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the exact p (b,) of the counts (b, 3 or more) of 0, 1 and 2 copies.

    1 where nothing was observed. O(N) for each variant. A p below 1e-308 may be 0: the total
    weight then exceeds the largest double.
    """
    out = np.empty(counts.shape[0])
    _exact_ps(np.ascontiguousarray(counts, dtype=np.int64), out)
    return out
