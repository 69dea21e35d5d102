"""The right to write under a prefix: a file that says who has it.

Advisory locks are not to be relied on over networks; a file that appears whole under its name
(a hard link, or O_EXCL where there are none) is. A holder that is gone leaves its lock. Where
that can be proved (same boot, same process namespace, no such process), the next run takes it;
otherwise only --break-lock does.
"""

import contextlib
import json
import os
import secrets
import stat
import time
from pathlib import Path
from typing import Any

from lmmgwas.errors import FileAccessError, OutputExistsError
from lmmgwas.io.writing import patiently, reason, remedy

_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
_ATTEMPTS = 3  # the folder, or a lock, may go while we look
_DRAFT, _ASIDE = "new", "old"


class Lock:
    """A lock that is held; `release` gives it back."""

    def __init__(self, path: Path, token: str) -> None:
        self._path = path
        self._token = token

    @classmethod
    def acquire(cls, path: Path, *, break_lock: bool = False) -> "Lock":
        """Take the lock at `path`, whose folder is made where it is not there.

        Raises OutputExistsError (E114) where somebody else has it, FileAccessError where it
        cannot be written (E111) or the folder is not this user's alone (E121).
        """
        holder = {"token": secrets.token_hex(8), **_self()}
        for _ in range(_ATTEMPTS):
            if _create(path, json.dumps(holder).encode()):
                lock = cls(path, str(holder["token"]))
                if lock.is_held():
                    lock.sweep()
                    return lock
            found = _read(path)
            if found is None:
                continue  # given back just now
            if not (break_lock or _is_gone(found)):
                break
            _remove(path, found)
        raise OutputExistsError("E114", _describe(path, _read(path) or {}))

    def is_held(self) -> bool:
        """Whether the lock is still ours: --break-lock takes it from the living, too."""
        found = _read(self._path)
        return found is not None and found.get("token") == self._token

    def release(self) -> None:
        """Give it back; one that was taken from us stays."""
        if self.is_held():
            self.sweep()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def sweep(self) -> None:
        """Remove what runs left that were killed while they asked for the lock."""
        with contextlib.suppress(OSError):
            for stray in self._path.parent.glob(f"{self._path.name}.*"):
                # Ours may have been put aside by mistake, and is on its way back.
                if (_read(stray) or {}).get("token") != self._token:
                    stray.unlink(missing_ok=True)


def _self() -> dict[str, Any]:
    """Who holds it: enough to prove later that the process is gone."""
    jobs = [os.environ[name] for name in _JOBS if os.environ.get(name)]
    return {
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "job": jobs[0] if jobs else None,
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "process_began": _process_began(os.getpid()),
        **_place(),
    }


def _place() -> dict[str, str | None]:
    """The boot and the namespace that a process number belongs to."""
    place: dict[str, str | None] = {"boot": None, "namespace": None}
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        place = {"boot": boot.strip(), "namespace": str(Path("/proc/self/ns/pid").readlink())}
    return place


def _process_began(pid: int) -> int | None:
    """When a process began, in ticks since the boot; None where there is none of that number."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
        return int(line.rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether the holder has provably ended."""
    here = _place()
    same = all(here[name] is not None and holder.get(name) == here[name] for name in here)
    pid, began = holder.get("pid"), holder.get("process_began")
    return same and isinstance(pid, int) and began is not None and _process_began(pid) != began


def _create(path: Path, content: bytes) -> bool:
    """Make the lock, whole, unless there is one; make its folder, private, where there is none."""
    draft = _beside(path, _DRAFT)
    try:
        _make_folder(path.parent)
        _create_exclusively(draft, content)
        try:
            _require_private(path.parent, draft)
            return _link(draft, path, content)
        finally:
            draft.unlink(missing_ok=True)
    except FileNotFoundError as error:
        if path.parent.parent.is_dir():
            return False  # another run has just removed the folder, or our draft
        folder = path.parent.parent
        raise FileAccessError(
            "E111", f"the output folder {folder} does not exist: create it, or change --out"
        ) from error
    except OSError as error:
        raise FileAccessError(
            "E111",
            f"cannot write into the output folder {path.parent.parent}: {reason(error)}; "
            f"{remedy(error)}",
        ) from error


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.{kind}")


def _link(draft: Path, path: Path, content: bytes) -> bool:
    """Give the draft the lock's name, too; false where somebody else has it."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return draft.stat().st_nlink > 1  # over a network the first answer may have been lost
    except FileNotFoundError:
        raise
    except OSError:  # no hard links on this file system
        return _create_exclusively(path, content)
    return True


def _make_folder(folder: Path) -> None:
    """Make the lock's folder, where it is not there; a link is not followed."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise _untrusted(folder, "is no folder (a link, or a file)") from None


def _require_private(folder: Path, draft: Path) -> None:
    """Raise where others own the folder, or may write into it.

    What is ours there is told by a file that we have just made: some file systems show another
    owner, or know no modes.
    """
    found, ours = folder.lstat(), draft.lstat()
    if found.st_uid != ours.st_uid:
        raise _untrusted(folder, "belongs to another user")
    if found.st_mode & 0o022 and not ours.st_mode & 0o022:
        raise _untrusted(folder, "can be written by other users")


def _untrusted(folder: Path, why: str) -> FileAccessError:
    return FileAccessError(
        "E121",
        f"{folder} {why}: files of the run would not be safe there; remove it if nobody uses it, "
        "or choose another --out",
    )


def _create_exclusively(path: Path, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
    except OSError:
        path.unlink(missing_ok=True)  # one that says nothing would bar everybody
        raise
    return True


def _read(path: Path) -> dict[str, Any] | None:
    """What a lock says; empty where that is nothing of ours, None where there is no lock."""
    try:
        found = json.loads(patiently(path.read_bytes))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remove(path: Path, found: dict[str, Any]) -> None:
    """Remove the lock that was read; one that replaced it meanwhile is put back."""
    aside = _beside(path, _ASIDE)
    with contextlib.suppress(OSError):
        path.rename(aside)
        if _read(aside) == found:
            aside.unlink()
        else:
            os.link(aside, path)
            aside.unlink()


def _describe(path: Path, holder: dict[str, Any]) -> str:
    job = f", job {holder['job']}" if holder.get("job") else ""
    who = (
        f"process {holder.get('pid')} on {holder.get('host')}{job}, since {holder.get('since')}"
        if holder
        else "another process"
    )
    return (
        f"a run writes under this name already ({who}; {path}): wait for it, or choose another "
        "--out; if that process is gone, say --break-lock"
    )
