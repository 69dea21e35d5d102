"""Standard streams that are closed are opened on the null device, before anything else is."""

import os
import sys

import pytest

from lmmgwas.cli import streams


class Descriptors:
    """The operating system's answers: `closed` are not open, a new file gets `free`."""

    def __init__(self, closed: set[int], free: int) -> None:
        self.closed, self.free = closed, free
        self.opened: list[int] = []
        self.moved: list[tuple[int, int]] = []

    def fstat(self, number: int) -> None:
        if number in self.closed:
            raise OSError(9, "Bad file descriptor")

    def open(self, path: str, flags: int) -> int:
        assert path == os.devnull
        self.opened.append(flags)
        return self.free

    def dup2(self, old: int, new: int) -> None:
        self.moved.append((old, new))

    def close(self, number: int) -> None:
        assert number == self.free


@pytest.mark.parametrize(
    ("closed", "free", "moved"), [(set(), 7, []), ({2}, 2, []), ({0, 2}, 7, [(7, 0), (7, 2)])]
)
def test_closed_descriptors_are_filled(
    monkeypatch: pytest.MonkeyPatch, closed: set[int], free: int, moved: list[tuple[int, int]]
) -> None:
    found = Descriptors(closed, free)
    for name in ("fstat", "open", "dup2", "close"):
        monkeypatch.setattr(streams.os, name, getattr(found, name))
    streams.guard_streams()
    monkeypatch.undo()
    flags = {0: os.O_RDONLY, 1: os.O_WRONLY, 2: os.O_WRONLY}
    assert found.opened == [flags[number] for number in sorted(closed)]
    assert found.moved == moved


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_python_has_its_streams(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, name, None)
    streams.guard_streams()
    found = getattr(sys, name)
    assert found is not None
    assert found.encoding.lower() == "utf-8"
    found.close()  # not the descriptor
    os.fstat({"stdin": 0, "stdout": 1, "stderr": 2}[name])
