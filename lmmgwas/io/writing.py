"""What writing meets: refusals, said with path, bytes and remedy; and what passes, tried again.

A network file system may lose a file's handle (ESTALE) and find it again, and may carry a
rename out though its answer is lost, so that the second attempt finds nothing to rename. A
failed fsync (EIO) is never tried again: the second one says that all is well, and it is not.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from lmmgwas.errors import FileAccessError

_Result = TypeVar("_Result")

_PASSING = (errno.EINTR, errno.ESTALE)
_NOT_FOR_FOLDERS = (errno.EINVAL, errno.EOPNOTSUPP)  # file systems that cannot wait for a folder
_ATTEMPTS = 3
_AT_ONCE = 1 << 22
_PAUSE = 0.05  # seconds after the first attempt; doubled each time

_ELSEWHERE = "or choose another place (--out, --tmpdir)"
_REMEDIES = {
    errno.ENOSPC: f"the disk is full: make room there, {_ELSEWHERE}",
    errno.EDQUOT: f"your quota is used up: make room, have it raised, {_ELSEWHERE}",
    errno.EFBIG: "the file would be larger than the limit on files (ulimit -f) or its file system "
    f"allows: raise the limit, {_ELSEWHERE}",
    errno.ENOENT: "the file or its folder is gone: find out what removed it, and run again",
    errno.EROFS: f"the file system can only be read: {_ELSEWHERE.removeprefix('or ')}",
    errno.EACCES: f"you may not write there: change the permissions, {_ELSEWHERE}",
    errno.EPERM: f"you may not write there: change the permissions, {_ELSEWHERE}",
}
_ANY = f"the disk or the way to it failed: check it, {_ELSEWHERE}"
_ROOM = (errno.ENOSPC, errno.EDQUOT)


def write_error(
    path: Path, error: OSError, code: str = "E112", name: Path | None = None
) -> FileAccessError:
    """Return what to raise where `path`, which is to have another `name`, could not be written.

    It says why, how much was written and is free, and what to do.
    """
    written, free = _bytes_of(path), _free_at(path)
    begun = f" after {written:,} bytes" if written else ""
    room = f" ({free:,} bytes are free)" if free is not None and error.errno in _ROOM else ""
    return FileAccessError(
        code, f"writing {name or path} failed{begun}: {reason(error)}{room}; {remedy(error)}"
    )


def reason(error: OSError) -> str:
    """Return what the system says, without the path."""
    return error.strerror or str(error)


def remedy(error: OSError) -> str:
    """Return what to do about a file or folder that cannot be written."""
    return _REMEDIES.get(error.errno or 0, _ANY)


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free_at(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return None


def patiently(action: Callable[[], _Result]) -> _Result:
    """Return what `action` returns; try again what a network file system may get over."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return action()
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            time.sleep(_PAUSE * 2**attempt)
    return action()


def flush(path: Path) -> None:
    """Wait until a file, or a folder's entries, are on disk. Raises FileAccessError (E112)."""
    try:
        patiently(lambda: _flush_once(path))
    except OSError as error:
        if error.errno in _NOT_FOR_FOLDERS and path.is_dir():
            return
        raise write_error(path, error) from error


def _flush_once(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Remove a folder and what is in it, as far as that goes.

    It is tried again: a file that could not be removed once may be the next moment.
    """
    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or folder.is_symlink():
            return


def rename(temporary: Path, final: Path) -> None:
    """Give a file its final name, and look that it is there.

    Raises FileAccessError: E112 where it cannot be renamed, E119 where something else has the
    name afterwards.
    """
    try:
        with temporary.open("rb") as stream:
            mine = os.fstat(stream.fileno())
            patiently(lambda: _rename_once(temporary, final, mine))
            found = patiently(final.stat)
            if not (os.path.samestat(found, mine) or _has_bytes(final, stream)):
                raise FileAccessError(
                    "E119",
                    f"{final} is not the file that was written ({found.st_size:,} bytes, not "
                    f"{mine.st_size:,}): something else took the name at the same moment; find "
                    "out what, and run again",
                )
    except OSError as error:
        raise write_error(temporary, error, name=final) from error


def rename_folder(temporary: Path, final: Path) -> None:
    """Give a folder its final name, which must be free. Raises FileAccessError (E112)."""
    try:
        patiently(lambda: temporary.rename(final))
    except OSError as error:
        raise write_error(temporary, error, name=final) from error


def _rename_once(temporary: Path, final: Path, mine: os.stat_result) -> None:
    try:
        temporary.replace(final)
    except FileNotFoundError:
        # The first answer may have been lost on its way.
        if not os.path.samestat(final.stat(), mine):
            raise


def _has_bytes(path: Path, written: BinaryIO) -> bool:
    """Whether a file has the bytes of the open one: a file's number may change with its name."""
    with path.open("rb") as stream:
        while data := written.read(_AT_ONCE):
            if stream.read(len(data)) != data:
                return False
        return not stream.read(1)
