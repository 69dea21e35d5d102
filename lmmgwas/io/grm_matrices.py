"""Matrices of float32 or float64 on disk, brought to the packed triangle, a few rows at a time.

plink2's .rel.bin and NumPy's .npy are mapped, never loaded. What a run works on is the lower
triangle in float32, row by row: values of float64 are rounded to it, as everything on file is. A
file that is such a triangle already is used as it lies; of any other a copy is made in a
temporary file without a name, which is mapped and goes with the process. No n x n array is ever
in memory: for n = 20,000 a block of rows takes 250 MiB.
"""

import math
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FormatError, MismatchError
from lmmgwas.io.text import access_error, file_identity, shown
from lmmgwas.io.writing import write_error
from lmmgwas.model.grm_sum import Packed

Array = NDArray[np.float64]

ASYMMETRY = 1e-6
"""Of the mean diagonal: what the sums of a matrix product in float32 leave between two halves."""

COARSEST = 0.02
"""Of the mean diagonal: numbers printed with two digits behind the point may differ by as much;
where even that is coarser, as in a matrix of integers, halves that differ are not one matrix."""

_LONGEST_HEADER = 10_000
_ITEM = re.compile(
    r"'(descr|fortran_order|shape)': *"
    r"('[<>=|][A-Za-z][0-9]{1,4}'|True|False|\([0-9, ]{1,200}\)|\(\))"
)
_HEADER = re.compile(rf"\{{ *(?:{_ITEM.pattern},? *){{3}}\}} *\n?")

_ROWS_LOOKED_AT, _LEAST_ROWS = 64, 3

_ROWS = 512  # of a square matrix, read and packed at a time


@dataclass(frozen=True, slots=True)
class Digits:
    """How finely the numbers of a text are printed."""

    decimals: int  # most digits behind the point, the exponent counted in
    significant: int  # most digits in all

    def unit(self, value: float) -> float:
        """Return one unit of the last place of a number printed so: of %.4f, or of %.4g."""
        fixed = 10.0**-self.decimals
        if value == 0.0 or not math.isfinite(value):
            return fixed
        size = math.floor(math.log10(abs(value)))
        return max(fixed, 10.0 ** (size - self.significant + 1))


@dataclass(frozen=True, slots=True, eq=False)
class Square:
    """A square matrix on disk, mapped, and what its file is to be like."""

    values: NDArray[Any]  # (n, n) float32 or float64
    path: str
    zero_above: bool = False  # whether nothing but zeros above the diagonal will do, too
    first_line: int = 0  # of the text; 0: of no text
    digits: Digits | None = None


def packed_chunks(square: Square) -> Iterator[NDArray[np.float32]]:
    """Yield the lower triangle in float32, some rows at a time, one behind the other.

    Raises FormatError (E718) where the two halves differ: by more than 1e-6 of the mean diagonal
    and, in a text, by more than one unit of the last printed digit.
    """
    K = square.values
    n = K.shape[0]
    diagonal = np.abs(np.diagonal(K).astype(np.float64))
    finite = diagonal[np.isfinite(diagonal)]
    tolerance = ASYMMETRY * float(finite.mean()) if finite.size else 0.0
    fault, any_above = None, False
    for start in range(0, n, _ROWS):
        stop = min(start + _ROWS, n)
        below = np.tril(np.asarray(K[start:stop, :stop], dtype=np.float64), start)
        above = np.tril(np.asarray(K[:stop, start:stop], dtype=np.float64).T, start)
        with np.errstate(over="ignore", invalid="ignore"):
            fault = fault or _first_fault(square, below, above, start, tolerance)
            packed = _packed(below, start)
        any_above = any_above or bool(np.tril(above, start - 1).any())
        if fault is not None and (any_above or not square.zero_above):
            raise fault
        yield packed


def _packed(below: Array, start: int) -> NDArray[np.float32]:
    """Rows start, start + 1, ... of the triangle, one behind the other."""
    rows = below.astype("<f4")
    return np.concatenate([rows[k, : start + k + 1] for k in range(rows.shape[0])])


def _first_fault(
    square: Square, below: Array, above: Array, start: int, tolerance: float
) -> FormatError | None:
    """What is wrong with the first pair of values that should be equal, None where all are."""
    suspect = np.argwhere(np.abs(below - above) > tolerance)
    digits = square.digits
    for k, j in suspect.tolist():
        lower, upper = float(below[k, j]), float(above[k, j])
        unit = 0.0 if digits is None else digits.unit(max(abs(lower), abs(upper)))
        # They were read as float32: a hundredth of a unit for that.
        allowed = max(min(1.01 * unit, COARSEST / ASYMMETRY * tolerance), tolerance)
        if abs(lower - upper) > allowed:
            return _asymmetric(square, start + k, j, lower, upper)
    return None


def _asymmetric(square: Square, i: int, j: int, lower: float, upper: float) -> FormatError:
    where = f"{square.path}:{square.first_line + i}" if square.first_line else square.path
    return FormatError(
        "E718",
        f"the matrix is not symmetric: row {i + 1}, column {j + 1} has {lower:.8g}, row {j + 1}, "
        f"column {i + 1} has {upper:.8g}; which one is meant? A relatedness matrix is symmetric: "
        "is it another matrix, or were rows and columns sorted differently?",
        where,
    )


def open_rel(path: Path, n: int) -> tuple[Square | Packed, str]:
    """Map plink2's .rel.bin of n samples; return it, and its layout in words.

    Its size tells which of the four it is: square or triangle, of float64 or of float32. A square
    with zeros above the diagonal is what `square0` writes.

    Raises FormatError (E707) where the size is that of none, FileAccessError (E110).
    """
    size, square, triangle = file_identity(path)[0], n * n, n * (n + 1) // 2
    layouts = {
        8 * square: ("<f8", square, "square, float64"),
        4 * square: ("<f4", square, "square, float32"),
        8 * triangle: ("<f8", triangle, "triangle, float64"),
        4 * triangle: ("<f4", triangle, "triangle, float32"),
    }
    if size not in layouts:
        expected = ", ".join(f"{b} ({words})" for b, (*_, words) in layouts.items())
        raise FormatError(
            "E707",
            f"has {size} bytes, which is no matrix of the {n} samples of the .rel.id: expected "
            f"{expected}; {_likely_samples(size, n)}",
            str(path),
        )
    kind, count, words = layouts[size]
    try:
        if count == triangle:
            _refuse_cut(path, size, n)
        values = np.memmap(path, dtype=kind, mode="r", shape=(count,))
    except OSError as error:
        raise access_error(path, error) from error
    if count == square:
        return Square(values.reshape(n, n), str(path), zero_above=True), words
    return values, words


def _refuse_cut(path: Path, size: int, n: int) -> None:
    """Raise FormatError (E707) where a square was cut to what happens to be a triangle's size."""
    for kind, item in (("<f8", 8), ("<f4", 4)):
        rows = min(size // (item * n), _ROWS_LOOKED_AT)
        if size >= item * n * n or rows < _LEAST_ROWS:
            continue
        begun = np.fromfile(path, kind, rows * n).reshape(rows, n)[:, :rows]
        low = np.tril_indices(rows, -1)
        below, above = begun[low], begun.T[low]
        twice = np.array_equal(below, above) or not above.any()
        if twice and begun.diagonal().all() and np.unique(below).size >= _LEAST_ROWS:
            raise FormatError(
                "E707",
                f"has {size} bytes, but begins as a square matrix of {8 * item}-bit numbers, "
                f"which has {item * n * n} for {n} samples: copy the file again",
                str(path),
            )


def _likely_samples(size: int, n: int) -> str:
    """Of how many samples a file of another size may be."""
    found = []
    for item in (8, 4):
        count = size // item
        root, rows = math.isqrt(count), (math.isqrt(8 * count + 1) - 1) // 2
        if size == item * root * root:
            found.append(root)
        if size == item * (rows * (rows + 1) // 2):
            found.append(rows)
    likely = [str(k) for k in dict.fromkeys(found) if 0 < k <= 10 * n]
    if not likely:
        return "a truncated copy, or one part of a --parallel run?"
    return f"it has the size for {' or '.join(likely)} samples: is the .rel.id of another matrix?"


def open_npy(path: Path, n: int) -> tuple[Square, str]:
    """Map a .npy of n samples; return it, and its layout in words. No object is ever loaded.

    Raises FormatError (E719), MismatchError (E717) where the number of samples is another.
    """
    size = file_identity(path)[0]
    try:
        with path.open("rb") as stream:
            kind, by_columns, shape, offset = _read_header(stream, str(path))
    except OSError as error:
        raise access_error(path, error) from error
    if kind[1:] not in ("f4", "f8"):
        raise FormatError(
            "E719", f"holds numbers of type {kind}, expected float32 or float64", str(path)
        )
    dimensions = " x ".join(map(str, shape))
    if len(shape) != 2 or shape[0] != shape[1]:
        raise FormatError(
            "E719", f"has the shape {dimensions}, expected the whole square matrix", str(path)
        )
    item, rows = int(kind[2:]), shape[0]
    if size != (expected := offset + item * rows * rows):
        raise FormatError(
            "E719",
            f"has {size} bytes, expected {expected} for {dimensions} numbers: was it cut short, or "
            "is it more than one array?",
            str(path),
        )
    if rows != n:
        raise MismatchError(
            "E717",
            f"has {rows} rows, its list of samples {n}: is that of another matrix?",
            str(path),
        )
    order: Literal["F", "C"] = "F" if by_columns else "C"
    values = np.memmap(path, dtype=kind, mode="r", offset=offset, shape=(n, n), order=order)
    return Square(values, str(path)), f"square, float{8 * item}"


def _read_header(stream: BinaryIO, path: str) -> tuple[str, bool, tuple[int, ...], int]:
    """Return type, order, shape and place of the numbers of a .npy, versions 1 to 3.

    NumPy's own reader evaluates the header; what it raises for a damaged one is not specified.
    """
    start = stream.read(12)
    version = start[6] if start[:6] == b"\x93NUMPY" and len(start) == 12 else 0
    if version not in (1, 2, 3):
        raise FormatError("E719", "is no array of NumPy: save one with numpy.save", path)
    offset = 10 if version == 1 else 12
    length = int.from_bytes(start[8:offset], "little")
    stream.seek(offset)
    header = stream.read(min(length, _LONGEST_HEADER)).decode("latin-1")
    items = dict(_ITEM.findall(header))
    if _HEADER.fullmatch(header) is None or len(items) != 3:
        raise FormatError(
            "E719",
            f"its header is not that of an array of numbers ({shown(header)}): was it damaged, or "
            "does it hold records or objects?",
            path,
        )
    shape = tuple(int(k) for k in re.findall("[0-9]+", items["shape"]))
    return items["descr"].strip("'"), items["fortran_order"] == "True", shape, offset + length


def packed_copy(matrix: Square | Packed, folder: Path) -> Packed:
    """Return the packed triangle in float32, mapped: the file's own, or a temporary copy."""
    if isinstance(matrix, Square):
        return mapped_copy(packed_chunks(matrix), folder)
    if matrix.dtype == np.dtype("<f4"):
        return matrix
    return mapped_copy(_rounded(matrix), folder)


def _rounded(triangle: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    step = 1 << 22
    for start in range(0, triangle.size, step):
        with np.errstate(over="ignore"):
            yield triangle[start : start + step].astype("<f4")


def mapped_copy(chunks: Iterable[NDArray[np.float32]], folder: Path) -> Packed:
    """Write chunks one behind the other to a temporary file of a folder; return it, mapped.

    The file has no name, and is gone when the array is. Raises FileAccessError (E112).
    """
    size = 0
    try:
        with tempfile.TemporaryFile(prefix=".lmmgwas.", dir=folder) as stream:
            for chunk in chunks:
                stream.write(np.ascontiguousarray(chunk, dtype="<f4").data)
                size += chunk.size
            stream.flush()
            return np.memmap(stream, dtype="<f4", mode="r", shape=(size,))
    except OSError as error:
        raise write_error(folder / "(a temporary copy of the GRM)", error) from error
