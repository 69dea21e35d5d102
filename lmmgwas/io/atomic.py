"""Output that appears whole or not at all.

Everything is written under a temporary name beside its final one; `OutputSet.commit` flushes
and renames. When the work fails, the temporary files go and the final names are untouched.
"""

import contextlib
import os
import secrets
from pathlib import Path
from types import TracebackType

from lmmgwas import stop
from lmmgwas.errors import FileAccessError, OutputExistsError, UsageError

_TEMPORARY_LENGTH = 16


class OutputSet:
    """The files of one run. Use it as a context; `commit` is the last thing inside."""

    def __init__(self, *, overwrite: bool, durable: bool = True) -> None:
        self._overwrite = overwrite
        self._durable = durable  # False for files that the run itself removes
        self._token = secrets.token_hex(4)
        self._pending: dict[Path, Path] = {}

    def require_free(self, finals: list[Path]) -> None:
        """Raise before any work when a final name is taken or cannot be written."""
        for folder in dict.fromkeys(path.parent for path in finals):
            _probe(folder)
        for path in finals:
            longest = os.pathconf(path.parent, "PC_NAME_MAX") - _TEMPORARY_LENGTH
            if len(os.fsencode(path.name)) > longest:
                raise UsageError(
                    "E010",
                    f"the file name {path.name!r} is longer than {longest} bytes: use a shorter "
                    "--out or trait name",
                )
        taken = [str(path) for path in finals if path.exists() or path.is_symlink()]
        if taken and not self._overwrite:
            shown = ", ".join(taken[:3]) + (f" and {len(taken) - 3} more" if len(taken) > 3 else "")
            raise OutputExistsError(
                "E113",
                f"{shown} {'exist' if len(taken) > 1 else 'exists'} already and would be replaced: "
                "choose another name for the output (--out), or say --overwrite",
            )

    def temporary(self, final: Path) -> Path:
        """Return the name under which to write what will be `final`."""
        if final not in self._pending:
            self._pending[final] = final.with_name(f".{final.name}.{self._token}.tmp")
        return self._pending[final]

    def pending(self) -> list[tuple[Path, Path]]:
        """Return (final, temporary) of every file that is there so far."""
        return [(f, t) for f, t in self._pending.items() if t.exists()]

    def forget(self, final: Path) -> None:
        """Drop a file that will not be written after all."""
        temporary = self._pending.pop(final, None)
        if temporary is not None:
            temporary.unlink(missing_ok=True)

    def write_text(self, final: Path, text: str) -> None:
        """Write a small text file, UTF-8 with newlines as they are."""
        with self.temporary(final).open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)

    def commit(self) -> None:
        """Give every file its final name, in the order in which they were begun."""
        stop.obey()
        for final, temporary in self._pending.items():
            if self._durable:
                _flush(temporary)
            if not self._overwrite and (final.exists() or final.is_symlink()):
                raise OutputExistsError("E113", f"{final} appeared while the run was working")
        for final, temporary in self._pending.items():
            temporary.replace(final)
        if self._durable:
            for folder in dict.fromkeys(path.parent for path in self._pending):
                _flush(folder)
        self._pending.clear()

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


def _probe(folder: Path) -> None:
    """Create and remove a file, the only honest test of a folder."""
    probe = folder / f".lmmgwas.{secrets.token_hex(4)}.tmp"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except FileNotFoundError as error:
        raise FileAccessError(
            "E111", f"the output folder {folder} does not exist: create it, or change --out"
        ) from error
    except OSError as error:
        raise FileAccessError(
            "E111", f"cannot write into the output folder {folder}: {error.strerror}"
        ) from error


def _flush(path: Path) -> None:
    """Wait until a file, or a folder's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
