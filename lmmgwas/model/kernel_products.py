"""Products with a GRM as it is kept: packed triangles, never unfolded to n x n.

For checks, which must not go the way of what they check: nothing of `grm` is used but its
types. A triangle is packed row by row with its diagonal, element (i, k), k <= i, at
i (i + 1) / 2 + k.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.model.grm_sum import Packed
from lmmgwas.numerics.jit import kernel
from lmmgwas.numerics.parallel import over_triangle

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_PANEL = 128
"""Rows that are unfolded at a time: 5 MB at n = 5,000."""

_NO_COUNTS = np.empty(0, dtype=np.float32)


@kernel
def _add_triangle_product(
    packed: Packed,
    counts: Packed,
    chunk: tuple[int, int],
    vector: Array,
    first: int,
    out: Array,
) -> None:
    """Add to out (n,) what rows of a packed triangle give to (packed * counts) @ vector.

    vector (n,); counts as long as packed, or empty for ones; both begin with row `first`.
    """
    for i in range(chunk[0], chunk[1]):
        start = i * (i + 1) // 2 - first * (first + 1) // 2
        line = packed[start : start + i + 1]
        mine = vector[i]
        if counts.size:
            count = counts[start : start + i + 1]
            total = 0.0
            for k in range(i + 1):
                value = np.float64(line[k]) * np.float64(count[k])
                total += value * vector[k]
                out[k] += value * mine if k < i else 0.0
            out[i] += total
            continue
        s0 = s1 = s2 = s3 = 0.0
        whole = i // 4 * 4
        for k in range(0, whole, 4):
            s0 += np.float64(line[k]) * vector[k]
            s1 += np.float64(line[k + 1]) * vector[k + 1]
            s2 += np.float64(line[k + 2]) * vector[k + 2]
            s3 += np.float64(line[k + 3]) * vector[k + 3]
        for k in range(whole, i):
            s0 += np.float64(line[k]) * vector[k]
        out[i] += (s0 + s1) + (s2 + s3) + np.float64(line[i]) * mine
        for k in range(i):
            out[k] += np.float64(line[k]) * mine


@kernel
def _add_packed_rows(
    packed: Packed,
    counts: Packed,
    weight: float,
    rows: Indices,
    first: int,
    out_sum: Array,
    out_count: Array,
) -> None:
    """Add weight * packed to rows first, first + 1, ... of a lower triangle: out_sum (p, n).

    rows (n,) are the triangle's own, in any order; none means all. With counts (otherwise
    empty) weight * packed * counts goes to out_sum and weight * counts to out_count (p, n).
    """
    for r in range(out_sum.shape[0]):
        i = first + r
        if rows.size == 0 and counts.size == 0:
            start = i * (i + 1) // 2
            for k in range(i + 1):
                out_sum[r, k] += weight * np.float64(packed[start + k])
            continue
        for k in range(i + 1):
            a, b = i, k
            if rows.size:
                a, b = max(rows[i], rows[k]), min(rows[i], rows[k])
            at = a * (a + 1) // 2 + b
            if counts.size:
                out_sum[r, k] += weight * np.float64(packed[at]) * np.float64(counts[at])
                out_count[r, k] += weight * np.float64(counts[at])
            else:
                out_sum[r, k] += weight * np.float64(packed[at])


def triangle_product(
    packed: Packed, counts: Packed | None, vector: Array, threads: int = 1, first: int = 0
) -> Array:
    """Return (S * C) r (n,) for a packed symmetric S, elementwise times C (None: ones).

    With `first`, packed holds the rows from there on alone: what they, mirrored among
    themselves, give to the elements of the product from there on (n - first,).
    """
    n = vector.size
    weights = _NO_COUNTS if counts is None else counts
    sums: dict[int, Array] = {}

    def work(chunk: tuple[int, int]) -> None:
        sums[chunk[0]] = np.zeros(n)
        _add_triangle_product(packed, weights, chunk, vector, first, sums[chunk[0]])

    over_triangle(n, threads, work, first)
    return np.asarray(sum(sums[k] for k in sorted(sums)))[first:]


class CentredKernel:
    """K = M A M / s as an operator: A a GRM without one group, M = I - 11'/n, s = tr(M A M)/n.

    Parameters
    ----------
    grm : the set on file
    left_out : the group that LOCO leaves out; None for the whole
    rows : (n,) samples of the GRM
    """

    def __init__(self, grm: Grm, left_out: str | None, rows: Indices) -> None:
        self._terms = _terms(grm, left_out)
        self._pairwise = grm.whole.counts is not None
        same = rows.size == len(grm.iid) and bool((rows == np.arange(rows.size)).all())
        self._rows = np.empty(0, dtype=np.int64) if same else rows
        self._all_rows = rows
        self._scale: float | None = None

    @property
    def n_samples(self) -> int:
        """n."""
        return self._all_rows.size

    @property
    def scale(self) -> float:
        """The divisor s, `grm_scale` elsewhere."""
        if self._scale is None:
            self.times(np.empty((0, self.n_samples)))
        return float(self._scale or 0.0)

    def times(self, rows: Array) -> Array:
        """Return K x (q, n) for each row x of `rows` (q, n). 2 n^2 q operations."""
        centred = rows - rows.mean(axis=1, keepdims=True)
        if self._scale is None:
            ones = np.ones((1, self.n_samples))
            product = self._uncentred(np.vstack([ones, centred]))
            total, product = float(product[0].sum()), product[1:]
            self._scale = (self._trace() - total / self.n_samples) / self.n_samples
        else:
            product = self._uncentred(centred)
        product -= product.mean(axis=1, keepdims=True)
        product /= self._scale
        return product

    def _uncentred(self, rows: Array) -> Array:
        """A x of each row x."""
        out = np.zeros_like(rows)
        for first, panel in self._panels():
            stop = first + len(panel)
            left, lower = panel[:, :first], panel[:, first:stop]
            own = lower + lower.T  # above the diagonal it is zero
            np.fill_diagonal(own, lower.diagonal())
            out[:, first:stop] += rows[:, :first] @ left.T + rows[:, first:stop] @ own
            out[:, :first] += rows[:, first:stop] @ left
        return out

    def _panels(self) -> Iterator[tuple[int, Array]]:
        """Yield rows of A's lower triangle, zero above it: the first of them, and (p, n)."""
        n = self.n_samples
        sums = np.empty((_PANEL, n))
        counted = np.empty((_PANEL, n) if self._pairwise else (1, 1))
        for first in range(0, n, _PANEL):
            panel = sums[: min(_PANEL, n - first)]
            count = counted[: len(panel)]
            panel[:], count[:] = 0.0, 0.0
            for part, weight in self._terms:
                counts = _NO_COUNTS if part.counts is None else part.counts
                _add_packed_rows(part.values, counts, weight, self._rows, first, panel, count)
            if self._pairwise:
                np.divide(panel, count, out=panel, where=count > 0.0)
            yield first, panel

    def _trace(self) -> float:
        at = self._all_rows * (self._all_rows + 3) // 2
        if self._pairwise:
            pairs = [
                (sign * part.counts[at].astype(np.float64), part.values[at].astype(np.float64))
                for part, sign in self._terms
                if part.counts is not None
            ]
            count = np.asarray(sum(counts for counts, _ in pairs))
            total = np.asarray(sum(counts * values for counts, values in pairs))
            return float(np.divide(total, count, out=np.zeros(at.size), where=count > 0.0).sum())
        values = (weight * part.values[at].astype(np.float64).sum() for part, weight in self._terms)
        return float(sum(values))


def _terms(grm: Grm, left_out: str | None) -> list[tuple[PackedPart, float]]:
    """The parts whose weighted sum leaves a group out; signs only where pairs have own counts.

    Where the group has more than half of the variants, the others are summed: what is on file
    is float32, and so is what the model rests on.
    """
    pairwise = grm.whole.counts is not None
    if left_out is None:
        return [(grm.whole, 1.0)]
    m, m_out = grm.whole.n_variants, grm.parts[left_out].n_variants
    unit = 1.0 if pairwise else 1.0 / (m - m_out)
    if 2 * m_out <= m:
        both = ((grm.whole, m), (grm.parts[left_out], -m_out))
        return [(part, float(np.sign(k)) if pairwise else k * unit) for part, k in both]
    others = [part for name, part in grm.parts.items() if name != left_out]
    return [(part, 1.0 if pairwise else part.n_variants * unit) for part in others]
