"""From the calls of a tile to the rows that are rotated: complete, centred, without covariates."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.genotypes import KEPT, REASONS, Calls, Indices, Reason, VariantStats
from lmmgwas.model.variant_tests import PERFECT_FIT, ScanResult, wald_tile  # noqa: F401
from lmmgwas.model.whitening import Precision
from lmmgwas.numerics.kernels import fill_tile

Array = NDArray[np.float64]

SCAN_TILE = 512
"""Variants in one tile of the fixed grid: wide enough for BLAS, 20 MB of float64 at n = 5,000."""

COLLINEAR_TOLERANCE = 1e-8
"""1 - R2 of a variant on the covariates below which it carries nothing of its own."""


def residual_tile(
    calls: Calls,
    samples: Indices,
    stats: VariantStats,
    reasons: NDArray[np.int8],
    X: Array,
    rows: int,
) -> Array:
    """Return the kept variants of a tile, mean-imputed, minus their projection on X.

    calls (b, N); the tile is (rows, n) whatever b, rows that are not tested or not there are
    zero, so that every tile of a run has one shape. X (n, c) is orthonormal and holds the
    intercept. Projecting before the rotation changes no test, keeps digits in float32, and
    shows which variants the covariates span: those are marked COLLINEAR in `reasons`.
    """
    b, n = calls.shape[0], samples.size
    tile = np.zeros((rows, n))
    scale = (reasons == KEPT).astype(np.float64)
    fill_tile(calls, samples, stats.mean, scale, tile[:b])
    total = np.einsum("ij,ij->i", tile[:b], tile[:b])
    tile -= (tile @ X) @ X.T
    tile -= (tile @ X) @ X.T  # twice: one pass leaves rounding where X explains nearly all
    left = np.einsum("ij,ij->i", tile[:b], tile[:b])
    collinear = (reasons == KEPT) & (left <= COLLINEAR_TOLERANCE * total)
    reasons[collinear] = REASONS.index(Reason.COLLINEAR)
    tile[:b][collinear] = 0.0
    return tile


def to_precision(tile: Array, precision: Precision) -> NDArray[Any]:
    """Return the tile in the type that is rotated."""
    return tile.astype(precision.dtype, copy=False)
