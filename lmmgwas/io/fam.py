"""The .fam of a PLINK 1 file set: who the samples are, in the order of the genotypes.

IDs are strings, whatever they look like. Parents and sex are read, the phenotype is not: a trait
comes from a table of its own.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from lmmgwas.errors import FormatError, Problem
from lmmgwas.io.problems import Problems
from lmmgwas.io.text import Remarks, is_plink2_text, read_text, shown
from lmmgwas.model.genotypes import Samples

_LEAST_COLUMNS, _COLUMNS = 4, 6
_SEX = {b"1": 1, b"2": 2}
_SHOWN_CODES = 5


def read_fam(path: str | Path) -> tuple[Samples, Remarks]:
    """Read a .fam file; return its samples and what is to be said about it.

    FID 0 becomes "". Sex is 1 or 2, anything else 0. Columns after the sixth are ignored, but
    all lines must have as many.
    Notes: CRLF, byte order mark, FID 0, unknown sex codes, fewer than 6 or more columns.

    Raises
    ------
    FormatError
        E301 (duplicate sample), E302 (IID 0), E303 (columns), E204 (a .psam), and those of
        `read_text`.
    """
    file = read_text(path)
    # bytes.split() splits at blanks and tabs only; str.split() would also at Unicode blanks.
    lines = file.body.split(b"\n")
    while lines and not lines[-1].strip(b" \t"):
        lines.pop()
    if is_plink2_text(file.body) or (lines and lines[0].split()[:2] == [b"FID", b"IID"]):
        message = "this is a .psam or .pvar, or line 1 is a header, which a .fam does not have"
        remedy = "convert the file set with plink2 --make-bed, or remove line 1"
        raise FormatError("E204", f"{message}: {remedy}", f"{file.path}:1")
    rows = [_fields(line) for line in lines]
    width = _check_lines(rows, file.path)
    fid = tuple("" if row[0] == b"0" else row[0].decode("utf-8") for row in rows)
    iid = tuple(row[1].decode("utf-8") for row in rows)
    check_ids(fid, iid, file.path)
    codes = [row[4] if width > 4 else b"0" for row in rows]
    sex = np.array([_SEX.get(code, 0) for code in codes], dtype=np.int8)
    founder = np.array([row[2:4] == [b"0", b"0"] for row in rows], dtype=np.bool_)
    notes = _notes(fid, codes, width, file.path) if rows else ()
    return Samples(fid, iid, sex, founder), file.remarks + Remarks(notes)


def _notes(fid: tuple[str, ...], codes: list[bytes], width: int, path: str) -> tuple[str, ...]:
    """What was accepted that is not as PLINK writes it."""
    notes = []
    if n_zero := fid.count(""):
        notes.append(f"{path}: FID 0 of {n_zero} samples was read as no FID")
    odd = Counter(code.decode("utf-8") for code in codes if code not in (b"0", b"1", b"2"))
    if odd:
        examples = ", ".join(shown(code) for code in list(odd)[:_SHOWN_CODES])
        notes.append(
            f"{path}: sex codes other than 0, 1, 2 of {odd.total()} samples mean unknown "
            f"({examples})"
        )
    if width < _COLUMNS:
        notes.append(f"{path}: {width} columns, accepted (PLINK writes 6)")
    if width > _COLUMNS:
        notes.append(f"{path}: the columns after the sixth were ignored ({width} columns)")
    return tuple(notes)


def _fields(line: bytes) -> list[bytes]:
    """The fields of a line; between single tabs a field may be empty, which means 0."""
    cells = line.split(b"\t")
    if len(cells) == _COLUMNS and b"" in cells and b" " not in line:
        return [cell or b"0" for cell in cells]
    return line.split()


def _check_lines(rows: list[list[bytes]], path: str) -> int:
    """Return the number of columns, which every line has."""
    if not rows:
        return _COLUMNS
    n_fields = np.array([len(row) for row in rows])
    # What most lines have: one line with an ID of two words must not make all others wrong.
    usual = Counter(n_fields.tolist()).most_common(1)[0][0]
    width = usual if usual >= _LEAST_COLUMNS else _COLUMNS
    layout = "FID, IID, father, mother, sex, phenotype"
    expected = f"{width} as most lines have" if width == usual else "6"

    def say(row: int) -> str:
        remedy = "does an ID hold a blank?" if n_fields[row] > width else "mend the line"
        if not n_fields[row]:
            remedy = "a blank line: remove it, or restore the sample that was here"
        return f"{n_fields[row]} columns, expected {expected} ({layout}): {remedy}"

    problems = Problems(path)
    problems.add("E303", np.flatnonzero(n_fields != width), say)
    problems.refuse()
    return width


def check_ids(
    fid: tuple[str, ...], iid: tuple[str, ...], path: str, first_line: int = 1, column: int = 2
) -> None:
    """Refuse an IID of 0 (E302) and a sample that is there twice (E301).

    `first_line` is that of the first sample, `column` that of the IIDs, from 1.
    """
    first: dict[tuple[str, str], int] = {}
    problems = []
    for line, key in enumerate(zip(fid, iid, strict=True), first_line):
        if key[1] == "0":
            message = "IID 0 means no ID: give the sample its ID"
            problems.append(Problem("E302", message, f"{path}:{line}:{column}"))
        elif (earlier := first.setdefault(key, line)) != line:
            message = f"sample {key[0] or '0'} {key[1]} is on lines {earlier} and {line}"
            remedy = "give each sample an ID of its own (plink2 --update-ids)"
            problems.append(Problem("E301", f"{message}: {remedy}", f"{path}:{line}"))
    if problems:
        raise FormatError.of(problems)
