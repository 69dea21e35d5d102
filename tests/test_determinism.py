"""What must not change a result, through the command line.

The same bytes: the same run twice in processes of their own (here; within one process, and
plots: test_cli.py::test_the_same_run_twice), block size (test_cli.py::test_block_size_...),
one command or two, decompositions kept or not, traits together or alone, ways to write the
tables and the .bim and .fam, the order of the variants (all in test_cli.py), the environment
(test_environment.py).

The invariances of design.md, section 7, and where each is tested through the command line:

    sample order in all files       here
    allele swap flips beta only     test_cli.py::test_swapped_alleles_flip_beta_only
    y -> a + b y                    here
    X -> X A                        here
    K -> a K, K + a 11'             here
    threads                         here (double, given GRM), test_cli.py::test_two_threads
    block size                      test_cli.py::test_block_size_changes_nothing
    a duplicated variant            here
    K = I and h2 = 0 are OLS        here; test_cli.py::test_h2_of_zero_is_ordinary_regression
    LOCO K is K rebuilt             here
    a missing value is no row       test_cli.py::test_a_missing_trait_value_is_an_absent_row
    plain, gzipped, CRLF            test_cli.py::test_tables_may_be_written_in_other_ways

Bounds are those of design.md: 1e-8 in -log10 p in double precision with a given GRM, 1e-5 in
single; the rounding of the table's 8 digits comes on top.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import CAUSAL, MISSING, RunCli, Study, StudyFiles, Table, files_of, read_tsv

BOUND = {"double": 1e-8, "single": 1e-5}
WHITENERS = ("cholesky", "spectral")
COLUMNS = ("beta", "standard_error", "neg_log_10_p_value")


@dataclass(frozen=True)
class Found:
    """The tables of a run."""

    prefix: Path

    def table(self, trait: str = "height") -> pd.DataFrame:
        """Rows by marker, numbers as numbers."""
        table = read_tsv(Path(f"{self.prefix}.{trait}.tsv.gz")).set_index("marker_id")
        return table.astype(dict.fromkeys(COLUMNS, float))

    def null(self, trait: str = "height") -> pd.DataFrame:
        """Null models by group."""
        return read_tsv(Path(f"{self.prefix}.{trait}.null.tsv")).set_index("group")


Run = Callable[..., Found]


@pytest.fixture
def run(run_cli: RunCli, tmp_path: Path) -> Run:
    """`run(files, "--option", ...)`: `assoc`, each time into a folder of its own."""
    count = itertools.count()

    def assoc(files: StudyFiles, *options: object) -> Found:
        out = tmp_path / f"out{next(count)}" / "run"
        out.parent.mkdir()
        threads = () if "--threads" in options else ("--threads", 1)
        given = (*files.inputs, "--out", out, "--plots", "none", *threads, *options)
        result = run_cli("assoc", *given)
        assert result.exit_code == 0, result.stderr
        return Found(out)

    return assoc


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Study], StudyFiles]:
    """Write a study into a folder of its own."""
    count = itertools.count()
    return lambda study: study.write(tmp_path / f"study{next(count)}")


@pytest.fixture
def grm(run_cli: RunCli, study: Study, tmp_path: Path) -> Path:
    """A GRM of the small study."""
    files = study.write(tmp_path / "of_grm")
    prefix = tmp_path / "kept"
    made = run_cli("grm", "--bfile", files.bfile, "--out", prefix, "--threads", 1)
    assert made.exit_code == 0, made.stderr
    return prefix


def same_tests(one: pd.DataFrame, two: pd.DataFrame, bound: float, *, beta: float = 1.0) -> None:
    """-log10 p within the bound, and effects, of which the second are `beta` times the first."""
    assert one.index.tolist() == two.index.tolist()
    p = one["neg_log_10_p_value"].to_numpy()
    written = 1e-7 * p  # 8 digits, each rounded
    assert np.all(np.abs(two["neg_log_10_p_value"] - p) <= bound + written)
    se = one["standard_error"].to_numpy()
    effect = one["beta"].to_numpy()
    wide = bound * se + 1e-7 * np.abs(effect)
    assert np.all(np.abs(two["beta"] / beta - effect) <= wide)
    assert np.all(np.abs(two["standard_error"] / abs(beta) - se) <= (bound + 1e-7) * se)


# --- The same bytes ---------------------------------------------------------------------------


def test_the_same_run_in_two_processes(small_study: StudyFiles, tmp_path: Path) -> None:
    """Whatever the seed of Python's hashes, the folder it is run from, and what ran before."""
    found = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        env = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "SOURCE_DATE_EPOCH": "1700000000",
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        }
        given = (*small_study.inputs, "--out", folder / "run", "--plots", "none", "--threads", 2)
        command = [sys.executable, "-m", "lmmgwas", "assoc", *map(str, given)]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        found.append(files_of(folder / "run"))
    assert found[0] == found[1]
    assert len(found[0]) == 13


# --- Threads ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(
    run_cli: RunCli, test_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyFiles, Path]:
    """test_data and its GRM: sums long enough to depend on the number of threads."""
    prefix = tmp_path_factory.mktemp("large") / "kept"
    made = run_cli("grm", "--bfile", test_data / "study", "--out", prefix, "--threads", 1)
    assert made.exit_code == 0, made.stderr
    return StudyFiles(test_data), prefix


@pytest.mark.parametrize("whitener", WHITENERS)
@pytest.mark.parametrize("precision", ["double", "single"])
def test_number_of_threads(
    run: Run, large: tuple[StudyFiles, Path], precision: str, whitener: str
) -> None:
    files, prefix = large
    options = ("--grm", prefix, "--chr", "1,21,X", "--pheno-name", "height")
    options = (*options, "--precision", precision, "--whitener", whitener)
    one, two, again = (run(files, *options, "--threads", k) for k in (1, 2, 2))
    same_tests(one.table(), two.table(), BOUND[precision])
    assert files_of(two.prefix) == files_of(again.prefix)


# --- Invariances ------------------------------------------------------------------------------


@pytest.mark.parametrize("whitener", WHITENERS)
def test_order_of_the_samples(
    run: Run, study: Study, write: Callable, grm: Path, whitener: str
) -> None:
    """In the .bed, the .fam and the tables; the GRM keeps its own."""
    options = ("--grm", grm, "--precision", "double", "--whitener", whitener)
    before = run(write(study), *options)
    rng = np.random.default_rng(3)
    study.take_samples(rng.permutation(118))
    for table in (study.pheno, study.covar):
        table.rows = [table.rows[k] for k in rng.permutation(118)]
    after = run(write(study), *options)
    for trait in ("height", "weight"):
        same_tests(before.table(trait), after.table(trait), BOUND["double"])
        same = ["n", "effect_allele_frequency", "effect_allele"]
        assert before.table(trait)[same].equals(after.table(trait)[same])


def test_order_of_the_samples_when_the_grm_is_built(
    run: Run, study: Study, write: Callable
) -> None:
    """Sums in float32 run in another order then."""
    before = run(write(study), "--precision", "double")
    study.take_samples(np.random.default_rng(4).permutation(118))
    after = run(write(study), "--precision", "double")
    same_tests(before.table(), after.table(), BOUND["single"])


@pytest.mark.parametrize(("shift", "unit"), [(-4000.0, 1.0), (0.0, -2.5), (1e5, 1e-3)])
def test_unit_of_the_trait(
    run: Run, study: Study, write: Callable, grm: Path, shift: float, unit: float
) -> None:
    """y -> a + b y: beta takes the unit, nothing else changes."""
    options = ("--grm", grm, "--precision", "double", "--pheno-name", "height")
    before = run(write(study), *options)
    for row, value in enumerate(study.pheno.numbers("height")):
        if not np.isnan(value):
            study.pheno.set("height", row, repr(float(shift + unit * value)))
    after = run(write(study), *options)
    same_tests(before.table(), after.table(), BOUND["double"], beta=unit)
    for name in ("h2", "h2_se"):
        one, two = (found.null()[name].astype(float) for found in (before, after))
        np.testing.assert_allclose(two, one, rtol=1e-6)
    ratio = after.null()["sigma_g2"].astype(float) / before.null()["sigma_g2"].astype(float)
    np.testing.assert_allclose(ratio, unit**2, rtol=1e-6)


def test_basis_of_the_covariates(run: Run, study: Study, write: Callable, grm: Path) -> None:
    """X -> X A: other columns of the same span; a categorical one with other names."""
    options = ("--grm", grm, "--precision", "double")
    before = run(write(study), *options)
    columns = np.array([study.covar.numbers(name) for name in ("age", "PC1", "PC2")])
    mixed = np.array([[1.0, 20.0, -7.0], [0.01, 3.0, 1.0], [500.0, 0.0, 2.0]]) @ columns
    mixed += np.array([[3.0], [-1e4], [0.0]])
    other = Table(["FID", "IID"], [row[:2] for row in study.covar.rows])
    for name, values in zip(("u", "v", "w"), mixed, strict=True):
        other.add(name, ["NA" if np.isnan(v) else repr(float(v)) for v in values])
    renamed = {"north": "z", "south": "y", "west": "x"}
    other.add("where", [renamed[site] for site in study.covar.column("site")])
    study.covar = other
    after = run(write(study), *options)
    for trait in ("height", "weight"):
        same_tests(before.table(trait), after.table(trait), BOUND["double"])


def plain_grm(kept: Path, prefix: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Write a changed copy of a matrix as GCTA does, without parts."""
    values = np.fromfile(f"{kept}.grm.bin", "<f4").astype(float)
    change(values).astype("<f4").tofile(f"{prefix}.grm.bin")
    for suffix in ("id", "N.bin"):
        Path(f"{prefix}.grm.{suffix}").write_bytes(Path(f"{kept}.grm.{suffix}").read_bytes())
    return prefix


@pytest.mark.parametrize(
    ("name", "change", "bound"),
    [
        # A power of two changes no digit of float32; other changes round 7,000 numbers anew.
        ("4 K", lambda K: 4.0 * K, 1e-8),
        ("K / 3", lambda K: K / 3.0, 1e-5),
        ("K + 11'", lambda K: K + 1.0, 1e-5),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_scale_and_origin_of_the_grm(
    run: Run,
    small_study: StudyFiles,
    grm: Path,
    tmp_path: Path,
    name: str,
    change: Callable[[np.ndarray], np.ndarray],
    bound: float,
) -> None:
    options = ("--no-loco", "--precision", "double")
    usual = plain_grm(grm, tmp_path / "usual", lambda K: K)
    changed = plain_grm(grm, tmp_path / "changed", change)
    before, after = (run(small_study, "--grm", k, *options) for k in (usual, changed))
    for trait in ("height", "weight"):
        same_tests(before.table(trait), after.table(trait), bound)
    h2 = [found.null()["h2"].astype(float) for found in (before, after)]
    np.testing.assert_allclose(h2[1], h2[0], rtol=1e-4, atol=1e-6)


def test_identity_as_grm_is_ordinary_regression(
    run: Run, small_study: StudyFiles, grm: Path, tmp_path: Path
) -> None:
    ordinary = run(small_study, "--h2", "0", "--precision", "double")
    n = 118
    diagonal = np.cumsum(np.arange(1, n + 1)) - 1

    def identity(K: np.ndarray) -> np.ndarray:
        changed = np.zeros_like(K)
        changed[diagonal] = 1.0
        return changed

    unrelated = plain_grm(grm, tmp_path / "identity", identity)
    found = run(small_study, "--grm", unrelated, "--no-loco", "--precision", "double")
    for trait in ("height", "weight"):
        same_tests(ordinary.table(trait), found.table(trait), BOUND["double"])


@pytest.mark.parametrize("whitener", WHITENERS)
@pytest.mark.parametrize("precision", ["double", "single"])
def test_a_duplicated_variant_has_the_same_row(
    run: Run, study: Study, write: Callable, grm: Path, precision: str, whitener: str
) -> None:
    """At the other end of its chromosome, with missing calls and without."""
    copies = {}
    for row in (CAUSAL["2"], CAUSAL["2"] + 1):
        copies[study.marker[row]] = f"copy{row}"
        study.chrom.append("2")
        study.pos.append(90_000_000 + row)
        study.marker.append(f"copy{row}")
        study.effect.append(study.effect[row])
        study.other.append(study.other[row])
        study.calls = np.vstack([study.calls, study.calls[row]])
    assert (study.calls[-2:] == MISSING).any(axis=1).tolist() == [True, False]
    options = ("--grm", grm, "--precision", precision, "--whitener", whitener)
    table = run(write(study), *options).table()
    first, second = table.loc[list(copies)], table.loc[list(copies.values())]
    second.index = first.index
    same_tests(first, second, {"double": 1e-10, "single": 1e-5}[precision])
    assert first["n"].tolist() == second["n"].tolist()


@pytest.mark.parametrize("label", ["1", "4"])
def test_loco_is_a_grm_without_the_chromosome(
    run: Run, small_study: StudyFiles, label: str
) -> None:
    """The sums are subtracted in one run, and were never made in the other."""
    others = ",".join(k for k in "1234" if k != label)
    options = ("--precision", "double", "--chr", label)
    loco = run(small_study, *options)
    rebuilt = run(small_study, *options, "--no-loco", "--grm-chr", others)
    for trait in ("height", "weight"):
        # K differs by the rounding of float32.
        same_tests(loco.table(trait), rebuilt.table(trait), BOUND["single"])
        one, two = loco.null(trait).loc[label], rebuilt.null(trait).loc[label]
        assert one["n_variants_grm"] == two["n_variants_grm"]
        assert_close(one, two, ("h2", "loglik", "grm_scale"))


def assert_close(one: pd.Series, two: pd.Series, names: Sequence[str]) -> None:
    """Cells of two null models, to the rounding of a GRM in float32."""
    for name in names:
        assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-4, abs=1e-6)
