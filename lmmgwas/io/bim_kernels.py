"""A .bim file in two passes over its bytes, where every line is as PLINK writes it.

The first pass counts and checks, the second copies. Whatever it is that the first finds
unusual, it says no more than that: then the file is read the long way, which can say why.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel

Bytes = NDArray[np.uint8]

_COLUMNS = 6
_CHROM, _MARKER, _CM, _POS, _EFFECT, _OTHER = range(_COLUMNS)
_MAX_DIGITS = 10  # of a position
_TAB, _LF, _BLANK, _COMMA, _MINUS, _DOT, _ZERO, _NINE = 9, 10, 32, 44, 45, 46, 48, 57
_STRINGS = (_MARKER, _EFFECT, _OTHER)
_OFFSET_LIMIT = 2**31 - 1  # pyarrow's string arrays count bytes by 32 bits


@kernel
def _same(body: Bytes, a: int, b: int, size: int) -> bool:
    """Tell whether two stretches of the same size are equal."""
    for k in range(size):  # noqa: SIM110  numba compiles no generator
        if body[a + k] != body[b + k]:
            return False
    return True


@kernel
def _position(body: Bytes, start: int, stop: int) -> Any:
    """Return the position, or one above all limits where it is no plain integer."""
    negative = body[start] == _MINUS
    first = start + 1 if negative else start
    if not 1 <= stop - first <= _MAX_DIGITS:
        return np.int64(1) << 62
    value = np.int64(0)
    for k in range(first, stop):
        if not _ZERO <= body[k] <= _NINE:
            return np.int64(1) << 62
        value = value * 10 + np.int64(body[k]) - _ZERO
    return -value if negative else value


@kernel
def measure_lines(
    body: Bytes, max_position: int, max_allele: int, sizes: NDArray[np.int64]
) -> bool:
    """Tell whether every line has the plain form; count into `sizes` (10,).

    The first six are the bytes of each column; then lines, runs of lines with one chromosome,
    lines with an odd cM, lines with an unknown position. The body ends with a line feed.
    """
    bounds = np.zeros(_COLUMNS + 1, dtype=np.int64)
    column, before, size_before = 0, 0, -1
    for k in range(body.size):
        byte = body[k]
        if byte > _COMMA:
            continue
        if byte == _BLANK or (byte == _COMMA and column >= _EFFECT):
            return False
        if byte != _TAB and byte != _LF:
            continue
        column += 1
        bounds[column] = k + 1
        if k == bounds[column - 1] or (byte == _LF) != (column == _COLUMNS):
            return False
        if byte == _TAB:
            continue
        column = 0
        pos = _position(body, bounds[_POS], bounds[_POS + 1] - 1)
        if pos > max_position:
            return False
        for c in range(_COLUMNS):
            sizes[c] += bounds[c + 1] - bounds[c] - 1
        longest = max(bounds[_OTHER] - bounds[_EFFECT], bounds[_COLUMNS] - bounds[_OTHER]) - 1
        if longest > max_allele:
            return False
        size = bounds[1] - bounds[0] - 1
        new = size != size_before or not _same(body, before, bounds[0], size)
        before, size_before = bounds[0], size
        cm = body[bounds[_CM]]
        sizes[6] += 1
        sizes[7] += new
        sizes[8] += not (_ZERO <= cm <= _NINE or cm == _DOT)
        sizes[9] += pos <= 0
        bounds[0] = k + 1
    return column == 0


@kernel
def copy_lines(
    body: Bytes,
    pos: NDArray[np.int64],
    run: NDArray[np.int32],
    labels: NDArray[np.int64],
    strings: tuple[
        tuple[NDArray[np.int32], Bytes],
        tuple[NDArray[np.int32], Bytes],
        tuple[NDArray[np.int32], Bytes],
    ],
) -> None:
    """Write positions and the run of each line, where the label of each run lies, the strings.

    `strings` are offsets (m + 1,), the first set to 0, and bytes of marker, effect and other
    allele. labels (runs, 2): where each begins and ends in the body.
    """
    (marker_at, marker), (effect_at, effect), (other_at, other) = strings
    k, current = 0, -1
    for j in range(pos.size):
        start = k
        while body[k] != _TAB:
            k += 1
        if (
            j == 0
            or k - start != labels[current, 1] - labels[current, 0]
            or not _same(body, labels[current, 0], start, k - start)
        ):
            current += 1
            labels[current, 0] = start
            labels[current, 1] = k
        run[j] = current
        k = _copy(body, k + 1, marker_at, marker, j)
        while body[k] != _TAB:
            k += 1
        start = k + 1
        k = start
        while body[k] != _TAB:
            k += 1
        pos[j] = _position(body, start, k)
        k = _copy(body, k + 1, effect_at, effect, j)
        k = _copy(body, k, other_at, other, j)


@kernel
def _copy(body: Bytes, k: int, at: NDArray[np.int32], out: Bytes, j: int) -> int:
    """Copy the field that begins at k to the end of `out`; return where the next begins."""
    w = np.int64(at[j])
    while body[k] > _LF:
        out[w] = body[k]
        w += 1
        k += 1
    at[j + 1] = w
    return k + 1


@dataclass(frozen=True, slots=True, eq=False)
class PlainBim:
    """What a .bim of the plain form holds, and how many lines are odd in a harmless way."""

    labels: tuple[str, ...]
    label_code: NDArray[np.int32]  # (m,)
    pos: NDArray[np.int64]  # (m,)
    strings: tuple[Any, Any, Any]  # (m,) pyarrow: marker, effect allele, other allele
    n_odd_cm: int
    n_unknown: int


def parse_plain(body: bytes, max_position: int, max_allele: int) -> PlainBim | None:
    """Parse a .bim of 6 columns with single tabs and nothing to refuse; None for any other.

    Blank lines at the end are not read.
    """
    size = len(body)
    while size and body[size - 1] == _LF:
        size -= 1
    if size == 0 or size == len(body):
        return None  # empty, or the last line has no end
    data = np.frombuffer(body, dtype=np.uint8)[: size + 1]
    sizes = np.zeros(10, dtype=np.int64)
    if not measure_lines(data, max_position, max_allele, sizes) or sizes.max() > _OFFSET_LIMIT:
        return None
    m, n_runs, n_odd, n_unknown = sizes[_COLUMNS:].tolist()
    pos = np.empty(m, dtype=np.int64)
    run = np.empty(m, dtype=np.int32)
    places = np.empty((n_runs, 2), dtype=np.int64)
    marker, effect, other = (_buffers(m, int(sizes[c])) for c in _STRINGS)
    copy_lines(data, pos, run, places, (marker, effect, other))
    code: dict[bytes, int] = {}
    runs = [code.setdefault(body[a:b], len(code)) for a, b in places.tolist()]
    strings = (_strings(marker), _strings(effect), _strings(other))
    labels = _decoded(code)
    return PlainBim(labels, np.array(runs, dtype=np.int32)[run], pos, strings, n_odd, n_unknown)


def _buffers(m: int, size: int) -> tuple[NDArray[np.int32], Bytes]:
    """Return offsets, the first 0, and room for the bytes of m strings."""
    at = np.empty(m + 1, dtype=np.int32)
    at[0] = 0
    return at, np.empty(size, dtype=np.uint8)


def _strings(column: tuple[NDArray[np.int32], Bytes]) -> Any:
    """Return a pyarrow string array on these buffers."""
    at, data = column
    buffers = [None, pa.py_buffer(at), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), at.size - 1, buffers)


def _decoded(labels: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(label.decode("utf-8") for label in labels)
