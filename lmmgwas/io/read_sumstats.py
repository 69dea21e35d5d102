"""Reading our tables again: summary statistics and lead variants, strictly and lean.

Columns are found by their names. A file is read in blocks of lines, a column at a time; of five
million rows some 30 bytes each stay in memory. What a row holds besides is read on demand.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError, FormatError, Problem
from lmmgwas.io.blocks import TextBlocks
from lmmgwas.io.plink import MAX_POSITION
from lmmgwas.io.sumstats import NOT_GIVEN
from lmmgwas.io.text import (
    MAX_LINE_BYTES,
    Remarks,
    file_identity,
    nearest,
    shown,
)

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

CHROMOSOME, POSITION, COUNT = "chromosome", "base_pair_location", "n"
P_VALUE, NEG_LOG10_P = "p_value", "neg_log_10_p_value"
MISSING_P = ("NA", NOT_GIVEN)

_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?$"
_WHOLE = r"^[0-9]{1,15}$"
_POWERS = np.array([float(f"1e{k}") for k in range(23)])  # a double holds these exactly
_IMPRECISE = 1e-300  # below, a double loses digits or is 0
_TRAIT = re.compile(r'^trait_description:\n  - (".*")$', re.MULTILINE)
_SAMPLE_SIZE = re.compile(r"^  - sample_size: ([0-9]{1,15})$", re.MULTILINE)
_WHERE_FROM = "give a table of `lmmgwas assoc`, PREFIX.TRAIT.tsv.gz or PREFIX.TRAIT.leads.tsv"


@dataclass(frozen=True, slots=True, eq=False)
class SummaryTable:
    """What a plot needs of a table; rows in file order, those without a p-value left out."""

    path: str
    header: tuple[str, ...]
    labels: tuple[str, ...]  # chromosomes as written, in order of appearance
    chrom: NDArray[np.int32]  # (m,) index into labels
    pos: Indices  # (m,) base pairs, 0 where unknown
    neg_log10_p: Array  # (m,)
    line: Indices  # (m,) of the file, the header being line 1
    n_samples: int  # the largest n
    n_skipped: int  # rows without a p-value
    identity: tuple[int, ...]
    remarks: Remarks

    def __len__(self) -> int:
        return self.pos.size


@dataclass(frozen=True, slots=True)
class SidecarFacts:
    """What the metadata beside a table say of it."""

    trait: str
    n_samples: int


@dataclass(slots=True, eq=False)
class _Parts:
    """Columns as they come in, block by block."""

    label_code: dict[str, int] = field(default_factory=dict)
    chrom: list[NDArray[np.int32]] = field(default_factory=list)
    pos: list[Indices] = field(default_factory=list)
    neg_log10_p: list[Array] = field(default_factory=list)
    line: list[Indices] = field(default_factory=list)
    n_samples: int = 0
    n_skipped: int = 0


def as_written(values: Array) -> Array:
    """Return what `%.8g` leaves of numbers that are not negative: what a reader of a table gets.

    An integer below 1e8 over a power of ten up to 1e22 is rounded once, as the text is when it
    is read; where rounding to 8 digits is close to a tie, and outside that range, text decides.
    """
    safe = np.where((values >= 1e-14) & (values < 1e7), values, 1.0)
    power = _POWERS[7 - np.floor(np.log10(safe)).astype(np.int64)]
    scaled = safe * power
    result: Array = np.rint(scaled) / power
    tie = np.abs(scaled - np.floor(scaled) - 0.5) < 1e-6
    for k in np.flatnonzero(tie | (safe != values)).tolist():
        result[k] = float(f"{values[k]:.8g}")
    return result


def read_sumstats(path: str | Path) -> SummaryTable:
    """Read chromosome, position and p of every row, and the largest n.

    -log10 p is taken from `neg_log_10_p_value` when it is there, otherwise from the text of
    `p_value`, which may be below the smallest double.

    Raises
    ------
    FileAccessError
        E110: the file cannot be read, or is no regular file.
    FormatError
        E601 (gzip), E206 (encoding), E207 (line too long), E420 (missing column), E421 (column
        named twice), E422 (field count), E423 (p), E424 (p = 0), E425 (chromosome), E426
        (position), E427 (n), E428 (no row with a p-value).
    """
    identity = file_identity(Path(path))
    text = TextBlocks(path)
    header: tuple[str, ...] = ()
    parts = _Parts()
    for first_line, block in text:
        body, line = block, first_line
        if not header:
            head, _, body = block.partition(b"\n")
            header, line = _header(head.decode(), text.path), first_line + 1
        if body:
            _add_block(parts, body, line, header, text.path)
    if not any(part.size for part in parts.pos):
        what = f"{parts.n_skipped:,} rows, all without a p-value" if parts.n_skipped else "no row"
        found = f"the table holds {what}: there is nothing to draw; {_WHERE_FROM}"
        raise FormatError("E428", found, f"{text.path}:{2 if header else 1}:1")
    if parts.n_samples < 1:
        message = "column 'n' holds no number of samples (1 or more): fill it in"
        raise FormatError("E427", message, f"{text.path}:2:{header.index(COUNT) + 1}")
    return SummaryTable(
        path=text.path,
        header=header,
        labels=tuple(parts.label_code),
        chrom=_joined(parts.chrom),
        pos=_joined(parts.pos),
        neg_log10_p=_joined(parts.neg_log10_p),
        line=_joined(parts.line),
        n_samples=parts.n_samples,
        n_skipped=parts.n_skipped,
        identity=identity,
        remarks=Remarks(tuple(text.notes)),
    )


def read_rows(table: SummaryTable, rows: Indices) -> list[list[str]]:
    """Return all fields of some rows, as text and in the order of `rows`."""
    lines = table.line[rows]
    wanted = np.sort(lines)
    found: dict[int, list[str]] = {}
    for first_line, block in TextBlocks(table.path):
        after = first_line + block.count(b"\n") + 1
        here = wanted[np.searchsorted(wanted, first_line) : np.searchsorted(wanted, after)]
        if here.size:
            texts = block.split(b"\n")
            found |= {k: texts[k - first_line].decode().split("\t") for k in here.tolist()}
        if not wanted.size or after > wanted[-1]:
            break
    if file_identity(Path(table.path)) != table.identity:
        raise FileAccessError("E110", "the file changed while it was read: try again", table.path)
    return [found[line] for line in lines.tolist()]


def read_sidecar(path: Path) -> SidecarFacts | None:
    """Return trait and sample size of a metadata file that `assoc` wrote; None without one."""
    try:
        text = path.read_text(encoding="utf-8")
        trait, size = _TRAIT.search(text), _SAMPLE_SIZE.search(text)
        if trait is not None and size is not None:
            return SidecarFacts(str(json.loads(trait[1])), int(size[1]))
    except (OSError, ValueError):
        pass
    return None


def _header(line: str, path: str) -> tuple[str, ...]:
    """Return the column names, if all that are needed are there, and once."""
    names = tuple(line.split("\t"))
    problems = [
        Problem("E421", f"the header names column {shown(name)} twice: remove one", f"{path}:1:{k}")
        for k, name in enumerate(names, 1)
        if name in names[: k - 1]
    ]
    needed = [[CHROMOSOME], [POSITION], [NEG_LOG10_P, P_VALUE], [COUNT]]
    for choices in needed:
        if not set(choices) & set(names):
            similar = ", ".join(nearest(choices[0], names))
            hint = f"similar columns here: {similar}" if similar else f"{len(names)} columns here"
            hint += "" if len(names) > 1 else " (tabs separate columns)"
            expected = " or ".join(f"'{name}'" for name in choices)
            message = f"the header lacks column {expected} ({hint}); {_WHERE_FROM}"
            problems.append(Problem("E420", message, f"{path}:1:{len(names)}"))
    if problems:
        raise FormatError.of(problems)
    return names


def _add_block(parts: _Parts, block: bytes, line: int, header: tuple[str, ...], path: str) -> None:
    """Parse the needed columns of a block of rows."""
    p_name = NEG_LOG10_P if NEG_LOG10_P in header else P_VALUE
    columns = _columns(block, line, header, (CHROMOSOME, POSITION, p_name, COUNT), path)
    problems: list[tuple[int, str, str, str]] = []  # row, column, code, message
    chrom = _chromosomes(columns[CHROMOSOME], parts.label_code, problems)
    pos = _positions(columns[POSITION], problems)
    neg_log10_p = _P_READERS[p_name](columns[p_name], problems)
    largest = _largest_count(columns[COUNT], problems)
    if problems:
        place = {name: k for k, name in enumerate(header, 1)}
        problems.sort(key=lambda problem: (problem[0], place[problem[1]]))
        raise FormatError.of(
            [
                Problem(code, message, f"{path}:{line + row}:{place[name]}")
                for row, name, code, message in problems
            ]
        )
    kept = ~np.isnan(neg_log10_p)
    parts.n_skipped += int(kept.size - kept.sum())
    parts.n_samples = max(parts.n_samples, largest)
    parts.chrom.append(chrom[kept])
    parts.pos.append(pos[kept])
    parts.neg_log10_p.append(neg_log10_p[kept])
    parts.line.append(np.flatnonzero(kept) + line)


def _columns(
    block: bytes, line: int, header: Sequence[str], wanted: Sequence[str], path: str
) -> dict[str, Any]:
    """Return columns as pyarrow arrays of text; the chromosome as a dictionary array."""
    if block.startswith(b"\n") or b"\n\n" in block:  # pyarrow takes it for empty fields
        raise _ragged(block, line, len(header), path)
    types = {name: pa.string() for name in wanted}
    types[CHROMOSOME] = pa.dictionary(pa.int32(), pa.string())
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block),
            read_options=pyarrow.csv.ReadOptions(
                column_names=list(header), use_threads=False, block_size=2 * MAX_LINE_BYTES
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter="\t", quote_char=False, escape_char=False, ignore_empty_lines=False
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, include_columns=list(wanted), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise _ragged(block, line, len(header), path) from error
    return {name: table.column(name).unify_dictionaries().combine_chunks() for name in wanted}


def _ragged(block: bytes, line: int, n_columns: int, path: str) -> Exception:
    """Say which lines have another number of fields than the header."""
    problems = []
    for k, text in enumerate(block.split(b"\n"), line):
        n_fields = text.count(b"\t") + 1
        if n_fields != n_columns:
            found = f"{n_fields} fields" if text.strip() else "blank line"
            message = f"{found}, where {n_columns} columns were expected as in the header: mend it"
            problems.append(Problem("E422", message, f"{path}:{k}:{min(n_fields, n_columns)}"))
    return FormatError.of(problems)


def _chromosomes(
    texts: Any, label_code: dict[str, int], problems: list[tuple[int, str, str, str]]
) -> NDArray[np.int32]:
    """Return the code of each row's label, new labels added to `label_code`."""
    labels = texts.dictionary.to_pylist()
    index = np.asarray(texts.indices, dtype=np.int32)
    for k, label in enumerate(labels):
        if label in ("", *MISSING_P):
            message = f"chromosome {shown(label)}: write 0 where it is unknown"
            problems += [(row, CHROMOSOME, "E425", message) for row in _where(index == k)]
    codes = [label_code.setdefault(label, len(label_code)) for label in labels]
    result: NDArray[np.int32] = np.array(codes, dtype=np.int32)[index]
    return result


def _positions(texts: Any, problems: list[tuple[int, str, str, str]]) -> Indices:
    whole = _matches(texts, _WHOLE)
    pos = np.array(pc.cast(pc.if_else(whole, texts, "0"), pa.int64()), dtype=np.int64)
    for row in _where(~np.asarray(whole) | (pos > MAX_POSITION)):
        message = (
            f"position {shown(texts[row].as_py())} is not an integer from 0 to {MAX_POSITION}: "
            "write base pairs in full, without point, exponent and sign; 0 where it is unknown"
        )
        problems.append((row, POSITION, "E426", message))
    return pos


def _largest_count(texts: Any, problems: list[tuple[int, str, str, str]]) -> int:
    """Return the largest n, 0 where there is none."""
    whole = _matches(texts, _WHOLE)
    if not pc.all(whole).as_py():
        missing = np.asarray(pc.is_in(texts, pa.array(MISSING_P)))
        for row in _where(~np.asarray(whole) & ~missing):
            message = (
                f"n {shown(texts[row].as_py())} is not a whole number of samples: write one, or NA"
            )
            problems.append((row, COUNT, "E427", message))
    return int(pc.max(pc.cast(pc.if_else(whole, texts, "0"), pa.int64())).as_py())


def _numbers(
    texts: Any, name: str, problems: list[tuple[int, str, str, str]]
) -> tuple[Array, NDArray[np.bool_]]:
    """Return numbers, NaN where there is none, and where there is one."""
    numeric = _matches(texts, _NUMBER)
    values = np.array(pc.cast(pc.if_else(numeric, texts, "nan"), pa.float64()), dtype=np.float64)
    is_number = np.asarray(numeric)
    if not is_number.all():
        missing = np.asarray(pc.is_in(texts, pa.array(MISSING_P)))
        for row in _where(~is_number & ~missing):
            message = (
                f"{name} {shown(texts[row].as_py())} is not a number: write it like 0.05 or "
                "1.23e-412, and NA or #NA where there is none"
            )
            problems.append((row, name, "E423", message))
    return values, is_number


def _given_neg_log10_p(texts: Any, problems: list[tuple[int, str, str, str]]) -> Array:
    values, is_number = _numbers(texts, NEG_LOG10_P, problems)
    for row in _where(is_number & ~((values >= 0.0) & (values < math.inf))):
        message = (
            f"{NEG_LOG10_P} {shown(texts[row].as_py())} is no -log10 of a p from 0 to 1: 0 or more "
            "was expected; take the column from the original table"
        )
        problems.append((row, NEG_LOG10_P, "E423", message))
    return values


def _from_p_value(texts: Any, problems: list[tuple[int, str, str, str]]) -> Array:
    """Take the logarithm; of what a double cannot hold, by its text."""
    p, is_number = _numbers(texts, P_VALUE, problems)
    for row in _where(is_number & ~((p >= 0.0) & (p <= 1.0))):
        message = (
            f"{P_VALUE} {shown(texts[row].as_py())} is outside 0 to 1: is this another column, "
            f"such as -log10 p? Then call it {NEG_LOG10_P}"
        )
        problems.append((row, P_VALUE, "E423", message))
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Array = -np.log10(p)
    for row in _where((p >= 0.0) & (p < _IMPRECISE)):
        text = texts[row].as_py()
        mantissa, _, exponent = text.lower().partition("e")
        if float(mantissa) == 0.0:
            message = (
                f"{P_VALUE} {shown(text)} is 0, so it was rounded and -log10 p is needed: add the "
                f"column {NEG_LOG10_P}, or write such p in full as text (1.23e-412)"
            )
            problems.append((row, P_VALUE, "E424", message))
        else:
            values[row] = -math.log10(float(mantissa)) - int(exponent or "0")
    return np.maximum(values, 0.0)  # no -0.0; NaN stays


_P_READERS = {NEG_LOG10_P: _given_neg_log10_p, P_VALUE: _from_p_value}


def _joined(blocks: list[Any]) -> Any:
    """Return one array; the blocks go, so that both are in memory for one column only."""
    whole = np.concatenate(blocks)
    blocks.clear()
    return whole


def _matches(texts: Any, pattern: str) -> Any:
    return pc.match_substring_regex(texts, pattern)


def _where(mask: NDArray[np.bool_]) -> list[int]:
    rows: list[int] = np.flatnonzero(mask).tolist()
    return rows
