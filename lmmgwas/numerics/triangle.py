"""Passes over a packed lower triangle, as GRMs lie on file, without any n x n temporary.

A triangle of N samples has N (N + 1) / 2 float32 values, row by row with the diagonal. `rows`
(n,) are the samples that are looked at, ascending. Kernels write to the arguments whose names
begin with `out` and to nothing else.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel
from lmmgwas.numerics.parallel import over_triangle, triangle_chunks

Array = NDArray[np.float64]
Packed = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TriangleSummary:
    """What the values of a matrix are like, its diagonal apart."""

    n_samples: int
    n_not_finite: int
    mean_diagonal: float
    diagonal_range: tuple[float, float]
    mean_off: float  # of the off-diagonal values; 0 for a single sample
    sd_off: float
    off_range: tuple[float, float]


def packed_diagonal(packed: Packed, rows: Indices) -> Array:
    """Return the diagonal (n,) of some samples, in float64."""
    return np.asarray(packed[rows * (rows + 3) // 2], dtype=np.float64)


def packed_block(packed: Packed, rows: Indices) -> Array:
    """Return the symmetric matrix (n, n) of some samples, in any order, in float64."""
    high = np.maximum(rows[:, None], rows[None, :])
    low = np.minimum(rows[:, None], rows[None, :])
    return np.asarray(packed[high * (high + 1) // 2 + low], dtype=np.float64)


def summarise(packed: Packed, rows: Indices, threads: int = 1) -> TriangleSummary:
    """Return the summary of some samples' values; sums are of the finite ones. n^2/2 reads."""
    n = rows.size
    chunks = triangle_chunks(n)
    found = {chunk: np.zeros(5) for chunk in chunks}
    over_triangle(n, threads, lambda chunk: _sum_rows(packed, rows, chunk, found[chunk]))
    sums = np.array([found[chunk] for chunk in chunks])
    diagonal = packed_diagonal(packed, rows)
    n_off = n * (n - 1) // 2
    bad = int(sums[:, 0].sum()) + int((~np.isfinite(diagonal)).sum())
    mean = float(sums[:, 1].sum()) / max(n_off, 1)
    square = float(sums[:, 2].sum()) / max(n_off, 1)
    off = (float(sums[:, 3].min()), float(sums[:, 4].max())) if n_off else (0.0, 0.0)
    return TriangleSummary(
        n_samples=n,
        n_not_finite=bad,
        mean_diagonal=float(diagonal.mean()),
        diagonal_range=(float(diagonal.min()), float(diagonal.max())),
        mean_off=mean,
        sd_off=max(square - mean * mean, 0.0) ** 0.5,
        off_range=off,
    )


def first_not_finite(packed: Packed) -> tuple[int, int] | None:
    """Return row and column of the first value that is NaN or infinite, None where all are well."""
    step = 1 << 22
    for start in range(0, packed.size, step):
        bad = np.flatnonzero(~np.isfinite(packed[start : start + step]))
        if bad.size:
            return place_in_triangle(start + int(bad[0]))
    return None


def place_in_triangle(at: int) -> tuple[int, int]:
    """Return row and column of the value that stands at a place of the packed triangle."""
    row = (math.isqrt(8 * at + 1) - 1) // 2
    return row, at - row * (row + 1) // 2


def close_pairs(
    packed: Packed, rows: Indices, threshold: float, most: int, threads: int = 1
) -> tuple[int, Indices]:
    """Count the pairs with K_ij / sqrt(K_ii K_jj) above a threshold; name the first `most`.

    Returns the count and pairs (k, 2), places in `rows`, in the order of the triangle. Samples
    whose diagonal is not positive are in no pair.
    """
    diagonal = packed_diagonal(packed, rows)
    positive = np.isfinite(diagonal) & (diagonal > 0.0)
    inverse = np.zeros(rows.size)
    inverse[positive] = 1.0 / np.sqrt(diagonal[positive])
    chunks = triangle_chunks(rows.size)
    counts = {chunk: np.zeros(1, dtype=np.int64) for chunk in chunks}
    pairs = {chunk: np.empty((most, 2), dtype=np.int64) for chunk in chunks}

    def work(chunk: tuple[int, int]) -> None:
        _close_rows(packed, rows, inverse, threshold, chunk, counts[chunk], pairs[chunk])

    over_triangle(rows.size, threads, work)
    n_pairs = sum(int(counts[chunk][0]) for chunk in chunks)
    named = [pairs[chunk][: int(counts[chunk][0])] for chunk in chunks]
    return n_pairs, np.concatenate([*named, np.empty((0, 2), dtype=np.int64)])[:most]


@kernel
def _sum_rows(packed: Packed, rows: Indices, chunk: tuple[int, int], out: Array) -> None:
    """Below the diagonal: how many are not finite, sum, sum of squares, smallest, largest."""
    low, high = np.inf, -np.inf
    for i in range(chunk[0], chunk[1]):
        start = rows[i] * (rows[i] + 1) // 2
        for k in range(i):
            value = np.float64(packed[start + rows[k]])
            if not np.isfinite(value):
                out[0] += 1.0
                continue
            out[1] += value
            out[2] += value * value
            low = min(low, value)
            high = max(high, value)
    out[3] = low
    out[4] = high


@kernel
def _close_rows(
    packed: Packed,
    rows: Indices,
    inverse: Array,
    threshold: float,
    chunk: tuple[int, int],
    out_count: Indices,
    out_pairs: Indices,
) -> None:
    """Count the close pairs of rows of a triangle; name as many as there is room for."""
    for i in range(chunk[0], chunk[1]):
        start = rows[i] * (rows[i] + 1) // 2
        for k in range(i):
            if packed[start + rows[k]] * inverse[i] * inverse[k] > threshold:
                if out_count[0] < out_pairs.shape[0]:
                    out_pairs[out_count[0], 0] = k
                    out_pairs[out_count[0], 1] = i
                out_count[0] += 1
