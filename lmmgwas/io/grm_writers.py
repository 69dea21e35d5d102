"""Writing a GRM in the formats of other programs, row by row; no n x n array is ever made.

Numbers in text have nine significant digits, which is what it takes to read the same float32
again.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from lmmgwas.io.grm_ids import Ids, ids_text
from lmmgwas.io.writing import write_error
from lmmgwas.model.grm_sum import Packed

Indices = NDArray[np.int64]

_ROWS = 128  # gathered at a time


def square_rows(packed: Packed, order: Indices) -> Iterator[NDArray[np.float32]]:
    """Yield blocks (b, n) of rows of the symmetric matrix over some samples, in `order` (n,)."""
    for start in range(0, order.size, _ROWS):
        i = order[start : start + _ROWS, None]
        high, low = np.maximum(i, order), np.minimum(i, order)
        yield packed[high * (high + 1) // 2 + low]


def triangle_rows(packed: Packed, order: Indices) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of the lower triangle over some samples, in `order` (n,)."""
    for k in range(order.size):
        high, low = np.maximum(order[k], order[: k + 1]), np.minimum(order[k], order[: k + 1])
        yield packed[high * (high + 1) // 2 + low]


def write_gemma(path: Path, packed: Packed, order: Indices) -> None:
    """Write square text, tabs between the numbers. Raises FileAccessError (E705)."""

    def write(stream: BinaryIO) -> None:
        for block in square_rows(packed, order):
            stream.write("".join(f"{_numbers(row)}\n" for row in block).encode())

    _write(path, write)


def write_table(path: Path, packed: Packed, order: Indices, iid: tuple[str, ...]) -> None:
    """Write square text with the IIDs of the n rows in line 1 and column 1. Raises E705."""

    def write(stream: BinaryIO) -> None:
        stream.write(("\t".join(("IID", *iid)) + "\n").encode())
        names = iter(iid)
        for block in square_rows(packed, order):
            stream.write("".join(f"{next(names)}\t{_numbers(row)}\n" for row in block).encode())

    _write(path, write)


def write_rel(path: Path, packed: Packed, order: Indices) -> None:
    """Write what `plink2 --make-rel bin square` does: all of it, float64. Raises E705."""

    def write(stream: BinaryIO) -> None:
        for block in square_rows(packed, order):
            stream.write(np.ascontiguousarray(block, dtype="<f8").data)

    _write(path, write)


def write_npy(path: Path, packed: Packed, order: Indices) -> None:
    """Write a square array of float32, the bytes of `numpy.save`. Raises E705."""

    def write(stream: BinaryIO) -> None:
        header = header_data_from_array_1_0(np.empty((0, 0), dtype="<f4"))
        write_array_header_1_0(stream, header | {"shape": (order.size, order.size)})
        for block in square_rows(packed, order):
            stream.write(np.ascontiguousarray(block, dtype="<f4").data)

    _write(path, write)


def rel_ids(ids: Ids) -> str:
    """Return the text of plink2's .rel.id: a header; no FID where no sample has one."""
    if not any(ids[0]):
        return "#IID\n" + "".join(f"{iid}\n" for iid in ids[1])
    return f"#FID\tIID\n{ids_text(ids)}"


def _numbers(row: NDArray[np.float32]) -> str:
    return "\t".join([f"{value:.9g}" for value in row.tolist()])


def _write(path: Path, write: Callable[[BinaryIO], None]) -> None:
    try:
        with path.open("wb") as stream:
            write(stream)
    except OSError as error:
        raise write_error(path, error, "E705") from error
