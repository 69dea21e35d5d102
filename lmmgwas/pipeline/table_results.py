"""A table of results that was read again: its rows in drawing order, and what was found in it."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.read_sumstats import SummaryTable
from lmmgwas.io.sumstats import NOT_GIVEN
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.leads import Loci

UNKNOWN = ("", ".", "NA", NOT_GIVEN)
"""Cells that say nothing."""

Indices = NDArray[np.int64]

_LAST = {"X": 1, "Y": 2, "MT": 3, "0": 4}
_MANY = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class TableRows:
    """The rows of a table in drawing order. Arrays are (m,)."""

    names: tuple[str, ...]  # of the chromosomes, in drawing order
    chrom: NDArray[np.int64]  # index into names
    pos: NDArray[np.int64]
    neg_log10_p: NDArray[np.float64]
    row: NDArray[np.int64]  # in the table


@dataclass(frozen=True, slots=True, eq=False)
class TableResults:
    """A table that was read, and what was found in it."""

    table: SummaryTable
    rows: TableRows
    loci: Loci
    lead_cells: list[list[str]]  # of the leads, by the table's header
    title: str
    n_samples: int  # 0 where the table does not say
    chrom_names: tuple[str, ...]  # as they are shown
    lines: tuple[float, float]  # threshold and suggestive p

    @property
    def significant(self) -> list[tuple[int, int, float, str]]:
        """The leads that pass the threshold: chromosome (index), position, -log10 p, name."""
        places = self.loci.rows[: self.loci.n_below]
        rows = self.rows
        return list(
            zip(
                rows.chrom[places].tolist(),
                rows.pos[places].tolist(),
                rows.neg_log10_p[places].tolist(),
                names_of(self.table, rows, places, self.lead_cells[: places.size]),
                strict=True,
            )
        )


def names_of(
    table: SummaryTable, rows: TableRows, places: Indices, cells: list[list[str]]
) -> tuple[str, ...]:
    """Return what rows (in drawing order) are called: their ID, or their place.

    `cells` are theirs, by the table's header.
    """
    columns = [table.header.index(name) for name in ("marker_id", "rsid") if name in table.header]
    at = zip(rows.chrom[places].tolist(), rows.pos[places].tolist(), strict=True)
    names = []
    for fields, (chrom, pos) in zip(cells, at, strict=True):
        known = [fields[k] for k in columns if fields[k] not in UNKNOWN]
        names.append(known[0] if known else f"{rows.names[chrom]}:{pos}")
    return tuple(names)


def is_human_table(karyotype: Karyotype, labels: tuple[str, ...], last: int) -> bool:
    """As the user says; otherwise by the largest number, which is `last` in human tables."""
    if karyotype.stated:
        return karyotype.is_human
    return max((_number(label) for label in labels), default=0) <= last


def _number(label: str) -> int:
    """The number of a chromosome, 0 where its label is none."""
    return int(label) if re.fullmatch(r"[0-9]{1,9}", label) else 0


def arrange(table: SummaryTable) -> TableRows:
    """Sort by chromosome and position: numbers first, then names, then X, Y, MT and unplaced.

    Names keep the order of a table that is sorted already, as ours are.
    """
    labels = table.labels
    by_number = [_number(label) or _MANY for label in labels]
    step = np.diff(table.chrom)
    in_order = bool(((step > 0) | ((step == 0) & (np.diff(table.pos) >= 0))).all())
    if in_order and by_number == sorted(by_number):
        order = list(range(len(labels)))
    else:
        in_order = False
        order = sorted(
            range(len(labels)), key=lambda k: (by_number[k], _LAST.get(labels[k], 0), labels[k])
        )
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels))
    chrom = place[table.chrom]
    names = tuple(labels[k] for k in order)
    if in_order:
        return TableRows(names, chrom, table.pos, table.neg_log10_p, np.arange(len(table)))
    row = np.lexsort((table.pos, chrom))  # stable
    return TableRows(names, chrom[row], table.pos[row], table.neg_log10_p[row], row)
