"""Phenotype and covariate tables: text stays text until a column is asked for.

Nothing is guessed: IDs are strings (`001`, `NA` and `1e5` stay as they are), quotation
marks are data, and the field count of every line is checked.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lmmgwas.errors import FormatError, MismatchError, Problem
from lmmgwas.io.last_line import unfinished
from lmmgwas.io.text import Remarks, TextFile, is_number, read_text, shown

NA_SPELLINGS = frozenset({"NA", "NaN", "nan", ".", ""})
"""An empty field exists between tabs or commas only: blanks cannot enclose nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table as written: one row per sample, raw text in every column."""

    path: str
    fid: tuple[str, ...] | None  # "" where the file says 0; None: the file has no FID column
    iid: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]  # in file order, without the IDs
    line: tuple[int, ...]  # the line of each row in the file, from 1
    remarks: Remarks = field(default_factory=Remarks)

    def __len__(self) -> int:
        return len(self.iid)

    def place(self, row: int, name: str) -> str:
        """Return file:line:field of a value, line and field counted from 1."""
        return f"{self.path}:{self.line[row]}:{self._field(name)}"

    def place_of_iid(self, row: int) -> str:
        """Return file:line:field of the IID of a row."""
        return f"{self.path}:{self.line[row]}:{1 if self.fid is None else 2}"

    def heading(self, name: str) -> str:
        """Return file:1:field of a column."""
        return f"{self.path}:1:{self._field(name)}"

    def _field(self, name: str) -> int:
        return list(self.columns).index(name) + (2 if self.fid is None else 3)

    def sample(self, row: int) -> str:
        """Return the IDs of a row as the file writes them."""
        return self.iid[row] if self.fid is None else f"{self.fid[row] or '0'} {self.iid[row]}"


def read_table(path: str | Path, header: bool = True) -> Table:
    """Read a table of samples.

    Tabs, commas or runs of blanks separate the fields, as the header has it. FID 0 reads as
    no FID (""). With `header=False` the columns are FID IID V1 V2 ...

    Raises
    ------
    FormatError
        E406 (field count), E407 (duplicate samples), E409 (column names), E410 (header).
    MismatchError
        E405: no rows, or no column besides the IDs.
    """
    file = read_text(path)
    lines = file.lines()
    if not lines:
        raise MismatchError(
            "E405", "the file is empty: it gives no sample a value", f"{file.path}:1:1"
        )
    names, delimiter = _header(lines[0], file.path) if header else _no_header(lines[0], file.path)
    _refuse_names(names, file.path)
    first_row = 1 if header else 0
    rows = [_split(line, delimiter) for line in lines[first_row:]]
    if not rows:
        raise MismatchError("E405", "the file holds a header and no rows", f"{file.path}:2:1")
    _refuse_ragged(rows, len(names), delimiter, first_row + 1, file.path)
    by_column = list(zip(*rows, strict=True))
    n_ids = 1 if names[0] == "IID" else 2
    if len(names) == n_ids:
        where = f"{file.path}:1:{n_ids + 1}"
        raise MismatchError("E405", "the file holds no column besides the IDs", where)
    fid = tuple("" if text == "0" else text for text in by_column[0]) if n_ids == 2 else None
    table = Table(
        path=file.path,
        fid=fid,
        iid=by_column[n_ids - 1],
        columns=dict(zip(names[n_ids:], by_column[n_ids:], strict=True)),
        line=tuple(range(first_row + 1, first_row + 1 + len(rows))),
        remarks=file.remarks + Remarks(warnings=_doubts(file, lines, names, rows[-1])),
    )
    _refuse_duplicates(table)
    return table


def _split(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        # Not split(): it would also split at non-breaking and other Unicode blanks.
        return [field for field in line.replace("\t", " ").split(" ") if field]
    fields = line.split(delimiter)
    return [field.strip(" \t") for field in fields] if " " in line or "\t" in line else fields


def _header(line: str, path: str) -> tuple[list[str], str | None]:
    for delimiter in ("\t", ",", None):
        names = _split(line, delimiter)
        first = names[0].removeprefix("#") if names else ""
        if first == "IID" and names[1:2] == ["FID"]:
            message = "the ID columns stand as IID FID, expected FID IID: exchange them"
            raise FormatError("E410", message, f"{path}:1:1")
        if first == "IID" or (first == "FID" and names[1:2] == ["IID"]):
            return [first, *names[1:]], delimiter
    fields = re.split(r"[ \t,]+", line.strip(" \t"))
    where = f"{path}:1:1"
    if '"' in line or "'" in line:
        hint = "quotation marks are data here; write the file without them (in R: quote = FALSE)"
    elif len(fields) > 2 and (is_number(fields[2]) or fields[2] in NA_SPELLINGS):
        hint = f"line 1 looks like data (third field {shown(fields[2])}): give --no-header"
        where = f"{path}:1:3"
    else:
        hint = "name them so, in capitals, between tabs, commas or blanks; or give --no-header"
    message = f"no header: line 1 must begin with FID IID, #FID IID, IID or #IID, not {shown(line)}"
    raise FormatError("E410", f"{message}; {hint}", where)


def _no_header(line: str, path: str) -> tuple[list[str], str | None]:
    if re.match(r"#?(FID[ \t,]+)?IID([ \t,]|$)", line):
        message = f"line 1 is a header ({shown(line)}): leave out --no-header"
        raise FormatError("E410", message, f"{path}:1:1")
    for delimiter in ("\t", ",", None):
        fields = _split(line, delimiter)
        # `a b 0,5 0,7` has commas too; IDs hold no blanks, so they tell the delimiter.
        if delimiter is None or (len(fields) > 2 and not re.search(r"[ \t]", "".join(fields[:2]))):
            break
    if len(fields) < 3:
        message = f"without a header a line holds FID IID and values, not {shown(line)}"
        raise FormatError("E410", f"{message}: add what is missing", f"{path}:1:{len(fields) + 1}")
    return ["FID", "IID", *(f"V{k}" for k in range(1, len(fields) - 1))], delimiter


def _refuse_names(names: list[str], path: str) -> None:
    problems = []
    first: dict[str, int] = {}
    for k, name in enumerate(names, 1):
        where = f"{path}:1:{k}"
        if not name:
            problems.append(Problem("E409", f"column {k} has no name: name or remove it", where))
        elif first.setdefault(name, k) != k:
            message = f"columns {first[name]} and {k} are both named {shown(name)}"
            problems.append(Problem("E409", f"{message}: rename or remove one", where))
    if problems:
        raise FormatError.of(problems)


def _refuse_ragged(
    rows: list[list[str]], width: int, delimiter: str | None, first_line: int, path: str
) -> None:
    hints = {
        None: "a missing value between blanks must be written, as NA",
        ",": "a decimal comma, or a comma within a value?",
        "\t": "blanks instead of a tab, or a tab within a value?",
    }
    problems = []
    for number, fields in enumerate(rows, first_line):
        if len(fields) != width:
            kind = "short" if len(fields) < width else "long"
            message = f"{kind} line: {len(fields)} fields, expected {width} as on line 1"
            remedy = f"every value after the fault would move to another column; {hints[delimiter]}"
            where = f"{path}:{number}:{min(len(fields), width) + 1}"  # what lacks, or is too much
            problems.append(Problem("E406", f"{message}; {remedy}", where))
    if problems:
        raise FormatError.of(problems)


def _refuse_duplicates(table: Table) -> None:
    first: dict[tuple[str, str], int] = {}
    problems = []
    for row, iid in enumerate(table.iid):
        if not iid:
            message = "the IID is empty: give the sample its ID"
            problems.append(Problem("E406", message, table.place_of_iid(row)))
            continue
        earlier = first.setdefault(("" if table.fid is None else table.fid[row], iid), row)
        if earlier != row:
            lines = f"lines {table.line[earlier]} and {table.line[row]}"
            also = " (or give a column FID, if they are two people)" if table.fid is None else ""
            message = f"sample {table.sample(row)} is on {lines}: remove one of them{also}"
            problems.append(Problem("E407", message, table.place_of_iid(row)))
    if problems:
        raise FormatError.of(problems)


def _doubts(file: TextFile, lines: list[str], names: list[str], last: list[str]) -> tuple[str, ...]:
    """What a reader should look at in a file that is well-formed."""
    doubts = []
    n_quoted = sum('"' in line for line in lines)
    if n_quoted:
        doubts.append(
            f"{file.path}: quotation marks on {n_quoted} lines were read as part of the values"
        )
    sample = " ".join(last[: 1 if names[0] == "IID" else 2])
    cut = unfinished(file, f"{shown(last[-1])} in column '{names[-1]}' of sample {sample}")
    return (*doubts, cut) if cut is not None else tuple(doubts)
