"""Which variants lead a locus: the most significant one takes all others near it.

Greedy and deterministic: of equal p the first chromosome, then the smaller position, then the
earlier row comes first. Sorting dominates the cost, so that a hundred thousand significant
variants on one chromosome are no burden.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAD_WINDOW = 500_000
"""Base pairs either side of a lead variant that belong to its locus."""

N_BEST = 10
"""Loci that are named where no variant passes the threshold."""

_FIRST_CANDIDATES = 20_000
_MORE_CANDIDATES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Loci:
    """The lead variants, most significant first."""

    rows: Indices  # (k,)
    n_variants: Indices  # (k,) variants below the threshold within the window, the lead included
    n_below: int  # leads that pass the threshold: all or none

    def __len__(self) -> int:
        return self.rows.size


def find_loci(
    chrom: NDArray[np.integer],
    pos: Indices,
    neg_log10_p: Array,
    threshold: float,
    window: int = LEAD_WINDOW,
) -> Loci:
    """Return the lead of each locus with p below the threshold, or else of the ten best loci.

    A lead takes the variants of its chromosome at most `window` base pairs away; those without
    a position (0 or less) form one locus of their chromosome.

    Parameters
    ----------
    chrom : (m,) index of the chromosome, not negative
    pos : (m,) base pairs
    neg_log10_p : (m,) without NaN
    """
    below = np.flatnonzero(neg_log10_p > -math.log10(threshold))
    if below.size:
        picked, n_variants = _greedy(chrom[below], pos[below], neg_log10_p[below], window)
        return Loci(below[picked], n_variants, picked.size)
    size = _FIRST_CANDIDATES
    while True:
        best = _at_least(neg_log10_p, size)
        picked, _ = _greedy(chrom[best], pos[best], neg_log10_p[best], window, N_BEST)
        if picked.size == N_BEST or best.size == neg_log10_p.size:
            return Loci(best[picked], np.zeros(picked.size, dtype=np.int64), 0)
        size *= _MORE_CANDIDATES


def _at_least(neg_log10_p: Array, size: int) -> Indices:
    """The rows of the `size` largest values and of all that equal the smallest of them."""
    m = neg_log10_p.size
    if m <= size:
        return np.arange(m)
    bound = np.partition(neg_log10_p, m - size)[m - size]
    return np.flatnonzero(neg_log10_p >= bound)


def _greedy(
    chrom: NDArray[np.integer],
    pos: Indices,
    neg_log10_p: Array,
    window: int,
    most: int | None = None,
) -> tuple[Indices, Indices]:
    """Return up to `most` leads, best first, and how many of these rows lie in each window."""
    m = neg_log10_p.size
    at = np.maximum(pos, 0).astype(np.int64)
    # One axis for all chromosomes, with gaps that no window spans; rows without a position
    # have a stretch of their own.
    _, stretch = np.unique(2 * chrom.astype(np.int64) + (at > 0), return_inverse=True)
    axis = stretch * (int(at.max(initial=0)) + 2 * window + 1) + at
    along = np.argsort(axis, kind="stable")
    first = np.searchsorted(axis[along], axis - window, side="left")
    last = np.searchsorted(axis[along], axis + window, side="right")
    best_first = np.lexsort((at, chrom, -neg_log10_p))  # stable: the earlier row first
    rank = np.empty(m, dtype=np.int64)
    rank[best_first] = np.arange(m)
    rank_along = rank[along]
    free = np.ones(m, dtype=np.bool_)
    leads: list[int] = []
    k = 0
    while k < m and free[k] and (most is None or len(leads) < most):
        lead = int(best_first[k])
        leads.append(lead)
        free[rank_along[first[lead] : last[lead]]] = False
        k += int(free[k:].argmax())  # 0 where none is free: then free[k] ends the loop
    picked = np.array(leads, dtype=np.int64)
    return picked, last[picked] - first[picked]
