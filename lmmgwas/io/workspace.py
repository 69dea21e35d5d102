"""The private folder of a run, beside its output: lock, temporary files, what can be resumed.

    .PREFIX.work/lock     who works here
    .PREFIX.work/files/   files that get their final names when they are whole
    .PREFIX.work/study/   finished steps of a study, for --resume

It is beside the output so that a rename is enough to give a file its name, and it goes with
the run. After a kill it stays; the next run cleans `files`, and decides about `study`.
"""

import contextlib
from pathlib import Path
from types import TracebackType

from lmmgwas.errors import LmmgwasError, OutputExistsError
from lmmgwas.io.lock import Lock
from lmmgwas.io.writing import remove_tree

_POINTLESS = (2, 3, 4, 5)
"""Exit codes of failures that the same command meets again: nothing is kept for a resumption."""


class Workspace:
    """The folder of one run, locked. Use it as a context."""

    def __init__(self, out: Path, *, break_lock: bool = False) -> None:
        self.folder = out.with_name(f".{out.name}.work")
        self.files = self.folder / "files"
        self.study = self.folder / "study"
        self.owns_study = False  # whether this run may remove the study
        self._break_lock = break_lock
        self._lock: Lock | None = None

    def require_lock(self) -> None:
        """Raise OutputExistsError (E117) where another run took the lock from this one."""
        if self._lock is None or not self._lock.is_held():
            raise OutputExistsError(
                "E117",
                f"{self.folder / 'lock'} is not ours any more (--break-lock in another run?): "
                "nothing was given its final name",
            )

    def is_worth_keeping(self) -> bool:
        """Whether a step of a study is finished here."""
        kept = ("*.shard", "*.null")  # a cluster's lie in folders of their own
        return (self.study / "grm.json").exists() or any(
            True for pattern in kept for _ in self.study.rglob(pattern)
        )

    def abandon(self) -> None:
        """Leave at once: as at the end of a run that failed, whatever state it is in."""
        self._leave(keep=True)

    def __enter__(self) -> "Workspace":
        self._lock = Lock.acquire(self.folder / "lock", break_lock=self._break_lock)
        try:
            _clear(self.files)
            if self.study.is_symlink():
                self.study.unlink()
            self.files.mkdir(mode=0o700, exist_ok=True)
        except BaseException:
            self._leave(keep=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave(keep=error is not None and not is_pointless(error))

    def _leave(self, *, keep: bool) -> None:
        if self._lock is None or not self._lock.is_held():
            return
        remove_tree(self.files)
        if self.owns_study and not (keep and self.is_worth_keeping()):
            remove_tree(self.study)
        self._lock.release()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # unless a study is kept in it


def _clear(folder: Path) -> None:
    """Remove a folder, or the link or file that is in its place."""
    remove_tree(folder)
    with contextlib.suppress(OSError):
        folder.unlink()


def is_pointless(error: BaseException) -> bool:
    """Whether the same command would fail in the same way: a resumption would not help."""
    return isinstance(error, LmmgwasError) and error.exit_code in _POINTLESS
