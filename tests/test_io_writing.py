"""Refusals of the disk, said; what passes, tried again; a rename that is looked at."""

import errno
import os
from pathlib import Path

import pytest

from lmmgwas.errors import FileAccessError
from lmmgwas.io import writing
from lmmgwas.io.writing import flush, patiently, rename, write_error


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(writing.time, "sleep", pauses.append)
    return pauses


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


WORDS = {
    errno.ENOSPC: ("No space left on device", "bytes are free", "make room"),
    errno.EDQUOT: ("quota", "bytes are free", "have it raised"),
    errno.EFBIG: ("File too large", "ulimit -f"),
    errno.EROFS: ("Read-only", "choose another place"),
    errno.EACCES: ("Permission denied", "change the permissions"),
    errno.EIO: ("Input/output error", "check it"),
}


@pytest.mark.parametrize(("number", "words"), WORDS.items(), ids=errno.errorcode.get)
def test_a_refusal_says_why_where_and_what_to_do(
    tmp_path: Path, number: int, words: tuple[str, ...]
) -> None:
    begun = tmp_path / "begun.tmp"
    begun.write_bytes(bytes(12_345))
    error = write_error(begun, failure(number), name=tmp_path / "final")
    assert error.exit_code == 7
    text = str(error)
    assert text.startswith(f"[E112] writing {tmp_path / 'final'} failed after 12,345 bytes: ")
    for word in words:
        assert word in text
    assert ("bytes are free" in text) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_an_error_without_a_number(tmp_path: Path) -> None:
    text = str(write_error(tmp_path / "a", OSError("write failed"), "E705"))
    assert text.startswith(f"[E705] writing {tmp_path / 'a'} failed: write failed; ")


class Failing:
    """Fails some times, then does something."""

    def __init__(self, number: int, times: int) -> None:
        self.calls = 0
        self._number = number
        self._times = times

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._times:
            raise failure(self._number)
        return "done"


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EINTR])
def test_what_passes_is_tried_three_times(number: int, no_pause: list[float]) -> None:
    action = Failing(number, 2)
    assert patiently(action) == "done"
    assert action.calls == 3
    assert no_pause == [0.05, 0.1]
    action = Failing(number, 3)
    with pytest.raises(OSError, match=os.strerror(number)):
        patiently(action)
    assert action.calls == 3


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_the_rest_is_not(number: int, no_pause: list[float]) -> None:
    action = Failing(number, 1)
    with pytest.raises(OSError, match=os.strerror(number)):
        patiently(action)
    assert action.calls == 1
    assert not no_pause


def test_a_failed_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    flush(path)
    flush(tmp_path)
    action = Failing(errno.EIO, 9)
    monkeypatch.setattr(os, "fsync", lambda descriptor: action())
    with pytest.raises(FileAccessError, match=f"writing {path} failed after 1 bytes"):
        flush(path)
    assert action.calls == 1  # a second one would say that all is well


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_wait_for_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "a"
    path.touch()
    action = Failing(number, 9)
    monkeypatch.setattr(os, "fsync", lambda descriptor: action())
    flush(tmp_path)
    assert action.calls == 1
    with pytest.raises(FileAccessError, match="E112"):
        flush(path)


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    path = tmp_path / "a.tmp"
    path.write_bytes(b"new" * 1000)
    return path


def test_a_rename(draft: Path) -> None:
    final = draft.with_name("a")
    final.write_bytes(b"old")
    rename(draft, final)
    assert final.read_bytes() == b"new" * 1000
    assert not draft.exists()


def test_a_rename_whose_answer_was_lost(draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 130: it was done, and said to have failed; the second attempt finds nothing."""
    real = os.replace
    answers = iter([errno.ESTALE, errno.ENOENT])

    def replace(source: Path, target: Path) -> None:
        if Path(source).exists():
            real(source, target)
        number = next(answers)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", replace)
    final = draft.with_name("a")
    rename(draft, final)
    assert final.read_bytes() == b"new" * 1000


def test_a_rename_that_fails_for_good(draft: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    action = Failing(errno.ESTALE, 9)
    monkeypatch.setattr(os, "replace", lambda source, target: action())
    final = draft.with_name("a")
    with pytest.raises(FileAccessError, match=rf"\[E112\] writing {final} failed") as caught:
        rename(draft, final)
    assert action.calls == 3
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("content", [b"other", b"old" * 1000, b"new" * 1001, b""])
def test_another_file_that_takes_the_name(
    draft: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """Row 130: what has the name afterwards must be what was written."""
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        real(source, target)
        Path(target).unlink()
        Path(target).write_bytes(content)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(FileAccessError, match=r"\[E119\].*is not the file that was written"):
        rename(draft, draft.with_name("a"))


def test_a_file_system_that_renumbers_its_files(
    draft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes under another number are the same file."""
    monkeypatch.setattr(os.path, "samestat", lambda a, b: False)
    final = draft.with_name("a")
    rename(draft, final)
    assert final.read_bytes() == b"new" * 1000


def test_a_rename_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="is gone"):
        rename(tmp_path / "no", tmp_path / "a")
