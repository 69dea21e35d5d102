"""Failing one system call of a run: which calls there are, and what must come of each failure.

strace counts calls for each thread of a process on its own, so the k-th call of the process
cannot be named. The k-th call on a path can: a file is worked on by one thread at a time. So
an undisturbed run is traced first, and each (call, path, k) that it made is failed in a run
of its own.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faults.cases import Arena
from faults.client import Ended, Server

CALLS = {
    "write": ("write", "pwrite64", "writev"),
    "fsync": ("fsync", "fdatasync"),
    "rename": ("rename", "renameat", "renameat2"),
    "open": ("open", "openat"),
    "read": ("read", "pread64"),
    "link": ("link", "linkat"),
    "remove": ("unlink", "unlinkat", "rmdir"),
    "mkdir": ("mkdir", "mkdirat"),
    "look": ("stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat2", "readlink"),
    "list": ("getdents64",),
    "close": ("close",),
    "map": ("mmap",),
    "seek": ("lseek",),
}
ERRORS = {"write": "ENOSPC", "map": "ENODEV"}  # the rest: EIO
REFUSALS = (3, 4, 7, 8, 9)
"""Exit codes of a run that met a failing call: never that of a bug."""

_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)")
_TYPED = re.compile(r'"(/[^"]*)"')
_OPEN = re.compile(r"\b\d+<(/[^>]*)>")


@dataclass(frozen=True)
class Call:
    """The `k`-th call of a kind on a path."""

    name: str
    path: str
    k: int

    def __str__(self) -> str:
        return f"{self.name} {self.k} of {self.path}"


def traced(trace: Path, pid: int) -> Iterator[tuple[str, str]]:
    """Name and path of each call of a trace; the process's own folder in /proc as {pid}."""
    for line in trace.read_text(errors="replace").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue  # the second half of a call, a signal, an end
        path = _path_of(found[1], found[2])
        if path is not None:
            yield found[1], path.replace(f"/proc/{pid}/", "/proc/{pid}/")


def _path_of(name: str, arguments: str) -> str | None:
    """The path by which strace tells a call: a whole one that is typed, or that of a descriptor.

    A name in a folder that is open stands for the folder.
    """
    typed = _TYPED.search(arguments) if name not in CALLS["write"] else None
    found = typed or _OPEN.search(arguments)
    return None if found is None else found[1]


def calls_of(
    arena: Arena, server: Server, kinds: tuple[str, ...], places: list[Path]
) -> list[Call]:
    """Run undisturbed and traced; return each call of these kinds on paths in these places."""
    arena.clear()
    trace = arena.folder / "trace"
    names = [name for kind in kinds for name in CALLS[kind]]
    options = ["-y", "-s", "0", "-o", str(trace), "-e", f"trace={_known(names)}"]
    pid = server.start(arena.argv, steady=True, strace=options)
    ended = server.wait(pid)
    assert ended.code == 0, ended.stderr
    arena.require_complete()
    seen: Counter[tuple[str, str]] = Counter()
    calls = []
    for name, path in traced(trace, pid):
        if any(path == place or path.startswith(f"{place}/") for place in map(str, places)):
            seen[name, path] += 1
            calls.append(Call(name, path, seen[name, path]))
    return calls


def _known(names: list[str]) -> str:
    """For strace: a name that this system does not have is passed over."""
    return ",".join(f"?{name}" for name in names)


def run_failing(arena: Arena, server: Server, call: Call, error: str, times: str = "") -> Ended:
    """Run while this call fails; `times` is "+" for it and all after it."""
    options = ["-o", "/dev/null", "-P", call.path, "-e", f"trace={call.name}"]
    options += ["-e", f"inject={call.name}:error={error}:when={call.k}{times}"]
    arena.clear()
    return server.run(arena.argv, steady=True, strace=options)


def error_of(call: Call) -> str:
    """The error that a call of this kind fails with."""
    kind = next(kind for kind, names in CALLS.items() if call.name in names)
    return ERRORS.get(kind, "EIO")


def judge(arena: Arena, ended: Ended) -> str:
    """What came of a failure; AssertionError where it is not what must come of it.

    Either the results are those of an undisturbed run, or the run says that it failed and
    nothing partial has a final name.
    """
    assert "Traceback" not in ended.stderr, ended.stderr
    if ended.code == 0:
        arena.require_same()
        return "the same bytes"
    assert ended.code in REFUSALS, (ended.code, ended.stderr)
    assert "Error [E" in ended.stderr, ended.stderr
    arena.require_whole()
    return f"refused ({ended.code})"


def fail(arena: Arena, server: Server, call: Call) -> str:
    """Fail a call, judge what came of it, and go on without the failure."""
    met = judge(arena, run_failing(arena, server, call, error_of(call)))
    resumed = server.run([*arena.argv, "--resume"])
    assert resumed.code == 0, resumed.stderr
    arena.require_complete()
    return met
