"""The spectral decomposition of a centred and scaled GRM: K = U diag(S) U'."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError
from lmmgwas.numerics.linalg import symmetric_eigen

Array = NDArray[np.float64]

NEGATIVE_TOLERANCE = 1e-5
"""Eigenvalues down to this fraction of the largest are rounding of float32 files: clipped to 0."""


@dataclass(frozen=True, slots=True, eq=False)
class SpectralDecomposition:
    """Eigenvalues and eigenvectors of M K M / grm_scale, for one GRM and one set of samples."""

    S: Array  # (n,) ascending, none negative
    U: Array  # (n, n) eigenvectors in columns
    grm_scale: float


def decompose(K: Array, grm_scale: float) -> SpectralDecomposition:
    """Return the decomposition of K (n, n), centred and scaled; destroys K. About 9 n^3.

    Raises DegenerateError (E701) when K is not positive semi-definite beyond rounding.
    """
    S, U = symmetric_eigen(K)
    smallest, largest = float(S[0]), float(S[-1])
    if smallest < -NEGATIVE_TOLERANCE * largest:
        raise DegenerateError(
            "E701",
            f"the GRM is not positive semi-definite: its smallest eigenvalue is {smallest:.3g} and "
            f"its largest {largest:.3g}; use a GRM without --grm-missing pairwise, or "
            "--whitener cholesky, which needs the covariance at the fitted h2 only",
        )
    return SpectralDecomposition(np.maximum(S, 0.0), np.ascontiguousarray(U), grm_scale)


def matches(decomposition: SpectralDecomposition, K: Array) -> bool:
    """Return whether a decomposition that was kept on disk is that of K (n, n).

    K u is compared with S u for the first, the middle and the last eigenvector: O(n^2).
    """
    n = K.shape[0]
    if decomposition.S.shape != (n,) or decomposition.U.shape != (n, n):
        return False
    probes = np.unique([0, n // 2, n - 1])
    u = decomposition.U[:, probes]
    residual = K @ u - u * decomposition.S[probes]
    # The clipping of rounding-size negative eigenvalues is allowed for.
    return bool(np.abs(residual).max() <= 2e-5 * max(1.0, float(decomposition.S[-1])))
