"""How much memory this process may have: every limit that is known, and who sets it.

The kernel's own (control groups version 2 and 1, ulimit), the batch system's, and what is free.
Slurm states its allotment in the environment. PBS, Grid Engine and LSF state none there that can
be relied on: they set a control group or a ulimit (Grid Engine's h_vmem is the address space,
LSF's -M the resident set, which Linux ignores and LSF enforces itself), and those are read here.

Page cache that can be dropped is not counted as used. Sizes are bytes.
"""

import contextlib
import os
import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_KIB, _MIB = 1 << 10, 1 << 20
_NO_LIMIT = 1 << 60
"""Version 1 of the control groups writes 2^63 less a page where there is no limit."""

_SMALL_PAGE = 4096


class Counted(Enum):
    """What a limit counts."""

    RESIDENT = "memory in use"
    DATA = "writable memory, used or not"
    ADDRESS = "address space, mapped files included"


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What this process has now."""

    anonymous: int  # resident, without mapped files
    data: int  # writable and private, whether used or not
    address: int  # all of the address space


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """One limit."""

    source: str  # who sets it, for a message
    available: int  # what this process can have in all, with what it has already
    counted: Counted = Counted.RESIDENT


def memory_use(root: Path = Path("/")) -> MemoryUse | None:
    """Return what this process has; None where the system does not tell."""
    found = _fields(root / "proc/self/status")
    try:
        return MemoryUse(*(found[name] * _KIB for name in ("RssAnon", "VmData", "VmSize")))
    except KeyError:
        return None


def memory_limits(
    root: Path = Path("/"),
    environ: Mapping[str, str] = os.environ,
    limit_of: Callable[[int], tuple[int, int]] = resource.getrlimit,
) -> list[MemoryLimit]:
    """Return every limit that is known, the smallest first; empty where none is.

    Parameters
    ----------
    root : where /proc and /sys are looked for
    environ : the environment, for the batch system's allotment
    limit_of : soft and hard limit of a resource
    """
    use = memory_use(root) or MemoryUse(0, 0, 0)
    found = [
        *_control_groups(root, use),
        *_ulimits(use, environ, limit_of),
        *_batch_allotments(environ),
        *_free(root, use),
    ]
    return sorted(found, key=lambda limit: limit.available)


def page_bytes(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> int:
    """Return the pages that large arrays are made of: numpy asks for huge ones (2 MiB)."""
    folder = root / "sys/kernel/mm/transparent_hugepage"
    try:
        chosen = (folder / "enabled").read_text(encoding="ascii")
        huge = int((folder / "hpage_pmd_size").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return _SMALL_PAGE
    asked = environ.get("NUMPY_MADVISE_HUGEPAGE", "1") != "0"
    used = "[always]" in chosen or ("[madvise]" in chosen and asked)
    return huge if used else _SMALL_PAGE


def _fields(path: Path) -> dict[str, int]:
    """The whole numbers of lines such as `Name: 12 kB` or `name 12`."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[1].isdigit():
                found.setdefault(words[0], int(words[1]))
    return found


def _number(path: Path) -> int | None:
    """A file that holds one number; None for `max`, none at all, or no file."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _control_groups(root: Path, use: MemoryUse) -> Iterator[MemoryLimit]:
    """Limits of the groups that this process is in, and of those around them."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            number, _, rest = line.partition(":")
            controllers, _, place = rest.partition(":")
            if number == "0" and not controllers:
                for top in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                    for folder in _upwards(root / top, place):
                        yield from _version_two(root, folder, use)
            elif "memory" in controllers.split(","):
                for folder in _upwards(root / "sys/fs/cgroup/memory", place):
                    yield from _version_one(root, folder, use)


def _upwards(top: Path, place: str) -> Iterator[Path]:
    """The folder of a group and of each around it.

    In a container the group's own place may not be there; its mount point then stands for it.
    """
    parts = [part for part in place.split("/") if part and part != ".."]
    for k in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:k])


def _version_two(root: Path, folder: Path, use: MemoryUse) -> Iterator[MemoryLimit]:
    for name in ("memory.max", "memory.high"):
        size, taken = _number(folder / name), _number(folder / "memory.current")
        if size is not None:
            stat = _fields(folder / "memory.stat")
            cache = stat.get("inactive_file", 0) + stat.get("active_file", 0)
            yield _group_limit(root, folder / name, size, (taken or 0) - cache, use)


def _version_one(root: Path, folder: Path, use: MemoryUse) -> Iterator[MemoryLimit]:
    path = folder / "memory.limit_in_bytes"
    size, taken = _number(path), _number(folder / "memory.usage_in_bytes")
    if size is not None:
        stat = _fields(folder / "memory.stat")
        cache = stat.get("total_inactive_file", 0) + stat.get("total_active_file", 0)
        yield _group_limit(root, path, size, (taken or 0) - cache, use)


def _group_limit(root: Path, path: Path, size: int, taken: int, use: MemoryUse) -> MemoryLimit:
    """A group's limit less what others in the group have."""
    others = max(taken - use.anonymous, 0)
    shown = Path("/") / path.relative_to(root)
    return MemoryLimit(f"the control group ({shown})", max(size - others, 0))


def _ulimits(
    use: MemoryUse, environ: Mapping[str, str], limit_of: Callable[[int], tuple[int, int]]
) -> Iterator[MemoryLimit]:
    """Soft limits of the process; what is reserved but not used counts, too."""
    kinds = [
        ("RLIMIT_AS", "the address space (ulimit -v)", use.address, Counted.ADDRESS),
        ("RLIMIT_DATA", "the data segment (ulimit -d)", use.data, Counted.DATA),
    ]
    if "LSB_JOBID" in environ:
        kinds.append(("RLIMIT_RSS", "LSF (ulimit -m)", use.anonymous, Counted.RESIDENT))
    for name, source, now, counted in kinds:
        soft = limit_of(getattr(resource, name))[0]
        if soft != resource.RLIM_INFINITY and 0 <= soft < _NO_LIMIT:
            beyond = max(now - use.anonymous, 0)
            yield MemoryLimit(f"the limit of {source}", max(soft - beyond, 0), counted)


def _batch_allotments(environ: Mapping[str, str]) -> Iterator[MemoryLimit]:
    """What Slurm allots, in MiB; 0 means all of the node."""
    per_node = _mebibytes(environ.get("SLURM_MEM_PER_NODE"))
    if per_node:
        yield MemoryLimit("Slurm (SLURM_MEM_PER_NODE)", per_node)
    per_cpu = _mebibytes(environ.get("SLURM_MEM_PER_CPU"))
    for name in ("SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK"):
        n_cpus = environ.get(name, "")
        if per_cpu and n_cpus.isascii() and n_cpus.isdigit() and int(n_cpus) > 0:
            yield MemoryLimit(f"Slurm (SLURM_MEM_PER_CPU x {name})", per_cpu * int(n_cpus))
            return


def _mebibytes(text: str | None) -> int:
    return int(text) * _MIB if text and text.isascii() and text.isdigit() else 0


def _free(root: Path, use: MemoryUse) -> Iterator[MemoryLimit]:
    """What the machine has left, without swapping."""
    found = _fields(root / "proc/meminfo").get("MemAvailable")
    if found is not None:
        source = "free memory of this machine (/proc/meminfo)"
        yield MemoryLimit(source, found * _KIB + use.anonymous)
