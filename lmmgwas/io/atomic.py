"""Output that appears whole or not at all.

Everything is written under a temporary name beside its final one, or in a private folder of
the same file system; `OutputSet.commit` flushes and renames. When the work fails, the temporary
files go and the final names are untouched.
"""

import contextlib
import filecmp
import os
import secrets
import zlib
from functools import partial
from pathlib import Path
from types import TracebackType

from lmmgwas import stop
from lmmgwas.errors import FileAccessError, OutputExistsError, UsageError
from lmmgwas.io.writing import flush, patiently, reason, remedy, rename, write_error

_TEMPORARY_LENGTH = 16


class OutputSet:
    """The files of one run. Use it as a context; `commit` is the last thing inside."""

    def __init__(
        self,
        *,
        overwrite: bool,
        durable: bool = True,
        folder: Path | None = None,
        resuming: bool = False,
    ) -> None:
        self.overwrite = overwrite
        self._durable = durable  # False for files that the run itself removes
        self._folder = folder  # for temporary files
        self._resuming = resuming  # what is there may be ours: the same bytes are no clash
        self._taken: list[Path] = []
        self._token = secrets.token_hex(4)
        self._pending: dict[Path, Path] = {}

    def require_free(self, finals: list[Path]) -> None:
        """Raise before any work when a final name is taken or cannot be written."""
        for folder, path in {path.parent: path for path in reversed(finals)}.items():
            _probe(folder, self._token if self._folder is None else path.name)
        for path in finals:
            longest = os.pathconf(path.parent, "PC_NAME_MAX") - _TEMPORARY_LENGTH
            if len(os.fsencode(path.name)) > longest:
                raise UsageError(
                    "E010",
                    f"the file name {path.name!r} is longer than {longest} bytes: use a shorter "
                    "--out or trait name",
                )
            if path.is_dir() and not path.is_symlink():
                raise OutputExistsError(
                    "E113",
                    f"{path} is a folder, which a file cannot replace: move it away, or choose "
                    "another name for the output (--out)",
                )
        self._taken = [path for path in finals if path.exists() or path.is_symlink()]
        if not self._resuming:
            self.require_free_of_others()

    def require_free_of_others(self) -> None:
        """Raise where a name that was asked for is taken, though a run that is resumed may."""
        taken = [str(path) for path in self._taken]
        if taken and not self.overwrite:
            shown = ", ".join(taken[:3]) + (f" and {len(taken) - 3} more" if len(taken) > 3 else "")
            raise OutputExistsError(
                "E113",
                f"{shown} {'exist' if len(taken) > 1 else 'exists'} already and would be replaced: "
                "choose another name for the output (--out), or say --overwrite",
            )

    def temporary(self, final: Path) -> Path:
        """Return the name under which to write what will be `final`."""
        if final not in self._pending:
            beside = final.with_name(f".{final.name}.{self._token}.tmp")
            self._pending[final] = beside if self._folder is None else self._folder / final.name
        return self._pending[final]

    def pending(self) -> list[tuple[Path, Path]]:
        """Return (final, temporary) of every file that is there so far."""
        return [(f, t) for f, t in self._pending.items() if t.exists()]

    def forget(self, final: Path) -> None:
        """Drop a file that will not be written after all."""
        temporary = self._pending.pop(final, None)
        if temporary is not None:
            _drop(temporary)

    def write_text(self, final: Path, text: str) -> None:
        """Write a small text file, UTF-8 with newlines as they are."""
        try:
            with self.temporary(final).open("w", encoding="utf-8", newline="") as stream:
                stream.write(text)
        except OSError as error:
            raise write_error(self.temporary(final), error, name=final) from error

    def commit(self) -> None:
        """Give every file its final name, in the order in which they were begun."""
        stop.obey()
        for final, temporary in self._pending.items():
            if self._durable:
                flush(temporary)
            if not self.overwrite and not self._may_replace(final, temporary):
                raise OutputExistsError("E113", f"{final} appeared while the run was working")
        with stop.held_off():
            for final, temporary in self._pending.items():
                rename(temporary, final)
        if self._durable:
            for folder in dict.fromkeys(path.parent for path in self._pending):
                flush(folder)
        self._pending.clear()

    def _may_replace(self, final: Path, temporary: Path) -> bool:
        """Whether nothing is lost: nothing there, or the very same, committed before a kill."""
        if not final.exists() and not final.is_symlink():
            return True
        return (
            self._resuming
            and final.is_file()
            and not final.is_symlink()
            and filecmp.cmp(final, temporary, shallow=False)
        )

    def __enter__(self) -> "OutputSet":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for temporary in self._pending.values():
            with contextlib.suppress(OSError):
                temporary.unlink()
        self._pending.clear()


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file that is there whole, and on disk, or not at all.

    Raises FileAccessError (E112).
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            patiently(partial(os.fsync, stream.fileno()))
    except OSError as error:
        raised = write_error(temporary, error, name=path)
        _drop(temporary)
        raise raised from error
    try:
        rename(temporary, path)
    except FileAccessError:
        _drop(temporary)
        raise


def _drop(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def _probe(folder: Path, name: str) -> None:
    """Create and remove a file, the only honest test of a folder.

    A run that is killed in between leaves it; the next run under the same name removes it.
    """
    probe = folder / f".lmmgwas.{zlib.crc32(os.fsencode(name)):08x}.tmp"
    try:
        probe.unlink(missing_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except FileNotFoundError as error:
        raise FileAccessError(
            "E111", f"the output folder {folder} does not exist: create it, or change --out"
        ) from error
    except OSError as error:
        raise FileAccessError(
            "E111",
            f"cannot write into the output folder {folder}: {reason(error)}; {remedy(error)}",
        ) from error
