"""How long a run takes, about: what it must grow with, and two runs that were measured."""

from dataclasses import replace

import pytest

from lmmgwas.model.duration import UNCERTAINTY, run_duration
from lmmgwas.model.memory import GrmSize, StudySize
from lmmgwas.model.whitening import WhitenerKind

GRM = GrmSize(5000, 5000, 100_000, 22)
STUDY = StudySize(
    n=5000,
    n_file=5000,
    n_covariates=3,
    n_traits=1,
    n_variants=100_000,
    largest_group=4546,
    n_fits=22,
    threads=2,
    kind=WhitenerKind.CHOLESKY,
    plots=False,
)
RATE = 194e9  # of a float32 product on both processors of the machine of RESULTS.md


def test_a_run_that_was_measured() -> None:
    """scripts/bench/RESULTS.md, case a: 16.7 s, 32.9 s, 15.8 s; 67.8 s in all."""
    found = run_duration(GRM, (STUDY,), RATE, 2)
    for reckoned, measured in (
        (found.grm, 16.7),
        (found.fits, 32.9),
        (found.tests, 15.8),
        (found.total, 67.8),
    ):
        assert measured / UNCERTAINTY < reckoned < measured * UNCERTAINTY


def test_a_run_of_many_variants_that_was_measured() -> None:
    """Case d: 500 people, 5,000,000 variants, a GRM of 100,000 of them: 28.7 to 43.5 s."""
    grm = GrmSize(500, 500, 100_000, 22)
    study = replace(STUDY, n=500, n_file=500, n_variants=5_000_000, largest_group=227_273)
    found = run_duration(grm, (study,), RATE, 2)
    assert 30.2 / UNCERTAINTY < found.total < 30.2 * UNCERTAINTY


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"n": 10_000, "n_file": 10_000}, "fits"),
        ({"n_fits": 44}, "fits"),
        ({"n_traits": 5}, "tests"),
        ({"n_variants": 200_000}, "tests"),
        ({"kind": WhitenerKind.SPECTRAL}, "fits"),
        ({"per_variant": True, "kind": WhitenerKind.SPECTRAL}, "tests"),
        ({"plots": True}, "rest"),
    ],
)
def test_more_takes_longer(changes: dict[str, object], part: str) -> None:
    plain, more = (
        getattr(run_duration(None, (size,), RATE, 2), part)
        for size in (STUDY, replace(STUDY, **changes))  # type: ignore[arg-type]
    )
    assert more > plain


def test_less_takes_less() -> None:
    plain = run_duration(GRM, (STUDY,), RATE, 2)
    assert run_duration(GRM, (STUDY,), 2 * RATE, 2).total < plain.total
    assert run_duration(None, (STUDY,), RATE, 2).grm == 0.0
    calibrated = run_duration(None, (replace(STUDY, calibrated=True),), RATE, 2)
    assert calibrated.tests < plain.tests
    kept = replace(STUDY, kind=WhitenerKind.SPECTRAL)
    fits = [run_duration(None, (s,), RATE, 2).fits for s in (kept, replace(kept, kept=True))]
    assert fits[1] < 0.1 * fits[0]
    ordinary = run_duration(None, (replace(STUDY, kind=WhitenerKind.IDENTITY),), RATE, 2)
    assert ordinary.fits == 0.0


def test_the_parts_are_all() -> None:
    found = run_duration(GRM, (STUDY,), RATE, 2)
    assert found.total == found.grm + found.fits + found.tests + found.rest


def test_of_a_grm_alone() -> None:
    """n^2 m operations, and nothing that a study has."""
    found = run_duration(GRM, (), RATE, 2)
    assert found.fits == found.tests == 0.0
    assert found.grm > 5000**2 * 100_000 / RATE
    eigen = run_duration(replace(GRM, eigen=True), (), RATE, 2)
    assert eigen.grm > 5 * found.grm
