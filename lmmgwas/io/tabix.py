"""The index of a BGZF table by chromosome and position: .tbi and .csi, as htslib writes them.

It is made from what is known while the table is written; htslib would unpack and parse the
table again. Rows are single positions in order, so each window of 16,384 positions is a bin
of the lowest level, in one stretch of the file (SAM specification, section 5; tabix and CSI
specifications). Unknown positions (0) count as 1.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.bgzf import END, compress_blocks

Indices = NDArray[np.int64]
Offsets = NDArray[np.uint64]

TBI_LIMIT = 536_870_911
"""The last position that .tbi can hold."""

_WINDOW_BITS = 14
_TBI_LEVELS, _CSI_LEVELS = 5, 6  # up to 2^29 and 2^32 (new htslib takes 8 for a .csi)
_COLUMNS = (0, 1, 2, 2, ord("#"), 1)  # generic; chromosome, begin, end; comment; lines to skip


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows that the rows of a piece fall into, in the order of the rows."""

    chrom: Indices  # (w,)
    window: Indices  # (w,)
    start: Indices  # (w,) where the first row of each begins
    n_rows: Indices  # (w,)

    @classmethod
    def of(cls, chrom: NDArray[np.int32], pos: Indices, starts: Indices) -> "Windows":
        """Find the windows of rows that begin at `starts` (m,) of the piece."""
        window = np.maximum(pos - 1, 0) >> _WINDOW_BITS
        new = np.ones(pos.size, dtype=np.bool_)
        new[1:] = (chrom[1:] != chrom[:-1]) | (window[1:] != window[:-1])
        first = np.flatnonzero(new)
        n_rows = np.diff(first, append=pos.size)
        return cls(chrom[first].astype(np.int64), window[first], starts[first], n_rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Reference:
    """One chromosome: where its windows begin in the file, and where the last ends."""

    window: Indices  # (w,) ascending
    start: Offsets  # (w + 1,)
    n_rows: int


class TabixIndex:
    """An index that grows with its table."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Windows, Offsets]] = []

    def add(self, windows: Windows, start: Offsets) -> None:
        """Note the next piece of the table; `start` (w,) are virtual offsets in the file."""
        self._pieces.append((windows, start))

    def packed(self, names: Sequence[str], end: int, *, csi: bool) -> bytes:
        """Return the bytes of the .tbi or .csi file.

        `names` are those of the chromosomes by number; `end` is the virtual offset of the end
        of the last row. Raises ValueError where rows were not in order.
        """
        present, references = self._references(end)
        encoded = b"".join(names[k].encode() + b"\0" for k in present)
        table = struct.pack("<7i", *_COLUMNS, len(encoded)) + encoded
        n_references = struct.pack("<i", len(references))
        if csi:
            head = struct.pack("<3i", _WINDOW_BITS, _CSI_LEVELS, len(table))
            parts = [b"CSI\1", head, table, n_references]
            parts += [_csi_reference(reference) for reference in references]
        else:
            parts = [b"TBI\1", n_references, table]
            parts += [_tbi_reference(reference) for reference in references]
        parts.append(struct.pack("<Q", 0))  # rows without a place
        return b"".join((*compress_blocks(b"".join(parts)), END))

    def _references(self, end: int) -> tuple[list[int], list[_Reference]]:
        """Return the chromosomes that occur, and each one's windows."""
        if not self._pieces:
            return [], []
        chrom = np.concatenate([windows.chrom for windows, _ in self._pieces])
        window = np.concatenate([windows.window for windows, _ in self._pieces])
        n_rows = np.concatenate([windows.n_rows for windows, _ in self._pieces])
        start = np.concatenate([*(start for _, start in self._pieces), [np.uint64(end)]])
        changes = chrom[1:] != chrom[:-1]
        borders = [0, *(np.flatnonzero(changes) + 1).tolist(), chrom.size]
        present = chrom[borders[:-1]].tolist() if chrom.size else []
        if len(set(present)) < len(present) or (np.diff(window)[~changes] < 0).any():
            raise ValueError("the rows of an indexed table must be in order")
        return present, list(_by_chromosome(borders[: len(present) + 1], window, start, n_rows))


def _by_chromosome(
    borders: Sequence[int], window: Indices, start: Offsets, n_rows: Indices
) -> Iterator[_Reference]:
    """Cut at the chromosomes; a window that lies in two pieces becomes one."""
    for i in range(len(borders) - 1):
        rows = slice(borders[i], borders[i + 1])
        distinct, first = np.unique(window[rows], return_index=True)
        offsets = np.append(start[rows][first], start[borders[i + 1]])
        yield _Reference(distinct, offsets, int(n_rows[rows].sum()))


def _bins(reference: _Reference, levels: int) -> tuple[Indices, Offsets]:
    """Return the bins of a chromosome, and their one chunk each (w, 2)."""
    first = ((1 << 3 * levels) - 1) // 7  # the number of bins above the lowest level
    return first + reference.window, np.column_stack((reference.start[:-1], reference.start[1:]))


def _summary(reference: _Reference, levels: int) -> tuple[int, tuple[int, int, int, int]]:
    """Return the bin that is none: where the chromosome lies in the file, how many rows it has."""
    number = ((1 << 3 * (levels + 1)) - 1) // 7 + 1
    return number, (int(reference.start[0]), int(reference.start[-1]), reference.n_rows, 0)


def _tbi_reference(reference: _Reference) -> bytes:
    """Bins with their chunks, then where the rows from each window on begin."""
    bins, chunks = _bins(reference, _TBI_LEVELS)
    layout = np.dtype([("bin", "<u4"), ("n_chunks", "<i4"), ("chunk", "<u8", (2,))])
    records = np.empty(bins.size, dtype=layout)
    records["bin"], records["n_chunks"], records["chunk"] = bins, 1, chunks
    number, values = _summary(reference, _TBI_LEVELS)
    # A window without rows points to the next that has some.
    n_windows = int(reference.window[-1]) + 1
    linear = reference.start[np.searchsorted(reference.window, np.arange(n_windows))]
    return b"".join(
        (
            struct.pack("<i", bins.size + 1),
            records.tobytes(),
            struct.pack("<Ii4Q", number, 2, *values),
            struct.pack("<i", n_windows),
            linear.astype("<u8").tobytes(),
        )
    )


def _csi_reference(reference: _Reference) -> bytes:
    """Bins with where their rows begin, and their chunks."""
    bins, chunks = _bins(reference, _CSI_LEVELS)
    fields = [("bin", "<u4"), ("first", "<u8"), ("n_chunks", "<i4"), ("chunk", "<u8", (2,))]
    records = np.empty(bins.size, dtype=np.dtype(fields))
    records["bin"], records["first"] = bins, chunks[:, 0]
    records["n_chunks"], records["chunk"] = 1, chunks
    number, values = _summary(reference, _CSI_LEVELS)
    return b"".join(
        (
            struct.pack("<i", bins.size + 1),
            records.tobytes(),
            struct.pack("<IQi4Q", number, 0, 2, *values),
        )
    )
