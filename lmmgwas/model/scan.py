"""From the calls of a tile to the rows that are rotated: complete, centred, without covariates."""

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.blocks import fill_block
from lmmgwas.model.genotypes import KEPT, REASONS, Block, Reason, VariantStats
from lmmgwas.model.variant_tests import PERFECT_FIT, ScanResult, wald_tile  # noqa: F401
from lmmgwas.model.whitening import Precision

Array = NDArray[np.float64]
Tile = NDArray[Any]


class ScanKind(StrEnum):
    """How x'Px is had: exactly for every variant, or calibrated and exactly where it matters."""

    EXACT = "exact"
    CALIBRATED = "calibrated"


COLLINEAR_TOLERANCE = 1e-8
"""1 - R2 of a variant on the covariates below which it carries nothing of its own."""

_LEANING = 1e-2
"""1 - R2 below which a row is projected in float64 whatever the tile's type: float32 leaves
6e-8 of x where x was, which is nothing beside a tenth of its length and much beside less."""

_TILE_CALLS = 1 << 21
_FEWEST_ROWS, _MOST_ROWS = 512, 8192


def scan_tile(n_samples: int) -> int:
    """Return the variants in one tile of the fixed grid, which depends on the samples alone.

    Wide enough for BLAS and for the cost of a step in Python, 8 to 10 MB of float32 up to
    n = 5,000: such a tile stays in the cache between the steps of its journey.
    """
    rows = _FEWEST_ROWS
    while rows < _MOST_ROWS and 2 * rows * n_samples <= _TILE_CALLS:
        rows *= 2
    return rows


def raw_tile(calls: Block, stats: VariantStats, reasons: NDArray[np.int8]) -> Tile:
    """Return the kept variants of a tile (b, n) in float32: mean-imputed, centred, no more."""
    tile = np.empty(calls.shape, dtype=np.float32)
    fill_block(calls, stats.mean, (reasons == KEPT).astype(np.float64), tile)
    return tile


def sums_of_squares(stats: VariantStats, reasons: NDArray[np.int8]) -> Array:
    """Return x'x (b,) of the rows of `raw_tile`, exactly; 0 where a variant is not kept."""
    return np.asarray(np.where(reasons == KEPT, stats.variance * stats.n_observed, 0.0))


def residual_tile(
    calls: Block,
    stats: VariantStats,
    reasons: NDArray[np.int8],
    X: Array,
    rows: int,
    precision: Precision = Precision.DOUBLE,
) -> Tile:
    """Return the kept variants of a tile, mean-imputed, minus their projection on X.

    calls (b, n); the tile is (rows, n) whatever b, rows that are not tested or not there are
    zero, so that every tile of a run has one shape. X (n, c) is orthonormal and holds the
    intercept. Projecting before the rotation changes no test, keeps digits in float32, and
    shows which variants the covariates span: those are marked COLLINEAR in `reasons`.
    """
    b, n = calls.shape
    tile = np.empty((rows, n), dtype=precision.dtype)
    tile[b:] = 0.0
    scale = (reasons == KEPT).astype(np.float64)
    fill_block(calls, stats.mean, scale, tile)
    total = sums_of_squares(stats, reasons)
    basis = X.astype(precision.dtype, copy=False)
    along = tile @ basis
    left = total - np.einsum("ik,ik->i", along[:b], along[:b], dtype=np.float64)
    tile -= along @ basis.T
    leaning = np.flatnonzero((left <= _LEANING * total) & (scale > 0.0))
    if leaning.size:
        collinear = _project_leaning(calls, stats, X, leaning, total, tile)
        reasons[collinear] = REASONS.index(Reason.COLLINEAR)
    return tile


def _project_leaning(
    calls: Block,
    stats: VariantStats,
    X: Array,
    leaning: NDArray[np.int64],
    total: Array,
    out_tile: Tile,
) -> NDArray[np.int64]:
    """Project some rows again, in float64 and twice; return those that X spans, set to zero."""
    exact = np.empty((leaning.size, calls.shape[1]))
    fill_block(calls[leaning], stats.mean[leaning], np.ones(leaning.size), exact)
    exact -= (exact @ X) @ X.T
    exact -= (exact @ X) @ X.T  # one pass leaves rounding where X explains nearly all
    left = np.einsum("ij,ij->i", exact, exact)
    spanned = left <= COLLINEAR_TOLERANCE * total[leaning]
    exact[spanned] = 0.0
    out_tile[leaning] = exact
    collinear: NDArray[np.int64] = leaning[spanned]
    return collinear
