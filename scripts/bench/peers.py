"""The other programs: how each is called, and which version it is.

GEMMA, PLINK 2 and BOLT-LMM are found on PATH (Debian: gemma, plink2, bolt-lmm); FaST-LMM lives
in an environment of its own, whose Python the variable FASTLMM_PYTHON names. What is not there
is absent, with the reason. Files are brought into a peer's form before its clock starts.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from process import FailedError, Measured, added, measure
from workplace import HERE, Study, Workplace, say

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PST_NUM_THREADS",
)
_GEMMA_OPEN = ("-maf", "0", "-miss", "1", "-r2", "1", "-hwe", "0")  # all variants are tested
TRAIT = "trait1"


class AbsentError(Exception):
    """A program is not installed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a peer."""

    what: str
    measured: Measured


@dataclass(frozen=True, slots=True)
class PeerRun:
    """What a peer needed; without steps it is absent, and `note` says why."""

    name: str
    version: str = ""
    steps: tuple[Step, ...] = ()
    note: str = ""

    @property
    def whole(self) -> Measured | None:
        return added([step.measured for step in self.steps]) if self.steps else None


def run_peer(
    name: str, run: Callable[[Study, Path, Workplace], PeerRun], study: Study, place: Workplace
) -> PeerRun:
    """Run a peer; a program that is absent or that fails is named, and skipped."""
    folder = place.scratch / f"{run.__name__}_{study.prefix.name}"
    folder.mkdir(exist_ok=True)
    say(f"{name}, {run.__name__}")
    try:
        return run(study, folder, place)
    except AbsentError as reason:
        return PeerRun(name, note=f"{name}: {reason}")
    except FailedError as error:
        say(str(error))
        return PeerRun(name, note=f"{name}: it failed")


def gemma(study: Study, folder: Path, place: Workplace) -> PeerRun:
    """GEMMA without LOCO: the standardised matrix, then Wald tests with REML for each variant."""
    program, version = _on_path("gemma", "-h", r"GEMMA ([\d.]+)")
    _gemma_files(study, folder)
    common = ["-bfile", "study", *_GEMMA_OPEN, "-outdir", ".", "-o", "out"]
    calls = [
        ("GEMMA -gk 2", ["-gk", "2"]),
        ("GEMMA -lmm 1, no LOCO", ["-k", "out.sXX.txt", "-c", "covar.txt", "-lmm", "1"]),
    ]
    steps: list[Step] = []
    for what, arguments in calls:
        command = [program, *common, *arguments]
        steps.append(Step(what, _measure(command, folder, place)))
        if steps[-1].measured.over:
            break
    note = _row_note("GEMMA", folder / "out.assoc.txt", study, steps)
    return PeerRun("GEMMA", f"GEMMA {version}", tuple(steps), note)


def fastlmm(study: Study, folder: Path, place: Workplace) -> PeerRun:
    """FaST-LMM's single_snp, leaving one chromosome out."""
    python = os.environ.get("FASTLMM_PYTHON", "")
    script = str(HERE / "peer_fastlmm.py")
    if not python:
        raise AbsentError("FASTLMM_PYTHON does not name the Python of its environment")
    try:
        version = _printed([python, script, "--version"]).split()[-1]
    except (OSError, subprocess.CalledProcessError, IndexError):
        raise AbsentError("the Python that FASTLMM_PYTHON names cannot import it") from None
    for table in ("pheno", "covar"):
        _without_header(Path(f"{study.prefix}.{table}.tsv"), folder / table)
    command = [python, script, str(study.prefix), "pheno", "covar", "out.tsv"]
    what = "FaST-LMM single_snp, LOCO"
    steps = (Step(what, _measure(command, folder, place)),)
    note = _row_note("FaST-LMM", folder / "out.tsv", study, steps)
    return PeerRun("FaST-LMM", f"FaST-LMM {version}", steps, note)


def bolt(study: Study, folder: Path, place: Workplace) -> PeerRun:
    """BOLT-LMM's infinitesimal model, which needs neither a genetic map nor LD scores."""
    program, version = _on_path("bolt", "-h", r"BOLT-LMM, v([\d.]+)")
    tables = [f"--phenoFile={study.prefix}.pheno.tsv", f"--phenoCol={TRAIT}"]
    tables += [f"--covarFile={study.prefix}.covar.tsv", "--qCovarCol=age", "--qCovarCol=male"]
    options = ["--lmmInfOnly", f"--numThreads={place.threads}", "--statsFile=out.tsv"]
    command = [program, f"--bfile={study.prefix}", *tables, *options]
    steps = (Step("BOLT-LMM --lmmInfOnly", _measure(command, folder, place)),)
    note = _row_note("BOLT-LMM", folder / "out.tsv", study, steps)
    return PeerRun("BOLT-LMM", f"BOLT-LMM {version}", steps, note)


def plink2_grm(study: Study, folder: Path, place: Workplace) -> PeerRun:
    """PLINK 2's matrix."""
    return _plink2("--make-grm-bin", ["--make-grm-bin"], study, folder, place)


def plink2_glm(study: Study, folder: Path, place: Workplace) -> PeerRun:
    """PLINK 2's linear regression of the first trait on every variant and the covariates."""
    tables = ["--pheno", f"{study.prefix}.pheno.tsv", "--pheno-name", TRAIT]
    tables += ["--covar", f"{study.prefix}.covar.tsv", "--covar-variance-standardize"]
    run = _plink2("--glm", [*tables, "--glm", "hide-covar"], study, folder, place)
    note = _row_note("PLINK 2", folder / f"out.{TRAIT}.glm.linear", study, run.steps)
    return PeerRun(run.name, run.version, run.steps, note)


def _plink2(
    what: str, arguments: list[str], study: Study, folder: Path, place: Workplace
) -> PeerRun:
    program, version = _on_path("plink2", "--version", r"PLINK v([\w.]+)")
    options = ["--threads", str(place.threads), "--out", "out"]
    command = [program, "--bfile", str(study.prefix), *arguments, *options]
    steps = (Step(f"PLINK 2 {what}", _measure(command, folder, place)),)
    return PeerRun("PLINK 2", f"PLINK {version}", steps)


def _on_path(name: str, question: str, answer: str) -> tuple[str, str]:
    """Return where a program lies and its version."""
    program = shutil.which(name)
    if program is None:
        raise AbsentError(f"{name} is not installed")
    found = re.search(answer, _printed([program, question]))
    return program, found[1] if found else "of unknown version"


def _printed(command: list[str]) -> str:
    done = subprocess.run(
        command, env=_environment(1), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return done.stdout.decode(errors="replace")


def _environment(threads: int) -> dict[str, str]:
    """The variables of a peer: none of our Python's, and as many threads as we have."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return inherited | dict.fromkeys(_THREAD_VARIABLES, str(threads)) | {"LC_ALL": "C"}


def _measure(command: list[str], folder: Path, place: Workplace) -> Measured:
    environment = _environment(place.threads)
    output = folder / "printed.txt"
    return measure(command, output, folder=folder, environment=environment, limit=place.peer_limit)


def _row_note(name: str, table: Path, study: Study, steps: list[Step] | tuple[Step, ...]) -> str:
    """Say when a peer's table has not a row for each variant; nothing when it has."""
    if any(step.measured.over for step in steps):
        return f"{name} was ended at its time limit."
    with table.open("rb") as lines:
        n_rows = sum(1 for _ in lines) - 1
    return "" if n_rows == study.m else f"{name} wrote {n_rows:,} of {study.m:,} variants."


def _without_header(table: Path, copy: Path) -> None:
    copy.write_text(table.read_text().split("\n", 1)[1])


def _gemma_files(study: Study, folder: Path) -> None:
    """Lay out the genotypes with the trait in the .fam, and covariates with an intercept."""
    for suffix in ("bed", "bim"):
        link = folder / f"study.{suffix}"
        link.unlink(missing_ok=True)
        link.symlink_to(f"{study.prefix}.{suffix}")
    people = Path(f"{study.prefix}.fam").read_text().splitlines()
    traits, covariates = (_values(f"{study.prefix}.{table}.tsv") for table in ("pheno", "covar"))
    lines = [
        "\t".join([*person.split("\t")[:5], values[0]])
        for person, values in zip(people, traits, strict=True)
    ]
    (folder / "study.fam").write_text("\n".join(lines) + "\n")
    lines = ["\t".join(["1", *values]) for values in covariates]
    (folder / "covar.txt").write_text("\n".join(lines) + "\n")


def _values(table: str) -> list[list[str]]:
    """The rows of a table without its header and IDs."""
    return [line.split("\t")[2:] for line in Path(table).read_text().splitlines()[1:]]
