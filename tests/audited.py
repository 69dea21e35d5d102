"""Runs lmmgwas and notes what Python reports of it (PEP 578): `audited.py REPORT ARGUMENT...`.

No test by itself. Each line of the report is an event that may matter to safety, in JSON: its
name, its arguments, the files of the stack, and the paths that it writes to.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATHS = {
    "os.mkdir": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.chown": 1,
    "os.utime": 1,
    "shutil.rmtree": 1,
}
_IN_FOLDER = ("os.mkdir", "os.remove", "os.rmdir")
"""The last argument is the descriptor of the folder that a path starts from, or -1."""
_OUTWARD = (
    *("socket.", "ssl.", "http.", "urllib.", "ftplib.", "smtplib.", "poplib.", "imaplib."),
    *("nntplib.", "telnetlib.", "webbrowser.", "subprocess.", "os.system", "os.exec", "os.fork"),
    *("os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "pty.", "pickle.", "shelve."),
    *("code.", "pdb.", "ctypes.dlopen", "import"),
)


def _stack() -> list[str]:
    files: list[str] = []
    frame = sys._getframe(2)
    while frame is not None:
        files.append(frame.f_code.co_filename)
        frame = frame.f_back
    return files


def _written(event: str, arguments: tuple[Any, ...]) -> list[str]:
    if event == "open":
        path, _, flags = arguments
        named = [path] if isinstance(flags, int) and flags & _WRITING else []
    else:
        named = list(arguments[: _PATHS.get(event, 0)])
        if event in _IN_FOLDER and arguments[-1] >= 0:
            folder = Path(f"/proc/self/fd/{arguments[-1]}").readlink()
            named = [folder / os.fsdecode(named[0])]
    kept = [os.fsdecode(path) for path in named if isinstance(path, str | bytes | os.PathLike)]
    return [os.path.abspath(path) for path in kept]  # noqa: PTH100 - links are not followed


def _main() -> None:
    descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    sys.argv = ["lmmgwas", *sys.argv[2:]]

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        written = _written(event, arguments)
        if not written and not event.startswith(_OUTWARD):
            return
        found = {"event": event, "arguments": repr(arguments)[:500], "written": written}
        stack = " ".join(_stack()) if event != "import" else ""
        os.write(descriptor, json.dumps({**found, "stack": stack}).encode() + b"\n")

    sys.addaudithook(note)
    from lmmgwas.cli.main import main

    main()


_main()
