"""Loops over calls and packed triangles that numpy cannot do without large temporaries.

Every kernel writes to the arguments whose names begin with `out` and to nothing else.
Shapes: b variants in a block, N samples in the file, n samples analysed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel

_F = NDArray[np.floating[Any]]


@kernel
def count_calls(
    calls: NDArray[np.int8], samples: NDArray[np.int64], out: NDArray[np.int64]
) -> None:
    """Count copies 0, 1, 2 and missing calls of each variant over `samples`.

    calls (b, N), samples (n,) columns of `calls`, out (b, 4).
    """
    for j in range(calls.shape[0]):
        zero = one = two = 0
        row = calls[j]
        for i in range(samples.size):
            call = row[samples[i]]
            zero += call == 0
            one += call == 1
            two += call == 2
        out[j, 0] = zero
        out[j, 1] = one
        out[j, 2] = two
        out[j, 3] = samples.size - zero - one - two


@kernel
def add_missing(calls: NDArray[np.int8], out: NDArray[np.int64]) -> None:
    """Add to out (N,) how many calls of each sample are missing in calls (b, N)."""
    for j in range(calls.shape[0]):
        for i in range(out.size):
            out[i] += calls[j, i] < 0


@kernel
def fill_tile(
    calls: NDArray[np.int8],
    samples: NDArray[np.int64],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    out: _F,
) -> None:
    """Write (call - centre_j) * scale_j, and 0 (the centre) where the call is missing.

    calls (b, N), samples (n,), centre and scale (b,), out (b, n).
    """
    for j in range(calls.shape[0]):
        row = calls[j]
        low = -centre[j] * scale[j]
        mid = (1.0 - centre[j]) * scale[j]
        high = (2.0 - centre[j]) * scale[j]
        for i in range(samples.size):
            call = row[samples[i]]
            value = 0.0
            if call == 0:
                value = low
            elif call == 1:
                value = mid
            elif call == 2:
                value = high
            out[j, i] = value


@kernel
def mask_heterozygotes(
    columns: NDArray[np.int64], missing: int, out_calls: NDArray[np.int8]
) -> int:
    """Set heterozygous calls in `columns` of out_calls (b, N) to `missing`; return how many."""
    changed = 0
    for j in range(out_calls.shape[0]):
        for k in range(columns.size):
            if out_calls[j, columns[k]] == 1:
                out_calls[j, columns[k]] = missing
                changed += 1
    return changed


@kernel
def pack_rows(
    values: NDArray[np.float64],
    counts: NDArray[np.float64],
    first: int,
    stop: int,
    out: NDArray[np.float32],
) -> None:
    """Write rows first..stop of values / counts, each up to its diagonal, one after another.

    values (n, n); counts (n, n), or (1, 1) where all pairs have one count, which then divides
    every value; a count of 0 gives 0. out (as many values as the rows have,).
    """
    at = 0
    one = counts.shape[0] == 1
    for i in range(first, stop):
        for k in range(i + 1):
            count = counts[0, 0] if one else counts[i, k]
            out[at] = values[i, k] / count if count > 0.0 else 0.0
            at += 1


@kernel
def add_packed(
    packed: NDArray[np.float32], weight: float, rows: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Add weight * (rows and columns of a packed lower triangle) to the lower triangle of out.

    packed (N (N + 1) / 2,) row by row with diagonal, rows (n,), out (n, n).
    """
    for i in range(rows.size):
        for k in range(i + 1):
            a = max(rows[i], rows[k])
            b = min(rows[i], rows[k])
            out[i, k] += weight * packed[a * (a + 1) // 2 + b]


@kernel
def add_packed_product(
    packed: NDArray[np.float32],
    counts: NDArray[np.float32],
    sign: float,
    rows: NDArray[np.int64],
    out_sum: NDArray[np.float64],
    out_count: NDArray[np.float64],
) -> None:
    """Add sign * packed * counts to out_sum and sign * counts to out_count (lower triangles).

    For matrices whose pairs have their own counts of variants; shapes as in `add_packed`.
    """
    for i in range(rows.size):
        for k in range(i + 1):
            a = max(rows[i], rows[k])
            b = min(rows[i], rows[k])
            at = a * (a + 1) // 2 + b
            out_sum[i, k] += sign * np.float64(packed[at]) * np.float64(counts[at])
            out_count[i, k] += sign * counts[at]


@kernel
def strict_lower_square_sum(matrix: _F) -> float:
    """Return the sum of squares below the diagonal of matrix (n, n), in float64.

    Four sums at a time, in an order that nothing changes: one alone would wait for itself.
    """
    s0 = s1 = s2 = s3 = 0.0
    for i in range(1, matrix.shape[0]):
        row = matrix[i]
        whole = i // 4 * 4
        for k in range(0, whole, 4):
            a, b = np.float64(row[k]), np.float64(row[k + 1])
            c, d = np.float64(row[k + 2]), np.float64(row[k + 3])
            s0 += a * a
            s1 += b * b
            s2 += c * c
            s3 += d * d
        for k in range(whole, i):
            s0 += np.float64(row[k]) * np.float64(row[k])
    return (s0 + s1) + (s2 + s3)


@kernel
def mirror_lower(out: _F) -> None:
    """Copy the lower triangle of out (n, n) to its upper triangle, in blocks that fit the cache."""
    n = out.shape[0]
    step = 64
    for top in range(0, n, step):
        for left in range(0, top + 1, step):
            for i in range(top, min(top + step, n)):
                for k in range(left, min(left + step, i)):
                    out[k, i] = out[i, k]
