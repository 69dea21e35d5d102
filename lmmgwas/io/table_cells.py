"""Cells of large tables, a column at a time: texts by pyarrow, numbers by a strict grammar.

Every reader of summary statistics stands on these. An offence is noted with its row, its column,
a code and a sentence; all of a block are raised together, with their places.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from lmmgwas.errors import FormatError, Problem
from lmmgwas.io.plink import MAX_POSITION
from lmmgwas.io.sumstats import NOT_GIVEN
from lmmgwas.io.text import MAX_LINE_BYTES, shown

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
CellProblems = list[tuple[int, str, str, str]]
"""Row of the block, name of the column in the file, code, message."""

MISSING = ("NA", NOT_GIVEN)

_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?$"
_WHOLE = r"^[0-9]{1,15}$"
_IMPRECISE = 1e-300  # below, a double loses digits or is 0


def split_columns(
    block: bytes,
    line: int,
    header: Sequence[str],
    wanted: Sequence[str],
    path: str,
    *,
    labels: str,
    delimiter: str = "\t",
) -> dict[str, Any]:
    """Return columns of a block as pyarrow arrays of text; `labels` as a dictionary array.

    `line` is the number of the block's first line. Raises FormatError (E422) where a line has
    another number of fields than the header.
    """
    if block.startswith(b"\n") or b"\n\n" in block:  # pyarrow takes it for empty fields
        raise _ragged(block, line, len(header), path, delimiter)
    types = {name: pa.string() for name in wanted}
    types[labels] = pa.dictionary(pa.int32(), pa.string())
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block),
            read_options=pyarrow.csv.ReadOptions(
                column_names=list(header), use_threads=False, block_size=2 * MAX_LINE_BYTES
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, quote_char=False, escape_char=False, ignore_empty_lines=False
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, include_columns=list(wanted), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _ragged(block, line, len(header), path, delimiter) from error
    return {name: table.column(name).unify_dictionaries().combine_chunks() for name in wanted}


def _ragged(block: bytes, line: int, n_columns: int, path: str, delimiter: str) -> Exception:
    """Say which lines have another number of fields than the header."""
    problems = []
    for k, text in enumerate(block.split(b"\n"), line):
        n_fields = text.count(delimiter.encode()) + 1
        if n_fields != n_columns:
            found = f"{n_fields} fields" if text.strip() else "blank line"
            message = f"{found}, where {n_columns} columns were expected as in the header: mend it"
            problems.append(Problem("E422", message, f"{path}:{k}:{min(n_fields, n_columns)}"))
    return FormatError.of(problems)


def refuse(problems: CellProblems, header: Sequence[str], line: int, path: str) -> None:
    """Raise FormatError if there are problems, in the order of the file."""
    if not problems:
        return
    place = {name: k for k, name in enumerate(header, 1)}
    problems.sort(key=lambda problem: (problem[0], place[problem[1]]))
    raise FormatError.of(
        [
            Problem(code, message, f"{path}:{line + row}:{place[name]}")
            for row, name, code, message in problems
        ]
    )


def chromosome_codes(
    texts: Any, name: str, label_code: dict[str, int], problems: CellProblems
) -> NDArray[np.int32]:
    """Return the code of each row's label (m,), new labels added to `label_code`. E425."""
    labels = texts.dictionary.to_pylist()
    index = np.asarray(texts.indices, dtype=np.int32)
    for k, label in enumerate(labels):
        if label in ("", *MISSING):
            message = f"chromosome {shown(label)}: write 0 where it is unknown"
            problems += [(row, name, "E425", message) for row in where(index == k)]
    codes = [label_code.setdefault(label, len(label_code)) for label in labels]
    result: NDArray[np.int32] = np.array(codes, dtype=np.int32)[index]
    return result


def positions(texts: Any, name: str, problems: CellProblems) -> Indices:
    """Return base pairs (m,). E426."""
    whole = matches(texts, _WHOLE)
    pos = np.array(pc.cast(pc.if_else(whole, texts, "0"), pa.int64()), dtype=np.int64)
    for row in where(~np.asarray(whole) | (pos > MAX_POSITION)):
        message = (
            f"position {shown(texts[row].as_py())} is not an integer from 0 to {MAX_POSITION}: "
            "write base pairs in full, without point, exponent and sign; 0 where it is unknown"
        )
        problems.append((row, name, "E426", message))
    return pos


def counts(texts: Any, name: str, problems: CellProblems) -> Any:
    """Return whole numbers as a pyarrow array, null where there is none. E427."""
    whole = matches(texts, _WHOLE)
    if not pc.all(whole).as_py():
        missing = np.asarray(pc.is_in(texts, pa.array(MISSING)))
        for row in where(~np.asarray(whole) & ~missing):
            message = (
                f"n {shown(texts[row].as_py())} is not a whole number of samples: write one, or NA"
            )
            problems.append((row, name, "E427", message))
    return pc.cast(pc.if_else(whole, texts, pa.scalar(None, pa.string())), pa.int64())


def numbers(
    texts: Any, name: str, problems: CellProblems, code: str = "E423"
) -> tuple[Array, NDArray[np.bool_]]:
    """Return numbers (m,), NaN where there is none, and where there is one (m,)."""
    numeric = matches(texts, _NUMBER)
    values = np.array(pc.cast(pc.if_else(numeric, texts, "nan"), pa.float64()), dtype=np.float64)
    is_number = np.asarray(numeric)
    if not is_number.all():
        missing = np.asarray(pc.is_in(texts, pa.array(MISSING)))
        for row in where(~is_number & ~missing):
            message = (
                f"{name} {shown(texts[row].as_py())} is not a number: write it like 0.05 or "
                "1.23e-412, and NA or #NA where there is none"
            )
            problems.append((row, name, code, message))
    return values, is_number


def numbers_within(texts: Any, name: str, low: float, high: float, problems: CellProblems) -> Array:
    """Return numbers (m,), NaN where there is none; infinite ones and others outside: E441."""
    values, is_number = numbers(texts, name, problems, "E441")
    for row in where(is_number & ~((values >= low) & (values <= high) & np.isfinite(values))):
        bounds = "a finite number" if low == -math.inf else f"a number from {low:g}"
        bounds += f" to {high:g}" if high < math.inf else ""
        message = (
            f"{name} {shown(texts[row].as_py())} is out of range: {bounds} was expected; "
            "take the column from the original table"
        )
        problems.append((row, name, "E441", message))
    return values


def given_neg_log10_p(texts: Any, name: str, problems: CellProblems) -> Array:
    """Return a column of -log10 p (m,), NaN where there is none. E423."""
    values, is_number = numbers(texts, name, problems)
    for row in where(is_number & ~((values >= 0.0) & (values < math.inf))):
        message = (
            f"{name} {shown(texts[row].as_py())} is no -log10 of a p from 0 to 1: 0 or more "
            "was expected; take the column from the original table"
        )
        problems.append((row, name, "E423", message))
    return values


def neg_log10_of_p(texts: Any, name: str, problems: CellProblems) -> Array:
    """Return -log10 of a column of p (m,), of what a double cannot hold by its text. E423, E424."""
    p, is_number = numbers(texts, name, problems)
    for row in where(is_number & ~((p >= 0.0) & (p <= 1.0))):
        message = (
            f"{name} {shown(texts[row].as_py())} is outside 0 to 1: is this another column, "
            "such as -log10 p? Then call it neg_log_10_p_value"
        )
        problems.append((row, name, "E423", message))
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Array = -np.log10(p)
    for row in where((p >= 0.0) & (p < _IMPRECISE)):
        text = texts[row].as_py()
        mantissa, _, exponent = text.lower().partition("e")
        if float(mantissa) == 0.0:
            message = (
                f"{name} {shown(text)} is 0, so it was rounded and -log10 p is needed: add the "
                "column neg_log_10_p_value, or write such p in full as text (1.23e-412)"
            )
            problems.append((row, name, "E424", message))
        else:
            values[row] = -math.log10(float(mantissa)) - int(exponent or "0")
    return np.maximum(values, 0.0)  # no -0.0; NaN stays


def matches(texts: Any, pattern: str) -> Any:
    """Return which texts match, as a pyarrow array of booleans."""
    return pc.match_substring_regex(texts, pattern)


def where(mask: NDArray[np.bool_]) -> list[int]:
    """Return the rows where a mask holds."""
    rows: list[int] = np.flatnonzero(mask).tolist()
    return rows
