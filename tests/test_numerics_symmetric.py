"""Products in float64 with matrices in float32, against float64 copies of them."""

import tracemalloc

import numpy as np
import pytest

from lmmgwas.numerics import symmetric
from lmmgwas.numerics.symmetric import square_sum, times_any, times_columns, times_rows


def kernel(n: int, dtype: type) -> np.ndarray:
    A = np.random.default_rng(n).standard_normal((n, n))
    return (A + A.T).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 5, 12, 13])
def test_products(monkeypatch: pytest.MonkeyPatch, n: int, dtype: type) -> None:
    monkeypatch.setattr(symmetric, "_PANEL", 6)  # none, one, two and more panels
    K = kernel(n, dtype)
    dense = K.astype(np.float64)
    rows = np.random.default_rng(1).standard_normal((3, n))
    # Sums of at most 13 products of order one.
    for got, expected in (
        (times_rows(K, rows), rows @ dense),
        (times_columns(K, rows.T), dense @ rows.T),
        (times_columns(K, rows[0]), dense @ rows[0]),
        (times_any(rows, np.tril(K)), rows @ np.tril(dense)),
    ):
        assert got.dtype == np.float64
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)
    assert square_sum(K) == pytest.approx(float((dense**2).sum()), rel=1e-13)


def test_no_copy_in_float64() -> None:
    """Of K in float32 a few rows are in float64 at a time."""
    n = 1500
    K = kernel(n, np.float32)
    rows = np.ones((4, n))
    tracemalloc.start()
    times_rows(K, rows)
    times_columns(K, rows.T)
    times_any(rows, K)
    square_sum(K)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * symmetric._PANEL * n * 8 < 0.5 * n * n * 8
