"""Columns of a table by name, as numbers or as categories; missing values are counted.

The grammar of numbers is strict and ASCII only: what a spreadsheet would guess is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FormatError, MismatchError, Problem, UsageError
from lmmgwas.io.tables import NA_SPELLINGS, Table
from lmmgwas.io.text import is_number, nearest, parse_numbers, shown

_ACCEPTED = "missing values are written NA, NaN, nan, . or, between tabs or commas, nothing"
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_LIKE_MISSING = frozenset({"na", "n/a", "n.a.", "#n/a", "#na", "nan", "null", "?", "-", "--"})
_RANGE = re.compile(r"(.*?)([0-9]+)-\1([0-9]+)")


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


def doubtful_levels(column: TextColumn) -> list[str]:
    """Return a sentence for each level that looks like a slip of the pen, none for most columns.

    Such are other spellings of a missing value, and levels that differ in case or as numbers are
    written (1 and 1.0).
    """
    levels = sorted({value for value in column.values if value is not None})
    said = [
        f"{shown(level)} was read as a level, not as a missing value; {_ACCEPTED}"
        for level in levels
        if level.casefold() in _LIKE_MISSING
    ]
    alike: dict[str, list[str]] = {}
    for level in levels:
        folded = repr(float(level)) if is_number(level) else level.casefold()
        alike.setdefault(folded, []).append(shown(level))
    return said + [
        f"{' and '.join(same)} were read as {len(same)} levels: write them alike if they are one"
        for same in alike.values()
        if len(same) > 1
    ]


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
        raise MismatchError("E411", f"{message}: shorten the range", _heading(path))
    width = len(parts[2])  # PC01-PC10 counts PC01, PC02, ...
    padded = [f"{prefix}{k:0{width}d}" for k in range(low, high + 1)]
    plain = [f"{prefix}{k}" for k in range(low, high + 1)]
    return [a if a in known else b for a, b in zip(padded, plain, strict=True)]


def _absent(name: str, available: Sequence[str], path: str) -> Problem:
    similar = nearest(name, available)
    listed = ", ".join(available[:10]) + (", ..." if len(available) > 10 else "")
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"the columns are: {listed}"
    return Problem("E411", f"no column is named {shown(name)}; {hint}", _heading(path))


def _heading(path: str) -> str:
    return f"{path}:1" if path else ""
