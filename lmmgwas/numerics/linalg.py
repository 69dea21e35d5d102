"""The one door to LAPACK and BLAS for large matrices: layouts, sizes and results are checked.

Matrices are symmetric or lower triangular in C order. LAPACK sees their transposes in
Fortran order, hence the upper triangle in the calls below; nothing is copied. No call holds
the GIL, so that other threads read, write and answer signals meanwhile.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from lmmgwas.numerics.blas import call, call_lapack
from lmmgwas.numerics.kernels import strict_lower_square_sum

Array = NDArray[np.float64]
Real = NDArray[Any]

EVD_MAX_N = 32_766
"""Largest n whose workspace 1 + 6 n + 2 n^2 of ?syevd fits LAPACK's 32-bit integers.

A run that would need a larger decomposition is refused before it begins (`model.run_size`). No
other routine that is called here has a workspace that grows with n^2: potrf, potri, trsm, trmm,
symm, syrk and gemm have none, and count their elements in 64 bits."""

BLOCK = 4096
"""Rows of a block. LAPACK's own routines for a factor and an inverse are called up to twice as
many. Beyond that one of their steps is not safe: dsyrk of OpenBLAS 0.3.30 on two threads writes
past the end of its buffer (n = 16,000, k = 1,024; not at n = 13,000, nor at k = 512)."""


class NotPositiveDefiniteError(ArithmeticError):
    """A matrix that must be positive definite is not, to working precision."""


def _require(*matrices: Real) -> None:
    """Raise unless all are writable C-contiguous matrices of one floating type."""
    kinds = {matrix.dtype for matrix in matrices}
    if len(kinds) != 1 or kinds.pop() not in (np.float32, np.float64):
        raise TypeError("matrices must be all float32 or all float64")
    for matrix in matrices:
        if matrix.ndim != 2 or not matrix.flags.c_contiguous or not matrix.flags.writeable:
            raise ValueError("a matrix is not a writable C-contiguous one: BLAS would need a copy")


def _require_square(matrix: Real, n: int) -> None:
    if matrix.shape != (n, n):
        raise ValueError(f"expected a matrix of {n} by {n}, got {matrix.shape}")


def _require_rows(matrix: Real, rows: Real) -> None:
    """Raise unless the matrix is square and the rows are as long as it."""
    n = matrix.shape[0]
    _require_square(matrix, n)
    if rows.shape[1] != n:
        raise ValueError(f"rows of {rows.shape[1]} values, the factor has {n}")


def cholesky_in_place(V: Real, block: int = BLOCK) -> Real:
    """Return L of V = L L', in the lower triangle of V's own memory (the upper is left as it was).

    Matrices of more than twice `block` rows are factored block by block.

    Raises NotPositiveDefiniteError. n^3/3 operations.
    """
    _require(V)
    n = V.shape[0]
    _require_square(V, n)
    step = n if n <= 2 * block else block
    for k in range(0, n, step):
        stop = min(k + step, n)
        own = V[k:stop, k:stop]
        info = call_lapack("potrf", b"U", stop - k, own, n)
        if info != 0:
            raise NotPositiveDefiniteError(f"leading minor {k + info} of {n} is not positive")
        if stop < n:
            below = V[stop:, k:stop]  # L_below = V_below L_own'^-1
            call("trsm", b"L", b"U", b"T", b"N", stop - k, n - stop, 1.0, own, n, below, n)
            _subtract_square(V, stop, below, block)
    if not np.isfinite(V.diagonal()).all():  # OpenBLAS lets NaN through without a word
        raise NotPositiveDefiniteError("the matrix holds values that are not finite")
    return V


def _subtract_square(V: Real, start: int, below: Real, block: int) -> None:
    """Subtract below below' from the lower triangle of V that begins at row `start`."""
    n, width = V.shape[0], below.shape[1]
    for a in range(start, n, block):
        b = min(a + block, n)
        own = below[a - start : b - start]
        call("syrk", b"U", b"T", b - a, width, -1.0, own, n, 1.0, V[a:b, a:b], n)
        if b < n:
            rest = below[b - start :]
            target = V[b:, a:b]
            call("gemm", b"T", b"N", b - a, n - b, width, -1.0, own, n, rest, n, 1.0, target, n)


def inverse_in_place(L: Real, block: int = BLOCK) -> Real:
    """Return V^-1 of V = L L', its lower triangle only, in L's own memory. 2/3 n^3 operations.

    Matrices of more than twice `block` rows are inverted block by block; what stood above the
    diagonal is then lost.
    """
    _require(L)
    n = L.shape[0]
    _require_square(L, n)
    if n > 2 * block:
        return _inverse_by_blocks(L, block)
    info = call_lapack("potri", b"U", n, L, n)
    if info != 0:
        raise NotPositiveDefiniteError(f"diagonal element {info} of the factor is zero")
    return L


def _inverse_by_blocks(L: Real, block: int) -> Real:
    """L^-1 =: R column block by column block, then R'R row block by row block, all in L's memory.

    A column block of R needs the columns of L from there on, a row block of R'R the rows of R
    from there on: what is overwritten is not read again.
    """
    n = L.shape[0]
    for k in range(0, n, block):
        stop = min(k + block, n)
        rows = np.eye(stop - k, n - k, dtype=L.dtype)
        call("trsm", b"L", b"U", b"T", b"N", n - k, stop - k, 1.0, L[k:, k:], n, rows, n - k)
        L[k:, k:stop] = rows.T
        del rows  # before the next are there
    for k in range(0, n, block):
        stop = min(k + block, n)
        L[k:stop, :stop] = L[k:, k:stop].T @ L[k:, :stop]
    return L


def inverse_norms_in_place(L: Real) -> tuple[float, float]:
    """Return the trace of V^-1 and its squared Frobenius norm, given V = L L'; destroys L.

    2/3 n^3 operations. What is left in L is V^-1, lower triangle.
    """
    lower = inverse_in_place(L)
    diagonal = lower.diagonal().astype(np.float64)
    off = float(strict_lower_square_sum(lower))
    return float(diagonal.sum()), float(diagonal @ diagonal) + 2.0 * off


def solve_lower(L: Real, columns: Real, *, transposed: bool = False) -> Real:
    """Return L^-1 B, or L'^-1 B, in float64 for B of shape (n,) or (n, k)."""
    rows = np.array(columns.T, dtype=L.dtype, order="C", ndmin=2, copy=True)
    _solve_rows(L, rows, transposed=transposed)
    return np.ascontiguousarray(rows.T, dtype=np.float64).reshape(columns.shape)


def solve_lower_rows(L: Real, rows: Real, *, transposed: bool = False) -> Array:
    """Return L^-1 x, or L'^-1 x, in float64 for each row x of `rows` (k, n)."""
    solved = np.array(rows, dtype=L.dtype, order="C")
    _solve_rows(L, solved, transposed=transposed)
    return solved.astype(np.float64)


def multiply_lower_transposed(L: Real, rows: Real) -> Array:
    """Return L'x in float64 for each row x of `rows` (k, n)."""
    product = np.array(rows, dtype=L.dtype, order="C")
    _require(L, product)
    _require_rows(L, product)
    n = L.shape[0]
    call("trmm", b"L", b"U", b"N", b"N", n, len(product), 1.0, L, n, product, n)
    return product.astype(np.float64)


def multiply_symmetric(M: Real, rows: Real) -> Array:
    """Return M x in float64 for each row x of `rows` (k, n), M (n, n) by its lower triangle."""
    right = np.array(rows, dtype=M.dtype, order="C")
    product = np.empty_like(right)
    _require(M, right)
    _require_rows(M, right)
    n = M.shape[0]
    call("symm", b"L", b"U", n, len(right), 1.0, M, n, right, n, 0.0, product, n)
    return product.astype(np.float64)


def solve_lower_rows_in_place(L: Real, rows: Real) -> Real:
    """Replace each row x of `rows` (T, n, C order) by L^-1 x, in its own memory.

    n^2 operations per row. One call for the whole tile.
    """
    _solve_rows(L, rows, transposed=False)
    return rows


def _solve_rows(L: Real, rows: Real, *, transposed: bool) -> None:
    _require(L, rows)
    _require_rows(L, rows)
    n = L.shape[0]
    if rows.shape[0]:
        side = b"N" if transposed else b"T"
        call("trsm", b"L", b"U", side, b"N", n, rows.shape[0], 1.0, L, n, rows, n)


def add_outer_in_place(rows: Real, out: Real) -> None:
    """Add rows' rows to the lower triangle of out (n, n), for rows of shape (T, n)."""
    _require_square(out, rows.shape[1])
    add_trapezoid_in_place(rows, 0, out)


def add_trapezoid_in_place(tile: Real, first: int, out: Real) -> None:
    """Add rows first, first + 1, ... of the lower triangle of tile' tile to out (h, first + h).

    tile (T, n), n at least first + h. What lies above the diagonal in out is of no meaning.
    """
    _require(tile, out)
    height, width = out.shape
    n = tile.shape[1]
    if width != first + height or width > n:
        raise ValueError(f"rows {first} to {first + height} of {n}, but {width} columns")
    if not tile.shape[0]:
        return
    own = tile[:, first:]
    if first:
        size = first, height, tile.shape[0]
        call("gemm", b"N", b"T", *size, 1.0, tile, n, own, n, 1.0, out, width)
    call("syrk", b"U", b"N", height, tile.shape[0], 1.0, own, n, 1.0, out[:, first:], width)


def symmetric_eigen(K: Array) -> tuple[Array, Array]:
    """Return eigenvalues S (n,) ascending and eigenvectors U (n, n) in columns; destroys K.

    About 9 n^3 operations. The residual of three columns is checked, because LAPACK can
    return nonsense without a word where its 32-bit workspaces overflow.
    """
    n = K.shape[0]
    if K.dtype != np.float64:
        raise TypeError("a decomposition is of a matrix in float64")
    probes = np.unique([0, n // 2, n - 1])
    picked = np.unique(np.linspace(0, n - 1, min(n, 16)).astype(np.int64))
    sample_rows = K[picked].copy()
    S, U = _divide_and_conquer(K) if n <= EVD_MAX_N else _robust_representations(K)
    residual = sample_rows @ U[:, probes] - U[np.ix_(picked, probes)] * S[probes]
    bound = 1e-9 * max(1.0, float(np.abs(S).max()))
    if not np.isfinite(S).all() or not np.abs(residual).max() <= bound:
        raise ArithmeticError("the eigendecomposition does not reproduce its matrix")
    return S, U


def _divide_and_conquer(K: Array) -> tuple[Array, Array]:
    """?syevd, the eigenvectors in K's own memory."""
    _require(K)
    n = K.shape[0]
    _require_square(K, n)
    S = np.empty(n)
    work = np.empty(1 + 6 * n + 2 * n * n)
    iwork = np.empty(3 + 5 * n, dtype=np.int32)
    info = call_lapack("syevd", b"V", b"U", n, K, n, S, work, work.size, iwork, iwork.size)
    if info != 0:
        raise ArithmeticError(f"the eigendecomposition did not converge (info {info})")
    return S, K.T


def _robust_representations(K: Array) -> tuple[Array, Array]:
    """?syevr, whose workspace is small; slower."""
    S, U = linalg.eigh(K, driver="evr", overwrite_a=True, check_finite=False)
    return S, U
