"""Lists of samples and of variants: what --keep, --extract and their like name."""

from dataclasses import dataclass
from pathlib import Path

from lmmgwas.errors import FormatError, Problem
from lmmgwas.io.last_line import unfinished
from lmmgwas.io.text import TextFile, read_text, shown


@dataclass(frozen=True, slots=True)
class SampleList:
    """The samples of a keep or remove file, in its order."""

    ids: tuple[tuple[str | None, str], ...]  # (FID, IID); FID 0 is "", no FID is None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameList:
    """The names of an extract or exclude file, in its order."""

    names: tuple[str, ...]
    warnings: tuple[str, ...]


def read_id_list(path: str | Path) -> SampleList:
    """Read the samples of a keep or remove file.

    A line holds FID and IID, what follows is ignored; or an IID alone. The header
    (`FID IID`, `#FID IID`, `IID`, `#IID`) is optional. Blank lines are skipped.

    Raises
    ------
    FormatError
        E406: some lines hold FID and IID, some an IID alone.
    """
    file = read_text(path)
    rows = [(k, line.split()) for k, line in enumerate(file.body.split(b"\n"), 1) if line.strip()]
    if not rows:
        return SampleList((), _cut(file, "blanks"))
    first = rows[0][1]
    iid_only = first[0] in (b"IID", b"#IID")
    if iid_only or (first[0] in (b"FID", b"#FID") and first[1:2] == [b"IID"]):
        del rows[0]
    n_ids = 1 if iid_only else min(len(first), 2)
    found: list[tuple[str | None, str]] = []
    problems = []
    for number, fields in rows:
        if not iid_only and min(len(fields), 2) != n_ids:
            message = f"{len(fields)} fields, where the first line has {len(first)}"
            remedy = "give FID and IID on every line, or the IID alone on every line"
            problems.append(Problem("E406", f"{message}; {remedy}", f"{file.path}:{number}:2"))
            continue
        ids = [field.decode("utf-8") for field in fields[:n_ids]]
        found.append((None, ids[0]) if n_ids == 1 else ("" if ids[0] == "0" else ids[0], ids[1]))
    if problems:
        raise FormatError.of(problems)
    return SampleList(
        tuple(found), _cut(file, f"sample {shown(found[-1][1])}" if found else "a header")
    )


def read_name_list(path: str | Path) -> NameList:
    """Read the first word of every line (variant IDs); blank lines are skipped."""
    file = read_text(path)
    lines = (line.split(maxsplit=1) for line in file.body.split(b"\n"))
    names = tuple(words[0].decode("utf-8") for words in lines if words)
    return NameList(names, _cut(file, f"the name {shown(names[-1])}" if names else "blanks"))


def _cut(file: TextFile, read: str) -> tuple[str, ...]:
    warning = unfinished(file, read)
    return () if warning is None else (warning,)
