"""Checksums of the inputs, the large ones begun while everything else is still being read."""

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from lmmgwas.pipeline.options import FileSet
from lmmgwas.report.manifest import describe_file


class Checksums:
    """Describes inputs; what was begun early is waited for."""

    def __init__(self, begun: dict[Path, Future[dict[str, Any]]]) -> None:
        self._begun = begun

    def describe(self, paths: Iterable[Path]) -> list[dict[str, Any]]:
        """Return path, size and SHA-256 of each input, each once. Raises FileAccessError (E110)."""
        return [self._of(path) for path in dict.fromkeys(paths)]

    def _of(self, path: Path) -> dict[str, Any]:
        begun = self._begun.get(path)
        return describe_file(path) if begun is None else begun.result()


@contextlib.contextmanager
def begun_checksums(files: FileSet) -> Iterator[Checksums]:
    """Begin with a file set, in a thread; a set for each chromosome has other names.

    What is not wanted any more, because the inputs are refused, is not waited for.
    """
    over = Event()
    with ThreadPoolExecutor(1) as pool:
        paths = [path for path in files.paths if path.is_file()]
        try:
            yield Checksums({path: pool.submit(_describe, path, over) for path in paths})
        finally:
            over.set()


def _describe(path: Path, over: Event) -> dict[str, Any]:
    return describe_file(path, give_up=over.is_set)
