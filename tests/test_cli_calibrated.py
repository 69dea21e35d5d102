"""`--scan calibrated` through the command line: what it promises, and what it says of itself."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RunCli, StudyFiles, read_tsv

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts" / "bench"))
from data import simulate

N, M = 1_200, 16_000


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of a simulated study with two traits."""
    prefix = tmp_path_factory.mktemp("families") / "study"
    simulate(prefix, N, M, 2, seed=3)
    return prefix


def scan(run_cli: RunCli, prefix: Path, out: Path, *more: str) -> tuple[pd.DataFrame, str, dict]:
    """Run on the first trait, or as `more` says; return its table, what was said, run.json."""
    inputs = ["--bfile", prefix, "--pheno", f"{prefix}.pheno.tsv", "--covar", f"{prefix}.covar.tsv"]
    result = run_cli("assoc", *inputs, "--out", out, "--plots", "none", "--chr", "1-6", *more)
    assert result.exit_code == 0, result.stderr
    manifest = json.loads(Path(f"{out}.run.json").read_text())
    return read_tsv(Path(f"{out}.trait1.tsv.gz")), result.stderr, manifest


def numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    return table[column].to_numpy(float)


def test_promise_against_the_exact_scan(run_cli: RunCli, families: Path, tmp_path: Path) -> None:
    one = ("--pheno-name", "trait1")
    exact, _, _ = scan(run_cli, families, tmp_path / "exact", "--whitener", "cholesky", *one)
    table, said, manifest = scan(
        run_cli, families, tmp_path / "fast", "--scan", "calibrated", "--exact-below", "0.01", *one
    )
    assert "computed" not in exact
    assert list(table["marker_id"]) == list(exact["marker_id"])
    computed = table["computed"].to_numpy(str)
    assert set(computed) == {"exact", "calibrated"}
    assert 0.005 < (computed == "exact").mean() < 0.1
    p, true_p = numbers(table, "neg_log_10_p_value"), numbers(exact, "neg_log_10_p_value")
    # What is exact goes through the same factor in float32: its rounding, not more.
    assert np.abs(p - true_p)[computed == "exact"].max() < 1e-4
    assert (computed[true_p > 2.0] == "exact").all()  # nothing below 0.01 was missed
    chi2, true_chi2 = (
        (numbers(t, "beta") / numbers(t, "standard_error")) ** 2 for t in (table, exact)
    )
    errors = np.abs(chi2 / true_chi2 - 1.0)[computed == "calibrated"]
    assert 1e-6 < np.quantile(errors, 0.99) < 0.02  # the promise, and that it was put to use
    # In the direction of the effect and its place nothing is approximate but x'Px.
    assert (np.sign(numbers(table, "beta")) == np.sign(numbers(exact, "beta"))).all()
    reported = manifest["traits"][0]["calibration"]
    assert reported["n_variants"] >= 1000
    assert reported["quantile"] < 0.02
    assert f"{reported['quantile']:.2%}" in said
    nulls = [
        pd.read_csv(tmp_path / f"{name}.trait1.null.tsv", sep="\t").drop(columns="lambda_gc")
        for name in ("fast", "exact")
    ]
    pd.testing.assert_frame_equal(*nulls)


def test_several_traits_and_the_block_size(run_cli: RunCli, families: Path, tmp_path: Path) -> None:
    calibrated = ("--scan", "calibrated", "--chr", "1-2")
    both, _, _ = scan(run_cli, families, tmp_path / "both", *calibrated)
    scan(run_cli, families, tmp_path / "blocks", *calibrated, "--block-size", "100")
    for trait in ("trait1", "trait2"):
        one, two = (tmp_path / f"{name}.{trait}.tsv.gz" for name in ("both", "blocks"))
        assert one.read_bytes() == two.read_bytes()
    alone, _, _ = scan(run_cli, families, tmp_path / "alone", *calibrated, "--pheno-name", "trait1")
    assert list(both["computed"]) == list(alone["computed"])
    p, other = numbers(both, "neg_log_10_p_value"), numbers(alone, "neg_log_10_p_value")
    # Exact rows of both traits go through BLAS together: the rounding of float32 differs.
    assert np.abs(p - other).max() < 1e-5


def test_relatives_throughout_are_scanned_exactly_with_a_warning(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    """118 people and 60 variants a chromosome: too few to calibrate on."""
    common = ("assoc", *small_study.inputs, "--plots", "none", "--whitener", "cholesky")
    exact = run_cli(*common, "--out", tmp_path / "exact")
    result = run_cli(*common, "--out", tmp_path / "fast", "--scan", "calibrated")
    assert (exact.exit_code, result.exit_code) == (0, 0)
    assert "W604" in result.stderr
    assert "scanned exactly" in result.stderr
    one, two = (read_tsv(tmp_path / f"{name}.height.tsv.gz") for name in ("exact", "fast"))
    assert set(two["computed"]) == {"exact"}
    pd.testing.assert_frame_equal(one, two.drop(columns="computed"))
    strict = run_cli(*common, "--out", tmp_path / "strict", "--scan", "calibrated", "--strict")
    assert strict.exit_code == 5
    assert not list(tmp_path.glob("strict.*.gz"))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--test", "lrt"), "E007"),
        (("--variance", "per-variant"), "E007"),
        (("--whitener", "spectral"), "E007"),
        (("--exact-below", "0"), "E002"),
        (("--exact-below", "2"), "E002"),
        (("--seed", "-1"), "E002"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, options: tuple[str, str], code: str
) -> None:
    result = run_cli(
        "assoc", *small_study.inputs, "--out", tmp_path / "x", "--scan", "calibrated", *options
    )
    assert result.exit_code == 2
    assert f"[{code}]" in result.stderr


def test_ordinary_regression_is_exact_as_it_is(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    common = ("assoc", *small_study.inputs, "--plots", "none", "--h2", "0")
    assert run_cli(*common, "--out", tmp_path / "a").exit_code == 0
    assert run_cli(*common, "--out", tmp_path / "b", "--scan", "calibrated").exit_code == 0
    one, two = ((tmp_path / f"{name}.height.tsv.gz").read_bytes() for name in "ab")
    assert one == two
