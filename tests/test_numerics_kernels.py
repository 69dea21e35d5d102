"""Compiled loops against one line of numpy each."""

import numpy as np
import pytest

from lmmgwas.numerics.kernels import (
    add_packed,
    add_packed_product,
    count_calls,
    fill_tile,
    mask_heterozygotes,
    mirror_lower,
    strict_lower_square_sum,
)

MISSING = -127
CODES = np.array([0, 1, 2, MISSING], dtype=np.int8)


def random_calls(b: int, n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).choice(CODES, (b, n))


def random_packed(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a symmetric matrix and its lower triangle, row by row, in float32."""
    matrix = np.random.default_rng(seed).standard_normal((n, n)).astype(np.float32)
    matrix = np.tril(matrix) + np.tril(matrix, -1).T
    return matrix, matrix[np.tril_indices(n)]


@pytest.mark.parametrize("samples", [[0, 1, 2, 3, 4, 5, 6], [5, 0, 3], [2]])
def test_count_calls(samples: list[int]) -> None:
    calls = random_calls(9, 7)
    out = np.full((9, 4), -1, dtype=np.int64)
    count_calls(calls, np.array(samples), out)
    np.testing.assert_array_equal(out, (calls[:, samples, None] == CODES).sum(axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fill_tile(dtype: type) -> None:
    calls = random_calls(6, 11)
    samples = np.array([10, 2, 3, 7])
    rng = np.random.default_rng(2)
    centre, scale = rng.uniform(0, 2, 6), rng.uniform(0, 3, 6)
    scale[4] = 0.0
    out = np.full((6, 4), np.nan, dtype=dtype)
    fill_tile(calls, samples, centre, scale, out)
    picked = calls[:, samples]
    expected = np.where(picked == MISSING, 0.0, (picked - centre[:, None]) * scale[:, None])
    # One rounding of each of two operations, and one to the type of the tile.
    np.testing.assert_allclose(out, expected, rtol=4 * np.finfo(dtype).eps, atol=0.0)


def test_fill_tile_leaves_other_rows_alone() -> None:
    out = np.full((5, 7), 3.5)
    fill_tile(random_calls(2, 7), np.arange(7), np.zeros(2), np.ones(2), out[:2])
    np.testing.assert_array_equal(out[2:], 3.5)


def test_mask_heterozygotes() -> None:
    calls = random_calls(8, 10)
    columns = np.array([1, 4, 9])
    expected = calls.copy()
    expected[:, columns] = np.where(calls[:, columns] == 1, MISSING, calls[:, columns])
    n_changed = mask_heterozygotes(columns, MISSING, calls.copy())
    assert n_changed == (random_calls(8, 10)[:, columns] == 1).sum()
    mask_heterozygotes(columns, MISSING, calls)
    np.testing.assert_array_equal(calls, expected)
    assert mask_heterozygotes(columns, MISSING, calls) == 0


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [5, 0, 3], [4]])
def test_add_packed(rows: list[int]) -> None:
    matrix, packed = random_packed(6, 3)
    out = np.ones((len(rows), len(rows)))
    add_packed(packed, 0.25, np.array(rows), out)
    expected = 1.0 + np.tril(0.25 * matrix[np.ix_(rows, rows)].astype(np.float64))
    np.testing.assert_array_equal(out, expected)  # a product with 1/4 is exact


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_add_packed_product(sign: float) -> None:
    matrix, packed = random_packed(6, 4)
    counts = np.round(random_packed(6, 5)[0] * 10)
    packed_counts = counts[np.tril_indices(6)]
    rows = np.array([3, 1, 5, 0])
    out_sum, out_count = np.zeros((4, 4)), np.zeros((4, 4))
    add_packed_product(packed, packed_counts, sign, rows, out_sum, out_count)
    pick = np.ix_(rows, rows)
    product = matrix[pick].astype(np.float64) * counts[pick].astype(np.float64)
    np.testing.assert_array_equal(out_sum, sign * np.tril(product))  # 24 + 24 bits fit in 53
    np.testing.assert_array_equal(out_count, sign * np.tril(counts[pick]))


@pytest.mark.parametrize("n", [1, 5, 63, 64, 65, 200])
def test_mirror_lower(n: int) -> None:
    matrix = np.random.default_rng(n).standard_normal((n, n))
    expected = np.tril(matrix) + np.tril(matrix, -1).T
    mirror_lower(matrix)
    np.testing.assert_array_equal(matrix, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 5, 33])
def test_strict_lower_square_sum(n: int, dtype: type) -> None:
    matrix = np.random.default_rng(n).standard_normal((n, n)).astype(dtype)
    expected = (np.tril(matrix.astype(np.float64), -1) ** 2).sum()
    # Rounding of n^2 terms.
    assert strict_lower_square_sum(matrix) == pytest.approx(expected, rel=1e-14, abs=1e-300)
