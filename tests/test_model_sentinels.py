"""Numbers that may stand for a missing value: codes are found, tails are not."""

import numpy as np
import pytest

from lmmgwas.model.sentinels import find_sentinels

RNG = np.random.default_rng(1)
HEIGHT = RNG.normal(170.0, 9.0, 400).round(1)


def with_codes(values: np.ndarray, *codes: float) -> np.ndarray:
    changed = values.copy()
    changed[: len(codes)] = codes
    return changed


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((-999.0,) * 3, [(-999.0, 3)]),
        ((-999.0,) * 2, []),
        ((9999.0,) * 5, [(9999.0, 5)]),
        ((-999.0,) * 3 + (-998.0,) * 4, [(-998.0, 4), (-999.0, 3)]),
        ((-999.0,) * 3 + (9999.0,) * 3, [(-999.0, 3), (9999.0, 3)]),
        ((-99.0,) * 3 + (-999.0,), [(-99.0, 3)]),
        ((300.0,) * 3 + (250.0,), []),  # a neighbour more than half the way out
        ((1e308,) * 3, [(1e308, 3)]),
        ((-1.7e308,) * 3 + (1.7e308,) * 3, [(-1.7e308, 3), (1.7e308, 3)]),
        ((0.0,) * 3, [(0.0, 3)]),
        ((np.nan,) * 9, []),
    ],
)
def test_codes(codes: tuple[float, ...], expected: list[tuple[float, int]]) -> None:
    found = find_sentinels(with_codes(HEIGHT, *codes))
    assert [(one.value, one.count) for one in found] == expected


def test_distance_is_in_median_absolute_deviations() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 103.0, 103.0, 103.0])
    # Median 6; deviations 5 4 3 2 1 0 1 2 97 97 97, of which the median is 3.
    (found,) = find_sentinels(values)
    assert found.distance == pytest.approx(97.0 / 3.0, rel=1e-14)


@pytest.mark.parametrize(
    "values",
    [
        RNG.poisson(3.0, 500),
        np.exp(1.5 * RNG.normal(size=2000)).round(),
        RNG.negative_binomial(0.3, 0.02, 2000),
        RNG.standard_cauchy(1000).round(),
        RNG.choice([0, 0, 0, 0, 20, 40], 400),
        RNG.integers(0, 2, 300),
        np.repeat([0, 1], [290, 10]),
        np.full(30, 7.0),
        np.array([]),
        np.array([1.0, 2.0]),
    ],
    ids=[
        *("counts", "log-normal", "zero-inflated", "Cauchy", "cigarettes", "binary", "rare"),
        *("constant", "nothing", "two"),
    ],
)
def test_tails_and_classes_are_no_codes(values: np.ndarray) -> None:
    assert find_sentinels(values.astype(float)) == ()


def test_where_most_values_are_the_same_the_others_give_the_scale() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 999.0], [300, 20, 10, 4])
    assert [one.value for one in find_sentinels(values)] == [999.0]
