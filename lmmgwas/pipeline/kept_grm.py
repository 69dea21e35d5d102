"""The GRM that a study builds for itself: made once, found again by --resume, gone with the run.

The set is large (n^2 / 2 floats for each group) and is not waited for on its way to the disk.
What tells a later run that it is whole is a note with the checksum of every file, made in the
background once the set has its name.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmmgwas.errors import FileAccessError
from lmmgwas.io.atomic import OutputSet, write_whole
from lmmgwas.io.grm_files import GrmPaths
from lmmgwas.io.workspace import is_pointless
from lmmgwas.io.writing import remove_tree
from lmmgwas.pipeline.grm_run import Build, build_grm
from lmmgwas.pipeline.grm_sums import GrmTask
from lmmgwas.pipeline.journal import Journal
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions
from lmmgwas.report.manifest import describe_file

_NOTE = "grm.json"


@contextlib.contextmanager
def grm_of_study(
    task: GrmTask, run: RunOptions, journal: Journal, log: Logbook, build: Build | None = None
) -> Iterator[GrmPaths]:
    """Yield the paths of the set, built now or by the run that is resumed.

    `build` may have it summed elsewhere.
    """
    folder = journal.scratch(run, "grm")
    note = journal.folder / _NOTE
    checksums: _Checksums | None = None
    try:
        if _is_whole(folder, note):
            log.say("Resumed: the GRM is finished")
        else:
            _build(task, folder, run, log, build)
            checksums = _Checksums(folder, note)
        yield GrmPaths(folder / "set")
    except BaseException as error:
        if is_pointless(error) or not note.exists():
            remove_tree(folder)
        raise
    finally:
        if checksums is not None:
            checksums.stop()
    remove_tree(folder)


def _build(task: GrmTask, folder: Path, run: RunOptions, log: Logbook, build: Build | None) -> None:
    remove_tree(folder)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise FileAccessError(
            "E111", f"cannot write into {folder.parent}: {error.strerror}"
        ) from error
    with OutputSet(overwrite=False, durable=False) as files, log.stage("GRM"):
        if build is None:
            build_grm(task, GrmPaths(folder / "set"), files, log, quiet=run.verbosity == 0)
        else:
            build(task, GrmPaths(folder / "set"), files, log)
        files.commit()


def _is_whole(folder: Path, note: Path) -> bool:
    """Whether the set is as the note has it."""
    try:
        known: list[dict[str, Any]] = json.loads(note.read_bytes())
        found = {path.name for path in folder.iterdir()}
        return found == {Path(file["path"]).name for file in known} and all(
            describe_file(folder / Path(file["path"]).name) == file for file in known
        )
    except (OSError, ValueError, FileAccessError):
        return False


class _Checksums:
    """Writes the note, in a thread."""

    def __init__(self, folder: Path, note: Path) -> None:
        self._folder = folder
        self._note = note
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the note out if it is not there yet."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        found = []
        # A note less is a GRM built again, nothing worse.
        with contextlib.suppress(OSError, FileAccessError):
            for path in sorted(self._folder.iterdir()):
                if self._stopped.is_set():
                    return
                found.append(describe_file(path))
            write_whole(self._note, json.dumps(found).encode())
