"""The run's voice: what it says on the terminal and in PREFIX.log, and the warnings it gave.

A log that cannot be written is not a failed result: such errors are swallowed here.
"""

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, TextIO

from lmmgwas import stop
from lmmgwas.errors import LmmgwasError, OutputExistsError, escape_control

_PROGRESS_SECONDS = 30.0
_BAR_SECONDS = 0.2
_NOTE = "Note: "


class StrictWarningError(LmmgwasError):
    """A warning under `--strict`."""

    exit_code = 5


class Logbook:
    """Messages to stderr and to a file. Use it as a context.

    The file is begun by `begin`, once it is known that the run may write; until then its lines
    wait, so that a run that is refused because its output exists spares the log that is there.
    """

    def __init__(self, path: Path, *, verbosity: int, strict: bool, append: bool = False) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.broken_pipe = False
        self._strict = strict
        self._verbosity = verbosity
        self._path = path
        self._mode: Literal["w", "a"] = "a" if append else "w"
        self._file: TextIO | None = None
        self._waiting: list[str] = []
        self._start = time.monotonic()

    def begin(self) -> None:
        """Open the file and write what waits."""
        with contextlib.suppress(OSError):
            self._file = _open_plain(self._path, self._mode)
        waiting, self._waiting = self._waiting, []
        for text in waiting:
            self._keep(text)

    def say(self, text: str = "") -> None:
        """Print lines; a note is kept for the manifest, too."""
        if text.startswith(_NOTE):
            self.notes.append(text.removeprefix(_NOTE))
        self._write(text, terminal=self._verbosity >= 1)

    def say_lines(self, lines: Sequence[str]) -> None:
        """Print several lines. A line feed within a line is of a name, and is escaped."""
        for line in lines:
            self.say(line)

    def detail(self, text: str) -> None:
        """Print lines under `--verbose`; the file has them always."""
        self._write(text, terminal=self._verbosity >= 2)

    def warn(self, code: str, text: str, *, samples: str = "") -> None:
        """Print a warning and keep it for the manifest; an error under `--strict`.

        `samples` names some of them: on the terminal and in the log, never in the manifest.
        """
        named = f"{text}: {samples}" if samples else text
        if self._strict:
            raise StrictWarningError(code, f"{named} (a warning, and --strict makes it an error)")
        if text in self.warnings:
            return  # traits with different samples meet the same thing again
        self.warnings.append(text)
        self._write(f"Warning [{code}]: {named}", terminal=self._verbosity >= 0)

    def repeat(self, text: str) -> None:
        """Keep a warning that another process gave, unless it was given here, too.

        An error under `--strict`.
        """
        if text not in self.warnings:
            if self._strict:
                raise StrictWarningError(
                    "W118", f"a part was warned: {text} (--strict makes it an error)"
                )
            self.warnings.append(text)
            self._write(f"Warning (of a part): {text}", terminal=True)

    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._start

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Say what is being done, and at the end how long it took."""
        began = time.monotonic()
        self.detail(f"{name} ...")
        yield
        self.detail(f"{name}: {time.monotonic() - began:.2f} s")

    def _write(self, text: str, *, terminal: bool) -> None:
        clean = "\t".join(escape_control(cell) for cell in text.split("\t"))
        self._keep(clean)
        if terminal and not self.broken_pipe:
            try:
                print(clean, file=sys.stderr, flush=True)
            except BrokenPipeError:
                self.broken_pipe = True
            except (OSError, ValueError):
                pass

    def _keep(self, text: str) -> None:
        """Write to the file, or wait for it."""
        if self._file is None:
            self._waiting.append(text)
            return
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text + "\n")
            self._file.flush()

    def __enter__(self) -> "Logbook":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OutputExistsError):
            return
        if self._file is None:
            # The run never got to write: a log that is there may belong to results beside it.
            self._mode = "a"
            self.begin()
        if isinstance(error, LmmgwasError):
            self._keep(f"Error {error}")
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _open_plain(path: Path, mode: Literal["w", "a"]) -> TextIO | None:
    """Open a log, unless the name is that of a link, a pipe or a device: None, or OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    flags |= os.O_APPEND if mode == "a" else 0
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    if mode == "w":
        os.ftruncate(descriptor, 0)
    return os.fdopen(descriptor, mode, encoding="utf-8", newline="\n")


class Progress:
    """Variants done: a bar on a terminal, otherwise one line every 30 s."""

    def __init__(self, log: Logbook, name: str, total: int, *, quiet: bool) -> None:
        self._log = log
        self._name = name
        self._total = max(total, 1)
        self._done = 0
        self._began = self._last = time.monotonic()
        self._bar = sys.stderr is not None and sys.stderr.isatty() and not quiet
        self._drawn = False

    def advance(self, n: int) -> None:
        """Count n more variants; obey a request to stop."""
        stop.obey()
        self._done += n
        now = time.monotonic()
        if now - self._last < (_BAR_SECONDS if self._bar else _PROGRESS_SECONDS):
            return
        self._last = now
        rate = self._done / max(now - self._began, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        line = (
            f"{self._name}: {self._done:,} of {self._total:,} variants, "
            f"{rate:,.0f} per second, {left:.0f} s left"
        )
        if self._bar:
            self._draw(f"\r{line}\033[K")
        else:
            self._log.say(line)

    def resume(self, n: int) -> None:
        """Leave out n variants that an earlier run has done."""
        self._total = max(self._total - n, 1)

    def close(self) -> None:
        """Remove the bar and say the rate."""
        if self._drawn:
            self._draw("\r\033[K")
        seconds = max(time.monotonic() - self._began, 1e-9)
        self._log.detail(
            f"{self._name}: {self._done:,} variants in {seconds:.1f} s, "
            f"{self._done / seconds:,.0f} per second"
        )

    def _draw(self, text: str) -> None:
        self._drawn = True
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
