"""Log tails against mpmath, far past the smallest double."""

import math

import numpy as np
import pytest
from oracles import mp_chi2_quantile, mp_neg_log10_p_chi2, mp_neg_log10_p_t
from scipy import stats

from lmmgwas.numerics.tails import (
    MEDIAN_CHI2,
    chi2_from_neg_log10_p,
    half_chi2_p,
    lambda_gc,
    log_beta_half,
    neg_log10_p_from_t,
)

# The design calls 3e-13 reachable; 1e-12 leaves room for mathematical libraries other than
# the one it was measured with.
TAIL_RTOL = 1e-12

DOF = (1, 2, 3, 4, 7, 10, 38, 39, 40, 41, 97, 400, 1410, 5000, 50_000)


@pytest.mark.parametrize("dof", DOF)
def test_t_tail_against_mpmath(dof: int) -> None:
    rng = np.random.default_rng(dof)
    t = np.concatenate(
        [10.0 ** rng.uniform(-8, 8, 60), rng.uniform(0.0, 6.0, 60), [1e-8, 1.0, 40.0, 1e8]]
    )
    got = neg_log10_p_from_t(t, dof)
    expected = np.array([mp_neg_log10_p_t(value, dof) for value in t])
    np.testing.assert_allclose(got, expected, rtol=TAIL_RTOL, atol=0.0)


@pytest.mark.parametrize("dof", [40, 1000, 20_000, 50_000])
def test_t_tail_on_both_sides_of_the_switch_of_fractions(dof: int) -> None:
    a = dof / 2  # the two formulas meet at x = (a + 1)/(a + 2.5)
    t_switch = math.sqrt(dof * 1.5 / (a + 1.0))
    t = t_switch * np.array([0.97, 0.999, 1 - 1e-9, 1 + 1e-9, 1.001, 1.03, 1.1])
    expected = np.array([mp_neg_log10_p_t(value, dof) for value in t])
    np.testing.assert_allclose(neg_log10_p_from_t(t, dof), expected, rtol=TAIL_RTOL)


def test_t_tail_below_the_smallest_double() -> None:
    t = np.array([45.0, 100.0, 1e3, 1e6])
    got = neg_log10_p_from_t(t, 5000)
    assert (got > 308).all()
    expected = np.array([mp_neg_log10_p_t(value, 5000) for value in t])
    np.testing.assert_allclose(got, expected, rtol=TAIL_RTOL)


def test_t_tail_against_scipy() -> None:
    t = np.linspace(0.01, 8.0, 50)
    for dof in (1, 12, 998):
        expected = -np.log10(2.0 * stats.t.sf(t, dof))
        # scipy's own t tail is good to about 1e-13 relative in p, hence 1e-12 in -log10 p of
        # order 0.01 and more.
        np.testing.assert_allclose(neg_log10_p_from_t(t, dof), expected, rtol=1e-9, atol=1e-12)


def test_t_tail_of_special_values_and_shapes() -> None:
    t = np.array([[0.0, -2.0, 2.0], [np.inf, -np.inf, np.nan]])
    got = neg_log10_p_from_t(t, 10)
    assert got.shape == (2, 3)
    assert got[0, 0] == 0.0
    assert got[0, 1] == got[0, 2]
    assert got[1, 0] == got[1, 1] == np.inf
    assert np.isnan(got[1, 2])
    assert neg_log10_p_from_t(np.empty(0), 10).shape == (0,)


def test_log_beta_half_on_both_sides_of_its_switch() -> None:
    import mpmath

    for a in (0.5, 1.0, 19.5, 20.0, 20.5, 700.0, 25_000.0):
        with mpmath.workdps(40):
            expected = float(mpmath.log(mpmath.beta(mpmath.mpf(a), mpmath.mpf(1) / 2)))
        # 1e-14: tens of roundings (1.1e-16 each) of terms of the order of the result or of 1.
        assert log_beta_half(a) == pytest.approx(expected, rel=1e-14, abs=1e-14)


def test_chi2_quantile_against_scipy() -> None:
    neg_log10_p = np.array([1e-6, 0.01, 0.3, 1.0, 7.3, 50.0, 299.0])
    expected = stats.chi2.isf(10.0**-neg_log10_p, 1)
    # Near p = 1 the quantile is the square of a z near 0 that comes from p = 1 - 2e-6 in double
    # precision: z is good to 1e-16 absolute, its square to 1e-10 relative.
    np.testing.assert_allclose(chi2_from_neg_log10_p(neg_log10_p), expected, rtol=1e-9)


def test_chi2_quantile_below_the_smallest_double() -> None:
    neg_log10_p = np.array([300.0, 308.5, 1000.0, 5000.0, 1e5])
    expected = np.array([mp_chi2_quantile(value) for value in neg_log10_p])
    # scipy's ndtri_exp ends its iteration at about 1e-12 of z, which enters squared.
    np.testing.assert_allclose(chi2_from_neg_log10_p(neg_log10_p), expected, rtol=5e-12)


def test_chi2_quantile_is_the_inverse_of_its_tail() -> None:
    chi2 = np.array([0.1, MEDIAN_CHI2, 4.0, 30.0, 2000.0])
    neg_log10_p = np.array([float(mp_neg_log10_p_chi2(value)) for value in chi2])
    # As above: quantiles below the median come from p near 1.
    np.testing.assert_allclose(chi2_from_neg_log10_p(neg_log10_p), chi2, rtol=1e-12)


def test_median_constant() -> None:
    assert pytest.approx(stats.chi2.median(1), rel=1e-12) == MEDIAN_CHI2  # 15 digits are written


@pytest.mark.parametrize("size", [1, 999, 1000])
def test_lambda_gc_of_exact_quantiles_is_one(size: int) -> None:
    p = (np.arange(size) + 0.5) / size
    shuffled = np.random.default_rng(1).permutation(-np.log10(p))
    # An even count averages the quantiles at 1/2 -+ 1/(2 size), whose mean is off by their
    # curvature, about 1/size^2; an odd count has rounding only.
    tolerance = 2.0 / size**2 if size % 2 == 0 else 1e-12
    assert lambda_gc(shuffled) == pytest.approx(1.0, abs=tolerance)


def test_lambda_gc_of_two_variants_is_the_mean_of_their_quantiles() -> None:
    expected = stats.chi2.isf([0.1, 0.6], 1).mean() / stats.chi2.median(1)
    # A handful of roundings in scipy's quantiles.
    assert lambda_gc(-np.log10([0.1, 0.6])) == pytest.approx(expected, rel=1e-12)


def test_lambda_gc_of_inflated_statistics() -> None:
    p = (np.arange(999) + 0.5) / 999
    inflated = 1.3 * stats.chi2.isf(p, 1)
    neg_log10_p = -np.log10(stats.chi2.sf(inflated, 1))
    # Two conversions by scipy's chi-square functions, each good to about 1e-13.
    assert lambda_gc(neg_log10_p) == pytest.approx(1.3, rel=1e-11)


def test_lambda_gc_without_variants_is_nan() -> None:
    assert math.isnan(lambda_gc(np.empty(0)))


@pytest.mark.parametrize("statistic", [1e-6, 0.4, 3.84, 60.0, 1200.0])
def test_half_chi2_p(statistic: float) -> None:
    # erfc and chi2.sf are two roads to the same number, each good to a few ulp; at 1,200 the
    # exponent of exp(-600) turns one ulp into 600 of them.
    assert half_chi2_p(statistic) == pytest.approx(0.5 * stats.chi2.sf(statistic, 1), rel=1e-12)


@pytest.mark.parametrize("statistic", [0.0, -1e-9])
def test_half_chi2_p_at_the_boundary_is_one(statistic: float) -> None:
    assert half_chi2_p(statistic) == 1.0
