"""Checks of samples and of a given GRM, as functions; through the command line they are rows of
the catalogue (sections F and G)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import simulate_study

from lmmgwas.errors import DegenerateError, LmmgwasError, MismatchError
from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.pipeline.flow import SampleFlow
from lmmgwas.pipeline.grm_checks import check_definite, require_finite
from lmmgwas.pipeline.inputs import Genotypes, open_genotypes
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import FileSet, GenotypeOptions
from lmmgwas.pipeline.sample_checks import check_in_grm, random_calls, warn_of_twins


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logbook]:
    with Logbook(tmp_path / "log", verbosity=0, strict=False) as book:
        yield book


@pytest.fixture
def genotypes(tmp_path: Path, log: Logbook) -> Genotypes:
    files = simulate_study().write(tmp_path / "in")
    named = FileSet.of(str(files.bfile), None, None, None)
    return open_genotypes(GenotypeOptions(named), log)


def packed(K: np.ndarray) -> Grm:
    n = len(K)
    ids = tuple(f"S{k}" for k in range(n))
    fid = ("",) + ("F",) * (n - 1)
    return Grm(fid, ids, PackedPart(K[np.tril_indices(n)].astype(np.float32), 100), {})


# --- Random variants --------------------------------------------------------------------------


def test_random_variants_are_autosomal_and_the_same_each_time(genotypes: Genotypes) -> None:
    some = np.array([3, 50, 117])
    one, two = (random_calls(genotypes, 100, some) for _ in range(2))
    assert len(one.variants) == 100
    np.testing.assert_array_equal(one.variants.source_index, two.variants.source_index)
    labels = [one.variants.chromosomes[k].name for k in one.variants.chrom]
    assert set(labels) <= {"1", "2", "3", "4"}
    assert labels == sorted(labels)
    expected = genotypes.source.read(one.variants.source_index)[:, some]
    np.testing.assert_array_equal(np.concatenate(list(one.blocks)), expected)


def test_all_variants_where_there_are_few(genotypes: Genotypes) -> None:
    found = random_calls(genotypes, 10_000, np.arange(118))
    assert len(found.variants) == 240
    assert sum(len(block) for block in found.blocks) == 240


# --- Samples that the GRM lacks ---------------------------------------------------------------


def flow(n_analysed: int, n_lacking: int, n_others: int = 5) -> SampleFlow:
    reasons = [""] * n_analysed + ["NOT_IN_GRM"] * n_lacking + ["NOT_IN_PHENO"] * n_others
    n = len(reasons)
    frame = pd.DataFrame(
        {
            "FID": ["0"] * n,
            "IID": [f"S{k}" for k in range(n)],
            "in_genotypes": 1,
            "analysed": [int(not reason) for reason in reasons],
            "reason": reasons,
        }
    )
    return SampleFlow(frame, {})


def test_a_grm_of_all_samples_is_not_spoken_of(log: Logbook) -> None:
    check_in_grm(flow(40, 0), log)
    assert log.warnings == []


@pytest.mark.parametrize(("n_analysed", "n_lacking"), [(40, 1), (40, 40)])
def test_samples_that_are_lacking_are_warned_of(
    log: Logbook, n_analysed: int, n_lacking: int, capsys: pytest.CaptureFixture[str]
) -> None:
    check_in_grm(flow(n_analysed, n_lacking), log)
    (said,) = log.warnings
    assert said.startswith(f"{n_lacking} of {n_analysed + n_lacking} samples")
    assert "S40" not in said  # the manifest names nobody
    assert "0 S40" in capsys.readouterr().err


@pytest.mark.parametrize(("n_analysed", "n_lacking"), [(40, 41), (0, 40)])
def test_a_grm_of_fewer_than_half_is_refused(log: Logbook, n_analysed: int, n_lacking: int) -> None:
    with pytest.raises(MismatchError, match=r"E711.*--keep"):
        check_in_grm(flow(n_analysed, n_lacking), log)


# --- Values -----------------------------------------------------------------------------------


def kernel(n: int = 60) -> np.ndarray:
    Z = np.random.default_rng(1).standard_normal((300, n))
    return Z.T @ Z / 300


def look_for_twins(K: np.ndarray, rows: np.ndarray, log: Logbook) -> None:
    grm = packed(K)
    warn_of_twins(grm.whole.values, (grm.fid, grm.iid), rows, 1, log)


def test_twins_are_named_up_to_twenty(log: Logbook, capsys: pytest.CaptureFixture[str]) -> None:
    K = kernel()
    look_for_twins(K, np.arange(60), log)
    assert log.warnings == []
    Z = np.random.default_rng(1).standard_normal((300, 60))
    Z[:, 10:17] = Z[:, [9]]
    look_for_twins(Z.T @ Z / 300, np.arange(60), log)
    (said,) = log.warnings
    assert said.startswith("28 pairs of samples")
    assert "F S9" not in said  # the manifest names nobody
    said = capsys.readouterr().err
    assert "F S9 and F S10" in said
    assert said.count(" and F S") == 20
    assert "and 8 more" in said


def test_twins_who_are_not_of_the_study_are_not_named(log: Logbook) -> None:
    K = kernel()
    K[5, 4] = K[4, 5] = 1.0
    look_for_twins(K, np.delete(np.arange(60), 4), log)
    assert log.warnings == []
    look_for_twins(K, np.arange(60), log)
    assert len(log.warnings) == 1


def test_a_value_that_is_not_finite_has_its_place() -> None:
    grm = packed(kernel())
    require_finite(grm, grm.whole, Path("x.grm.bin"))
    grm.whole.values[3] = np.nan  # row 2, column 0
    with pytest.raises(DegenerateError) as caught:
        require_finite(grm, grm.whole, Path("x.grm.bin"))
    problem = caught.value.problems[0]
    assert problem.where == "x.grm.bin"
    assert "samples F S2 and 0 S0 (row 3, column 1) is nan" in problem.message


@pytest.mark.parametrize("refits", [False, True])
def test_negative_eigenvalues(log: Logbook, refits: bool) -> None:
    S, U = np.linalg.eigh(kernel())
    check_definite(packed((U * S) @ U.T), np.arange(60), log, refits=refits)
    S[:10] = 0.0
    check_definite(packed((U * S) @ U.T), np.arange(60), log, refits=refits)
    assert log.warnings == []  # of rounding size only
    S[0] = -1e-3 * S[-1]
    wrong = packed((U * S) @ U.T)
    if refits:
        with pytest.raises(LmmgwasError, match=r"E701.*--variance null"):
            check_definite(wrong, np.arange(60), log, refits=True)
        return
    check_definite(wrong, np.arange(60), log, refits=False)
    assert "not positive semi-definite" in log.warnings[0]
