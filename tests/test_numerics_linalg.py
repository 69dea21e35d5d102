"""The door to LAPACK and BLAS against numpy, its refusals and its guards."""

from collections.abc import Callable

import numpy as np
import pytest

from lmmgwas.numerics import linalg
from lmmgwas.numerics.linalg import (
    NotPositiveDefiniteError,
    add_outer_in_place,
    add_trapezoid_in_place,
    cholesky_in_place,
    inverse_in_place,
    inverse_norms_in_place,
    multiply_lower_transposed,
    multiply_symmetric,
    solve_lower,
    solve_lower_rows,
    solve_lower_rows_in_place,
    symmetric_eigen,
)

SIZES = (1, 2, 7, 60)


def positive(n: int, dtype: type = np.float64) -> np.ndarray:
    """Return a well-conditioned V (n, n): the condition number is about 10."""
    A = np.random.default_rng(n).standard_normal((n, 3 * n))
    return (A @ A.T / (3 * n) + 0.5 * np.eye(n)).astype(dtype)


def lower(n: int, dtype: type = np.float64) -> np.ndarray:
    """Return its factor with rubbish above the diagonal, which nobody may read."""
    L = np.linalg.cholesky(positive(n)).astype(dtype)
    L[np.triu_indices(n, 1)] = 1e30
    return L


def tolerance(dtype: type, n: int) -> float:
    """Backward stable algorithms: rounding, times n, times the condition number of about 10."""
    return 10 * (n + 5) * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", SIZES)
def test_cholesky(n: int, dtype: type) -> None:
    V = positive(n, dtype)
    work = V.copy()
    L = cholesky_in_place(work)
    assert L is work
    np.testing.assert_allclose(
        np.tril(L), np.linalg.cholesky(V.astype(np.float64)), atol=tolerance(dtype, n)
    )


@pytest.mark.parametrize("diagonal", [[1.0, -1e-3, 1.0], [1.0, 0.0, 1.0], [-1.0, 1.0, 1.0]])
def test_cholesky_refuses_what_is_not_positive_definite(diagonal: list[float]) -> None:
    with pytest.raises(NotPositiveDefiniteError, match="leading minor"):
        cholesky_in_place(np.diag(diagonal))


def test_cholesky_refuses_nan() -> None:
    V = positive(5)
    V[2, 2] = np.nan
    with pytest.raises(NotPositiveDefiniteError):
        cholesky_in_place(V)


def test_work_on_a_copy_is_noticed() -> None:
    with pytest.raises(ValueError, match="copy"):
        cholesky_in_place(np.asfortranarray(positive(4)))
    with pytest.raises(ValueError, match="copy"):
        solve_lower_rows_in_place(lower(4), np.asfortranarray(np.ones((3, 4))))
    with pytest.raises(ValueError, match="copy"):
        add_outer_in_place(np.ones((3, 4)), np.asfortranarray(np.zeros((4, 4))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", SIZES)
def test_trace_and_norm_of_the_inverse(n: int, dtype: type) -> None:
    inverse = np.linalg.inv(positive(n))
    trace, norm = inverse_norms_in_place(lower(n, dtype))
    assert trace == pytest.approx(np.trace(inverse), rel=tolerance(dtype, n))
    assert norm == pytest.approx((inverse**2).sum(), rel=tolerance(dtype, n))


def test_inverse_of_a_singular_factor_is_refused() -> None:
    L = lower(4)
    L[2, 2] = 0.0
    with pytest.raises(NotPositiveDefiniteError):
        inverse_norms_in_place(L)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(7,), (7, 1), (7, 3)])
def test_solve_lower(shape: tuple[int, ...], transposed: bool) -> None:
    B = np.random.default_rng(1).standard_normal(shape)
    before, L = B.copy(), lower(7)
    matrix = np.tril(L).T if transposed else np.tril(L)
    got = solve_lower(L, B, transposed=transposed)
    assert got.shape == shape
    np.testing.assert_allclose(got, np.linalg.solve(matrix, B), atol=tolerance(np.float64, 7))
    np.testing.assert_array_equal(B, before)


def test_solve_lower_in_float32_returns_float64() -> None:
    B = np.random.default_rng(1).standard_normal((7, 2))
    got = solve_lower(lower(7, np.float32), B)
    assert got.dtype == np.float64
    expected = np.linalg.solve(np.tril(lower(7)), B)
    np.testing.assert_allclose(got, expected, atol=3 * tolerance(np.float32, 7))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [1, 5, 64])
def test_solve_lower_rows(n_rows: int, dtype: type) -> None:
    rows = np.random.default_rng(1).standard_normal((n_rows, 60)).astype(dtype)
    expected = np.linalg.solve(np.tril(lower(60)), rows.T.astype(np.float64)).T
    got = solve_lower_rows_in_place(lower(60, dtype), rows)
    assert got is rows
    np.testing.assert_allclose(got, expected, atol=3 * tolerance(dtype, 60))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_add_outer(dtype: type) -> None:
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((9, 6)).astype(dtype)
    out = rng.standard_normal((6, 6)).astype(dtype)
    expected = out + rows.T.astype(np.float64) @ rows
    upper = out[np.triu_indices(6, 1)].copy()
    add_outer_in_place(rows, out)
    # Nine products of order one.
    np.testing.assert_allclose(np.tril(out), np.tril(expected), atol=40 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(out[np.triu_indices(6, 1)], upper)


@pytest.mark.parametrize("n", SIZES)
def test_eigen(n: int) -> None:
    V = positive(n)
    S, U = symmetric_eigen(V.copy())
    # Eigenvalues are good to rounding times the norm (about 3); vectors are orthonormal.
    np.testing.assert_allclose(S, np.linalg.eigvalsh(V), atol=tolerance(np.float64, n))
    np.testing.assert_allclose((U * S) @ U.T, V, atol=tolerance(np.float64, n))
    np.testing.assert_allclose(U.T @ U, np.eye(n), atol=tolerance(np.float64, n))


def spoiled(S: np.ndarray, U: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    if how == "vector":
        U[:, -1] = U[:, 0]
    elif how == "value":
        S[-1] *= 1.0 + 1e-6
    elif how == "nan":
        S[3] = np.nan
    else:
        U[:] = 0.0
        U[0, -1] = np.nan
    return S, U


@pytest.mark.parametrize("driver", ["_divide_and_conquer", "_robust_representations"])
@pytest.mark.parametrize("how", ["vector", "value", "nan", "nan-vector"])
def test_wrong_decomposition_is_noticed(
    monkeypatch: pytest.MonkeyPatch, how: str, driver: str
) -> None:
    honest = getattr(linalg, driver)
    if driver == "_robust_representations":
        monkeypatch.setattr(linalg, "EVD_MAX_N", 19)
    monkeypatch.setattr(linalg, driver, lambda K: spoiled(*honest(K), how))
    with pytest.raises(ArithmeticError, match="does not reproduce"):
        symmetric_eigen(positive(20))


@pytest.mark.parametrize("n", SIZES)
def test_eigen_by_the_driver_for_large_matrices(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(linalg, "EVD_MAX_N", 0)
    V = positive(n)
    S, U = symmetric_eigen(V.copy())
    # As for the other driver.
    np.testing.assert_allclose(S, np.linalg.eigvalsh(V), atol=tolerance(np.float64, n))
    np.testing.assert_allclose((U * S) @ U.T, V, atol=tolerance(np.float64, n))


@pytest.mark.parametrize(("n", "driver"), [(32_766, "evd"), (32_767, "evr")])
def test_driver_whose_workspace_fits_32_bit_integers(
    monkeypatch: pytest.MonkeyPatch, n: int, driver: str
) -> None:
    asked: list[str] = []

    def eigen(name: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        def solve(K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            asked.append(name)
            return np.zeros(K.shape[0]), K

        return solve

    monkeypatch.setattr(linalg, "_divide_and_conquer", eigen("evd"))
    monkeypatch.setattr(linalg, "_robust_representations", eigen("evr"))
    zeros = np.broadcast_to(0.0, (n, n))  # one number in memory, not 8 GB
    symmetric_eigen(zeros)
    assert asked == [driver]
    assert (1 + 6 * n + 2 * n**2 < 2**31) == (driver == "evd")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", SIZES)
def test_inverse(n: int, dtype: type) -> None:
    L = lower(n, dtype)
    upper = L[np.triu_indices(n, 1)].copy()
    inverse = inverse_in_place(L)
    assert inverse is L
    expected = np.linalg.inv(positive(n))
    np.testing.assert_allclose(np.tril(L), np.tril(expected), atol=10 * tolerance(dtype, n))
    np.testing.assert_array_equal(L[np.triu_indices(n, 1)], upper)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 5, 64])
@pytest.mark.parametrize("transposed", [False, True])
def test_solve_rows(k: int, dtype: type, transposed: bool) -> None:
    rows = np.random.default_rng(1).standard_normal((k, 60))
    before, L = rows.copy(), lower(60, dtype)
    got = solve_lower_rows(L, rows, transposed=transposed)
    matrix = np.tril(lower(60)).T if transposed else np.tril(lower(60))
    assert got.dtype == np.float64
    np.testing.assert_allclose(
        got, np.linalg.solve(matrix, rows.T).T, atol=3 * tolerance(dtype, 60)
    )
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 5, 64])
def test_products_with_a_triangle(k: int, dtype: type) -> None:
    rows = np.random.default_rng(1).standard_normal((k, 60))
    before, L = rows.copy(), lower(60, dtype)
    got = multiply_lower_transposed(L, rows)
    assert got.dtype == np.float64
    # Sixty products of order one, each rounded.
    bound = 60 * 4.0 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(got, rows @ np.tril(lower(60)), atol=bound)
    matrix = positive(60, dtype)
    matrix[np.triu_indices(60, 1)] = 1e30  # which nobody may read
    got = multiply_symmetric(matrix, rows)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, rows @ positive(60), atol=bound)
    np.testing.assert_array_equal(rows, before)


def unwritable(shape: tuple[int, int]) -> np.ndarray:
    matrix = np.eye(*shape)
    matrix.setflags(write=False)
    return matrix


SQUARE = {
    "cholesky": cholesky_in_place,
    "inverse": inverse_in_place,
    "inverse norms": inverse_norms_in_place,
    "eigen": symmetric_eigen,
    "solve": lambda L: solve_lower(L, np.ones(4)),
    "solve rows": lambda L: solve_lower_rows(L, np.ones((2, 4))),
    "rows in place": lambda L: solve_lower_rows_in_place(L, np.ones((2, 4))),
    "times triangle": lambda L: multiply_lower_transposed(L, np.ones((2, 4))),
    "times symmetric": lambda M: multiply_symmetric(M, np.ones((2, 4))),
    "add outer": lambda M: add_outer_in_place(np.ones((2, 4)), M),
}
"""Everything that takes a matrix, given one that should be 4 by 4."""


@pytest.mark.parametrize("name", SQUARE)
@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        (np.asfortranarray(positive(4)), ValueError),
        (positive(8)[::2, ::2], ValueError),
        (np.eye(5)[:4], ValueError),
        (np.eye(4)[:3], ValueError),
        (np.ones(16), ValueError),
        (np.ones((2, 2, 4)), ValueError),
        (unwritable((4, 4)), ValueError),
        (np.eye(4, dtype=np.int64), TypeError),
        (np.eye(4, dtype=np.complex128), TypeError),
        (np.eye(4, dtype=np.float16), TypeError),
        (np.eye(4, dtype=np.longdouble), TypeError),
    ],
    ids=["fortran", "strided", "wide", "low", "vector", "cube", "const", "int", "c16", "f2", "f16"],
)
def test_what_blas_would_misread_is_refused(
    name: str, matrix: np.ndarray, error: type[Exception]
) -> None:
    with pytest.raises((error, IndexError) if name == "eigen" else error):
        SQUARE[name](matrix)


@pytest.mark.parametrize(
    "function",
    [solve_lower_rows, solve_lower_rows_in_place, multiply_lower_transposed, multiply_symmetric],
)
def test_rows_of_another_length_are_refused(function: Callable[..., object]) -> None:
    for width in (5, 3):  # 5 first: without a check 3 would write beyond the memory of the rows
        with pytest.raises(ValueError, match=r"rows|expected"):
            function(lower(4), np.ones((2, width)))


def test_types_are_not_mixed() -> None:
    with pytest.raises(TypeError):
        solve_lower_rows_in_place(lower(4), np.ones((2, 4), dtype=np.float32))
    with pytest.raises(TypeError):
        add_outer_in_place(np.ones((2, 4), dtype=np.float32), np.zeros((4, 4)))


def test_no_rows() -> None:
    assert solve_lower_rows(lower(4), np.empty((0, 4))).shape == (0, 4)
    assert multiply_lower_transposed(lower(4), np.empty((0, 4))).shape == (0, 4)
    assert multiply_symmetric(positive(4), np.empty((0, 4))).shape == (0, 4)
    out = np.ones((4, 4))
    add_outer_in_place(np.empty((0, 4)), out)
    np.testing.assert_array_equal(out, 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "block"), [(21, 10), (40, 8), (100, 33), (129, 64), (130, 64)])
def test_block_by_block_is_the_same(n: int, block: int, dtype: type) -> None:
    """Large matrices go by blocks: here small ones do."""
    V = np.tril(positive(n)).astype(dtype)  # what stands above the diagonal is not read
    L = cholesky_in_place(V.copy(), block)
    np.testing.assert_allclose(
        np.tril(L), np.linalg.cholesky(positive(n)), rtol=0, atol=tolerance(dtype, n)
    )
    inverse = np.tril(inverse_in_place(L.copy(), block))
    expected = np.tril(np.linalg.inv(positive(n)))
    np.testing.assert_allclose(inverse, expected, rtol=0, atol=tolerance(dtype, n))


def test_a_bad_minor_is_named_by_its_place_in_the_whole() -> None:
    V = positive(50)
    V[37, 37] = -1.0
    with pytest.raises(NotPositiveDefiniteError, match="leading minor 38 of 50"):
        cholesky_in_place(V, 8)


def test_a_decomposition_that_does_not_converge_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPACK says so by `info`; no matrix is known that makes it."""
    monkeypatch.setattr(linalg, "call_lapack", lambda *_: 3)
    with pytest.raises(ArithmeticError, match=r"did not converge \(info 3\)"):
        linalg.symmetric_eigen(np.eye(4))


@pytest.mark.parametrize(("first", "shape"), [(1, (2, 4)), (3, (3, 6)), (0, (2, 3))])
def test_a_trapezoid_that_is_none(first: int, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="columns"):
        add_trapezoid_in_place(np.ones((2, 5)), first, np.zeros(shape))


def test_a_trapezoid_is_rows_of_the_product() -> None:
    tile = np.random.default_rng(1).standard_normal((4, 7))
    out = np.zeros((3, 5))
    add_trapezoid_in_place(tile, 2, out)
    expected = (tile.T @ tile)[2:5, :5]
    lower = np.tri(5, dtype=bool)[2:5]
    np.testing.assert_allclose(out[lower], expected[lower], atol=1e-14)
