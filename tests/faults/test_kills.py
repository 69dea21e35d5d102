"""SIGKILL at every commit point and at random moments; several runs under one name."""

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from faults.cases import CASES, Arena, Ground, kill, points_of, recover
from faults.client import KILLED

pytestmark = pytest.mark.faults

N_RANDOM = 40
"""Kills at random moments, for each case."""

EACH = pytest.mark.parametrize("name", CASES)
Figures = Callable[[str], None]


def shown(met: Counter[str]) -> str:
    """Outcomes and how often they came."""
    return ", ".join(f"{count} {what}" for what, count in sorted(met.items()))


@EACH
def test_killed_at_every_commit_point(ground: Ground, name: str, figures: Figures) -> None:
    """Before and after each fsync, rename, link, removal, new folder."""
    arena = ground.arena(name)
    points = points_of(arena, ground.server)
    met: Counter[str] = Counter()
    wrong = []
    for at, point in enumerate(points, 1):
        for when in ("before", "after"):
            try:
                met[kill(arena, ground.server, at=at, when=when)] += 1
            except AssertionError as error:
                wrong.append(f"{when} {point}: {error}")
    figures(f"kills, {name}: {len(points)} commit points, before and after each: {shown(met)}")
    assert len(points) >= 20
    assert not wrong, "\n".join(wrong)


@EACH
def test_killed_at_random_moments(ground: Ground, name: str, figures: Figures) -> None:
    arena = ground.arena(name)
    arena.clear()
    began = time.monotonic()
    assert ground.server.run(arena.argv).code == 0
    lasts = time.monotonic() - began
    moments = random.Random(name)
    met: Counter[str] = Counter()
    while sum(met.values()) - met["ended before the kill"] < N_RANDOM:
        met[kill(arena, ground.server, kill_after=moments.uniform(0.0, lasts))] += 1
    figures(f"kills, {name}: at random moments: {shown(met)}")


def test_killed_again_while_it_resumes(ground: Ground, figures: Figures) -> None:
    """Three kills, one after another, and then the end."""
    arena = ground.arena("assoc")
    n_points = len(points_of(arena, ground.server))
    moments = random.Random(3)
    rounds = 15
    for _ in range(rounds):
        arena.clear()
        for argv in (arena.argv, *[[*arena.argv, "--resume"]] * 2):
            at = moments.randrange(10, n_points // 2)
            assert ground.server.run(argv, at=at).code == KILLED
            arena.require_whole()
        recover(arena, ground.server)
    figures(f"kills, assoc: {rounds} runs killed three times each, then resumed")


# --- Two runs under one name ------------------------------------------------------------------


@pytest.mark.parametrize("at", [4, 12, 30, 60, 75])
def test_a_second_run_is_refused(ground: Ground, at: int) -> None:
    """Row 129: while the first is at work."""
    arena, server = ground.arena("assoc"), ground.server
    arena.clear()
    first = server.start(arena.argv, at=at, when="after", signal="SIGSTOP")
    assert server.wait_until_stopped(first)
    for more in ([], ["--resume"], ["--overwrite"]):
        second = server.run([*arena.argv, *more])
        assert second.code == 8
        assert "[E114]" in second.stderr
        assert f"process {first} on" in second.stderr
        arena.require_whole()
    server.go_on(first)
    assert server.wait(first).code == 0
    arena.require_complete()


def test_two_runs_at_once(ground: Ground, figures: Figures) -> None:
    """Row 129: begun at the same moment; one of them gets the name."""
    arena, server = ground.arena("assoc"), ground.server
    n_races = 20
    for _ in range(n_races):
        arena.clear()
        ended = [server.wait(pid) for pid in [server.start(arena.argv) for _ in range(3)]]
        assert sorted(run.code for run in ended) == [0, 8, 8]
        refused = [run.stderr for run in ended if run.code == 8]
        assert all("[E114]" in text or "[E113]" in text for text in refused)
        arena.require_complete()
    figures(f"locks: {n_races} times 3 runs at once under one name: one ended well, two refused")


@pytest.mark.parametrize("at", [5, 12, 25, 40, 60, 80])
def test_who_lost_the_lock_does_no_harm(ground: Ground, at: int) -> None:
    """--break-lock while the first run only slept: the second one's results are whole."""
    arena, server = ground.arena("assoc"), ground.server
    arena.clear()
    first = server.start(arena.argv, at=at, when="before", signal="SIGSTOP")
    assert server.wait_until_stopped(first)
    second = server.run([*arena.argv, "--break-lock", "--resume"])
    assert second.code == 0, second.stderr
    arena.require_complete()
    server.go_on(first)
    late = server.wait(first)
    assert late.code in (7, 8), late.stderr
    arena.require_same()


# --- Runs that are gone -----------------------------------------------------------------------


def killed(arena: Arena, ground: Ground, at: int = 40) -> None:
    """Leave what a kill in the middle of the scan leaves."""
    arena.clear()
    assert ground.server.run(arena.argv, at=at).code == KILLED
    assert arena.has_steps()


Change = Callable[[dict[str, Any]], object]
ELSEWHERE: dict[str, Change] = {
    "another host": lambda holder: holder.update(host="node7", boot="1-2-3"),
    "another container": lambda holder: holder.update(namespace="pid:[1]"),
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_lock_from_elsewhere_is_kept_until_it_is_broken(ground: Ground, change: Change) -> None:
    """Whether that run is alive cannot be known from here."""
    arena, server = ground.arena("assoc"), ground.server
    killed(arena, ground)
    lock = arena.out / ".run.work" / "lock"
    holder = json.loads(lock.read_text())
    change(holder)
    lock.write_text(json.dumps(holder))
    for more in ([], ["--resume"], ["--overwrite"]):
        refused = server.run([*arena.argv, *more])
        assert refused.code == 8
        assert "[E114]" in refused.stderr
        assert "--break-lock" in refused.stderr
    assert json.loads(lock.read_text()) == holder
    resumed = server.run([*arena.argv, "--resume", "--break-lock"])
    assert resumed.code == 0, resumed.stderr
    arena.require_complete()


FACTS: dict[str, tuple[Change, str]] = {
    "the program": (lambda facts: facts["software"].update(lmmgwas="0.0.1"), "lmmgwas was 0.0.1"),
    "Python": (lambda facts: facts["software"].update(python="3.9.1"), "python was 3.9.1"),
    "numpy": (lambda facts: facts["software"]["libraries"].update(numpy="1.0"), "numpy was 1.0"),
    "scipy": (lambda facts: facts["software"]["libraries"].update(scipy="1.0"), "scipy was 1.0"),
    "BLAS": (lambda facts: facts["blas"][0].update(version="0.2"), "version was 0.2"),
    "kernels": (lambda facts: facts["blas"][0].update(kernels="K7"), "kernels was K7"),
    "threads": (lambda facts: facts.update(threads=7), "threads was 7"),
    "an input": (lambda facts: facts["inputs"][0].update(sha256="00"), "sha256 was 00"),
    "an option": (lambda facts: facts["options"].update(maf=0.3), "maf was 0.3"),
}


@pytest.mark.parametrize(("change", "words"), FACTS.values(), ids=FACTS)
def test_what_differs_is_not_resumed(ground: Ground, change: Change, words: str) -> None:
    """Row 145: versions, options and inputs are part of what a study is."""
    arena, server = ground.arena("assoc"), ground.server
    killed(arena, ground)
    journal = arena.out / ".run.work" / "study" / "journal.json"
    kept = json.loads(journal.read_text())
    change(kept["facts"])
    journal.write_text(json.dumps(kept))
    refused = server.run([*arena.argv, "--resume"])
    assert refused.code == 4
    assert "[E116]" in refused.stderr
    assert words in refused.stderr
    assert not arena.finals()
    assert arena.has_steps()  # nothing is thrown away
    anew = server.run([*arena.argv, "--overwrite"])
    assert anew.code == 0, anew.stderr
    assert arena.finals().keys() == arena.whole.keys()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"facts": {}}'])
def test_a_damaged_journal_is_not_resumed(ground: Ground, content: bytes) -> None:
    arena = ground.arena("assoc")
    killed(arena, ground)
    (arena.out / ".run.work" / "study" / "journal.json").write_bytes(content)
    refused = ground.server.run([*arena.argv, "--resume"])
    assert refused.code == 4
    assert "[E116]" in refused.stderr
    assert "--overwrite" in refused.stderr


def flipped(data: bytes, moments: random.Random) -> bytes:
    """One bit is another."""
    changed = bytearray(data)
    changed[moments.randrange(len(changed))] ^= 1 << moments.randrange(8)
    return bytes(changed)


DAMAGE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "a flipped bit": flipped,
    "cut short": lambda data, moments: data[: moments.randrange(len(data))],
    "zeros, as after a power cut": lambda data, moments: bytes(len(data)),
    "too long": lambda data, moments: data + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_steps_are_done_again(
    ground: Ground, damage: Callable[[bytes, random.Random], bytes], figures: Figures
) -> None:
    """Of any finished step: it is noticed, and the tables are right."""
    arena, server = ground.arena("assoc"), ground.server
    killed(arena, ground)
    arena.save()
    study = arena.out / ".run.work" / "study"
    steps = sorted(path.name for path in study.glob("*.shard"))
    moments = random.Random(5)
    n_damaged = 0
    for name in steps:
        for _ in range(2):
            arena.restore()
            (study / name).write_bytes(damage((study / name).read_bytes(), moments))
            resumed = server.run([*arena.argv, "--resume"])
            assert resumed.code == 0, resumed.stderr
            assert "[W117]" in resumed.stderr
            found = {k: v for k, v in arena.finals().items() if k != "run.run.json"}
            assert found == {k: v for k, v in arena.whole.items() if k != "run.run.json"}
            n_damaged += 1
    assert n_damaged > 5
    figures(f"finished steps: {n_damaged} damaged, noticed and done again; the tables right")


def test_a_damaged_grm_is_built_again(ground: Ground) -> None:
    arena, server = ground.arena("assoc"), ground.server
    killed(arena, ground)
    for path in (arena.out / ".run.work" / "study" / "grm").glob("*.bin"):
        data = bytearray(path.read_bytes())
        data[10] ^= 1
        path.write_bytes(data)
    resumed = server.run([*arena.argv, "--resume"])
    assert resumed.code == 0, resumed.stderr
    assert "Resumed: the GRM" not in resumed.stderr
    arena.require_complete()


def test_older_results_wait_for_the_new_ones(ground: Ground) -> None:
    """--overwrite: nothing old is touched before all tables are finished."""
    arena, server = ground.arena("assoc-overwrite"), ground.server
    points = points_of(arena, server)
    naming = [k for k, p in enumerate(points, 1) if p.endswith(f"{arena.out}/run.samples.tsv")]
    assert len(naming) == 1
    first = next(k for k, p in enumerate(points, 1) if f" {arena.out}/run." in p)
    arena.clear()
    assert server.run(arena.argv, at=first).code == KILLED
    assert arena.finals() == arena.old
    shutil.rmtree(arena.out / ".run.work")
