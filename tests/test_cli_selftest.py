"""`lmmgwas selftest` and the checks within a run, through the command line."""

from pathlib import Path

import numpy as np
import pytest
from conftest import RunCli, StudyFiles

from lmmgwas.model.machine_checks import Finding
from lmmgwas.pipeline import selftest_run


def test_selftest_passes_and_leaves_nothing(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest_run, "_WAYS", selftest_run._WAYS[:1])
    result = run_cli("selftest", "--threads", 1, "--tmpdir", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "grm: 23 matrices" in result.stderr
    assert "Cholesky, single: beta, se, p" in result.stderr
    assert "FAILED" not in result.stderr
    assert result.stderr.splitlines()[-1].endswith("checks passed")
    assert list(tmp_path.iterdir()) == []


def test_selftest_that_fails_says_so(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest_run, "_WAYS", ())
    wrong = [Finding("matrix product, float32", 0.25, 2e-5)]
    monkeypatch.setattr(selftest_run, "machine_findings", lambda: wrong)
    result = run_cli("selftest", "--threads", 1, "--tmpdir", tmp_path)
    assert result.exit_code == 9
    assert "matrix product, float32" in result.stderr
    assert "FAILED" in result.stderr
    assert "[E905] 1 of 3 checks failed (matrix product, float32)" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_selftest_needs_a_folder_that_is_there(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("selftest", "--tmpdir", tmp_path / "nowhere")
    assert result.exit_code == 7
    assert "E111" in result.stderr
    assert "--tmpdir" in result.stderr


def test_selftest_is_listed(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("--help").exit_code == 0
    assert "selftest" in capsys.readouterr().out


def spoil_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """One value of each tile of the GRM is wrong."""
    from lmmgwas.pipeline import grm_sums

    right = grm_sums.fill_block

    def wrong(calls, centre, scale, out):
        right(calls, centre, scale, out)
        out[0, 50] += 0.5

    monkeypatch.setattr(grm_sums, "fill_block", wrong)


def spoil_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """One element of each product is wrong, by one part in a thousand of the mean diagonal."""
    from lmmgwas.model import grm_sum

    right = grm_sum.add_trapezoid_in_place

    def wrong(tile, first, out):
        right(tile, first, out)
        out[70, 20] += 0.05

    monkeypatch.setattr(grm_sum, "add_trapezoid_in_place", wrong)


def spoil_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is packed for the file is wrong."""
    from lmmgwas.model import grm_sum

    right = grm_sum.pack_rows

    def wrong(first, values, divisor, chunk, out):
        right(first, values, divisor, chunk, out)
        out[17] = np.float32(out[17] + 0.01)

    monkeypatch.setattr(grm_sum, "pack_rows", wrong)


@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize("spoil", [spoil_tiles, spoil_sums, spoil_files])
def test_a_wrong_grm_is_never_written(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil,
    pairwise: bool,
) -> None:
    spoil(monkeypatch)
    out = tmp_path / "out"
    out.mkdir()
    missing = ["--grm-missing", "pairwise"] if pairwise else []
    result = run_cli("grm", "--bfile", small_study.bfile, *missing, "--out", out / "x")
    assert result.exit_code == 9, result.stderr
    assert "[E903]" in result.stderr
    assert "group 1" in result.stderr
    assert "lmmgwas selftest" in result.stderr
    assert [path.name for path in out.iterdir()] == ["x.log"]


def test_a_study_with_a_wrong_grm_ends_before_its_tests(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_sums(monkeypatch)
    out = tmp_path / "out"
    out.mkdir()
    result = run_cli("assoc", *small_study.inputs, "--out", out / "x")
    assert result.exit_code == 9, result.stderr
    assert "[E903]" in result.stderr
    assert not [path.name for path in out.iterdir() if path.name.endswith((".tsv", ".gz"))]


def test_pairwise_counts_are_checked_too(
    run_cli: RunCli, small_study: StudyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts alone are wrong: by one variant, for one pair."""
    from lmmgwas.model import grm_sum

    right = grm_sum.pack_rows

    def wrong(first, values, divisor, chunk, out):
        right(first, values, divisor, chunk, out)
        if divisor.shape == (1, 1):
            out[17] += 1.0

    monkeypatch.setattr(grm_sum, "pack_rows", wrong)
    where = ["--bfile", small_study.bfile, "--grm-missing", "pairwise", "--out", tmp_path / "x"]
    result = run_cli("grm", *where)
    assert result.exit_code == 9, result.stderr
    assert "[E903]" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--whitener", "cholesky"],
        ["--whitener", "spectral", "--precision", "double"],
        ["--h2", "0"],
        ["--test", "score"],
        ["--variance", "per-variant"],
    ],
    ids=lambda options: options[1],
)
def test_a_scan_that_goes_wrong_is_not_written(
    run_cli: RunCli,
    small_study: StudyFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    """Every beta is off by a thousandth, wherever it comes from."""
    from lmmgwas.model import variant_tests

    def spoilt(right):
        def wrong(*given, **named):
            found = right(*given, **named)
            found.beta[...] *= 1.001
            return found

        return wrong

    for name in ("wald", "refit_variants"):
        monkeypatch.setattr(variant_tests, name, spoilt(getattr(variant_tests, name)))
    out = tmp_path / "out"
    out.mkdir()
    result = run_cli("assoc", *small_study.inputs, *options, "--out", out / "x")
    assert result.exit_code == 9, result.stderr
    assert "[E904] trait height, variant rs" in result.stderr
    assert "lmmgwas selftest" in result.stderr
    assert not [path.name for path in out.iterdir() if path.name.endswith((".tsv", ".gz"))]
