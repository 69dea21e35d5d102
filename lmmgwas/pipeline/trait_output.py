"""The files of one trait, put together from the shards of its groups.

Rows were formatted and compressed as they came; here they are appended in the order of the
groups. What plots, lambda and leads need is spooled to disk, 48 bytes a variant.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.read_sumstats import as_written
from lmmgwas.io.sumstats import (
    EXCLUDED_COLUMNS,
    BlockedTable,
    ResultRows,
    format_leads,
    format_table,
    index_suffix,
    table_columns,
)
from lmmgwas.io.text import access_error
from lmmgwas.io.writing import write_error
from lmmgwas.model.genotypes import REASONS, Variants
from lmmgwas.model.leads import LEAD_WINDOW, find_loci
from lmmgwas.model.null_model import NullModel
from lmmgwas.numerics.tails import lambda_gc
from lmmgwas.pipeline.group_shards import GroupShard
from lmmgwas.pipeline.options import RunOptions
from lmmgwas.pipeline.trait_rows import RECORD, TilePiece, TraitRows

Array = NDArray[np.float64]

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
    def parquet(self) -> Path:
        """The table again, as Parquet."""
        return self._path(".parquet")

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

    def region(self, place: str, suffix: str) -> Path:
        """The regional plot of a lead at `place` (see `region_files`), `png` or `pdf`."""
        return self._path(f".region.{place}.{suffix}")

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


class TraitOutput:
    """One trait's tables and its spool."""

    def __init__(self, rows: TraitRows, files: TraitFiles, outputs: OutputSet, spool: Path) -> None:
        self.name = rows.name
        self.coding = rows.coding
        self.case_fraction = rows.case_fraction
        self.files = files
        self.reasons = np.zeros(len(REASONS), dtype=np.int64)
        self.n_perfect = 0
        self.n_tested = 0
        self.groups: list[GroupRow] = []
        self._calibrated = rows.calibrated
        self._spool_path = spool
        self._outputs = outputs

    @property
    def n_excluded(self) -> int:
        """Variants excluded."""
        return int(self.reasons.sum())

    def gather(self, groups: Sequence[GroupShard], trait: int, n_samples: int) -> None:
        """Write tables, index and spool from the finished groups, in output order.

        `trait` is the place of this trait in its analysis.
        """
        columns = table_columns(self.case_fraction, computed=self._calibrated)
        table = BlockedTable(self._outputs.temporary(self.files.table), columns)
        excluded = BlockedTable(self._outputs.temporary(self.files.excluded), EXCLUDED_COLUMNS)
        with contextlib.closing(table), contextlib.closing(excluded), self._open_spool() as spool:
            for group in groups:
                values = []
                for piece in group.pieces(trait):
                    table.write(piece.rows)
                    excluded.write(piece.excluded)
                    spool.write(piece.records)
                    values.append(self._count(piece))
                if group.end.nulls:
                    self._close_group(group, trait, np.concatenate(values), n_samples)
        csi = self.files.index.suffix == ".csi"
        table.write_index(self._outputs.temporary(self.files.index), csi=csi)

    @contextlib.contextmanager
    def _open_spool(self) -> Iterator[BinaryIO]:
        try:
            with self._spool_path.open("wb") as stream:
                yield stream
        except OSError as error:
            raise write_error(self._spool_path, error, "E111") from error

    def _count(self, piece: TilePiece) -> Array:
        """Count a piece; return its -log10 p."""
        self.reasons += piece.reasons
        self.n_perfect += piece.n_perfect
        self.n_tested += piece.rows.n_rows
        found: Array = np.frombuffer(piece.records, dtype=RECORD)["neg_log10_p"]
        return found

    def _close_group(
        self, group: GroupShard, trait: int, neg_log10_p: Array, n_samples: int
    ) -> None:
        """Note the null model of a group."""
        end = group.end
        inflation = lambda_gc(neg_log10_p)
        self.groups.append(
            GroupRow(end.group, neg_log10_p.size, end.n_grm, n_samples, end.nulls[trait], inflation)
        )

    def finish_null(self, whole: NullModel, n_grm: int | None, n_samples: int) -> GroupRow:
        """Write the null table, its last row the whole-genome fit; return that row."""
        everything = lambda_gc(np.asarray(self.records()["neg_log10_p"]))
        last = GroupRow("all", self.n_tested, n_grm, n_samples, whole, everything)
        cells = [row.cells() for row in (*self.groups, last)]
        self._outputs.write_text(self.files.null, format_table(NULL_COLUMNS, cells))
        return last

    def records(self) -> NDArray[np.void]:
        """The spooled results, mapped."""
        try:
            if self._spool_path.stat().st_size == 0:
                return np.empty(0, dtype=RECORD)
            return np.memmap(self._spool_path, dtype=RECORD, mode="r")
        except OSError as error:
            raise access_error(self._spool_path, error) from error

    def write_leads(self, selected: Variants, threshold: float) -> "Leads":
        """Write the leads table; return its rows."""
        leads = find_leads(self.records(), selected, threshold, self.case_fraction)
        text = format_leads(leads.rows, leads.n_variants.tolist(), LEAD_WINDOW)
        self._outputs.write_text(self.files.leads, text)
        return leads


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
    neg_log10_p = np.asarray(records["neg_log10_p"])
    # What rounding could carry over the threshold is far above this bound.
    kept = np.flatnonzero(neg_log10_p > -math.log10(threshold) * (1.0 - 1e-6))
    leads = _leads_among(kept, records, selected, threshold, case_fraction)
    if leads.n_below:
        return leads
    return _leads_among(slice(None), records, selected, threshold, case_fraction)


def _leads_among(
    kept: NDArray[np.int64] | slice,
    records: NDArray[np.void],
    selected: Variants,
    threshold: float,
    case_fraction: float | None,
) -> Leads:
    """The leads among some rows."""
    found = records[kept]
    tested = selected.take(np.asarray(found["row"]))
    neg_log10_p = as_written(np.asarray(found["neg_log10_p"]))
    loci = find_loci(tested.chrom, tested.pos, neg_log10_p, threshold)
    picked = found[loci.rows]
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
