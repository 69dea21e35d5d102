"""Whether results and temporary files fit on the disk: asked before the work.

What is asked is the free space of the file systems; a quota is not seen.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lmmgwas.errors import FileAccessError
from lmmgwas.pipeline.memory_check import gibibytes

_PLOT_BYTES = 400_000
_ROW_BYTES = 36  # of a row of the table, packed, without the variant's own text
_TEXT_SHARE = 0.6  # of ID and alleles: what packing leaves of random digits
_RECORD_BYTES = 48  # of a variant and trait, for plots and leads
_FLOAT, _DOUBLE = 4, 8


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Files that a run writes into a folder."""

    folder: Path
    size: int  # bytes
    what: str


def table_bytes(n_variants: int, text_bytes: int) -> int:
    """Return the packed bytes of a table of m variants, whose IDs and alleles have so many."""
    return int(n_variants * _ROW_BYTES + _TEXT_SHARE * text_bytes)


def study_needs(
    out: Path,
    tmpdir: Path | None,
    n_traits: int,
    n_variants: int,
    text_bytes: int,
    n_plots: int,
) -> list[DiskNeed]:
    """Return what an association run writes besides the GRM.

    Finished groups are kept until the tables are whole: their rows, and the records that plots
    and leads are made of.
    """
    beside, temporary = out.parent, tmpdir or out.parent
    table = table_bytes(n_variants, text_bytes)
    records = n_variants * _RECORD_BYTES
    return [
        DiskNeed(beside, n_traits * table, "tables"),
        DiskNeed(beside, n_traits * n_plots * _PLOT_BYTES, "plots"),
        DiskNeed(beside, n_traits * (table + records), "finished groups, until the end"),
        DiskNeed(temporary, n_traits * records, "records for the plots, until the end"),
    ]


def grm_needs(
    folder: Path, n: int, n_groups: int, *, pairwise: bool, eigen: bool, what: str
) -> list[DiskNeed]:
    """Return what a GRM set of n samples takes: triangles, and decompositions if they are kept."""
    triangle = n * (n + 1) // 2 * _FLOAT
    parts = (n_groups + 1) * (2 if pairwise else 1) + (0 if pairwise else 1)
    needs = [DiskNeed(folder, parts * triangle, what)]
    if eigen:
        size = (n_groups + 1) * (n + 1) * n * _DOUBLE
        needs.append(DiskNeed(folder, size, "decompositions"))
    return needs


def require_space(needs: Sequence[DiskNeed], *, there: int = 0) -> None:
    """Raise FileAccessError (E118) where a file system has less room than it will be given.

    `there` are bytes of a run that is resumed, which need no room any more.
    """
    by_system: dict[int, list[DiskNeed]] = {}
    for need in needs:
        folder = _existing(need.folder)
        by_system.setdefault(folder.stat().st_dev, []).append(need)
    for group in by_system.values():
        folder = _existing(group[0].folder)
        wanted, free = sum(need.size for need in group) - there, shutil.disk_usage(folder).free
        if wanted > free:
            largest = sorted(group, key=lambda need: -need.size)
            listed = ", ".join(f"{gibibytes(n.size)} {n.what}" for n in largest if n.size)
            raise FileAccessError(
                "E118",
                f"not enough room on the disk: the run writes about {gibibytes(wanted)} ({listed}) "
                f"and {gibibytes(free)} are free: make room, or choose another --out or --tmpdir; "
                "nothing was begun",
                str(folder),
            )


def free_bytes(folder: Path) -> int:
    """Return what is free on the file system of a folder."""
    return shutil.disk_usage(_existing(folder)).free


def bytes_of(folder: Path) -> int:
    """Return the bytes of all files in a folder and below."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            total += path.lstat().st_size
    return total


def _existing(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    folder = folder.resolve()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
