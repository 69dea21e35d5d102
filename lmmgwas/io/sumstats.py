"""The tables of a trait: summary statistics, excluded variants, lead variants.

The summary statistics have GWAS-SSF 1.0's columns in its order, then ours; BGZF with an
index. Rows are text with 8 significant digits and hold nothing that changes between runs.
`effect_allele` is column 5 of the .bim or ALT of the .pvar, `other_allele` column 6 or REF; they
are never swapped. `ref_allele` is OA where the file vouches that REF is the reference.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError
from lmmgwas.io.bgzf import END, compress_blocks, virtual_offsets
from lmmgwas.io.row_kernels import DECIMAL_P_FROM
from lmmgwas.io.row_text import Lines, VariantText
from lmmgwas.io.tabix import TBI_LIMIT, TabixIndex, Windows
from lmmgwas.io.writing import write_error
from lmmgwas.model.case_control import approximate_log_odds_ratio
from lmmgwas.model.chromosomes import Chromosome
from lmmgwas.model.genotypes import KEPT, Indices, Variants

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
COMPUTED_COLUMN = "computed"
"""How the test of a row was computed in a calibrated scan: `exact` or `calibrated`."""
EXCLUDED_COLUMNS = ("chromosome", "base_pair_location", "marker_id", "reason")
LOCUS_COLUMNS = ("locus_start", "locus_end", "n_variants_in_locus")
"""What the leads table has beyond a row's own columns; the count is of p below the threshold."""
LEAD_COLUMNS = (*COLUMNS, *LOCUS_COLUMNS)

NOT_GIVEN = "#NA"
"""GWAS-SSF's missing value."""


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
    exact: NDArray[np.bool_] | None = None  # or calibrated; in a calibrated scan only

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
            None if self.exact is None else self.exact[rows],
        )


def table_columns(case_fraction: float | None, *, computed: bool = False) -> tuple[str, ...]:
    """Return the columns of the summary statistics; binary traits and calibrated scans add one."""
    binary = () if case_fraction is None else (BINARY_COLUMN,)
    return (*COLUMNS, *binary, *((COMPUTED_COLUMN,) if computed else ()))


def p_text(neg_log10_p: float) -> str:
    """Return p with 8 significant digits as decimal text, also below the smallest double."""
    if neg_log10_p < DECIMAL_P_FROM:
        return f"{10.0**-neg_log10_p:.8g}"
    exponent = math.floor(-neg_log10_p)
    mantissa = f"{10.0 ** (-neg_log10_p - exponent):.8g}"
    return f"1e{exponent + 1}" if mantissa == "10" else f"{mantissa}e{exponent}"


def _strings(column: Any, rows: NDArray[np.int64]) -> list[str]:
    """Some values of a pyarrow string array."""
    values: list[str] = column.take(rows).to_pylist()
    return values


def alleles_of(variants: Variants) -> tuple[list[str], list[str]]:
    """Return the effect alleles and the other alleles."""
    return (
        _strings(variants.raw.effect_allele, variants.source_index),
        _strings(variants.raw.other_allele, variants.source_index),
    )


def marker_ids(variants: Variants) -> list[str]:
    """Return the IDs of the file; chromosome:position:effect:other where it gives a dot."""
    ids = _strings(variants.raw.marker_id, variants.source_index)
    if "." in ids:
        effect, other = alleles_of(variants)
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


def format_rows(text: VariantText, at: Indices, rows: ResultRows) -> Lines:
    """Return the lines of the summary statistics of variants `at` of a tile.

    Raises ValueError for a number that is not finite.
    """
    numbers = [rows.beta, rows.se, rows.af, rows.neg_log10_p]
    if rows.case_fraction is not None:
        numbers.append(approximate_log_odds_ratio(rows.beta, rows.case_fraction))
    return text.rows(at, numbers, rows.n_observed, rows.exact)


def format_excluded(text: VariantText, at: Indices, reasons: NDArray[np.int8]) -> bytes:
    """Return the lines of the excluded table for variants `at` (k,) with reasons (k,)."""
    return text.excluded(at, reasons)


@dataclass(frozen=True, slots=True, eq=False)
class PackedRows:
    """Rows as they go into a file, and, where it has an index, where their windows begin."""

    blocks: tuple[bytes, ...]
    n_rows: int
    chromosomes: tuple[Chromosome, ...] = ()
    windows: Windows | None = None

    @classmethod
    def of(cls, lines: Lines, variants: Variants) -> "PackedRows":
        """Pack the lines of these variants, one each, for an indexed table."""
        windows = Windows.of(variants.chrom, variants.pos, lines.starts)
        return cls(compress_blocks(lines.data), len(variants), variants.chromosomes, windows)

    @classmethod
    def excluded(cls, text: VariantText, reasons: NDArray[np.int8]) -> "PackedRows":
        """Pack the excluded table's lines of those variants whose reason is not KEPT."""
        at = np.flatnonzero(reasons != KEPT)
        return cls(compress_blocks(format_excluded(text, at, reasons[at])), at.size)


class BlockedTable:
    """A BGZF table that grows piece by piece, and what its index needs."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path = path
        self.n_rows = 0
        self._chromosomes: tuple[Chromosome, ...] = ()
        self._index = TabixIndex()
        try:
            self._stream = path.open("wb")
        except OSError as error:
            raise write_error(path, error, "E111") from error
        self._size = 0  # in bytes
        self._append(compress_blocks(("\t".join(header) + "\n").encode()))

    def write(self, rows: PackedRows) -> None:
        """Append rows."""
        if rows.windows is not None:
            starts = virtual_offsets(rows.blocks, self._size, rows.windows.start)
            self._index.add(rows.windows, starts)
            self._chromosomes = rows.chromosomes
        self._append(rows.blocks)
        self.n_rows += rows.n_rows

    def _append(self, blocks: Sequence[bytes]) -> None:
        data = b"".join(blocks)
        try:
            self._stream.write(data)
        except OSError as error:
            raise self._failed(error) from error
        self._size += len(data)

    def _failed(self, error: OSError) -> FileAccessError:
        return write_error(self.path, error)

    def close(self) -> None:
        """Write what is left and the end-of-file block."""
        if self._stream.closed:
            return
        try:
            with self._stream as stream:
                stream.write(END)
        except OSError as error:
            raise self._failed(error) from error

    def write_index(self, path: Path, *, csi: bool) -> None:
        """Write the index by chromosome and position (columns 1 and 2) of all rows."""
        names = [chromosome.name for chromosome in self._chromosomes]
        data = self._index.packed(names, self._size << 16, csi=csi)
        try:
            path.write_bytes(data)
        except OSError as error:
            raise write_error(path, error) from error


def index_suffix(largest_position: int) -> str:
    """Return .tbi, or .csi where a position is beyond what .tbi can hold."""
    return ".csi" if largest_position > TBI_LIMIT else ".tbi"


def locus_cells(pos: int, n_variants: int, window: int) -> list[str]:
    """Return the cells of LOCUS_COLUMNS for a lead variant, `window` bp either side."""
    if pos <= 0:
        return [NOT_GIVEN, NOT_GIVEN, str(n_variants)]
    return [str(max(1, pos - window)), str(pos + window), str(n_variants)]


def format_leads(rows: ResultRows, n_variants: Sequence[int], window: int) -> str:
    """Return the leads table: the rows, the bounds of each locus, its variants below threshold."""
    columns = table_columns(rows.case_fraction, computed=rows.exact is not None)
    lines = ["\t".join((*columns, *LOCUS_COLUMNS))]
    found = format_rows(VariantText.of(rows.variants), np.arange(len(rows.variants)), rows)
    texts = found.data.decode().split("\n")[:-1]
    for line, pos, n in zip(texts, rows.variants.pos.tolist(), n_variants, strict=True):
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
