"""The rate of a product, by a clock of our own: the machine's own is nobody's to rely on."""

from itertools import count

import pytest

from lmmgwas.numerics.speed import sgemm_rate


def ticking(steps: list[float]) -> "list[float]":
    """The times that a clock shows which advances by these steps, the last one for ever."""
    times = [0.0]
    for k in range(200):
        times.append(times[-1] + steps[min(k, len(steps) - 1)])
    return times


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([0.01], 2 * 1024**3 / 0.01),
        # began; asked; start 1, end 1 (0.05 s); asked; start 2, end 2 (0.02 s): the better one
        ([0.0, 0.05, 0.0, 0.0, 0.02, 9.0], 2 * 1024**3 / 0.02),
    ],
)
def test_the_best_of_some_products_counts(steps: list[float], expected: float) -> None:
    times = ticking(steps)
    turn = count()
    assert sgemm_rate(0.1, lambda: times[next(turn)]) == pytest.approx(expected)


def test_one_product_at_least_is_timed() -> None:
    assert 1e6 < sgemm_rate(0.0) < 1e15
