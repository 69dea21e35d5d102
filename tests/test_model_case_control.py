"""How binary traits are recognised and what their beta means."""

import numpy as np
import pytest

from lmmgwas.model.case_control import (
    approximate_log_odds_ratio,
    has_doubtful_zeros,
    recognise_case_control,
)


@pytest.mark.parametrize(("control", "case"), [(0.0, 1.0), (1.0, 2.0)])
def test_both_codings_are_recognised(control: float, case: float) -> None:
    coding = recognise_case_control(np.array([control] * 7 + [case] * 3))
    assert coding is not None
    assert (coding.control, coding.case) == (control, case)
    assert (coding.n_controls, coding.n_cases) == (7, 3)
    assert coding.case_fraction == pytest.approx(0.3)


@pytest.mark.parametrize("values", [[0, 1, 2], [3, 7, 3], [1, 1, 1], [0, 2, 0], [0.5, 1.0]])
def test_other_values_are_numbers(values: list[float]) -> None:
    assert recognise_case_control(np.array(values, dtype=float)) is None


@pytest.mark.parametrize(
    ("values", "doubtful"),
    [
        ([0, 1, 2], True),
        ([2, 1, np.nan, 0, 1], True),
        ([0, 1], False),
        ([1, 2], False),
        ([0, 1, 2, 3], False),
        ([0, 1, 1.5, 2], False),
        ([np.nan], False),
    ],
)
def test_zeros_beside_1_and_2_are_doubtful(values: list[float], doubtful: bool) -> None:
    assert has_doubtful_zeros(np.array(values, dtype=float)) is doubtful


@pytest.mark.parametrize(
    ("n_controls", "n_cases", "unbalanced"),
    [(300, 300, False), (300, 199, True), (3000, 300, True), (300, 3000, True), (1800, 200, False)],
)
def test_few_cases_are_noticed(n_controls: int, n_cases: int, unbalanced: bool) -> None:
    coding = recognise_case_control(np.array([0.0] * n_controls + [1.0] * n_cases))
    assert coding is not None
    assert coding.unbalanced is unbalanced


def test_log_odds_ratio_is_near_that_of_logistic_regression() -> None:
    """A 2 x 2 table: the exact log odds ratio against beta / (k (1 - k)), to second order."""
    exposed, cases_exposed, unexposed, cases_unexposed = 5000, 2600, 5000, 2500
    p1, p0 = cases_exposed / exposed, cases_unexposed / unexposed
    exact = np.log(p1 / (1 - p1) / (p0 / (1 - p0)))
    k = (cases_exposed + cases_unexposed) / (exposed + unexposed)
    approximate = approximate_log_odds_ratio(np.array([p1 - p0]), k)[0]
    assert approximate == pytest.approx(exact, rel=0.01)
