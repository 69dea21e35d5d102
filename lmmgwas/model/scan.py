"""The test of each variant of a tile, given the null model's whitening.

For variant x, after W and after the covariates are projected out (g, r):

    beta = g'r / g'g,   RSS = r'r - beta g'r,   se = sqrt(RSS / (n-c-1) / g'g),   t = beta / se.

Tiles are float32 or float64; every sum is float64.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.genotypes import KEPT, REASONS, Calls, Indices, Reason, VariantStats
from lmmgwas.model.whitening import Precision, WhitenedTrait
from lmmgwas.numerics.kernels import fill_tile
from lmmgwas.numerics.tails import neg_log10_p_from_t

Array = NDArray[np.float64]

SCAN_TILE = 512
"""Variants in one tile of the fixed grid: wide enough for BLAS, 20 MB of float64 at n = 5,000."""

COLLINEAR_TOLERANCE = 1e-8
"""1 - R2 of a variant on the covariates below which it carries nothing of its own."""

PERFECT_FIT = 1e-12
"""RSS with the variant over RSS without it below which rounding, not data, sets the p."""


@dataclass(frozen=True, slots=True, eq=False)
class ScanResult:
    """The tests of T variants. All arrays are (T,)."""

    beta: Array  # per copy of the effect allele, in the trait's unit
    se: Array
    neg_log10_p: Array
    perfect_fit: NDArray[np.bool_]  # -log10 p is a lower bound


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


def wald_tile(rotated: Array, trait: WhitenedTrait) -> ScanResult:
    """Return Wald's t test of each row of a rotated tile (T, n) in float64.

    Rows of zeros, which are not tested, give NaN.
    """
    dots = rotated @ trait.dots  # (T, 1 + c)
    gr = dots[:, 0]
    if trait.weights_squared is None:
        squares = np.einsum("ij,ij->i", rotated, rotated)
    else:
        squares = (rotated * rotated) @ trait.weights_squared
    gg = squares - np.einsum("ik,ik->i", dots[:, 1:], dots[:, 1:])
    tested = gg > 0.0
    gg = np.where(tested, gg, np.nan)
    beta = gr / gg
    explained = beta * gr
    floor = PERFECT_FIT * trait.rr
    perfect = tested & (trait.rr - explained < floor)
    rss = np.maximum(trait.rr - explained, floor)
    se = np.sqrt(rss / trait.dof / gg)
    return ScanResult(
        beta * trait.scale,
        se * trait.scale,
        neg_log10_p_from_t(beta / se, trait.dof),
        perfect,
    )
