"""One failing system call at a time, a full disk, a limit on files."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.cases import CASES, Arena, Ground, points_of
from faults.client import strace_works
from faults.injection import CALLS, Call, calls_of, fail, judge, run_failing

pytestmark = pytest.mark.faults

Figures = Callable[[str], None]
COMMON = ("write", "fsync", "rename", "open", "read", "link", "remove", "mkdir")
RARE = tuple(kind for kind in CALLS if kind not in COMMON)
SYSTEM = (Path("/proc"), Path("/sys"))
MANY = "/proc/{pid}/maps"
"""The libraries that are loaded, a call for each few of them."""
PLANS = [
    *[(name, kind) for name in CASES for kind in COMMON],
    *[(name, kind) for name in ("assoc", "grm") for kind in RARE],
]


@pytest.fixture(scope="module", autouse=True)
def tracer(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where processes may not be traced."""
    if not strace_works(tmp_path_factory.mktemp("strace")):
        pytest.skip("no strace, or it may not trace here")


def places(arena: Arena) -> list[Path]:
    """Where the study and its outputs are."""
    return [arena.folder, arena.folder.parent / "in", arena.folder.parent / "grm"]


def fail_each(arena: Arena, ground: Ground, calls: list[Call], title: str, say: Figures) -> None:
    """Fail call after call, each in a run of its own."""
    met: Counter[str] = Counter()
    wrong = []
    for call in calls:
        try:
            met[fail(arena, ground.server, call)] += 1
        except AssertionError as error:
            wrong.append(f"{call}: {error}")
    outcomes = ", ".join(f"{count} {what}" for what, count in sorted(met.items()))
    say(f"failing calls, {title}: {len(calls)}: {outcomes}; all complete with --resume")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("name", "kind"), PLANS, ids=lambda value: value)
def test_each_call_fails_once(ground: Ground, name: str, kind: str, figures: Figures) -> None:
    """Every k-th call of a kind on each path of the study and its outputs."""
    arena = ground.arena(name)
    calls = calls_of(arena, ground.server, (kind,), places(arena))
    fail_each(arena, ground, calls, f"{name}, {kind}", figures)


@pytest.mark.parametrize("kind", ["open", "read"])
def test_the_system_tells_nothing(ground: Ground, kind: str, figures: Figures) -> None:
    """Files of /proc and /sys: memory, processors, boot."""
    arena = ground.arena("assoc")
    calls = calls_of(arena, ground.server, (kind,), list(SYSTEM))
    chosen = [call for call in calls if call.path != MANY or call.k % 40 == 1]
    assert len(chosen) > 5
    met: Counter[str] = Counter()
    for call in chosen:
        ended = run_failing(arena, ground.server, call, "EIO")
        if ended.code:
            met[judge(arena, ended)] += 1
            continue
        arena.require_same(but=("run.run.json",))  # it notes that no limit of memory is known
        met["the same tables"] += 1
    outcomes = ", ".join(f"{count} {what}" for what, count in sorted(met.items()))
    figures(f"failing calls, assoc, {kind} of /proc and /sys: {len(chosen)}: {outcomes}")


def network_calls(arena: Arena, ground: Ground) -> list[Call]:
    """Calls that are tried again: renames, what waits for the disk, reads of the .bed."""
    kinds = ("rename", "fsync", "read")
    calls = calls_of(arena, ground.server, kinds, places(arena))
    return [call for call in calls if call.name != "read" or call.path.endswith("/lock")]


def test_a_handle_that_is_found_again(ground: Ground, figures: Figures) -> None:
    """Row 130: ESTALE, once: the run goes on, and the bytes are the same."""
    arena = ground.arena("assoc")
    calls = network_calls(arena, ground)
    for call in calls:
        ended = run_failing(arena, ground.server, call, "ESTALE")
        assert ended.code == 0, (str(call), ended.stderr)
        arena.require_complete()
    figures(f"stale handles: {len(calls)} calls failed once with ESTALE and were tried again")


def test_a_handle_that_is_lost(ground: Ground, figures: Figures) -> None:
    """Row 130: ESTALE for good: exit 7 after three attempts, and --resume goes on."""
    arena = ground.arena("assoc")
    calls = [call for call in network_calls(arena, ground) if call.name == "rename"]
    for call in calls:
        ended = run_failing(arena, ground.server, call, "ESTALE", "+")
        if ended.code == 0:  # the GRM's note: a note less is a GRM built again
            assert call.path.endswith(".tmp")
            assert "grm.json" in call.path
        assert judge(arena, ended)
        resumed = ground.server.run([*arena.argv, "--resume"])
        assert resumed.code == 0, resumed.stderr
        arena.require_complete()
    figures(f"stale handles: {len(calls)} renames failed for good: refused, then resumed")


# --- No room ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["assoc", "grm", "assoc-png"])
def test_a_limit_on_files(ground: Ground, name: str, figures: Figures) -> None:
    """Row 126: no file may be larger than this (EFBIG)."""
    arena, server = ground.arena(name), ground.server
    largest = max(len(content) for content in arena.whole.values())
    refused = 0
    sizes = [0, 1, 100, *range(500, largest, max(500, largest // 25))]
    for size in sizes:
        arena.clear()
        ended = server.run(arena.argv, limit=size)
        assert ended.code in (0, 7), ended.stderr
        assert "Traceback" not in ended.stderr
        arena.require_whole()
        if ended.code == 7:
            refused += 1
            assert "File too large" in ended.stderr
            assert "ulimit -f" in ended.stderr
        resumed = server.run([*arena.argv, "--resume"])
        assert resumed.code == 0, resumed.stderr
        arena.require_complete()
    assert refused > 10
    figures(f"limits on files, {name}: {len(sizes)}, {refused} refused; all complete without")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    typed = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(typed, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place: Path) -> Path:
    """Use up what is left of a file system."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            return filler


@pytest.mark.parametrize(("name", "refused"), [("assoc", 20), ("grm", 3)])
def test_a_disk_that_fills_up(
    ground: Ground, small_disk: Path, name: str, refused: int, figures: Figures
) -> None:
    """Row 126: at each commit point, the disk is full from then on; with room again, resumed."""
    server = ground.server
    arena = Arena(small_disk / "a", CASES[name], ground.study, Path())
    arena.learn(server)
    n_points = len(points_of(arena, server))
    met: Counter[str] = Counter()
    for at in range(1, n_points + 1, 2):
        arena.clear()
        pid = server.start(arena.argv, at=at, signal="SIGSTOP")
        if not server.wait_until_stopped(pid):
            continue
        filler = fill(small_disk)
        server.go_on(pid)
        ended = server.wait(pid)
        assert ended.code in (0, 7), ended.stderr
        assert "Traceback" not in ended.stderr
        if ended.code == 7:
            full = "No space left on device" in ended.stderr
            assert full or "[E118]" in ended.stderr
            assert "make room" in ended.stderr
            assert str(small_disk) in ended.stderr
        arena.require_whole()
        filler.unlink()
        resumed = server.run([*arena.argv, "--resume"])
        assert resumed.code == 0, resumed.stderr
        arena.require_complete()
        met["refused" if ended.code else "complete without more room"] += 1
    assert met["refused"] >= refused  # the GRM of the study is written at few points
    outcomes = ", ".join(f"{count} {what}" for what, count in sorted(met.items()))
    figures(f"full disks, {name}: {outcomes}; all complete with room again")
