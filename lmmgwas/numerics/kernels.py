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
def spread_bytes(
    packed: NDArray[np.uint8], table: NDArray[np.uint32], out: NDArray[np.uint32]
) -> None:
    """Write table[byte] for each byte: four calls of one byte each for the four in a .bed's byte.

    packed (b, w), table (256,), out (b, w).
    """
    for j in range(packed.shape[0]):
        for k in range(packed.shape[1]):
            out[j, k] = table[packed[j, k]]


@kernel
def count_calls(calls: NDArray[np.int8], out: NDArray[np.int64]) -> None:
    """Count copies 0, 1, 2 and missing calls of each variant: calls (b, n), out (b, 4)."""
    n = calls.shape[1]
    for j in range(calls.shape[0]):
        zero = one = two = 0
        for i in range(n):
            call = calls[j, i]
            zero += call == 0
            one += call == 1
            two += call == 2
        out[j, 0] = zero
        out[j, 1] = one
        out[j, 2] = two
        out[j, 3] = n - zero - one - two


@kernel
def replace_call(old: int, new: int, out_calls: NDArray[np.int8]) -> None:
    """Replace calls `old` by `new` in out_calls (b, n)."""
    for j in range(out_calls.shape[0]):
        for i in range(out_calls.shape[1]):
            call = out_calls[j, i]
            out_calls[j, i] = new if call == old else call


@kernel
def add_missing(calls: NDArray[np.int8], out: NDArray[np.int64]) -> None:
    """Add to out (N,) how many calls of each sample are missing in calls (b, N)."""
    for j in range(calls.shape[0]):
        for i in range(out.size):
            out[i] += calls[j, i] < 0


@kernel
def fill_tile(
    calls: NDArray[np.int8],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    out: _F,
) -> None:
    """Write (call - centre_j) * scale_j, and 0 (the centre) where the call is missing.

    calls (b, n), centre and scale (b,), out (b, n). One pass, without branches.
    """
    value = out[:1, :1].copy()  # of out's type: what is chosen from must have it, too
    for j in range(calls.shape[0]):
        value[0, 0] = -centre[j] * scale[j]
        low = value[0, 0]
        value[0, 0] = (1.0 - centre[j]) * scale[j]
        mid = value[0, 0]
        value[0, 0] = (2.0 - centre[j]) * scale[j]
        high = value[0, 0]
        value[0, 0] = 0.0
        none = value[0, 0]
        for i in range(calls.shape[1]):
            call = calls[j, i]
            chosen = low if call == 0 else none
            chosen = mid if call == 1 else chosen
            out[j, i] = high if call == 2 else chosen


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
    first: int,
    values: NDArray[np.float64],
    counts: NDArray[np.float64],
    chunk: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    """Write rows of the lower triangle of values / counts to a packed triangle, row by row.

    values (h, n) and out begin with row `first` of the triangle, chunk is rows of it; counts are
    like values, or (1, 1) where all pairs have one count, which then divides every value; a
    count of 0 gives 0.
    """
    one = counts.shape[0] == 1 and counts.shape[1] == 1
    for i in range(chunk[0], chunk[1]):
        start = i * (i + 1) // 2 - first * (first + 1) // 2
        for k in range(i + 1):
            count = counts[0, 0] if one else counts[i - first, k]
            out[start + k] = values[i - first, k] / count if count > 0.0 else 0.0


@kernel
def move_lower(
    first: int, out_values: _F, out: NDArray[np.float64], chunk: tuple[int, int]
) -> None:
    """Add rows of a lower triangle to those of out, and set them to 0 where they were.

    Both (h, n) begin with row `first` of the triangle, chunk is rows of it.
    """
    for i in range(chunk[0], chunk[1]):
        for k in range(i + 1):
            out[i - first, k] += np.float64(out_values[i - first, k])
            out_values[i - first, k] = 0.0


@kernel
def add_weighted(
    first: int,
    packed: NDArray[np.float32],
    weight: float,
    chunk: tuple[int, int],
    out: NDArray[np.float64],
) -> None:
    """Add weight * packed to out, for rows `chunk` of triangles packed from row `first` on."""
    before = first * (first + 1) // 2
    for k in range(
        chunk[0] * (chunk[0] + 1) // 2 - before, chunk[1] * (chunk[1] + 1) // 2 - before
    ):
        out[k] += weight * np.float64(packed[k])


@kernel
def add_weighted_product(
    packed: NDArray[np.float32],
    counts: NDArray[np.float32],
    out_sum: NDArray[np.float64],
    out_count: NDArray[np.float64],
) -> None:
    """Add packed * counts to out_sum and counts to out_count, all of one length."""
    for k in range(packed.size):
        out_sum[k] += np.float64(packed[k]) * np.float64(counts[k])
        out_count[k] += np.float64(counts[k])


@kernel
def combine_packed(
    one: NDArray[np.float32],
    two: NDArray[np.float32],
    weights: tuple[float, float],
    rows: NDArray[np.int64],
    chunk: tuple[int, int],
    out: NDArray[np.float64],
) -> None:
    """Write rows of the lower triangle of weights[0] * one + weights[1] * two.

    one and two (N (N + 1) / 2,) are packed row by row with diagonal, rows (n,) samples of
    theirs (none: all), chunk the first row and the one after the last, out (n, n).
    """
    u, v = weights
    for i in range(chunk[0], chunk[1]):
        if rows.size == 0:
            start = i * (i + 1) // 2
            line_one = one[start : start + i + 1]
            line_two = two[start : start + i + 1]
            for k in range(i + 1):
                out[i, k] = u * np.float64(line_one[k]) + v * np.float64(line_two[k])
            continue
        for k in range(i + 1):
            a = max(rows[i], rows[k])
            at = a * (a + 1) // 2 + min(rows[i], rows[k])
            out[i, k] = u * np.float64(one[at]) + v * np.float64(two[at])


@kernel
def add_packed(
    packed: NDArray[np.float32],
    weight: float,
    rows: NDArray[np.int64],
    chunk: tuple[int, int],
    out: NDArray[np.float64],
) -> None:
    """Add weight * packed to rows of the lower triangle of out; shapes as in `combine_packed`."""
    for i in range(chunk[0], chunk[1]):
        for k in range(i + 1):
            a, b = (i, k) if rows.size == 0 else (rows[i], rows[k])
            if a < b:
                a, b = b, a
            out[i, k] += weight * np.float64(packed[a * (a + 1) // 2 + b])


@kernel
def add_row_sums(
    matrix: NDArray[np.float64], chunk: tuple[int, int], out: NDArray[np.float64]
) -> None:
    """Add to out (n,) what rows of a lower triangle give to the sums of the symmetric matrix."""
    for i in range(chunk[0], chunk[1]):
        line = matrix[i, :i]
        s0 = s1 = s2 = s3 = 0.0
        whole = i // 4 * 4
        for k in range(0, whole, 4):
            s0 += line[k]
            s1 += line[k + 1]
            s2 += line[k + 2]
            s3 += line[k + 3]
        for k in range(whole, i):
            s0 += line[k]
        out[i] += (s0 + s1) + (s2 + s3) + matrix[i, i]
        for k in range(i):
            out[k] += line[k]


@kernel
def centre_symmetric(
    means: NDArray[np.float64],
    shift: float,
    scale: float,
    chunk: tuple[int, int],
    out: NDArray[np.float64],
) -> None:
    """Replace out_ik by (out_ik - means_i - means_k + shift) * scale, in both triangles.

    Rows of the lower triangle are read, in blocks that fit the cache; out (n, n), means (n,).
    """
    step = 64
    for top in range(chunk[0], chunk[1], step):
        for left in range(0, min(top + step, chunk[1]), step):
            for i in range(top, min(top + step, chunk[1])):
                for k in range(left, min(left + step, i + 1)):
                    value = (out[i, k] - means[i] - means[k] + shift) * scale
                    out[i, k] = value
            for k in range(left, min(left + step, chunk[1])):
                for i in range(max(top, k), min(top + step, chunk[1])):
                    out[k, i] = out[i, k]


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


@kernel
def weigh_lower(K: _F, weight: float, ridge: float, chunk: tuple[int, int], out: _F) -> None:
    """Write rows of the lower triangle of weight * K + ridge * I, in the type of out (n, n)."""
    for i in range(chunk[0], chunk[1]):
        for k in range(i):
            out[i, k] = weight * K[i, k]
        out[i, i] = weight * K[i, i] + ridge
