"""Compiled loops against one line of numpy each."""

import numpy as np
import pytest

from lmmgwas.numerics.kernels import (
    add_missing,
    add_packed,
    add_packed_product,
    add_row_sums,
    add_weighted,
    add_weighted_product,
    centre_symmetric,
    combine_packed,
    count_calls,
    fill_tile,
    mask_heterozygotes,
    mirror_lower,
    move_lower,
    pack_rows,
    replace_call,
    spread_bytes,
    strict_lower_square_sum,
    weigh_lower,
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
    calls = np.ascontiguousarray(random_calls(9, 7)[:, samples])
    out = np.full((9, 4), -1, dtype=np.int64)
    count_calls(calls, out)
    np.testing.assert_array_equal(out, (calls[:, :, None] == CODES).sum(axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fill_tile(dtype: type) -> None:
    picked = random_calls(6, 11)
    rng = np.random.default_rng(2)
    centre, scale = rng.uniform(0, 2, 6), rng.uniform(0, 3, 6)
    scale[4] = 0.0
    out = np.full((6, 11), np.nan, dtype=dtype)
    fill_tile(picked, centre, scale, out)
    expected = np.where(picked == MISSING, 0.0, (picked - centre[:, None]) * scale[:, None])
    # One rounding of each of two operations, and one to the type of the tile.
    np.testing.assert_allclose(out, expected, rtol=4 * np.finfo(dtype).eps, atol=0.0)


def test_fill_tile_leaves_other_rows_alone() -> None:
    out = np.full((5, 7), 3.5)
    fill_tile(random_calls(2, 7), np.zeros(2), np.ones(2), out[:2])
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


ROWS = [[], [0, 1, 2, 3, 4, 5], [5, 0, 3], [4]]
"""Samples that are picked; none stands for all."""


def pick(matrix: np.ndarray, rows: list[int]) -> np.ndarray:
    rows = rows or list(range(len(matrix)))
    return matrix[np.ix_(rows, rows)].astype(np.float64)


def chunk_of(matrix: np.ndarray, chunk: tuple[int, int]) -> np.ndarray:
    """The lower triangle, zero outside of the rows of a chunk."""
    rows = np.arange(len(matrix))
    return np.tril(matrix) * ((rows >= chunk[0]) & (rows < chunk[1]))[:, None]


@pytest.mark.parametrize("chunk", [(0, 99), (0, 1), (1, 3)])
@pytest.mark.parametrize("rows", ROWS)
def test_add_packed(rows: list[int], chunk: tuple[int, int]) -> None:
    matrix, packed = random_packed(6, 3)
    wanted = pick(matrix, rows)
    chunk = min(chunk[0], len(wanted)), min(chunk[1], len(wanted))
    out = np.ones_like(wanted)
    add_packed(packed, 0.25, np.array(rows, dtype=np.int64), chunk, out)
    # A product with 1/4 is exact.
    np.testing.assert_array_equal(out, 1.0 + chunk_of(0.25 * wanted, chunk))


@pytest.mark.parametrize("chunk", [(0, 99), (0, 1), (1, 3)])
@pytest.mark.parametrize("rows", ROWS)
def test_combine_packed(rows: list[int], chunk: tuple[int, int]) -> None:
    one, packed_one = random_packed(6, 3)
    two, packed_two = random_packed(6, 4)
    expected = 0.25 * pick(one, rows) - 0.125 * pick(two, rows)
    chunk = min(chunk[0], len(expected)), min(chunk[1], len(expected))
    out = np.full_like(expected, 7.0)
    index = np.array(rows, dtype=np.int64)
    combine_packed(packed_one, packed_two, (0.25, -0.125), index, chunk, out)
    written = chunk_of(np.ones_like(out), chunk) > 0
    # Products with powers of two are exact, the sum is rounded once, as numpy's is.
    np.testing.assert_array_equal(out[written], expected[written])
    np.testing.assert_array_equal(out[~written], 7.0)


def test_spread_bytes() -> None:
    rng = np.random.default_rng(1)
    packed = rng.integers(0, 256, (5, 33), dtype=np.uint8)
    table = rng.integers(0, 2**32, 256, dtype=np.uint32)
    out = np.zeros((5, 33), dtype=np.uint32)
    spread_bytes(packed, table, out)
    np.testing.assert_array_equal(out, table[packed])


def test_add_missing() -> None:
    calls = random_calls(9, 7)
    out = np.arange(7)
    add_missing(calls, out)
    np.testing.assert_array_equal(out, np.arange(7) + (calls == MISSING).sum(axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chunk", [(0, 7), (0, 3), (5, 7)])
def test_move_lower(chunk: tuple[int, int], dtype: type) -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((7, 7)).astype(dtype)
    total = rng.standard_normal((7, 7))
    moved = chunk_of(values.astype(np.float64), chunk)
    left = np.where(chunk_of(np.ones((7, 7)), chunk) > 0, 0, values)
    expected = total + moved
    move_lower(0, values, total, chunk)
    np.testing.assert_array_equal(total, expected)  # the same single addition
    np.testing.assert_array_equal(values, left)


@pytest.mark.parametrize("n", [1, 2, 5, 33, 70])
def test_row_sums_of_a_lower_triangle(n: int) -> None:
    matrix = np.random.default_rng(n).standard_normal((n, n))
    symmetric = np.tril(matrix) + np.tril(matrix, -1).T
    out = np.ones(n)
    for chunk in ((0, n // 3), (n // 3, n)):
        add_row_sums(matrix, chunk, out)
    # Rounding of sums of n terms of order one.
    np.testing.assert_allclose(out, 1.0 + symmetric.sum(axis=1), atol=1e-15 * 10 * n)


@pytest.mark.parametrize("n", [1, 5, 63, 64, 65, 200])
def test_centre_symmetric(n: int) -> None:
    rng = np.random.default_rng(n)
    matrix, means = rng.standard_normal((n, n)), rng.standard_normal(n)
    symmetric = np.tril(matrix) + np.tril(matrix, -1).T
    expected = (symmetric - means[:, None] - means + 0.5) * 3.0
    for chunk in ((0, n // 3), (n // 3, n)):
        centre_symmetric(means, 0.5, 3.0, chunk, matrix)
    # Below the diagonal the operations are these, in this order; above it a copy of it.
    np.testing.assert_array_equal(np.tril(matrix), np.tril(expected))
    np.testing.assert_array_equal(matrix, matrix.T)


@pytest.mark.parametrize("one_count", [False, True])
def test_pack_rows(one_count: bool) -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((6, 6))
    counts = np.full((1, 1), 7.0) if one_count else rng.integers(0, 3, (6, 6)).astype(float)
    out = np.full(21, 5.0, dtype=np.float32)
    pack_rows(0, values, counts, (0, 2), out)
    np.testing.assert_array_equal(out[3:], 5.0)  # rows 0 and 1 have three values
    pack_rows(0, values, counts, (2, 6), out)
    everywhere = np.broadcast_to(counts, (6, 6))
    quotient = np.divide(values, everywhere, out=np.zeros((6, 6)), where=everywhere > 0)
    np.testing.assert_array_equal(out, quotient[np.tril_indices(6)].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chunk", [(0, 6), (2, 4)])
def test_weigh_lower(chunk: tuple[int, int], dtype: type) -> None:
    K = np.random.default_rng(1).standard_normal((6, 6))
    out = np.full((6, 6), 9.0, dtype=dtype)
    weigh_lower(K, 0.3, 0.7, chunk, out)
    written = chunk_of(np.ones((6, 6)), chunk) > 0
    expected = 0.3 * K + 0.7 * np.eye(6)
    # One product, on the diagonal one sum, one rounding to the type.
    eps = 2.0 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(out[written], expected[written], rtol=eps, atol=1e-16)
    np.testing.assert_array_equal(out[~written], 9.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_add_packed_product(sign: float) -> None:
    matrix, packed = random_packed(6, 4)
    counts = np.round(random_packed(6, 5)[0] * 10)
    packed_counts = counts[np.tril_indices(6)]
    rows = np.array([3, 1, 5, 0])
    out_sum, out_count = np.zeros((4, 4)), np.zeros((4, 4))
    add_packed_product(packed, packed_counts, sign, rows, out_sum, out_count)
    product = pick(matrix, rows.tolist()) * pick(counts, rows.tolist())
    np.testing.assert_array_equal(out_sum, sign * np.tril(product))  # 24 + 24 bits fit in 53
    np.testing.assert_array_equal(out_count, sign * np.tril(pick(counts, rows.tolist())))


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


@pytest.mark.parametrize("first", [0, 3])
def test_add_weighted(first: int) -> None:
    """Rows 4 and 5 of a triangle that is packed from row `first` on."""
    before = first * (first + 1) // 2
    packed = np.arange(21 - before, dtype=np.float32)
    out = np.ones(21 - before)
    add_weighted(first, packed, 2.5, (4, 6), out)
    expected = np.ones(21 - before)
    expected[10 - before :] += 2.5 * packed[10 - before :]
    np.testing.assert_array_equal(out, expected)


def test_add_weighted_product() -> None:
    packed = np.array([0.5, 2.0, 0.0], dtype=np.float32)
    counts = np.array([4.0, 0.0, 7.0], dtype=np.float32)
    total, joint = np.ones(3), np.full(3, 2.0)
    add_weighted_product(packed, counts, total, joint)
    np.testing.assert_array_equal(total, [3.0, 1.0, 1.0])
    np.testing.assert_array_equal(joint, [6.0, 2.0, 9.0])


@pytest.mark.parametrize(("old", "new"), [(MISSING, 3), (0, 2), (1, MISSING), (7, 0)])
def test_replace_call(old: int, new: int) -> None:
    calls = random_calls(5, 37)
    expected = np.where(calls == old, np.int8(new), calls)
    replace_call(old, new, calls)
    np.testing.assert_array_equal(calls, expected)
