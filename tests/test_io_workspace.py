"""The private folder of a run: what stays in it, and when."""

from pathlib import Path

import pytest

from lmmgwas.errors import FileAccessError, FormatError, OutputExistsError
from lmmgwas.io.lock import Lock
from lmmgwas.io.workspace import Workspace


def run(out: Path, failure: BaseException | None, *, owns: bool = True, steps: int = 1) -> None:
    """A run that finishes some steps of a study, and then ends, well or not."""
    with Workspace(out) as workspace:
        (workspace.files / "table.tsv").write_text("half")
        workspace.owns_study = owns
        if owns:
            workspace.study.mkdir(exist_ok=True)
            for k in range(steps):
                (workspace.study / f"{k}.shard").write_text("whole")
        if failure is not None:
            raise failure


def left(out: Path) -> list[str]:
    return sorted(str(p.relative_to(out.parent)) for p in out.parent.rglob("*") if p.is_file())


def test_nothing_stays_of_a_run_that_ends_well(tmp_path: Path) -> None:
    run(tmp_path / "run", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "failure", [FileAccessError("E112", "disk full"), KeyboardInterrupt(), SystemExit(143)]
)
def test_finished_steps_stay_for_a_resumption(tmp_path: Path, failure: BaseException) -> None:
    with pytest.raises(type(failure)):
        run(tmp_path / "run", failure)
    assert left(tmp_path / "run") == [".run.work/study/0.shard"]


@pytest.mark.parametrize(
    ("failure", "steps"), [(FormatError("E201", "bad line"), 1), (KeyboardInterrupt(), 0)]
)
def test_nothing_stays_that_would_not_help(
    tmp_path: Path, failure: BaseException, steps: int
) -> None:
    with pytest.raises(type(failure)):
        run(tmp_path / "run", failure, steps=steps)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_command_spares_the_study(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", KeyboardInterrupt())
    run(tmp_path / "run", None, owns=False)
    with pytest.raises(FormatError):
        run(tmp_path / "run", FormatError("E201", "bad line"), owns=False)
    assert left(tmp_path / "run") == [".run.work/study/0.shard"]


def test_files_of_a_killed_run_go(tmp_path: Path) -> None:
    killed = Workspace(tmp_path / "run")
    killed.__enter__()
    (killed.files / "table.tsv").write_text("half")
    with Workspace(tmp_path / "run", break_lock=True) as workspace:
        assert list(workspace.files.iterdir()) == []
        assert workspace.files.stat().st_mode & 0o777 == 0o700


def test_the_lock_must_be_held_in_the_end(tmp_path: Path) -> None:
    with Workspace(tmp_path / "run") as workspace:
        workspace.require_lock()
        other = Lock.acquire(workspace.folder / "lock", break_lock=True)
        with pytest.raises(OutputExistsError, match="E117"):
            workspace.require_lock()
    assert other.is_held()  # and who lost it removes nothing
    assert workspace.files.exists()


def test_leaving_at_once_keeps_finished_steps(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "run")
    workspace.__enter__()
    workspace.owns_study = True
    workspace.study.mkdir()
    (workspace.study / "grm.json").write_text("[]")
    (workspace.files / "table.tsv").write_text("half")
    workspace.abandon()
    assert left(tmp_path / "run") == [".run.work/study/grm.json"]
    workspace.__exit__(None, None, None)  # the lock is given back already: nothing more happens
    assert left(tmp_path / "run") == [".run.work/study/grm.json"]
