"""The GRM divided: cells of a chromosome and a row tile, each a file, and how they come together.

Cells are a function of the genotypes and the number of samples; a share of them is one of N
parts. Whoever sums a cell writes the same bytes.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError, MismatchError
from lmmgwas.io.shards import DamagedShardError, Shard, ShardWriter
from lmmgwas.model.genotypes import Variants
from lmmgwas.model.grm_sum import GroupRows, RowTile, row_tiles
from lmmgwas.pipeline.grm_sums import GrmTask, GroupSummer, SummedGroup
from lmmgwas.pipeline.logbook import Progress
from lmmgwas.pipeline.options import Share


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A row tile of a group."""

    place: int  # of the group, in output order
    tile: int

    @property
    def file_name(self) -> str:
        """The name of its shard."""
        return f"grm.{self.place:05d}.{self.tile:03d}.shard"


def all_cells(variants: Variants, n_samples: int) -> list[Cell]:
    """Return the cells of a GRM, in order."""
    n_tiles = len(row_tiles(n_samples))
    return [Cell(place, tile) for place in range(len(variants.groups())) for tile in range(n_tiles)]


def share_of_cells(variants: Variants, n_samples: int, share: Share) -> list[Cell]:
    """Return the cells whose middle lies in a share, by variants times values."""
    tiles = row_tiles(n_samples)
    groups = variants.groups()
    sizes = [len(variants.in_group(group)) for group in groups]
    work = [size * tile.n_values for size in sizes for tile in tiles]
    total, done, found = sum(work), 0, []
    for cell, own in zip(all_cells(variants, n_samples), work, strict=True):
        if (2 * done + own) * share.n_parts // (2 * total) == share.part - 1:
            found.append(cell)
        done += own
    return found


def sum_cells(
    task: GrmTask, cells: Sequence[Cell], folder: Path, key: str, progress: Progress
) -> None:
    """Sum cells that are not there yet, a group at a time, into shards of a folder."""
    tiles = row_tiles(task.genotypes.kept.size)
    left = sorted(cell for cell in cells if not _is_sound(folder / cell.file_name, key))
    by_tiles: dict[tuple[int, ...], list[int]] = {}
    for place, own in groupby(left, key=lambda cell: cell.place):
        by_tiles.setdefault(tuple(cell.tile for cell in own), []).append(place)
    for wanted, places in by_tiles.items():
        summer = GroupSummer(task, [tiles[k] for k in wanted])
        for place in places:
            summed = summer.sum(task.variants.groups()[place], progress)
            for tile, rows in zip(wanted, summed.rows, strict=True):
                _keep(folder / Cell(place, tile).file_name, key, rows, summed.used)


def _keep(path: Path, key: str, rows: GroupRows, used: NDArray[np.int64]) -> None:
    """Commit a cell."""
    arrays: list[NDArray[Any]] = [rows.values, rows.products, used]
    if rows.counts is not None and rows.count_products is not None:
        arrays += [rows.counts, rows.count_products]
    writer = ShardWriter(path, key)
    with contextlib.closing(writer):
        for array in arrays:
            writer.add_array(array)
        writer.commit({"first": rows.rows.first, "last": rows.rows.last})


def _is_sound(path: Path, key: str) -> bool:
    try:
        Shard.open(path, key)
    except (DamagedShardError, OSError, ValueError, KeyError):
        path.unlink(missing_ok=True)
        return False
    return True


class CellFolders:
    """Cells in one or more folders, as the groups that they make up."""

    def __init__(self, task: GrmTask, folders: Sequence[Path], key: str) -> None:
        self._task = task
        self._folders = tuple(folders)
        self._key = key
        self._tiles = row_tiles(task.genotypes.kept.size)

    def group(self, name: str) -> SummedGroup:
        """Return a group's rows, mapped.

        Raises MismatchError (E123) for a cell that no part has, FileAccessError (E122) for one
        that is damaged.
        """
        place = self._task.variants.groups().index(name)
        rows, used = [], np.empty(0, dtype=np.int64)
        for k, tile in enumerate(self._tiles):
            path = self._find(Cell(place, k), name)
            try:
                own, used = _open(path, self._key, tile)
            except (DamagedShardError, OSError, ValueError, KeyError) as error:
                raise FileAccessError(
                    "E122", f"{path} is damaged ({error}): run its part again with --overwrite"
                ) from error
            rows.append(own)
        return SummedGroup(tuple(rows), used)

    def _find(self, cell: Cell, name: str) -> Path:
        for folder in self._folders:
            if (folder / cell.file_name).exists():
                return folder / cell.file_name
        raise MismatchError(
            "E123",
            f"no part has rows {self._tiles[cell.tile].first + 1} to "
            f"{self._tiles[cell.tile].last} of chromosome {name}: run the parts again with "
            "--overwrite",
        )


def _open(path: Path, key: str, tile: RowTile) -> tuple[GroupRows, NDArray[np.int64]]:
    """Verify and map a cell."""
    shard = Shard.open(path, key)
    if (shard.closing["first"], shard.closing["last"]) != (tile.first, tile.last):
        raise DamagedShardError("it has other rows")
    kinds = ("<f4", "<f8", "<i8", "<f4", "<f8")
    found = [
        shard.mapped(k, np.dtype(kind), (int(shard.index[k, 0]),))
        for k, kind in zip(range(len(shard.index)), kinds, strict=False)
    ]
    values, products, used, *counts = found
    joint, count_products = counts if counts else (None, None)
    return GroupRows(tile, values, joint, products, count_products), np.array(used)
