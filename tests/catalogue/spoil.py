"""Ways to spoil a sound study that is on disk: each returns what a row of the catalogue takes.

Lines and columns are counted from 1, as messages count them. A table is "pheno" or "covar"; a
file is one of these, or "bed", "bim", "fam".
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from conftest import Study, StudyFiles

from catalogue.rows import Spoil

Edit = Callable[[bytes], bytes]


def edited(file: str, edit: Edit) -> Spoil:
    """Change the bytes of one file."""

    def spoil(files: StudyFiles, study: Study) -> None:
        path: Path = getattr(files, file)
        path.write_bytes(edit(path.read_bytes()))

    return spoil


def written(file: str, data: bytes) -> Spoil:
    """Put these bytes in place of a file."""
    return edited(file, lambda _: data)


def replaced(file: str, old: bytes, new: bytes, count: int = -1) -> Spoil:
    """Replace bytes of one file, everywhere or in the first `count` places; they must be there."""

    def edit(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, count)

    return edited(file, edit)


def removed(file: str) -> Spoil:
    """Delete a file."""
    return lambda files, study: getattr(files, file).unlink()


def lines_edited(file: str, edit: Callable[[list[bytes]], None]) -> Spoil:
    """Change the list of lines (without their ends) of a text file in place."""

    def whole(data: bytes) -> bytes:
        lines = data.split(b"\n")[:-1]
        edit(lines)
        return b"".join(line + b"\n" for line in lines)

    return edited(file, whole)


def line(file: str, number: int, edit: Edit) -> Spoil:
    """Change one line of a text file."""

    def change(lines: list[bytes]) -> None:
        lines[number - 1] = edit(lines[number - 1])

    return lines_edited(file, change)


def every_line(file: str, edit: Edit) -> Spoil:
    """Change each line of a text file."""

    def change(lines: list[bytes]) -> None:
        lines[:] = [edit(line) for line in lines]

    return lines_edited(file, change)


def without_line(file: str, number: int) -> Spoil:
    """Delete one line of a text file."""
    return lines_edited(file, lambda lines: lines.__delitem__(number - 1))


def with_line(file: str, number: int, text: bytes) -> Spoil:
    """Insert a line that gets this number."""
    return lines_edited(file, lambda lines: lines.insert(number - 1, text))


def fields(file: str, column: int, values: Mapping[int, str | bytes]) -> Spoil:
    """Replace one column of a tab-separated file on some lines: {line: value}."""

    def change(lines: list[bytes]) -> None:
        for number, value in values.items():
            cells = lines[number - 1].split(b"\t")
            cells[column - 1] = value.encode() if isinstance(value, str) else value
            lines[number - 1] = b"\t".join(cells)

    return lines_edited(file, change)


def study_with(change: Callable[[Study], object]) -> Spoil:
    """Change the study in memory and write it again."""

    def spoil(files: StudyFiles, study: Study) -> None:
        change(study)
        study.write(files.folder)

    return spoil


def cells(table: str, column: str, values: Mapping[int, str]) -> Spoil:
    """Replace cells of a column of a table: {row from 0: value}; row 0 is on line 2."""

    def change(study: Study) -> None:
        for row, value in values.items():
            getattr(study, table).set(column, row, value)

    return study_with(change)


def whole_column(table: str, column: str, value: Callable[[Study, int], object]) -> Spoil:
    """Replace all cells of a column of a table by value(study, row)."""

    def change(study: Study) -> None:
        chosen = getattr(study, table)
        for row in range(len(chosen.rows)):
            chosen.set(column, row, str(value(study, row)))

    return study_with(change)


def new_column(table: str, column: str, values: Callable[[Study], Sequence[object]]) -> Spoil:
    """Add a column to a table."""
    return study_with(lambda study: getattr(study, table).add(column, values(study)))


def renamed(rename: Callable[[str], str]) -> Spoil:
    """Change the IIDs of both tables, but not those of the .fam."""

    def change(study: Study) -> None:
        for table in (study.pheno, study.covar):
            table.rows = [[row[0], rename(row[1]), *row[2:]] for row in table.rows]

    return study_with(change)


def options(*given: object) -> Spoil:
    """Spoil nothing but the command line."""
    return lambda files, study: given


def listed(option: str, *rows: str) -> Spoil:
    """Give a file of these lines to --extract, --keep and the like."""

    def spoil(files: StudyFiles, study: Study) -> list[object]:
        path = files.folder / f"list{option}"
        path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        return [option, path]

    return spoil


def both(*spoils: Spoil) -> Spoil:
    """Do one after another; all their options are given.

    A change of bytes must come after a change of the study, which writes all files again.
    """

    def spoil(files: StudyFiles, study: Study) -> list[object]:
        return [part for one in spoils for part in one(files, study) or ()]

    return spoil
