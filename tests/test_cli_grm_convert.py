"""`lmmgwas grm --convert` in short; all formats as a user meets them: test_cli_grm_formats."""

from pathlib import Path

import numpy as np
import pytest
from conftest import RunCli, StudyFiles


@pytest.fixture
def grm(run_cli: RunCli, small_study: StudyFiles, tmp_path: Path) -> Path:
    prefix = tmp_path / "g"
    assert run_cli("grm", "--bfile", small_study.bfile, "--out", prefix).exit_code == 0
    return prefix


def test_a_matrix_as_an_array(run_cli: RunCli, grm: Path, tmp_path: Path) -> None:
    """The lower triangle of GCTA's file, row by row, is that of the array."""
    out = tmp_path / "array"
    done = run_cli("grm", "--convert", "npy", "--grm", grm, "--out", out)
    assert done.exit_code == 0, done.stderr
    K = np.load(tmp_path / "array.npy", allow_pickle=False)
    stored = np.fromfile(f"{grm}.grm.bin", dtype="<f4")
    np.testing.assert_array_equal(K[np.tril_indices(len(K))], stored)
    np.testing.assert_array_equal(K, K.T)


@pytest.mark.parametrize(
    "options",
    [
        ["--convert", "npy"],
        ["--grm", "GRM"],
        ["--convert", "npy", "--grm", "GRM", "--eigen"],
        ["--convert", "npy", "--grm", "GRM", "--pca", 3],
    ],
    ids=str,
)
def test_options_that_do_not_go_together(
    run_cli: RunCli, grm: Path, tmp_path: Path, options: list[object]
) -> None:
    given = [grm if option == "GRM" else option for option in options]
    refused = run_cli("grm", *given, "--out", tmp_path / "x")
    assert refused.exit_code == 2
    assert "[E020]" in refused.stderr
    assert not list(tmp_path.glob("x*"))
