"""What can go wrong, as values: each error knows its code, its place and its exit code.

Lower floors raise these; `lmmgwas.cli` alone turns them into exit codes and text.
A message says what is wrong with the numbers in it, where (file, line, column, ID),
and what to do about it.
"""

from dataclasses import dataclass

MAX_PROBLEMS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: an error code, a place and a sentence with the remedy."""

    code: str
    message: str
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"[{self.code}] {escape_control(place + self.message)}"


class LmmgwasError(Exception):
    """Base of all expected failures; carries one or more problems of one kind."""

    exit_code = 70

    def __init__(self, code: str, message: str, where: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(code, message, where),)
        super().__init__(str(self))

    @classmethod
    def of(cls, problems: list[Problem]) -> "LmmgwasError":
        """Bundle several problems of one file, so that they can be mended in one go."""
        error = cls(problems[0].code, problems[0].message, problems[0].where)
        error.problems = tuple(problems)
        return error

    def __str__(self) -> str:
        shown = [str(problem) for problem in self.problems[:MAX_PROBLEMS_SHOWN]]
        hidden = len(self.problems) - len(shown)
        if hidden:
            shown.append(f"... and {hidden} more problems")
        return "\n".join(shown)


class UsageError(LmmgwasError):
    """Options that contradict each other or are out of range."""

    exit_code = 2


class FormatError(LmmgwasError):
    """A file is malformed."""

    exit_code = 3


class MismatchError(LmmgwasError):
    """Files or IDs do not fit together."""

    exit_code = 4


class DegenerateError(LmmgwasError):
    """The data or the model cannot support the analysis that was asked for."""

    exit_code = 5


class FileAccessError(LmmgwasError):
    """A file cannot be read or written."""

    exit_code = 7


class OutputExistsError(LmmgwasError):
    """A result of that name is there already."""

    exit_code = 8


class NumericalError(LmmgwasError):
    """A numerical self-check failed."""

    exit_code = 9


class OutOfMemoryError(LmmgwasError):
    """The run would need more memory than it can have; found before the work."""

    exit_code = 137


def escape_control(text: str) -> str:
    """Return `text` with control characters shown as escapes (a file must not drive a terminal)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
