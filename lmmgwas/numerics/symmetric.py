"""Products with a large matrix, symmetric as a rule, in float64 whatever it is kept in.

A matrix in float32 takes half the memory. numpy would make a float64 copy of all of it before it
multiplies with vectors in float64; here that is done for a few rows at a time.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Real = NDArray[Any]

_PANEL = 256
"""Rows that are in float64 at a time: 61 MB at n = 30,000."""


def _panels(M: Real) -> Iterator[tuple[slice, Array]]:
    """Yield some rows at a time: which, and their values in float64."""
    for start in range(0, M.shape[0], _PANEL):
        rows = slice(start, start + _PANEL)
        yield rows, M[rows].astype(np.float64)


def times_columns(K: Real, columns: Array) -> Array:
    """Return K B in float64 for B of shape (n,) or (n, k), K (n, n) with both triangles filled."""
    if K.dtype == np.float64:
        return np.asarray(K @ columns)
    out = np.empty(columns.shape)
    for rows, panel in _panels(K):
        np.matmul(panel, columns, out=out[rows])
    return out


def times_rows(K: Real, rows: Array) -> Array:
    """Return K x in float64 for each row x of `rows` (k, n), as `times_columns` does."""
    if K.dtype == np.float64:
        return np.asarray(rows @ K)
    out = np.empty(rows.shape)
    for own, panel in _panels(K):
        out[:, own] = rows @ panel.T
    return out


def times_any(rows: Array, M: Real) -> Array:
    """Return x'M in float64 for each row x of `rows` (k, n), M (n, n) symmetric or not."""
    if M.dtype == np.float64:
        return np.asarray(rows @ M)
    out = np.zeros(rows.shape)
    for own, panel in _panels(M):
        out += rows[:, own] @ panel
    return out


def square_sum(K: Real) -> float:
    """Return the sum of all squares of K (n, n), in float64."""
    if K.dtype == np.float64:
        return float(np.einsum("ik,ik->", K, K))
    total = 0.0
    for _, panel in _panels(K):
        total += float(np.einsum("ik,ik->", panel, panel))
    return total
