"""Imputed dosages through the whole program, against dense algebra in float64 and against plink2.

Both read the dosages that the test wrote, not the file; plink2, where it is installed, reads it.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import MALE, MISSING, Result, RunCli, Study, StudyFiles, read_tsv
from pgen_files import (
    pfile_inputs,
    pvar_text,
    results_of,
    write_dosages,
    write_pfile,
    write_pgen,
)
from scipy import stats

ONE = ["--threads", 1]
PLAIN = [*ONE, "--plots", "none", "--precision", "double", "--whitener", "spectral"]
needs_plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder / "r"


def sound(result: Result) -> None:
    assert result.exit_code == 0, result.stderr


def dosages_of(study: Study, seed: int = 7) -> np.ndarray:
    """Calls with the uncertainty of imputation, in whole numbers of 2^-14, NaN where missing."""
    rng = np.random.default_rng(seed)
    calls = np.where(study.calls == MISSING, np.nan, study.calls)
    moved = calls + rng.normal(scale=0.25, size=calls.shape) * (rng.random(calls.shape) < 0.7)
    dosage = np.rint(np.clip(moved, 0.0, 2.0) * 2**14) / 2**14
    dosage[np.array(study.marker) == "rs1001"] = np.nan  # all missing, as its calls are
    return dosage


@pytest.fixture
def dosage(study: Study) -> np.ndarray:
    return dosages_of(study)


@pytest.fixture
def imputed(study: Study, small_study: StudyFiles, tmp_path: Path, dosage: np.ndarray) -> Path:
    return write_pfile(study, tmp_path / "imputed", dosage=dosage, nonref=False)


def complete(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), np.nanmean(x), x)


def relatedness(study: Study, dosage: np.ndarray, model: str = "standardized") -> np.ndarray:
    """K over all samples, by its definition."""
    K, m = np.zeros((len(study.iid),) * 2), 0
    for label, x in zip(study.chrom, dosage, strict=True):
        seen = x[~np.isnan(x)]
        if label not in "1234" or not seen.size or np.isnan(x).mean() > 0.1 or seen.std() == 0.0:
            continue
        p = seen.mean() / 2.0
        if min(p, 1.0 - p) < 0.01:
            continue
        spread = seen.std() if model == "standardized" else np.sqrt(2 * p * (1 - p))
        z = (complete(x) - seen.mean()) / spread
        K, m = K + np.outer(z, z), m + 1
    return K / m


def generalized(
    y: np.ndarray, X: np.ndarray, x: np.ndarray, V: np.ndarray
) -> tuple[float, float, float]:
    """beta, se and -log10 p of generalised least squares, by explicit inverses."""
    A = np.column_stack([X, x])
    Vi = np.linalg.inv(V)
    information = A.T @ Vi @ A
    b = np.linalg.solve(information, A.T @ Vi @ y)
    rest = y - A @ b
    dof = y.size - A.shape[1]
    se = np.sqrt(rest @ Vi @ rest / dof * np.linalg.inv(information)[-1, -1])
    return b[-1], se, -np.log10(2.0 * stats.t.sf(abs(b[-1] / se), dof))


def rows_of(out: Path) -> pd.DataFrame:
    table = read_tsv(out.with_name(f"{out.name}.height.tsv.gz")).set_index("marker_id")
    names = ["beta", "standard_error", "effect_allele_frequency", "neg_log_10_p_value", "n"]
    return table[names].astype(float)


@pytest.mark.parametrize("h2", [0.0, 0.4])
def test_every_number_against_dense_algebra(
    run_cli: RunCli,
    study: Study,
    small_study: StudyFiles,
    imputed: Path,
    dosage: np.ndarray,
    tmp_path: Path,
    h2: float,
) -> None:
    out = tmp_path / "r"
    argv = ["assoc", "--pfile", imputed, "--pheno", small_study.pheno, "--pheno-name", "height"]
    result = run_cli(*argv, *PLAIN, "--no-loco", "--h2", h2, "--out", out)
    sound(result)
    assert "imputed dosages" in result.stderr
    table = rows_of(out)
    y = study.pheno.numbers("height")
    kept = ~np.isnan(y)
    M = np.eye(kept.sum()) - 1.0 / kept.sum()
    K = M @ relatedness(study, dosage)[np.ix_(kept, kept)] @ M
    V = h2 * K / (np.trace(K) / kept.sum()) + (1.0 - h2) * np.eye(kept.sum())
    male = np.array(study.sex)[kept] == MALE
    X = np.ones((kept.sum(), 1))
    n_on_x = 0
    for marker, found in table.iterrows():
        if marker not in study.marker:
            continue  # one without an ID
        j = study.marker.index(str(marker))
        x = dosage[j, kept]
        one_copy = male & (study.chrom[j] == "X")
        x = np.where(one_copy & (x == 1.0), np.nan, x)
        there = ~np.isnan(x)
        weight = np.where(one_copy, 0.5, 1.0)[there]
        af = (x[there] * weight).sum() / (2.0 * weight.sum())
        assert found["n"] == there.sum()
        np.testing.assert_allclose(found["effect_allele_frequency"], af, rtol=1e-7)
        expected = generalized(y[kept], X, complete(x), V)
        # The GRM is kept in float32: at h2 0 nothing is lost but the eighth digit of the text.
        np.testing.assert_allclose(
            found[["beta", "standard_error", "neg_log_10_p_value"]],
            expected,
            rtol=1e-6 if h2 == 0.0 else 2e-5,
        )
        n_on_x += study.chrom[j] == "X"
    assert len(table) > 200
    assert n_on_x > 30


def test_reasons_rest_on_dosages(
    run_cli: RunCli, study: Study, small_study: StudyFiles, tmp_path: Path, dosage: np.ndarray
) -> None:
    dosage[20] = np.where(np.arange(118) < 9, 0.5, 0.0)  # 4.5 copies
    dosage[21] = np.where(np.arange(118) < 11, 0.5, 0.0)  # 5.5 copies
    dosage[22] = 0.25
    prefix = write_pfile(study, tmp_path / "in2", dosage=dosage)
    out = tmp_path / "r"
    argv = ["assoc", "--pfile", prefix, "--pheno", small_study.pheno, "--pheno-name", "weight"]
    sound(run_cli(*argv, *PLAIN, "--h2", 0, "--out", out))
    excluded = read_tsv(tmp_path / "r.weight.excluded.tsv.gz").set_index("marker_id")["reason"]
    assert excluded["rs1001"] == "ALL_MISSING"
    assert excluded["rs1020"] == "LOW_MAC"
    assert excluded["rs1022"] == "MONOMORPHIC"
    assert "rs1021" not in excluded or excluded["rs1021"] == "LOW_MAC"


def test_whole_dosages_give_the_bytes_of_the_bed(
    run_cli: RunCli, study: Study, small_study: StudyFiles, tmp_path: Path
) -> None:
    """One dosage on Y, which is not tested, makes dosages of all."""
    dosage = np.where(study.calls == MISSING, np.nan, study.calls)
    dosage[study.on("Y")[0], 0] = 0.75
    prefix = write_pfile(study, tmp_path / "in2", dosage=dosage)
    bed, pgen = make(tmp_path / "bed"), make(tmp_path / "pgen")
    options = [*ONE, "--plots", "none", "--maf", 0.02, "--hwe", 0.01, "--mind", 0.5]
    sound(run_cli("assoc", *small_study.inputs, "--out", bed, *options))
    result = run_cli("assoc", *pfile_inputs(small_study, prefix), "--out", pgen, *options)
    sound(result)
    assert "imputed dosages" in result.stderr
    found, expected = results_of(pgen), results_of(bed)
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        assert found[name] == content, name


def test_calibrated_pairwise_in_parts_and_conditioned(
    run_cli: RunCli, small_study: StudyFiles, imputed: Path, tmp_path: Path
) -> None:
    """Everything that reads a block, by other ways to the same numbers."""
    argv = ["assoc", *pfile_inputs(small_study, imputed), *ONE, "--plots", "none"]
    argv += ["--grm-missing", "pairwise", "--condition", "rs1030,rs1250", "--mind", 0.9]
    exact, parts, calibrated = (make(tmp_path / k) for k in ("exact", "parts", "calibrated"))
    sound(run_cli(*argv, "--out", exact))
    for part in (1, 2):
        sound(run_cli(*argv, "--block-size", 13, "--out", parts, "--part", f"{part}/2"))
    sound(run_cli("merge", "--out", parts))
    assert results_of(parts) == results_of(exact)
    sound(run_cli(*argv, "--scan", "calibrated", "--out", calibrated))
    a, b = rows_of(exact), rows_of(calibrated)
    table = read_tsv(calibrated.with_name("r.height.tsv.gz")).set_index("marker_id")
    same = table.index[table["computed"] == "exact"] if "computed" in table else table.index
    assert len(same) > 10
    np.testing.assert_allclose(b.loc[same], a.loc[same], rtol=1e-4, atol=1e-5)


def test_a_condition_is_the_dosage(
    run_cli: RunCli,
    study: Study,
    small_study: StudyFiles,
    imputed: Path,
    dosage: np.ndarray,
    tmp_path: Path,
) -> None:
    out = tmp_path / "r"
    argv = ["assoc", "--pfile", imputed, "--pheno", small_study.pheno, "--pheno-name", "height"]
    sound(run_cli(*argv, *PLAIN, "--h2", 0, "--condition", "rs1030", "--chr", "2", "--out", out))
    y = study.pheno.numbers("height")
    kept = ~np.isnan(y)
    X = np.column_stack([np.ones(kept.sum()), complete(dosage[30, kept])])
    found = rows_of(out).loc["rs1100"]
    expected = generalized(y[kept], X, complete(dosage[100, kept]), np.eye(kept.sum()))
    np.testing.assert_allclose(
        found[["beta", "standard_error", "neg_log_10_p_value"]], expected, rtol=1e-6
    )


def test_sets_with_and_without_dosages(
    run_cli: RunCli,
    study: Study,
    small_study: StudyFiles,
    imputed: Path,
    dosage: np.ndarray,
    tmp_path: Path,
) -> None:
    """One file set a chromosome, one of them of hard calls: as one file of both."""
    folder = tmp_path / "split"
    folder.mkdir()
    mixed = dosage.copy()
    mixed[study.on("2")] = np.where(study.calls == MISSING, np.nan, study.calls)[study.on("2")]
    whole = write_pfile(study, tmp_path / "whole", dosage=mixed, nonref=False)
    lines = pvar_text(study).splitlines()
    for label in dict.fromkeys(study.chrom):
        rows = study.on(label)
        if label == "2":
            write_pgen(folder / f"c{label}.pgen", study.calls[rows], nonref=False)
        else:
            write_dosages(folder / f"c{label}.pgen", mixed[rows])
        (folder / f"c{label}.pvar").write_text(
            "\n".join([*lines[:2], *(lines[2 + row] for row in rows), ""])
        )
        shutil.copyfile(whole.with_suffix(".psam"), folder / f"c{label}.psam")
    one, many = make(tmp_path / "one"), make(tmp_path / "many")
    options = [*ONE, "--plots", "none"]
    sound(run_cli("assoc", *pfile_inputs(small_study, whole), "--out", one, *options))
    sound(run_cli("assoc", *pfile_inputs(small_study, folder / "c@"), "--out", many, *options))
    assert results_of(many) == results_of(one)


def plink2(*args: object) -> None:
    done = subprocess.run(["plink2", *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


@needs_plink2
def test_plink2_reads_the_same_dosages(
    run_cli: RunCli, small_study: StudyFiles, imputed: Path, tmp_path: Path
) -> None:
    """Ordinary regression by `plink2 --glm`, its frequencies, and its GRM."""
    argv = ["assoc", "--pfile", imputed, "--pheno", small_study.pheno, "--pheno-name", "height"]
    sound(run_cli(*argv, *PLAIN, "--h2", 0, "--chr", "1-4", "--mac", 5, "--out", tmp_path / "r"))
    shared = ["--pfile", imputed, "--threads", 1, "--chr", "1-4"]
    traits = ["--pheno", small_study.pheno, "--pheno-name", "height"]
    plink2(*shared, *traits, "--glm", "omit-ref", "allow-no-covars", "--out", tmp_path / "p")
    theirs = pd.read_csv(tmp_path / "p.height.glm.linear", sep=r"\s+").set_index("ID")
    ours = rows_of(tmp_path / "r")
    both = [marker for marker in ours.index if marker in theirs.index and marker != "."]
    theirs = theirs.loc[both]
    # Where a dosage is missing plink2 leaves the sample out; here it is at the mean.
    usable = theirs["BETA"].notna() & (ours.loc[both]["n"] == theirs["OBS_CT"].max())
    assert usable.sum() > 100
    assert (theirs["A1"] == theirs["ALT"]).all()
    theirs, ours = theirs[usable], ours.loc[both][usable]
    np.testing.assert_allclose(ours["beta"], theirs["BETA"], rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(ours["standard_error"], theirs["SE"], rtol=2e-5)
    p = -np.log10(theirs["P"])
    np.testing.assert_allclose(ours["neg_log_10_p_value"], p, rtol=1e-4, atol=1e-5)


@needs_plink2
def test_the_grm_is_that_of_plink2(
    run_cli: RunCli, small_study: StudyFiles, imputed: Path, tmp_path: Path
) -> None:
    options = ["--grm-model", "hwe", "--grm-missing", "pairwise", "--grm-maf", 0.05]
    sound(
        run_cli("grm", "--pfile", imputed, *ONE, *options, "--grm-geno", 1, "--out", tmp_path / "r")
    )
    shared = ["--pfile", imputed, "--threads", 1, "--chr", "1-4", "--maf", 0.05]
    plink2(*shared, "--make-grm-bin", "--nonfounders", "--out", tmp_path / "p")
    ours, theirs = (np.fromfile(tmp_path / f"{name}.grm.bin", dtype="<f4") for name in "rp")
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@needs_plink2
def test_plink2_writes_alt_to_column_5_of_the_bim(
    run_cli: RunCli, small_study: StudyFiles, study: Study, tmp_path: Path
) -> None:
    """A .pgen and the .bed that plink2 makes of it: the same tables, effect alleles and all."""
    prefix = write_pfile(study, tmp_path / "in2")
    bed = tmp_path / "as_bed"
    plink2("--pfile", prefix, "--make-bed", "--out", bed, "--threads", 1)
    options = [*ONE, "--plots", "none"]
    tables = ["--pheno", small_study.pheno, "--covar", small_study.covar]
    one, two, three = (make(tmp_path / name) for name in ("one", "two", "three"))
    sound(run_cli("assoc", "--bfile", bed, *tables, "--out", one, *options))
    sound(run_cli("assoc", "--pfile", prefix, *tables, "--out", two, *options))
    assert results_of(two) == results_of(one)
    plink2("--bfile", bed, "--make-pgen", "vzs", "--out", tmp_path / "back", "--threads", 1)
    assert not (tmp_path / "back.pvar").exists()
    sound(run_cli("assoc", "--pfile", tmp_path / "back", *tables, "--out", three, *options))
    assert results_of(three) == results_of(one)
