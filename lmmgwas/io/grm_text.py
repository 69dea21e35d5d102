"""Matrices as text: GEMMA's, which names no sample, and tables with names in line 1 and column 1.

Read in blocks of lines and strictly: a number is decimal digits, sign, point and exponent (`nan`
and `inf` are none), and every line has as many as the first. The numbers go to a temporary file,
in float32, and are then held against their mirror images.
"""

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import MAX_PROBLEMS_SHOWN, FormatError, MismatchError, Problem
from lmmgwas.io.blocks import TextBlocks
from lmmgwas.io.grm_ids import Ids, refuse_twice
from lmmgwas.io.grm_matrices import Digits, Square, mapped_copy
from lmmgwas.io.text import Remarks, is_number, parse_numbers, shown

_LOOKED_AT = 2_000  # numbers, to tell how finely they are printed
_PARTS = re.compile(r"[+-]?([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?")

Row = NDArray[np.float32]


def printed_digits(texts: Sequence[str]) -> Digits:
    """Return how finely numbers are printed, as far as these show it."""
    decimals = significant = 0
    for text in texts:
        found = _PARTS.fullmatch(text)
        if found is None:
            continue
        whole, behind, exponent = found[1], found[2], int(found[3] or 0)
        decimals = max(decimals, len(behind) - exponent)
        significant = max(significant, len((whole + behind).lstrip("0")))
    return Digits(min(decimals, 300), max(1, min(significant, 300)))


class _Lines(TextBlocks):
    """Blocks of a file, and whether its last line had an end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.ended = False
        self._source: Generator[bytes, None, None] | None = None

    def _read(self) -> Iterator[bytes]:
        source = self._source = cast(Generator[bytes, None, None], super()._read())
        for data in source:
            self.ended = data.endswith(b"\n")
            yield data

    def close(self) -> None:
        """Close the file where it is not read to its end: what is refused keeps its place open."""
        if self._source is not None:
            self._source.close()

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Yield each line with its number."""
        for first, block in self:
            for k, line in enumerate(block.split(b"\n")):
                yield first + k, line.decode()

    def remarks(self) -> Remarks:
        """What is to be said of a file that was read to its end."""
        if self.ended:
            return Remarks(tuple(self.notes))
        cut = f"{self.path}: the last line has no line end, as if the file had been cut short"
        return Remarks(tuple(self.notes), (f"{cut}: compare its last number with the source",))


@dataclass(slots=True, eq=False)
class _Rows:
    """The numbers of each line, checked."""

    path: str
    width: int
    first_line: int
    seen: list[str] = field(default_factory=list)  # the first numbers, as printed
    count: int = 0

    def row(self, texts: Sequence[str], line: int, before: int) -> Row:
        """Return the numbers of a line, which has `before` fields in front of them."""
        if len(texts) != self.width:
            self._refuse_width(len(texts), line, before)
        values, good = parse_numbers(texts)
        good &= np.isfinite(values)
        if not good.all():
            self._refuse_cells(texts, np.flatnonzero(~good), line, before)
        if len(self.seen) < _LOOKED_AT:
            self.seen += texts[:_LOOKED_AT]
        self.count += 1
        with np.errstate(over="ignore"):
            return values.astype("<f4")

    def _refuse_width(self, found: int, line: int, before: int) -> None:
        kind = "short" if found < self.width else "long"
        at = before + min(found, self.width) + 1
        raise FormatError(
            "E716",
            f"{kind} line: {found} numbers, expected {self.width} as in every row of a square "
            "matrix; every value after the fault would belong to another pair: restore the line",
            f"{self.path}:{line}:{at}",
        )

    def _refuse_cells(
        self, texts: Sequence[str], wrong: NDArray[np.intp], line: int, before: int
    ) -> None:
        remedy = (
            "is no number: a relatedness matrix has one for each pair; make it again without "
            "the samples that have none"
        )
        raise FormatError.of(
            [
                Problem(
                    "E715", f"{shown(texts[j])} {remedy}", f"{self.path}:{line}:{before + j + 1}"
                )
                for j in wrong[:MAX_PROBLEMS_SHOWN].tolist()
            ]
        )

    def require_all(self) -> None:
        """Raise FormatError (E716) unless there were as many rows as columns."""
        if self.count != self.width:
            raise FormatError(
                "E716",
                f"{self.count} rows of {self.width} numbers, expected a square matrix: "
                f"{'was the file cut short' if self.count < self.width else 'what is below it'}?",
                f"{self.path}:{self.first_line + min(self.count, self.width)}",
            )


def _square(rows: _Rows, lines: Iterator[Row], folder: Path) -> Square:
    """Read all lines into a temporary file."""
    values = mapped_copy(lines, folder).reshape(rows.width, rows.width)
    digits = printed_digits(rows.seen)
    return Square(values, rows.path, first_line=rows.first_line, digits=digits)


def read_gemma(path: Path, n: int, folder: Path) -> tuple[Square, Remarks]:
    """Read GEMMA's matrix of n samples, numbers between tabs or blanks and nothing else.

    Raises FormatError: E715 (no number), E716 (lines), E718; MismatchError: E717 where the number
    of columns is not n.
    """
    lines = _Lines(path)

    def read() -> Iterator[Row]:
        for number, line in lines.numbered():
            texts = line.split()
            if not rows.count and len(texts) != n:
                _refuse_count(str(path), number, len(texts), n)
            yield rows.row(texts, number, 0)
        rows.require_all()

    rows = _Rows(str(path), n, 1)
    with contextlib.closing(lines):
        return _square(rows, read(), folder), lines.remarks()


def _refuse_count(path: str, line: int, found: int, n: int) -> None:
    pairs = " (with 3 columns: a list of pairs, GEMMA's -km 2, is not read)" if found == 3 else ""
    raise MismatchError(
        "E717",
        f"the matrix has {found} columns, the .fam {n} samples{pairs}: the file names nobody, so "
        "its rows can only be the samples of the .fam that GEMMA was given; convert it with that "
        "one: lmmgwas grm --convert gcta --grm FILE --fam THAT.fam --out PREFIX",
        f"{path}:{line}",
    )


def read_table_matrix(path: Path, folder: Path) -> tuple[Square, Ids, Remarks]:
    """Read a square table: names of samples (IIDs) in line 1 and, in the same order, in column 1.

    Tabs, commas or blanks separate, as line 1 has it; the corner above the names of the rows may
    hold anything, or be left out, as R does. Names may stand between double quotes.

    Raises FormatError: E715, E716, E718, E720 (names), E301 (a name twice).
    """
    with contextlib.closing(_Lines(path)) as lines:
        return _read_table(lines, path, folder)


def _read_table(lines: _Lines, path: Path, folder: Path) -> tuple[Square, Ids, Remarks]:
    numbered = lines.numbered()
    _, header = next(numbered, (1, ""))
    split = _splitter(header)
    found: list[_Rows] = []
    names: list[str] = []

    def read() -> Iterator[Row]:
        for number, line in numbered:
            fields = split(line)
            if not found:
                names.extend(_names(split(header), len(fields), str(path)))
                found.append(_Rows(str(path), len(names), 2))
            rows = found[0]
            _check_name(fields[0], names, rows, number)
            yield rows.row(fields[1:], number, 1)
        if not found:
            raise FormatError("E716", "holds no row of a matrix, expected names above", f"{path}:2")
        found[0].require_all()

    values = mapped_copy(read(), folder)
    rows = found[0]
    ids = ("",) * rows.width, tuple(names)
    refuse_twice(ids, f"{path}:1")
    square = Square(
        values.reshape(rows.width, rows.width), str(path), False, 2, printed_digits(rows.seen)
    )
    return square, ids, lines.remarks()


def _splitter(header: str) -> Callable[[str], list[str]]:
    """How a line is split, by what stands in the first."""
    for delimiter in ("\t", ","):
        if delimiter in header:
            return lambda line: [field.strip(" \t") for field in line.split(delimiter)]
    return lambda line: [field for field in line.replace("\t", " ").split(" ") if field] or [""]


def _bare(name: str) -> str:
    """A name without the quotes around it."""
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name


def _names(header: list[str], width: int, path: str) -> list[str]:
    """The names of the columns; of a header as wide as the rows the first field is the corner."""
    if len(header) not in (width, width - 1):
        raise FormatError(
            "E716",
            f"line 2 has {width} fields, line 1 {len(header)}: expected a name above each column "
            "of numbers and one in front of each row",
            f"{path}:2",
        )
    names = [_bare(name) for name in header[len(header) - (width - 1) :]]
    if "" in names:
        at = names.index("") + 1 + len(header) - len(names)
        raise FormatError("E720", "a column has no name: name its sample", f"{path}:1:{at}")
    if all(map(is_number, names)) and any("." in name for name in names):
        raise FormatError(
            "E720",
            f"line 1 holds numbers ({shown(names[0])}), expected the names of samples: a matrix "
            "without names, as GEMMA's, must be named .cXX.txt",
            f"{path}:1:1",
        )
    return names


def _check_name(field: str, names: list[str], rows: _Rows, line: int) -> None:
    """Raise FormatError (E720) unless a row is named as its column."""
    name = _bare(field)
    if rows.count < len(names) and name != names[rows.count]:
        raise FormatError(
            "E720",
            f"row {rows.count + 1} is named {shown(name)}, column {rows.count + 1} "
            f"{shown(names[rows.count])}: rows and columns must name the same samples in the same "
            "order",
            f"{rows.path}:{line}:1",
        )
