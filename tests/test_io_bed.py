"""Bytes of a .bed against a bit-level decoder and bed-reader, by one thread and by several."""

import errno
import gc
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from bed_oracle import MISSING, decode, write_set
from bed_reader import open_bed
from conftest import RunCli, StudyFiles

from lmmgwas.errors import FileAccessError
from lmmgwas.io import bed as bed_module
from lmmgwas.io import watched as watched_module
from lmmgwas.io.bed import BedFile

M = 120
SIZES = (*range(1, 10), 500)


def random_calls(n: int) -> np.ndarray:
    return np.random.default_rng(n).choice(np.array([0, 1, 2, MISSING]), (M, n))


def indices() -> dict[str, np.ndarray]:
    """Ways to ask for variants."""
    rng = np.random.default_rng(1)
    return {
        "all": np.arange(M),
        "contiguous": np.arange(17, 64),
        "two runs": np.r_[90:110, 3:40],
        "backwards": np.arange(M)[::-1],
        "scattered": np.flatnonzero(rng.random(M) < 0.3),
        "unsorted": rng.permutation(M)[:50],
        "repeated": rng.integers(0, M, 200),
        "first": np.array([0]),
        "last": np.array([M - 1]),
    }


@pytest.mark.parametrize("n", SIZES)
def test_calls_are_those_of_the_oracle_and_of_bed_reader(tmp_path: Path, n: int) -> None:
    paths = write_set(tmp_path, random_calls(n).tolist())
    expected = np.array(decode(paths[0].read_bytes(), n, M))
    np.testing.assert_array_equal(expected, random_calls(n))
    bed = BedFile(paths[0], n)
    with open_bed(paths[0], num_threads=1) as other:
        for name, index in indices().items():
            calls = bed.read(index.astype(np.int64))
            assert calls.dtype == np.int8, name
            assert calls.flags.c_contiguous, name
            np.testing.assert_array_equal(calls, expected[index], err_msg=name)
            theirs = other.read(np.s_[:, index.tolist()], dtype=np.int8)
            np.testing.assert_array_equal(calls, theirs.T, err_msg=name)


@pytest.mark.parametrize("n", [7, 500])
def test_several_threads_at_once(tmp_path: Path, n: int) -> None:
    bed = BedFile(write_set(tmp_path, random_calls(n).tolist())[0], n)
    rng = np.random.default_rng(2)
    asked = [rng.integers(0, M, 40) if k % 2 else np.arange(k % 7, 90 + k % 7) for k in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(bed.read, asked))
    for index, calls in zip(asked, found, strict=True):
        np.testing.assert_array_equal(calls, random_calls(n)[index])


def test_the_file_is_closed_with_its_reader(tmp_path: Path) -> None:
    path = write_set(tmp_path, random_calls(5).tolist())[0]
    descriptors = Path("/proc/self/fd")
    n_open = len(list(descriptors.iterdir()))
    for _ in range(20):
        BedFile(path, 5).read(np.array([3]))
    assert len(list(descriptors.iterdir())) <= n_open


@pytest.mark.parametrize(
    ("size", "index", "said"),
    [
        # Two bytes per variant after three of the header.
        (3 + 2 * 100, [100], r"variants 101 to 101 \(from byte 203\)"),
        (3 + 2 * 100 - 1, [99], r"variants 100 to 100 \(from byte 201\)"),
        (3 + 2 * 100, [4, 5, 98, 99, 100, 101, 7], r"variants 99 to 102 \(from byte 199\)"),
        (0, [0], r"variants 1 to 1 \(from byte 3\)"),
        (3 + 2 * 100, [119, 0], r"variants 120 to 120 \(from byte 241\)"),
    ],
)
def test_a_file_cut_while_running(tmp_path: Path, size: int, index: list[int], said: str) -> None:
    path = write_set(tmp_path, random_calls(8).tolist())[0]
    bed = BedFile(path, 8)
    os.truncate(path, size)
    with pytest.raises(FileAccessError, match=said) as caught:
        bed.read(np.array(index))
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E110", 7)
    assert caught.value.problems[0].where == str(path)
    assert "ends too early" in str(caught.value)
    if size > 100:
        np.testing.assert_array_equal(bed.read(np.arange(40)), random_calls(8)[:40])


def test_a_file_replaced_while_running_is_the_one_that_was_opened(tmp_path: Path) -> None:
    path = write_set(tmp_path, random_calls(8).tolist())[0]
    bed = BedFile(path, 8)
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    other.replace(path)
    np.testing.assert_array_equal(bed.read(np.arange(M)), random_calls(8))


@pytest.mark.parametrize("most", [1, 7])
def test_what_the_system_reads_in_pieces_is_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Linux reads at most 2 GiB at a time, and less where it likes."""
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: whole(fd, min(n, most), at))
    bed = BedFile(write_set(tmp_path, random_calls(13).tolist())[0], 13)
    np.testing.assert_array_equal(bed.read(np.arange(M)), random_calls(13))


# --- Faults of the disk ------------------------------------------------------------------------


class Disk:
    """`os.pread` that fails a number of times, for reads past an offset."""

    def __init__(self, patch: pytest.MonkeyPatch, code: int, times: int, past: int = 0) -> None:
        self._whole, self._code, self._left, self._past = os.pread, code, times, past
        self.n_failed = 0
        patch.setattr(os, "pread", self)
        patch.setattr(watched_module, "_PAUSE", 0.0)

    def __call__(self, descriptor: int, size: int, offset: int) -> bytes:
        if offset >= self._past and self.n_failed < self._left:
            self.n_failed += 1
            raise OSError(self._code, os.strerror(self._code))
        # Short reads, so that a fault strikes in the middle of a run of variants.
        return self._whole(descriptor, min(size, 8), offset)


@pytest.mark.parametrize("code", [errno.EINTR, errno.ESTALE])
@pytest.mark.parametrize("times", [1, 3])
def test_a_fault_that_passes_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, times: int
) -> None:
    bed = BedFile(write_set(tmp_path, random_calls(13).tolist())[0], 13)
    disk = Disk(monkeypatch, code, times, past=100)
    np.testing.assert_array_equal(bed.read(np.arange(M)), random_calls(13))
    assert disk.n_failed == times
    bed.check_unchanged()


@pytest.mark.parametrize(
    ("code", "n_failed", "said"),
    [
        (errno.ESTALE, 4, "Stale file handle"),
        (errno.EINTR, 4, "Interrupted system call"),
        (errno.EIO, 1, "Input/output error"),
    ],
)
def test_a_fault_that_stays_is_said_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, n_failed: int, said: str
) -> None:
    """Four bytes per variant: byte 103 is the first of variant 26."""
    path = write_set(tmp_path, random_calls(13).tolist())[0]
    bed = BedFile(path, 13)
    disk = Disk(monkeypatch, code, 99, past=103)
    place = r"variants 11 to 60 \(from byte 43\) failed at byte 10[37], in variant 2[67]: "
    with pytest.raises(FileAccessError, match=place + said) as caught:
        bed.read(np.arange(10, 60))
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E110", 7)
    assert caught.value.problems[0].where == str(path)
    assert disk.n_failed == n_failed


def test_after_a_stale_handle_another_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_set(tmp_path, random_calls(13).tolist())[0]
    bed = BedFile(path, 13)
    replaced(path)
    Disk(monkeypatch, errno.ESTALE, 1)
    with pytest.raises(FileAccessError, match="changed or replaced") as caught:
        bed.read(np.arange(M))
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E106", 7)


def replaced(path: Path) -> None:
    """Another file of the same content, size and time takes the name."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def grown(path: Path) -> None:
    """Bytes are appended; the time is set back."""
    before = path.stat()
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touched(path: Path) -> None:
    """Bytes are written in place."""
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [replaced, grown, touched, Path.unlink])
def test_a_changed_file_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = write_set(tmp_path, random_calls(13).tolist())[0]
    bed = BedFile(path, 13)
    bed.read(np.arange(M))
    bed.check_unchanged()
    change(path)
    with pytest.raises(FileAccessError, match="changed or replaced") as caught:
        bed.check_unchanged()
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("E106", 7)
    assert caught.value.problems[0].where == str(path)


@pytest.mark.parametrize("n", [1, 4, 13, 500])
def test_last_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """In chunks, and one by one where a variant is long."""
    path = write_set(tmp_path, random_calls(n).tolist())[0]
    expected = np.frombuffer(path.read_bytes()[3:], np.uint8).reshape(M, -1)[:, -1]
    bed = BedFile(path, n)
    monkeypatch.setattr(bed_module, "_CHUNK", 1000)
    np.testing.assert_array_equal(bed.last_bytes(M), expected)
    monkeypatch.setattr(bed_module, "_PAGE", 0)
    np.testing.assert_array_equal(bed.last_bytes(M), expected)
    os.truncate(path, 3 + 100 * bed.width)
    for page in (0, 4096):
        monkeypatch.setattr(bed_module, "_PAGE", page)
        with pytest.raises(FileAccessError, match="in variant 101: the file ends too early"):
            bed.last_bytes(M)


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EIO, "Input/output error"), (errno.ESTALE, "Stale file handle")],
)
def test_a_run_that_cannot_read_ends_with_7(
    small_study: StudyFiles,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    said: str,
) -> None:
    """The audit before the run reads well: the fault comes with the GRM."""
    (tmp_path / "out").mkdir()
    healthy = BedFile.last_bytes

    def then_break(bed: BedFile, m: int) -> np.ndarray:
        found = healthy(bed, m)
        Disk(monkeypatch, code, 10**9, past=3 + 30 * 30)
        return found

    monkeypatch.setattr(BedFile, "last_bytes", then_break)
    result = run_cli("assoc", *small_study.inputs, "--out", tmp_path / "out" / "run")
    assert result.exit_code == 7, result.stderr
    assert "[E110]" in result.stderr
    assert "study.bed: reading variants" in result.stderr
    assert f"failed at byte 907, in variant 31: {said}" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"run.log", ".run.work"}


@pytest.mark.parametrize("options", [(), ("--h2", "0")], ids=["GRM", "scan"])
@pytest.mark.parametrize("file", ["bed", "bim", "fam"])
def test_a_run_whose_files_change_ends_with_7(
    small_study: StudyFiles,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    file: str,
) -> None:
    """The last chromosome is read when a copy of the same content takes the name."""
    (tmp_path / "out").mkdir()
    path = getattr(small_study, file)
    healthy = BedFile.read

    def then_replace(bed: BedFile, index: np.ndarray) -> np.ndarray:
        if int(index[-1]) == 239 and not path.with_name("done").exists():
            replaced(path)
            path.with_name("done").touch()
        return healthy(bed, index)

    monkeypatch.setattr(BedFile, "read", then_replace)
    arguments = [*small_study.inputs, "--out", tmp_path / "out" / "run", *options]
    result = run_cli("assoc", *arguments, "--chr", "1-4")
    assert result.exit_code == 7, result.stderr
    assert f"[E106] {path}: the file was changed or replaced during the run" in result.stderr
    # What is finished may wait for --resume, which compares the inputs; nothing has a final name.
    assert {each.name for each in (tmp_path / "out").iterdir()} <= {"run.log", ".run.work"}


def test_a_file_that_fails_to_close_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is whole; a traceback of a finaliser would only frighten."""
    path = tmp_path / "x.bed"
    path.write_bytes(bytes.fromhex("6c1b01") + bytes(2))
    gc.collect()  # files of other tests
    opened = BedFile(path, 4)
    own = opened._file.descriptor
    closed: list[int] = []

    def fail(descriptor: int) -> None:
        closed.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    close = os.close
    monkeypatch.setattr(os, "close", fail)
    del opened
    gc.collect()
    monkeypatch.undo()
    for descriptor in closed:
        close(descriptor)
    assert own in closed  # pytest makes an error of what a finaliser raises
