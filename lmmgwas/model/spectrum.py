"""The spectral decomposition of a centred and scaled GRM: K = U diag(S) U'."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError
from lmmgwas.numerics.linalg import symmetric_eigen

Array = NDArray[np.float64]

NEGATIVE_TOLERANCE = 1e-5
"""Eigenvalues down to this fraction of the largest, below 0, are rounding of float32 files: they
are taken as 0. Measured: -4e-7."""


@dataclass(frozen=True, slots=True, eq=False)
class SpectralDecomposition:
    """Eigenvalues and eigenvectors of M K M / grm_scale, for one GRM and one set of samples."""

    S: Array  # (n,) ascending; negative ones only where K is not positive semi-definite
    U: Array  # (n, n) eigenvectors in columns
    grm_scale: float


def decompose(K: Array, grm_scale: float) -> SpectralDecomposition:
    """Return the decomposition of K (n, n), centred and scaled; destroys K. About 9 n^3.

    Negative eigenvalues of rounding size are set to 0. Where others are there, all stay as they
    are: the fit then needs V = h2 K + (1 - h2) I to be positive definite at its h2.
    """
    S, U = symmetric_eigen(K)
    if float(S[0]) >= -NEGATIVE_TOLERANCE * float(S[-1]):
        S = np.maximum(S, 0.0)
    return SpectralDecomposition(S, np.ascontiguousarray(U), grm_scale)


def require_semidefinite(S: Array) -> None:
    """Raise DegenerateError (E701) where eigenvalues (n,) of K are negative beyond rounding.

    A variant's own fit may go to any h2 below 1, where V must be positive definite.
    """
    if float(S[0]) < 0.0:
        raise DegenerateError(
            "E701",
            f"the GRM is not positive semi-definite (eigenvalues from {float(S[0]):.4g} to "
            f"{float(S[-1]):.4g}), and --variance per-variant needs one that is: give a GRM "
            "without --grm-missing pairwise, or use --variance null",
        )


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
