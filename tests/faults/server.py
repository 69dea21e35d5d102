"""A process that has the program ready, and runs it in a child for each command.

A process of its own costs a second and a half for imports; a fork costs nothing. The program
itself never forks. Here it is allowed: BLAS has one thread, and after the warm runs no thread
but the main one lives, which `ready` reports.

Commands and answers are lines of JSON on stdin and stdout:

    {"do": "warm", "argv": [...], "cwd": ...}     run in this process; answers with the exit code
    {"do": "ready"}                               answers with the number of threads
    {"do": "start", "argv": [...], "cwd": ..., ...}    answers with the pid
    {"do": "wait", "pid": ...}                    answers with wait status and stderr at the end
    {"do": "stopped", "pid": ...}                 answers once it has stopped itself
    {"do": "signal", "pid": ..., "signal": ...}

`start` takes further: `at`, `when` ("before" or "after") and `signal` for a signal that the child
sends to itself at a commit point; `points`, a file for the names of its commit points;
`kill_after`, seconds; `strace`, arguments with {pid} for the child's; `limit`, the largest size
of a file that it may write; `steady`, the same temporary names every time.
"""

import atexit
import contextlib
import gc
import itertools
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMIT_POINTS = ("replace", "rename", "link", "fsync", "unlink", "mkdir", "rmdir")
_ATTACHING = 10.0  # seconds
_POLL = 0.002


class Points:
    """Counts the commit points of a child, names them, and sends a signal at one of them."""

    def __init__(self, command: dict[str, Any]) -> None:
        self._at = command.get("at")
        self._when = command.get("when", "before")
        self._signal = signal.Signals[command.get("signal", "SIGKILL")]
        self._count = itertools.count(1)
        self._names: int | None = None
        if command.get("points"):
            self._names = os.open(command["points"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def watch(self) -> None:
        """Put a counter around each function of `os` that commits or takes away."""
        for name in COMMIT_POINTS:
            setattr(os, name, self._around(name, getattr(os, name)))

    def _around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            number = next(self._count)
            if self._names is not None:
                shown = " ".join(str(arg) for arg in args)
                os.write(self._names, f"{name} {shown}\n".encode())
            if number == self._at and self._when == "before":
                os.kill(os.getpid(), self._signal)
            try:
                return function(*args, **more)
            finally:
                if number == self._at and self._when == "after":
                    os.kill(os.getpid(), self._signal)

        return counted


def run_program(argv: list[str]) -> int:
    """Run the command line; return its exit code."""
    from lmmgwas.cli.main import main

    sys.argv = ["lmmgwas", *argv]
    try:
        main()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)


def be_the_child(command: dict[str, Any], said: int) -> None:
    """Run the program and end the process."""
    code = 99
    try:
        if command.get("strace"):
            os.kill(os.getpid(), signal.SIGSTOP)
        os.chdir(command["cwd"])
        nowhere = os.open(os.devnull, os.O_RDWR)
        for source, target in ((nowhere, 0), (nowhere, 1), (said, 2)):
            os.dup2(source, target)
        if command.get("steady"):
            numbers = itertools.count()
            secrets.token_hex = lambda n=None: f"{next(numbers):0{2 * (n or 32)}x}"
            tempfile._name_sequence = (f"steady{k}" for k in itertools.count())  # type: ignore
        if command.get("limit") is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (command["limit"], command["limit"]))
        Points(command).watch()
        code = run_program(command["argv"])
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


class Server:
    """The children, and what is to be done to them."""

    def __init__(self) -> None:
        self._kill_at: dict[int, float] = {}
        self._straces: dict[int, subprocess.Popen[bytes]] = {}
        self._heard: dict[int, int] = {}  # stderr of each; what it says fits into a pipe

    def warm(self, command: dict[str, Any]) -> dict[str, Any]:
        """Load what the program loads late, and its kernels."""
        os.chdir(command["cwd"])
        code = run_program(command["argv"])
        if code:
            raise RuntimeError(f"{command['argv']}: {code}")
        return {}

    def ready(self, command: dict[str, Any]) -> dict[str, Any]:
        """Say how many threads there are."""
        gc.collect()
        gc.freeze()
        return {"threads": sum(1 for _ in Path("/proc/self/task").iterdir()), "pid": os.getpid()}

    def start(self, command: dict[str, Any]) -> dict[str, Any]:
        """Begin a run."""
        sys.stdout.flush()
        heard, said = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(heard)
            be_the_child(command, said)
        os.close(said)
        self._heard[pid] = heard
        if command.get("kill_after") is not None:
            self._kill_at[pid] = time.monotonic() + command["kill_after"]
        if command.get("strace"):
            self._attach(pid, command["strace"])
        return {"pid": pid}

    def _attach(self, pid: int, arguments: list[str]) -> None:
        os.waitpid(pid, os.WUNTRACED)
        typed = ["strace", "-f", "-qq", "-p", str(pid)]
        typed += [argument.replace("{pid}", str(pid)) for argument in arguments]
        tracer = subprocess.Popen(typed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        end = time.monotonic() + _ATTACHING
        status = Path(f"/proc/{pid}/status")
        while "TracerPid:\t0\n" in status.read_text():
            if tracer.poll() is not None or time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(_POLL)
        self._straces[pid] = tracer
        os.kill(pid, signal.SIGCONT)

    def wait(self, command: dict[str, Any]) -> dict[str, Any]:
        """Wait for the end of a run, or bring it about."""
        pid = command["pid"]
        status = self._end(pid)
        if pid in self._straces:
            self._straces.pop(pid).wait()
        with os.fdopen(self._heard.pop(pid), "rb") as stream:
            said = stream.read().decode("utf-8", "replace")
        return {"status": status, "stderr": said}

    def _end(self, pid: int) -> int:
        kill_at = self._kill_at.pop(pid, None)
        if kill_at is not None:
            while time.monotonic() < kill_at:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    return status
                time.sleep(_POLL)
            os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]

    def stopped(self, command: dict[str, Any]) -> dict[str, Any]:
        """Wait until a run has stopped itself; `stopped` says false where it ended instead."""
        status = os.waitpid(command["pid"], os.WUNTRACED)[1]
        return {"stopped": os.WIFSTOPPED(status), "status": status}

    def signal(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send a signal."""
        os.kill(command["pid"], signal.Signals[command["signal"]])
        return {}

    def serve(self) -> None:
        """Answer until stdin ends."""
        while line := sys.stdin.readline():
            command = json.loads(line)
            try:
                answer = getattr(self, command["do"])(command)
            except Exception:
                answer = {"error": traceback.format_exc()}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    from lmmgwas.numerics.processor import prepare_blas

    prepare_blas()
    Server().serve()
