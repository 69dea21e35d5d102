"""The index of a BGZF table by chromosome and position: .tbi and .csi, as htslib writes them.

It is made from what is known while the table is written; htslib would unpack and parse the
table again. Rows are in order of their first position, so each window of 16,384 positions is a
bin of the lowest level, in one stretch of the file (SAM specification, section 5; tabix and CSI
specifications). A row that reaches into later windows, as a long deletion in a VCF file does,
is in the smallest larger bin that holds it, too. Unknown positions (0) count as 1.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.bgzf import END, compress_blocks

Indices = NDArray[np.int64]
Offsets = NDArray[np.uint64]

TBI_LIMIT = 536_870_911
"""The last position that .tbi can hold."""

_WINDOW_BITS = 14
_TBI_LEVELS, _CSI_LEVELS = 5, 6  # up to 2^29 and 2^32 (new htslib takes 8 for a .csi)
GENERIC = (0, 1, 2, 2, ord("#"), 1)
"""A table: its kind, columns of chromosome, begin and end, the sign of a comment, lines to skip."""
VCF = (2, 1, 2, 0, ord("#"), 0)
"""A VCF file."""

_NOWHERE = np.uint64((1 << 64) - 1)


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
class Reaching:
    """Rows that reach into later windows than the one they begin in. Arrays are (r,)."""

    chrom: Indices
    first: Indices  # the window that a row begins in
    last: Indices  # the one it reaches
    start: Indices  # where the row begins, in the piece
    end: Indices  # where the next one does

    @classmethod
    def of(
        cls,
        chrom: NDArray[np.int32],
        pos: Indices,
        reach: Indices,
        starts: Indices,
        n_bytes: int,
    ) -> "Reaching":
        """Find them among rows (m,) of a piece, whose last positions are `reach`."""
        first = np.maximum(pos - 1, 0) >> _WINDOW_BITS
        last = np.maximum(reach - 1, 0) >> _WINDOW_BITS
        far = np.flatnonzero(last > first)
        ends = np.append(starts[1:], n_bytes)
        return cls(chrom[far].astype(np.int64), first[far], last[far], starts[far], ends[far])


Far = tuple[int, int, int, int]
"""A row that reaches further: first window, last window, where it begins and ends in the file."""


@dataclass(frozen=True, slots=True, eq=False)
class _Reference:
    """One chromosome: where its windows begin in the file, and where the last ends."""

    window: Indices  # (w,) ascending
    start: Offsets  # (w + 1,)
    n_rows: int
    far: Sequence[Far] = ()

    def linear(self) -> Offsets:
        """Return where the first row that overlaps each window begins.

        A window without rows points to the next that has some.
        """
        n_near = int(self.window[-1]) + 1
        linear = np.full(max([n_near, *(last + 1 for _, last, *_ in self.far)]), _NOWHERE)
        linear[:n_near] = self.start[np.searchsorted(self.window, np.arange(n_near))]
        for first, last, start, _ in self.far:
            linear[first + 1 : last + 1] = np.minimum(
                linear[first + 1 : last + 1], np.uint64(start)
            )
        return linear


class TabixIndex:
    """An index that grows with its table."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Windows, Offsets]] = []
        self._far: dict[int, list[Far]] = {}

    def add(self, windows: Windows, start: Offsets) -> None:
        """Note the next piece of the table; `start` (w,) are virtual offsets in the file."""
        self._pieces.append((windows, start))

    def add_reaching(self, rows: Reaching, start: Offsets, end: Offsets) -> None:
        """Note the rows of the piece that reach further; `start`, `end` (r,) in the file."""
        columns = [rows.chrom, rows.first, rows.last, start, end]
        for chrom, *far in zip(*(column.tolist() for column in columns), strict=True):
            self._far.setdefault(chrom, []).append((far[0], far[1], far[2], far[3]))

    def packed(
        self,
        names: Sequence[str],
        end: int,
        *,
        csi: bool,
        layout: tuple[int, int, int, int, int, int] = GENERIC,
    ) -> bytes:
        """Return the bytes of the .tbi or .csi file.

        `names` are those of the chromosomes by number; `end` is the virtual offset of the end
        of the last row. Raises ValueError where rows were not in order.
        """
        present, references = self._references(end)
        encoded = b"".join(names[k].encode() + b"\0" for k in present)
        table = struct.pack("<7i", *layout, len(encoded)) + encoded
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
        near = _by_chromosome(borders[: len(present) + 1], window, start, n_rows)
        far = (self._far.get(chromosome, []) for chromosome in present)
        return present, [replace(one, far=rows) for one, rows in zip(near, far, strict=True)]


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


def _far_bins(reference: _Reference, levels: int) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return the larger bins: (number, their first window), and the chunks of each."""
    bins: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for first, last, start, end in reference.far:
        level = levels
        while first >> 3 * (levels - level) != last >> 3 * (levels - level):
            level -= 1
        place = first >> 3 * (levels - level)
        number = ((1 << 3 * level) - 1) // 7 + place
        bins.setdefault((number, place << 3 * (levels - level)), []).append((start, end))
    return bins


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
    linear = reference.linear()
    larger = _far_bins(reference, _TBI_LEVELS)
    return b"".join(
        (
            struct.pack("<i", bins.size + len(larger) + 1),
            records.tobytes(),
            *(struct.pack("<Ii", k, len(c)) + _chunks(c) for (k, _), c in larger.items()),
            struct.pack("<Ii4Q", number, 2, *values),
            struct.pack("<i", linear.size),
            linear.astype("<u8").tobytes(),
        )
    )


def _chunks(chunks: list[tuple[int, int]]) -> bytes:
    return b"".join(struct.pack("<2Q", *chunk) for chunk in chunks)


def _csi_reference(reference: _Reference) -> bytes:
    """Bins with where their rows begin, and their chunks."""
    bins, chunks = _bins(reference, _CSI_LEVELS)
    fields = [("bin", "<u4"), ("first", "<u8"), ("n_chunks", "<i4"), ("chunk", "<u8", (2,))]
    records = np.empty(bins.size, dtype=np.dtype(fields))
    linear = reference.linear()
    larger = _far_bins(reference, _CSI_LEVELS)
    records["bin"], records["first"] = bins, linear[reference.window]
    records["n_chunks"], records["chunk"] = 1, chunks
    number, values = _summary(reference, _CSI_LEVELS)
    return b"".join(
        (
            struct.pack("<i", bins.size + len(larger) + 1),
            records.tobytes(),
            *(
                struct.pack("<IQi", k, int(linear[window]), len(c)) + _chunks(c)
                for (k, window), c in larger.items()
            ),
            struct.pack("<IQi4Q", number, 0, 2, *values),
        )
    )
