"""The number of threads: the smallest of allotment, affinity and quota."""

import os
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from lmmgwas.numerics import threads
from lmmgwas.numerics.threads import available_threads, blas_libraries, limited_blas

BATCH_VARIABLES = (
    "SLURM_CPUS_PER_TASK",
    "PBS_NCPUS",
    "NCPUS",
    "NSLOTS",
    "LSB_DJOB_NUMPROC",
    "OMP_NUM_THREADS",
)


@pytest.fixture(autouse=True)
def machine_of_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 16 processors, no batch system and no quota."""
    for name in BATCH_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(threads, "_cgroup_quota", lambda _: None)


def test_affinity_mask() -> None:
    assert available_threads() == 16


def test_count_of_processors_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_threads() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_threads() == 1


@pytest.mark.parametrize("name", BATCH_VARIABLES)
def test_batch_system_s_allotment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "4")
    assert available_threads() == 4


def test_allotment_above_the_affinity_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "64")
    assert available_threads() == 16


@pytest.mark.parametrize("text", ["", "0", "-2", "4,2", "many", "2.5", "²"])
def test_allotment_that_is_no_positive_integer_is_ignored(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
    assert available_threads() == 16


def test_smallest_limit_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setattr(threads, "_cgroup_quota", lambda _: 3)
    assert available_threads() == 3


class TestCgroup:
    """The real parser, on files in a temporary folder."""

    quota = staticmethod(threads._cgroup_quota)  # before the fixture replaces it

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("200000 100000\n", 2),
            ("250000 100000\n", 2),  # whole processors
            ("50000 100000\n", 1),  # never none
            ("max 100000\n", None),
            ("", None),
            ("100000\n", None),
            ("rubbish 100000\n", None),
            ("100000 0\n", None),
        ],
    )
    def test_version_2(self, tmp_path: Path, text: str, expected: int | None) -> None:
        (tmp_path / "cpu.max").write_text(text)
        assert self.quota(tmp_path) == expected

    @pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("-1", None), ("", None)])
    def test_version_1(self, tmp_path: Path, quota: str, expected: int | None) -> None:
        (tmp_path / "cpu").mkdir()
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota + "\n")
        (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
        assert self.quota(tmp_path) == expected

    def test_no_cgroup(self, tmp_path: Path) -> None:
        assert self.quota(tmp_path) is None


def blas_threads() -> set[int]:
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_every_copy_of_blas_is_limited_and_set_free_again() -> None:
    with limited_blas(2):
        before = blas_threads()
        with limited_blas(1):
            assert blas_threads() == {1}
        assert blas_threads() == before


def test_blas_libraries_are_named() -> None:
    with limited_blas(1):
        found = blas_libraries()
    assert found
    for library in found:
        assert set(library) == {"library", "version", "kernels", "threads"}
        assert library["library"]
        assert library["threads"] == 1
