"""Going on after an interruption: the same bytes, or a refusal that says why."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import RunCli, StudyFiles, read_tsv

from lmmgwas.pipeline.group_shards import GroupWriter

USUAL = ("--plots", "none", "--threads", 1, "--include-nonautosomal")


def everything(folder: Path) -> dict[str, bytes]:
    """All files but the log, the manifest included."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".log"
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


class Interruption:
    """Interrupts a run at its k-th finished group."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, run_cli: RunCli) -> None:
        self._monkeypatch = monkeypatch
        self._run_cli = run_cli

    def __call__(self, k: int, *arguments: object, by: BaseException | None = None) -> int:
        commit = GroupWriter.commit
        count = iter(range(k + 1))

        def until(writer: GroupWriter, end: object) -> None:
            if next(count) == k:
                raise by or KeyboardInterrupt
            commit(writer, end)

        with self._monkeypatch.context() as patch:
            patch.setattr(GroupWriter, "commit", until)
            return self._run_cli("assoc", *arguments).exit_code


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch, run_cli: RunCli) -> Interruption:
    return Interruption(monkeypatch, run_cli)


MODES = {
    "exact": ["--scan", "exact"],
    "calibrated": ["--scan", "calibrated"],
    "spectral": ["--whitener", "spectral", "--test", "lrt"],
    "one trait, double": ["--pheno-name", "height", "--precision", "double"],
    "regression": ["--h2", "0"],
    "no LOCO": ["--no-loco"],
    "temporary folder": ["--tmpdir", "TMP"],
    "two threads": ["--threads", 2],
}


@pytest.mark.parametrize("k", [0, 3, 10])
@pytest.mark.parametrize("mode", MODES)
def test_resumed_is_byte_identical(
    run_cli: RunCli,
    interrupt: Interruption,
    small_study: StudyFiles,
    out: Path,
    tmp_path: Path,
    mode: str,
    k: int,
) -> None:
    (tmp_path / "tmp").mkdir()
    options = [str(tmp_path / "tmp") if o == "TMP" else o for o in MODES[mode]]
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL, *options]
    assert run_cli("assoc", *arguments).exit_code == 0
    undisturbed = everything(out)
    shutil.rmtree(out)
    out.mkdir()
    if interrupt(k, *arguments) == 0:
        assert k == 10  # a single analysis has fewer groups
    else:
        assert {path.name for path in out.iterdir()} == {".run.work", "run.log"}
        resumed = run_cli("assoc", *arguments, "--resume")
        assert resumed.exit_code == 0, resumed.stderr
        if k:
            assert f"Resumed: {min(k, 8)} of 8 groups" in resumed.stderr
    assert everything(out) == undisturbed
    assert list((tmp_path / "tmp").iterdir()) == []


def test_finished_groups_are_not_scanned_again(
    run_cli: RunCli,
    interrupt: Interruption,
    small_study: StudyFiles,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL, "--pheno-name", "height"]
    assert interrupt(5, *arguments) == 130

    def refuse(*args: object, **named: object) -> None:
        raise AssertionError("the GRM was built again")

    monkeypatch.setattr("lmmgwas.pipeline.kept_grm.build_grm", refuse)
    begun = []
    begin = GroupWriter.__init__
    monkeypatch.setattr(
        GroupWriter, "__init__", lambda self, *given: (begun.append(1), begin(self, *given))[1]
    )
    assert run_cli("assoc", *arguments, "--resume").exit_code == 0
    assert len(begun) == 3


def test_unfinished_work_is_not_thrown_away_unasked(
    run_cli: RunCli, interrupt: Interruption, small_study: StudyFiles, out: Path
) -> None:
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    assert interrupt(2, *arguments) == 130
    before = everything(out)
    refused = run_cli("assoc", *arguments)
    assert refused.exit_code == 8
    assert "[E115]" in refused.stderr
    assert "--resume" in refused.stderr
    assert everything(out) == before
    assert run_cli("assoc", *arguments, "--overwrite").exit_code == 0
    assert not (out / ".run.work").exists()


def change_trait(files: StudyFiles) -> None:
    lines = files.pheno.read_text().splitlines()
    files.pheno.write_text("\n".join(lines[:-1]) + "\n")


def change_call(files: StudyFiles) -> None:
    data = bytearray(files.bed.read_bytes())
    data[400] ^= 0b11
    files.bed.write_bytes(data)


DIFFERENCES = {
    "option": ([], "--maf", "0.02", ("options maf was 0.0, is 0.02",)),
    "threads": ([], "--threads", "2", ("threads was 1, is 2",)),
    "trait table": ([change_trait], "--seed", "1", ("pheno.tsv bytes was",)),
    "genotypes": ([change_call], "--seed", "1", ("study.bed sha256 was",)),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_another_study_is_refused(
    run_cli: RunCli, interrupt: Interruption, small_study: StudyFiles, out: Path, difference: str
) -> None:
    changes, option, value, words = DIFFERENCES[difference]
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    assert interrupt(2, *arguments) == 130
    before = everything(out)
    for change in changes:
        change(small_study)
    refused = run_cli("assoc", *arguments, option, value, "--resume")
    assert refused.exit_code == 4, refused.stderr
    assert "[E116]" in refused.stderr
    for word in words:
        assert word in refused.stderr
    assert everything(out) == before


def test_other_versions_are_refused(
    run_cli: RunCli,
    interrupt: Interruption,
    small_study: StudyFiles,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Libraries of another version may round otherwise: halves of two kinds are no whole."""
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    assert interrupt(2, *arguments) == 130
    monkeypatch.setattr("lmmgwas.report.manifest._version", lambda name: "0.0.1")
    refused = run_cli("assoc", *arguments, "--resume")
    assert refused.exit_code == 4
    assert "software libraries numpy was" in refused.stderr
    assert "is 0.0.1" in refused.stderr


@pytest.mark.parametrize("damage", ["truncated", "changed", "not ours"])
def test_a_damaged_step_is_computed_again(
    run_cli: RunCli, interrupt: Interruption, small_study: StudyFiles, out: Path, damage: str
) -> None:
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    assert run_cli("assoc", *arguments).exit_code == 0
    undisturbed = everything(out)
    shutil.rmtree(out)
    out.mkdir()
    assert interrupt(3, *arguments) == 130
    (shard,) = (out / ".run.work" / "study").glob("0000.00001.*.shard")
    data = shard.read_bytes()
    if damage == "truncated":
        shard.write_bytes(data[:-1])
    elif damage == "changed":
        shard.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    else:
        shard.write_bytes(b"x" * 100)
    resumed = run_cli("assoc", *arguments, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert "Warning [W117]" in resumed.stderr
    found = everything(out)
    del found["run.run.json"], undisturbed["run.run.json"]  # it has the warning
    assert found == undisturbed


def test_a_damaged_grm_is_built_again(
    run_cli: RunCli, interrupt: Interruption, small_study: StudyFiles, out: Path
) -> None:
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    assert run_cli("assoc", *arguments).exit_code == 0
    undisturbed = everything(out)
    shutil.rmtree(out)
    out.mkdir()
    assert interrupt(3, *arguments) == 130
    part = out / ".run.work" / "study" / "grm" / "set.chr1.grm.bin"
    part.write_bytes(b"\0" * part.stat().st_size)
    resumed = run_cli("assoc", *arguments, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert "the GRM is finished" not in resumed.stderr
    assert everything(out) == undisturbed


def test_resume_of_nothing_begins(run_cli: RunCli, small_study: StudyFiles, out: Path) -> None:
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL, "--resume"]
    begun = run_cli("assoc", *arguments)
    assert begun.exit_code == 0
    assert "finds no interrupted run" in begun.stderr
    before = everything(out)
    log = (out / "run.log").read_text()
    again = run_cli("assoc", *arguments)
    assert again.exit_code == 0
    assert "complete already" in again.stderr
    assert everything(out) == before
    assert (out / "run.log").read_text().startswith(log)


def test_resume_of_another_complete_study_is_refused(
    run_cli: RunCli, small_study: StudyFiles, out: Path
) -> None:
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    assert run_cli("assoc", *arguments).exit_code == 0
    before = everything(out)
    refused = run_cli("assoc", *arguments, "--maf", "0.1", "--resume")
    assert refused.exit_code == 8
    assert "[E113]" in refused.stderr
    assert everything(out) == before


def test_after_the_tables_were_named(
    run_cli: RunCli, small_study: StudyFiles, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between tables and manifest: what is there is ours, byte for byte."""
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    assert run_cli("assoc", *arguments).exit_code == 0
    undisturbed = everything(out)
    shutil.rmtree(out)
    out.mkdir()

    def stop(*args: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lmmgwas.pipeline.results.manifest_of", stop)
        assert run_cli("assoc", *arguments).exit_code == 130
    assert len(read_tsv(out / "run.height.tsv.gz")) > 100
    assert not (out / "run.run.json").exists()
    table = out / "run.height.tsv.gz"
    table.write_bytes(table.read_bytes() + b"theirs")
    refused = run_cli("assoc", *arguments, "--resume")
    assert refused.exit_code == 8
    assert "appeared" in refused.stderr
    table.write_bytes(undisturbed["run.height.tsv.gz"])
    assert run_cli("assoc", *arguments, "--resume").exit_code == 0
    assert everything(out) == undisturbed


def test_what_overwrote_still_overwrites(
    run_cli: RunCli, interrupt: Interruption, small_study: StudyFiles, out: Path
) -> None:
    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    assert run_cli("assoc", *arguments, "--maf", "0.1").exit_code == 0
    old = everything(out)
    assert interrupt(3, *arguments, "--overwrite") == 130
    assert {k: v for k, v in everything(out).items() if not k.startswith(".")} == old
    assert run_cli("assoc", *arguments, "--resume").exit_code == 0
    manifest = json.loads((out / "run.run.json").read_text())
    assert manifest["arguments"]["maf"] == 0.0
    assert manifest["complete"] is True


def test_a_failure_of_the_input_leaves_nothing_to_resume(
    interrupt: Interruption, small_study: StudyFiles, out: Path
) -> None:
    from lmmgwas.errors import DegenerateError

    failure = DegenerateError("E701", "V is not positive definite")
    code = interrupt(2, *small_study.inputs, "--out", out / "run", *USUAL, by=failure)
    assert code == 5
    assert [path.name for path in out.iterdir()] == ["run.log"]


def test_a_run_at_work_is_not_disturbed(
    run_cli: RunCli, small_study: StudyFiles, out: Path
) -> None:
    from lmmgwas.io.workspace import Workspace

    arguments = [*small_study.inputs, "--out", out / "run", *USUAL]
    with Workspace(out / "run"):
        for command, given in (("assoc", arguments), ("grm", ["--bfile", small_study.bfile])):
            refused = run_cli(
                command, *given, *([] if given is arguments else ["--out", out / "run"])
            )
            assert refused.exit_code == 8
            assert "[E114]" in refused.stderr
            assert not (out / "run.log").exists()
    assert run_cli("assoc", *arguments).exit_code == 0
