"""The selftest: it passes on a sound installation, and finds one that is not."""

from pathlib import Path

import numpy as np
import pytest
from oracles import dense_wald

from lmmgwas.cli import selftest as command
from lmmgwas.errors import NumericalError
from lmmgwas.model import dense_oracle
from lmmgwas.model.machine_checks import Finding
from lmmgwas.model.simulate import simulate_study
from lmmgwas.pipeline import selftest_run
from lmmgwas.pipeline.selftest_run import Commands, describe, run_selftest
from lmmgwas.pipeline.selftest_study import SETTINGS, TESTED, OracleStudy

COMMANDS = Commands(command._grm, command._assoc)


@pytest.fixture(scope="module")
def oracle() -> OracleStudy:
    return OracleStudy(simulate_study(SETTINGS))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, oracle: OracleStudy) -> None:
    """Without the checks of the machine, and with a study that is simulated already."""
    monkeypatch.setattr(selftest_run, "machine_findings", list)
    monkeypatch.setattr(selftest_run, "OracleStudy", lambda study: oracle)


def ways(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    some = tuple(way for way in selftest_run._WAYS if way.name in names)
    assert len(some) == len(names)
    monkeypatch.setattr(selftest_run, "_WAYS", some)


def failures(folder: Path) -> dict[str, str]:
    """The lines of the checks that fail, by their names."""
    said: list[str] = []
    with pytest.raises(NumericalError, match=r"E905.*cannot be trusted") as caught:
        run_selftest(folder, COMMANDS, 1, said.append)
    assert caught.value.exit_code == 9
    return {line[:52].strip(): line for line in said if "FAILED" in line}


def test_all_ways_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    findings = run_selftest(tmp_path, COMMANDS, 1, said.append)
    assert len(said) == len(findings) > 50
    assert all(finding.passed for finding in findings)
    assert all(finding.error < 0.5 * finding.bound for finding in findings if finding.bound > 0)
    assert capsys.readouterr() == ("", "")  # the runs themselves say nothing
    names = {finding.name.split(":")[0] for finding in findings}
    assert {way.name for way in selftest_run._WAYS} <= names
    calibrated = next(f for f in findings if f.name == "calibrated scan: chi-square")
    assert int(calibrated.note.split()[0]) > 100
    assert calibrated.error > 0.0


def test_what_the_study_has(oracle: OracleStudy) -> None:
    """More than 512 samples for factors in float32, enough variants to calibrate."""
    assert oracle.n_samples > 530
    assert len(oracle.expected("1").marker_ids) > 150
    assert oracle.X.shape == (oracle.n_samples, 5)
    assert 0.1 < oracle.fit(None, restricted=True).h2 < 0.99
    assert TESTED[-1] == "X"


def test_its_oracle_agrees_with_that_of_the_tests(oracle: OracleStudy) -> None:
    """Two dense oracles that share nothing, on one variant of each chromosome."""
    for chromosome, left_out in (("1", "1"), ("X", None)):
        K = oracle.kernel(left_out)
        x = oracle.expected(chromosome).genotypes[3]
        found = dense_oracle.tests(x[None, :], oracle.y, oracle.X, K, 0.5)
        V = 0.5 * K + 0.5 * np.eye(oracle.n_samples)
        beta, se, _, p = dense_wald(x, oracle.y, oracle.X, K, 0.5, np.linalg.inv(V))
        assert found.beta[0] == pytest.approx(beta, rel=1e-8)
        assert found.se[0] == pytest.approx(se, rel=1e-8)
        assert found.wald[0] == pytest.approx(p, rel=1e-8)


@pytest.mark.usefixtures("quick")
def test_a_wrong_beta_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmmgwas.model import variant_tests

    ways(monkeypatch, "Cholesky, single")
    right = variant_tests.wald

    def wrong(products, trait):
        found = right(products, trait)
        found.beta[...] *= 1.001
        return found

    monkeypatch.setattr(variant_tests, "wald", wrong)
    assert any(name.startswith("Cholesky, single") for name in failures(tmp_path))


@pytest.mark.usefixtures("quick")
def test_a_wrong_tile_of_the_grm_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmmgwas.pipeline import grm_sums

    ways(monkeypatch, "Cholesky, single")
    right = grm_sums.fill_block

    def wrong(calls, centre, scale, out):
        right(calls, centre, scale, out)
        out[0, 5] += 3.0

    monkeypatch.setattr(grm_sums, "fill_block", wrong)
    found = failures(tmp_path)
    assert "E903" in found["grm: the command"]


@pytest.mark.usefixtures("quick")
def test_a_wrong_k_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is made of the files for the models: one sample's relatives, a tenth off."""
    from lmmgwas.pipeline import relatedness

    ways(monkeypatch, "spectral, double")
    right = relatedness.centre_and_scale

    def wrong(K, threads=1):
        K[40, :40] *= 1.1
        return right(K, threads)

    monkeypatch.setattr(relatedness, "centre_and_scale", wrong)
    assert any(name.startswith("spectral, double") for name in failures(tmp_path))


@pytest.mark.usefixtures("quick")
def test_a_null_model_beside_the_optimum_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmmgwas.model import null_model

    ways(monkeypatch, "spectral, double")
    right = null_model.maximise

    def wrong(likelihood, grid, **named):
        found = right(likelihood, grid, **named)
        return type(found)(likelihood.point(found.point.h2 - 0.03), found.status, 1)

    monkeypatch.setattr(null_model, "maximise", wrong)
    assert "spectral, double: h2, in log-likelihood" in failures(tmp_path)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", ["variant", "count"])
def test_wrong_genotypes_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oracle: OracleStudy, fault: str
) -> None:
    """A reader that shifts the samples by one, and one that loses calls."""
    from lmmgwas.io.bed import BedFile

    ways(monkeypatch, "ordinary regression")
    right = BedFile.read

    def wrong(self, index):
        calls = right(self, index)
        if fault == "variant":
            return np.ascontiguousarray(np.roll(calls, 1, axis=1))
        calls[:, 7] = -127
        return calls

    monkeypatch.setattr(BedFile, "read", wrong)
    found = failures(tmp_path)
    assert any(name.startswith("ordinary regression") for name in found)
    assert any(name.startswith("grm") for name in found)


@pytest.mark.usefixtures("quick")
def test_a_table_that_other_tools_cannot_read_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmmgwas.io import tabix

    ways(monkeypatch, "Cholesky, single")
    monkeypatch.setattr(selftest_run, "_WAYS", selftest_run._WAYS[:1])
    monkeypatch.setattr(tabix, "_WINDOW_BITS", 13)
    found = failures(tmp_path)
    assert any(name.startswith(("files", "Cholesky, single: the command")) for name in found)


def test_a_machine_that_is_not_sound_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oracle: OracleStudy
) -> None:
    monkeypatch.setattr(selftest_run, "OracleStudy", lambda study: oracle)
    monkeypatch.setattr(selftest_run, "_WAYS", ())
    monkeypatch.setattr(
        selftest_run, "machine_findings", lambda: [Finding("large inverse", 0.5, 1e-5)]
    )
    assert list(failures(tmp_path)) == ["large inverse"]


def test_lines() -> None:
    good = describe(Finding("matrix product", 3e-7, 1e-5))
    assert good == f"{'matrix product':<52}     3e-07     1e-05  ok"
    bad = describe(Finding("x", float("nan"), 1e-5, "why"))
    assert bad.endswith("FAILED  (why)")
