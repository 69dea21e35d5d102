"""A binary file that is opened once and watched: read at offsets, never mistaken for another.

A file system over a network may lose a handle for a moment; what may pass is tried again.
"""

import contextlib
import errno
import os
import stat
import time
import weakref
from collections.abc import Mapping
from pathlib import Path

from lmmgwas.errors import FileAccessError, FormatError, Problem
from lmmgwas.io.text import access_error, identity_of

_PASSING = (errno.EINTR, errno.ESTALE)  # a network file system may find the file again
_RETRIES = 3
_PAUSE = 0.05  # seconds before the first retry; doubled each time


class WatchedFile:
    """An open file. Several threads may read at a time.

    The descriptor stays open: a file that takes the name later is never read.

    Raises FormatError (E105) for what is not a regular file, OSError where it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Opening a pipe would wait for its writer, but for O_NONBLOCK.
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        weakref.finalize(self, _let_go, self.descriptor)
        found = os.fstat(self.descriptor)
        if not stat.S_ISREG(found.st_mode):
            message = "not a regular file, which random access needs: copy the data to a file"
            raise FormatError("E105", message, str(path))
        self.size = found.st_size
        """Bytes of the file when it was opened."""
        self._identity = identity_of(found)

    def check_unchanged(self) -> None:
        """Refuse (E106) a file whose size, time or inode is another, or whose name went to one."""
        try:
            found = os.fstat(self.descriptor), self.path.stat()
        except OSError as error:
            raise changed_error(self.path, error) from error
        if any(identity_of(state) != self._identity for state in found):
            raise changed_error(self.path)

    def pread(self, size: int, offset: int) -> bytes:
        """Read at an offset; what may pass is tried again. Raises OSError."""
        for attempt in range(_RETRIES):
            try:
                return os.pread(self.descriptor, size, offset)
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
                time.sleep(_PAUSE * 2**attempt)
                if error.errno == errno.ESTALE:
                    self._open_again()
        return os.pread(self.descriptor, size, offset)

    def _open_again(self) -> None:
        """After ESTALE: a new handle of the same file under the same descriptor, if there is one.

        Raises FileAccessError (E106) where another file has taken the name.
        """
        try:
            fresh = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return  # the next attempt says what is wrong
        try:
            if identity_of(os.fstat(fresh)) != self._identity:
                raise changed_error(self.path)
            os.dup2(fresh, self.descriptor, inheritable=False)
        finally:
            os.close(fresh)


def changed_error(path: Path, error: OSError | None = None) -> FileAccessError:
    """Return E106: the file is not the one that was opened."""
    why = "" if error is None else f" ({access_error(path, error).problems[0].message})"
    return FileAccessError(
        "E106",
        f"the file was changed or replaced during the run{why}: results would rest on two files; "
        "start again when nothing writes to it",
        str(path),
    )


def text_identities(paths: tuple[Path, Path, Path]) -> dict[Path, tuple[int, ...]]:
    """Return what the text files of a set are before they are read; the first path is no text.

    A pipe has no identity to keep. Raises FileAccessError (E110) with one problem for each file
    that is missing or not readable.
    """
    found: dict[Path, tuple[int, ...]] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            state = path.stat()
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            problems += access_error(path, error).problems
            continue
        if stat.S_ISREG(state.st_mode) and path != paths[0]:
            found[path] = identity_of(state)
    if problems:
        raise FileAccessError.of(problems)
    return found


def check_identities(before: Mapping[Path, tuple[int, ...]]) -> None:
    """Refuse (E106) text files that are not those that were read."""
    for path, identity in before.items():
        try:
            now = identity_of(path.stat())
        except OSError as error:
            raise changed_error(path, error) from error
        if now != identity:
            raise changed_error(path)


def _let_go(descriptor: int) -> None:
    """Close a file that was read; what its end says no longer matters to anybody."""
    with contextlib.suppress(OSError):
        os.close(descriptor)
