"""Passes over packed triangles, against the full matrix in plain numpy."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lmmgwas.numerics.triangle import (
    close_pairs,
    first_not_finite,
    packed_block,
    packed_diagonal,
    place_in_triangle,
    summarise,
)

CASES = pytest.mark.parametrize(
    ("n", "chosen", "threads"),
    [(9, 9, 1), (40, 25, 1), (900, 900, 1), (900, 800, 3)],
    ids=["all", "some", "chunks", "threads"],
)


def matrix(n: int) -> NDArray[np.float64]:
    """A symmetric matrix of float32 values: relatives, two copies, one sample twice as large."""
    rng = np.random.default_rng(n)
    Z = rng.standard_normal((60, n))
    Z[:, 3] = Z[:, 1]
    Z[:, n // 2] = 2.0 * Z[:, 2]
    return (Z.T @ Z / 60.0).astype(np.float32).astype(np.float64)


def pack(K: NDArray[np.float64]) -> NDArray[np.float32]:
    return K[np.tril_indices(len(K))].astype(np.float32)


def rows_of(n: int, chosen: int) -> NDArray[np.int64]:
    """Some samples, the copies and the large one among them."""
    rest = np.random.default_rng(n).permutation(n)
    keep = [1, 2, 3, n // 2]
    more = [int(i) for i in rest if int(i) not in keep][: chosen - len(keep)]
    return np.sort(np.array(keep + more)).astype(np.int64)


@CASES
def test_summary(n: int, chosen: int, threads: int) -> None:
    K, rows = matrix(n), rows_of(n, chosen)
    found = summarise(pack(K), rows, threads)
    block = K[np.ix_(rows, rows)]
    off = block[np.tril_indices(rows.size, -1)]
    assert found.n_samples == rows.size
    assert found.n_not_finite == 0
    assert found.mean_diagonal == pytest.approx(np.diag(block).mean(), rel=1e-12)
    assert found.diagonal_range == (np.diag(block).min(), np.diag(block).max())
    assert found.mean_off == pytest.approx(off.mean(), rel=1e-9)
    assert found.sd_off == pytest.approx(off.std(), rel=1e-9)
    assert found.off_range == (off.min(), off.max())


def test_summary_of_a_single_sample() -> None:
    found = summarise(np.array([1.5], dtype=np.float32), np.array([0]))
    assert (found.mean_diagonal, found.mean_off, found.sd_off) == (1.5, 0.0, 0.0)


@CASES
def test_pieces_of_the_matrix(n: int, chosen: int, threads: int) -> None:
    K, rows = matrix(n), rows_of(n, chosen)
    np.testing.assert_array_equal(packed_diagonal(pack(K), rows), K[rows, rows])
    np.testing.assert_array_equal(packed_block(pack(K), rows), K[np.ix_(rows, rows)])
    shuffled = np.random.default_rng(1).permutation(rows)
    np.testing.assert_array_equal(packed_block(pack(K), shuffled), K[np.ix_(shuffled, shuffled)])


@CASES
def test_close_pairs(n: int, chosen: int, threads: int) -> None:
    K, rows = matrix(n), rows_of(n, chosen)
    count, pairs = close_pairs(pack(K), rows, 0.95, 20, threads)
    block = K[np.ix_(rows, rows)]
    scale = np.sqrt(np.diag(block))
    above = np.tril(block / scale / scale[:, None], -1) > 0.95
    assert count == above.sum()
    assert {(int(rows[a]), int(rows[b])) for a, b in pairs} >= {(1, 3), (2, n // 2)}
    assert [[b, a] for a, b in pairs.tolist()] == np.argwhere(above).tolist()[:20]


def test_only_so_many_pairs_are_named() -> None:
    n = 900
    K = np.ones((n, n))
    count, pairs = close_pairs(pack(K), np.arange(n), 0.95, 20)
    assert count == n * (n - 1) // 2
    assert [[b, a] for a, b in pairs.tolist()] == np.argwhere(np.tril(K, -1) > 0)[:20].tolist()


def test_samples_without_variance_are_in_no_pair() -> None:
    K = np.ones((4, 4))
    K[2, 2] = 0.0
    K[3, 3] = -1.0
    assert close_pairs(pack(K), np.arange(4), 0.95, 20)[0] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 0), (5, 5), (811, 0), (811, 810), (899, 899)])
def test_values_that_are_not_finite_are_found(place: tuple[int, int], value: float) -> None:
    K = matrix(900)
    packed = pack(K)
    assert first_not_finite(packed) is None
    packed[place[0] * (place[0] + 1) // 2 + place[1]] = value
    assert first_not_finite(packed) == place
    assert summarise(packed, np.arange(900)).n_not_finite == 1


@pytest.mark.parametrize("row", [0, 1, 2, 46_341, 65_536, 94_906_266])
def test_places(row: int) -> None:
    """Up to where the square root of a place would round in float64."""
    for column in {0, row // 2, row}:
        assert place_in_triangle(row * (row + 1) // 2 + column) == (row, column)
