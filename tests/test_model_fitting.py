"""What a fitted group hands to the scan."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from oracles import centred_kernel
from simulate import Axes, make_problem

from lmmgwas.model import null_model
from lmmgwas.model.fitting import Analysis, FittedGroup, fit_group, suggested_starts
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.variant_tests import TestKind
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.numerics import expansion, likelihood
from lmmgwas.numerics.linalg import NotPositiveDefiniteError, cholesky_in_place
from lmmgwas.numerics.optimise import Status


@pytest.mark.parametrize("kind", [WhitenerKind.SPECTRAL, WhitenerKind.CHOLESKY])
@pytest.mark.parametrize(
    ("h2", "expected"),
    [(0.5, Precision.SINGLE), (0.97, Precision.SINGLE), (0.99, Precision.DOUBLE)],
)
def test_tiles_are_double_where_h2_is_near_one(
    kind: WhitenerKind, h2: float, expected: Precision
) -> None:
    problem = make_problem(Axes(n=40, m=60, c=1, h2=0.5, seed=2))
    K, scale = centred_kernel(problem.K)
    trait = standardise_trait("y", problem.y)
    analysis = Analysis((trait,), problem.basis, kind, Precision.SINGLE, h2)
    (shared,) = fit_group(analysis, K, scale, starts=[None]).rotations
    assert shared.precision is expected


def fit(
    axes: Axes, precision: Precision, start: NullModel | None = None, y: np.ndarray | None = None
) -> FittedGroup:
    """By the Cholesky whitener; K is a copy."""
    problem = make_problem(axes)
    K, scale = centred_kernel(problem.K)
    trait = standardise_trait("y", problem.y if y is None else y)
    analysis = Analysis((trait,), problem.basis, WhitenerKind.CHOLESKY, precision, None)
    return fit_group(analysis, np.ascontiguousarray(K), scale, starts=[start])


@pytest.fixture
def factored(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The types of the matrices that were factored."""
    types: list[type] = []

    def counted(V: np.ndarray) -> np.ndarray:
        types.append(V.dtype.type)
        return cholesky_in_place(V)

    monkeypatch.setattr(expansion, "cholesky_in_place", counted)
    monkeypatch.setattr(likelihood, "cholesky_in_place", counted)
    return types


@pytest.mark.parametrize("distance", [0.0, 0.02, -0.02])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_three_factorisations_from_a_start(
    factored: list[type], seed: int, distance: float
) -> None:
    axes = Axes(n=560, m=1200, c=2, h2=0.5, seed=seed)
    cold = fit(axes, Precision.DOUBLE).traits[0].null
    factored.clear()
    (found,) = fit(axes, Precision.SINGLE, replace(cold, h2=cold.h2 + distance)).traits
    # One expansion or two, and the factor that the tiles are rotated with.
    assert len(factored) <= (2 if distance == 0.0 else 3)
    assert set(factored) == {np.float32}
    assert found.null.h2 == pytest.approx(cold.h2, abs=1e-6)


NOISE_SEED = 1


def noise(seed: int) -> np.ndarray:
    """A trait without any h2."""
    return np.random.default_rng(seed).standard_normal(560)


@pytest.mark.parametrize(
    ("axes", "y", "status"),
    [
        (Axes(n=560, m=1200, c=2, h2=0.0, seed=1), noise(NOISE_SEED), Status.LOWER_BOUND),
        (Axes(n=560, m=900, c=1, h2=0.999, seed=7), None, Status.UPPER_BOUND),
        (Axes(n=560, m=900, c=2, h2=0.92, seed=8), None, Status.CONVERGED),
        (Axes(n=560, m=400, c=1, h2=0.97, seed=7), None, Status.CONVERGED),
    ],
    ids=["zero", "one", "0.91", "0.97"],
)
def test_the_surer_way_near_the_bounds(
    factored: list[type], axes: Axes, y: np.ndarray | None, status: Status
) -> None:
    double = fit(axes, Precision.DOUBLE, y=y).traits[0].null
    assert double.status is status
    assert not 0.1 <= double.h2 <= 0.9
    factored.clear()
    cold = fit(axes, Precision.SINGLE, y=y)
    assert np.float64 in factored
    warm = fit(axes, Precision.SINGLE, suggested_starts([cold.traits[0].null])[0], y=y)
    for found in (cold.traits[0].null, warm.traits[0].null):
        assert found.status is status
        # The likelihood in float64 has the last word: its search stops at 1e-10, a warm one at
        # a step whose third power is that.
        assert found.h2 == pytest.approx(double.h2, abs=1e-9)
        assert found.loglik == pytest.approx(double.loglik, abs=1e-8)


@pytest.mark.parametrize("axes", [Axes(n=1000, m=2000, c=2, h2=0.5, seed=5)], ids=str)
@pytest.mark.parametrize("way", ["expansions", "float64", "cold"])
def test_matrices_that_are_alive_at_once(
    monkeypatch: pytest.MonkeyPatch, axes: Axes, way: str
) -> None:
    """At most two n x n of float64 and two of float32, K included, also on the surer way."""
    problem = make_problem(axes)
    K, scale = centred_kernel(problem.K)
    trait = standardise_trait("y", problem.y)
    analysis = Analysis((trait,), problem.basis, WhitenerKind.CHOLESKY, Precision.SINGLE, None)
    start = None if way == "cold" else fit(axes, Precision.SINGLE).traits[0].null
    if way == "float64":
        monkeypatch.setattr("lmmgwas.model.fitting.fit_expanding", lambda *_: None)
    fit(Axes(n=520, m=400, c=2, h2=0.5), Precision.SINGLE)  # kernels are compiled
    tracemalloc.start()
    try:
        fit_group(analysis, K, scale, starts=[start])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    n = axes.n
    # K is 8 n^2 and was there before. Vectors: 40 rows in a dozen copies are 4 n^2 at n = 1000,
    # alive only while no float64 matrix but K is.
    # A cold start ends with one step in float64 beside the float32 matrix of the expansions.
    limit = {"expansions": 4 * n * n + 12 * 40 * 8 * n}
    assert peak <= limit.get(way, 12 * n * n + 10**6)
    assert 8 * n * n + peak <= 2 * 8 * n * n + 2 * 4 * n * n


@pytest.mark.parametrize("test", list(TestKind))
def test_many_traits_together_are_fitted_as_one_by_one(test: TestKind) -> None:
    problem = make_problem(Axes(n=120, m=300, c=2, h2=0.4, seed=3))
    K, scale = centred_kernel(problem.K)
    rng = np.random.default_rng(5)
    columns = [problem.y, *rng.standard_normal((9, 120)) + 0.5 * problem.y]
    traits = tuple(standardise_trait(f"t{k}", y) for k, y in enumerate(columns))
    basis = problem.basis
    kind, precision = WhitenerKind.SPECTRAL, Precision.DOUBLE
    together = Analysis(traits, basis, kind, precision, None, test)
    found = fit_group(together, K.copy(), scale, starts=[None] * len(traits))
    for trait, fitted in zip(traits, found.traits, strict=True):
        alone = fit_group(replace(together, traits=(trait,)), K.copy(), scale, starts=[None])
        expected = alone.traits[0]
        pairs = [(fitted.null, expected.null)]
        if fitted.null_ml is not None and expected.null_ml is not None:
            pairs.append((fitted.null_ml, expected.null_ml))
        for one, two in pairs:
            assert one.status is two.status
            # U'y by a product of matrices or by a vector: rounding, through a search to 1e-10.
            assert one.h2 == pytest.approx(two.h2, abs=1e-8)
            assert one.loglik == pytest.approx(two.loglik, abs=1e-9)


def test_where_v_has_no_factor_the_spectral_route_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_factor(*_: object) -> FittedGroup:
        raise NotPositiveDefiniteError

    problem = make_problem(Axes(n=60, m=90, c=2, h2=0.5, seed=1))
    K, scale = centred_kernel(problem.K)
    trait = standardise_trait("y", problem.y)
    by = {
        kind: Analysis((trait,), problem.basis, kind, Precision.DOUBLE, None)
        for kind in (WhitenerKind.CHOLESKY, WhitenerKind.SPECTRAL)
    }
    expected = fit_group(by[WhitenerKind.SPECTRAL], K.copy(), scale, starts=[None])
    monkeypatch.setattr("lmmgwas.model.fitting._fit_cholesky_group", no_factor)
    found = fit_group(by[WhitenerKind.CHOLESKY], K.copy(), scale, starts=[None])
    assert found.kind is WhitenerKind.SPECTRAL
    assert found.traits[0].null == expected.traits[0].null


def test_where_float32_cannot_whiten_float64_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise NotPositiveDefiniteError

    axes = Axes(n=600, m=900, c=2, h2=0.5, seed=5)
    expected = fit(axes, Precision.DOUBLE).traits[0].null
    monkeypatch.setattr(expansion.ExpandingReml, "whiten", cannot)
    found = fit(axes, Precision.SINGLE)
    assert found.traits[0].null.h2 == pytest.approx(expected.h2, abs=1e-9)
    assert found.traits[0].null.loglik == pytest.approx(expected.loglik, abs=1e-8)


def test_where_the_draft_fails_the_search_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that a float32 draft led astray is repeated without it."""
    axes = Axes(n=600, m=900, c=2, h2=0.5, seed=5)
    expected = fit(axes, Precision.DOUBLE).traits[0].null
    usual, drafts = null_model._search, []

    def led_astray(likelihood: object, start: object, slope: float, draft: object) -> object:
        drafts.append(draft)
        if draft is not None:
            raise NotPositiveDefiniteError
        return usual(likelihood, start, slope, draft)

    monkeypatch.setattr(null_model, "_search", led_astray)
    found = fit(axes, Precision.DOUBLE).traits[0].null
    assert [draft is None for draft in drafts] == [False, True]
    assert found.h2 == pytest.approx(expected.h2, abs=1e-9)
