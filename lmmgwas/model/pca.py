"""Principal components of a GRM: its leading eigenvectors, without a full decomposition.

    K = U diag(S) U',   U'U = I

The components are the columns of U with the largest S, of unit length, as PLINK 2 and GCTA have
them. K is taken as it lies on file. It is not centred: where missing calls are at the mean, its
rows sum to zero already, over the samples that it was built of; where pairs have their own counts
they nearly do, and centring would move the components off PLINK 2's (by 5e-6 on test_data) and
change next to nothing in a model that has an intercept.

Lanczos with implicit restarts (Lehoucq, Sorensen, Yang: ARPACK Users' Guide, 1998) needs 60 to
500 products K v in all, 2 n^2 operations each, the more the closer eigenvalues lie, instead of
about 9 n^3. Where its basis would fill half the space, or it fails, the decomposition is full.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from lmmgwas.errors import DegenerateError
from lmmgwas.model.spectrum import NEGATIVE_TOLERANCE
from lmmgwas.numerics.linalg import symmetric_eigen

Array = NDArray[np.float64]

_SEED = 20_240_601
_RESIDUAL = 1e-11
"""Largest |K u - S u|, of the largest eigenvalue. A component errs by its residual over its
distance to the next eigenvalue: below 1e-8 down to a distance of a thousandth of the largest.
Measured on 501 people and 1,940 mice: residuals of 1e-15, components good to 2e-13."""

_TIE = 1e-6
"""Elements this close to the largest count as equal: far above the error of a component."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The N leading principal components of a GRM over n samples."""

    S: Array  # (N,) eigenvalues, descending
    U: Array  # (n, N) components in columns, of unit length
    share: Array  # (N,) of the trace of K


def principal_components(K: Array, n_components: int) -> Components:
    """Return the leading components of a GRM K (n, n), symmetric; destroys K.

    1 <= n_components < n. The sign of a component is such that its element of largest
    absolute value is positive; of those within a millionth of the largest, the first.

    Raises DegenerateError: E702 where K is not finite, E704 where it has fewer components
    than were asked for.
    """
    n = K.shape[0]
    if not 1 <= n_components < n:
        raise ValueError(f"{n_components} components of {n} samples")
    if not np.isfinite(K.sum(axis=1)).all():
        raise DegenerateError("E702", "the GRM holds values that are not finite")
    trace = float(np.trace(K))
    S, U = _leading(K, n_components)
    present = int((NEGATIVE_TOLERANCE * S[0] < S).sum())
    if present < n_components:
        raise DegenerateError(
            "E704",
            f"the GRM has {present} principal components, all others are rounding, and --pca "
            f"{n_components} asks for more: use --pca {present}, or a GRM of more variants",
        )
    return Components(S, U * _signs(U), S / trace)


def _leading(K: Array, k: int) -> tuple[Array, Array]:
    """Return the k largest eigenvalues, descending, and their eigenvectors (n, k)."""
    n = K.shape[0]
    basis = 2 * k + 40  # against ARPACK's 2 k + 1 a seventh fewer products where gaps are small
    found = _lanczos(K, k, basis) if 2 * basis <= n else None
    S, U = found if found is not None else symmetric_eigen(K)
    return S[::-1][:k].copy(), np.ascontiguousarray(U[:, ::-1][:, :k])


def _lanczos(K: Array, k: int, basis: int) -> tuple[Array, Array] | None:
    """Return the k largest eigenvalues, ascending, and eigenvectors; None where it fails."""
    n = K.shape[0]
    start = np.random.default_rng(_SEED).standard_normal(n)
    # Newer versions of scipy draw the vectors of restarts from a generator: a fixed one.
    fixed: dict[str, Any] = {"rng": _SEED} if "rng" in inspect.signature(eigsh).parameters else {}
    operator = LinearOperator((n, n), matvec=lambda v: K @ v, dtype=np.float64)
    try:
        # tol=0 is the rounding of float64, relative to each eigenvalue.
        S, U = eigsh(operator, k, which="LA", v0=start, ncv=basis, tol=0, **fixed)
    except ArpackNoConvergence:
        return None
    order = np.argsort(S, kind="stable")
    S, U = S[order], U[:, order]
    accurate = np.abs(K @ U - U * S).max() <= _RESIDUAL * float(S[-1])
    return (S, U) if accurate else None


def _signs(U: Array) -> Array:
    """Return 1 or -1 for each column of U (n, N), by the rule of `principal_components`."""
    size = np.abs(U)
    first = np.argmax(size >= (1.0 - _TIE) * size.max(axis=0), axis=0)
    return np.where(U[first, np.arange(U.shape[1])] < 0.0, -1.0, 1.0)
