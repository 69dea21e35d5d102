"""Sums of a GRM in row tiles, against the whole product."""

import itertools

import numpy as np
import pytest

from lmmgwas.errors import NumericalError
from lmmgwas.model import grm_sum
from lmmgwas.model.grm_check import SumCheck, check_counts, check_products, scaled_values
from lmmgwas.model.grm_sum import GrmSum, GroupRows, RowTile, WholeSum, row_tiles

N, M = 53, 40


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> tuple[RowTile, ...]:
    monkeypatch.setattr(grm_sum, "MAX_ROWS", 20)
    return row_tiles(N)


def packed(matrix: np.ndarray, rows: RowTile) -> np.ndarray:
    return np.concatenate([matrix[i, : i + 1] for i in range(rows.first, rows.last)])


@pytest.mark.parametrize("n", [1, 2, 8191, 8192, 8193, 20_000, 50_000])
def test_tiles_cover_the_rows(n: int) -> None:
    found = row_tiles(n)
    assert (found[0].first, found[-1].last) == (0, n)
    assert all(a.last == b.first for a, b in itertools.pairwise(found))
    heights = [rows.height for rows in found]
    assert min(heights) > 0
    assert max(heights) <= 8192
    assert max(heights) - min(heights) <= 1
    assert sum(rows.n_values for rows in found) == n * (n + 1) // 2
    starts = np.cumsum([0, *(rows.n_values for rows in found)])
    assert [rows.start for rows in found] == starts[:-1].tolist()


@pytest.mark.parametrize("threads", [1, 3])
def test_each_tile_is_its_rows_of_the_product(tiles: tuple[RowTile, ...], threads: int) -> None:
    assert len(tiles) == 3
    Z = np.random.default_rng(1).standard_normal((M, N)).astype(np.float32)
    expected = Z.astype(float).T @ Z.astype(float)
    for rows in tiles:
        total = GrmSum(rows, threads)
        for _ in range(17):  # one more than what is summed in float32
            total.add(Z)
        total.flush()
        values = total.packed(17)
        # 17 float32 sums of 40 products of order one.
        np.testing.assert_allclose(values, packed(expected, rows), atol=40 * 1e-6)
        total.clear()
        assert not total.packed(1).any()


def test_a_tile_has_the_bits_it_has_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sums a row tile, and whatever else is summed: the same bytes."""
    Z = np.random.default_rng(2).standard_normal((512, 700)).astype(np.float32)
    monkeypatch.setattr(grm_sum, "MAX_ROWS", 300)
    together = [GrmSum(rows, 2) for rows in row_tiles(700)]
    for total in together:
        total.add(Z)
        total.flush()
    for rows, total in zip(row_tiles(700), together, strict=True):
        alone = GrmSum(rows, 1)
        alone.add(Z.copy())
        alone.flush()
        assert alone.packed(3).tobytes() == total.packed(3).tobytes()


@pytest.mark.parametrize("pairwise", [False, True])
def test_groups_add_up_to_the_whole(tiles: tuple[RowTile, ...], pairwise: bool) -> None:
    rng = np.random.default_rng(3)
    sums = [rng.standard_normal((N, N)) for _ in range(2)]
    counts = [rng.integers(0, 3, (N, N)).astype(float) for _ in range(2)]
    m = [7, 11]
    for rows in tiles:
        whole = WholeSum(rows, pairwise=pairwise)
        for k in range(2):
            joint = counts[k] if pairwise else np.full((N, N), float(m[k]))
            mean = np.divide(sums[k], joint, out=np.zeros((N, N)), where=joint > 0)
            products = np.full(rows.height, float(k + 1))
            whole.add(
                GroupRows(
                    rows,
                    packed(mean, rows).astype(np.float32),
                    packed(joint, rows).astype(np.float32) if pairwise else None,
                    products,
                    products if pairwise else None,
                ),
                m[k],
            )
        found = whole.means(sum(m))
        joint = counts[0] + counts[1] if pairwise else np.full((N, N), 18.0)
        total = sum(np.where(c > 0, s, 0.0) if pairwise else s for s, c in zip(sums, counts))  # noqa: B905
        expected = np.divide(total, joint, out=np.zeros((N, N)), where=joint > 0)
        np.testing.assert_allclose(found.values, packed(expected, rows), atol=1e-6)
        np.testing.assert_array_equal(found.products, 3.0)
        if pairwise:
            np.testing.assert_array_equal(found.counts, packed(joint, rows))
            np.testing.assert_array_equal(found.count_products, 3.0)
        else:
            assert found.counts is None


def test_no_variant_is_a_mean_of_zero() -> None:
    rows = RowTile(0, 4)
    assert not WholeSum(rows).means(0).values.any()


def test_products_of_a_row_tile(tiles: tuple[RowTile, ...]) -> None:
    """The check of a tile sees its own rows, and no fault of another."""
    rng = np.random.default_rng(4)
    calls = rng.integers(0, 3, (M, N), dtype=np.int8)
    centre, scale = calls.mean(axis=1), 1.0 / calls.std(axis=1)
    Z = (calls - centre[:, None]) * scale[:, None]
    K = Z.T @ Z / M
    wrong = K.copy()
    wrong[25, 7] += 0.01
    for rows in tiles:
        check = SumCheck(rows)
        check.add(check.products(calls, scaled_values(centre, scale)))
        if rows.first <= 25 < rows.last:
            again = SumCheck(rows)
            again.add(again.products(calls, scaled_values(centre, scale)))
            with pytest.raises(NumericalError, match=r"E903.*group 1"):
                again.close_group("1", packed(wrong, rows).astype(np.float32), None, M)
        products = check.close_group("1", packed(K, rows).astype(np.float32), None, M)
        values = packed(wrong if rows.last <= 25 or rows.first > 25 else K, rows)
        check_products("all", GroupRows(rows, values.astype(np.float32), None, products, None), M)


def test_counts_are_held_against_their_products() -> None:
    rows = RowTile(0, 3)
    counts = np.ones(6, dtype=np.float32)
    values = np.zeros(6, dtype=np.float32)
    check_counts("all", GroupRows(rows, values, None, np.zeros(3), None))
    check = SumCheck(rows)
    check.add(check.products(np.ones((1, 3), dtype=np.int8), np.ones((1, 4))))
    right = check.close_group("1", counts, None, 1)
    check_counts("all", GroupRows(rows, values, counts, np.zeros(3), right))
    with pytest.raises(NumericalError, match="counts of pairs"):
        check_counts("all", GroupRows(rows, values, counts, np.zeros(3), right + 1.0))


def test_counts_without_products_and_a_sum_of_nothing() -> None:
    rows = RowTile(0, 3)
    total = GrmSum(rows)
    total.flush()
    assert not total.total.any()
    whole = WholeSum(rows, pairwise=True)
    values = np.ones(6, dtype=np.float32)
    whole.add(GroupRows(rows, values, 2.0 * values, np.ones(3), None), 2)
    found = whole.means(2)
    np.testing.assert_array_equal(found.values, 1.0)
    np.testing.assert_array_equal(found.counts, 2.0)
    np.testing.assert_array_equal(found.count_products, 0.0)
