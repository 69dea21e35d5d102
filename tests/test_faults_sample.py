"""A few of the kills and failing calls of `make faults`, in the ordinary suite."""

from collections.abc import Iterator

import pytest
from faults.cases import Ground, kill, points_of
from faults.cases import ground as opened
from faults.client import strace_works
from faults.injection import calls_of, fail

N_KILLS = 8
N_CALLS = 10


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with opened(tmp_path_factory.mktemp("faults")) as found:
        yield found


def test_kills(ground: Ground) -> None:
    """Spread over the commit points, before and after in turn."""
    arena = ground.arena("assoc")
    n = len(points_of(arena, ground.server))
    met = {
        kill(
            arena,
            ground.server,
            at=1 + (n - 2) * k // (N_KILLS - 1),
            when=("before", "after")[k % 2],
        )
        for k in range(N_KILLS)
    }
    assert met >= {"begun anew", "refused, resumed"}


def test_failing_calls(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Spread over writes, waiting for the disk, renames, opening and reading."""
    folder = tmp_path_factory.mktemp("strace")
    if not strace_works(folder):
        pytest.skip("no strace, or it may not trace here")
    arena = ground.arena("assoc")
    kinds = ("write", "fsync", "rename", "open", "read")
    places = [arena.folder, arena.folder.parent / "in"]
    calls = calls_of(arena, ground.server, kinds, places)
    assert len(calls) > 20 * N_CALLS
    chosen = calls[:: len(calls) // N_CALLS][:N_CALLS]
    met = {fail(arena, ground.server, call) for call in chosen}
    assert met & {"refused (7)", "refused (8)"}
