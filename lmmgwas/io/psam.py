"""The .psam of a PLINK 2 file set: who the samples are, in the order of the genotypes.

The last of the lines that begin with # names the columns. Without such lines the file is a .fam.
IDs are strings; parents and sex are read, traits are not: these come from a table of their own.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from lmmgwas.errors import FormatError
from lmmgwas.io.fam import check_ids, read_fam
from lmmgwas.io.problems import Problems
from lmmgwas.io.text import Remarks, TextFile, read_text, shown
from lmmgwas.model.genotypes import Samples

_SEX = {b"1": 1, b"M": 1, b"m": 1, b"2": 2, b"F": 2, b"f": 2}
_UNKNOWN_SEX = frozenset({b"0", b"NA", b"na", b"nan", b"NaN"})
_SHOWN_CODES = 5


def read_psam(path: str | Path) -> tuple[Samples, Remarks]:
    """Read a .psam file; return its samples and what is to be said about it.

    FID 0 and a file without FIDs become "". Sex is 1, M, m (male) or 2, F, f (female), anything
    else unknown. Without PAT and MAT all samples are founders, as in PLINK 2.
    Notes: CRLF, byte order mark, FID 0, unknown sex codes, no SEX column, a SID column.

    Raises
    ------
    FormatError
        E320 (header), E321 (columns), E301 (duplicate sample), E302 (IID 0), and those of
        `read_text`; without a header those of `read_fam`.
    """
    file = read_text(path)
    if not file.body.startswith(b"#"):
        return read_fam(path)
    lines = file.body.split(b"\n")
    while not lines[-1].strip(b" \t"):
        lines.pop()
    n_header = next((k for k, line in enumerate(lines) if not line.startswith(b"#")), len(lines))
    names = _column_names(lines[:n_header], file.path)
    rows = [line.split() for line in lines[n_header:]]
    first_line = n_header + 1
    _check_widths(rows, names, file.path, first_line)
    return _samples(rows, names, file, first_line)


def _column_names(header: list[bytes], path: str) -> list[str]:
    """Return the names of the columns, without the # of the first."""
    starts = [k for k, line in enumerate(header) if line.split()[0] in (b"#FID", b"#IID")]
    if starts != [len(header) - 1]:
        where = f"{path}:{len(header)}"
        message = "the last line that begins with # must name the columns, #FID IID or #IID first"
        if starts:
            where = f"{path}:{starts[0] + 1}"
            message = "a line of column names, and another line that begins with # after it"
        raise FormatError("E320", f"{message}: mend the header", where)
    names = [name.decode("utf-8") for name in header[-1][1:].split()]
    where = f"{path}:{len(header)}"
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        message = f"{len(twice)} column names occur twice ({', '.join(map(shown, twice[:3]))})"
        raise FormatError("E320", f"{message}: which is meant? Rename one", where)
    if names[0] == "FID" and names[1:2] != ["IID"]:
        raise FormatError("E320", "IID must be the column after #FID: mend the header", where)
    if ("PAT" in names) != ("MAT" in names):
        message = "of PAT and MAT one alone is there: a sample's parents are both named, or neither"
        raise FormatError("E320", f"{message}; mend the header", where)
    return names


def _check_widths(rows: list[list[bytes]], names: list[str], path: str, first_line: int) -> None:
    """Refuse lines that have another number of columns than the header."""
    widths = np.array([len(row) for row in rows], dtype=np.int64)

    def say(row: int) -> str:
        remedy = "does an ID hold a blank?" if widths[row] > len(names) else "mend the line"
        if not widths[row]:
            remedy = "a blank line: remove it, or restore the sample that was here"
        return f"{widths[row]} columns, expected {len(names)} as the header has: {remedy}"

    problems = Problems(path, first_line)
    problems.add("E321", np.flatnonzero(widths != len(names)), say)
    problems.refuse()


def _samples(
    rows: list[list[bytes]], names: list[str], file: TextFile, first_line: int
) -> tuple[Samples, Remarks]:
    """The samples of lines that have all columns."""
    iid_at = names.index("IID")
    iid = tuple(row[iid_at].decode("utf-8") for row in rows)
    notes = []
    fid = ("",) * len(rows)
    if names[0] == "FID":
        fid = tuple("" if row[0] == b"0" else row[0].decode("utf-8") for row in rows)
        if n_zero := fid.count(""):
            notes.append(f"{file.path}: FID 0 of {n_zero} samples was read as no FID")
    check_ids(fid, iid, file.path, first_line, iid_at + 1)
    if "SID" in names:
        notes.append(f"{file.path}: the column SID was ignored")
    codes = [b"0"] * len(rows)
    if "SEX" in names:
        codes = [row[names.index("SEX")] for row in rows]
        notes += _odd_codes(codes, file.path)
    else:
        notes.append(f"{file.path}: no column SEX, so that the sex of all samples is unknown")
    founder = np.ones(len(rows), dtype=np.bool_)
    if "PAT" in names:
        at = names.index("PAT"), names.index("MAT")
        founder = np.array([{row[k] for k in at} == {b"0"} for row in rows], dtype=np.bool_)
    sex = np.array([_SEX.get(code, 0) for code in codes], dtype=np.int8)
    return Samples(fid, iid, sex, founder), file.remarks + Remarks(tuple(notes))


def _odd_codes(codes: list[bytes], path: str) -> list[str]:
    """Say which codes of sex were read as unknown and do not say so."""
    odd = Counter(code for code in codes if code not in _SEX and code not in _UNKNOWN_SEX)
    if not odd:
        return []
    examples = ", ".join(shown(code.decode("utf-8")) for code in list(odd)[:_SHOWN_CODES])
    return [
        f"{path}: sex codes other than 1, M, m, 2, F, f, 0 and NA of {odd.total()} samples mean "
        f"unknown ({examples})"
    ]
