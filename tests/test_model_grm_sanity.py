"""A GRM held against random variants: what is right passes, what is of others does not."""

from collections.abc import Callable

import numpy as np
import pytest
from simulate import families

from lmmgwas.model.genotypes import MISSING
from lmmgwas.model.grm_sanity import Agreement, compare

N, M = 240, 900


def standardised(calls: np.ndarray) -> np.ndarray:
    Z = calls - calls.mean(axis=1, keepdims=True)
    sd = Z.std(axis=1, keepdims=True)
    return Z[sd[:, 0] > 0] / sd[sd[:, 0] > 0]


def relatives(seed: int = 1, m: int = M) -> np.ndarray:
    """Families from two populations."""
    return families(np.random.default_rng(seed), N, m)


def strangers(seed: int = 1, m: int = M) -> np.ndarray:
    """Unrelated people of one population."""
    rng = np.random.default_rng(seed)
    return rng.binomial(2, rng.uniform(0.1, 0.9, (m, 1)), (m, N))


def grm(calls: np.ndarray) -> np.ndarray:
    Z = standardised(calls)
    return Z.T @ Z / len(Z)


def held(K: np.ndarray, calls: np.ndarray, groups: int = 5) -> Agreement:
    found = compare(K, calls.astype(np.int8), np.sort(np.arange(len(calls)) % groups))
    assert found is not None
    return found


def identity_by_state(calls: np.ndarray) -> np.ndarray:
    """Shared alleles: all values between 0 and 1, and most of them far from 0."""
    apart = [np.abs(calls - calls[:, [i]]).mean(axis=0) for i in range(calls.shape[1])]
    return 1.0 - 0.5 * np.array(apart)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "define",
    [grm, lambda calls: 0.5 * grm(calls) + 3.0, identity_by_state],
    ids=["GRM", "kinship, not centred", "identity by state"],
)
def test_a_right_matrix_passes(seed: int, define: Callable[[np.ndarray], np.ndarray]) -> None:
    """Of other variants than those it is held against."""
    calls = relatives(seed, 2 * M)
    found = held(define(calls[M:]), calls[:M])
    assert not found.is_wrong
    assert not found.is_doubtful
    assert found.correlation > 0.6
    assert found.closest > 3.0


@pytest.mark.parametrize("seed", range(8))
def test_a_matrix_of_others_is_wrong(seed: int) -> None:
    calls = relatives(seed)
    order = np.random.default_rng(seed + 50).permutation(N)
    found = held(grm(calls)[np.ix_(order, order)], calls)
    assert found.is_wrong
    assert abs(found.correlation) < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_some_exchanged_samples_make_it_doubtful(seed: int) -> None:
    calls = relatives(seed)
    order = np.arange(N)
    order[: N // 2] = np.random.default_rng(seed).permutation(N // 2)
    found = held(grm(calls)[np.ix_(order, order)], calls)
    assert not found.is_wrong
    assert found.is_doubtful


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shuffled", [False, True])
def test_nothing_is_said_where_nobody_is_related(seed: int, shuffled: bool) -> None:
    """A right matrix of such a cohort correlates little, and a wrong one does no harm."""
    calls = strangers(seed, 6 * M)
    order = np.random.default_rng(seed).permutation(N) if shuffled else np.arange(N)
    found = held(grm(calls)[np.ix_(order, order)], calls[:M])
    assert not found.is_wrong
    assert not found.is_doubtful


def test_a_pedigree_knows_less_than_the_genotypes_and_is_not_refused() -> None:
    """Siblings only; that there are two populations is not in it."""
    calls = relatives(3)
    pedigree = np.kron(np.eye(N // 6), np.full((6, 6), 0.5)) + 0.5 * np.eye(N)
    found = held(pedigree, calls)
    assert not found.is_wrong
    assert found.closest > 1.0


def test_one_chromosome_is_not_enough_to_refuse() -> None:
    calls = relatives(4)
    order = np.random.default_rng(4).permutation(N)
    K = grm(calls)[np.ix_(order, order)]
    found = held(K, calls, groups=1)
    assert not found.two_chromosomes
    assert not found.is_wrong
    assert found.is_doubtful


def test_what_is_expected_is_what_is_found() -> None:
    """Over many cohorts, of independent variants for the matrix and for the look at it."""
    found = [held(grm(relatives(seed, 5 * M)[M:]), relatives(seed, 5 * M)[:M]) for seed in range(6)]
    gap = np.mean([one.correlation - one.expected for one in found])
    assert abs(gap) < 0.03


def test_missing_calls_and_flat_variants() -> None:
    calls = relatives(5)
    K = grm(calls)
    holes = calls.copy()
    holes[np.random.default_rng(5).random(calls.shape) < 0.1] = MISSING
    holes[:40] = MISSING
    holes[40:80] = 1
    found = held(K, holes)
    assert found.n_variants == M - 80
    assert found.correlation > 0.9


@pytest.mark.parametrize(
    ("n", "m", "K"),
    [(19, 300, None), (60, 39, None), (60, 300, np.eye(60)), (60, 300, np.zeros((60, 60)))],
    ids=["few samples", "few variants", "identity", "zeros"],
)
def test_nothing_can_be_said(n: int, m: int, K: np.ndarray | None) -> None:
    calls = relatives(6, m)[:, :n]
    given = grm(calls) if K is None else K
    assert compare(given, calls.astype(np.int8), np.sort(np.arange(m) % 3)) is None


def test_copies_of_one_sample() -> None:
    calls = np.repeat(relatives(7)[:, :1], 60, axis=1)
    group = np.sort(np.arange(M) % 3)
    assert compare(np.eye(60), calls.astype(np.int8), group) is None
