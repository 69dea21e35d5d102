"""Limits of memory, from made-up /proc and /sys trees."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from lmmgwas.numerics.limits import (
    Counted,
    MemoryLimit,
    memory_limits,
    memory_use,
    page_bytes,
)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
NO_V1_LIMIT = 9223372036854771712
STATUS = "Name:\tpython\nVmSize:\t 3000000 kB\nVmData:\t 2000000 kB\nRssAnon:\t  204800 kB\n"
OWN = 200 * MIB  # RssAnon above


def unlimited(_: int) -> tuple[int, int]:
    return resource.RLIM_INFINITY, resource.RLIM_INFINITY


def limited(name: str, size: int) -> Callable[[int], tuple[int, int]]:
    """A process with one soft limit."""
    wanted = getattr(resource, name)
    return lambda kind: (size if kind == wanted else resource.RLIM_INFINITY, 0)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def limits(root: Path, **environ: str) -> list[MemoryLimit]:
    return memory_limits(root, environ, unlimited)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with 20 GiB free, whose process has 200 MiB and is in no group."""
    return write(
        tmp_path,
        {
            "proc/self/status": STATUS,
            "proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {20 * GIB // KIB} kB\n",
        },
    )


def test_what_the_process_has(machine: Path) -> None:
    use = memory_use(machine)
    assert use is not None
    assert (use.anonymous, use.data, use.address) == (OWN, 2_000_000 * KIB, 3_000_000 * KIB)


def test_of_this_process_the_kernel_tells() -> None:
    use = memory_use()
    assert use is not None
    assert MIB < use.anonymous < use.address
    assert use.data < use.address


def test_nothing_is_known_without_proc(tmp_path: Path) -> None:
    assert memory_use(tmp_path) is None
    assert limits(tmp_path) == []


def test_free_memory_and_what_the_process_has_already(machine: Path) -> None:
    (free,) = limits(machine)
    assert free.available == 20 * GIB + OWN
    assert free.counted is Counted.RESIDENT
    assert "/proc/meminfo" in free.source


def v2(machine: Path, group: str, **values: str) -> Path:
    """A group of version 2."""
    files = {f"sys/fs/cgroup{group}/memory.{name}": text for name, text in values.items()}
    return write(machine, files)


def test_group_of_version_2(machine: Path) -> None:
    """1 GiB is used, 300 MiB of it cache, 200 MiB ours: others have 524 MiB of the 4 GiB."""
    write(machine, {"proc/self/cgroup": "0::/job/step\n"})
    stat = f"anon 5\nfile 999\ninactive_file {100 * MIB}\nactive_file {200 * MIB}\n"
    v2(machine, "/job/step", max=f"{4 * GIB}\n", current=f"{GIB}\n", stat=stat)
    found = limits(machine)[0]
    assert found.available == 4 * GIB - (1024 - 300 - 200) * MIB
    assert found.source == "the control group (/sys/fs/cgroup/job/step/memory.max)"


def test_the_group_around_may_be_the_tighter_one(machine: Path) -> None:
    write(machine, {"proc/self/cgroup": "0::/job/step\n"})
    v2(machine, "/job/step", max="max\n", current=f"{OWN}\n")
    v2(machine, "/job", max=f"{2 * GIB}\n", current=f"{OWN}\n")
    found = limits(machine)[0]
    assert (found.available, "/job/memory.max" in found.source) == (2 * GIB, True)


def test_a_group_that_is_throttled_is_limited(machine: Path) -> None:
    write(machine, {"proc/self/cgroup": "0::/job\n"})
    v2(machine, "/job", max=f"{8 * GIB}\n", high=f"{3 * GIB}\n", current=f"{OWN}\n")
    found = limits(machine)
    assert [limit.available for limit in found[:2]] == [3 * GIB, 8 * GIB]
    assert "memory.high" in found[0].source


def test_in_a_container_the_mount_point_stands_for_the_group(machine: Path) -> None:
    """The path of /proc/self/cgroup is the host's, and is not there."""
    write(machine, {"proc/self/cgroup": "0::/kubepods/pod1/abc\n"})
    v2(machine, "", max=f"{GIB}\n", current=f"{300 * MIB}\n")
    assert limits(machine)[0].available == GIB - 100 * MIB


def test_group_of_version_1(machine: Path) -> None:
    write(machine, {"proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/slurm/uid_1/job_2\n0::/\n"})
    folder = "sys/fs/cgroup/memory/slurm/uid_1/job_2/memory."
    stat = f"inactive_file 1\ntotal_inactive_file {GIB}\ntotal_active_file 0\n"
    write(
        machine,
        {
            f"{folder}limit_in_bytes": f"{6 * GIB}\n",
            f"{folder}usage_in_bytes": f"{3 * GIB}\n",
            f"{folder}stat": stat,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{NO_V1_LIMIT}\n",
        },
    )
    found = limits(machine)
    assert len(found) == 2  # the group, and what is free: the root group has no limit
    assert found[0].available == 6 * GIB - (2 * GIB - OWN)
    assert "job_2/memory.limit_in_bytes" in found[0].source


def test_more_than_its_limit_leaves_nothing(machine: Path) -> None:
    write(machine, {"proc/self/cgroup": "0::/job\n"})
    v2(machine, "/job", max=f"{GIB}\n", current=f"{4 * GIB}\n")
    assert limits(machine)[0].available == 0


def test_ulimits_count_what_is_reserved(machine: Path) -> None:
    """Of 8 GiB of addresses 3,000,000 KiB are taken, of which 200 MiB are in use."""
    for name, taken, counted in (
        ("RLIMIT_AS", 3_000_000 * KIB, Counted.ADDRESS),
        ("RLIMIT_DATA", 2_000_000 * KIB, Counted.DATA),
    ):
        found = memory_limits(machine, {}, limited(name, 8 * GIB))[0]
        assert found.available == 8 * GIB - (taken - OWN)
        assert found.counted is counted
        assert "ulimit" in found.source


def test_the_resident_set_counts_under_lsf_alone(machine: Path) -> None:
    """Linux ignores it, LSF does not."""
    small = limited("RLIMIT_RSS", GIB)
    assert len(memory_limits(machine, {}, small)) == 1
    found = memory_limits(machine, {"LSB_JOBID": "7"}, small)[0]
    assert (found.available, "LSF" in found.source) == (GIB, True)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SLURM_MEM_PER_NODE": "4096"}, 4 * GIB),
        ({"SLURM_MEM_PER_NODE": "0"}, None),  # all of the node
        ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "3"}, 3 * GIB),
        ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_PER_TASK": "2"}, 2 * GIB),
        (
            {
                "SLURM_MEM_PER_CPU": "512",
                "SLURM_CPUS_ON_NODE": "4",
                "SLURM_CPUS_PER_TASK": "2",
            },
            2 * GIB,
        ),
        ({"SLURM_MEM_PER_CPU": "1024"}, None),
        ({"SLURM_MEM_PER_NODE": "4G"}, None),
        ({"SLURM_MEM_PER_NODE": "-1"}, None),
    ],
)
def test_what_slurm_allots(machine: Path, environ: dict[str, str], expected: int | None) -> None:
    found = [limit for limit in limits(machine, **environ) if "Slurm" in limit.source]
    assert [limit.available for limit in found] == ([] if expected is None else [expected])


def test_the_smallest_is_the_first(machine: Path) -> None:
    write(machine, {"proc/self/cgroup": "0::/job\n"})
    v2(machine, "/job", max=f"{3 * GIB}\n", current=f"{OWN}\n")
    environ = {"SLURM_MEM_PER_NODE": str(2 * GIB // MIB)}
    found = memory_limits(machine, environ, limited("RLIMIT_AS", 100 * GIB))
    sizes = [limit.available for limit in found]
    assert sizes == sorted(sizes)
    assert len(sizes) == 4
    assert "Slurm" in found[0].source


def test_odd_files_are_no_limits(machine: Path) -> None:
    write(machine, {"proc/self/cgroup": "0::/job\nnonsense\n", "proc/meminfo": "MemAvailable\n"})
    v2(machine, "/job", max="lots\n", current="\n")
    assert limits(machine) == []


@pytest.mark.parametrize(
    ("enabled", "environ", "expected"),
    [
        ("always [madvise] never", {}, 2 * MIB),
        ("[always] madvise never", {"NUMPY_MADVISE_HUGEPAGE": "0"}, 2 * MIB),
        ("always [madvise] never", {"NUMPY_MADVISE_HUGEPAGE": "0"}, 4096),
        ("always madvise [never]", {}, 4096),
    ],
)
def test_pages(tmp_path: Path, enabled: str, environ: dict[str, str], expected: int) -> None:
    folder = "sys/kernel/mm/transparent_hugepage/"
    write(tmp_path, {f"{folder}enabled": enabled, f"{folder}hpage_pmd_size": f"{2 * MIB}\n"})
    assert page_bytes(tmp_path, environ) == expected


def test_pages_are_small_where_the_kernel_has_no_others(tmp_path: Path) -> None:
    assert page_bytes(tmp_path, {}) == 4096
