"""Summing the GRM of a chromosome, for some or all row tiles of the triangle.

The variants go by tiles of the fixed grid: the next ones are read and filled while BLAS works on
this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.blocks import block_stats, fill_block, observed
from lmmgwas.model.genotypes import Variants, calls_of, read_tile
from lmmgwas.model.grm import kept_in_grm, variant_scale
from lmmgwas.model.grm_check import SumCheck, observed_values, scaled_values
from lmmgwas.model.grm_sum import GRM_TILE, GrmSum, GroupRows, RowTile
from lmmgwas.numerics.parallel import ordered_map
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.logbook import Progress
from lmmgwas.pipeline.options import GrmOptions

Array = NDArray[np.float64]

_TILES_AHEAD = 3  # read and filled before they are summed


@dataclass(frozen=True, slots=True, eq=False)
class GrmTask:
    """What is to be summed: which variants, over which samples, how."""

    genotypes: Genotypes
    variants: Variants  # chosen, autosomal, in output order
    options: GrmOptions
    block_size: int
    threads: int


@dataclass(frozen=True, slots=True, eq=False)
class SummedGroup:
    """The rows of a group's mean, and what went into it."""

    rows: tuple[GroupRows, ...]  # by row tile, in order
    used: NDArray[np.int64]  # rows of the .bim that took part


@dataclass(frozen=True, slots=True, eq=False)
class _Tile:
    """A tile of the fixed grid; rows that take no part are zero."""

    values: NDArray[np.float32]  # (GRM_TILE, n) of Z'
    observed: NDArray[np.float32]  # (GRM_TILE, n) 1 where a call is there, for `pairwise`
    products: list[Array]  # by row tile: (height,) that the tile adds to the check of the sum
    observed_products: list[Array]  # the same of `observed`
    used: NDArray[np.int64]  # rows of the .bim that take part
    n_read: int


class _Rows:
    """The sums of a row tile, held against products that come from the calls themselves."""

    def __init__(self, rows: RowTile, threads: int, *, pairwise: bool) -> None:
        self.values = GrmSum(rows, threads)
        self.counts = GrmSum(rows, threads) if pairwise else None
        self.check = SumCheck(rows)
        self.counts_check = SumCheck(rows)
        self._threads = threads

    def close(self, group: str, n_variants: int) -> GroupRows:
        """End a group: return its means, and begin the next.

        Raises NumericalError (E903) for sums that are not those of the calls.
        """
        self.values.flush()
        counts = count_products = None
        if self.counts is not None:
            self.counts.flush()
            counts = self.counts.packed(1)
            count_products = self.counts_check.close_group(group, counts, None, 1, self._threads)
        values = self.values.packed(n_variants if self.counts is None else self.counts)
        products = self.check.close_group(group, values, counts, n_variants, self._threads)
        self.values.clear()
        if self.counts is not None:
            self.counts.clear()
        return GroupRows(self.values.rows, values, counts, products, count_products)


class GroupSummer:
    """Sums groups, one after the other, in the same memory."""

    def __init__(self, task: GrmTask, tiles: Sequence[RowTile]) -> None:
        self._task = task
        pairwise = task.options.pairwise
        self._rows = [_Rows(rows, task.threads, pairwise=pairwise) for rows in tiles]

    def sum(self, group: str, progress: Progress) -> SummedGroup:
        """Return the means of Z Z' over a group's variants."""
        variants = self._task.variants.in_group(group)
        used = [np.empty(0, dtype=np.int64)]
        starts = range(0, len(variants), GRM_TILE)

        def prepare(start: int) -> _Tile:
            return self._tile(variants, start)

        for tile in ordered_map(prepare, starts, 1, _TILES_AHEAD):
            self._add(tile)
            used.append(tile.used)
            progress.advance(tile.n_read)
        self._task.genotypes.source.check_unchanged()
        together = np.concatenate(used)
        rows = tuple(rows.close(group, together.size) for rows in self._rows)
        return SummedGroup(rows, together)

    def _add(self, tile: _Tile) -> None:
        for k, rows in enumerate(self._rows):
            rows.values.add(tile.values)
            rows.check.add(tile.products[k])
            if rows.counts is not None:
                rows.counts.add(tile.observed)
                rows.counts_check.add(tile.observed_products[k])

    def _tile(self, variants: Variants, start: int) -> _Tile:
        """Read a tile's calls, count them, and fill its rows in one pass.

        The products for the check come from the calls, not from the tile: a wrong tile shows.
        """
        task = self._task
        index = variants.source_index[start : start + GRM_TILE]
        kept_samples = task.genotypes.kept
        calls = calls_of(read_tile(task.genotypes.source, index, task.block_size), kept_samples)
        stats = block_stats(calls)
        kept = kept_in_grm(stats, task.options.filters)
        centre, scale = variant_scale(stats, task.options.model)
        scale[~kept] = 0.0
        tile = np.empty((GRM_TILE, kept_samples.size), dtype=np.float32)
        tile[len(calls) :] = 0.0
        fill_block(calls, centre, scale, tile)
        scaled = scaled_values(centre, scale)
        products = [rows.check.products(calls, scaled) for rows in self._rows]
        seen, seen_products = tile, products
        if task.options.pairwise:
            seen = np.zeros_like(tile)
            seen[: len(calls)][kept] = observed(calls[kept])
            values = observed_values(kept)
            seen_products = [rows.counts_check.products(calls, values) for rows in self._rows]
        return _Tile(tile, seen, products, seen_products, index[kept], index.size)
