"""The files of one trait while the scan runs, and what is made of them when it is over.

Rows are formatted and compressed as they come; nothing accumulates in memory. What plots,
lambda and leads need later is spooled to disk, 48 bytes a variant.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError, NumericalError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.read_sumstats import as_written
from lmmgwas.io.row_text import VariantText
from lmmgwas.io.sumstats import (
    EXCLUDED_COLUMNS,
    BlockedTable,
    PackedRows,
    ResultRows,
    format_leads,
    format_rows,
    format_table,
    index_suffix,
    marker_ids,
    table_columns,
)
from lmmgwas.model.case_control import CaseControl
from lmmgwas.model.genotypes import KEPT, REASONS, Reason, Variants, VariantStats
from lmmgwas.model.leads import LEAD_WINDOW, find_loci
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.variant_tests import ScanResult
from lmmgwas.numerics.tails import lambda_gc
from lmmgwas.pipeline.options import RunOptions

Array = NDArray[np.float64]

RECORD = np.dtype(
    [
        ("row", "<i8"),  # place among the selected variants
        ("n_observed", "<i8"),
        ("beta", "<f8"),
        ("se", "<f8"),
        ("af", "<f8"),
        ("neg_log10_p", "<f8"),
    ]
)

_EXCLUDED_AT_ONCE = 1 << 16  # variants; bounds the memory that their text takes

NULL_COLUMNS = (
    "group",
    "n_variants_tested",
    "n_variants_grm",
    "n",
    "grm_scale",
    "h2",
    "h2_se",
    "sigma_g2",
    "sigma_e2",
    "loglik",
    "status",
    "lambda_gc",
    "p_h2",
)


@dataclass(frozen=True, slots=True)
class TraitFiles:
    """The final names of one trait's files."""

    run: RunOptions
    stem: str
    largest_position: int

    def _path(self, suffix: str) -> Path:
        return self.run.path(f".{self.stem}{suffix}")

    @property
    def table(self) -> Path:
        """Summary statistics."""
        return self._path(".tsv.gz")

    @property
    def index(self) -> Path:
        """Their index."""
        return self._path(f".tsv.gz{index_suffix(self.largest_position)}")

    @property
    def sidecar(self) -> Path:
        """GWAS-SSF metadata."""
        return self._path(".tsv.gz-meta.yaml")

    @property
    def excluded(self) -> Path:
        """Variants that are not tested."""
        return self._path(".excluded.tsv.gz")

    @property
    def leads(self) -> Path:
        """Lead variants."""
        return self._path(".leads.tsv")

    @property
    def null(self) -> Path:
        """Null models."""
        return self._path(".null.tsv")

    def plot(self, kind: str, suffix: str) -> Path:
        """A plot: `manhattan` or `qq`, `png` or `pdf`."""
        return self._path(f".{kind}.{suffix}")

    def data(self) -> list[Path]:
        """All but the plots."""
        return [self.table, self.index, self.sidecar, self.excluded, self.leads, self.null]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A line of the null table: a LOCO group, or `all`."""

    group: str
    n_tested: int
    n_grm: int | None
    n_samples: int
    null: NullModel
    lambda_gc: float

    def cells(self) -> list[object]:
        """The values of NULL_COLUMNS."""
        whole = self.group == "all"
        null = self.null
        return [
            self.group,
            self.n_tested,
            self.n_grm,
            self.n_samples,
            null.grm_scale,
            null.h2,
            null.h2_se,
            null.sigma_g2,
            null.sigma_e2,
            null.loglik,
            str(null.status),
            self.lambda_gc,
            null.p_h2 if whole and null.status != "fixed" else None,
        ]


@dataclass(frozen=True, slots=True, eq=False)
class TilePiece:
    """What a tile adds to a trait's files, as bytes."""

    rows: PackedRows
    excluded: PackedRows
    spool: bytes
    reasons: NDArray[np.int64]  # (len(REASONS),) how many are excluded by each
    n_perfect: int


class TraitOutput:
    """One trait's growing tables and its spool.

    `prepare` makes the bytes of a tile, in any thread and any order; `write` appends them.
    """

    def __init__(
        self,
        name: str,
        files: TraitFiles,
        outputs: OutputSet,
        spool: Path,
        coding: CaseControl | None,
        *,
        calibrated: bool = False,
    ) -> None:
        self.name = name
        self.coding = coding
        self.case_fraction = None if coding is None else coding.case_fraction
        self.files = files
        self.reasons = np.zeros(len(REASONS), dtype=np.int64)
        self.n_perfect = 0
        self.groups: list[GroupRow] = []
        self._n_closed = 0  # rows of the groups before
        self._spool_path = spool
        self._spool = spool.open("wb")
        columns = table_columns(self.case_fraction, computed=calibrated)
        self._table = BlockedTable(outputs.temporary(files.table), columns)
        self._excluded = BlockedTable(outputs.temporary(files.excluded), EXCLUDED_COLUMNS)
        self._outputs = outputs

    @property
    def n_tested(self) -> int:
        """Rows written so far."""
        return self._table.n_rows

    @property
    def n_excluded(self) -> int:
        """Variants excluded so far."""
        return int(self.reasons.sum())

    def exclude(self, variants: Variants, reason: Reason) -> None:
        """Put all of these variants into the excluded table."""
        for start in range(0, len(variants), _EXCLUDED_AT_ONCE):
            some = variants.take(slice(start, start + _EXCLUDED_AT_ONCE))
            reasons = np.full(len(some), REASONS.index(reason), dtype=np.int8)
            self._write_excluded(
                PackedRows.excluded(VariantText.of(some), reasons), _count(reasons)
            )

    def prepare(
        self,
        text: VariantText,
        first_row: int,
        variants: Variants,
        stats: VariantStats,
        reasons: NDArray[np.int8],
        result: ScanResult,
        exact: NDArray[np.bool_] | None = None,
    ) -> TilePiece:
        """Return the tests of b variants, or why there is none, as bytes. Arrays are (b,).

        `text` is that of the variants, `first_row` the place of the first among the selected
        ones. `exact` is given in a calibrated scan, and only there. Changes nothing here, so
        that threads may call it at the same time.

        Raises NumericalError (E901) for a row that cannot be right.
        """
        b = len(variants)
        reasons = np.where(
            (reasons == KEPT) & np.isnan(result.beta[:b]),
            np.int8(REASONS.index(Reason.COLLINEAR)),
            reasons,
        )
        tested = np.flatnonzero(reasons == KEPT)
        rows = ResultRows(
            variants.take(tested),
            result.beta[tested],
            result.se[tested],
            stats.af[tested],
            stats.n_observed[tested],
            result.neg_log10_p[tested],
            self.case_fraction,
            None if exact is None else exact[tested],
        )
        self._refuse_impossible(rows)
        return TilePiece(
            PackedRows.of(format_rows(text, tested, rows), rows.variants),
            PackedRows.excluded(text, reasons),
            _records(rows, first_row + tested),
            _count(reasons),
            int(result.perfect_fit[tested].sum()),
        )

    def write(self, piece: TilePiece) -> None:
        """Append what was prepared; pieces come in the order of the variants."""
        self._table.write(piece.rows)
        self._spool.write(piece.spool)
        self._write_excluded(piece.excluded, piece.reasons)
        self.n_perfect += piece.n_perfect

    def _refuse_impossible(self, rows: ResultRows) -> None:
        """A row that cannot be right ends the run before it is written."""
        sound = (
            np.isfinite(rows.beta)
            & (rows.se > 0.0)
            & np.isfinite(rows.se)
            & (rows.neg_log10_p >= 0.0)
            & np.isfinite(rows.neg_log10_p)
            & (rows.af >= 0.0)
            & (rows.af <= 1.0)
        )
        if not sound.all():
            first = int(np.flatnonzero(~sound)[0])
            marker = marker_ids(rows.variants.take([first]))[0]
            raise NumericalError(
                "E901",
                f"trait {self.name}, variant {marker}: beta {rows.beta[first]:g}, standard error "
                f"{rows.se[first]:g}, -log10 p {rows.neg_log10_p[first]:g} cannot be right; "
                "please report this with the log",
            )

    def _write_excluded(self, rows: PackedRows, counts: NDArray[np.int64]) -> None:
        self._excluded.write(rows)
        self.reasons += counts

    def close_group(self, group: str, null: NullModel, n_grm: int | None, n_samples: int) -> None:
        """Note the null model of a group whose tests are complete."""
        self._spool.flush()
        tested = self.records()["neg_log10_p"][self._n_closed :]
        self._n_closed += tested.size
        self.groups.append(
            GroupRow(group, tested.size, n_grm, n_samples, null, lambda_gc(np.asarray(tested)))
        )

    def finish_tables(self) -> None:
        """Close and index the tables."""
        self._spool.close()
        self._table.close()
        self._excluded.close()
        index = self._outputs.temporary(self.files.index)
        csi = self.files.index.suffix == ".csi"
        self._table.write_index(index, csi=csi)

    def close(self) -> None:
        """Let go of all files; after `finish_tables` there is nothing left to do."""
        for stream in (self._spool, self._table, self._excluded):
            with contextlib.suppress(OSError, FileAccessError):
                stream.close()

    def finish_null(self, whole: NullModel, n_grm: int | None, n_samples: int) -> GroupRow:
        """Write the null table, its last row the whole-genome fit; return that row."""
        everything = lambda_gc(np.asarray(self.records()["neg_log10_p"]))
        last = GroupRow("all", self.n_tested, n_grm, n_samples, whole, everything)
        cells = [row.cells() for row in (*self.groups, last)]
        self._outputs.write_text(self.files.null, format_table(NULL_COLUMNS, cells))
        return last

    def records(self) -> NDArray[np.void]:
        """The spooled results, mapped."""
        if self._spool_path.stat().st_size == 0:
            return np.empty(0, dtype=RECORD)
        return np.memmap(self._spool_path, dtype=RECORD, mode="r")

    def write_leads(self, selected: Variants, threshold: float) -> "Leads":
        """Write the leads table; return its rows."""
        leads = find_leads(self.records(), selected, threshold, self.case_fraction)
        text = format_leads(leads.rows, leads.n_variants.tolist(), LEAD_WINDOW)
        self._outputs.write_text(self.files.leads, text)
        return leads


def _count(reasons: NDArray[np.int8]) -> NDArray[np.int64]:
    """How many variants there are of each reason."""
    return np.bincount(reasons[reasons != KEPT], minlength=len(REASONS)).astype(np.int64)


def _records(rows: ResultRows, places: NDArray[np.int64]) -> bytes:
    """What is spooled of rows at these places among the selected variants."""
    records = np.empty(len(rows.variants), dtype=RECORD)
    records["row"] = places
    for name in ("n_observed", "beta", "se", "af", "neg_log10_p"):
        records[name] = getattr(rows, name)
    return records.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Leads:
    """The lead variant of each locus, most significant first."""

    rows: ResultRows
    n_variants: NDArray[np.int64]  # (k,) variants below the threshold in each locus
    n_below: int  # how many of them pass the threshold


def find_leads(
    records: NDArray[np.void],
    selected: Variants,
    threshold: float,
    case_fraction: float | None = None,
) -> Leads:
    """Return the lead of each locus below the threshold, or of the ten best loci.

    By the p-values as the table has them: variants that it shows as equal are equal here, too,
    whatever the rounding of the last bits on this machine.
    """
    tested = selected.take(np.asarray(records["row"]))
    neg_log10_p = as_written(np.asarray(records["neg_log10_p"]))
    loci = find_loci(tested.chrom, tested.pos, neg_log10_p, threshold)
    picked = records[loci.rows]
    rows = ResultRows(
        tested.take(loci.rows),
        picked["beta"],
        picked["se"],
        picked["af"],
        picked["n_observed"],
        picked["neg_log10_p"],
        case_fraction,
    )
    return Leads(rows, loci.n_variants, loci.n_below)
