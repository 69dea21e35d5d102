"""GEMMA: its published tables of the mice with its own matrix; the program itself on test_data."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from gemma_oracle import GemmaModel, read_grm
from reference import (
    GEMMA_OPTIONS,
    GEMMA_TESTS,
    TEST_DATA,
    Check,
    UnavailableError,
    at_most,
    compare_with_gemma,
    gemma_null_models,
    gemma_tables,
    none_of,
    read_results,
    run_lmmgwas,
)

GRM_LIMIT = 1e-6
"""Of the mean diagonal. GEMMA prints 10 significant digits, ours are float32: both are finer."""

TRAITS = ("height", "ldl")
STOP = 1e-5
"""GEMMA's search for lambda ends at a step that changes it by less than this, relative."""
_STUDY = TEST_DATA / "study"
_OPEN = ("-maf", "0", "-miss", "1", "-r2", "1", "-hwe", "0")
"""GEMMA's filters of variants, set off; it drops what does not vary, as we do."""


def centred_grm(folder: Path) -> list[Check]:
    """`lmmgwas grm --grm-model centered` against `gemma -gk 1`, on all autosomal variants."""
    theirs = _gemma_grm(folder)
    prefix = folder / "ours"
    study = ["--bfile", TEST_DATA / "study", "--grm-model", "centered"]
    run_lmmgwas("grm", *study, "--grm-maf", "0", "--grm-geno", "1", "--out", prefix)
    ours = np.fromfile(folder / "ours.grm.bin", dtype="<f4").astype(np.float64)
    n = len(theirs)
    lower = np.tril_indices(n)
    if ours.size != lower[0].size:
        return [none_of("samples that differ in number", abs(ours.size - lower[0].size), n)]
    error = np.abs(ours - theirs[lower]).max() / (np.trace(theirs) / n)
    return [at_most(f"GRM of {n} people, of the mean diagonal", float(error), GRM_LIMIT)]


def every_variant(folder: Path) -> list[Check]:
    """`gemma -lmm 4` with covariates against per-variant variances: null models and all tests.

    Both have the same matrix, ours: centred, of float32, its digits written out for GEMMA.
    """
    _program()
    grm = folder / "ours"
    run_lmmgwas("grm", "--bfile", _STUDY, "--grm-model", "centered", "--out", grm)
    K, ids = read_grm(grm)
    np.savetxt(folder / "K.txt", K, fmt="%.17g", delimiter="\t")
    fam = pd.read_csv(f"{_STUDY}.fam", sep=r"\s+", header=None, dtype=str)
    if fam[1].tolist() != ids:
        return [Check("samples of the matrix", "those of the .fam", "others", False)]
    traits = _by_iid("pheno").reindex(ids)[list(TRAITS)]
    covariates = _numeric(_by_iid("covar").reindex(ids))
    for trait in TRAITS:  # columns 6 and on of the .fam
        fam[trait] = traits[trait].fillna("NA").to_numpy()
    _write_autosomes(folder)
    fam.drop(columns=5).to_csv(folder / "auto.fam", sep="\t", header=False, index=False)
    with_intercept = covariates.assign(intercept=1.0)
    with_intercept.to_csv(folder / "c.txt", sep="\t", header=False, index=False, na_rep="NA")
    for number, trait in enumerate(TRAITS, start=1):
        inputs = ["-bfile", "auto", "-k", "K.txt", "-c", "c.txt", "-n", str(number)]
        _gemma(folder, trait, *inputs, "-lmm", "4")
    tables = ["--pheno", TEST_DATA / "pheno.tsv", "--covar", TEST_DATA / "covar.tsv"]
    study = ["--bfile", _STUDY, *tables, "--grm", grm, "--chr", "1-22", "--mac", "0", "--geno", "1"]
    for test in GEMMA_TESTS:
        options = [*GEMMA_OPTIONS, "--test", test, "--plots", "none", "--out", folder / test]
        run_lmmgwas("assoc", *study, *options)
    checks = []
    for trait in TRAITS:
        model = partial(GemmaModel.of, _STUDY, grm, traits[trait].astype(float), covariates)
        checks += _null_model(folder, trait, model)
        table = folder / f"{trait}.assoc.txt"
        for test in GEMMA_TESTS:
            checks += compare_with_gemma(table, folder / test, trait, test, model)
    return checks


def _by_iid(name: str) -> pd.DataFrame:
    return pd.read_csv(TEST_DATA / f"{name}.tsv", sep="\t", dtype=str).set_index("IID")


def _numeric(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return age, and sex and site as indicators of all but one category; NaN where missing."""
    columns = {"age": covariates["age"].astype(float)}
    for name in ("sex", "site"):
        for category in sorted(covariates[name].dropna().unique())[1:]:
            indicator = (covariates[name] == category).astype(float)
            columns[f"{name}_{category}"] = indicator.where(covariates[name].notna())
    return pd.DataFrame(columns)


def _null_model(folder: Path, trait: str, model: Callable[[], GemmaModel]) -> list[Check]:
    """The null model's variances that GEMMA writes to its log, to its printed digits."""
    log = (folder / f"{trait}.log.txt").read_text(encoding="utf-8")
    lines = [
        line[3:].split(" = ", 1) for line in log.split("\n") if " in the null model = " in line
    ]
    printed = {label.split(" ", 1)[0]: text.strip() for label, text in lines}
    row = read_results(folder / "wald", trait, ".null.tsv").set_index("group").loc["all"]
    vg = float(row["sigma_g2"]) / float(row["grm_scale"])
    figures = {"vg": vg, "ve": row["sigma_e2"], "pve": row["h2"], "se(pve)": row["h2_se"]}
    ours = {name: f"{float(value):.6g}" for name, value in figures.items()}
    ours["REMLE"] = f"{float(row['loglik']):.6g}"
    checks = []
    for name, text in ours.items():
        stopped = name in ("vg", "ve") and text != printed[name]
        met = None if stopped else text == printed[name]
        checks.append(Check(f"{trait} {name}, printed digits", printed[name], text, met))
    if any(check.ok is None for check in checks):
        gemma = model()
        best = gemma.best_ratio(vg / float(row["sigma_e2"]), gemma.X)
        checks += _stopped_null_model(trait, ours, printed, gemma, best)
    return checks


def _stopped_null_model(
    trait: str, ours: dict[str, str], theirs: dict[str, str], gemma: GemmaModel, best: float
) -> list[Check]:
    """Ours are those at the best lambda; theirs are those where GEMMA's search may stop."""
    wanted, printed = (
        ", ".join(f"{name} {figures[name]}" for name in ("vg", "ve")) for figures in (ours, theirs)
    )

    def at(shift: float) -> str:
        vg, ve = gemma.variances(best * (1.0 + shift))
        return f"vg {vg:.6g}, ve {ve:.6g}"

    shifts = np.linspace(-STOP, STOP, 2001)
    found = [shift for shift in shifts[np.argsort(np.abs(shifts))] if at(shift) == printed]
    nearest = f"yes, from {found[0]:.0e} on" if found else "no"
    there = f"{trait} {printed}, dense within {STOP:g} of the best lambda"
    return [
        Check(f"{trait} null model, dense at the best lambda", wanted, at(0.0), at(0.0) == wanted),
        Check(there, "yes", nearest, bool(found)),
    ]


def _gemma_grm(folder: Path) -> np.ndarray:
    """Run GEMMA on the autosomes, with its filters open.

    GEMMA leaves people without a trait out of its variant filters, so all get a trait.
    """
    _write_autosomes(folder)
    fam = pd.read_csv(f"{_STUDY}.fam", sep=r"\s+", header=None, dtype=str)
    fam[5] = [str(k % 7) for k in range(len(fam))]
    fam.to_csv(folder / "auto.fam", sep="\t", header=False, index=False)
    _gemma(folder, "gemma", "-bfile", "auto", "-gk", "1")
    return np.loadtxt(folder / "gemma.cXX.txt")


def _program() -> str:
    gemma = shutil.which("gemma")
    if gemma is None:
        raise UnavailableError("gemma is not installed")
    return gemma


def _gemma(folder: Path, name: str, *arguments: str) -> None:
    """Run GEMMA in a folder; its files there are called name."""
    done = subprocess.run(
        [_program(), *arguments, *_OPEN, "-outdir", ".", "-o", name],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not (folder / f"{name}.log.txt").exists():
        raise RuntimeError(f"gemma ended with exit code {done.returncode}:\n{done.stderr[-500:]}")


def _write_autosomes(folder: Path) -> None:
    """Copy the rows of .bed and .bim that lie on chromosomes 1 to 22: GEMMA cannot choose."""
    bim = (TEST_DATA / "study.bim").read_text(encoding="ascii").splitlines(keepends=True)
    autosomal = np.array([line.split("\t", 1)[0].isdigit() for line in bim])
    calls = np.fromfile(TEST_DATA / "study.bed", dtype=np.uint8)
    rows = calls[3:].reshape(len(bim), -1)
    (folder / "auto.bed").write_bytes(calls[:3].tobytes() + rows[autosomal].tobytes())
    kept = [line for line, wanted in zip(bim, autosomal, strict=True) if wanted]
    (folder / "auto.bim").write_text("".join(kept), encoding="ascii")


CHECKS = [
    ("GEMMA 0.98.5, null models of the mice with its matrix", gemma_null_models),
    *(
        (f"GEMMA 0.98.5, tables of the mice with its matrix, {test}", partial(gemma_tables, test))
        for test in GEMMA_TESTS
    ),
    ("GEMMA, -gk 1 on test_data", centred_grm),
    ("GEMMA, -lmm 4 on test_data with covariates", every_variant),
]
