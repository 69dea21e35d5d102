"""Tasks in this process: any order, any number of times, the same files."""

import random
from pathlib import Path

import pytest
from conftest import RunCli, StudyFiles

from lmmgwas.cli.assoc import command
from lmmgwas.cli.study_options import study_job
from lmmgwas.errors import FileAccessError, FormatError
from lmmgwas.pipeline.group_shards import Stretch
from lmmgwas.pipeline.journal import digest, study_facts
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.preflight import plan_study
from lmmgwas.pipeline.record import inputs_of
from lmmgwas.pipeline.tasks import (
    FitGenome,
    FitGroup,
    Order,
    ScanStretch,
    StudyProcess,
    SumCell,
    Task,
    TaskDone,
    failure_of,
)
from lmmgwas.report.manifest import describe_inputs


def order_of(files: StudyFiles, folder: Path, *options: object) -> Order:
    folder.mkdir()
    argv = [*files.inputs, "--out", folder / "r", "--threads", 1, *options]
    given = command.make_context("assoc", [str(part) for part in argv]).params
    job = study_job(given)
    with Logbook(folder / "log", verbosity=-1, strict=False) as log:
        inputs = describe_inputs(inputs_of(plan_study(job, log, None)))
    facts = study_facts(job.run, inputs)
    return Order(job, digest(facts), facts, folder, None, str(Path.cwd()))


@pytest.fixture
def order(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path) -> Order:
    grm = tmp_path / "grm"
    assert run_cli("grm", "--bfile", small_study.bfile, "--out", grm, "--threads", 1).exit_code == 0
    return order_of(small_study, tmp_path / "one", "--grm", grm)


def do_all(order: Order, tasks: list[Task]) -> dict[str, str]:
    """The files and their checksums."""
    process = StudyProcess(order)
    done = [process.do(order, task) for task in tasks]
    assert all(isinstance(found, TaskDone) and Path(found.path).exists() for found in done)
    return {Path(found.path).name: found.sha256 for found in done}


def test_any_order_and_twice(order: Order, small_study: StudyFiles, tmp_path: Path) -> None:
    fits: list[Task] = [FitGroup(0, batch) for batch in range(4)]
    scans: list[Task] = [ScanStretch(0, Stretch(place, 0, 60)) for place in range(4)]
    first = do_all(order, [FitGenome(0), *fits, *scans])
    assert len(first) == 9
    other = Order(order.job, order.key, order.facts, tmp_path / "two", None, order.cwd)
    other.folder.mkdir()
    again = [*fits, *scans, *fits, *scans]
    random.Random(1).shuffle(again)
    assert do_all(other, [FitGenome(0), *again, FitGenome(0)]) == first
    assert not list(tmp_path.glob("*/**/*.tmp"))


def test_cells_of_the_grm(small_study: StudyFiles, tmp_path: Path) -> None:
    from lmmgwas.pipeline.grm_cells import Cell

    orders = [order_of(small_study, tmp_path / name) for name in ("one", "two")]
    cells: list[Task] = [SumCell(Cell(place, 0)) for place in range(4)]
    for order in orders:
        (order.folder / "cells").mkdir()
    assert do_all(orders[0], cells) == do_all(orders[1], [*cells[::-1], *cells])


def test_a_worker_that_is_set_up_otherwise(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmmgwas.report.manifest._version", lambda name: "0.0.1")
    with pytest.raises(FileAccessError, match=r"E124.*numpy was .* is 0\.0\.1"):
        StudyProcess(order)


def test_a_worker_that_does_not_see_the_folder(order: Order, tmp_path: Path) -> None:
    elsewhere = Order(order.job, order.key, order.facts, tmp_path / "no", None, order.cwd)
    with pytest.raises(FileAccessError, match=r"E124.*must lie on storage"):
        StudyProcess(elsewhere)


def test_a_failure_keeps_its_word_and_its_exit_code() -> None:
    failed = failure_of(FormatError("E201", "is no number", "x.bim:7"))
    error = failed.as_error()
    assert str(error) == "[E201] x.bim:7: is no number"
    assert error.exit_code == FormatError.exit_code


def test_a_worker_that_sees_another_file(order: Order, small_study: StudyFiles) -> None:
    text = small_study.covar.read_text()
    small_study.covar.write_text(text.replace("north", "south", 1))  # of the same size
    with pytest.raises(FileAccessError, match=r"E124.*covar\.tsv"):
        StudyProcess(order)
