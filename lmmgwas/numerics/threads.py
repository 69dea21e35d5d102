"""How many threads this process may use, and telling every library so.

The answer is the smallest of what the batch system allotted, the affinity mask and the
cgroup's quota: never the number of processors of the node.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_BATCH_VARIABLES = (
    "SLURM_CPUS_PER_TASK",
    "PBS_NCPUS",
    "NCPUS",
    "NSLOTS",
    "LSB_DJOB_NUMPROC",
    "OMP_NUM_THREADS",
)


def available_threads() -> int:
    """Return the number of threads that this process is allowed, at least 1."""
    limits = [len(os.sched_getaffinity(0))] if hasattr(os, "sched_getaffinity") else []
    if not limits:
        limits = [os.cpu_count() or 1]
    limits += _batch_limits()
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    if quota is not None:
        limits.append(quota)
    return max(1, min(limits))


def _batch_limits() -> list[int]:
    """Allotments that the environment states; text that is no positive integer is ignored."""
    stated = (os.environ.get(name, "") for name in _BATCH_VARIABLES)
    return [int(text) for text in stated if text.isascii() and text.isdigit() and int(text) > 0]


def _cgroup_quota(root: Path) -> int | None:
    """Whole processors of the CPU quota of cgroup version 2 or 1, None without a quota."""
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return max(1, int(quota) // int(period))


@contextmanager
def limited_blas(n_threads: int) -> Iterator[None]:
    """Hold both copies of OpenBLAS (numpy's and scipy's wheels carry one each) to `n_threads`."""
    import numpy  # noqa: F401 - loaded first, so that its BLAS is there to be limited
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=n_threads):
        yield


def blas_libraries() -> list[dict[str, Any]]:
    """Return name, version, kernel set and threads of each BLAS that is loaded, in this order.

    Where libraries lie in memory differs from run to run, and with it the order they are found in.
    """
    from threadpoolctl import threadpool_info

    found = [
        {
            "library": info.get("internal_api", ""),
            "version": info.get("version", ""),
            "kernels": info.get("architecture", ""),
            "threads": info.get("num_threads", 0),
        }
        for info in threadpool_info()
        if info.get("user_api") == "blas"
    ]
    return sorted(found, key=lambda library: [str(value) for value in library.values()])


def describe_blas() -> str:
    """Return one line on the BLAS that is loaded: versions, kernels, threads."""
    parts = [
        f"{found['library']} {found['version']} ({found['kernels']} kernels, "
        f"{found['threads']} threads)"
        for found in blas_libraries()
    ]
    return f"BLAS: {'; '.join(dict.fromkeys(parts)) or 'unknown'}"
