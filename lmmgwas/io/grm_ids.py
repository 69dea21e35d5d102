"""Lists of samples beside a matrix: .grm.id, .rel.id, .npy.id; one line for each row.

A line holds FID and IID, or an IID alone. plink2 puts a header above (`#FID IID`, `#IID`, both
perhaps with SID), GCTA and PLINK 1 do not.
"""

from pathlib import Path

from lmmgwas.errors import FormatError, Problem
from lmmgwas.io.text import read_text, shown

Ids = tuple[tuple[str, ...], tuple[str, ...]]
"""FID ("" where there is none) and IID of each row."""

_HEADERS = (["FID", "IID"], ["IID"], ["FID", "IID", "SID"], ["IID", "SID"])


def read_grm_ids(path: Path) -> Ids:
    """Return FID and IID of each row.

    Raises FormatError: E706 (lines), E301 (a sample twice), and those of `read_text`.
    """
    file = read_text(path)
    fields = [line.split() for line in file.lines()]
    if fields and not file.body.endswith(b"\n"):
        message = f"the last line, {shown(' '.join(fields[-1]))}, has no line end: was the file"
        remedy = "cut short? An ID may lack its end; compare it, then end the file with a line end"
        raise FormatError("E706", f"{message} {remedy}", f"{path}:{len(fields)}")
    header = _header(fields[0]) if fields else None
    first = 1 if header else 0
    rows = fields[first:]
    if not rows:
        raise FormatError("E706", "lists no sample, expected FID and IID on each line", str(path))
    columns = header or (["IID"] if all(len(f) == 1 for f in rows) else ["FID", "IID"])
    wrong = [
        Problem("E706", f"{len(f)} fields, expected {' and '.join(columns)}", f"{path}:{k}")
        for k, f in enumerate(rows, first + 1)
        if len(f) != len(columns)
    ]
    if wrong:
        raise FormatError.of(wrong)
    at = columns.index("IID")
    fid = tuple("" if not at or f[0] == "0" else f[0] for f in rows)
    iid = tuple(f[at] for f in rows)
    refuse_twice((fid, iid), str(path))
    return fid, iid


def _header(fields: list[str]) -> list[str] | None:
    """The names of the columns, None where the line is that of a sample."""
    names = [fields[0].removeprefix("#"), *fields[1:]] if fields else []
    return names if names in _HEADERS else None


def refuse_twice(ids: Ids, where: str) -> None:
    """Raise FormatError (E301) where a sample is listed twice."""
    if len(set(zip(*ids, strict=True))) != len(ids[1]):
        raise FormatError("E301", "a sample is listed twice: which row is meant?", where)


def ids_text(ids: Ids) -> str:
    """Return the lines of a list without a header: FID<tab>IID, FID 0 where there is none."""
    return "".join(f"{f or '0'}\t{i}\n" for f, i in zip(*ids, strict=True))
