"""The fuzzer of scripts/fuzz: a short run, and that it would notice what it looks for."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "scripts" / "fuzz"


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, its time limit armed."""
    monkeypatch.syspath_prepend(FOLDER)
    module = __import__("run")
    usual = signal.signal(signal.SIGPROF, module._too_long)
    yield module
    signal.signal(signal.SIGPROF, usual)
    for name in ("run", "targets", "mutate"):
        sys.modules.pop(name)


def test_a_few_thousand_files(tmp_path: Path) -> None:
    """Every reader accepts its sound files, and nothing is found."""
    options = ("--executions", "2000", "--processes", "1", "--seed", "5")
    command = [sys.executable, FOLDER / "run.py", *options, "--found", tmp_path / "found"]
    done = subprocess.run(
        command,
        cwd=FOLDER.parent.parent,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent.parent)},
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2,000 executions" in done.stdout
    assert "0 findings" in done.stdout


def slow(path: Path) -> None:
    until = time.process_time() + 30.0
    while time.process_time() < until:
        pass


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (lambda path: path.read_bytes()[100], "IndexError"),
        (lambda path: int("x"), "ValueError"),
        (slow, "hang"),
    ],
)
def test_crashes_and_hangs_are_noticed(fuzz: ModuleType, tmp_path: Path, read, outcome) -> None:
    corpus = fuzz.Corpus(fuzz.Target("x", "x", (b"",), read), [b""])
    found, trace = fuzz.execute(corpus, b"abc", tmp_path, seconds=0.05)
    assert found.startswith(outcome)
    assert "Traceback" in trace


def test_refusals_are_no_findings(fuzz: ModuleType, tmp_path: Path) -> None:
    target = next(t for t in fuzz.TARGETS if t.name == "bim")
    corpus = fuzz.Corpus(target, list(target.seeds))
    assert fuzz.execute(corpus, b"1 2 3\n", tmp_path, seconds=60.0)[0].startswith("E201")
    assert fuzz.execute(corpus, target.seeds[0], tmp_path, seconds=60.0) == ("accepted", "")


def test_changes_are_many_and_repeatable(fuzz: ModuleType) -> None:
    data = [b"a\tb\nc\td\n"]
    found = [fuzz.mutate(data[0], data, random.Random(seed)) for seed in range(300)]
    assert found == [fuzz.mutate(data[0], data, random.Random(seed)) for seed in range(300)]
    assert len(set(found)) > 200
