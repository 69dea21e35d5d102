"""The server's other end, and what is asked of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
KILLED = -signal.SIGKILL
_ONE_THREAD = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
_DAY = {"SOURCE_DATE_EPOCH": "1700000000"}  # the sidecar's schema demands a date


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, or minus the signal that ended it; and what it said."""

    code: int
    stderr: str


class Server:
    """The process that has the program ready. Use it as a context."""

    def __init__(self, folder: Path, warm: list[list[str]]) -> None:
        """Start it and run these command lines, once each."""
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), **_ONE_THREAD, **_DAY}
        self._folder = folder
        with (folder / "server.err").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("server.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env={**os.environ, **environment},
                text=True,
            )
        try:
            for argv in warm:
                self._ask(do="warm", argv=argv, cwd=str(folder))
            self._ready = self._ask(do="ready")
        except BaseException:
            self.close()
            raise

    @property
    def n_threads(self) -> int:
        """Threads of the server: one, or a fork would not be sound."""
        return int(self._ready["threads"])

    def run(self, argv: list[str], **more: Any) -> Ended:
        """Run the program to its end; `more` is what the server's `start` takes."""
        return self.wait(self.start(argv, **more))

    def start(self, argv: list[str], **more: Any) -> int:
        """Begin a run; return its process."""
        return int(self._ask(do="start", argv=argv, cwd=str(self._folder), **more)["pid"])

    def wait(self, pid: int) -> Ended:
        """Wait for its end."""
        found = self._ask(do="wait", pid=pid)
        return Ended(os.waitstatus_to_exitcode(int(found["status"])), found["stderr"])

    def wait_until_stopped(self, pid: int) -> bool:
        """Wait until it has stopped itself; false where it has ended."""
        return bool(self._ask(do="stopped", pid=pid)["stopped"])

    def go_on(self, pid: int) -> None:
        """Let one that has stopped itself go on."""
        self._ask(do="signal", pid=pid, signal="SIGCONT")

    def _ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, (self._folder / "server.err").read_text()
        found: dict[str, Any] = json.loads(answer)
        assert "error" not in found, found["error"]
        return found

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def strace_works(folder: Path) -> bool:
    """Whether there is a strace that may attach to a process."""
    if shutil.which("strace") is None:
        return False
    sleeper = subprocess.Popen(["sleep", "0.5"])
    typed = ["strace", "-qq", "-o", str(folder / "strace.try"), "-p", str(sleeper.pid)]
    tracer = subprocess.run(typed, capture_output=True, check=False)
    sleeper.wait()
    return tracer.returncode == 0
