"""Our table as Parquet: the same columns under the same names, with types.

Whole numbers are int64, numbers float64, everything else text; NA is null. `p_value` is never
0: below the smallest normal double it is that double, and `neg_log_10_p_value` has the p-value.
Rows come in groups of a fixed size, so that the bytes depend on the table and on the version of
pyarrow, which the file names, and on nothing else.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lmmgwas.io.export import ExportFacts
from lmmgwas.io.export_rows import LARGEST_NEG_LOG10_P
from lmmgwas.io.export_values import SMALLEST_P
from lmmgwas.io.read_results import ResultBlock, ResultTable
from lmmgwas.io.sumstats import BINARY_COLUMN
from lmmgwas.io.writing import write_error

ROW_GROUP = 1 << 17
_WHOLE = ("base_pair_location", "n")
_NUMBERS = (
    "beta",
    "standard_error",
    "effect_allele_frequency",
    "p_value",
    "neg_log_10_p_value",
    BINARY_COLUMN,
)


def column_type(name: str) -> Any:
    """Return the type of a column of our table."""
    if name in _WHOLE:
        return pa.int64()
    return pa.float64() if name in _NUMBERS else pa.string()


def export_parquet(table: Path, out: Path, *, may_be_empty: bool = False) -> ExportFacts:
    """Write a table of `assoc` as Parquet; return what became of it.

    Raises
    ------
    FormatError, FileAccessError
        As `ResultTable`; E111 and E112 where `out` cannot be written.
    """
    facts, source = ExportFacts(), ResultTable(table, may_be_empty=may_be_empty)
    groups = _groups(source, facts)
    first = next(groups, None)
    if first is None:
        first = pa.schema([(name, column_type(name)) for name in source.header]).empty_table()
    try:
        with pq.ParquetWriter(out, first.schema, compression="zstd") as writer:
            writer.write_table(first, row_group_size=ROW_GROUP)
            for group in groups:
                writer.write_table(group, row_group_size=ROW_GROUP)
    except OSError as error:
        raise write_error(out, error) from error
    facts.notes = source.notes
    return facts


def _groups(source: ResultTable, facts: ExportFacts) -> Iterator[Any]:
    """Yield tables of ROW_GROUP rows, the last one shorter."""
    waiting: Any = None
    for block in source:
        rows = _typed(block)
        facts.n_rows += len(rows)
        waiting = rows if waiting is None else pa.concat_tables([waiting, rows])
        while len(waiting) >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP)
    if waiting is not None and len(waiting):
        yield waiting.combine_chunks()


def _typed(block: ResultBlock) -> Any:
    """Return the rows of a block as a table with types."""
    columns = {name: _cast(name, texts) for name, texts in block.texts.items()}
    small = pa.array(np.asarray(block.neg_log10_p > LARGEST_NEG_LOG10_P))
    columns["p_value"] = pc.if_else(small, float(SMALLEST_P), columns["p_value"])
    return pa.table(columns)


def _cast(name: str, texts: Any) -> Any:
    return pc.cast(texts, column_type(name))
