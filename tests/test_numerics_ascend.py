"""The optimum by expansions in float32 against a search in float64 from a cold start."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from oracles import centred_kernel, dense_reml_fit
from simulate import Axes, make_problem

from lmmgwas.model.samples import standardise_trait
from lmmgwas.numerics.ascend import ascend, ascend_from, polish
from lmmgwas.numerics.expansion import ExpandingReml
from lmmgwas.numerics.likelihood import CholeskyReml, RemlPoint
from lmmgwas.numerics.optimise import COARSE_GRID, Optimum, Status, maximise

PROBLEMS = [
    Axes(n=300 + 10 * (s % 5), m=250 + 60 * (s % 7), c=1 + s % 3, h2=0.3 + 0.05 * (s % 9), seed=s)
    for s in range(100, 120)
]

PROMISE = 1e-6
"""Of h2. The search stops at a doubt of a quarter of it; measured 5e-8."""


def arrays(axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    problem = make_problem(axes)
    K = np.ascontiguousarray(centred_kernel(problem.K)[0])
    return K, standardise_trait("y", problem.y).values, problem.basis


@cache
def cold(axes: Axes) -> Optimum:
    """In float64, over the grid."""
    return maximise(CholeskyReml(*arrays(axes)), COARSE_GRID)


def assert_same(found: Optimum | None, axes: Axes) -> None:
    expected = cold(axes).point
    assert found is not None
    assert found.status is Status.CONVERGED
    assert found.point.h2 == pytest.approx(expected.h2, abs=PROMISE)
    # At a maximum h2 moves the log-likelihood by nothing: what is left is float32's logarithms.
    assert found.point.loglik == pytest.approx(expected.loglik, abs=1e-5)
    # Up to 0.01 from the last centre: the slope of the score by 32 probes.
    assert found.point.information == pytest.approx(expected.information, rel=1e-3)
    assert found.point.sigma2 == pytest.approx(expected.sigma2, rel=1e-5)


@pytest.mark.parametrize("axes", PROBLEMS, ids=str)
def test_the_optimum_is_that_of_float64(axes: Axes) -> None:
    assert cold(axes).status is Status.CONVERGED
    reml = ExpandingReml(*arrays(axes))
    best = cold(axes).point.h2
    assert_same(ascend(reml), axes)
    for distance in (0.02, -0.02):
        found = ascend_from(reml, best + distance)
        assert_same(found, axes)
        assert found.n_points <= 2
    found = ascend_from(reml, best)
    assert_same(found, axes)
    assert found.n_points == 1


@pytest.mark.parametrize("axes", PROBLEMS[:3], ids=str)
def test_the_optimum_is_that_of_the_dense_oracle(axes: Axes) -> None:
    found = ascend(ExpandingReml(*arrays(axes)))
    assert found.point.h2 == pytest.approx(dense_reml_fit(*arrays(axes)).h2, abs=PROMISE)


@pytest.mark.parametrize("axes", PROBLEMS[:6], ids=str)
def test_polished_in_float64(axes: Axes) -> None:
    likelihood = CholeskyReml(*arrays(axes))
    found = polish(ascend(ExpandingReml(*arrays(axes))), likelihood)
    expected = cold(axes).point
    # Newton's step of at most 1e-5 leaves its square, times the slope of the information.
    assert found.status is Status.CONVERGED
    assert found.point.h2 == pytest.approx(expected.h2, abs=1e-9)
    assert found.point.loglik == pytest.approx(expected.loglik, abs=1e-9)
    assert found.point.sigma2 == pytest.approx(expected.sigma2, rel=1e-8)
    # The information is taken before the step, whose 1e-5 is its relative change.
    assert found.point.information == pytest.approx(expected.information, rel=1e-5)
    far = Optimum(likelihood.point(expected.h2 + 1e-3), Status.CONVERGED, 1)
    assert polish(far, likelihood) is None


@pytest.mark.parametrize("start", [0.15, 0.35, 0.6, 0.85])
def test_a_start_far_away_leads_there_or_nowhere(start: float) -> None:
    for axes in PROBLEMS[:6]:
        found = ascend_from(ExpandingReml(*arrays(axes)), start)
        if found is not None:
            assert_same(found, axes)


def noise(axes: Axes, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same with a trait that K says nothing about."""
    K, y, X = arrays(axes)
    return K, standardise_trait("y", np.random.default_rng(seed).standard_normal(y.size)).values, X


NEAR_ZERO = Axes(n=400, m=900, c=2, h2=0.0, seed=4)
NEAR_ONE = [Axes(n=400, m=900, c=1, h2=0.999, seed=s) for s in (4, 7, 9)]
BOUNDS = [noise(NEAR_ZERO, seed) for seed in (0, 1, 2, 3)] + [arrays(axes) for axes in NEAR_ONE]


@pytest.mark.parametrize("k", range(len(BOUNDS)))
def test_at_the_bounds_others_are_asked(k: int) -> None:
    """Near 0 and near 1 the answer is None, and never wrong, whatever the start."""
    best = maximise(CholeskyReml(*BOUNDS[k]), COARSE_GRID)
    assert not 0.05 <= best.point.h2 <= 0.95
    reml = ExpandingReml(*BOUNDS[k])
    assert ascend(reml) is None
    for start in (0.0, 0.05, 0.1, 0.3, 0.5, 0.8, 0.9, 0.95, 0.9999):
        assert ascend_from(reml, start) is None


def test_what_float32_does_not_carry_is_nothing() -> None:
    K, y, X = arrays(PROBLEMS[0])
    reml = ExpandingReml(K - 30.0 * np.eye(len(K)), y, X)
    assert ascend(reml) is None
    assert ascend_from(reml, 0.5) is None


class Hill:
    """An expansion and a likelihood whose score is any function of h2, with constant curvature."""

    def __init__(
        self, score: Callable[[float], float], information: float = 1.0, at_zero: float = -10.0
    ) -> None:
        self.h2 = 0.0
        self._score = score
        self._information = information
        self._at_zero = at_zero

    def expand(self, h2: float) -> "Hill":
        self.h2 = h2
        return self

    def loglik(self, h2: float) -> float:
        return self._at_zero if h2 == 0.0 else -1.0

    def point(self, h2: float) -> RemlPoint:
        return RemlPoint(h2, self.loglik(h2), self._score(h2), self._information, 1.0, 0.0)

    def doubt(self, h2: float) -> float:
        return 0.0


def test_an_ordinary_hill_is_climbed() -> None:
    """So that what follows fails for the reason that it gives."""
    found = ascend_from(Hill(lambda h2: 0.4 - h2), 0.38)
    assert found is not None
    assert found.point.h2 == pytest.approx(0.4, abs=1e-12)


@pytest.mark.parametrize(
    ("hill", "why"),
    [
        (Hill(lambda h2: 0.0, information=0.0), "a plain has no top"),
        (Hill(lambda h2: 0.0, information=-1.0), "a valley has none"),
        (Hill(lambda h2: 0.4 - h2, at_zero=0.0), "h2 = 0 is higher"),
        (Hill(lambda h2: 1.0), "the way leads out of the interior"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_is_no_maximum_is_nothing(hill: Hill, why: str) -> None:
    assert ascend_from(hill, 0.4) is None, why


def test_newton_that_goes_in_circles_is_stopped() -> None:
    """Each step leads to the other side, and back: the last point is a root of nothing."""
    hill = Hill(lambda h2: 0.02 if h2 <= 0.41 else -0.02)
    found = ascend_from(hill, 0.4)
    assert found is not None  # no doubt is told by this hill
    assert found.point.h2 in (0.4, pytest.approx(0.42))


def test_polishing_asks_for_a_maximum_nearby() -> None:
    near = Hill(lambda h2: 0.4 - h2)
    optimum = ascend_from(near, 0.4)
    assert optimum is not None
    done = polish(optimum, Hill(lambda h2: 0.400001 - h2))
    assert done is not None
    assert done.point.h2 == pytest.approx(0.400001, abs=1e-12)
    assert polish(optimum, Hill(lambda h2: 0.4 - h2, information=-1.0)) is None
    assert polish(optimum, Hill(lambda h2: 0.5 - h2)) is None  # too far
