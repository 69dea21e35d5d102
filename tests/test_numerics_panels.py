"""A few rows of a symmetric matrix at a time, against the whole of it."""

import numpy as np
import pytest

from lmmgwas.numerics.panels import add_counted_rows, add_packed_rows, centre_rows

N = 9


@pytest.fixture
def K() -> np.ndarray:
    half = np.random.default_rng(1).standard_normal((N, N))
    return (half + half.T).astype(np.float32).astype(float)


def packed(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.tril_indices(N)].astype(np.float32)


ORDERS = {"all": None, "some": [7, 0, 3, 8]}


@pytest.mark.parametrize("order", ORDERS)
def test_rows_of_a_triangle(K: np.ndarray, order: str) -> None:
    chosen = ORDERS[order]
    rows = np.array([] if chosen is None else chosen, dtype=np.int64)
    whole = K if chosen is None else K[np.ix_(chosen, chosen)]
    n = len(whole)
    panel = np.ones((2, n))
    add_packed_rows(packed(K), 0.5, rows, 2, panel)
    expected = np.ones((2, n)) + 0.5 * np.tril(whole)[2:4]
    np.testing.assert_allclose(panel, expected, rtol=1e-15)


@pytest.mark.parametrize("order", ORDERS)
def test_rows_with_counts(K: np.ndarray, order: str) -> None:
    chosen = ORDERS[order]
    rows = np.array([] if chosen is None else chosen, dtype=np.int64)
    counts = np.arange(N * N, dtype=float).reshape(N, N)
    counts = counts + counts.T
    picked = np.ix_(chosen, chosen) if chosen is not None else np.ix_(range(N), range(N))
    n = len(K[picked])
    panel, joint = np.zeros((2, n)), np.zeros((2, n))
    add_counted_rows(packed(K), packed(counts), -1.0, rows, 1, panel, joint)
    np.testing.assert_allclose(panel, -np.tril(K[picked] * counts[picked])[1:3], rtol=1e-15)
    np.testing.assert_array_equal(joint, -np.tril(counts[picked])[1:3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centred_rows(K: np.ndarray, dtype: type) -> None:
    means = K.mean(axis=1)
    out = np.full((N, N), 7.0, dtype=dtype)
    centre_rows(np.tril(K)[3:6], means, 0.25, 2.0, 3, out)
    expected = (K - means[:, None] - means[None, :] + 0.25) * 2.0
    below = np.tril(np.ones((N, N), dtype=bool))[3:6]
    eps = 8.0 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(out[3:6][below], expected[3:6][below], rtol=eps, atol=eps)
    np.testing.assert_array_equal(out[:3], 7.0)
    np.testing.assert_array_equal(out[3:6][~below], 7.0)
