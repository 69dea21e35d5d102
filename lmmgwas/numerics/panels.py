"""A few rows at a time of symmetric matrices that are kept as packed triangles.

A triangle of N samples has N (N + 1) / 2 float32 values, row by row with the diagonal. A panel
(p, n) holds rows first, first + 1, ... of the lower triangle of n samples, in float64, and is
zero above the diagonal. Kernels write to the arguments whose names begin with `out` and to
nothing else.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel

Array = NDArray[np.float64]
Packed = NDArray[np.float32]
Indices = NDArray[np.int64]


@kernel
def add_packed_rows(
    packed: Packed, weight: float, rows: Indices, first: int, out_panel: Array
) -> None:
    """Add weight * packed to a panel. rows (n,) are the triangle's own, in any order; none: all.

    Places in the triangle are 64-bit integers: they pass 2^31 from N = 65,536 on.
    """
    for r in range(out_panel.shape[0]):
        i = first + r
        if rows.size == 0:
            start = i * (i + 1) // 2
            line = packed[start : start + i + 1]
            for k in range(i + 1):
                out_panel[r, k] += weight * np.float64(line[k])
            continue
        for k in range(i + 1):
            a, b = max(rows[i], rows[k]), min(rows[i], rows[k])
            out_panel[r, k] += weight * np.float64(packed[a * (a + 1) // 2 + b])


@kernel
def add_counted_rows(
    packed: Packed,
    counts: Packed,
    sign: float,
    rows: Indices,
    first: int,
    out_panel: Array,
    out_counts: Array,
) -> None:
    """Add sign * packed * counts to a panel and sign * counts to another one.

    For matrices whose pairs have their own counts of variants; rows as in `add_packed_rows`.
    """
    for r in range(out_panel.shape[0]):
        i = first + r
        for k in range(i + 1):
            a, b = i, k
            if rows.size:
                a, b = max(rows[i], rows[k]), min(rows[i], rows[k])
            at = a * (a + 1) // 2 + b
            count = np.float64(counts[at])
            out_panel[r, k] += sign * np.float64(packed[at]) * count
            out_counts[r, k] += sign * count


@kernel
def centre_rows(
    panel: Array, means: Array, shift: float, scale: float, first: int, out: NDArray[Any]
) -> None:
    """Write (panel_ik - means_i - means_k + shift) * scale to rows of out's lower triangle.

    out (n, n) of any floating type, means (n,).
    """
    for r in range(panel.shape[0]):
        i = first + r
        base = shift - means[i]
        for k in range(i + 1):
            out[i, k] = (panel[r, k] - means[k] + base) * scale
