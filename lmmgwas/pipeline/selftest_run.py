"""`lmmgwas selftest`: this installation on this machine, held against the built-in oracle.

A small study is simulated into a temporary folder; `grm` and `assoc` are run on it in all the
ways that have arithmetic of their own; what they write is read back and compared with dense,
plain numpy (`selftest_study`, `model.dense_oracle`), which shares no code with them.
"""

import contextlib
import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import LmmgwasError, NumericalError
from lmmgwas.model import dense_oracle
from lmmgwas.model.machine_checks import Finding, machine_findings
from lmmgwas.model.scan import ScanKind
from lmmgwas.model.simulate import simulate_study
from lmmgwas.model.variant_tests import TestKind, VarianceKind
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.numerics.threads import limited_blas
from lmmgwas.pipeline.conservation import check_rows_on_disk
from lmmgwas.pipeline.example import write_example
from lmmgwas.pipeline.options import (
    AssocJob,
    FileSet,
    GenotypeOptions,
    GrmJob,
    GrmOptions,
    ModelOptions,
    PlotOptions,
    RunOptions,
    TableOptions,
    TestOptions,
    VariantChoice,
)
from lmmgwas.pipeline.selftest_study import SETTINGS, TESTED, OracleStudy

Array = NDArray[np.float64]
Row = dict[str, str]

_GRM_BOUND = 3e-6  # of sqrt(K_ii K_jj): float32 on file
_SINGLE, _DOUBLE = 5e-5, 5e-6  # K on file is float32, the oracle's is not; tables have 8 digits
_CALIBRATED = 0.1  # of chi-square
_LOGLIK = 1e-5
_LOGLIK_DIGITS = 2e-4  # 8 digits of thousands
_REFITTED = 1  # variants of a chromosome whose variances the oracle fits again


@dataclass(frozen=True, slots=True)
class Commands:
    """How the commands are run: by whoever has locks, logs and threads to give."""

    grm: Callable[[GrmJob], None]
    assoc: Callable[[AssocJob], None]


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to run `assoc`."""

    name: str
    model: ModelOptions
    bound: float


_WAYS = (
    _Way("Cholesky, single", ModelOptions(whitener=WhitenerKind.CHOLESKY), _SINGLE),
    _Way(
        "Cholesky, double",
        ModelOptions(whitener=WhitenerKind.CHOLESKY, precision=Precision.DOUBLE),
        _DOUBLE,
    ),
    _Way("spectral, single", ModelOptions(whitener=WhitenerKind.SPECTRAL), _SINGLE),
    _Way(
        "spectral, double",
        ModelOptions(whitener=WhitenerKind.SPECTRAL, precision=Precision.DOUBLE),
        _DOUBLE,
    ),
    _Way("h2 fixed at 0.6", ModelOptions(h2=0.6, whitener=WhitenerKind.CHOLESKY), _SINGLE),
    _Way("ordinary regression", ModelOptions(h2=0.0), _SINGLE),
    _Way("likelihood ratio", ModelOptions(test=TestKind.LRT), _SINGLE),
    _Way("score test", ModelOptions(test=TestKind.SCORE), _SINGLE),
    _Way("calibrated scan", ModelOptions(scan=ScanKind.CALIBRATED, h2=0.05), _SINGLE),
    _Way("variances per variant", ModelOptions(variance=VarianceKind.PER_VARIANT), _SINGLE),
)


def run_selftest(
    folder: Path, commands: Commands, threads: int, said: Callable[[str], None]
) -> list[Finding]:
    """Run all checks in a folder, which must be empty; tell each finding as it comes.

    Raises NumericalError (E905) at the end where a check failed.
    """
    findings: list[Finding] = []
    for finding in _all_findings(folder, commands, threads):
        findings.append(finding)
        said(describe(finding))
    failed = [finding.name for finding in findings if not finding.passed]
    if failed:
        raise NumericalError(
            "E905",
            f"{len(failed)} of {len(findings)} checks failed ({', '.join(failed[:5])}): results of "
            "this installation on this machine cannot be trusted. Try OPENBLAS_CORETYPE=Haswell "
            "in the environment, or --threads 1; install the program again, in an environment of "
            "its own; or use another machine",
        )
    return findings


def describe(finding: Finding) -> str:
    """Return a finding as a line of the table."""
    state = "ok" if finding.passed else "FAILED"
    note = f"  ({finding.note})" if finding.note else ""
    return f"{finding.name:<52} {finding.error:>9.2g} {finding.bound:>9.2g}  {state}{note}"


def _all_findings(folder: Path, commands: Commands, threads: int) -> Iterator[Finding]:
    with limited_blas(threads):
        yield from machine_findings()
    write_example(folder, SETTINGS)
    oracle = OracleStudy(simulate_study(SETTINGS))
    run = _Runner(folder, threads, commands)
    with limited_blas(1):  # the commands have `threads`; the oracle's matrices are too small
        yield from _guarded("grm", lambda: _grm_findings(run, oracle))
        for way in _WAYS:
            yield from _guarded(way.name, partial(_assoc_findings, run, oracle, way))


def _guarded(name: str, work: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    """A command that ends with an error is a failed check, and the others go on."""
    try:
        return work()
    except (LmmgwasError, ArithmeticError, ValueError, LookupError, OSError) as error:
        text = str(error).split("\n")[0]
        return [Finding(f"{name}: the command", math.inf, 0.0, text or type(error).__name__)]


class _Runner:
    """Runs commands in the folder without a word."""

    def __init__(self, folder: Path, threads: int, commands: Commands) -> None:
        self.folder = folder
        self._threads = threads
        self._commands = commands
        self._genotypes = GenotypeOptions(FileSet.of(str(folder / "study"), None, None, None))

    def grm(self) -> Path:
        """Build the GRM; return its prefix."""
        options = self._options("grm")
        with _silence():
            self._commands.grm(GrmJob(self._genotypes, GrmOptions(), options))
        return options.out

    def assoc(self, name: str, model: ModelOptions) -> Path:
        """Run a study; return its prefix."""
        options = self._options(name)
        tables = TableOptions(self.folder / "pheno.tsv", covar=self.folder / "covar.tsv")
        job = AssocJob(
            self._genotypes,
            tables,
            GrmOptions(),
            TestOptions(choice=VariantChoice(chromosomes=",".join(TESTED))),
            model,
            options,
            PlotOptions(png=False, pdf=False),
        )
        with _silence():
            self._commands.assoc(job)
        return options.out

    def _options(self, name: str) -> RunOptions:
        return RunOptions(self.folder / name, threads=self._threads, verbosity=0)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What a run would say on the terminal is not said."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _grm_findings(run: _Runner, oracle: OracleStudy) -> list[Finding]:
    """Every file of the set against sums variant by variant."""
    prefix = run.grm()
    manifest: dict[str, Any] = json.loads(Path(f"{prefix}.grm.json").read_text(encoding="utf-8"))
    counts: dict[str | None, int] = {g["name"]: g["n_variants"] for g in manifest["groups"]}
    counts[None] = manifest["n_variants"]
    errors, n_wrong = [], 0
    for group, n_variants in counts.items():
        K, n_used = oracle.gram(only=group)
        n_wrong += n_used != n_variants
        name = f"{prefix}.grm.bin" if group is None else f"{prefix}.chr{group}.grm.bin"
        packed = np.fromfile(name, dtype="<f4").astype(np.float64)
        at = np.tril_indices(K.shape[0])
        size = np.sqrt(K.diagonal()[at[0]] * K.diagonal()[at[1]])
        errors.append(float((np.abs(packed - K[at]) / size).max()))
    return [
        Finding("grm: variants in each group", float(n_wrong), 0.0),
        Finding(f"grm: {len(errors)} matrices", max(errors), _GRM_BOUND),
    ]


def _assoc_findings(run: _Runner, oracle: OracleStudy, way: _Way) -> list[Finding]:
    """One run's null models and rows."""
    first = way is _WAYS[0]  # builds its own GRM; the others take the one on file
    grm = None if first or way.model.h2 == 0.0 else run.folder / "grm"
    prefix = run.assoc(way.name.replace(" ", "_").replace(",", ""), replace(way.model, grm=grm))
    table = Path(f"{prefix}.height.tsv.gz")
    with gzip.open(table, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    text = Path(f"{prefix}.height.null.tsv").read_text(encoding="utf-8")
    nulls = {row["group"]: row for row in csv.DictReader(io.StringIO(text), delimiter="\t")}
    findings = _null_findings(way, oracle, nulls)
    findings += _row_findings(way, oracle, nulls, rows)
    if first:
        findings += _file_findings(table, rows)
    return findings


def _null_findings(way: _Way, oracle: OracleStudy, nulls: dict[str, Row]) -> list[Finding]:
    """h2 is where the likelihood is highest, and the likelihood is right."""
    if way.model.h2 == 0.0:
        return []
    wrong, short = [], []
    for group, null in nulls.items():
        left_out = _left_out(group)
        h2, loglik = float(null["h2"]), float(null["loglik"])
        again = oracle.loglik(left_out, h2)
        wrong.append(abs(loglik - again))
        if way.model.h2 is None:
            short.append(oracle.fit(left_out, restricted=True).loglik - again)
    findings = [Finding(f"{way.name}: log-likelihood", max(wrong), _LOGLIK_DIGITS)]
    if short:
        findings.append(Finding(f"{way.name}: h2, in log-likelihood", max(short), _LOGLIK))
    return findings


def _left_out(group: str) -> str | None:
    """What LOCO leaves out of the GRM for a group of the null table."""
    return None if group in ("all", "X", "23") else group


def _row_findings(
    way: _Way, oracle: OracleStudy, nulls: dict[str, Row], rows: Sequence[Row]
) -> list[Finding]:
    """All rows of the tested chromosomes."""
    counted, exact, calibrated, n_calibrated = 0.0, 0.0, 0.0, 0
    for chromosome in TESTED:
        name = "23" if chromosome == "X" else chromosome
        found = [row for row in rows if row["chromosome"] == name]
        expected = oracle.expected(chromosome)
        if tuple(row["rsid"] for row in found) != expected.marker_ids:
            return [Finding(f"{way.name}: variants tested", math.inf, 0.0, f"chromosome {name}")]
        counted = max(counted, _count_error(found, expected.n_observed, expected.af))
        h2 = float(nulls[chromosome]["h2"]) if chromosome in nulls else float(nulls[name]["h2"])
        left_out = _left_out(chromosome)
        some = slice(None)
        if way.model.variance is VarianceKind.PER_VARIANT:
            some = slice(0, _REFITTED)
        again = _again(way, oracle, left_out, h2, expected.genotypes[some])
        approximate = np.array([row.get("computed") == "calibrated" for row in found[some]])
        exact = max(exact, _row_error(found[some], again, ~approximate))
        calibrated = max(calibrated, _chi2_error(found[some], again, approximate))
        n_calibrated += int(approximate.sum())
    findings = [
        Finding(f"{way.name}: calls and frequencies", counted, 1e-7),
        Finding(f"{way.name}: beta, se, p", exact, way.bound),
    ]
    if way.model.scan is ScanKind.CALIBRATED:
        note = f"{n_calibrated} of {len(rows)} rows"
        findings.append(Finding(f"{way.name}: chi-square", calibrated, _CALIBRATED, note))
    return findings


def _count_error(found: Sequence[Row], n_observed: NDArray[np.int64], af: Array) -> float:
    n = np.array([int(row["n"]) for row in found])
    frequency = np.array([float(row["effect_allele_frequency"]) for row in found])
    return float(max(np.abs(n - n_observed).max(), np.abs(frequency - af).max()))


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """What rows must hold. All are (m,)."""

    beta: Array
    se: Array
    neg_log10_p: Array


def _again(
    way: _Way, oracle: OracleStudy, left_out: str | None, h2: float, genotypes: Array
) -> _Values:
    """The oracle's tests, in the way that is checked."""
    K, y, X = oracle.kernel(left_out), oracle.y, oracle.X
    if way.model.variance is VarianceKind.PER_VARIANT:
        parts = []
        for x in genotypes:
            filled = np.where(np.isnan(x), np.nanmean(x), x)
            own = dense_oracle.best_fit(K, y, np.column_stack([X, filled])).h2
            parts.append(dense_oracle.tests(x[None, :], y, X, K, own))
        beta, se, wald = (np.array([getattr(t, f)[0] for t in parts]) for f in _FIELDS)
        return _Values(beta, se, wald)
    at_reml = dense_oracle.tests(genotypes, y, X, K, h2)
    p = at_reml.wald
    if way.model.test is not TestKind.WALD:
        ml = oracle.fit(left_out, restricted=False).h2
        at_ml = dense_oracle.tests(genotypes, y, X, K, ml)
        p = at_ml.lrt if way.model.test is TestKind.LRT else at_ml.score
    return _Values(at_reml.beta, at_reml.se, p)


_FIELDS = ("beta", "se", "wald")


def _column(found: Sequence[Row], name: str) -> Array:
    return np.array([float(row[name]) for row in found])


def _row_error(found: Sequence[Row], again: _Values, which: NDArray[np.bool_]) -> float:
    """The largest of: beta in standard errors, se relatively, -log10 p relatively."""
    if not which.any():
        return 0.0
    t = np.abs(again.beta / again.se)
    beta = np.abs(_column(found, "beta") - again.beta) / again.se / (1.0 + t)
    se = np.abs(_column(found, "standard_error") / again.se - 1.0)
    p = np.abs(_column(found, "neg_log_10_p_value") - again.neg_log10_p)
    error = np.maximum.reduce([beta, se, p / (1.0 + again.neg_log10_p)])[which]
    return float(error.max()) if np.isfinite(error).all() else math.inf


def _chi2_error(found: Sequence[Row], again: _Values, which: NDArray[np.bool_]) -> float:
    """The largest relative error of beta^2/se^2."""
    if not which.any():
        return 0.0
    chi2 = (_column(found, "beta") / _column(found, "standard_error")) ** 2
    error = np.abs(chi2 / (again.beta / again.se) ** 2 - 1.0)[which]
    return float(error.max()) if np.isfinite(error).all() else math.inf


def _file_findings(table: Path, rows: Sequence[Row]) -> list[Finding]:
    """The table as other tools read it: rows on disk, and rows found by the index."""
    check_rows_on_disk(table, len(rows))
    import pysam  # slow to load

    on_first = [row for row in rows if row["chromosome"] == TESTED[0]]
    positions = [int(row["base_pair_location"]) for row in on_first]
    low, high = positions[len(positions) // 4], positions[len(positions) // 2]
    wanted = [row["rsid"] for row in on_first if low <= int(row["base_pair_location"]) <= high]
    at = list(rows[0]).index("rsid")
    with pysam.TabixFile(str(table)) as index:
        lines = index.fetch(TESTED[0], low - 1, high)
        found = [line.split("\t")[at] for line in lines]
    n_wrong = len(set(wanted) ^ set(found)) + abs(len(wanted) - len(found))
    return [Finding("files: bgzip and index are readable", float(n_wrong), 0.0)]
