"""Tests of lead variants: against a naive search, ties, the ten best, and many at once."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmmgwas.model import leads
from lmmgwas.model.leads import N_BEST, find_loci

WINDOW = 100


def naive(chrom, pos, value, threshold, window=WINDOW):
    """Leads and counts by comparing every pair."""
    limit = -np.log10(threshold)
    rows = range(len(pos))

    def together(a, b):
        known = (pos[a] > 0, pos[b] > 0)
        if chrom[a] != chrom[b] or known[0] != known[1]:
            return False
        return not known[0] or abs(int(pos[a]) - int(pos[b])) <= window

    below = [k for k in rows if value[k] > limit]
    order = sorted(below or rows, key=lambda k: (-value[k], chrom[k], max(pos[k], 0), k))
    taken: list[int] = []
    for k in order:
        if not below and len(taken) == N_BEST:
            break
        if not any(together(k, lead) for lead in taken):
            taken.append(k)
    counts = [sum(together(lead, k) for k in below) for lead in taken]
    return taken, counts, len(taken) if below else 0


def arrays(rows):
    chrom, pos, value = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(chrom, np.int32), np.array(pos, np.int64), np.array(value, np.float64)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(-2, 900),
        st.integers(0, 12).map(lambda k: k / 2),  # many ties
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from([0.5, 1e-2, 1e-4, 1e-9]))
def test_as_the_naive_search(rows, threshold):
    chrom, pos, value = arrays(rows)
    found = find_loci(chrom, pos, value, threshold, WINDOW)
    taken, counts, n_below = naive(chrom, pos, value, threshold)
    assert found.rows.tolist() == taken
    assert found.n_variants.tolist() == counts
    assert found.n_below == n_below


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(1, 5))
def test_the_ten_best_whatever_the_number_of_candidates(rows, first):
    chrom, pos, value = arrays(rows)
    whole = find_loci(chrom, pos, value, 1e-9, WINDOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leads, "_FIRST_CANDIDATES", first)
        few = find_loci(chrom, pos, value, 1e-9, WINDOW)
    assert few.rows.tolist() == whole.rows.tolist()


def test_one_huge_locus_does_not_hide_the_other_nine():
    """More equal variants in the best locus than candidates are first looked at."""
    chrom = np.repeat(np.arange(12, dtype=np.int32), [30_000] + [1] * 11)
    pos = np.full(chrom.size, 1000)
    value = np.where(chrom == 0, 6.0, 1.0)
    found = find_loci(chrom, pos, value, 5e-8)
    assert chrom[found.rows].tolist() == list(range(10))
    assert found.rows[0] == 0
    assert found.n_variants.tolist() == [0] * 10


def test_ties_go_to_the_smaller_position_then_to_the_earlier_row():
    pos = np.array([500, 400, 400, 2000])
    found = find_loci(np.zeros(4, np.int32), pos, np.full(4, 9.0), 5e-8, WINDOW)
    assert found.rows.tolist() == [1, 3]
    assert found.n_variants.tolist() == [3, 1]


def test_the_window_holds_its_ends_and_chromosomes_are_apart():
    pos = np.array([1000, 1100, 1101, 1000])
    chrom = np.array([0, 0, 0, 1], np.int32)
    found = find_loci(chrom, pos, np.array([9.0, 8.0, 7.9, 7.8]), 5e-8, WINDOW)
    assert found.rows.tolist() == [0, 2, 3]
    assert found.n_variants.tolist() == [2, 2, 1]  # the second lies in both windows


def test_nothing_gives_nothing():
    found = find_loci(*arrays([]), 5e-8)
    assert (len(found), found.n_variants.size, found.n_below) == (0, 0, 0)


def test_a_hundred_thousand_on_one_chromosome_are_quick():
    rng = np.random.default_rng(1)
    m = 100_000
    pos = np.sort(rng.integers(1, 250_000_000, m))
    value = rng.uniform(8.0, 300.0, m)
    began = time.perf_counter()
    found = find_loci(np.zeros(m, np.int32), pos, value, 5e-8)
    assert time.perf_counter() - began < 5.0  # 0.02 s; pair by pair it took minutes
    assert np.diff(np.sort(pos[found.rows])).min() > 500_000
    assert (np.diff(value[found.rows]) <= 0).all()
