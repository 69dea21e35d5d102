"""The tables of a trait: summary statistics, excluded variants, lead variants.

The summary statistics have GWAS-SSF 1.0's columns in its order, then ours; BGZF with an
index. Rows are text with 8 significant digits and hold nothing that changes between runs.
`effect_allele` is column 5 of the .bim, `other_allele` column 6; they are never swapped.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pysam
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError
from lmmgwas.model.case_control import approximate_log_odds_ratio
from lmmgwas.model.genotypes import REASONS, Variants

Array = NDArray[np.float64]

COLUMNS = (
    "chromosome",
    "base_pair_location",
    "effect_allele",
    "other_allele",
    "beta",
    "standard_error",
    "effect_allele_frequency",
    "p_value",
    "rsid",
    "ref_allele",
    "n",
    "neg_log_10_p_value",
    "marker_id",
)
BINARY_COLUMN = "approximate_log_odds_ratio"
EXCLUDED_COLUMNS = ("chromosome", "base_pair_location", "marker_id", "reason")
LOCUS_COLUMNS = ("locus_start", "locus_end", "n_variants_in_locus")
"""What the leads table has beyond a row's own columns; the count is of p below the threshold."""
LEAD_COLUMNS = (*COLUMNS, *LOCUS_COLUMNS)

NOT_GIVEN = "#NA"
"""GWAS-SSF's missing value."""

_SMALLEST_DOUBLE_EXPONENT = 307.0
_TBI_LIMIT = 536_870_911
_LEVEL = "w1"  # BGZF level 1: four times faster than the default for a tenth more bytes


@dataclass(frozen=True, slots=True, eq=False)
class ResultRows:
    """Tested variants and their results, row by row. All arrays are (T,)."""

    variants: Variants
    beta: Array
    se: Array
    af: Array
    n_observed: NDArray[np.int64]
    neg_log10_p: Array
    case_fraction: float | None = None  # of a binary trait

    def take(self, rows: Any) -> "ResultRows":
        """Return some of the rows, by index, mask or slice."""
        return ResultRows(
            self.variants.take(rows),
            self.beta[rows],
            self.se[rows],
            self.af[rows],
            self.n_observed[rows],
            self.neg_log10_p[rows],
            self.case_fraction,
        )


def table_columns(case_fraction: float | None) -> tuple[str, ...]:
    """Return the columns of the summary statistics; binary traits have one more."""
    return COLUMNS if case_fraction is None else (*COLUMNS, BINARY_COLUMN)


def p_text(neg_log10_p: float) -> str:
    """Return p with 8 significant digits as decimal text, also below the smallest double."""
    if neg_log10_p < _SMALLEST_DOUBLE_EXPONENT:
        return f"{10.0**-neg_log10_p:.8g}"
    exponent = math.floor(-neg_log10_p)
    mantissa = f"{10.0 ** (-neg_log10_p - exponent):.8g}"
    return f"1e{exponent + 1}" if mantissa == "10" else f"{mantissa}e{exponent}"


def _strings(column: Any, rows: NDArray[np.int64]) -> list[str]:
    """Some values of a pyarrow string array."""
    values: list[str] = column.take(rows).to_pylist()
    return values


def marker_ids(variants: Variants) -> list[str]:
    """Return the IDs of the file; chromosome:position:effect:other where it gives a dot."""
    ids = _strings(variants.raw.marker_id, variants.source_index)
    if "." in ids:
        effect = _strings(variants.raw.effect_allele, variants.source_index)
        other = _strings(variants.raw.other_allele, variants.source_index)
        names = chromosome_names(variants)
        pos = variants.pos.tolist()
        ids = [
            f"{names[k]}:{pos[k]}:{effect[k]}:{other[k]}" if marker == "." else marker
            for k, marker in enumerate(ids)
        ]
    return ids


def chromosome_names(variants: Variants) -> list[str]:
    """Return the chromosome column."""
    names = [chromosome.name for chromosome in variants.chromosomes]
    return [names[k] for k in variants.chrom.tolist()]


def format_rows(rows: ResultRows) -> list[str]:
    """Return the lines of the summary statistics, without line ends."""
    index = rows.variants.source_index
    raw = rows.variants.raw
    markers = raw.marker_id.take(index)
    rsid = pc.if_else(pc.match_substring_regex(markers, r"^rs[0-9]+$"), markers, NOT_GIVEN)
    columns = zip(
        chromosome_names(rows.variants),
        rows.variants.pos.tolist(),
        _strings(raw.effect_allele, index),
        _strings(raw.other_allele, index),
        rows.beta.tolist(),
        rows.se.tolist(),
        rows.af.tolist(),
        [p_text(value) for value in rows.neg_log10_p.tolist()],
        rsid.to_pylist(),
        rows.n_observed.tolist(),
        rows.neg_log10_p.tolist(),
        marker_ids(rows.variants),
        strict=True,
    )
    line = f"%s\t%d\t%s\t%s\t%.8g\t%.8g\t%.8g\t%s\t%s\t{NOT_GIVEN}\t%d\t%.8g\t%s"
    lines = [line % values for values in columns]
    if rows.case_fraction is None:
        return lines
    odds = approximate_log_odds_ratio(rows.beta, rows.case_fraction).tolist()
    return [f"{text}\t{value:.8g}" for text, value in zip(lines, odds, strict=True)]


class BlockedTable:
    """A BGZF table that grows block by block."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path = path
        self.n_rows = 0
        try:
            # pysam's stub knows neither the level in the mode nor the default of `index`.
            self._stream = pysam.BGZFile(str(path), _LEVEL)  # type: ignore[call-arg]
        except OSError as error:
            raise FileAccessError("E111", f"cannot write {path}: {error.strerror}") from error
        self._stream.write(("\t".join(header) + "\n").encode())

    def write(self, lines: Sequence[str]) -> None:
        """Append rows."""
        if lines:
            self._stream.write(("\n".join(lines) + "\n").encode())
            self.n_rows += len(lines)

    def close(self) -> None:
        """Write what is left and the end-of-file block."""
        try:
            self._stream.close()
        except OSError as error:
            raise FileAccessError("E112", f"writing {self.path} failed: {error}") from error


def format_excluded(variants: Variants, reasons: NDArray[np.int8]) -> list[str]:
    """Return the lines of the excluded table for variants (k,) with reasons (k,)."""
    columns = zip(
        chromosome_names(variants),
        variants.pos.tolist(),
        marker_ids(variants),
        [REASONS[k] for k in reasons.tolist()],
        strict=True,
    )
    return [f"{name}\t{pos}\t{marker}\t{reason}" for name, pos, marker, reason in columns]


def index_suffix(largest_position: int) -> str:
    """Return .tbi, or .csi where a position is beyond what .tbi can hold."""
    return ".csi" if largest_position > _TBI_LIMIT else ".tbi"


def index_table(table: Path, index: Path, *, csi: bool) -> None:
    """Index a BGZF table by chromosome and position (columns 1 and 2)."""
    level = pysam.set_verbosity(0)  # htslib would print a line for each unknown position
    try:
        pysam.tabix_index(
            str(table), seq_col=0, start_col=1, end_col=1, line_skip=1, index=str(index), csi=csi
        )
    except OSError as error:
        raise FileAccessError("E112", f"indexing {table} failed: {error}") from error
    finally:
        pysam.set_verbosity(level)


def locus_cells(pos: int, n_variants: int, window: int) -> list[str]:
    """Return the cells of LOCUS_COLUMNS for a lead variant, `window` bp either side."""
    if pos <= 0:
        return [NOT_GIVEN, NOT_GIVEN, str(n_variants)]
    return [str(max(1, pos - window)), str(pos + window), str(n_variants)]


def format_leads(rows: ResultRows, n_variants: Sequence[int], window: int) -> str:
    """Return the leads table: the rows, the bounds of each locus, its variants below threshold."""
    lines = ["\t".join((*table_columns(rows.case_fraction), *LOCUS_COLUMNS))]
    for line, pos, n in zip(format_rows(rows), rows.variants.pos.tolist(), n_variants, strict=True):
        lines.append("\t".join([line, *locus_cells(pos, n, window)]))
    return "\n".join(lines) + "\n"


def format_value(value: object) -> str:
    """Return a cell of a small table: 8 significant digits, NA for NaN or None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "NA"
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def format_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a small tab-separated table."""
    lines = ["\t".join(header)]
    lines += ["\t".join(format_value(value) for value in row) for row in rows]
    return "\n".join(lines) + "\n"
