"""`lmmgwas check`, and what `assoc` and `grm` refuse for want of memory or disk."""

import json
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result, RunCli, Study, StudyFiles

from lmmgwas.errors import OutOfMemoryError
from lmmgwas.model.memory import StudySize
from lmmgwas.model.run_size import RunSize
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.numerics.limits import Counted, MemoryLimit
from lmmgwas.pipeline import disk_check, memory_check
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions

MIB, GIB = 1 << 20, 1 << 30

Check = Callable[..., tuple[Result, str]]


@pytest.fixture
def check(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> Check:
    """`check ...`: the result and what stands on standard output."""

    def run(*args: object) -> tuple[Result, str]:
        result = run_cli("check", *args, "--threads", 1)
        return result, capsys.readouterr().out

    return run


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder below, with size and times of change."""
    found = {}
    for place, _, names in os.walk(folder):
        for path in [Path(place), *(Path(place, name) for name in names)]:
            state = path.stat()
            found[str(path)] = (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return found


def limited_to(monkeypatch: pytest.MonkeyPatch, *limits: MemoryLimit) -> None:
    """Make these the machine's limits."""
    monkeypatch.setattr(memory_check, "memory_limits", lambda: list(limits))


def test_a_sound_study(small_study: StudyFiles, check: Check) -> None:
    result, script = check(*small_study.inputs)
    assert result.exit_code == 0, result.stderr
    said = dict(re.findall(r"^  ([a-zA-Z ()]+?)  +(.*)$", result.stderr, re.MULTILINE))
    assert said["samples"] == "117 analysed of 118 in the .fam"
    assert said["traits (samples)"] == "height (114), weight (111)"
    assert said["variants"] == "286 selected of 286"
    assert said["LOCO groups"] == "4: 1, 2, 3, 4"
    assert said["GRM"] == "built in the run: up to 240 autosomal variants, 118 samples"
    assert re.match(r"about \d+ MiB \(.*\); .* can be had, by ", said["memory"])
    assert re.match(
        r"about \d+ s, \d+ s to \d+ s \(.*\); at \d+ GFLOP/s with 1 thread", said["time"]
    )
    assert re.match(r"about \d+ MiB in .*tables.*GRM.* are free", said["disk"])
    # The estimate begins with what this process holds, which after a thousand tests is much.
    job = r"#!/bin/sh\n#SBATCH --cpus-per-task=1 --mem=[1-4]G --time=00:10:00\n"
    assert re.match(job, script)


def test_nothing_is_written(small_study: StudyFiles, check: Check, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    before = tree(tmp_path)
    result, _ = check(*small_study.inputs, "--out", tmp_path / "out" / "run")
    assert result.exit_code == 0, result.stderr
    assert tree(tmp_path) == before
    refused, _ = check(*small_study.inputs, "--out", tmp_path / "out" / "run", "--chr", "9")
    assert refused.exit_code == 4
    assert tree(tmp_path) == before


def test_a_log_only_where_it_is_asked_for(
    small_study: StudyFiles, check: Check, tmp_path: Path
) -> None:
    result, _ = check(*small_study.inputs, "--log", tmp_path / "said.txt")
    text = (tmp_path / "said.txt").read_text(encoding="utf-8")
    assert "LOCO groups" in text
    assert set(text.splitlines()) >= set(result.stderr.splitlines())


def test_the_script_runs_the_study(
    small_study: StudyFiles, check: Check, run_cli: RunCli, tmp_path: Path
) -> None:
    """Its command has the options as they were typed, quoted, and does the work."""
    out = tmp_path / "a b"
    given = ["--pheno-name", "height", "--no-loco", "--maf", "0.05", "--plots", "none"]
    _, script = check(*small_study.inputs, "--out", out, *given, "--verbose", "--quiet")
    line = script.splitlines()[-1]
    assert f"--out '{out}'" in line
    assert "--no-loco" in line.split()
    assert "--quiet" not in line
    assert "--mac" not in line  # a default
    words = subprocess.run(
        ["/bin/sh", "-c", f'for word in {line}; do printf "%s\\n" "$word"; done'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert words[:2] == ["lmmgwas", "assoc"]
    done = run_cli(*words[1:])
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "a b.height.tsv.gz").exists()


def test_without_a_name_the_script_has_one(small_study: StudyFiles, check: Check) -> None:
    _, script = check(*small_study.inputs)
    assert script.endswith("--threads 1 --out results\n")


def refusals(files: StudyFiles, folder: Path) -> dict[str, list[object]]:
    """Options that assoc refuses before the work."""
    taken = folder / "taken"
    taken.with_name("taken.run.json").write_text("{}")
    constant = folder / "constant.tsv"
    rows = [line.split("\t")[:2] for line in files.pheno.read_text().splitlines()]
    constant.write_text(
        "".join("\t".join([*ids, "y" if k == 0 else "3"]) + "\n" for k, ids in enumerate(rows))
    )
    return {
        "no such chromosome": ["--chr", "9"],
        "one chromosome in the GRM": ["--grm-chr", "1"],
        "output exists": ["--out", taken],
        "no such folder": ["--out", folder / "nowhere" / "run"],
        "no such folder for temporary files": ["--tmpdir", folder / "nowhere"],
        "name too long": ["--out", folder / ("x" * 230)],
        "no such trait": ["--pheno-name", "hight"],
        "constant trait": ["--pheno", constant],
        "no GRM": ["--grm", folder / "none"],
        "options": ["--h2", "2"],
    }


REFUSALS = (
    "no such chromosome",
    "one chromosome in the GRM",
    "output exists",
    "no such folder",
    "no such folder for temporary files",
    "name too long",
    "no such trait",
    "constant trait",
    "no GRM",
    "options",
)


@pytest.mark.parametrize("case", REFUSALS)
def test_check_refuses_what_assoc_refuses(
    small_study: StudyFiles, check: Check, run_cli: RunCli, tmp_path: Path, case: str
) -> None:
    """The same exit code and the same words."""
    more = refusals(small_study, tmp_path)[case]
    named = [] if "--out" in more else ["--out", tmp_path / "run"]
    checked, script = check(*small_study.inputs, *named, *more)
    done = run_cli("assoc", *small_study.inputs, *named, *more, "--threads", 1)
    assert checked.exit_code == done.exit_code != 0
    codes = [re.findall(r"^Error \[(E\d+)\]", r.stderr, re.MULTILINE) for r in (checked, done)]
    assert codes[0] == codes[1] != []
    assert script == ""


def test_strict_makes_its_warnings_errors(study: Study, check: Check, tmp_path: Path) -> None:
    study.sex[0] = 0
    files = study.write(tmp_path / "in")
    plain, _ = check(*files.inputs)
    assert plain.exit_code == 0
    assert "Warning [W217]" in plain.stderr
    strict, _ = check(*files.inputs, "--strict")
    assert strict.exit_code == 5
    assert "[W217]" in strict.stderr


@pytest.fixture
def grm(small_study: StudyFiles, run_cli: RunCli, tmp_path: Path) -> Path:
    """A GRM set on disk."""
    prefix = tmp_path / "grm" / "set"
    prefix.parent.mkdir()
    made = run_cli("grm", "--bfile", small_study.bfile, "--out", prefix, "--threads", 1)
    assert made.exit_code == 0, made.stderr
    return prefix


def test_a_given_grm(small_study: StudyFiles, check: Check, grm: Path) -> None:
    result, script = check(*small_study.inputs, "--grm", grm)
    assert result.exit_code == 0, result.stderr
    assert f"given, {grm} (118 samples of the .fam)" in result.stderr
    assert f"--grm {grm}" in script


def test_a_group_that_the_given_grm_lacks(small_study: StudyFiles, check: Check, grm: Path) -> None:
    manifest = grm.with_name("set.grm.json")
    content = json.loads(manifest.read_text())
    content["groups"] = content["groups"][:3]
    manifest.write_text(json.dumps(content))
    result, _ = check(*small_study.inputs, "--grm", grm)
    assert result.exit_code == 4
    assert "[E803]" in result.stderr
    assert check(*small_study.inputs, "--grm", grm, "--chr", "1-3")[0].exit_code == 0


def test_too_few_variants_are_left_by_loco(study: Study, check: Check, tmp_path: Path) -> None:
    """Known before the GRM is built: 5 variants on other chromosomes."""
    wanted = [*np.flatnonzero(np.array(study.chrom) == "1").tolist(), *study.on("2")[:5].tolist()]
    names = tmp_path / "names"
    names.write_text("".join(f"{study.marker[k]}\n" for k in wanted if study.marker[k] != "."))
    files = study.write(tmp_path / "in")
    result, _ = check(*files.inputs, "--grm-extract", names, "--chr", "1-2")
    assert result.exit_code == 5
    assert "[E802]" in result.stderr
    assert "leaving chromosome 1 out leaves 5 of " in result.stderr


# ------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("command", ["assoc", "check", "grm"])
def test_too_little_memory(
    small_study: StudyFiles, run_cli: RunCli, tmp_path: Path, command: str
) -> None:
    """This process has more than 20 MiB already."""
    inputs = small_study.inputs if command != "grm" else ["--bfile", small_study.bfile]
    out = tmp_path / "out" / "run"
    out.parent.mkdir()
    result = run_cli(command, *inputs, "--out", out, "--memory", "20M", "--threads", 1)
    assert result.exit_code == 137
    assert result.stderr.count("Error") == 1
    error = result.stderr[result.stderr.index("Error") :]
    for word in ("[E137]", "needs about", "it can have 20 MiB by --memory", "samples would fit"):
        assert word in error
    assert {path.name for path in out.parent.iterdir()} <= {"run.log"}


@pytest.mark.parametrize("text", ["16", "16X", "-1G", "0G", "G", "1e3M", "16 Giga", ""])
def test_sizes_that_are_none(small_study: StudyFiles, run_cli: RunCli, text: str) -> None:
    result = run_cli("check", *small_study.inputs, f"--memory={text}")
    assert result.exit_code == 2
    assert "[E002]" in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [("16G", 16 * GIB), ("0.5t", 512 * GIB), ("100MB", 100 * MIB), ("2GiB", 2 * GIB), ("9K", 9216)],
)
def test_sizes(text: str, expected: int) -> None:
    from lmmgwas.cli.options import memory_bytes

    assert memory_bytes(text) == expected


def test_the_least_limit_counts(
    small_study: StudyFiles, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited_to(
        monkeypatch, MemoryLimit("free memory", 90 * GIB), MemoryLimit("Slurm (X)", 30 * MIB)
    )
    result, _ = check(*small_study.inputs, "--memory", "50G")
    assert result.exit_code == 137
    assert "it can have 30 MiB by Slurm (X)" in result.stderr


def test_more_than_there_is_is_warned_of(
    small_study: StudyFiles, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited_to(monkeypatch, MemoryLimit("free memory", 20 * GIB))
    generous, _ = check(*small_study.inputs, "--memory", "50G")
    assert generous.exit_code == 0
    warned = "Warning [W137]: --memory 50.0 GiB is more than there is: 20.0 GiB, by free memory"
    assert warned in generous.stderr
    assert "W137" not in check(*small_study.inputs, "--memory", "10G")[0].stderr
    assert "20.0 GiB can be had, by free memory" in generous.stderr


def test_no_limit_is_known(
    small_study: StudyFiles, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited_to(monkeypatch)
    result, _ = check(*small_study.inputs)
    assert result.exit_code == 0
    assert "Note: no limit of memory is known on this system" in result.stderr


def test_an_address_space_has_to_hold_mapped_files_too(
    small_study: StudyFiles, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would do as memory in use does not do as address space."""
    enough = 2 * memory_check.resident_bytes() + 400 * MIB
    limited_to(monkeypatch, MemoryLimit("a", enough, Counted.RESIDENT))
    assert check(*small_study.inputs)[0].exit_code == 0
    tight = memory_check.resident_bytes() + 300 * MIB
    limited_to(monkeypatch, MemoryLimit("ulimit", tight, Counted.ADDRESS))
    assert check(*small_study.inputs)[0].exit_code == 137


def test_options_that_make_it_fit_are_named(
    small_study: StudyFiles, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what one thread takes and what forty take."""
    monkeypatch.setattr(memory_check, "resident_bytes", lambda: 100 * MIB)
    monkeypatch.setattr("lmmgwas.pipeline.study_size.resident_bytes", lambda: 100 * MIB)
    limited_to(monkeypatch, MemoryLimit("Slurm", 300 * MIB))
    inputs = [*small_study.inputs, "--plots", "none"]
    result = run_cli("check", *inputs, "--threads", 40)
    assert result.exit_code == 137, result.stderr
    assert "It fits with --threads 1 (" in result.stderr
    assert run_cli("check", *inputs, "--threads", 1).exit_code == 0


def test_a_fit_in_float64_may_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What h2 will be is not known yet: the log says what it would take near 0 or 1."""
    study = StudySize(
        n=5000,
        n_file=5000,
        n_covariates=1,
        n_traits=1,
        n_variants=100,
        largest_group=50,
        n_fits=22,
        threads=2,
        kind=WhitenerKind.CHOLESKY,
    )
    size = RunSize(100 * MIB, None, (study,))
    estimate = size.estimate()
    worst = estimate.peak + estimate.fallback
    assert estimate.fallback == 2 * 8 * 5000**2
    log = Logbook(tmp_path / "log", verbosity=0, strict=False)
    with log:
        log.begin()
        for room, said in ((worst, False), (worst - 1, True), (estimate.peak, True)):
            limited_to(monkeypatch, MemoryLimit("free memory", room))
            before = (tmp_path / "log").read_text().count("should h2 come out below 0.1")
            memory_check.require_memory(size, RunOptions(tmp_path / "x", threads=2), log)
            after = (tmp_path / "log").read_text().count("should h2 come out below 0.1")
            assert (after > before) is said
        limited_to(monkeypatch, MemoryLimit("free memory", estimate.peak - 1))
        with pytest.raises(OutOfMemoryError):
            memory_check.require_memory(size, RunOptions(tmp_path / "x", threads=2), log)


def write_large_study(folder: Path, n: int, m: int) -> StudyFiles:
    """Files of n samples whose genotypes are not worth reading; no call is missing."""
    folder.mkdir()
    files = StudyFiles(folder)
    ids = [f"F{i}\tS{i}" for i in range(n)]
    files.fam.write_text("".join(f"{name}\t0\t0\t1\t-9\n" for name in ids))
    files.bim.write_text("".join(f"{1 + 2 * j // m}\tv{j}\t0\t{j + 1}\tA\tG\n" for j in range(m)))
    with files.bed.open("wb") as stream:
        stream.write(b"\x6c\x1b\x01")
        stream.truncate(3 + m * ((n + 3) // 4))
    values = np.random.default_rng(1).standard_normal(n)
    rows = zip(ids, values.tolist(), strict=True)
    files.pheno.write_text("FID\tIID\ty\n" + "".join(f"{name}\t{v:.4f}\n" for name, v in rows))
    return files


@pytest.mark.parametrize("command", ["assoc", "check", "grm"])
def test_a_study_far_too_large_is_refused_at_once(tmp_path: Path, command: str) -> None:
    """200,000 samples: 820 GiB. A process of its own, from start to end, and in 5 s of work.

    Of processor time: a machine that does other things meanwhile is not what is tested.
    """
    files = write_large_study(tmp_path / "in", 200_000, 40)
    inputs = ["--bfile", str(files.bfile)]
    if command != "grm":
        inputs += ["--pheno", str(files.pheno)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "lmmgwas", command, *inputs, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 137, done.stderr
    assert "of its 200,000 samples fit" in done.stderr
    assert "building the GRM" in done.stderr
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 5.0
    assert not list(tmp_path.glob("run.*.tsv*"))


def test_a_bim_that_is_too_long_is_not_even_read(
    small_study: StudyFiles, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file of 100 GiB."""
    limited_to(monkeypatch, MemoryLimit("free memory", 20 * GIB))
    with small_study.bim.open("ab") as stream:
        stream.truncate(100 * GIB)
    result, _ = check(*small_study.inputs)
    assert result.exit_code == 137
    assert "reading the variants" in result.stderr


def test_keep_is_believed_before_a_large_fam(
    tmp_path: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20,000 samples 50 are kept: the lines of the .fam alone say nothing."""
    limited_to(monkeypatch, MemoryLimit("free memory", 1 * GIB))
    files = write_large_study(tmp_path / "in", 20_000, 60)
    code = bytes(np.random.default_rng(2).choice([0b10001011, 0b11100010], 60 * 5000).tolist())
    files.bed.write_bytes(b"\x6c\x1b\x01" + code)
    keep = tmp_path / "keep"
    keep.write_text("".join(f"F{i}\tS{i}\n" for i in range(50)))
    inputs = ["--bfile", files.bfile, "--pheno", files.pheno]
    assert check(*inputs)[0].exit_code == 137
    result, _ = check(*inputs, "--keep", keep)
    assert result.exit_code == 0, result.stderr


# --------------------------------------------------------------------------------------- disk


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Make this the free space of every file system."""
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(disk_check.shutil, "disk_usage", lambda _: usage)


@pytest.mark.parametrize("command", ["assoc", "check"])
def test_too_little_room_on_the_disk(
    small_study: StudyFiles,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    with_free(monkeypatch, 100_000)
    out = tmp_path / "out" / "run"
    out.parent.mkdir()
    result = run_cli(command, *small_study.inputs, "--out", out, "--threads", 1)
    assert result.exit_code == 7
    assert "[E118]" in result.stderr
    assert "are free" in result.stderr
    assert {path.name for path in out.parent.iterdir()} <= {"run.log"}


def test_what_is_reckoned_is_what_is_written(
    test_data: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    """Tables are estimated from 0.9 to 1.6 times their size, the GRM set to 1 %.

    How well rows pack depends on the IDs; the estimate is for random digits.
    """
    out = tmp_path / "run"
    inputs = ["--bfile", test_data / "study", "--pheno", test_data / "pheno.tsv"]
    more = ["--pheno-name", "height", "--plots", "png", "--threads", 1]
    assert run_cli("assoc", *inputs, *more, "--out", out).exit_code == 0
    bim = (test_data / "study.bim").read_text().splitlines()
    text = sum(len(c) for line in bim for k, c in enumerate(line.split("\t")) if k in (1, 4, 5))
    needs = {
        need.what: need.size
        for need in disk_check.study_needs(out, None, 1, len(bim), text, n_plots=2)
    }
    written = out.with_name("run.height.tsv.gz").stat().st_size
    assert 0.9 * written <= needs["tables"] <= 1.6 * written
    plots = sum(path.stat().st_size for path in tmp_path.glob("run.*.png"))
    assert plots <= needs["plots"]
    assert run_cli("grm", *inputs[:2], "--out", tmp_path / "set", "--threads", 1).exit_code == 0
    set_bytes = sum(path.stat().st_size for path in tmp_path.glob("set.*"))
    n = len((test_data / "study.fam").read_text().splitlines())
    n_groups = len(list(tmp_path.glob("set.chr*.grm.bin")))
    (need,) = disk_check.grm_needs(tmp_path, n, n_groups, pairwise=False, eigen=False, what="")
    assert set_bytes == pytest.approx(need.size, rel=0.01)


def test_two_folders_of_one_disk_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 100)
    (tmp_path / "a").mkdir()
    both = [disk_check.DiskNeed(tmp_path, 60, "x"), disk_check.DiskNeed(tmp_path / "a", 60, "y")]
    disk_check.require_space(both[:1])
    disk_check.require_space(both, there=20)
    with pytest.raises(disk_check.FileAccessError, match="E118"):
        disk_check.require_space(both)


def test_a_folder_that_cannot_be_written_to(
    small_study: StudyFiles, check: Check, tmp_path: Path
) -> None:
    """Asked of the mode, without a file to try."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    result, _ = check(*small_study.inputs, "--out", folder / "run")
    assert result.exit_code == 7
    assert "[E111]" in result.stderr
