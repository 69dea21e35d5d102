"""Phenotype, covariate and list files: text stays text until a column is asked for.

Nothing is guessed: IDs are strings (`001`, `NA` and `1e5` stay as they are), quotation
marks are data, and the field count of every line is checked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FormatError, MismatchError, Problem, UsageError
from lmmgwas.io.text import Remarks, is_number, nearest, parse_numbers, read_text, shown

NA_SPELLINGS = frozenset({"NA", "NaN", "nan", ".", ""})
"""An empty field exists between tabs or commas only: blanks cannot enclose nothing."""
_ACCEPTED = "missing values are written NA, NaN, nan, . or, between tabs or commas, nothing"
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_RANGE = re.compile(r"(.*?)([0-9]+)-\1([0-9]+)")


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
        n_ids = 1 if self.fid is None else 2
        return f"{self.path}:{self.line[row]}:{list(self.columns).index(name) + n_ids + 1}"

    def sample(self, row: int) -> str:
        """Return the IDs of a row as the file writes them."""
        return self.iid[row] if self.fid is None else f"{self.fid[row] or '0'} {self.iid[row]}"


@dataclass(frozen=True, slots=True)
class MissingCodes:
    """Which values mean missing besides the NA spellings.

    `codes` None is -9 by PLINK 2's rule; given codes take its place (`--missing-code`);
    `enabled` False leaves the NA spellings alone (`--no-missing-code`).
    """

    codes: tuple[str, ...] | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class NumericColumn:
    """A column of numbers."""

    name: str
    values: NDArray[np.float64]  # (n,) nan where missing
    n_missing: int  # all missing values
    n_coded: int  # those of them written as a code, such as -9


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn:
    """A categorical column."""

    name: str
    values: tuple[str | None, ...]  # (n,) None where missing
    n_missing: int
    n_coded: int


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
        raise MismatchError("E405", "the file is empty: it gives no sample a value", file.path)
    names, delimiter = _header(lines[0], file.path) if header else _no_header(lines[0], file.path)
    _refuse_names(names, file.path)
    first_row = 1 if header else 0
    rows = [_split(line, delimiter) for line in lines[first_row:]]
    if not rows:
        raise MismatchError("E405", "the file holds a header and no rows", file.path)
    _refuse_ragged(rows, len(names), delimiter, first_row + 1, file.path)
    by_column = list(zip(*rows, strict=True))
    n_ids = 1 if names[0] == "IID" else 2
    if len(names) == n_ids:
        raise MismatchError("E405", "the file holds no column besides the IDs", file.path)
    fid = tuple("" if text == "0" else text for text in by_column[0]) if n_ids == 2 else None
    n_quoted = sum('"' in line for line in lines)
    remarks = Remarks(warnings=(_quotes(file.path, n_quoted),)) if n_quoted else Remarks()
    table = Table(
        path=file.path,
        fid=fid,
        iid=by_column[n_ids - 1],
        columns=dict(zip(names[n_ids:], by_column[n_ids:], strict=True)),
        line=tuple(range(first_row + 1, first_row + 1 + len(rows))),
        remarks=file.remarks + remarks,
    )
    _refuse_duplicates(table)
    return table


def numeric_column(table: Table, name: str, missing: MissingCodes) -> NumericColumn:
    """Return a column as numbers.

    Raises
    ------
    FormatError
        E401 (not a number), E402 (infinite or too large), E403 (is -9 a value or missing?);
        one problem for each offending row.
    """
    texts = table.columns[name]
    values, numeric, absent, coded = _parse(table, name, missing)
    bad = np.flatnonzero(~absent & ~(numeric & np.isfinite(values)))
    if bad.size:
        raise FormatError.of([_not_a_number(table, row, name, texts[row]) for row in bad.tolist()])
    values[absent] = np.nan
    return NumericColumn(name, values, int(absent.sum()), int(coded.sum()))


def covariate_column(
    table: Table, name: str, missing: MissingCodes, categorical: bool
) -> NumericColumn | TextColumn:
    """Return a column of numbers as numbers; a column of text, or on demand any, as categories.

    Raises
    ------
    FormatError
        E503 (numbers and text mixed), and those of `numeric_column`. A text that looks like a
        number with a decimal comma is taken for one (E401), not for a category.
    """
    texts = table.columns[name]
    _, numeric, absent, coded = _parse(table, name, missing)
    # inf and 0,45 mean a number, so that they do not turn a numeric column into categories.
    meant = np.array([bool(_INFINITE.fullmatch(t) or _DECIMAL_COMMA.fullmatch(t)) for t in texts])
    text_rows = np.flatnonzero(~absent & ~numeric & ~meant)
    number_rows = np.flatnonzero(~absent & (numeric | meant))
    if categorical or (text_rows.size and not number_rows.size):
        kept = tuple(None if gone else text for text, gone in zip(texts, absent, strict=True))
        return TextColumn(name, kept, int(absent.sum()), int(coded.sum()))
    if not text_rows.size:
        return numeric_column(table, name, missing)
    number, text = int(number_rows[0]), int(text_rows[0])
    raise FormatError(
        "E503",
        f"covariate '{name}' mixes {number_rows.size} numbers ({shown(texts[number])} on line "
        f"{table.line[number]}) with {text_rows.size} texts ({shown(texts[text])}, sample "
        f"{table.sample(text)}): mend the texts ({_ACCEPTED}), or, if the column is categorical, "
        f"give --cat-covar-name {name}",
        table.place(text, name),
    )


def expand_names(spec: str, available: Sequence[str], path: str = "") -> list[str]:
    """Return the columns that `A,B,PC1-PC10` names, in that order, each once.

    The exact name of a column wins over reading it as a list or a range.

    Raises
    ------
    MismatchError
        E411: a named column is absent.
    UsageError
        E411: an empty name, or a range that runs backwards.
    """
    known = set(available)
    if spec in known:
        return [spec]
    wanted: list[str] = []
    for token in (part.strip() for part in spec.split(",")):
        if not token:
            raise UsageError("E411", f"{shown(spec)} holds an empty column name: remove a comma")
        parts = None if token in known else _RANGE.fullmatch(token)
        wanted += _expand_range(token, parts, known, path) if parts else [token]
    absent = [name for name in wanted if name not in known]
    if absent:
        raise MismatchError.of([_absent(name, available, path) for name in absent])
    return list(dict.fromkeys(wanted))


def read_id_list(path: str | Path) -> list[tuple[str | None, str]]:
    """Read the samples of a keep or remove file as (FID, IID); FID 0 is "", no FID is None.

    A line holds FID and IID, what follows is ignored; or an IID alone. The header
    (`FID IID`, `#FID IID`, `IID`, `#IID`) is optional. Blank lines are skipped.
    """
    file = read_text(path)
    rows = [(k, line.split()) for k, line in enumerate(file.body.split(b"\n"), 1) if line.strip()]
    if not rows:
        return []
    first = rows[0][1]
    iid_only = first[0] in (b"IID", b"#IID")
    if iid_only or (first[0] in (b"FID", b"#FID") and first[1:2] == [b"IID"]):
        del rows[0]
    n_ids = 1 if iid_only else min(len(first), 2)
    found: list[tuple[str | None, str]] = []
    for number, fields in rows:
        if not iid_only and min(len(fields), 2) != n_ids:
            message = f"{len(fields)} fields, where the first line has {len(first)}"
            remedy = "give FID and IID on every line, or the IID alone on every line"
            raise FormatError("E406", f"{message}; {remedy}", f"{file.path}:{number}")
        ids = [field.decode("utf-8") for field in fields[:n_ids]]
        found.append((None, ids[0]) if n_ids == 1 else ("" if ids[0] == "0" else ids[0], ids[1]))
    return found


def read_name_list(path: str | Path) -> list[str]:
    """Read the first word of every line (variant IDs); blank lines are skipped."""
    lines = (line.split(maxsplit=1) for line in read_text(path).body.split(b"\n"))
    return [words[0].decode("utf-8") for words in lines if words]


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
            raise FormatError("E410", message, f"{path}:1")
        if first == "IID" or (first == "FID" and names[1:2] == ["IID"]):
            return [first, *names[1:]], delimiter
    fields = re.split(r"[ \t,]+", line.strip(" \t"))
    if '"' in line or "'" in line:
        hint = "quotation marks are data here; write the file without them (in R: quote = FALSE)"
    elif len(fields) > 2 and (is_number(fields[2]) or fields[2] in NA_SPELLINGS):
        hint = f"line 1 looks like data (third field {shown(fields[2])}): give --no-header"
    else:
        hint = "name them so, in capitals, between tabs, commas or blanks; or give --no-header"
    message = f"no header: line 1 must begin with FID IID, #FID IID, IID or #IID, not {shown(line)}"
    raise FormatError("E410", f"{message}; {hint}", f"{path}:1")


def _no_header(line: str, path: str) -> tuple[list[str], str | None]:
    if re.match(r"#?(FID[ \t,]+)?IID([ \t,]|$)", line):
        message = f"line 1 is a header ({shown(line)}): leave out --no-header"
        raise FormatError("E410", message, f"{path}:1")
    for delimiter in ("\t", ",", None):
        fields = _split(line, delimiter)
        # `a b 0,5 0,7` has commas too; IDs hold no blanks, so they tell the delimiter.
        if delimiter is None or (len(fields) > 2 and not re.search(r"[ \t]", "".join(fields[:2]))):
            break
    if len(fields) < 3:
        message = f"without a header a line holds FID IID and values, not {shown(line)}"
        raise FormatError("E410", f"{message}: add what is missing", f"{path}:1")
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
            problems.append(Problem("E406", f"{message}; {remedy}", f"{path}:{number}"))
    if problems:
        raise FormatError.of(problems)


def _refuse_duplicates(table: Table) -> None:
    first: dict[tuple[str, str], int] = {}
    problems = []
    for row, iid in enumerate(table.iid):
        if not iid:
            where = f"{table.path}:{table.line[row]}"
            problems.append(Problem("E406", "the IID is empty: give the sample its ID", where))
            continue
        earlier = first.setdefault(("" if table.fid is None else table.fid[row], iid), row)
        if earlier != row:
            lines = f"lines {table.line[earlier]} and {table.line[row]}"
            message = f"sample {table.sample(row)} is on {lines}: remove one of them"
            problems.append(Problem("E407", message, f"{table.path}:{table.line[row]}"))
    if problems:
        raise FormatError.of(problems)


def _quotes(path: str, n_quoted: int) -> str:
    return f"{path}: quotation marks on {n_quoted} lines were read as part of the values"


def _parse(
    table: Table, name: str, missing: MissingCodes
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return values, which are numbers, which are missing, which of these by a code; (n,) each."""
    texts = table.columns[name]
    codes = (missing.codes or ()) if missing.enabled else ()
    spelled = np.array([text in NA_SPELLINGS for text in texts], dtype=np.bool_)
    coded = np.array([text in codes for text in texts], dtype=np.bool_) & ~spelled
    gone = spelled | coded
    parsable = ["0" if skip else text for text, skip in zip(texts, gone, strict=True)]
    values, numeric = parse_numbers(parsable)
    numeric &= ~gone
    code_values = [float(code) for code in codes if is_number(code)]
    coded |= numeric & np.isin(values, code_values)  # -9 as -9.0 too
    if missing.codes is None and missing.enabled:
        coded |= _minus_nines(table, name, values, numeric)
    return values, numeric & ~coded, spelled | coded, coded


def _minus_nines(
    table: Table, name: str, values: NDArray[np.float64], numeric: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Apply PLINK 2's rule: -9 is missing, unless values around it make that doubtful."""
    nines: NDArray[np.bool_] = numeric & (values == -9.0)
    near = np.flatnonzero(numeric & (values >= -10.0) & (values <= -8.0) & ~nines)
    if not nines.any() or not near.size:
        return nines
    row = int(np.flatnonzero(nines)[0])
    example = shown(table.columns[name][near[0]])
    raise FormatError(
        "E403",
        f"column '{name}' holds -9 {int(nines.sum())} times (first for sample {table.sample(row)}) "
        f"and {near.size} other values between -10 and -8 (such as {example} on line "
        f"{table.line[near[0]]}), so -9 may be a value or mean missing: give --missing-code -9 if "
        "it means missing, --no-missing-code if it is a value",
        table.place(row, name),
    )


def _not_a_number(table: Table, row: int, name: str, text: str) -> Problem:
    subject = f"column '{name}', sample {table.sample(row)}: {shown(text)}"
    where = table.place(row, name)
    if is_number(text) or _INFINITE.fullmatch(text):
        message = f"{subject} is infinite or beyond 1.8e308; {_ACCEPTED}"
        return Problem("E402", message, where)
    hint = "; a decimal comma? Write a point" if _DECIMAL_COMMA.fullmatch(text) else ""
    return Problem("E401", f"{subject} is not a decimal number{hint}; {_ACCEPTED}", where)


def _expand_range(token: str, parts: re.Match[str], known: set[str], path: str) -> list[str]:
    prefix, low, high = parts[1], int(parts[2]), int(parts[3])
    if low > high:
        raise UsageError(
            "E411", f"the range {shown(token)} runs backwards: write the low end first"
        )
    if high - low >= len(known):
        message = f"{shown(token)} asks for {high - low + 1} columns; the file has {len(known)}"
        raise MismatchError("E411", f"{message}: shorten the range", path)
    width = len(parts[2])  # PC01-PC10 counts PC01, PC02, ...
    padded = [f"{prefix}{k:0{width}d}" for k in range(low, high + 1)]
    plain = [f"{prefix}{k}" for k in range(low, high + 1)]
    return [a if a in known else b for a, b in zip(padded, plain, strict=True)]


def _absent(name: str, available: Sequence[str], path: str) -> Problem:
    similar = nearest(name, available)
    listed = ", ".join(available[:10]) + (", ..." if len(available) > 10 else "")
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"the columns are: {listed}"
    return Problem("E411", f"no column is named {shown(name)}; {hint}", path)
