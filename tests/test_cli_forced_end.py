"""A run that does not leave by itself is ended: in this process, with the last step replaced."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from lmmgwas import stop
from lmmgwas.cli import main, watch


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Exit codes of forced ends, which end nothing here."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(watch, "_GRACE", 0.05)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # a main thread that does not hear
    yield codes
    signal.signal(signal.SIGTERM, before)
    stop.clear()


@pytest.mark.parametrize("fails", [False, True])
def test_who_does_not_hear_is_ended(
    ended: list[int], capfd: pytest.CaptureFixture[str], fails: bool
) -> None:
    """Cleaning up may fail: the end comes all the same."""
    abandoned = []

    def abandon() -> None:
        abandoned.append(1)
        if fails:
            raise OSError("the disk is gone")

    with watch.watched(abandon):
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 20.0
        while not ended and time.monotonic() < deadline:
            time.sleep(0.01)
    assert ended == [143]
    assert abandoned == [1]
    assert "[E143] terminated" in capfd.readouterr().err


def test_threads_that_work_on_are_not_waited_for(
    ended: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    done = threading.Event()
    worker = threading.Thread(target=done.wait)
    worker.start()
    try:
        with pytest.raises(SystemExit) as left, watch.watched(lambda: None):
            sys.exit(130)
    finally:
        done.set()
        worker.join()
    assert left.value.code == 130
    assert ended == [130]
    assert "[E130] interrupted" in capfd.readouterr().err


def test_the_handler_of_an_interruption_notes_it() -> None:
    try:
        with pytest.raises(KeyboardInterrupt):
            main._interrupt(signal.SIGINT, None)
        with pytest.raises(SystemExit, match="130"):
            stop.obey()
    finally:
        stop.clear()
