"""The exact Hardy-Weinberg test against exact rational arithmetic."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from lmmgwas.numerics.hwe import hardy_weinberg_p


def exact_p(hom_a: int, het: int, hom_b: int) -> float:
    """Sum of all outcomes no more probable than the observed one, in rational numbers."""
    n = hom_a + het + hom_b
    copies = 2 * hom_a + het
    weights = {
        h: comb(n, h) * comb(n - h, (copies - h) // 2) * 2**h
        for h in range(copies % 2, min(copies, 2 * n - copies) + 1, 2)
    }
    total = sum(weights.values())
    return float(Fraction(sum(w for w in weights.values() if w <= weights[het]), total))


CASES = [(0, 0, 50), (10, 20, 20), (1, 0, 99), (0, 50, 0), (25, 0, 25), (3, 11, 37), (200, 7, 90)]


@pytest.mark.parametrize("counts", CASES, ids=str)
def test_against_rational_arithmetic(counts: tuple[int, int, int]) -> None:
    # 1e-12: a few hundred factors, each rounded once.
    p = hardy_weinberg_p(np.array([counts]))
    assert p[0] == pytest.approx(exact_p(*counts), rel=1e-12)


def test_random_counts() -> None:
    counts = np.random.default_rng(1).integers(0, 60, (200, 3))
    expected = [exact_p(*row) for row in counts.tolist()]
    np.testing.assert_allclose(hardy_weinberg_p(counts), expected, rtol=1e-12)


def test_nothing_observed_is_no_evidence() -> None:
    assert hardy_weinberg_p(np.array([[0, 0, 0]]))[0] == 1.0


def test_homozygotes_change_places() -> None:
    p = hardy_weinberg_p(np.array([[12, 30, 70], [70, 30, 12]]))
    assert p[0] == p[1]


def test_large_counts_give_zero_or_a_tiny_p_not_nan() -> None:
    p = hardy_weinberg_p(np.array([[20_000, 0, 20_000], [500, 0, 500]]))
    assert (p >= 0.0).all()
    assert p[0] == 0.0
    assert 0.0 < p[1] < 1e-290


def test_the_sum_ends_where_nothing_is_added() -> None:
    """Fewer heterozygotes than 200 among 200,000 have weights below the smallest double."""
    counts = np.array([[100_000, 200, 100_000]])
    assert hardy_weinberg_p(counts)[0] == 0.0
