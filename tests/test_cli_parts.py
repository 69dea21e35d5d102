"""A study or a GRM divided into parts: the same bytes as undivided, and no part too few or odd."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Result, RunCli, Study, StudyFiles

from lmmgwas.io.lock import Lock
from lmmgwas.model import grm_sum

SMALL_TILE = 16
ONE = ["--threads", 1]
NO_PLOTS = ["--plots", "none"]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """118 samples and 60 variants a chromosome are several tiles of either kind."""
    monkeypatch.setattr(grm_sum, "MAX_ROWS", 50)
    for module in ("tile_reader", "scan_plan"):
        monkeypatch.setattr(f"lmmgwas.pipeline.{module}.scan_tile", lambda n: SMALL_TILE)


def sound(result: Result) -> None:
    assert result.exit_code == 0, result.stderr


def output_of(folder: Path) -> dict[str, bytes]:
    """Every file but logs and folders of parts."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix != ".log"
    }


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder / "r"


@pytest.fixture
def grm(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path) -> Path:
    sound(run_cli("grm", "--bfile", small_study.bfile, "--out", make(tmp_path / "grm"), *ONE))
    return tmp_path / "grm" / "r"


PAIRWISE = ["--grm-missing", "pairwise", "--pca", "3"]


def often(*fast: object, slow: tuple[object, ...]) -> list[object]:
    """Cases of the fast suite, and of the long one."""
    return [*fast, *(pytest.param(case, marks=pytest.mark.slow) for case in slow)]


@pytest.mark.parametrize("n_parts", often(7, slow=(1, 2, 22)))
@pytest.mark.parametrize("options", [[], PAIRWISE], ids=str)
def test_parts_of_a_grm(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, n_parts: int, options: list[str]
) -> None:
    argv = ["grm", "--bfile", small_study.bfile, *ONE, *options]
    sound(run_cli(*argv, "--out", make(tmp_path / "whole")))
    out = make(tmp_path / "parts")
    for part in range(n_parts, 0, -1):
        sound(run_cli(*argv, "--out", out, "--part", f"{part}/{n_parts}"))
    sound(run_cli("merge", "--out", out))
    assert output_of(out.parent) == output_of(tmp_path / "whole")


CASES = {
    "given GRM": [],
    "its own GRM": ["own"],
    "two threads": ["--threads", 2],
    "spectral": ["--whitener", "spectral"],
    "per variant": ["--variance", "per-variant"],
    "likelihood ratio": ["--test", "lrt"],
    "ordinary": ["--h2", 0],
    "no LOCO": ["--no-loco"],
    "calibrated": ["--scan", "calibrated", "--exact-below", 0.05],
    "everything": ["--include-nonautosomal", "--condition", "rs1090", "--hwe", 1e-6],
    "X alone": ["--chr", "X"],
    "plots": ["--plots", "png", "--pheno-name", "height"],
}


def study_argv(files: StudyFiles, grm: Path, options: list[object]) -> list[object]:
    given = [] if options == ["own"] or 0 in options else ["--grm", grm]
    own = [option for option in options if option != "own"]
    return ["assoc", *files.inputs, *given, *ONE, *NO_PLOTS, *own]


QUICK = ("given GRM", "its own GRM", "two threads", "calibrated", "per variant", "X alone")


@pytest.mark.parametrize("case", often(*QUICK, slow=tuple(c for c in CASES if c not in QUICK)))
def test_parts_of_a_study(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, grm: Path, case: str
) -> None:
    argv = study_argv(small_study, grm, CASES[case])
    whole = make(tmp_path / "whole")
    sound(run_cli(*argv, "--out", whole))
    out = make(tmp_path / "parts")
    for part in (2, 3, 1):
        sound(run_cli(*argv, "--out", out, "--part", f"{part}/3"))
    sound(run_cli("merge", "--out", out))
    found, expected = output_of(out.parent), output_of(whole.parent)
    assert found.keys() == expected.keys()
    same = {"r.run.json": _without_out(found["r.run.json"])}
    assert {**found, **same} == {
        **expected,
        "r.run.json": _without_out(expected["r.run.json"]),
    }


def _without_out(manifest: bytes) -> object:
    """The manifest but for names of this folder."""
    content = json.loads(manifest)
    for output in content["outputs"]:
        output["path"] = Path(output["path"]).name
    del content["arguments"]["out"]
    return content


@pytest.mark.parametrize("n_parts", often(7, slow=(1, 2, 22)))
def test_any_number_of_parts(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, grm: Path, n_parts: int
) -> None:
    argv = study_argv(small_study, grm, [])
    sound(run_cli(*argv, "--out", make(tmp_path / "whole")))
    out = make(tmp_path / "parts")
    for part in range(1, n_parts + 1):
        sound(run_cli(*argv, "--out", out, "--part", f"{part}/{n_parts}"))
    sound(run_cli("merge", "--out", out))
    found, expected = output_of(out.parent), output_of(tmp_path / "whole")
    del found["r.run.json"], expected["r.run.json"]
    assert found == expected


@pytest.mark.parametrize(
    "case",
    often(
        "two threads",
        "calibrated",
        slow=("given GRM", "spectral", "likelihood ratio", "per variant", "no LOCO", "X alone"),
    ),
)
def test_null_models_that_were_saved(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, grm: Path, case: str
) -> None:
    argv = study_argv(small_study, grm, CASES[case])
    sound(run_cli(*argv, "--out", make(tmp_path / "whole")))
    out, nulls = make(tmp_path / "parts"), tmp_path / "nulls"
    sound(run_cli(*argv, "--save-nulls", nulls, "--nulls-of", "genome", "--out", out))
    first = {path.name: path.stat().st_mtime_ns for path in nulls.iterdir()}
    assert all(".genome." in name for name in first)
    for part in (1, 2):
        sound(run_cli(*argv, "--save-nulls", nulls, "--part", f"{part}/2", "--out", out))
    assert {name: (nulls / name).stat().st_mtime_ns for name in first} == first  # used, not redone
    for part in (1, 2):
        result = run_cli(*argv, "--nulls", nulls, "--part", f"{part}/2", "--out", out, "--verbose")
        sound(result)
        assert "null model, without" not in result.stderr
        assert "null model, whole" not in result.stderr
    sound(run_cli("merge", "--out", out))
    found, expected = output_of(out.parent), output_of(tmp_path / "whole")
    del found["r.run.json"], expected["r.run.json"]
    assert found == expected


@pytest.fixture
def parts(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, grm: Path) -> Path:
    """A study in two parts."""
    out = make(tmp_path / "parts")
    argv = study_argv(small_study, grm, [])
    for part in (1, 2):
        sound(run_cli(*argv, "--out", out, "--part", f"{part}/2"))
    return out


def refused(result: Result, exit_code: int, code: str, *words: str) -> None:
    assert result.exit_code == exit_code, result.stderr
    assert f"[{code}]" in result.stderr
    for word in words:
        assert word in result.stderr


def folder_of(out: Path, part: int, n_parts: int = 2) -> Path:
    return out.with_name(f"{out.name}.part-{part}-of-{n_parts}")


def test_a_missing_part(run_cli: RunCli, parts: Path) -> None:
    before = output_of(parts.parent)
    shutil.rmtree(folder_of(parts, 2))
    refused(run_cli("merge", "--out", parts), 4, "E123", "1 of 2 parts", "--part 2/2")
    assert output_of(parts.parent) == before


def test_no_part_at_all(run_cli: RunCli, tmp_path: Path) -> None:
    refused(run_cli("merge", "--out", tmp_path / "x"), 4, "E123", "x.part-1-of-N")
    refused(run_cli("merge", "--out", tmp_path / "no" / "x"), 7, "E110")


def test_parts_of_two_divisions(
    run_cli: RunCli, parts: Path, small_study: StudyFiles, grm: Path
) -> None:
    argv = study_argv(small_study, grm, [])
    sound(run_cli(*argv, "--out", parts, "--part", "3/5"))
    refused(run_cli("merge", "--out", parts), 4, "E123", "2 of 2 parts, 1 of 5 parts")


def test_a_part_twice_under_two_names(run_cli: RunCli, parts: Path) -> None:
    shutil.rmtree(folder_of(parts, 2))
    shutil.copytree(folder_of(parts, 1), folder_of(parts, 2))
    refused(run_cli("merge", "--out", parts), 4, "E123", "holds part 1 of 2", "renamed")


@pytest.mark.parametrize("change", ["options", "inputs"])
def test_parts_of_two_studies(
    run_cli: RunCli, parts: Path, small_study: StudyFiles, grm: Path, change: str
) -> None:
    argv = study_argv(small_study, grm, ["--mac", 7] if change == "options" else [])
    if change == "inputs":
        text = small_study.pheno.read_text()
        small_study.pheno.write_text(text.replace("S007\t", "S007\t1", 1))
    sound(run_cli(*argv, "--out", parts, "--part", "2/2", "--overwrite"))
    word = "mac was 5.0, is 7.0" if change == "options" else "pheno.tsv"
    refused(run_cli("merge", "--out", parts), 4, "E116", "part-2-of-2", word)


def test_inputs_that_changed_since(run_cli: RunCli, parts: Path, small_study: StudyFiles) -> None:
    small_study.covar.write_text(small_study.covar.read_text().replace("north", "south", 1))
    refused(run_cli("merge", "--out", parts), 4, "E116", "covar.tsv")
    small_study.covar.unlink()
    refused(run_cli("merge", "--out", parts), 7, "E110", "covar.tsv")


def test_a_damaged_part(run_cli: RunCli, parts: Path) -> None:
    shard = sorted(folder_of(parts, 2).glob("0000.0*.shard"))[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    refused(run_cli("merge", "--out", parts), 7, "E122", shard.name, "--overwrite")
    assert shard.exists()
    shard.unlink()
    refused(run_cli("merge", "--out", parts), 4, "E123", "no part holds variants")
    (folder_of(parts, 2) / "part.json").write_text("{}")
    refused(run_cli("merge", "--out", parts), 4, "E123", "part.json is damaged")
    (folder_of(parts, 2) / "part.json").unlink()
    refused(run_cli("merge", "--out", parts), 4, "E123", "it has no part.json")


def test_a_damaged_part_of_a_grm(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path) -> None:
    out = make(tmp_path / "parts")
    for part in (1, 2):
        sound(run_cli("grm", "--bfile", small_study.bfile, "--out", out, "--part", f"{part}/2"))
    folder = out.with_name("r.grm-part-1-of-2")
    shard = sorted(folder.glob("*.shard"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    refused(run_cli("merge", "--out", out), 7, "E122", shard.name)
    shard.unlink()
    refused(run_cli("merge", "--out", out), 4, "E123", "of chromosome 1")
    assert not output_of(out.parent)


def test_parts_of_both_kinds(
    run_cli: RunCli, parts: Path, small_study: StudyFiles, grm: Path
) -> None:
    sound(run_cli("grm", "--bfile", small_study.bfile, "--out", parts, "--part", "1/1", *ONE))
    refused(run_cli("merge", "--out", parts), 2, "E008", "--what")
    sound(run_cli("merge", "--out", parts, "--what", "grm"))
    sound(run_cli("merge", "--out", parts, "--what", "assoc"))
    assert output_of(parts.parent)["r.grm.bin"] == grm.with_name("r.grm.bin").read_bytes()


@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "3", "1/0", "/", "-1/3", "1.5/3"])
def test_a_part_that_is_none(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, text: str
) -> None:
    result = run_cli("grm", "--bfile", small_study.bfile, "--out", tmp_path / "x", "--part", text)
    refused(result, 2, "E009", "--part")


def test_the_number_of_an_array_job(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["grm", "--bfile", small_study.bfile, "--out", tmp_path / "x", "--part", "/3"]
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    refused(run_cli(*argv), 2, "E009", "SLURM_ARRAY_TASK_ID")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    sound(run_cli(*argv))
    assert (tmp_path / "x.grm-part-2-of-3").is_dir()


def test_a_part_that_runs_twice(
    run_cli: RunCli, parts: Path, small_study: StudyFiles, grm: Path
) -> None:
    """The second is refused, or does nothing, or does the same again."""
    argv = [*study_argv(small_study, grm, []), "--out", parts, "--part", "1/2"]
    folder = folder_of(parts, 1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    refused(run_cli(*argv), 8, "E113", "part-1-of-2")
    result = run_cli(*argv, "--resume")
    sound(result)
    assert "complete already" in result.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    sound(run_cli(*argv, "--overwrite"))
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    del before["part.json"], after["part.json"]  # it says --overwrite
    assert after == before
    sound(run_cli("merge", "--out", parts))


def test_a_part_goes_on_after_a_failure(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    grm: Path,
    parts: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lmmgwas.pipeline import scan_run

    argv = [*study_argv(small_study, grm, []), "--part", "1/2"]
    out = make(tmp_path / "again")
    right = scan_run.check_group
    calls = []

    def breaks(*given: object) -> object:
        calls.append(given)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return right(*given)

    monkeypatch.setattr(scan_run, "check_group", breaks)
    assert run_cli(*argv, "--out", out).exit_code == 7
    assert not folder_of(out, 1).exists()
    sound(run_cli(*argv, "--out", out, "--resume"))
    monkeypatch.undo()
    names = sorted(path.name for path in folder_of(out, 1).glob("*.shard"))
    assert names == sorted(path.name for path in folder_of(parts, 1).glob("*.shard"))


def test_null_models_of_another_study(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, grm: Path
) -> None:
    nulls, out = tmp_path / "nulls", make(tmp_path / "out")
    argv = study_argv(small_study, grm, [])
    sound(run_cli(*argv, "--save-nulls", nulls, "--out", out))
    result = run_cli(*argv, "--mac", 9, "--nulls", nulls, "--out", out)
    refused(result, 4, "E116", "another study")
    file = nulls / "0000.genome.null"
    file.write_bytes(file.read_bytes()[:-3])
    refused(run_cli(*argv, "--nulls", nulls, "--out", out), 7, "E122", "damaged")
    sound(run_cli(*argv, "--out", out))


@pytest.mark.parametrize(
    "options",
    [
        ["--nulls", "a", "--save-nulls", "b"],
        ["--nulls-of", "genome"],
        ["--nulls-of", "genome", "--save-nulls", "a", "--part", "1/2"],
    ],
)
def test_options_that_exclude_each_other(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, options: list[str]
) -> None:
    result = run_cli("assoc", *small_study.inputs, "--out", tmp_path / "x", *options)
    refused(result, 2, "E008")


def test_a_single_chromosome_in_more_parts_than_tiles(
    run_cli: RunCli, study: Study, tmp_path: Path, grm: Path
) -> None:
    """Most parts are empty, which is no mistake."""
    files = StudyFiles(tmp_path / "in")
    argv = [*study_argv(files, grm, []), "--chr", "2"]
    sound(run_cli(*argv, "--out", make(tmp_path / "whole")))
    out = make(tmp_path / "parts")
    for part in range(1, 9):
        sound(run_cli(*argv, "--out", out, "--part", f"{part}/8"))
    sound(run_cli("merge", "--out", out))
    table = "r.height.tsv.gz"
    assert output_of(out.parent)[table] == output_of(tmp_path / "whole")[table]


def test_two_jobs_with_one_part(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, grm: Path, parts: Path
) -> None:
    """While one works the other is refused; a job with another part is not."""
    out = make(tmp_path / "again")
    argv = [*study_argv(small_study, grm, []), "--out", out]
    lock = Lock.acquire(out.with_name(".r.part-1-of-2.work") / "lock", break_lock=False)
    refused(run_cli(*argv, "--part", "1/2"), 8, "E114", "part-1-of-2")
    assert not folder_of(out, 1).exists()
    sound(run_cli(*argv, "--part", "2/2"))
    lock.release()
    sound(run_cli(*argv, "--part", "1/2"))
    sound(run_cli("merge", "--out", out))
    sound(run_cli("merge", "--out", parts))
    table = "r.height.tsv.gz"
    assert output_of(out.parent)[table] == output_of(parts.parent)[table]


@pytest.mark.slow
def test_parts_at_the_same_time(test_data: Path, tmp_path: Path) -> None:
    """An array job: processes that share a prefix, and null models that all of them save."""
    study = ["--bfile", test_data / "study", "--pheno", test_data / "pheno.tsv"]
    study += ["--threads", 1, "--plots", "none", "--pheno-name", "height"]

    def start(*argv: object) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "lmmgwas", *map(str, argv)])

    assert start("assoc", *study, "--out", make(tmp_path / "whole")).wait(600) == 0
    out, nulls = make(tmp_path / "parts"), tmp_path / "nulls"
    for step in (["--save-nulls", nulls], ["--nulls", nulls]):
        argv = ["assoc", *study, "--out", out, *step, "--part"]
        jobs = [start(*argv, f"{k}/3") for k in (1, 2, 3)]
        assert [job.wait(600) for job in jobs] == [0, 0, 0]
    assert start("merge", "--out", out).wait(600) == 0
    found, expected = output_of(out.parent), output_of(tmp_path / "whole")
    del found["r.run.json"], expected["r.run.json"]
    assert found == expected
    assert not [path for path in nulls.iterdir() if path.suffix == ".tmp"]


def test_null_models_that_do_not_fit_the_disk(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    grm: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A matrix of 117 x 117 for each of four chromosomes is more than all that is written else."""
    usage = shutil.disk_usage(tmp_path)
    argv = [*study_argv(small_study, grm, ["--pheno-name", "height"]), "--out", tmp_path / "x"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=150_000))
    result = run_cli(*argv, "--save-nulls", tmp_path / "nulls")
    refused(result, 7, "E118", "null models, a matrix for each chromosome")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=400_000))
    sound(run_cli(*argv, "--save-nulls", tmp_path / "nulls"))
    written = sum(path.stat().st_size for path in (tmp_path / "nulls").iterdir())
    assert 150_000 < written < 400_000


def test_a_part_of_another_study_is_refused_before_its_work(
    run_cli: RunCli, parts: Path, small_study: StudyFiles, grm: Path
) -> None:
    argv = study_argv(small_study, grm, ["--mac", 9])
    result = run_cli(*argv, "--out", parts, "--part", "1/2", "--resume", "--verbose")
    refused(result, 8, "E113", "part-1-of-2")
    assert "null model" not in result.stderr


def test_overwriting_a_part_goes_on_after_a_failure(
    run_cli: RunCli,
    parts: Path,
    small_study: StudyFiles,
    grm: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lmmgwas.pipeline import scan_run

    def breaks(*given: object) -> object:
        raise OSError(5, "Input/output error")

    argv = [*study_argv(small_study, grm, []), "--out", parts, "--part", "1/2"]
    with monkeypatch.context() as patch:
        patch.setattr(scan_run, "check_group", breaks)
        assert run_cli(*argv, "--overwrite").exit_code == 7
    sound(run_cli(*argv, "--resume"))
    assert not (folder_of(parts, 1) / "journal.json").exists()
    sound(run_cli("merge", "--out", parts))


def test_merging_a_grm_spares_the_steps_of_a_study(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    out = make(tmp_path / "parts")
    sound(run_cli("grm", "--bfile", small_study.bfile, "--out", out, "--part", "1/1", *ONE))
    steps = out.with_name(".r.work") / "study"
    steps.mkdir(parents=True)
    (steps / "0000.00000.000000000-000000060.shard").write_bytes(b"x")
    refused(run_cli("merge", "--out", out), 8, "E115", "--resume")
    assert list(steps.iterdir())


def test_merging_is_as_strict_as_it_is_asked_to_be(run_cli: RunCli, parts: Path) -> None:
    """Which changes no result: parts that were not strict can be merged strictly, or refused."""
    result = run_cli("merge", "--out", parts, "--strict")
    refused(result, 5, "W118", "a part was warned", "--strict")  # it has few variants
    sound(run_cli("merge", "--out", parts))


def test_null_models_from_nowhere(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, grm: Path
) -> None:
    argv = [*study_argv(small_study, grm, []), "--out", tmp_path / "x"]
    refused(run_cli(*argv, "--nulls", tmp_path / "typo"), 7, "E111", "--save-nulls")
    assert not (tmp_path / "typo").exists()
    refused(run_cli(*argv, "--save-nulls", tmp_path / "a" / "b"), 7, "E111", "does not exist")


def test_null_models_of_another_study_are_replaced_when_asked(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, grm: Path
) -> None:
    nulls, out = tmp_path / "nulls", make(tmp_path / "out")
    argv = study_argv(small_study, grm, ["--save-nulls", nulls])
    sound(run_cli(*argv, "--out", out))
    refused(run_cli(*argv, "--mac", 9, "--out", out), 4, "E116")
    sound(run_cli(*argv, "--mac", 9, "--out", out, "--overwrite"))
    given = [*study_argv(small_study, grm, ["--mac", 9]), "--nulls", nulls]
    sound(run_cli(*given, "--out", make(tmp_path / "scan")))


def test_parts_of_other_versions(
    run_cli: RunCli, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmmgwas.report.manifest._version", lambda name: "0.0.1")
    refused(run_cli("merge", "--out", parts), 4, "E116", "other versions", "0.0.1")
