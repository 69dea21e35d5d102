"""The search for h2 against a dense one, and against likelihoods made to mislead it."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from oracles import centred_kernel, dense_reml_fit
from simulate import FEW, SWEEP, Axes, make_problem

from lmmgwas.numerics.likelihood import H2_MAX, CholeskyReml, RemlPoint, SpectralReml
from lmmgwas.numerics.linalg import NotPositiveDefiniteError
from lmmgwas.numerics.optimise import (
    COARSE_GRID,
    FINE_GRID,
    Status,
    _hermite_root,
    maximise,
    maximise_from,
)

H2_ATOL = 1e-8
"""design.md promises 1e-8 in -log10 p, which moves by about ten times the error of h2 or less."""

STATUS_OF_END = {"": Status.CONVERGED, "lower": Status.LOWER_BOUND, "upper": Status.UPPER_BOUND}


def standardised(axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    problem = make_problem(axes)
    y = (problem.y - problem.y.mean()) / problem.y.std()
    return centred_kernel(problem.K)[0], y, problem.basis


def spectral(K: np.ndarray, y: np.ndarray, X: np.ndarray) -> SpectralReml:
    S, U = np.linalg.eigh(K)
    return SpectralReml(np.maximum(S, 0.0), U.T @ y, U.T @ X)


@pytest.mark.parametrize("axes", SWEEP, ids=str)
def test_optimum_against_the_dense_search(axes: Axes) -> None:
    K, y, X = standardised(axes)
    expected = dense_reml_fit(K, y, X)
    for found in (
        maximise(spectral(K, y, X), FINE_GRID),
        maximise(CholeskyReml(K, y, X), COARSE_GRID),
    ):
        assert found.status is STATUS_OF_END[expected.end]
        assert found.point.h2 == pytest.approx(expected.h2, abs=H2_ATOL)
        # At the maximum an error of 1e-8 in h2 does not show; rounding as in the likelihood's
        # own test.
        assert found.point.loglik == pytest.approx(expected.loglik, abs=1e-8)
        # sigma2 moves at most by sigma2/(1 - h2) per unit of h2.
        room = 1.0 - found.point.h2
        assert found.point.sigma2 == pytest.approx(expected.sigma2, rel=1e-8 + H2_ATOL / room)


def test_the_sweep_meets_every_outcome() -> None:
    ends = {dense_reml_fit(*standardised(axes)).end for axes in SWEEP[::2]}
    assert ends == {"", "lower", "upper"}


@pytest.mark.parametrize("axes", FEW, ids=str)
def test_warm_start_equals_cold_start(axes: Axes) -> None:
    likelihood = CholeskyReml(*standardised(axes))
    cold = maximise(likelihood, COARSE_GRID)
    for offset in (-0.15, -0.03, 0.002, 0.1):
        warm = maximise_from(likelihood, cold.point.h2 + offset)
        if cold.status is Status.CONVERGED and 0.01 < cold.point.h2 < 0.99:
            assert warm is not None
            assert warm.point.h2 == pytest.approx(cold.point.h2, abs=H2_ATOL)
            assert warm.n_points <= 8
        elif warm is not None:  # an end must never be reported as an inner optimum
            assert warm.status is cold.status
            assert warm.point.h2 == pytest.approx(cold.point.h2, abs=H2_ATOL)


@pytest.mark.parametrize("axes", FEW, ids=str)
def test_draft_changes_nothing(axes: Axes) -> None:
    likelihood = CholeskyReml(*standardised(axes))
    plain = maximise(likelihood, COARSE_GRID)
    try:
        drafted = maximise(likelihood, COARSE_GRID, likelihood.draft())
    except NotPositiveDefiniteError:  # float32 near h2 = 1: the caller searches without a draft
        assert plain.point.h2 > 0.99
        return
    assert drafted.status is plain.status
    assert drafted.point.h2 == pytest.approx(plain.point.h2, abs=H2_ATOL)


def test_flat_where_the_kernel_is_the_identity() -> None:
    rng = np.random.default_rng(1)
    K, _ = centred_kernel(np.eye(40))
    y = rng.standard_normal(40)
    X = np.full((40, 1), 40**-0.5)
    for likelihood in (spectral(K, y, X), CholeskyReml(K, y, X)):
        found = maximise(likelihood, FINE_GRID)
        assert found.status is Status.FLAT
        assert found.point.h2 == 0.0


@dataclass
class Hills:
    """A log-likelihood that is a sum of Gaussian hills, with exact derivatives.

    Where `broken_from` is passed V is not positive definite, as for an indefinite K.
    """

    hills: tuple[tuple[float, float, float], ...]  # height, place, width
    slope: float = 0.0
    broken_from: float = math.inf
    seen: list[float] = field(default_factory=list)

    def _sums(self, h2: float) -> tuple[float, float, float]:
        value, first, second = self.slope * h2, self.slope, 0.0
        for height, place, width in self.hills:
            z = (h2 - place) / width
            bell = height * math.exp(-0.5 * z * z)
            value += bell
            first -= bell * z / width
            second += bell * (z * z - 1.0) / width**2
        return value, first, second

    def loglik(self, h2: float) -> float:
        return -math.inf if h2 >= self.broken_from else self._sums(h2)[0]

    def point(self, h2: float) -> RemlPoint:
        assert 0.0 <= h2 <= H2_MAX
        if h2 >= self.broken_from:
            raise NotPositiveDefiniteError("made up")
        self.seen.append(h2)
        value, first, second = self._sums(h2)
        return RemlPoint(h2, value, first, -second, 1.0, 0.0)


def summit(likelihood: Hills) -> float:
    """The place of the largest value, by brute force and bisection of the slope."""
    grid = np.linspace(0.0, H2_MAX, 200_001)
    best = float(grid[np.argmax([likelihood._sums(h2)[0] for h2 in grid])])
    low, high = max(best - 1e-5, 0.0), min(best + 1e-5, H2_MAX)
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if likelihood._sums(middle)[1] > 0.0 else (low, middle)
    return 0.5 * (low + high)


@pytest.mark.parametrize(
    "hills",
    [
        pytest.param(((5.0, 0.2, 0.08), (6.0, 0.72, 0.08)), id="second-is-higher"),
        pytest.param(((6.0, 0.22, 0.08), (5.0, 0.75, 0.08)), id="first-is-higher"),
        pytest.param(((6.0, 0.31, 0.05), (5.9, 0.62, 0.2), (3.0, 0.0, 0.1)), id="three"),
        pytest.param(((4.0, 0.5, 0.05), (10.0, 0.5, 2.0)), id="spike-on-a-plateau"),
        pytest.param(((9.0, 0.449, 0.04),), id="grid-point-beyond-the-inflection"),
        pytest.param(((9.0, 0.03, 0.02),), id="next-to-zero"),
        pytest.param(((9.0, 0.985, 0.01),), id="next-to-one"),
        pytest.param(((1e4, 0.55, 0.2),), id="steep"),
        pytest.param(((1e-4, 0.55, 0.2),), id="shallow"),
    ],
)
@pytest.mark.parametrize("grid", [COARSE_GRID, FINE_GRID], ids=["coarse", "fine"])
def test_highest_hill_of_the_grid_is_climbed(
    hills: tuple[tuple[float, float, float], ...], grid: tuple[float, ...]
) -> None:
    likelihood = Hills(hills)
    found = maximise(likelihood, grid)
    assert found.status is Status.CONVERGED
    assert found.point.h2 == pytest.approx(summit(likelihood), abs=H2_ATOL)
    assert found.point.loglik >= max(likelihood.loglik(h2) for h2 in grid) - 1e-12
    assert found.n_points <= 31  # what bisection alone takes from a bracket of 0.2 to 1e-10


@pytest.mark.parametrize("slope", [-3.0, 3.0])
@pytest.mark.parametrize("grid", [COARSE_GRID, FINE_GRID], ids=["coarse", "fine"])
def test_ends_are_evaluated_and_reported(slope: float, grid: tuple[float, ...]) -> None:
    found = maximise(Hills((), slope=slope), grid)
    assert found.status is (Status.LOWER_BOUND if slope < 0 else Status.UPPER_BOUND)
    assert found.point.h2 == (0.0 if slope < 0 else H2_MAX)


def test_optimum_between_zero_and_the_first_grid_point() -> None:
    likelihood = Hills(((9.0, 0.001, 0.3),))
    found = maximise(likelihood, COARSE_GRID)
    assert found.status is Status.CONVERGED
    assert found.point.h2 == pytest.approx(0.001, abs=H2_ATOL)


def test_region_without_a_positive_definite_covariance_is_avoided() -> None:
    likelihood = Hills(((5.0, 0.35, 0.1),), slope=8.0, broken_from=0.65)
    found = maximise(likelihood, FINE_GRID)
    assert found.point.h2 < 0.65
    assert math.isfinite(found.point.loglik)


def test_flat_reports_the_lower_end() -> None:
    found = maximise(Hills(((3.0, 0.5, 1e6),)), FINE_GRID)
    assert found.status is Status.FLAT
    assert found.point.h2 == 0.0


@pytest.mark.parametrize("shift", [-0.05, -0.004, 0.004, 0.05])
def test_the_likelihood_has_the_last_word_over_a_biased_draft(shift: float) -> None:
    likelihood = Hills(((9.0, 0.52, 0.15),))
    draft = Hills(((9.0, 0.52 + shift, 0.15),))
    found = maximise(likelihood, COARSE_GRID, draft)
    assert found.point.h2 == pytest.approx(0.52, abs=H2_ATOL)
    warm = maximise_from(likelihood, 0.5, draft)
    assert warm is not None
    assert warm.point.h2 == pytest.approx(0.52, abs=H2_ATOL)


def test_draft_that_cannot_tell_its_points_apart_is_not_asked() -> None:
    likelihood = Hills(((0.5, 0.3, 0.1),))
    noise = Hills(((0.5, 0.8, 0.1),))
    found = maximise(likelihood, COARSE_GRID, noise)
    assert found.point.h2 == pytest.approx(0.3, abs=H2_ATOL)
    assert noise.seen == []


@pytest.mark.parametrize("slope", [-3.0, 3.0])
def test_warm_start_gives_up_where_the_optimum_is_at_an_end(slope: float) -> None:
    assert maximise_from(Hills((), slope=slope), 0.9 if slope > 0 else 0.1) is None


def test_warm_start_gives_up_below_the_log_likelihood_of_zero() -> None:
    assert maximise_from(Hills(((9.0, 0.0, 0.1), (2.0, 0.6, 0.1))), 0.6) is None


def test_warm_start_on_the_hill_is_cheap() -> None:
    likelihood = Hills(((40.0, 0.52, 0.3),))
    found = maximise_from(likelihood, 0.5)
    assert found is not None
    assert found.point.h2 == pytest.approx(0.52, abs=H2_ATOL)
    assert found.n_points <= 3
    assert len(likelihood.seen) == found.n_points + 1  # and h2 = 0, which costs nothing


def test_grids_hold_both_ends() -> None:
    for grid in (COARSE_GRID, FINE_GRID):
        assert grid[0] == 0.0
        assert grid[-1] == H2_MAX
        assert list(grid) == sorted(grid)


def test_a_start_next_to_zero_does_not_hide_a_higher_hill() -> None:
    falling = Hills((), slope=-20.0)
    found = maximise_from(falling, 0.002)
    assert found is not None
    assert found.status is Status.LOWER_BOUND
    assert maximise_from(Hills(((60.0, 0.6, 0.2),), slope=-20.0), 0.002) is None


def test_a_draft_that_fails_near_one_does_not_hide_the_upper_bound() -> None:
    rising = Hills((), slope=20.0)
    draft = Hills((), slope=20.0, broken_from=0.98)
    assert maximise(rising, COARSE_GRID, draft).status is Status.UPPER_BOUND


def test_where_the_cubic_is_level_the_guess_stands() -> None:
    """Newton's step on the cubic of two points would divide by its slope."""
    left = RemlPoint(0.2, -1.0, 1.0, 5.0, 1.0, 0.0)
    level = RemlPoint(0.4, -1.0, 0.1, 0.0, 1.0, 0.0)
    assert _hermite_root(left, level, 0.4) == 0.4
    steep = RemlPoint(0.4, -1.0, 0.1, 5.0, 1.0, 0.0)
    assert _hermite_root(left, steep, 0.42) == pytest.approx(0.42, abs=0.02)
