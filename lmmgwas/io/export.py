"""Writing our table in another tool's format: rows stream through, nothing accumulates."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lmmgwas.io.bgzf import END, compress_blocks
from lmmgwas.io.export_rows import TargetRows, target_rows
from lmmgwas.io.export_values import TargetFormat, Value
from lmmgwas.io.read_results import ResultTable
from lmmgwas.io.writing import write_error
from lmmgwas.model.chromosomes import Karyotype

Write = Callable[[bytes], object]


@dataclass(slots=True)
class ExportFacts:
    """What was written, and what was not as it stood in our table."""

    n_rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # rows by what they lack
    n_small: int = 0  # p-values raised to the smallest double
    n_provisional: int = 0  # rows whose reference allele is not given
    notes: list[str] = field(default_factory=list)

    def add(self, rows: TargetRows) -> None:
        """Count the rows that a block became."""
        self.n_rows += rows.pos.size
        self.left_out.update(rows.left_out)
        self.n_small += rows.n_small
        self.n_provisional += rows.n_provisional


def export_table(
    table: Path, target: TargetFormat, out: Path, karyotype: Karyotype, *, packed: bool
) -> ExportFacts:
    """Write a table of `assoc` in another format, as text; return what became of it.

    Raises
    ------
    FormatError, FileAccessError
        As `ResultTable`; E111 and E112 where `out` cannot be written.
    MismatchError
        E210 and E444: chromosomes that have no name in the target.
    """
    header = target.separator.join(column.name for column in target.columns) + "\n"
    facts, source = ExportFacts(), ResultTable(table)
    with opened(out) as write:
        put = _packing(write) if packed else write
        put(header.encode())
        for block in source:
            rows = target_rows(block, target, karyotype)
            facts.add(rows)
            put(rows.lines.data)
        if packed:
            write(END)
    facts.notes = source.notes
    return facts


def _packing(write: Write) -> Write:
    return lambda data: write(b"".join(compress_blocks(data)))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Write]:
    """Open a file to write, and turn what the system refuses into our errors (E111, E112)."""
    try:
        stream = path.open("wb")
    except OSError as error:
        raise write_error(path, error, "E111") from error

    def write(data: bytes) -> None:
        try:
            stream.write(data)
        except OSError as error:
            raise write_error(path, error) from error

    try:
        yield write
    finally:
        try:
            stream.close()
        except OSError as error:
            raise write_error(path, error) from error


def may_have_no_reference(target: TargetFormat) -> bool:
    """Whether the target names a reference allele, so that it matters whether it is known."""
    return any(column.value is Value.REF for column in target.columns)
