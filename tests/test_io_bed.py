"""Bytes of a .bed against a bit-level decoder and bed-reader, by one thread and by several."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from bed_oracle import MISSING, decode, write_set
from bed_reader import open_bed

from lmmgwas.errors import FileAccessError
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
