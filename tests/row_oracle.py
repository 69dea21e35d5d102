"""Rows of the tables by Python's own formatting, the slow version of lmmgwas.io.row_text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from lmmgwas.io.row_text import VariantText
from lmmgwas.io.sumstats import (
    COLUMNS,
    BlockedTable,
    PackedRows,
    ResultRows,
    chromosome_names,
    format_rows,
    marker_ids,
    p_text,
)
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.genotypes import REASONS, RawVariants, Variants, arrange_variants


def variants(
    rows: Sequence[tuple[str, int, str, str, str]],
    karyotype: Karyotype,
    strings: pa.DataType | None = None,
) -> Variants:
    """(label, position, ID, column 5, column 6) as `Variants` in output order."""
    labels = list(dict.fromkeys(row[0] for row in rows))
    place = {label: k for k, label in enumerate(labels)}
    kind = strings or pa.string()
    raw = RawVariants(
        labels=tuple(labels),
        label_code=np.array([place[row[0]] for row in rows], np.int32),
        pos=np.array([row[1] for row in rows], np.int64),
        marker_id=pa.array([row[2] for row in rows], kind),
        effect_allele=pa.array([row[3] for row in rows], kind),
        other_allele=pa.array([row[4] for row in rows], kind),
    )
    return arrange_variants(raw, karyotype, 1)[0]


def is_rsid(marker: str) -> bool:
    """`rs` and ASCII digits."""
    return marker[:2] == "rs" and marker[2:].isascii() and marker[2:].isdigit()


def python_rows(rows: ResultRows) -> list[str]:
    """The lines of the summary statistics."""
    raw, index = rows.variants.raw, rows.variants.source_index
    markers = raw.marker_id.take(index).to_pylist()
    columns = zip(
        chromosome_names(rows.variants),
        rows.variants.pos.tolist(),
        raw.effect_allele.take(index).to_pylist(),
        raw.other_allele.take(index).to_pylist(),
        rows.beta.tolist(),
        rows.se.tolist(),
        rows.af.tolist(),
        [p_text(value) for value in rows.neg_log10_p.tolist()],
        [marker if is_rsid(marker) else "#NA" for marker in markers],
        rows.n_observed.tolist(),
        rows.neg_log10_p.tolist(),
        marker_ids(rows.variants),
        strict=True,
    )
    line = "%s\t%d\t%s\t%s\t%.8g\t%.8g\t%.8g\t%s\t%s\t#NA\t%d\t%.8g\t%s"
    lines = [line % values for values in columns]
    if (k := rows.case_fraction) is not None:
        odds = (rows.beta / (k * (1.0 - k))).tolist()
        lines = [f"{text}\t{value:.8g}" for text, value in zip(lines, odds, strict=True)]
    if rows.exact is not None:
        words = ["exact" if exact else "calibrated" for exact in rows.exact.tolist()]
        lines = [f"{text}\t{word}" for text, word in zip(lines, words, strict=True)]
    return lines


def python_excluded(table: Variants, reasons: np.ndarray) -> list[str]:
    """The lines of the excluded table."""
    columns = zip(
        chromosome_names(table),
        table.pos.tolist(),
        marker_ids(table),
        [REASONS[k] for k in reasons.tolist()],
        strict=True,
    )
    return [f"{name}\t{pos}\t{marker}\t{reason}" for name, pos, marker, reason in columns]


def simple_results(table: Variants) -> ResultRows:
    """Rows whose numbers say which variant they are of."""
    m = len(table)
    counted = np.arange(m, dtype=np.float64)
    return ResultRows(table, counted / 7, counted + 0.5, counted / (m + 1), np.arange(m), counted)


def table_of(table: Variants, ends: Sequence[int], path: Path) -> BlockedTable:
    """A closed table of these variants, written in pieces that end at these rows."""
    written = BlockedTable(path, COLUMNS)
    start = 0
    for end in ends:
        rows = simple_results(table).take(slice(start, end))
        text = VariantText.of(rows.variants)
        lines = format_rows(text, np.arange(len(text)), rows)
        written.write(PackedRows.of(lines, rows.variants))
        start = end
    written.close()
    return written
