"""How a GRM is summed: in row tiles of the lower triangle, chromosome by chromosome.

    S_c = sum over the variants of group c of z z'

A row tile is rows first, first + 1, ... of the lower triangle. Tiles are a function of the number
of samples alone, whoever sums them, so that one process and a hundred write the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.kernels import add_weighted, add_weighted_product, move_lower, pack_rows
from lmmgwas.numerics.linalg import add_trapezoid_in_place
from lmmgwas.numerics.parallel import over_triangle

Array = NDArray[np.float64]
Packed = NDArray[np.float32]

GRM_TILE = 512
"""Variants in one tile of the fixed grid; a tile is one BLAS call, or two."""

MAX_ROWS = 8192
"""Most rows of a row tile: a chromosome of 20,000 samples is three pieces of work."""

_TILES_PER_FLUSH = 16
"""Tiles summed in float32 before they go to float64: keeps the error of a sum over 500,000
variants below 1e-6 of the mean diagonal, at few passes over the matrix."""


@dataclass(frozen=True, slots=True)
class RowTile:
    """Rows first <= i < last of a lower triangle that is packed row by row with its diagonal."""

    first: int
    last: int

    @property
    def height(self) -> int:
        """How many rows it has."""
        return self.last - self.first

    @property
    def start(self) -> int:
        """Where its values begin in the packed triangle."""
        return self.first * (self.first + 1) // 2

    @property
    def n_values(self) -> int:
        """How many values it has, packed."""
        return self.last * (self.last + 1) // 2 - self.start


def row_tiles(n_samples: int) -> tuple[RowTile, ...]:
    """Return the row tiles of a matrix: as few as MAX_ROWS allows, of like height."""
    n_tiles = max(1, -(-n_samples // MAX_ROWS))
    ends = [n_samples * k // n_tiles for k in range(n_tiles + 1)]
    return tuple(RowTile(a, b) for a, b in pairwise(ends))


class GrmSum:
    """S_c of a row tile, tile by tile: BLAS in float32, sums over tiles in float64.

    Two matrices (height, last) are alive, whatever the number of variants.
    """

    def __init__(self, rows: RowTile, threads: int = 1) -> None:
        self.rows = rows
        self._single = np.zeros((rows.height, rows.last), dtype=np.float32)
        self.total = np.zeros((rows.height, rows.last))  # lower trapezoid; read it after `flush`
        self._threads = threads
        self._pending = 0

    def add(self, tile: NDArray[np.float32]) -> None:
        """Add Z Z' of a tile (T, n)."""
        add_trapezoid_in_place(tile, self.rows.first, self._single)
        self._pending += 1
        if self._pending == _TILES_PER_FLUSH:
            self.flush()

    def flush(self) -> None:
        """Move what was summed in float32 to the float64 total."""
        if self._pending:
            work = partial(move_lower, self.rows.first, self._single, self.total)
            over_triangle(self.rows.last, self._threads, work, self.rows.first)
            self._pending = 0

    def packed(self, counts: "GrmSum | int") -> Packed:
        """Return the sum over counts, of pairs or of all alike, packed."""
        divisor = np.full((1, 1), float(counts)) if isinstance(counts, int) else counts.total
        out = np.empty(self.rows.n_values, dtype=np.float32)
        work = partial(_pack, self.rows.first, self.total, divisor, out)
        over_triangle(self.rows.last, self._threads, work, self.rows.first)
        return out

    def clear(self) -> None:
        """Begin the next group."""
        self.total[:] = 0.0


def _pack(first: int, values: Array, divisor: Array, out: Packed, chunk: tuple[int, int]) -> None:
    pack_rows(first, values, divisor, chunk, out)


@dataclass(frozen=True, slots=True, eq=False)
class GroupRows:
    """A row tile of a group's mean over its variants, as it is written."""

    rows: RowTile
    values: Packed  # (rows.n_values,)
    counts: Packed | None  # of variants that each pair has jointly, for `pairwise`
    products: Array  # (height,) that the sum must have, as `grm_check` has them
    count_products: Array | None  # the same of the counts


class WholeSum:
    """The sum over all groups of a row tile, from the groups as they are written."""

    def __init__(self, rows: RowTile, threads: int = 1, *, pairwise: bool = False) -> None:
        self.rows = rows
        self.products = np.zeros(rows.height)
        self.count_products = np.zeros(rows.height) if pairwise else None
        self._values = np.zeros(rows.n_values)
        self._counts = np.zeros(rows.n_values) if pairwise else None
        self._threads = threads

    def add(self, group: GroupRows, n_variants: int) -> None:
        """Add a group's mean times its count of variants, or the counts of its pairs."""
        self.products += group.products
        if self._counts is None or group.counts is None:
            weight = float(n_variants)
            work = partial(_add, self.rows.first, group.values, weight, self._values)
            over_triangle(self.rows.last, self._threads, work, self.rows.first)
            return
        if self.count_products is not None and group.count_products is not None:
            self.count_products += group.count_products
        add_weighted_product(group.values, group.counts, self._values, self._counts)

    def means(self, n_variants: int) -> GroupRows:
        """Return the mean over all groups."""
        if self._counts is None:
            values = self._quotient(float(n_variants))
            return GroupRows(self.rows, values, None, self.products, None)
        divided = np.zeros_like(self._values)
        np.divide(self._values, self._counts, out=divided, where=self._counts > 0.0)
        counts = self._counts.astype(np.float32)
        return GroupRows(
            self.rows, divided.astype(np.float32), counts, self.products, self.count_products
        )

    def _quotient(self, divisor: float) -> Packed:
        out = np.empty(self._values.size, dtype=np.float32)
        if divisor == 0.0:
            out[:] = 0.0
            return out
        for part in _stretches(out.size):
            out[part] = self._values[part] / divisor
        return out


def _add(first: int, values: Packed, weight: float, total: Array, chunk: tuple[int, int]) -> None:
    add_weighted(first, values, weight, chunk, total)


def _stretches(size: int, at_once: int = 1 << 20) -> Iterator[slice]:
    """Stretches of a long array, so that temporaries stay small."""
    for start in range(0, size, at_once):
        yield slice(start, min(start + at_once, size))
