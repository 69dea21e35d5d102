"""W with W V W' = I, in two parts: a rotation that traits may share, and a trait's weights.

    spectral   K = U diag(S) U', W = D^(-1/2) U',  D = h2 S + 1 - h2:  rotation U', weights D^(-1/2)
    cholesky   V = L L',         W = L^-1:                             rotation L^-1, weights 1
    identity   h2 = 0,           W = I

The scan does not care which. A rotation is applied to whole tiles, one BLAS call each.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from lmmgwas.numerics.linalg import solve_lower, solve_lower_rows_in_place

Array = NDArray[np.float64]
Tile = NDArray[Any]


class WhitenerKind(StrEnum):
    """How W is had."""

    SPECTRAL = "spectral"
    CHOLESKY = "cholesky"
    IDENTITY = "identity"


class Precision(StrEnum):
    """In what the tiles are rotated; statistics are float64 always."""

    SINGLE = "single"
    DOUBLE = "double"

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """The numpy type of tiles and rotations."""
        return np.float32 if self is Precision.SINGLE else np.float64


class Rotation(Protocol):
    """The part of W that is applied to tiles."""

    def rotate(self, tile: Tile) -> Tile:
        """Return the rotated rows of a tile (T, n); may work in the tile's own memory."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SpectralRotation:
    """x -> U'x; 2 n^2 operations per variant."""

    U: Tile  # (n, n)

    def rotate(self, tile: Tile) -> Tile:
        """Return a new tile, its rows rotated."""
        return np.asarray(tile @ self.U)


@dataclass(frozen=True, slots=True, eq=False)
class CholeskyRotation:
    """x -> L^-1 x; n^2 operations per variant."""

    L: Tile  # (n, n) lower triangle; what stands above the diagonal is not read

    def rotate(self, tile: Tile) -> Tile:
        """Rotate the rows of the tile in its own memory."""
        return solve_lower_rows_in_place(self.L, tile)


@dataclass(frozen=True, slots=True, eq=False)
class IdentityRotation:
    """x -> x: ordinary least squares."""

    def rotate(self, tile: Tile) -> Tile:
        """Return the tile as it is."""
        return tile


@dataclass(frozen=True, slots=True, eq=False)
class WhitenedTrait:
    """What the scan needs of one trait: its residual and covariates in rotated coordinates.

    With w the weights, Q an orthonormal basis of W X and r = (I - QQ') W y, a rotated variant
    x gives x'(w r) = g'r, x'(w Q) = Q'g and sum (w x)^2 = x'V^-1 x.
    """

    dots: Array  # (n, 1 + c) columns w r, w Q
    weights_squared: Array | None  # (n,) w^2, None where all are 1
    rr: float  # r'r
    dof: int  # n - c - 1
    scale: float  # the trait's unit: beta and se are multiplied by it


def whiten_trait(y_rot: Array, X_rot: Array, weights: Array | None, scale: float) -> WhitenedTrait:
    """Return the trait in rotated coordinates from U'y (n,) and U'X (n, c), or L^-1 y, L^-1 X."""
    y_white = y_rot if weights is None else weights * y_rot
    X_white = X_rot if weights is None else weights[:, None] * X_rot
    Q, _ = linalg.qr(X_white, mode="economic", check_finite=False)
    r = y_white - Q @ (Q.T @ y_white)
    r -= Q @ (Q.T @ r)
    dots = np.column_stack([r, Q])
    if weights is not None:
        dots *= weights[:, None]
    n, c = X_rot.shape
    squared = None if weights is None else weights**2
    return WhitenedTrait(np.ascontiguousarray(dots), squared, float(r @ r), n - c - 1, scale)


def spectral_weights(S: Array, h2: float) -> Array:
    """Return D^(-1/2) (n,)."""
    return np.asarray(1.0 / np.sqrt(h2 * S + (1.0 - h2)))


def cholesky_columns(L: Array, columns: Array) -> Array:
    """Return L^-1 B in float64 for a few columns B (n, k)."""
    return np.asarray(solve_lower(L, columns))
