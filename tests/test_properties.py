"""Properties that hold whatever the numbers are (hypothesis)."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import centred_kernel, covariance
from simulate import Axes, Problem, make_problem

from lmmgwas.model.chromosomes import Karyotype, Role, classify
from lmmgwas.model.covariates import NumericCovariate, build_design
from lmmgwas.model.fitting import Analysis, fit_group
from lmmgwas.model.genotypes import (
    MISSING,
    VariantFilters,
    count_block,
    exclusion_reasons,
    variant_stats,
)
from lmmgwas.model.grm import centre_and_scale
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.scan import ScanResult, residual_tile, wald_tile
from lmmgwas.model.whitening import Precision, WhitenerKind, spectral_weights
from lmmgwas.numerics.kernels import count_calls
from lmmgwas.numerics.linalg import cholesky_in_place, solve_lower
from lmmgwas.numerics.tails import chi2_from_neg_log10_p, half_chi2_p, neg_log10_p_from_t

few = settings(max_examples=25, deadline=None, derandomize=True)
many = settings(max_examples=200, deadline=None, derandomize=True)

axes_of_small_problems = st.builds(
    Axes,
    n=st.integers(25, 50),
    m=st.integers(10, 60),
    c=st.integers(1, 4),
    h2=st.sampled_from([0.0, 0.3, 0.7, 0.999]),
    missing=st.sampled_from([0.0, 0.1]),
    clones=st.integers(0, 4),
    seed=st.integers(0, 10**6),
)
fixed_h2 = st.floats(0.0, 0.999)
kinds = st.sampled_from([WhitenerKind.SPECTRAL, WhitenerKind.CHOLESKY])


def scan(problem: Problem, kind: WhitenerKind, h2: float) -> ScanResult:
    """Test all variants in one tile, in double precision."""
    n = problem.y.size
    columns = tuple(NumericCovariate(f"c{k}", v) for k, v in enumerate(problem.covariates.T))
    X = build_design(columns, n).basis
    analysis = Analysis((standardise_trait("y", problem.y),), X, kind, Precision.DOUBLE, h2)
    K = problem.K.copy()
    fitted = fit_group(analysis, K, centre_and_scale(K), starts=[None])
    counted = variant_stats(count_block(problem.calls, np.arange(n)))
    b = len(problem.calls)
    reasons = exclusion_reasons(counted, VariantFilters(), np.zeros(b, dtype=bool))
    tile = residual_tile(problem.calls, counted, reasons, X, b)
    rotated = fitted.rotations[0].rotation.rotate(tile)
    return wald_tile(rotated, fitted.traits[0].whitened)


def assert_same_tests(one: ScanResult, two: ScanResult, tolerance: float) -> None:
    np.testing.assert_allclose(two.neg_log10_p, one.neg_log10_p, rtol=0, atol=tolerance)
    np.testing.assert_allclose(two.se, one.se, rtol=tolerance)
    assert np.abs((two.beta - one.beta) / one.se).max() <= tolerance


@few
@given(axes_of_small_problems, fixed_h2)
def test_whiteners_are_equivalent(axes: Axes, h2: float) -> None:
    problem = make_problem(axes)
    one, two = (scan(problem, kind, h2) for kind in list(WhitenerKind)[:2])
    # At a given h2 there is only the rounding of either factorisation: 1e-16 times the
    # condition number of V, 1e5 at h2 = 0.999.
    assert_same_tests(one, two, 1e-9)


@few
@given(axes_of_small_problems, fixed_h2)
def test_both_whiten_the_covariance(axes: Axes, h2: float) -> None:
    K, _ = centred_kernel(make_problem(axes).K)
    V = covariance(K, h2)
    S, U = np.linalg.eigh(K)
    spectral = spectral_weights(np.maximum(S, 0.0), h2)[:, None] * U.T
    L = cholesky_in_place(V.copy())
    for W in (spectral, solve_lower(L, np.eye(len(V)))):
        # As above.
        np.testing.assert_allclose(W @ V @ W.T, np.eye(len(V)), rtol=0, atol=1e-10)


@few
@given(axes_of_small_problems, fixed_h2, kinds, st.randoms(use_true_random=False))
def test_order_of_the_samples_changes_nothing(
    axes: Axes, h2: float, kind: WhitenerKind, random: object
) -> None:
    problem = make_problem(axes)
    p = np.arange(problem.y.size)
    random.shuffle(p)  # type: ignore[attr-defined]
    shuffled = replace(
        problem,
        calls=np.ascontiguousarray(problem.calls[:, p]),
        covariates=problem.covariates[p],
        y=problem.y[p],
        K=problem.K[np.ix_(p, p)],
    )
    # Sums in another order, as above.
    assert_same_tests(scan(problem, kind, h2), scan(shuffled, kind, h2), 1e-9)


@few
@given(axes_of_small_problems, fixed_h2, kinds, st.integers(-3, 3), st.floats(-50, 50))
def test_adding_covariates_to_the_trait_changes_nothing(
    axes: Axes, h2: float, kind: WhitenerKind, slope: int, shift: float
) -> None:
    problem = make_problem(axes)
    moved = replace(problem, y=problem.y + shift + problem.covariates.sum(axis=1) * slope)
    # Covariates are fitted away; y grows to a few times its size, a digit of the bound above.
    assert_same_tests(scan(problem, kind, h2), scan(moved, kind, h2), 1e-9)


@many
@given(st.floats(0.0, 1e8), st.floats(0.0, 1e8), st.integers(1, 50_000))
def test_tail_is_monotone_in_t(a: float, b: float, dof: int) -> None:
    low, high = sorted((a, b))
    p_low, p_high = neg_log10_p_from_t(np.array([low, high]), dof)
    assert 0.0 <= p_low < np.inf
    # Equal or rising, but for the relative error of either value (test_numerics_tails.py).
    assert p_high >= p_low * (1.0 - 1e-11)
    if high > 1.001 * low + 1e-3:
        assert p_high > p_low


@many
@given(st.floats(0.01, 60.0), st.integers(1, 20_000))
def test_more_degrees_of_freedom_make_the_same_t_rarer(t: float, dof: int) -> None:
    few_dof, more = (neg_log10_p_from_t(np.array([t]), d)[0] for d in (dof, dof + 1 + dof // 10))
    assert more >= few_dof * (1.0 - 1e-11)  # as above


@many
@given(st.floats(1e-3, 1e5), st.floats(1e-3, 1e5))
def test_chi2_quantile_is_monotone(a: float, b: float) -> None:
    low, high = sorted((a, b))
    chi2 = chi2_from_neg_log10_p(np.array([low, high]))
    assert chi2[1] >= chi2[0] * (1.0 - 1e-11)  # the quantile's own error, as in its test
    assert (chi2 > 0.0).all()


@many
@given(st.floats(-10, 2000))
def test_p_of_a_likelihood_ratio_is_a_probability(statistic: float) -> None:
    assert 0.0 <= half_chi2_p(statistic) <= 1.0


@many
@given(st.lists(st.sampled_from([0, 1, 2, MISSING]), min_size=1, max_size=40))
def test_frequency_and_its_mirror(row: list[int]) -> None:
    calls = np.array([row], dtype=np.int8)
    mirror = np.where(calls == MISSING, MISSING, 2 - calls).astype(np.int8)
    one, two = (variant_stats(count_block(each, np.arange(len(row)))) for each in (calls, mirror))
    assert one.mac.tolist() == two.mac.tolist()
    if one.n_observed[0]:
        # One rounding of a quotient, a few of a variance of order one.
        assert abs(one.af[0] + two.af[0] - 1.0) <= 1e-15
        assert abs(one.variance[0] - two.variance[0]) <= 1e-14
        assert 0.0 <= one.af[0] <= 1.0
    out = np.empty((1, 4), dtype=np.int64)
    count_calls(calls, out)
    assert out.sum() == len(row)


@many
@given(st.text(max_size=8))
def test_every_label_has_a_role_and_a_stable_name(label: str) -> None:
    karyotype = Karyotype(10**9, stated=True)  # no number of eight digits lies beyond
    name, role = classify(label, karyotype)
    assert isinstance(role, Role)
    again, same_role = classify(name, karyotype)
    assert again == name
    assert same_role is role
