"""How help is laid out: options under headings, two columns, one column on a narrow terminal.

Examples are the lines of a command's epilog that begin with `lmmgwas`. Where one is too long for
the terminal it goes on behind a backslash, so that it can still be pasted.
"""

import re
import shutil
from collections.abc import Iterable

import click
from click.formatting import wrap_text

_WIDEST = 100
_NARROWEST = 30
_TWO_COLUMNS = 60  # characters; on narrower terminals explanations stand below their options
_FIRST_COLUMN = 22
_BREAK = re.compile(r" (?=--[a-z]|lmmgwas |>)")


class Layout(click.HelpFormatter):
    """Writes help as wide as the terminal, from 30 to 100 columns."""

    def __init__(self) -> None:
        columns = shutil.get_terminal_size().columns - 2
        super().__init__(width=max(_NARROWEST, min(columns, _WIDEST)))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = _FIRST_COLUMN, col_spacing: int = 2
    ) -> None:
        """Write a list of options and what they do, the columns alike in all lists."""
        left = self.current_indent
        column = left + col_max + col_spacing if self.width >= _TWO_COLUMNS else left + 4
        for term, meaning in rows:
            start = f"{'':{left}}{term}"
            beside = len(start) + col_spacing <= column
            text = wrap_text(meaning, self.width, " " * column, " " * column)
            if beside and meaning:
                self.write(f"{start:{column}}{text[column:]}\n")
                continue
            self.write(wrap_text(term, self.width, " " * left, " " * left) + "\n")
            if meaning:
                self.write(f"{text}\n")


class Context(click.Context):
    """A context whose help is laid out as above."""

    def make_formatter(self) -> click.HelpFormatter:
        """Return the layout for this terminal."""
        return Layout()


def examples(epilog: str | None) -> list[str]:
    """Return the command lines of an epilog."""
    lines = [line.strip() for line in (epilog or "").splitlines()]
    found = [line for line in lines if _is_example(line)]
    return [re.sub(r"\s+", " ", line) for line in found]


def write_epilog(formatter: click.HelpFormatter, epilog: str) -> None:
    """Write an epilog: titles and sentences as they are, examples fitted to the width."""
    for line in (line.strip() for line in epilog.splitlines()):
        if line in ("", "\b"):
            continue
        if line.endswith(":"):
            formatter.write_paragraph()
            formatter.write(f"{line}\n")
        elif _is_example(line):
            formatter.write("".join(f"{part}\n" for part in fitted(line, formatter.width)))
        else:
            formatter.write(wrap_text(line, formatter.width) + "\n")


def _is_example(line: str) -> bool:
    return re.match(r"([A-Z_]+=\S+ )?lmmgwas ", line) is not None


def fitted(example: str, width: int) -> list[str]:
    """Return the lines of an example, at most `width` wide where options can be parted."""
    lines = ["  "]
    for k, piece in enumerate(_BREAK.split(example)):
        with_it = f"{lines[-1]} {piece}" if k else f"  {piece}"
        if k and len(with_it) > width - 2:
            lines[-1] += " \\"
            lines.append(f"    {piece}")
        else:
            lines[-1] = with_it
    return lines
