"""The pages of the documentation as tests see them: commands, marks, tables, what they print.

A fenced block of `sh` is run, line by line, in the folder of its page. A comment of MyST above it
may say otherwise:

    % not run: REASON     it cannot run here; what it says to lmmgwas must still be valid
    % slow: REASON        it runs in the long suite only
    % prints              above a block of `text`: the block before it prints these lines
"""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
sys.path.insert(0, str(DOCS / "_ext"))
from command_reference import COMMANDS, command_of, describe, examples_of  # noqa: E402

__all__ = ["COMMANDS", "command_of", "describe", "examples_of"]

PAGES = sorted(
    path for path in DOCS.rglob("*.md") if "_build" not in path.parts and path.name != "README.md"
)
_FENCE = re.compile(r"^(`{3,})(\S*).*$")
_MARK = re.compile(r"^% (not run|slow|prints)(?:: (.+))?$")
_CONNECTORS = frozenset({"|", ";", "&", "&&", "||", ">", "<", ">>", "2>", "(", ")"})


@dataclass(frozen=True)
class Block:
    """A fenced block and what is said of it."""

    page: Path
    line: int
    language: str
    text: str
    mark: str  # not run, slow, prints, or nothing
    reason: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(DOCS)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Lines of the shell: continued ones joined, comments and blank ones left out."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"\s+", " ", line).strip() for line in joined.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order; directives, as `{figure}`, too."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    k = 0
    while k < len(lines):
        fence = _FENCE.match(lines[k])
        if fence is None:
            k += 1
            continue
        end = next(j for j in range(k + 1, len(lines)) if lines[j].rstrip() == fence[1])
        mark = _MARK.match(lines[k - 1]) if k else None
        said, reason = (mark[1], mark[2] or "") if mark else ("", "")
        found.append(Block(page, k + 1, fence[2], "\n".join(lines[k + 1 : end]), said, reason))
        k = end + 1
    return found


def shell_blocks() -> list[Block]:
    """Return all blocks of commands."""
    return [block for page in PAGES for block in blocks_of(page) if block.language == "sh"]


def words_of(line: str) -> list[str]:
    """Split a line of the shell; operators are words of their own."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def calls_in(line: str) -> list[list[str]]:
    """Return the arguments of each `lmmgwas COMMAND` that a line of the shell runs."""
    calls: list[list[str]] = []
    current: list[str] | None = None
    words = words_of(line)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in _CONNECTORS:
            current = None
        elif word == "lmmgwas" and following in COMMANDS:
            current = []
            calls.append(current)
        elif current is not None:
            current.append(word)
    return calls


def is_plain_call(line: str) -> bool:
    """Whether a line is one `lmmgwas`, its standard output perhaps sent to a file."""
    words = words_of(line)
    operators = [word for word in words if word in _CONNECTORS]
    return words[0] == "lmmgwas" and operators in ([], [">"]) and not re.search(r"[$*?]", line)


# --- tables ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PageTable:
    """A table, with the heading that it stands under."""

    heading: str
    header: list[str]
    rows: list[list[str]]

    @property
    def first_codes(self) -> list[str]:
        """What the first column names, as code."""
        return [code for row in self.rows for code in re.findall(r"`([^`]+)`", row[0])]


def tables_of(page: Path) -> list[PageTable]:
    """Return the pipe tables of a page."""
    found: list[PageTable] = []
    heading, rows = "", []
    for line in [*page.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            rows.append([cell.strip() for cell in cells])
        elif rows:
            found.append(PageTable(heading, rows[0], rows[2:]))
            rows = []
    return found


def table_under(page: Path, heading: str, first: str) -> PageTable:
    """Return the table under a heading that begins so, whose first column is called `first`."""
    fitting = [
        table
        for table in tables_of(page)
        if table.heading.startswith(heading) and table.header[0] == first
    ]
    assert len(fitting) == 1, (page, heading, first)
    return fitting[0]


# --- what a command prints ------------------------------------------------------------------------


def shows(expected: str, printed: str, tolerance: float = 0.02) -> str:
    """Return the first line of `expected` that is not in `printed`, in order; "" if all are.

    Numbers may differ by the tolerance: they depend on the machine in the last digits, and times
    are not shown at all. A line `...` stands for any lines.
    """
    lines = iter(printed.splitlines())
    for wanted in expected.splitlines():
        if not wanted.strip() or wanted.strip() == "...":
            continue
        if not any(_alike(wanted.split(), line.split(), tolerance) for line in lines):
            return wanted
    return ""


def _alike(wanted: list[str], found: list[str], tolerance: float) -> bool:
    if len(wanted) != len(found):
        return False
    return all(a == b or _close(a, b, tolerance) for a, b in zip(wanted, found, strict=True))


def _close(a: str, b: str, tolerance: float) -> bool:
    try:
        x, y = (float(word.strip("(),;:").replace(",", "")) for word in (a, b))
    except ValueError:
        return False
    return abs(x - y) <= tolerance * max(abs(x), abs(y))
