"""The workflows for real: the same bytes as the undivided run, whatever engine runs the parts.

Snakemake is the one that TEST_SNAKEMAKE names, or that is on the PATH. Nextflow's processes
are run without Nextflow: each script in a folder of its own, with links to its inputs.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from workflow_files import MODULES, NEXTFLOW, ROOT, SNAKEMAKE, WRAPPER, process_script

yaml = pytest.importorskip("yaml")

pytestmark = pytest.mark.slow

SNAKEMAKE_PROGRAM = os.environ.get("TEST_SNAKEMAKE") or shutil.which("snakemake")
N_PARTS = 4
STUDY = ("--bfile", "test_data/study", "--pheno", "test_data/pheno.tsv")
TABLES = (*STUDY, "--covar", "test_data/covar.tsv", "--pheno-name", "height,ldl")
# Not the same from run to run: times, and the arguments, which the report shows, too; what
# Snakemake notes; and one line of
# the metadata.
OWN = (".run.json", ".report.html", ".log", ".grm.json", ".done")
DAY = re.compile(rb"^date_metadata_last_modified: .*\n", re.MULTILINE)

needs_snakemake = pytest.mark.skipif(
    not SNAKEMAKE_PROGRAM, reason="snakemake is not on the PATH, TEST_SNAKEMAKE does not name it"
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """The environment of a run, with this source's `lmmgwas` on the PATH."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "lmmgwas"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lmmgwas "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SLURM")},
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OPENBLAS_NUM_THREADS": "1",
    }


def run(command: Sequence[object], folder: Path, environment: dict[str, str]) -> str:
    """Run a program to its good end; return what it said."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


def place(folder: Path) -> Path:
    """A folder to work in, which sees the test data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test_data").symlink_to(ROOT / "test_data")
    return folder


def results(folder: Path, start: str) -> dict[str, bytes]:
    """The files whose names start so, but for those that are of their own run."""
    return {
        path.name.removeprefix(start): DAY.sub(b"", path.read_bytes())
        for path in folder.glob(f"{start}.*")
        if path.is_file() and not path.is_symlink() and not path.name.endswith(OWN)
    }


@pytest.fixture(scope="module")
def undivided(tmp_path_factory, programs):
    """The files of the GRM and of the study, each of one run of the program."""
    folder = place(tmp_path_factory.mktemp("undivided"))
    grm = ("lmmgwas", "grm", *STUDY[:2], "--threads", 1, "--out", "grm")
    run(grm, folder, programs)
    run(
        ("lmmgwas", "assoc", *TABLES, "--grm", "grm", "--threads", 1, "--out", "study"),
        folder,
        programs,
    )
    matrices, tables = results(folder, "grm"), results(folder, "study")
    assert {".grm.bin", ".grm.N.bin", ".grm.id", ".chr1.grm.bin"} <= set(matrices)
    assert {".height.tsv.gz", ".height.tsv.gz.tbi", ".ldl.null.tsv", ".samples.tsv"} <= set(tables)
    return matrices, tables


def expect_same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """The same files with the same bytes."""
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


# --- Snakemake ---------------------------------------------------------------------------------


def configuration(folder: Path, **changes: Any) -> Path:
    """The configuration that is shipped, with one thread and four parts of each; and changes."""
    config = yaml.safe_load((SNAKEMAKE / "config" / "config.yaml").read_text())
    config["threads"] = dict.fromkeys(config["threads"], 1)
    config["parts"] = dict.fromkeys(config["parts"], N_PARTS)
    for key, value in changes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    path = folder / "my.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def snakemake(config: Path, environment: dict[str, str], *more: object) -> str:
    """Run the workflow in the folder of its configuration."""
    command = (SNAKEMAKE_PROGRAM, "--snakefile", SNAKEMAKE / "Snakefile", "--configfile", config)
    return run((*command, *more), config.parent, environment)


def parts_left(folder: Path) -> list[str]:
    """The folders of parts and null models that are left."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@needs_snakemake
def test_snakemake_on_one_machine(tmp_path, programs, undivided):
    config = configuration(place(tmp_path))
    said = snakemake(config, programs, "--cores", 2)
    assert said.count("rule grm_part:") == N_PARTS
    assert said.count("rule null_part:") == N_PARTS
    assert said.count("rule scan_part:") == N_PARTS
    expect_same(results(tmp_path / "results", "grm"), undivided[0])
    expect_same(results(tmp_path / "results", "study"), undivided[1])
    assert parts_left(tmp_path / "results") == ["grm.logs", "study.logs"]
    assert "Nothing to be done" in snakemake(config, programs, "--cores", 2)


@needs_snakemake
def test_snakemake_on_a_cluster(tmp_path, programs, undivided):
    """A submit script that starts the job in the background and prints a number."""
    config = configuration(place(tmp_path), keep_parts=True)
    submit = tmp_path / "submit.sh"
    submit.write_text(
        "#!/bin/sh\n"
        'echo "$@" >> submitted\n'
        'sh "$4" > "job.$(wc -l < submitted).out" 2>&1 &\n'
        "echo $!\n"
    )
    submit.chmod(0o755)
    cluster = (
        *("--executor", "cluster-generic", "--jobs", 2, "--latency-wait", 20),
        "--cluster-generic-submit-cmd",
        f"{submit} {{threads}} {{resources.mem_mb}} {{resources.runtime}}",
    )
    snakemake(config, programs, *cluster)
    submitted = (tmp_path / "submitted").read_text().splitlines()
    assert len(submitted) == 3 * N_PARTS + 3  # and grm_merge, null_genome, merge
    assert sum(line.startswith("1 8000 240 ") for line in submitted) == 2 * N_PARTS
    expect_same(results(tmp_path / "results", "grm"), undivided[0])
    expect_same(results(tmp_path / "results", "study"), undivided[1])
    kept = parts_left(tmp_path / "results")
    assert {"grm.grm-part-4-of-4", "study.nulls", "study.part-1-of-4"} <= set(kept)
    assert "Nothing to be done" in snakemake(config, programs, *cluster)
    assert len((tmp_path / "submitted").read_text().splitlines()) == len(submitted)


@needs_snakemake
def test_snakemake_makes_again_what_a_change_touches(tmp_path, programs, undivided):
    """Other options, then a part that is lost: over what an earlier state has left."""
    shared = {"keep_parts": True, "plots": "none"}
    config = configuration(place(tmp_path), options="--mac 10", **shared)
    snakemake(config, programs, "--cores", 2)
    without = {name: data for name, data in undivided[1].items() if name[-3:] not in ("png", "pdf")}
    assert results(tmp_path / "results", "study") != without

    said = snakemake(configuration(tmp_path, **shared), programs, "--cores", 2)
    assert "rule grm_" not in said
    assert said.count("rule null_part:") == N_PARTS
    assert said.count("rule scan_part:") == N_PARTS
    expect_same(results(tmp_path / "results", "study"), without)

    shutil.rmtree(tmp_path / "results" / "study.part-2-of-4")
    (tmp_path / "results" / "study.run.json").unlink()
    said = snakemake(config, programs, "--cores", 2)
    assert said.count("rule scan_part:") == 1
    assert "rule null_" not in said
    expect_same(results(tmp_path / "results", "study"), without)


@needs_snakemake
def test_snakemake_takes_a_matrix_that_is_there(tmp_path, programs, undivided):
    config = configuration(place(tmp_path), grm={"build": False})
    (tmp_path / "results").mkdir()
    run(("lmmgwas", "grm", *STUDY[:2], "--threads", 1, "--out", "results/grm"), tmp_path, programs)
    said = snakemake(config, programs, "--cores", 2)
    assert "grm_part" not in said
    expect_same(results(tmp_path / "results", "study"), undivided[1])


@needs_snakemake
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plot": "none"}, "'plot' was unexpected"),
        ({"parts": {"scan": 0}}, "0 is less than the minimum of 1"),
        ({"out": "my results/study"}, "does not match"),
        ({"bfile": "nowhere/chr@"}, "no file is named"),
    ],
)
def test_snakemake_refuses_a_configuration_that_does_not_fit(tmp_path, programs, changes, message):
    config = configuration(place(tmp_path), **changes)
    command = (SNAKEMAKE_PROGRAM, "--snakefile", SNAKEMAKE / "Snakefile", "--configfile", config)
    done = subprocess.run(
        [str(word) for word in (*command, "--cores", 1, "--dry-run")],
        cwd=tmp_path,
        env=programs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stdout


@needs_snakemake
def test_the_wrapper(tmp_path, programs):
    """As the tests of the repository of wrappers run it, but for conda."""
    shutil.copytree(WRAPPER / "test", tmp_path / "test")
    (tmp_path / "master").symlink_to(WRAPPER.parents[2])
    command = (SNAKEMAKE_PROGRAM, "--cores", 1, "--wrapper-prefix", f"file://{tmp_path}/")
    run((*command, "results/study.run.json"), tmp_path / "test", programs)
    data = tmp_path / "test" / "data"
    (data / "own").mkdir()
    run(
        (
            *("lmmgwas", "assoc", "--bfile", "study", "--pheno", "pheno.tsv"),
            *("--covar", "covar.tsv", "--threads", 1, "--pheno-name", "height"),
            *("--plots", "png", "--out", "own/study"),
        ),
        data,
        programs,
    )
    expect_same(results(tmp_path / "test" / "results", "study"), results(data / "own", "study"))


# --- Nextflow's processes, without Nextflow ----------------------------------------------------


def shell_text(module: str, **values: str) -> str:
    """The shell script that Nextflow would make of a process and these values."""
    _, script = process_script(NEXTFLOW / "modules" / "local" / "lmmgwas" / module)
    script = re.sub(r"(?<!\\)\$\{([\w.]+)\}", lambda found: values[found[1]], script)
    return script.replace("\\\\", "\\").replace("\\$", "$")


def definition(module: str, name: str) -> str:
    """The text that a process gives to a variable where its condition holds."""
    definitions, _ = process_script(NEXTFLOW / "modules" / "local" / "lmmgwas" / module)
    found = re.search(rf'(?:def )?{name} = \w+ \? (["\'])(.*?)\1 : ', definitions)
    assert found, (module, name)
    return found[2].replace("\\$", "$")


def task(folder: Path, script: str, inputs: Sequence[Path], environment: dict[str, str]) -> Path:
    """Run a script as Nextflow does: in a new folder, with links to the inputs."""
    folder.mkdir(parents=True)
    for path in inputs:
        (folder / path.name).symlink_to(path)
    run(("bash", "-ue", "-c", script), folder, environment)
    return folder


def test_nextflow_processes_one_after_the_other(tmp_path, programs, undivided):
    data = ROOT / "test_data"
    genotypes = [data / f"study.{suffix}" for suffix in ("bed", "bim", "fam")]
    tables = [data / "pheno.tsv", data / "covar.tsv"]
    args = "--pheno-name 'height,ldl' --plots all"
    common = {"bfile": "study", "task.cpus": "1", "pheno": "pheno.tsv", "args": args}
    common |= {"covar_arg": definition("assoc", "covar_arg").replace("${covar}", "covar.tsv")}
    common |= {"grm_arg": "--grm study_relatedness", "prefix": "study"}
    grm_values = {**common, "args": "", "prefix": "study_relatedness"}
    parts = [f"{i}/{N_PARTS}" for i in range(1, N_PARTS + 1)]

    def part_of(module: str, part: str) -> str:
        return definition(module, "part_arg").replace("${part}", part)

    def scatter(
        module: str, inputs: Sequence[Path], values: dict[str, str], made: str
    ) -> list[Path]:
        folders = []
        for part in parts:
            suffix = part.replace("/", "-of-")
            own = {**values, "part_arg": part_of(module, part), "folder": f"study.nulls-{suffix}"}
            own = {**own, "start": own.get("start", "").replace("${folder}", own["folder"])}
            where = tmp_path / f"{module}-{suffix}"
            folders.append(
                task(where, shell_text(module, **own), inputs, programs) / f"{made}{suffix}"
            )
            assert folders[-1].is_dir()
        return folders

    pieces = scatter("grm", genotypes, grm_values, "study_relatedness.grm-part-")
    merged = task(
        tmp_path / "mergegrm",
        shell_text("mergegrm", **grm_values),
        [*genotypes, *pieces],
        programs,
    )
    expect_same(results(merged, "study_relatedness"), undivided[0])
    matrices = [path for path in merged.glob("study_relatedness.*grm.*") if path.is_file()]

    study = [*genotypes, *tables, *matrices]
    genome_part = {"start": "", "part_arg": "--nulls-of genome", "folder": "study.nulls-genome"}
    script = shell_text("nulls", **common, **genome_part)
    genome = task(tmp_path / "genome", script, study, programs) / "study.nulls-genome"
    (tmp_path / "staged").mkdir()
    staged = tmp_path / "staged" / "genome"  # stageAs
    staged.symlink_to(genome)
    start = {"start": definition("nulls", "start")}
    nulls = scatter("nulls", [*study, staged], {**common, **start}, "study.nulls-")

    nulls.append(genome)
    names = " ".join(path.name for path in nulls)
    link = re.search(r'def link = "(.*)"\n', process_script(MODULES[0])[0])
    assert link
    text = definition("assoc", "gather").replace("${nulls}", names).replace("${link}", link[1])
    gather = {"gather": text}
    gather |= {"nulls_arg": definition("assoc", "nulls_arg")}
    scans = scatter("assoc", [*study, *nulls], {**common, **gather}, "study.part-")
    done = task(
        tmp_path / "merge",
        shell_text("merge", **{**common, "args": ""}),
        [*study, *scans],
        programs,
    )
    expect_same(results(done, "study"), undivided[1])
