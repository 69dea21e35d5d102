"""Loops over imputed dosages: 16-bit whole numbers of 2^-14 of a copy, 0 to 32,768, or none.

That is what a .pgen holds, so nothing is rounded, and sums are of whole numbers: exact, in any
order. Every kernel writes to the arguments whose names begin with `out` and to nothing else.
Shapes: b variants in a block, N samples in the file, n samples analysed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel

ONE = 1 << 14
"""A copy."""

NO_DOSAGE = (1 << 16) - 1
"""Where there is no dosage."""

_F = NDArray[np.floating[Any]]
_D = NDArray[np.uint16]


@kernel
def encode_dosages(copies: NDArray[np.float32], none: float, out: _D) -> int:
    """Write copies (b, n), which are `none` where missing, as dosages (b, n).

    Returns how many are neither `none` nor from 0 to 2; those have no dosage.
    """
    wrong = 0
    for j in range(copies.shape[0]):
        for i in range(copies.shape[1]):
            x = copies[j, i]
            inside = 0.0 <= x <= 2.0
            wrong += not (inside or x == none)
            out[j, i] = np.uint16(x * ONE + 0.5) if inside else NO_DOSAGE
    return wrong


@kernel
def dosages_of_calls(calls: NDArray[np.int8], out: _D) -> None:
    """Write calls (b, n) as dosages (b, n)."""
    for j in range(calls.shape[0]):
        for i in range(calls.shape[1]):
            call = calls[j, i]
            out[j, i] = ONE * np.int64(call) if call >= 0 else NO_DOSAGE


@kernel
def calls_of_dosages(dosages: _D, missing: int, out: NDArray[np.int8]) -> None:
    """Write the nearest number of copies of dosages (b, n), `missing` where there is none."""
    for j in range(dosages.shape[0]):
        for i in range(dosages.shape[1]):
            x = np.int64(dosages[j, i])
            out[j, i] = missing if x == NO_DOSAGE else (x + ONE // 2) // ONE


@kernel
def sum_dosages(dosages: _D, out: NDArray[np.int64]) -> None:
    """Count and sum each variant: dosages (b, n), out (b, 3).

    The observed dosages, their sum, and the sum of squares of their distances from the whole
    number at or below their mean. A square is below 2^31: int64 holds the sum of 2^32 of them.
    """
    for j in range(dosages.shape[0]):
        n = total = squares = np.int64(0)
        for i in range(dosages.shape[1]):
            x = np.int64(dosages[j, i])
            seen = x != NO_DOSAGE
            n += seen
            total += x if seen else np.int64(0)
        pivot = total // n if n > 0 else np.int64(0)
        for i in range(dosages.shape[1]):
            x = np.int64(dosages[j, i])
            squares += (x - pivot) * (x - pivot) if x != NO_DOSAGE else np.int64(0)
        out[j, 0] = n
        out[j, 1] = total
        out[j, 2] = squares


@kernel
def add_missing_dosages(dosages: _D, out: NDArray[np.int64]) -> None:
    """Add to out (N,) how many dosages of each sample are missing in dosages (b, N)."""
    for j in range(dosages.shape[0]):
        for i in range(out.size):
            out[i] += dosages[j, i] == NO_DOSAGE


@kernel
def fill_dosage_tile(
    dosages: _D, centre: NDArray[np.float64], scale: NDArray[np.float64], out: _F
) -> None:
    """Write (copies - centre_j) * scale_j, and 0 (the centre) where there is no dosage.

    dosages (b, n), centre and scale (b,), out (b, n).
    """
    for j in range(dosages.shape[0]):
        middle, factor = centre[j], scale[j]
        for i in range(dosages.shape[1]):
            x = dosages[j, i]
            value = (np.float64(x) / ONE - middle) * factor
            out[j, i] = value if x != NO_DOSAGE else 0.0


@kernel
def mask_single_copies(columns: NDArray[np.int64], out_dosages: _D) -> int:
    """Take dosages of exactly one copy in `columns` of out_dosages (b, N) away; return how many."""
    changed = 0
    for j in range(out_dosages.shape[0]):
        for k in range(columns.size):
            if out_dosages[j, columns[k]] == ONE:
                out_dosages[j, columns[k]] = NO_DOSAGE
                changed += 1
    return changed


@kernel
def add_signed_dosages(
    dosages: _D,
    values: NDArray[np.float64],
    signs: NDArray[np.int8],
    first: int,
    out: NDArray[np.float64],
) -> None:
    """Add z (z'r) of each variant to out, for samples `first` and later.

    dosages (b, n); values (b, 4) are what 0, 1, 2 copies and none stand for in z, between which
    z is a straight line; signs (last,) of 1 and -1, last <= n, are r; out (last - first,).
    """
    n = signs.size
    for j in range(dosages.shape[0]):
        zero, none = values[j, 0], values[j, 3]
        slope = (values[j, 2] - zero) / (2 * ONE)
        total = seen = lost = nothing = np.int64(0)
        for i in range(n):
            x = np.int64(dosages[j, i])
            sign = np.int64(signs[i])
            there = x != NO_DOSAGE
            total += sign * x if there else nothing
            seen += sign if there else nothing
            lost += nothing if there else sign
        u = total * slope + seen * zero + lost * none
        for i in range(first, n):
            x = dosages[j, i]
            z = np.float64(x) * slope + zero if x != NO_DOSAGE else none
            out[i - first] += u * z
