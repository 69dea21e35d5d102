"""What tests of the whole program share: the program in this process, and a small study.

A process of its own costs a second and a half for imports, so the command line is called
as a function. The small study has every kind of variant that the program treats specially.
"""

import contextlib
import io
import itertools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmmgwas.numerics.processor import prepare_blas

prepare_blas()  # as the program does, before numpy is loaded
for variable in [name for name in os.environ if name.startswith("LMMGWAS_")]:
    del os.environ[variable]  # options of whoever runs the tests

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
from bed_oracle import encode  # noqa: E402
from simulate import families  # noqa: E402

MISSING = -127
MALE, FEMALE = 1, 2


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it said."""

    exit_code: int
    stderr: str


RunCli = Callable[..., Result]


def _run_cli(*args: object) -> Result:
    """Run `lmmgwas ARGS` in this process, and leave no request to stop behind."""
    from lmmgwas import stop
    from lmmgwas.cli.main import main

    said = io.StringIO()
    typed, sys.argv = sys.argv, ["lmmgwas", *map(str, args)]
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as left:
            main()
    finally:
        sys.argv = typed
        signal.signal(signal.SIGTERM, handler)
        stop.clear()
    return Result(int(left.value.code or 0), said.getvalue())


@dataclass
class Table:
    """A table of samples: names of columns and text cells. IDs are in the first two columns."""

    names: list[str]
    rows: list[list[str]]

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        k = self.names.index(name)
        return [row[k] for row in self.rows]

    def numbers(self, name: str) -> np.ndarray:
        """A column as numbers, NA as NaN."""
        return np.array([float(c) if c != "NA" else np.nan for c in self.column(name)])

    def set(self, name: str, row: int, value: str) -> None:
        """Replace one cell."""
        self.rows[row][self.names.index(name)] = value

    def add(self, name: str, cells: Sequence[object]) -> None:
        """Append a column."""
        self.names.append(name)
        for row, cell in zip(self.rows, cells, strict=True):
            row.append(str(cell))

    def text(self, delimiter: str = "\t", end: str = "\n") -> str:
        """The file."""
        return "".join(delimiter.join(row) + end for row in [self.names, *self.rows])


@dataclass(frozen=True)
class StudyFiles:
    """A study on disk."""

    folder: Path

    def __getattr__(self, suffix: str) -> Path:
        """`.bed`, `.bim`, `.fam`: the files of the set."""
        if suffix not in ("bed", "bim", "fam"):
            raise AttributeError(suffix)
        return self.folder / f"study.{suffix}"

    @property
    def bfile(self) -> Path:
        """The prefix of the genotypes."""
        return self.folder / "study"

    @property
    def pheno(self) -> Path:
        """The trait table."""
        return self.folder / "pheno.tsv"

    @property
    def covar(self) -> Path:
        """The covariate table."""
        return self.folder / "covar.tsv"

    @property
    def inputs(self) -> list[str]:
        """The options that name all of it."""
        named = {"--bfile": self.bfile, "--pheno": self.pheno, "--covar": self.covar}
        return [str(part) for part in itertools.chain(*named.items())]


@dataclass
class Study:
    """A study that a test may change before it is written."""

    chrom: list[str]
    pos: list[int]
    marker: list[str]
    effect: list[str]
    other: list[str]
    calls: np.ndarray  # (m, n) copies of the effect allele, MISSING where there is none
    fid: list[str]
    iid: list[str]
    sex: list[int]
    pheno: Table
    covar: Table

    def on(self, chrom: str) -> np.ndarray:
        """Rows of the variants of a chromosome, by its label in the file."""
        return np.flatnonzero(np.array(self.chrom) == chrom)

    def dosage(self, row: int) -> np.ndarray:
        """Copies (n,) of the effect allele, NaN where missing."""
        return np.where(self.calls[row] == MISSING, np.nan, self.calls[row])

    def bim(self) -> str:
        """The text of the .bim."""
        columns = (self.chrom, self.marker, self.pos, self.effect, self.other)
        return "".join(
            f"{c}\t{v}\t0\t{p}\t{a}\t{b}\n" for c, v, p, a, b in zip(*columns, strict=True)
        )

    def fam(self) -> str:
        """The text of the .fam."""
        rows = zip(self.fid, self.iid, self.sex, strict=True)
        return "".join(f"{f}\t{i}\t0\t0\t{s}\t-9\n" for f, i, s in rows)

    def take_samples(self, rows: np.ndarray) -> None:
        """Keep these samples of the genotypes, in this order."""
        self.calls = self.calls[:, rows]
        for name in ("fid", "iid", "sex"):
            setattr(self, name, [getattr(self, name)[i] for i in rows])

    def write(self, folder: Path) -> StudyFiles:
        """Write all files."""
        folder.mkdir(parents=True, exist_ok=True)
        files = StudyFiles(folder)
        files.bed.write_bytes(encode(self.calls.tolist()))
        files.bim.write_text(self.bim())
        files.fam.write_text(self.fam())
        files.pheno.write_text(self.pheno.text())
        files.covar.write_text(self.covar.text())
        return files


# By what is to become of the variant: its row on chromosome 1.
SPECIAL = {"MONOMORPHIC": 0, "ALL_MISSING": 1, "HIGH_MISSING": 2, "SAME_ALLELES": 3, "LOW_MAC": 4}
CAUSAL = {"1": 30, "2": 90, "4": 200}
"""Rows of the variants with an effect on `height`, by chromosome."""


def simulate_study(n: int = 118, seed: int = 1) -> Study:
    """Families from two populations, 60 variants on each of 4 chromosomes, 40 on X, a few others.

    `height` has three missing values, `weight` six others, and one sample has no age. 118
    samples leave two unused places in the last byte of each variant.
    """
    rng = np.random.default_rng(seed)
    chrom = [*np.repeat(["1", "2", "3", "4"], 60), *["X"] * 40, "Y", "Y", "MT", "MT", "0", "0"]
    m = len(chrom)
    sex = [MALE if k % 2 else FEMALE for k in range(n)]
    males = np.array(sex) == MALE
    calls = families(rng, n, m).astype(np.int64)
    on_x = np.array(chrom) == "X"
    calls[np.ix_(on_x, males)] = 2 * (calls[np.ix_(on_x, males)] > 0)
    true = calls.copy()
    calls[(rng.random(calls.shape) < 0.02) & (np.arange(m)[:, None] % 2 == 0)] = MISSING
    calls[SPECIAL["MONOMORPHIC"]] = 0
    calls[SPECIAL["ALL_MISSING"]] = MISSING
    calls[SPECIAL["HIGH_MISSING"], : n // 5] = MISSING
    calls[SPECIAL["LOW_MAC"]] = 0
    calls[SPECIAL["LOW_MAC"], [40, 60]] = 1
    effect = [("A", "C", "T")[k % 3] for k in range(m)]
    other = ["G"] * m
    other[SPECIAL["SAME_ALLELES"]] = effect[SPECIAL["SAME_ALLELES"]]
    marker = [f"rs{1000 + k}" for k in range(m)]
    marker[10], marker[11], marker[12] = "1_Affx-11", ".", "rs12a"
    ids = [(f"F{k // 6:02d}", f"S{k:03d}") for k in range(n)]
    age = rng.integers(20, 80, n)
    site = [("north", "south", "west")[k] for k in rng.integers(0, 3, n)]
    scores = rng.normal(size=(2, n))
    polygenic = rng.normal(size=m) @ (true - true.mean(1, keepdims=True))
    effects = sum(2.5 * true[row] for row in CAUSAL.values())
    noise = rng.normal(size=(2, n))
    height = 160 + 0.05 * age + effects + 3 * polygenic / polygenic.std() + 3 * noise[0]
    weight = 70 + 2 * scores[0] + 5 * polygenic / polygenic.std() + 8 * noise[1]
    rows = [
        [f, i, f"{h:.3f}", f"{w:.2f}"] for (f, i), h, w in zip(ids, height, weight, strict=True)
    ]
    pheno = Table(["FID", "IID", "height", "weight"], rows)
    for row in (5, 50, 100):
        pheno.set("height", row, "NA")
    for row in (1, 2, 3, 51, 52, 53):
        pheno.set("weight", row, "NA")
    covar = Table(["FID", "IID"], [list(pair) for pair in ids])
    covar.add("age", age)
    covar.add("site", site)
    covar.add("PC1", [f"{v:.5f}" for v in scores[0]])
    covar.add("PC2", [f"{v:.5f}" for v in scores[1]])
    covar.set("age", 70, "NA")
    return Study(
        chrom=[str(c) for c in chrom],
        pos=[1_000_000 + 40_000 * (k % 60) for k in range(m)],
        marker=marker,
        effect=effect,
        other=other,
        calls=calls,
        fid=[f for f, _ in ids],
        iid=[i for _, i in ids],
        sex=sex,
        pheno=pheno,
        covar=covar,
    )


def read_tsv(path: Path) -> pd.DataFrame:
    """A table of ours, all cells as text."""
    packed = "gzip" if path.suffix == ".gz" else None
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, compression=packed)


_OF_THE_RUN = (".log", ".run.json", ".report.html")


def files_of(prefix: Path, *, trait: str = "") -> dict[str, bytes]:
    """What lies under a prefix, by suffix, but for the log and what holds the run's manifest."""
    start = f"{prefix.name}.{trait}"
    return {
        path.name.removeprefix(prefix.name): path.read_bytes()
        for path in sorted(prefix.parent.iterdir())
        if path.name.startswith(start) and not path.name.endswith(_OF_THE_RUN)
    }


FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`figures("truncation: 4,000 offsets ...")`: a line for the end of the test run."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the lines of a parallel process to the one that prints."""
    sent = getattr(session.config, "workeroutput", None)
    if sent is not None:
        sent["figures"] = session.config.stash.get(FIGURES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the lines of a parallel process that has ended."""
    lines = getattr(node, "workeroutput", {}).get("figures", [])
    node.config.stash.setdefault(FIGURES, []).extend(lines)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what the suites counted and measured."""
    lines = config.stash.get(FIGURES, [])
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of the repository's simulated study."""
    return Path(__file__).resolve().parent.parent / "test_data"


@pytest.fixture(scope="session")
def run_cli() -> RunCli:
    """`run_cli("assoc", ...)`: the program in this process."""
    return _run_cli


@pytest.fixture
def study() -> Study:
    """The small study, to be changed and written by the test."""
    return simulate_study()


@pytest.fixture
def small_study(tmp_path: Path) -> StudyFiles:
    """The small study on disk, in a folder of the test."""
    return simulate_study().write(tmp_path / "in")
