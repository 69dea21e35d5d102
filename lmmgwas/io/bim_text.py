"""A .bim the long way: with runs of blanks, without cM, or with something to refuse.

`bim_kernels` reads what is as PLINK writes it; what it leaves is read here, where each line can
be told what is wrong with it.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.errors import FormatError
from lmmgwas.io.problems import Problems
from lmmgwas.io.text import (
    Remarks,
    TextFile,
    is_number,
    is_plink2_text,
    one_tab,
    shown,
    string_columns,
)
from lmmgwas.model.genotypes import Indices, RawVariants

MAX_POSITION = 2**31 - 1
MAX_ALLELE_BYTES = 1 << 20

_COLUMNS = ("chrom", "marker_id", "cm", "pos", "effect_allele", "other_allele")
_LAYOUT = "chromosome, ID, cM, position, allele 1, allele 2"
_MAY_BE_EMPTY = {0: b"0", 2: b"NA"}  # columns between tabs, and what stands for nothing there
_LEAST_TO_JUDGE = 10  # lines


def read_the_long_way(file: TextFile) -> tuple[RawVariants, Remarks]:
    """Return the variants of a .bim and what is to be said about it; see `read_bim`."""
    if is_plink2_text(file.body):
        message = "this is a .pvar or VCF file or a .psam, not a .bim: convert it with plink2"
        raise FormatError("E204", f"{message} --make-bed", f"{file.path}:1")
    problems = Problems(file.path)
    filled, n_without_chrom = _fill_empty(file.body, problems)
    body = one_tab(filled)
    names = _columns_of_lines(body, problems)
    columns = string_columns(body, names)
    pos = parse_positions(columns["pos"], names.index("pos") + 1, problems)
    for name in _COLUMNS[-2:]:
        check_alleles(columns[name], names.index(name) + 1, problems)
    problems.refuse()
    chrom = columns["chrom"].dictionary_encode()
    if "cm" not in names:
        _require_chromosomes(len(chrom.dictionary), pos.size, file.path)
    variants = RawVariants(
        labels=tuple(chrom.dictionary.to_pylist()),
        label_code=np.array(chrom.indices, dtype=np.int32),
        pos=pos,
        marker_id=columns["marker_id"],
        effect_allele=columns["effect_allele"],
        other_allele=columns["other_allele"],
    )
    n_odd = _count_odd(columns["cm"]) if "cm" in columns else None
    remarks = bim_remarks(n_odd, int((pos <= 0).sum()), file.path)
    if n_without_chrom:
        note = f"{file.path}: {n_without_chrom} lines without a chromosome were read as 0"
        remarks += Remarks((f"{note} (unplaced)",))
    return variants, file.remarks + remarks


def bim_remarks(n_odd_cm: int | None, n_unknown: int, path: str) -> Remarks:
    """What is to be said of odd cM values (None: there is no such column), unknown positions."""
    notes, warnings = [], []
    if n_odd_cm is None:
        notes.append(f"{path}: 5 columns, accepted (no cM column)")
    elif n_odd_cm:
        notes.append(f"{path}: negative or missing cM on {n_odd_cm} lines (cM is not used)")
    if n_unknown:
        warnings.append(
            f"{path}: {n_unknown} variants have position 0 or less, which means unknown: they are "
            "tested, written with position 0 and left out of the Manhattan plot"
        )
    return Remarks(tuple(notes), tuple(warnings))


def _fill_empty(body: bytes, problems: Problems) -> tuple[bytes, int]:
    """Fill empty fields of lines of six fields between single tabs.

    As a run of tabs they would be one separator, and the fields behind them would move up: a
    file without alleles would be read with its positions for alleles.

    Returns the text, and how many lines have no chromosome.
    """
    rows = _rows_with_empty_fields(body)
    if not rows.size:
        return body, 0
    lines = body.split(b"\n")
    empty: dict[int, list[int]] = {}  # rows by the column that must not be empty
    n_without_chrom = 0
    for row in rows.tolist():
        cells = lines[row].split(b"\t")
        n_without_chrom += not cells[0]
        for column, cell in enumerate(cells):
            if not cell and column not in _MAY_BE_EMPTY:
                empty.setdefault(column, []).append(row)
            cells[column] = cell or _MAY_BE_EMPTY.get(column, b"0")
        lines[row] = b"\t".join(cells)
    said = f"the column is empty, expected {len(_COLUMNS)} columns ({_LAYOUT}): mend the line"
    for column, found in empty.items():
        problems.add("E201", np.array(found), lambda row: said, column + 1)
    return b"\n".join(lines), n_without_chrom


def _rows_with_empty_fields(body: bytes) -> NDArray[np.intp]:
    """Lines (from 0) without blanks that have six fields between single tabs, some empty."""
    if not any(pair in b"\n" + body + b"\n" for pair in (b"\t\t", b"\n\t", b"\t\n")):
        return np.empty(0, dtype=np.intp)
    data = np.frombuffer(body + b"\n", dtype=np.uint8)
    separators = np.flatnonzero((data == ord("\t")) | (data == ord("\n")))
    is_end = data[separators] == ord("\n")
    line = np.cumsum(is_end) - is_end
    empty = np.diff(separators, prepend=-1) == 1
    n_fields = np.bincount(line)
    wanted = (n_fields == len(_COLUMNS)) & (np.bincount(line, weights=empty) > 0)
    blanks = np.flatnonzero(data == ord(" "))
    wanted[np.searchsorted(separators[is_end], blanks)] = False
    return np.flatnonzero(wanted)


def _columns_of_lines(body: bytes, problems: Problems) -> list[str]:
    """Return the names of the columns, 6 or 5, which every line has."""
    names = list(_COLUMNS)
    if not body:
        return names
    data = np.frombuffer(body + b"\n", dtype=np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    tabs = np.flatnonzero(data == ord("\t"))
    n_fields = np.diff(np.searchsorted(tabs, ends), prepend=0) + 1
    n_fields[np.diff(ends, prepend=-1) == 1] = 0
    blank = "blank line within the file: remove it, or restore the variant that was here"
    problems.add("E202", np.flatnonzero(n_fields == 0), lambda row: blank)
    if (n_fields == len(names) - 1).all():
        names.remove("cm")
    expected = f"expected {len(_COLUMNS)} ({_LAYOUT}): mend the line"
    wrong = np.flatnonzero((n_fields != len(names)) & (n_fields > 0))
    problems.add("E201", wrong, lambda row: f"{n_fields[row]} columns, {expected}")
    if wrong.size or not n_fields.all():
        problems.refuse()  # no column can be told from another
    return names


def _require_chromosomes(n_labels: int, m: int, path: str) -> None:
    """Five columns may lack the chromosome, not cM: then each ID would be a chromosome."""
    if m >= _LEAST_TO_JUDGE and 2 * n_labels > m:
        message = f"5 columns, the first of them with {n_labels} different values on {m} lines"
        remedy = f"is the column of chromosomes missing? Write all 6 columns ({_LAYOUT})"
        raise FormatError("E201", f"{message}: {remedy}", path)


def parse_positions(
    texts: Any, column: int, problems: Problems, *, headed: bool = False
) -> Indices:
    """Return positions (m,) from a pyarrow string array; those that are none are noted (E203).

    `headed` says that the file has a header, which its first line is not then.
    """

    def say(row: int) -> str:
        return _bad_position(texts[row].as_py(), column, is_first=row == 0 and not headed)

    plain = pc.match_substring_regex(texts, r"^-?[0-9]{1,18}$")
    problems.add("E203", np.flatnonzero(~np.array(plain, dtype=np.bool_)), say, column)
    pos = np.array(pc.if_else(plain, texts, "0").cast(pa.int64()), dtype=np.int64)
    problems.add("E203", np.flatnonzero(pos > MAX_POSITION), say, column)
    return pos


def _bad_position(text: str, column: int, *, is_first: bool) -> str:
    if text.isascii() and text.lstrip("-").isdecimal():
        hint = "the number is too large: is it in base pairs?"
    elif is_number(text):
        hint = "exported from Excel or R? Write it in full, without sign, point and exponent"
    elif is_first:
        hint = "a .bim file has no header: remove line 1 if it is one"
    else:
        hint = f"column {column} holds base pairs; write 0 where the position is unknown"
    return f"position {shown(text)} is not an integer up to {MAX_POSITION}; {hint}"


def check_alleles(alleles: Any, column: int, problems: Problems) -> None:
    """Note several alleles in one (E205), and alleles that are too long (E207)."""
    remedy = "split the variant with `bcftools norm -m-` or plink2, and convert it again"
    said = f"is several alleles, not one: {remedy}"
    several = np.flatnonzero(np.array(pc.match_substring(alleles, ","), dtype=np.bool_))
    problems.add("E205", several, lambda row: f"{shown(alleles[row].as_py())} {said}", column)
    lengths = np.array(pc.binary_length(alleles), dtype=np.int64)
    limit = f"at most {MAX_ALLELE_BYTES} are read: name it <DEL> or the like"
    too_long = np.flatnonzero(lengths > MAX_ALLELE_BYTES)
    problems.add("E207", too_long, lambda row: f"allele of {lengths[row]} bytes; {limit}", column)


def _count_odd(cm: Any) -> int:
    """How many cM values do not begin as a number that is not negative does."""
    return len(cm) - int(pc.sum(pc.match_substring_regex(cm, r"^[0-9.]")).as_py() or 0)
