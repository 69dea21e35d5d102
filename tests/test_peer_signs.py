"""Whose allele a beta belongs to, by PLINK 2, where it is installed."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RunCli, StudyFiles, read_tsv

PLINK2 = shutil.which("plink2")


@pytest.mark.skipif(PLINK2 is None, reason="plink2 is not installed")
def test_signs_are_those_of_plink2(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path
) -> None:
    """`--glm` and `--h2 0`: the same allele, the same sign.

    PLINK 2 drops people with a missing call and we take the mean: effects that are small against
    their error may differ in sign, so those are not compared.
    """
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    tables = ["--pheno", small_study.pheno, "--pheno-name", "height", "--covar", small_study.covar]
    chosen = ["--covar-name", "age,PC1,PC2", "--chr", "1-4"]
    command = ["--bfile", small_study.bfile, *tables, *chosen, "--threads", "1"]
    glm = ["--glm", "hide-covar", "cols=+a1freq,+beta", "--covar-variance-standardize"]
    done = subprocess.run(
        [str(PLINK2), *map(str, command), *glm, "--out", str(theirs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = run_cli("assoc", *command, "--h2", "0", "--plots", "none", "--out", ours)
    assert result.exit_code == 0, result.stderr
    glm_table = pd.read_csv(f"{theirs}.height.glm.linear", sep="\t").set_index("ID")
    found = read_tsv(Path(f"{ours}.height.tsv.gz")).set_index("marker_id")
    both = found.join(glm_table, how="inner")
    both = both[both["BETA"].notna()]
    assert len(both) > 200
    beta, se = both["beta"].astype(float), both["standard_error"].astype(float)
    same_allele = np.where(both["effect_allele"] == both["A1"], 1.0, -1.0)
    clear = np.abs(beta) > 0.5 * se
    assert clear.sum() > 100
    assert (np.sign(beta) == np.sign(same_allele * both["BETA"]))[clear].all()
    known = set(both["REF"] + both["ALT"]) | set(both["ALT"] + both["REF"])
    assert set(both["effect_allele"] + both["other_allele"]) <= known
