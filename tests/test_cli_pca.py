"""`lmmgwas grm --pca N`: what is written, that it is the GRM's and PLINK 2's; assoc reads it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RunCli, Study, StudyFiles, files_of, read_tsv
from reference import run_program


def numbers(path: Path) -> np.ndarray:
    """The components (n, N)."""
    return read_tsv(path).iloc[:, 2:].to_numpy(dtype=float)


def triangle(path: Path, n: int) -> np.ndarray:
    """The matrix (n, n) of a GCTA file."""
    K = np.zeros((n, n))
    K[np.tril_indices(n)] = np.fromfile(path, dtype="<f4")
    return K + np.tril(K, -1).T


@pytest.mark.parametrize("model", [(), ("--grm-missing", "pairwise")], ids=["mean", "pairwise"])
def test_components_are_those_of_the_matrix_on_file(
    model: tuple[str, ...], small_study: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    done = run_cli("grm", "--bfile", small_study.bfile, *model, "--pca", 6, "--out", out)
    assert done.exit_code == 0, done.stderr
    K = triangle(tmp_path / "set.grm.bin", 118)
    S, U = np.linalg.eigh(K)
    S, U = S[::-1][:6], U[:, ::-1][:, :6]
    found = numbers(tmp_path / "set.eigenvec")
    # Eight significant digits are printed.
    np.testing.assert_allclose(np.loadtxt(tmp_path / "set.eigenval"), S, rtol=5e-8)
    np.testing.assert_allclose(found, U * np.sign((found * U).sum(axis=0)), rtol=5e-8, atol=1e-12)
    assert (found.max(axis=0) >= np.abs(found).max(axis=0)).all()
    shares = [float(s) for s in re.findall(r"PC\d (\d+\.\d\d) %", done.stderr)]
    np.testing.assert_allclose(shares, 100.0 * S[:5] / np.trace(K), atol=0.005)
    assert f"all 6 {100.0 * S.sum() / np.trace(K):.2f} %" in done.stderr


def test_form_of_the_files(study: Study, run_cli: RunCli, tmp_path: Path) -> None:
    study.fid[:2] = ["0", "0"]
    files = study.write(tmp_path / "in")
    assert (
        run_cli("grm", "--bfile", files.bfile, "--pca", 3, "--out", tmp_path / "o").exit_code == 0
    )
    lines = (tmp_path / "o.eigenvec").read_text().split("\n")
    assert lines[0] == "#FID\tIID\tPC1\tPC2\tPC3"
    assert lines[-1] == ""
    assert [line.split("\t")[:2] for line in lines[1:-1]] == [
        [f, i] for f, i in zip(study.fid, study.iid, strict=True)
    ]
    cells = [cell for line in lines[1:-1] for cell in line.split("\t")[2:]]
    assert all(cell == f"{float(cell):.8g}" for cell in cells)
    values = (tmp_path / "o.eigenval").read_text().split("\n")
    assert len(values) == 4
    assert values[-1] == ""
    assert all(cell == f"{float(cell):.8g}" for cell in values[:-1])


def test_same_bytes_and_the_same_matrix_as_without(
    small_study: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    options = ("grm", "--bfile", small_study.bfile)
    for name, more in {
        "plain": (),
        "first": ("--pca", 4),
        "second": ("--pca", 4, "--block-size", 7, "--eigen"),
    }.items():
        (tmp_path / name).mkdir()
        assert run_cli(*options, *more, "--out", tmp_path / name / "o").exit_code == 0
    plain, first, second = (files_of(tmp_path / k / "o") for k in ("plain", "first", "second"))
    assert set(first) - set(plain) == {".eigenvec", ".eigenval"}
    assert {k: v for k, v in first.items() if k in plain} == plain
    assert {k: v for k, v in second.items() if k in first} == first


def test_assoc_takes_components_as_covariates(
    study: Study, run_cli: RunCli, tmp_path: Path
) -> None:
    study.fid[:2] = ["0", "0"]
    for row in study.pheno.rows[:2]:
        row[0] = "0"
    files = study.write(tmp_path / "in")
    out = tmp_path / "o"
    assert run_cli("grm", "--bfile", files.bfile, "--pca", 5, "--out", out).exit_code == 0
    tables = ("--pheno", files.pheno, "--pheno-name", "height", "--covar", tmp_path / "o.eigenvec")
    options = ("--covar-name", "PC1-PC3", "--plots", "none", "--grm", out)
    result = tmp_path / "r"
    done = run_cli("assoc", "--bfile", files.bfile, *tables, *options, "--out", result)
    assert done.exit_code == 0, done.stderr
    samples = read_tsv(tmp_path / "r.samples.tsv")
    assert (samples["in_covar"] == samples["in_genotypes"]).all()
    assert "covariates intercept, PC1, PC2, PC3" in done.stderr


@pytest.mark.parametrize("n_components", [118, 500, 0, -1])
def test_number_out_of_range(
    n_components: int, small_study: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    options = ("--pca", n_components, "--out", tmp_path / "o")
    done = run_cli("grm", "--bfile", small_study.bfile, *options)
    assert done.exit_code == 2
    assert "--pca" in done.stderr
    if n_components >= 118:
        assert f"[E002] --pca {n_components} is out of range: 118 samples" in done.stderr
        assert "at most 117 " in done.stderr
    assert not files_of(tmp_path / "o")


def test_too_few_variants_write_nothing(
    small_study: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    ids = [line.split("\t")[1] for line in small_study.bim.read_text().splitlines()]
    (tmp_path / "few").write_text("\n".join(ids[70:73]))
    options = ("--grm-extract", tmp_path / "few", "--pca", 4, "--out", tmp_path / "o")
    done = run_cli("grm", "--bfile", small_study.bfile, *options)
    assert done.exit_code == 5
    assert "[E704] the GRM has 3 principal components" in done.stderr
    assert not files_of(tmp_path / "o")


def test_existing_components_are_spared(
    small_study: StudyFiles, run_cli: RunCli, tmp_path: Path
) -> None:
    taken = tmp_path / "o.eigenval"
    taken.write_text("mine\n")
    options = ("grm", "--bfile", small_study.bfile, "--pca", 4, "--out", tmp_path / "o")
    refused = run_cli(*options)
    assert refused.exit_code == 8
    assert "o.eigenval" in refused.stderr
    assert files_of(tmp_path / "o") == {".eigenval": b"mine\n"}
    assert run_cli(*options, "--overwrite").exit_code == 0
    assert len(taken.read_text().splitlines()) == 4


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
def test_components_of_plink2(test_data: Path, run_cli: RunCli, tmp_path: Path) -> None:
    """--nonfounders: PLINK 2 takes frequencies from founders only unless told."""
    bfile, theirs, ours = test_data / "study", tmp_path / "theirs", tmp_path / "ours"
    filters = ["--autosome", "--maf", "0.01", "--geno", "0.1", "--nonfounders", "--threads", "1"]
    program = ["plink2", "--bfile", bfile, *filters, "--pca", "5", "--out", theirs]
    run_program(program, "plink2")
    model = ("--grm-model", "hwe", "--grm-missing", "pairwise", "--pca", 5)
    done = run_cli("grm", "--bfile", bfile, *model, "--out", ours)
    assert done.exit_code == 0, done.stderr
    tables = [read_tsv(tmp_path / f"{name}.eigenvec") for name in ("ours", "theirs")]
    pd.testing.assert_frame_equal(*(table[["#FID", "IID"]] for table in tables))
    U, V = (numbers(tmp_path / f"{name}.eigenvec") for name in ("ours", "theirs"))
    for k in range(5):
        assert abs(np.corrcoef(U[:, k], V[:, k])[0, 1]) > 0.9999
    # Both are of unit length; PLINK 2 prints six digits, of a matrix of its own rounding.
    np.testing.assert_allclose(U * np.sign((U * V).sum(axis=0)), V, atol=2e-6)
    S, T = (np.loadtxt(tmp_path / f"{name}.eigenval") for name in ("ours", "theirs"))
    np.testing.assert_allclose(S, T, rtol=5e-6)
