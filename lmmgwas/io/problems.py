"""Problems of one text file, gathered and raised together, so that they are mended in one go."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import MAX_PROBLEMS_SHOWN, FormatError, Problem


class Problems:
    """What is wrong with a file, line by line.

    `first_line` is the number of the line that is row 0: a header may stand before it.
    """

    def __init__(self, path: str, first_line: int = 1) -> None:
        self._path = path
        self._first_line = first_line
        self._found: list[tuple[int, int, Problem]] = []  # row, column
        self._count = 0

    def add(
        self,
        code: str,
        rows: NDArray[np.intp],
        say: Callable[[int], str],
        column: int | None = None,
    ) -> None:
        """Note one problem on each of these rows (from 0); `column` counts from 1."""
        self._count += rows.size
        place = "" if column is None else f":{column}"
        # Those past the number that is shown are counted only: a file may have millions.
        for row in rows[:MAX_PROBLEMS_SHOWN].tolist():
            problem = Problem(code, say(row), f"{self._path}:{row + self._first_line}{place}")
            self._found.append((row, column or 0, problem))

    def refuse(self) -> None:
        """Raise FormatError if there are any, in the order of the lines."""
        if not self._found:
            return
        self._found.sort(key=lambda found: found[:2])
        shown = [problem for *_, problem in self._found[:MAX_PROBLEMS_SHOWN]]
        raise FormatError.of(shown + shown[-1:] * (self._count - len(shown)))
