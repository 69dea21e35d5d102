"""Whether arithmetic on this machine is what the program rests on: BLAS, LAPACK, denormals.

Every check is a residual or a comparison with loops that use no BLAS (numpy's einsum): small
odd shapes, which reach the edges of BLAS kernels, and one shape large enough for its threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.linalg import (
    add_outer_in_place,
    cholesky_in_place,
    inverse_in_place,
    solve_lower_rows,
    symmetric_eigen,
)

Array = NDArray[np.float64]
Real = NDArray[Any]

_SEED = 7
_SMALL, _LARGE = 257, 1_500
_BLOCK = 64
"""Small enough that factors of _SMALL rows are made block by block, as large ones are."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: how large the error is, and how large it may be."""

    name: str
    error: float
    bound: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is within its bound; NaN is not."""
        return bool(self.error <= self.bound)


def machine_findings() -> list[Finding]:
    """Check denormal numbers, products, factors, solves, inverses and eigenvectors."""
    findings = [_denormals()]
    for kind, bound in ((np.float32, 2e-5), (np.float64, 2e-13)):
        for name, check in _CHECKS:
            error = _caught(partial(check, kind))
            findings.append(Finding(f"{name}, {np.dtype(kind).name}", error, bound))
    findings.append(Finding("eigenvectors, float64", _caught(_eigenvectors), 1e-11))
    return findings


def _caught(check: Callable[[], float]) -> float:
    """The error; infinite where the routine itself gives up."""
    try:
        return check()
    except ArithmeticError:
        return float("inf")


def _denormals() -> Finding:
    """Numbers below the smallest normal one must not be flushed to 0, in any thread."""

    def lost() -> float:
        double, single = np.float64(2.3e-308), np.float32(1.2e-38)
        halves = (double / 4.0, np.nextafter(0.0, 1.0), single / np.float32(4.0))
        return float(sum(not half > 0.0 for half in halves))

    with ThreadPoolExecutor(1) as pool:
        error = lost() + pool.submit(lost).result()
    note = "" if error == 0.0 else "a library switched denormals off (-ffast-math)"
    return Finding("numbers below 1e-308 are kept", error, 0.0, note)


def _matrix(rows: int, columns: int, kind: Any) -> Real:
    return (
        np.random.default_rng([_SEED, rows, columns]).standard_normal((rows, columns)).astype(kind)
    )


def _positive(n: int, kind: Any) -> Real:
    """A positive definite matrix with mean diagonal 1 and condition number about 10."""
    A = _matrix(n, n, np.float64)
    V = 0.5 * np.einsum("ik,jk->ij", A, A) / n if n <= _SMALL else 0.5 * (A @ A.T) / n
    V[np.arange(n), np.arange(n)] += 0.5
    return np.ascontiguousarray(V, dtype=kind)


def _relative(difference: Real, size: Real) -> float:
    return float(np.abs(difference).max() / np.abs(size).max())


def _product(kind: Any) -> float:
    A, B = _matrix(_SMALL, 511, kind), _matrix(511, 129, kind)
    right = np.einsum("ik,kj->ij", A.astype(np.float64), B.astype(np.float64))
    return _relative(A @ B - right, right)


def _large_product(kind: Any) -> float:
    """Held against a vector (Freivalds), so that the reference is cheap."""
    A, B = _matrix(_LARGE, 1_024, kind), _matrix(1_024, _LARGE, kind)
    r = np.sign(_matrix(1, _LARGE, np.float64))[0]
    right = np.einsum("ik,k->i", A, np.einsum("kj,j->k", B, r))
    return _relative(np.einsum("ij,j->i", A @ B, r) - right, right)


def _outer(kind: Any) -> float:
    rows = _matrix(513, _SMALL, kind)
    sums = np.zeros((_SMALL, _SMALL), dtype=kind)
    add_outer_in_place(rows, sums)
    double = rows.astype(np.float64)
    right = np.tril(np.einsum("ki,kj->ij", double, double))
    return _relative(np.tril(sums) - right, right)


def _large_outer(kind: Any) -> float:
    rows = _matrix(1_024, _LARGE, kind)
    sums = np.zeros((_LARGE, _LARGE), dtype=kind)
    add_outer_in_place(rows, sums)
    lower = np.tril(sums).astype(np.float64)
    r = np.sign(_matrix(1, _LARGE, np.float64))[0]
    found = np.einsum("ij,j->i", lower, r) + np.einsum("ji,j->i", np.tril(lower, -1), r)
    double = rows.astype(np.float64)
    right = np.einsum("ki,k->i", double, np.einsum("ki,i->k", double, r))
    return _relative(found - right, right)


def _factor(kind: Any) -> float:
    """LAPACK's own factor, and the one by blocks."""
    V = _positive(_SMALL, kind)
    errors = []
    for block in (_SMALL, _BLOCK):
        L = np.tril(cholesky_in_place(V.copy(), block)).astype(np.float64)
        errors.append(_relative(np.einsum("ik,jk->ij", L, L) - V, V))
    return max(errors)


def _large_factor(kind: Any) -> float:
    V = _positive(_LARGE, kind)
    L = np.tril(cholesky_in_place(V.copy())).astype(np.float64)
    r = np.sign(_matrix(1, _LARGE, np.float64))[0]
    right = np.einsum("ij,j->i", V.astype(np.float64), r)
    return _relative(np.einsum("ij,j->i", L, np.einsum("ji,j->i", L, r)) - right, right)


def _solve(kind: Any) -> float:
    L = cholesky_in_place(_positive(_SMALL, kind))
    rows = _matrix(33, _SMALL, kind)
    lower = np.tril(L).astype(np.float64)
    forth = np.einsum("ki,ji->kj", solve_lower_rows(L, rows), lower) - rows
    back = np.einsum("ki,ij->kj", solve_lower_rows(L, rows, transposed=True), lower) - rows
    return max(_relative(forth, rows), _relative(back, rows))


def _inverse(kind: Any) -> float:
    V = _positive(_SMALL, kind)
    errors = []
    for block in (_SMALL, _BLOCK):
        lower = np.tril(inverse_in_place(cholesky_in_place(V.copy()), block)).astype(np.float64)
        whole = lower + np.tril(lower, -1).T
        errors.append(_relative(np.einsum("ik,kj->ij", whole, V) - np.eye(_SMALL), np.eye(1)))
    return max(errors)


def _eigenvectors() -> float:
    V = _positive(_SMALL, np.float64)
    S, U = symmetric_eigen(V.copy())
    residual = np.einsum("ik,kj->ij", V, U) - U * S
    crossed = np.einsum("ki,kj->ij", U, U) - np.eye(_SMALL)
    return max(_relative(residual, S), float(np.abs(crossed).max()))


_CHECKS: tuple[tuple[str, Callable[[Any], float]], ...] = (
    ("matrix product", _product),
    ("large matrix product", _large_product),
    ("sum of squares and products", _outer),
    ("large sum of squares and products", _large_outer),
    ("Cholesky factor", _factor),
    ("large Cholesky factor", _large_factor),
    ("triangular solve", _solve),
    ("inverse", _inverse),
)
