"""What every case works with: a folder, simulated studies, and our own program in it."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from process import Measured, measure
from stages import Profile, read_profile

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_SEED = "1"
_WARM = (300, 3000, 20)  # people, variants, traits of the study that compiles the kernels


@dataclass(frozen=True, slots=True)
class Study:
    """Simulated files."""

    prefix: Path
    n: int
    m: int

    @property
    def tables(self) -> list[str]:
        """The options of `assoc` that name the trait and the covariates."""
        return ["--pheno", f"{self.prefix}.pheno.tsv", "--covar", f"{self.prefix}.covar.tsv"]

    @property
    def operations(self) -> float:
        """The 2 n^2 m operations that rotate all variants once."""
        return 2.0 * self.n * self.n * self.m


@dataclass(frozen=True, slots=True)
class Ours:
    """Several runs of one command of ours."""

    runs: list[Measured]
    profiles: list[Profile]
    sgemm: list[float]  # rates of sgemm before each run, operations per second, where asked for

    @property
    def sgemm_rate(self) -> float:
        return statistics.median(self.sgemm)

    @property
    def seconds(self) -> float:
        return statistics.median(run.seconds for run in self.runs)

    @property
    def typical(self) -> int:
        """Which run took about the median."""
        distance = [abs(run.seconds - self.seconds) for run in self.runs]
        return distance.index(min(distance))

    @property
    def profile(self) -> Profile:
        return self.profiles[self.typical]

    def stages(self) -> list[tuple[str, float]]:
        """Seconds by stage of the run that took about the median."""
        return self.profile.rows(self.runs[self.typical].seconds)


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where, how often and with how many threads the cases run."""

    scratch: Path
    threads: int
    runs: int
    peer_limit: float
    tiny: bool

    def study(self, n: int, m: int, traits: int = 1, chromosomes: int = 22) -> Study:
        """Simulate a study, unless an earlier case has."""
        prefix = self.scratch / f"study_{n}_{m}_{traits}"
        if not Path(f"{prefix}.covar.tsv").exists():  # it is written last
            say(f"simulating {n:,} people, {m:,} variants, {traits} traits")
            sizes = ["--n", str(n), "--m", str(m), "--traits", str(traits), "--seed", _SEED]
            sizes += ["--chromosomes", str(chromosomes)]
            command = [sys.executable, str(HERE / "data.py"), str(prefix), *sizes]
            subprocess.run(command, check=True)
        return Study(prefix, n, m)

    def ours(
        self,
        arguments: Sequence[str],
        name: str,
        *,
        runs: int | None = None,
        yardstick: int | None = None,
    ) -> Ours:
        """Run a command of ours several times; its files are called `name` in the scratch folder.

        With a number of people as `yardstick`, sgemm is measured for so many before each run.
        """
        done = Ours([], [], [])
        out = self.scratch / name
        options = ["--threads", str(self.threads), "--overwrite", "--out", str(out)]
        for k in range(runs or self.runs):
            if yardstick is not None:
                done.sgemm.append(float(_sgemm(yardstick, self.threads)["gflops"]) * 1e9)
            say(f"lmmgwas {arguments[0]}, {name}, run {k + 1}")
            done.runs.append(self.once([*arguments, *options]))
            done.profiles.append(read_profile(Path(f"{out}.log")))
        return done

    def once(self, arguments: Sequence[str], cache_folder: Path | None = None) -> Measured:
        """Run our program once; `cache_folder` stands in for the user's ~/.cache."""
        environment = dict(os.environ)
        if cache_folder is not None:
            environment["XDG_CACHE_HOME"] = str(cache_folder)
            environment.pop("NUMBA_CACHE_DIR", None)
        command = [sys.executable, "-m", "lmmgwas", *arguments]
        return measure(command, self.scratch / "ours.out", environment=environment)

    def warm_up(self, *options: str) -> None:
        """Compile the kernels: a small study with one trait, and with many, is not counted."""
        n, m, traits = _WARM
        study = self.study(n, m, traits)
        command = ["assoc", "--bfile", str(study.prefix), *study.tables, "--plots", "none"]
        for choice in (["--pheno-name", "trait1"], []):
            self.ours([*command, *choice, *options], "warm", runs=1)


def _sgemm(n: int, threads: int) -> dict:
    command = [sys.executable, str(HERE / "sgemm.py"), str(n), str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@cache
def our_versions() -> str:
    """Return the versions of ours, Python, numpy and its BLAS."""
    import lmmgwas

    facts = _sgemm(64, 1)
    blas = ", ".join(sorted({f"{b['library']} {b['version']}" for b in facts["blas"]}))
    kernels = ", ".join(sorted({b["kernels"] for b in facts["blas"]}))
    python = ".".join(map(str, sys.version_info[:3]))
    numpy = facts["numpy"]
    return f"lmmgwas {lmmgwas.__version__}, Python {python}, numpy {numpy} ({blas}; {kernels})"


def say(text: str) -> None:
    """Tell the person who waits."""
    print(f"... {text}", file=sys.stderr, flush=True)
