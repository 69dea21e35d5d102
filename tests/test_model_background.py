"""Eigenvectors and families of a GRM: against a full decomposition, and against the truth."""

import numpy as np
import pytest
from oracles import centred_kernel
from simulate import Axes, make_problem

from lmmgwas.model.background import (
    Families,
    deflated_diagonal,
    family_blocks,
    find_background,
    find_families,
    leading_eigenvectors,
)


def populations_and_pairs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """K (n, n) of two populations with full siblings in scattered pairs, and the pairs (p, 2)."""
    rng = np.random.default_rng(seed)
    side = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    K = np.eye(n) + 0.3 * np.outer(side, side)
    noise = 0.003 * rng.standard_normal((n, n))
    K += noise + noise.T
    pairs = np.sort(rng.permutation(n)[: n // 2].reshape(-1, 2), axis=1)
    K[pairs[:, 0], pairs[:, 1]] += 0.5
    K[pairs[:, 1], pairs[:, 0]] += 0.5
    return centred_kernel(K)[0], pairs


def test_eigenvectors_are_those_of_a_full_decomposition() -> None:
    """Where gaps are wide; the Ritz value errs by the square of the vector's error."""
    rng = np.random.default_rng(1)
    basis, _ = np.linalg.qr(rng.standard_normal((200, 200)))
    S = np.concatenate([[60.0, 30.0, 15.0, 8.0], rng.uniform(0.2, 1.5, 196)])
    found = leading_eigenvectors((basis * S) @ basis.T, 4)
    np.testing.assert_allclose(found.S, S[:4], rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(found.U * basis[:, :4], axis=0)), 1.0, atol=1e-6)


@pytest.mark.parametrize("n_wanted", [0, 1, 30, 60, 99])
def test_basis_is_orthonormal_whatever_is_asked(n_wanted: int) -> None:
    K, _ = centred_kernel(make_problem(Axes(n=60, m=90)).K)
    found = leading_eigenvectors(K, n_wanted)
    k = min(n_wanted, 60)
    assert found.U.shape == (60, k)
    np.testing.assert_allclose(found.U.T @ found.U, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(found.KU, K @ found.U, atol=1e-10)
    np.testing.assert_allclose(np.diag(found.U.T @ K @ found.U), found.S, atol=1e-10)
    if k == 60:
        np.testing.assert_allclose(found.S, np.linalg.eigvalsh(K)[::-1], atol=1e-10)


def test_same_start_same_bytes_and_a_warm_start_is_as_good() -> None:
    K, _ = centred_kernel(make_problem(Axes(n=200, m=300)).K)
    near, _ = centred_kernel(make_problem(Axes(n=200, m=300)).K + 0.02 * np.eye(200))
    known = leading_eigenvectors(near, 8)
    cold, warm = leading_eigenvectors(K, 5), leading_eigenvectors(K, 5, known)
    assert leading_eigenvectors(K, 5).U.tobytes() == cold.U.tobytes()
    assert leading_eigenvectors(K, 5, known).U.tobytes() == warm.U.tobytes()
    exact = np.linalg.eigvalsh(K)[::-1][:5]
    np.testing.assert_allclose(warm.S, exact, rtol=0.04)
    np.testing.assert_allclose(cold.S, exact, rtol=0.04)
    grown = leading_eigenvectors(K, 20, cold)
    np.testing.assert_allclose(grown.S[:5], exact, rtol=0.04)


def test_pairs_of_siblings_are_found_and_populations_are_not_families() -> None:
    K, pairs = populations_and_pairs(300, seed=2)
    background = find_background(K)
    (members,) = background.families.members
    assert {tuple(pair) for pair in members.tolist()} == {tuple(pair) for pair in pairs.tolist()}
    assert background.families.near
    again = find_background(K + 1e-3, background)
    assert again.families is background.families


def test_families_are_joined_through_others() -> None:
    K = np.eye(50)
    for i, j in ((3, 40), (40, 17), (8, 9)):
        K[i, j] = K[j, i] = 0.3
    found = find_families(K, leading_eigenvectors(K, 0))
    assert [block.tolist() for block in found.members] == [[[8, 9]], [[3, 17, 40]]]


def test_a_higher_threshold_where_all_are_related_and_none_where_that_does_not_help() -> None:
    rng = np.random.default_rng(3)
    K = np.eye(200) + 0.15
    K[0, 1] = K[1, 0] = 0.5
    nothing = leading_eigenvectors(K, 0)
    found = find_families(K, nothing)
    assert [block.tolist() for block in found.members] == [[[0, 1]]]
    assert not found.near
    K = np.eye(200) + 0.5 * np.abs(rng.standard_normal((200, 1))) @ np.ones((1, 200))
    none = find_families(0.5 * (K + K.T), nothing)
    assert none.members == ()
    assert not none.near


def test_blocks_are_what_the_eigenvectors_leave() -> None:
    K, _ = populations_and_pairs(120, seed=4)
    background = find_background(K)
    leading = background.leading.first(2)
    U = leading.U
    away = np.eye(120) - U @ U.T
    left = away @ K @ away
    (members,) = background.families.members
    (blocks,) = family_blocks(K, leading, background.families)
    for family, block in zip(members, blocks, strict=True):
        np.testing.assert_allclose(block, left[np.ix_(family, family)], atol=1e-12)
        assert np.linalg.eigvalsh(block).min() > -1e-12
    np.testing.assert_allclose(deflated_diagonal(K, leading), np.diag(left), atol=1e-12)


def test_no_families() -> None:
    K = np.eye(40)
    found = find_families(K, leading_eigenvectors(K, 0))
    assert found.members == ()
    assert found.near
    assert family_blocks(K, leading_eigenvectors(K, 0), Families((), 0.05)) == ()
