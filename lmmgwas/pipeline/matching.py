"""The rows of a table brought to the samples of the .fam, by ID; how far the two overlap."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import MismatchError
from lmmgwas.io.columns import NumericColumn, TextColumn
from lmmgwas.io.tables import Table, read_table
from lmmgwas.pipeline.id_causes import likely_cause
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import TableOptions

Mask = NDArray[np.bool_]

_LOW_OVERLAP = 0.5
_PARTIAL_OVERLAP = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class JoinedTable:
    """A table whose columns are brought to the order of the .fam (N samples)."""

    table: Table
    row_of: NDArray[np.int64]  # (N,) row of the table, -1 where it has none
    n_strangers: int  # rows of the table that are not in the genotypes

    @property
    def present(self) -> Mask:
        """Which samples (N,) the table lists."""
        return self.row_of >= 0

    def numeric(self, column: NumericColumn) -> NDArray[np.float64]:
        """Return a column (N,), NaN where missing or not listed."""
        return np.where(self.present, column.values[self.row_of], np.nan)

    def text(self, column: TextColumn) -> list[str | None]:
        """Return a column (N,), None where missing or not listed."""
        return [column.values[row] if row >= 0 else None for row in self.row_of.tolist()]


def join_table(
    path: Path, options: TableOptions, genotypes: Genotypes, log: Logbook, what: str
) -> JoinedTable:
    """Read a table and find the .fam row of each of its rows."""
    table = read_table(path, options.header)
    if not options.header and path == options.covar != options.pheno:
        # Columns without names are V1, V2, ...; those of two files must not be called the same.
        table = replace(
            table, columns={f"C{k}": c for k, c in enumerate(table.columns.values(), 1)}
        )
    for note in table.remarks.notes:
        log.say(f"Note: {note}")
    for warning in table.remarks.warnings:
        log.warn("W401", warning)
    rows = genotypes.index.rows(table.fid, table.iid, table.path)
    _check_overlap(rows, table, genotypes, log, what)
    row_of = np.full(len(genotypes.samples), -1, dtype=np.int64)
    listed = np.flatnonzero(rows >= 0)
    row_of[rows[listed]] = listed
    return JoinedTable(table, row_of, int((rows < 0).sum()))


def _check_overlap(
    rows: NDArray[np.int64], table: Table, genotypes: Genotypes, log: Logbook, what: str
) -> None:
    """Refuse a table that shares no sample with the genotypes; warn where it shares few."""
    n_matched, n_rows, n_samples = int((rows >= 0).sum()), len(table), len(genotypes.samples)
    share = n_matched / min(n_rows, n_samples)
    if share >= _PARTIAL_OVERLAP:
        return
    ours = examples_of(genotypes.samples.fid, genotypes.samples.iid)
    theirs = examples_of(table.fid, table.iid)
    text = (
        f"{n_matched} of {n_rows} samples of the {what} {table.path} are among the {n_samples} of "
        "the genotypes"
    )
    examples = f"genotypes have {ours}; the table has {theirs}"
    if share >= _LOW_OVERLAP:
        log.warn("W305", text, samples=examples)
        return
    cause = likely_cause(genotypes.samples, table.fid, table.iid)
    if n_matched == 0:
        raise MismatchError("E304", f"{text}; {examples}; {cause}")
    log.warn("W304", f"{text}; {cause}", samples=examples)


def examples_of(fid: Sequence[str] | None, iid: Sequence[str]) -> str:
    """Return the first three IDs, for a message."""
    first = zip((fid or [""] * len(iid))[:3], iid[:3], strict=True)
    shown = [f"{f or '0'} {i}" if fid is not None else i for f, i in first]
    return ", ".join(repr(text) for text in shown)


def strangers(joined: JoinedTable) -> tuple[tuple[str, str], ...]:
    """IDs of the rows that are not in the genotypes."""
    known = set(joined.row_of.tolist())
    table = joined.table
    return tuple(
        (table.fid[k] if table.fid is not None else "", table.iid[k])
        for k in range(len(table))
        if k not in known
    )
