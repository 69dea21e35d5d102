"""Rows that deserve care, counted, against the counts of copies themselves."""

import numpy as np
import pytest

from lmmgwas.model.row_quality import RowQuality, row_quality


def counted(copies: list[int], observed: list[int], n: int) -> RowQuality:
    """From copies of the effect allele among observed diploid calls."""
    seen = np.array(observed)
    af = np.array(copies) / (2.0 * seen)
    return row_quality(af, seen, np.zeros(seen.size, dtype=np.bool_), n, n // 2)


def test_counts_of_copies() -> None:
    # 4, 5, 19 and 20 copies of the rarer allele, which is the effect allele or the other one.
    found = counted([4, 5, 19, 20, 200 - 4, 200 - 20], [100] * 6, 100)
    assert found == RowQuality(n_tested=6, n_few=4, n_rarest=2, n_missing=0)


@pytest.mark.parametrize("n", [100, 997, 31_337])
def test_every_count_near_the_bounds(n: int) -> None:
    """Whatever rounding af = copies / (2 n) brings."""
    copies = list(range(41))
    found = counted(copies, [n] * 41, n)
    assert found.n_few == sum(k < 20 for k in copies)
    assert found.n_rarest == sum(k < 5 for k in copies)


def test_missing_calls() -> None:
    found = counted([50] * 4, [100, 95, 94, 50], 100)
    assert found.n_missing == 2


def test_males_have_one_x() -> None:
    """60 women and 40 men: 160 chromosomes, of which 19 or 20 carry the allele."""
    af = np.array([19 / 160, 20 / 160, 19 / 160])
    haploid = np.array([True, True, False])
    found = row_quality(af, np.full(3, 100), haploid, 100, 40)
    assert found.n_few == 1  # the third has 19/160 of 200 chromosomes


def test_males_with_missing_calls() -> None:
    """4 of 40 men have no call: of 156 chromosomes 19, or 20, carry the allele."""
    for copies, few in ((19, 1), (20, 0)):
        found = row_quality(np.array([copies / 156]), np.array([96]), np.array([True]), 100, 40)
        assert found.n_few == few


def test_sums() -> None:
    one, two = RowQuality(5, 4, 3, 2), RowQuality(10, 0, 0, 1)
    assert one + two == RowQuality(15, 4, 3, 3)


def test_nothing_tested() -> None:
    none = np.empty(0)
    found = row_quality(none, none.astype(np.int64), none.astype(np.bool_), 100, 50)
    assert found == RowQuality()
