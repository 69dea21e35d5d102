"""Whole processes by the clock: seconds, and the memory of a process and its children.

Two figures of memory, because pages of mapped files (genotypes) count in the first only:
`peak` is VmHWM, the kernel's own high-water mark of the resident set, and `anonymous` is the
largest RssAnon of samples 50 ms apart. Both are summed over the processes alive together; they
are 0 where there is no /proc.
"""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

SAMPLE_SECONDS = 0.05
_PROC = Path("/proc")
_SHOWN = 800  # characters of the output of a program that failed


@dataclass(frozen=True, slots=True)
class Measured:
    """One process, or several one after the other."""

    seconds: float
    peak: int = 0  # bytes
    anonymous: int = 0  # bytes
    over: bool = False  # it was ended at its time limit: the true figures are larger


class FailedError(RuntimeError):
    """A program left with another exit code than 0."""


def measure(
    command: list[str],
    output: Path,
    *,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    limit: float | None = None,
) -> Measured:
    """Run a command to its end, or to the limit in seconds; what it prints goes to `output`."""
    with output.open("wb") as printed:
        start = time.perf_counter()
        # A session of its own: at the limit its children end with it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        watch = _Watch(process.pid, limit)
        watch.start()
        try:
            code = process.wait()
            seconds = time.perf_counter() - start
        except BaseException:
            _end(process.pid)
            process.wait()
            raise
        finally:
            watch.close()
    if code != 0 and not watch.over:
        text = output.read_text(encoding="utf-8", errors="replace")[-_SHOWN:]
        raise FailedError(f"{Path(command[0]).name} ended with exit code {code}:\n{text}")
    return Measured(seconds, watch.peak, watch.anonymous, watch.over)


def added(parts: list[Measured]) -> Measured:
    """Processes that ran one after the other, as one."""
    return Measured(
        sum(part.seconds for part in parts),
        max(part.peak for part in parts),
        max(part.anonymous for part in parts),
        any(part.over for part in parts),
    )


def _end(leader: int) -> None:
    """End a process that we started, and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


class _Watch(Thread):
    """Sample a process until it is closed; end the process at its limit."""

    def __init__(self, pid: int, limit: float | None) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.anonymous = 0
        self.over = False
        self._pid = pid
        self._end_at = None if limit is None else time.monotonic() + limit
        self._done = Event()

    def run(self) -> None:
        while True:
            self._sample()
            if self._end_at is not None and time.monotonic() > self._end_at and not self.over:
                self.over = True
                _end(self._pid)
            if self._done.wait(SAMPLE_SECONDS):
                return

    def close(self) -> None:
        self._done.set()
        self.join()

    def _sample(self) -> None:
        states = [_memory(pid) for pid in _tree(self._pid)]
        self.peak = max(self.peak, sum(state.get("VmHWM", 0) for state in states))
        self.anonymous = max(self.anonymous, sum(state.get("RssAnon", 0) for state in states))


def _tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        with contextlib.suppress(OSError):
            for children in (_PROC / str(found[-1]) / "task").glob("*/children"):
                waiting += map(int, children.read_text().split())
    return found


def _memory(pid: int) -> dict[str, int]:
    """VmHWM and RssAnon in bytes; nothing of a process that has ended."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.startswith(("VmHWM:", "RssAnon:")))
    return {name.rstrip(":"): int(kilobytes) * 1024 for name, kilobytes, _ in fields}
