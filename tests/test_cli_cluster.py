"""A study on a Dask cluster: real processes, one of them killed, the same bytes."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RunCli, StudyFiles

pytest.importorskip("distributed")

SETTINGS = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
PROGRAM = [sys.executable, "-m", "lmmgwas"]
DASK = str(Path(sys.executable).with_name("dask"))
PATIENCE = 300.0  # seconds, on a busy machine


def output_of(folder: Path) -> dict[str, bytes]:
    """All results but the log and what holds the manifest; names of whatever else lies there."""
    return {
        path.name: path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.iterdir())
        if not path.name.endswith((".log", ".run.json", ".report.html"))
    }


def start(argv: list[object], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*map(str, argv)], stdout=stream, stderr=stream, env=SETTINGS, cwd=log.parent
        )


def wait_for(what: str, log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Wait until a pattern stands in a file; return the text."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        text = log.read_text() if log.exists() else ""
        if re.search(what, text):
            return text
        assert process.poll() is None, text
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come: {log.read_text()}")


@contextlib.contextmanager
def cluster_of(folder: Path, n_workers: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """A scheduler and workers, by their command lines; yields the workers."""
    folder.mkdir()
    file = folder / "scheduler.json"
    common = ["--scheduler-file", file, "--no-dashboard"]
    processes = [
        start([DASK, "scheduler", "--port", 0, *common], folder / "scheduler.log"),
    ]
    try:
        wait_for("Scheduler at", folder / "scheduler.log", processes[0])
        for k in range(n_workers):
            argv = [DASK, "worker", "--nthreads", 1, "--no-nanny", "--memory-limit", 0, *common]
            argv += ["--local-directory", folder / f"worker{k}"]
            processes.append(start(argv, folder / f"worker{k}.log"))
        yield processes[1:]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_worker_that_is_killed(run_cli: RunCli, test_data: Path, tmp_path: Path) -> None:
    """One scheduler, three workers, one of them killed at work; GRM, null models and scan."""
    inputs = ["--bfile", test_data / "study", "--pheno", test_data / "pheno.tsv"]
    argv = [*inputs, "--covar", test_data / "covar.tsv", "--threads", 1, "--plots", "png"]
    for name in ("serial", "out"):
        (tmp_path / name).mkdir()
    assert run_cli("assoc", *argv, "--out", tmp_path / "serial" / "r").exit_code == 0
    with cluster_of(tmp_path / "cluster", 3) as workers:
        scheduler = tmp_path / "cluster" / "scheduler.json"
        out = [*argv, "--out", tmp_path / "out" / "r", "--scheduler", scheduler, "--verbose"]
        log = tmp_path / "run.log"
        process = start([*PROGRAM, "assoc", *out], log)
        text = wait_for(r"task \d+ of \d+ by \S+: ScanStretch", log, process)
        at_work = [int(pid) for pid in re.findall(r"by \S+:(\d+): ", text)]
        victim = next(worker for worker in workers if worker.pid == at_work[-1])
        victim.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE) == 0, log.read_text()
        assert victim.wait(5) == -signal.SIGKILL
    text = log.read_text()
    assert "Cluster: workers now: 2, before: 3" in text
    done = re.findall(r"by \S+:(\d+): (\w+)", text)
    assert len({pid for pid, _ in done}) >= 2
    assert {kind for _, kind in done} == {"SumCell", "FitGenome", "FitGroup", "ScanStretch"}
    assert output_of(tmp_path / "out") == output_of(tmp_path / "serial")
    assert {
        path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")
    } == set()


def test_a_local_cluster(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path) -> None:
    """A given GRM, one worker; in a process of its own, since a cluster brings threads."""
    grm = tmp_path / "grm"
    assert run_cli("grm", "--bfile", small_study.bfile, "--out", grm, "--threads", 1).exit_code == 0
    argv = ["assoc", *small_study.inputs, "--grm", grm, "--threads", 1, "--plots", "none"]
    for name in ("serial", "out"):
        (tmp_path / name).mkdir()
    assert run_cli(*argv, "--out", tmp_path / "serial" / "r").exit_code == 0
    log = tmp_path / "run.log"
    process = start([*PROGRAM, *argv, "--out", tmp_path / "out" / "r", "--workers", 1], log)
    assert process.wait(PATIENCE) == 0, log.read_text()
    assert re.search(r"Cluster: \S+, workers: 1\n", log.read_text())
    assert output_of(tmp_path / "out") == output_of(tmp_path / "serial")


@pytest.mark.slow
def test_a_cluster_scans_with_given_null_models(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    """Those that are given are used: a damaged one ends the run; one that is not, is fitted."""
    grm, nulls = tmp_path / "grm", tmp_path / "nulls"
    assert run_cli("grm", "--bfile", small_study.bfile, "--out", grm, "--threads", 1).exit_code == 0
    argv = ["assoc", *small_study.inputs, "--grm", grm, "--threads", 1, "--plots", "none"]
    (tmp_path / "serial").mkdir()
    (tmp_path / "out").mkdir()
    assert run_cli(*argv, "--out", tmp_path / "serial" / "r").exit_code == 0
    saved = run_cli(*argv, "--out", tmp_path / "s", "--save-nulls", nulls)
    assert saved.exit_code == 0, saved.stderr
    (nulls / "0000.00001.null").unlink()
    before = sorted(nulls.iterdir())
    argv += ["--nulls", nulls, "--workers", 1]
    log = tmp_path / "run.log"
    assert start([*PROGRAM, *argv, "--out", tmp_path / "out" / "r"], log).wait(PATIENCE) == 0
    assert output_of(tmp_path / "out") == output_of(tmp_path / "serial")
    assert sorted(nulls.iterdir()) == before
    damaged = nulls / "0000.00002.null"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert start([*PROGRAM, *argv, "--out", tmp_path / "bad"], log).wait(PATIENCE) == 7
    assert "E122" in log.read_text()
    assert "0000.00002.null" in log.read_text()


@pytest.mark.parametrize(
    "options",
    [
        ["--workers", 2, "--scheduler", "tcp://127.0.0.1:1"],
        ["--workers", 2, "--part", "1/2"],
        ["--workers", 2, "--save-nulls", "x"],
    ],
    ids=str,
)
def test_options_that_exclude_each_other(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, options: list[object]
) -> None:
    result = run_cli("assoc", *small_study.inputs, "--out", tmp_path / "x", *options)
    assert result.exit_code == 2
    assert "E008" in result.stderr


def test_a_scheduler_that_is_not_there(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmmgwas.pipeline.cluster._ANSWER", 1)
    argv = ["assoc", *small_study.inputs, "--out", tmp_path / "x"]
    result = run_cli(*argv, "--scheduler", tmp_path / "no.json")
    assert result.exit_code == 7, result.stderr
    assert "E125" in result.stderr
    assert "dask scheduler" in result.stderr
