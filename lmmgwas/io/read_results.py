"""Our own table of results again, every column of it, a block of rows at a time and strictly.

For what is made of whole tables: other tools' formats and Parquet. Cells stay text, so that a
value keeps its digits; numbers are only looked at.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.errors import FormatError, Problem
from lmmgwas.io.blocks import TextBlocks
from lmmgwas.io.sumstats import COLUMNS
from lmmgwas.io.table_cells import (
    MISSING,
    Array,
    CellProblems,
    Indices,
    chromosome_codes,
    counts,
    given_neg_log10_p,
    matches,
    neg_log10_of_p,
    numbers_within,
    positions,
    refuse,
    split_columns,
    where,
)
from lmmgwas.io.text import nearest, shown

_NO_BLANK = r"^[^ \t]+$"
_REFERENCES = ("EA", "OA")
_LABEL, _POSITION = COLUMNS[:2]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the rows of a block lie. Arrays are (m,)."""

    first_line: int
    labels: tuple[str, ...]  # chromosomes so far, in order of appearance
    chrom: NDArray[np.int32]  # index into labels
    pos: Indices  # 0 where unknown


@dataclass(frozen=True, slots=True, eq=False)
class ResultBlock:
    """Rows of a table. Arrays are (m,)."""

    first_line: int  # of the file, the header being line 1
    texts: dict[str, Any]  # all columns as pyarrow string arrays; missing values are null
    labels: tuple[str, ...]  # chromosomes so far, in order of appearance
    chrom: NDArray[np.int32]  # index into labels
    pos: Indices  # 0 where unknown
    beta: Array
    se: Array
    frequency: Array
    neg_log10_p: Array

    def __len__(self) -> int:
        return self.pos.size


class ResultTable:
    """A table that `assoc` wrote."""

    def __init__(self, path: str | Path, *, may_be_empty: bool = False) -> None:
        self._text = TextBlocks(path)
        self._may_be_empty = may_be_empty
        self.path = self._text.path
        self.header: tuple[str, ...] = ()  # once the first block was read

    @property
    def notes(self) -> list[str]:
        """What was accepted and should be said."""
        return self._text.notes

    def __iter__(self) -> Iterator[ResultBlock]:
        """Yield the rows, block by block.

        Raises
        ------
        FileAccessError
            E110: the file cannot be read.
        FormatError
            E601, E206, E207 as any text; E420 to E427 as `read_sumstats`; E428 (no row), E441
            (beta, standard error or frequency), E442 (an allele or ID that no table can hold).
        """
        label_code: dict[str, int] = {}
        for line, block in self._bodies():
            yield _parse(block, line, self.header, label_code, self.path)

    def places(self) -> Iterator[Places]:
        """Yield where the rows lie, block by block; raises what reading all of it does of these."""
        label_code: dict[str, int] = {}
        for line, block in self._bodies():
            wanted = (_LABEL, _POSITION)
            columns = split_columns(block, line, self.header, wanted, self.path, labels=_LABEL)
            problems: CellProblems = []
            chrom = chromosome_codes(columns[_LABEL], _LABEL, label_code, problems)
            pos = positions(columns[_POSITION], _POSITION, problems)
            refuse(problems, self.header, line, self.path)
            yield Places(line, tuple(label_code), chrom, pos)

    def _bodies(self) -> Iterator[tuple[int, bytes]]:
        """Yield the rows as text, and the line that they begin on."""
        self.header, has_rows = (), False
        for first_line, block in self._text:
            body, line = block, first_line
            if not self.header:
                head, _, body = block.partition(b"\n")
                self.header, line = _header(head.decode(), self.path), first_line + 1
            if body:
                has_rows = True
                yield line, body
        if not has_rows and not (self.header and self._may_be_empty):
            message = "the table holds no row: there is nothing to convert"
            raise FormatError("E428", message, f"{self.path}:{2 if self.header else 1}:1")


def _header(line: str, path: str) -> tuple[str, ...]:
    """Return the column names, if all of ours are there, and each once."""
    names = tuple(line.split("\t"))
    problems = [
        Problem("E421", f"the header names column {shown(name)} twice: remove one", f"{path}:1:{k}")
        for k, name in enumerate(names, 1)
        if name in names[: k - 1]
    ]
    for name in COLUMNS:
        if name not in names:
            similar = ", ".join(nearest(name, names))
            hint = f"similar columns here: {similar}" if similar else f"{len(names)} columns here"
            message = (
                f"the header lacks column '{name}' ({hint}); give a table of `lmmgwas assoc`, "
                "PREFIX.TRAIT.tsv.gz, as it was written"
            )
            problems.append(Problem("E420", message, f"{path}:1:{len(names)}"))
    if problems:
        raise FormatError.of(problems)
    return names


def _parse(
    block: bytes, line: int, header: tuple[str, ...], label_code: dict[str, int], path: str
) -> ResultBlock:
    """Look at every cell of a block of rows."""
    columns = split_columns(block, line, header, header, path, labels=_LABEL)
    problems: CellProblems = []
    chrom = chromosome_codes(columns[_LABEL], _LABEL, label_code, problems)
    columns[_LABEL] = columns[_LABEL].dictionary_decode()
    pos = positions(columns[_POSITION], _POSITION, problems)
    counts(columns["n"], "n", problems)
    neg_log10_p = given_neg_log10_p(columns["neg_log_10_p_value"], "neg_log_10_p_value", problems)
    neg_log10_of_p(columns["p_value"], "p_value", problems)
    beta = numbers_within(columns["beta"], "beta", -math.inf, math.inf, problems)
    se = numbers_within(columns["standard_error"], "standard_error", 0.0, math.inf, problems)
    name = "effect_allele_frequency"
    frequency = numbers_within(columns[name], name, 0.0, 1.0, problems)
    for name in (_LABEL, "effect_allele", "other_allele", "marker_id"):
        _refuse_blanks(columns[name], name, problems)
    _refuse_references(columns["ref_allele"], problems)
    refuse(problems, header, line, path)
    texts = {name: _without_missing(texts) for name, texts in columns.items()}
    return ResultBlock(line, texts, tuple(label_code), chrom, pos, beta, se, frequency, neg_log10_p)


def _refuse_blanks(texts: Any, name: str, problems: CellProblems) -> None:
    good = matches(texts, _NO_BLANK)
    if pc.all(good).as_py():
        return
    for row in where(~np.asarray(good)):
        message = (
            f"{name} {shown(texts[row].as_py())} is empty or holds a blank, which other tools take "
            "for the end of a column: write it without"
        )
        problems.append((row, name, "E442", message))


def _refuse_references(texts: Any, problems: CellProblems) -> None:
    """Refuse what GWAS-SSF does not know: EA for the effect allele, OA for the other one."""
    good = pc.is_in(texts, pa.array((*_REFERENCES, *MISSING)))
    if pc.all(good).as_py():
        return
    for row in where(~np.asarray(good)):
        message = (
            f"ref_allele {shown(texts[row].as_py())} is none of EA, OA and #NA, the values of "
            "GWAS-SSF: say whether the effect allele or the other one is the reference"
        )
        problems.append((row, "ref_allele", "E442", message))


def _without_missing(texts: Any) -> Any:
    """Return null for NA and #NA."""
    gone = pc.is_in(texts, pa.array(MISSING))
    if not pc.any(gone).as_py():
        return texts
    return pc.if_else(gone, pa.scalar(None, pa.string()), texts)
