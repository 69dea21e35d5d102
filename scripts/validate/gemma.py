"""GEMMA: its published null models with its own matrix, and its matrix on test_data."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
from reference import (
    TEST_DATA,
    Check,
    UnavailableError,
    at_most,
    gemma_null_models,
    none_of,
    run_lmmgwas,
)

GRM_LIMIT = 1e-6
"""Of the mean diagonal. GEMMA prints 10 significant digits, ours are float32: both are finer."""


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


def _gemma_grm(folder: Path) -> np.ndarray:
    """Run GEMMA on the autosomes, with its filters open; it drops what does not vary, as we do.

    GEMMA leaves people without a trait out of its variant filters, so all get a trait.
    """
    gemma = shutil.which("gemma")
    if gemma is None:
        raise UnavailableError("gemma is not installed")
    _write_autosomes(folder)
    fam = pd.read_csv(TEST_DATA / "study.fam", sep=r"\s+", header=None, dtype=str)
    fam[5] = [str(k % 7) for k in range(len(fam))]
    fam.to_csv(folder / "auto.fam", sep="\t", header=False, index=False)
    command = [gemma, "-bfile", "auto", "-gk", "1", "-maf", "0", "-miss", "1", "-r2", "1"]
    done = subprocess.run(
        [*command, "-outdir", ".", "-o", "gemma"],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    matrix = folder / "gemma.cXX.txt"
    if done.returncode != 0 or not matrix.exists():
        raise RuntimeError(f"gemma ended with exit code {done.returncode}:\n{done.stderr[-500:]}")
    return np.loadtxt(matrix)


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
    ("GEMMA, -gk 1 on test_data", centred_grm),
]
