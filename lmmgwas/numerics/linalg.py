"""The one door to LAPACK and BLAS for large matrices: integer sizes and results are checked.

Matrices are symmetric or lower triangular in C order. LAPACK sees their transposes in
Fortran order, hence the upper triangle in the calls below; nothing is copied.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import blas, lapack

from lmmgwas.numerics.kernels import strict_lower_square_sum

Array = NDArray[np.float64]
Real = NDArray[Any]

_EVD_MAX_N = 32_766
"""Largest n whose workspace 1 + 6 n + 2 n^2 of ?syevd fits LAPACK's 32-bit integers."""


class NotPositiveDefiniteError(ArithmeticError):
    """A matrix that must be positive definite is not, to working precision."""


def cholesky_in_place(V: Real) -> Real:
    """Return L of V = L L', in the lower triangle of V's own memory (the upper is left as it was).

    Raises NotPositiveDefiniteError. n^3/3 operations.
    """
    potrf = lapack.get_lapack_funcs("potrf", (V,))
    factor, info = potrf(V.T, lower=0, clean=0, overwrite_a=1)
    if info != 0:
        raise NotPositiveDefiniteError(f"leading minor {info} of {V.shape[0]} is not positive")
    if not np.isfinite(factor.diagonal()).all():  # OpenBLAS lets NaN through without a word
        raise NotPositiveDefiniteError("the matrix holds values that are not finite")
    if factor.ctypes.data != V.ctypes.data:
        raise ArithmeticError("LAPACK worked on a copy: the matrix is not C-contiguous")
    return V


def inverse_norms_in_place(L: Real) -> tuple[float, float]:
    """Return the trace of V^-1 and its squared Frobenius norm, given V = L L'; destroys L.

    2/3 n^3 operations.
    """
    potri = lapack.get_lapack_funcs("potri", (L,))
    inverse, info = potri(L.T, lower=0, overwrite_c=1)
    if info != 0:
        raise NotPositiveDefiniteError(f"diagonal element {info} of the factor is zero")
    lower = inverse.T
    diagonal = lower.diagonal().astype(np.float64)
    off = float(strict_lower_square_sum(lower))
    return float(diagonal.sum()), float(diagonal @ diagonal) + 2.0 * off


def solve_lower(L: Real, columns: Real, *, transposed: bool = False) -> Real:
    """Return L^-1 B, or L'^-1 B, in float64 for B of shape (n,) or (n, k)."""
    trsm = blas.get_blas_funcs("trsm", (L,))
    right = np.array(columns, dtype=L.dtype, order="F", ndmin=2, copy=True)
    right = right.T if columns.ndim == 1 else right
    solved = trsm(
        1.0, L.T, np.asfortranarray(right), side=0, lower=0, trans_a=0 if transposed else 1
    )
    return np.asarray(solved, dtype=np.float64).reshape(columns.shape)


def solve_lower_rows_in_place(L: Real, rows: Real) -> Real:
    """Replace each row x of `rows` (T, n, C order) by L^-1 x, in its own memory.

    n^2 operations per row. One call for the whole tile.
    """
    trsm = blas.get_blas_funcs("trsm", (L, rows))
    solved = trsm(1.0, L.T, rows.T, side=0, lower=0, trans_a=1, overwrite_b=1)
    if solved.ctypes.data != rows.ctypes.data:
        raise ArithmeticError("BLAS worked on a copy: the tile is not C-contiguous")
    return rows


def add_outer_in_place(rows: Real, out: Real) -> None:
    """Add rows' rows to the lower triangle of out (n, n), for rows of shape (T, n)."""
    syrk = blas.get_blas_funcs("syrk", (rows,))
    result = syrk(1.0, rows.T, beta=1.0, c=out.T, trans=0, lower=0, overwrite_c=1)
    if result.ctypes.data != out.ctypes.data:
        raise ArithmeticError("BLAS worked on a copy: the sum is not C-contiguous")


def symmetric_eigen(K: Array) -> tuple[Array, Array]:
    """Return eigenvalues S (n,) ascending and eigenvectors U (n, n) in columns; destroys K.

    About 9 n^3 operations. The residual of three columns is checked, because LAPACK can
    return nonsense without a word where its 32-bit workspaces overflow.
    """
    n = K.shape[0]
    probes = np.unique([0, n // 2, n - 1])
    picked = np.unique(np.linspace(0, n - 1, min(n, 16)).astype(np.int64))
    sample_rows = K[picked].copy()
    driver = "evd" if n <= _EVD_MAX_N else "evr"
    S, U = linalg.eigh(K, driver=driver, overwrite_a=True, check_finite=False)
    residual = sample_rows @ U[:, probes] - U[np.ix_(picked, probes)] * S[probes]
    bound = 1e-9 * max(1.0, float(np.abs(S).max()))
    if not np.isfinite(S).all() or not np.abs(residual).max() <= bound:
        raise ArithmeticError("the eigendecomposition does not reproduce its matrix")
    return S, U
