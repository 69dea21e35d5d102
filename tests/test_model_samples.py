"""Traits: standardisation and the rank-based inverse normal transform."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from lmmgwas.errors import DegenerateError
from lmmgwas.model.samples import SampleTable, rank_inverse_normal, standardise_trait

VALUES = np.random.default_rng(1).normal(170.0, 9.0, 80)


@pytest.mark.parametrize("unit", [1.0, -1e3, 1e-100, 1e140])
def test_standardised_trait(unit: float) -> None:
    trait = standardise_trait("height", unit * VALUES)
    # Sums of 80 terms of order one.
    assert trait.values.mean() == pytest.approx(0.0, abs=1e-15)
    assert np.mean(trait.values**2) == pytest.approx(1.0, rel=1e-14)
    assert trait.mean == pytest.approx(unit * VALUES.mean(), rel=1e-14)
    assert trait.sd == pytest.approx(abs(unit) * VALUES.std(), rel=1e-13)
    np.testing.assert_allclose(
        trait.values * trait.sd + trait.mean, unit * VALUES, rtol=1e-13, atol=0
    )


def test_trait_far_from_zero_keeps_its_mean_square() -> None:
    trait = standardise_trait("t", 1e12 + np.arange(50.0))
    # Integers up to 2^53 are exact; only the sums of 50 terms round.
    assert trait.sd == pytest.approx(np.arange(50.0).std(), rel=1e-13)
    assert abs(trait.values.mean()) < 1e-14


@pytest.mark.parametrize("value", [0.0, 3.5, 0.1, -1e300])
def test_constant_trait_is_refused(value: float) -> None:
    with pytest.raises(DegenerateError, match=r"E404.*'bmi' is constant"):
        standardise_trait("bmi", np.full(30, value))


def test_trait_that_differs_by_rounding_only_is_refused() -> None:
    values = np.full(30, 0.1)
    values[::2] = np.nextafter(0.1, 1.0)
    with pytest.raises(DegenerateError, match="E404"):
        standardise_trait("bmi", values)


@pytest.mark.parametrize("power", [-400, -40, 0, 40, 400])
def test_a_power_of_two_changes_no_digit(power: int) -> None:
    one, two = standardise_trait("t", VALUES), standardise_trait("t", np.ldexp(VALUES, power))
    assert one.values.tobytes() == two.values.tobytes()
    assert (two.mean, two.sd) == (math.ldexp(one.mean, power), math.ldexp(one.sd, power))


@pytest.mark.parametrize("unit", [1e-307, 1e-160, 1e155, 9e305])
def test_spread_out_of_range_is_refused(unit: float) -> None:
    with pytest.raises(DegenerateError, match=r"E414.*change its unit"):
        standardise_trait("bmi", unit * VALUES)


def test_rank_inverse_normal_by_hand() -> None:
    quantile = NormalDist().inv_cdf
    got = rank_inverse_normal(np.array([30.0, -4.0, 7.0, 1e9]))
    expected = [quantile((rank - 3 / 8) / 4.25) for rank in (3, 1, 2, 4)]
    # Two implementations of the normal quantile, good to a few ulp.
    np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_rank_inverse_normal_puts_ties_at_their_mean_rank() -> None:
    quantile = NormalDist().inv_cdf
    got = rank_inverse_normal(np.array([2.0, 5.0, 2.0, 1.0, 2.0]))
    expected = [quantile((rank - 3 / 8) / 5.25) for rank in (3, 5, 3, 1, 3)]
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-16)  # as above; 0 at the median


def test_rank_inverse_normal_sees_ranks_only() -> None:
    np.testing.assert_array_equal(
        rank_inverse_normal(VALUES), rank_inverse_normal(np.exp(VALUES / 10.0))
    )
    np.testing.assert_allclose(
        rank_inverse_normal(-VALUES), -rank_inverse_normal(VALUES), rtol=1e-12
    )
    assert math.isclose(rank_inverse_normal(VALUES).mean(), 0.0, abs_tol=1e-15)


def test_number_of_samples() -> None:
    rows = np.array([4, 7, 9])
    table = SampleTable(rows, rows, rows[:1], np.ones((3, 1)), hwe_rows=rows, hwe_females=rows[1:])
    assert table.n_samples == 3
