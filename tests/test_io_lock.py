"""The lock of a prefix: one holder, and a proof before it is taken from anybody."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmmgwas.errors import FileAccessError, OutputExistsError
from lmmgwas.io.lock import Lock

Holder = dict[str, Any]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / ".run.work" / "lock"


def held_by_a_process_that_ended(place: Path) -> Holder:
    """Let another process take the lock and die with it."""
    work = "import sys, pathlib, lmmgwas.io.lock as m; m.Lock.acquire(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", work, str(place)], check=True)
    found: Holder = json.loads(place.read_text())
    return found


def test_one_holder_at_a_time(place: Path) -> None:
    lock = Lock.acquire(place)
    assert lock.is_held()
    with pytest.raises(OutputExistsError, match=rf"\[E114\].*process {os.getpid()} on") as caught:
        Lock.acquire(place)
    assert caught.value.exit_code == 8
    assert lock.is_held()
    lock.release()
    assert not place.exists()
    assert Lock.acquire(place).is_held()


def test_it_says_who_holds_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    Lock.acquire(place)
    with pytest.raises(OutputExistsError, match=r"job 4711, since 20\d\d-.* UTC"):
        Lock.acquire(place)
    assert [path.name for path in place.parent.iterdir()] == ["lock"]  # no drafts
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_a_holder_that_is_provably_gone_loses_it(place: Path) -> None:
    before = held_by_a_process_that_ended(place)
    lock = Lock.acquire(place)
    assert lock.is_held()
    assert json.loads(place.read_text())["token"] != before["token"]
    assert [path.name for path in place.parent.iterdir()] == ["lock"]


OTHER_PLACES: dict[str, Callable[[Holder], object]] = {
    "another boot": lambda holder: holder.update(boot="elsewhere"),
    "another namespace": lambda holder: holder.update(namespace="pid:[1]"),
    "no boot known": lambda holder: holder.update(boot=None),
    "the beginning is not known": lambda holder: holder.update(process_began=None),
}


@pytest.mark.parametrize("change", OTHER_PLACES.values(), ids=OTHER_PLACES)
def test_without_proof_only_break_lock_takes_it(
    place: Path, change: Callable[[Holder], object]
) -> None:
    holder = held_by_a_process_that_ended(place)
    change(holder)
    place.write_text(json.dumps(holder))
    with pytest.raises(OutputExistsError, match="--break-lock"):
        Lock.acquire(place)
    assert json.loads(place.read_text()) == holder
    assert Lock.acquire(place, break_lock=True).is_held()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_lock_that_says_nothing_is_respected(place: Path, content: bytes) -> None:
    place.parent.mkdir()
    place.write_bytes(content)
    with pytest.raises(OutputExistsError, match="another process"):
        Lock.acquire(place)
    assert Lock.acquire(place, break_lock=True).is_held()


def test_who_lost_the_lock_knows_and_does_not_release_it(place: Path) -> None:
    first = Lock.acquire(place)
    second = Lock.acquire(place, break_lock=True)
    assert not first.is_held()
    first.release()
    assert second.is_held()


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_one_gets_it(place: Path, stale: bool) -> None:
    if stale:
        held_by_a_process_that_ended(place)
    winners: list[Lock] = []
    start = threading.Barrier(8)

    def compete() -> None:
        start.wait()
        try:
            winners.append(Lock.acquire(place))
        except OutputExistsError:
            return

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lock.is_held() for lock in winners) == 1


def test_where_there_are_no_hard_links(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert Lock.acquire(place).is_held()
    with pytest.raises(OutputExistsError):
        Lock.acquire(place)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="does not exist: create it") as caught:
        Lock.acquire(tmp_path / "no" / ".run.work" / "lock")
    assert caught.value.exit_code == 7


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileAccessError, match="cannot write into the output folder"):
        Lock.acquire(tmp_path / "file" / ".run.work" / "lock")
