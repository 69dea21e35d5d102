"""The calibrated scan of a group: every variant at the cost of reading it, few of them exactly.

A group is calibrated on random variants of its own, whose exact x'V^-1 x the whitener gives.
Its variants are then tested tile by tile with the calibrated test; those that need it are
gathered over some tiles and go through the exact scan's path together. A group whose
calibration does not keep the promise is scanned exactly.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.background import Background
from lmmgwas.model.calibration import (
    RARE_MAC,
    Calibration,
    ExactSample,
    calibrate,
    calibration_rows,
    needs_exact,
)
from lmmgwas.model.fitting import FittedGroup, RotationBatch
from lmmgwas.model.genotypes import KEPT, VariantStats
from lmmgwas.model.scan import raw_tile, residual_tile, sums_of_squares
from lmmgwas.model.variant_tests import ScanResult
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.pipeline.group_shards import Stretch
from lmmgwas.pipeline.scan_tiles import TestedTile, exact_results, in_order, prepare_pieces
from lmmgwas.pipeline.tile_reader import CalibratedScan, CountedTile, TileReader
from lmmgwas.pipeline.trait_rows import TraitRows

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

TILES_TOGETHER = 8
"""Tiles whose exact rows make one batch: a solve for ten rows costs little more than for one."""


def calibrate_group(
    reader: TileReader,
    fitted: FittedGroup,
    K: Array,
    background: Background,
    place: tuple[int, int],
) -> tuple[Calibration, ...]:
    """Return the calibration of each trait; `place` is the group's index and how many there are.

    K (n, n) is intact, both triangles; `background` is its own.
    """
    options = reader.job.calibrated
    if options is None or fitted.kind is not WhitenerKind.CHOLESKY:
        reason = "V could not be factored, and the eigenvectors of the GRM were taken"
        return tuple(Calibration(None, reason, np.empty(0), background) for _ in fitted.traits)
    picked = calibration_rows(reader.n_variants, options.seed, *place)
    tiles = [reader.pick(rows) for rows in picked]
    found: dict[int, Calibration] = {}
    for shared in fitted.batches():
        training, held_out = (_exact_sample(reader, tile, shared) for tile in tiles)
        for k in shared.traits:
            vectors = fitted.traits[k].vectors
            if vectors is None:
                raise ValueError("a Cholesky whitener without its vectors")
            found[k] = calibrate(K, background, vectors, training, held_out, reader.n_variants)
    return tuple(found[k] for k in sorted(found))


def _exact_sample(reader: TileReader, tile: CountedTile, shared: RotationBatch) -> ExactSample:
    """Random variants and their exact x'V^-1 x; 0 for those that are rare or not tested."""
    rows = len(tile.batch)
    reasons = tile.reasons.copy()
    residual = residual_tile(
        tile.calls, tile.stats, reasons, reader.job.samples.X, rows, shared.precision
    )
    kept = residual.astype(np.float32)
    squares = shared.squares(residual)
    squares[(reasons != KEPT) | (tile.stats.mac < RARE_MAC)] = 0.0
    return ExactSample(kept, squares)


def scan_calibrated(
    reader: TileReader,
    fitted: FittedGroup,
    calibrations: Sequence[Calibration],
    options: CalibratedScan,
    traits: tuple[TraitRows, ...],
    stretch: Stretch,
) -> Iterator[TestedTile]:
    """Yield the tested tiles of a stretch of a group whose calibrations all keep the promise."""
    scan = _CalibratedGroup(reader, fitted, calibrations, options, traits)
    step = reader.rows * TILES_TOGETHER
    for tested in in_order(scan.travel, range(stretch.first, stretch.last, step), reader.job):
        yield from tested


class _CalibratedGroup:
    """Tests some tiles together; several threads at a time."""

    def __init__(
        self,
        reader: TileReader,
        fitted: FittedGroup,
        calibrations: Sequence[Calibration],
        options: CalibratedScan,
        traits: tuple[TraitRows, ...],
    ) -> None:
        self._reader = reader
        self._batches = fitted.batches()
        self._calibrations = tuple(calibrations)
        self._options = options
        self._traits = traits

    def travel(self, first: int) -> list[TestedTile]:
        """Test the tiles that begin with variant `first` of the group."""
        began = time.perf_counter()
        reader = self._reader
        last = min(first + reader.rows * TILES_TOGETHER, reader.n_variants)
        tiles = [reader.tile(start) for start in range(first, last, reader.rows)]
        results = [self._approximate(tile) for tile in tiles]
        exact = [self._wanted(tile, found) for tile, found in zip(tiles, results, strict=True)]
        self._replace(tiles, results, exact)
        pieces = [
            prepare_pieces(tile, found, wanted, self._traits)
            for tile, found, wanted in zip(tiles, results, exact, strict=True)
        ]
        seconds = (time.perf_counter() - began) / len(tiles)
        return [
            TestedTile(len(tile.batch), tile.n_heterozygotes, piece, seconds)
            for tile, piece in zip(tiles, pieces, strict=True)
        ]

    def _approximate(self, tile: CountedTile) -> list[ScanResult]:
        """The calibrated tests of a tile, by trait."""
        raw = raw_tile(tile.calls, tile.stats, tile.reasons)
        squares = sums_of_squares(tile.stats, tile.reasons)
        tests = [calibration.test for calibration in self._calibrations]
        with np.errstate(invalid="ignore", divide="ignore"):  # rows of zeros are not tested
            return [test.test(raw, squares) for test in tests if test is not None]

    def _wanted(self, tile: CountedTile, results: list[ScanResult]) -> list[Mask]:
        """Which rows must be exact, by trait."""
        kept = tile.reasons == KEPT
        below = self._options.exact_below
        return [
            kept & needs_exact(calibration, result, tile.stats.mac, below)
            for calibration, result in zip(self._calibrations, results, strict=True)
        ]

    def _replace(
        self,
        tiles: list[CountedTile],
        results: list[list[ScanResult]],
        exact: list[list[Mask]],
    ) -> None:
        """Put exact tests where they are wanted; variants that X spans are marked so."""
        rows = [np.flatnonzero(np.logical_or.reduce(wanted)) for wanted in exact]
        if not any(chosen.size for chosen in rows):
            return
        pairs = list(zip(tiles, rows, strict=True))
        calls = np.concatenate([tile.calls[chosen] for tile, chosen in pairs])
        reasons = np.concatenate([tile.reasons[chosen] for tile, chosen in pairs])
        stats = VariantStats.joined([tile.stats.take(chosen) for tile, chosen in pairs])
        X = self._reader.job.samples.X
        tested = exact_results(calls, stats, reasons, len(calls), self._batches, X)
        start = 0
        for tile, chosen, found, wanted in zip(tiles, rows, results, exact, strict=True):
            here = slice(start, start + chosen.size)
            tile.reasons[chosen] = reasons[here]
            for k, mask in enumerate(wanted):
                own = mask[chosen]
                _put(found[k], chosen[own], tested[k], np.arange(here.start, here.stop)[own])
            start = here.stop


def _put(target: ScanResult, rows: Any, source: ScanResult, places: Any) -> None:
    """Overwrite some rows of a result."""
    target.beta[rows] = source.beta[places]
    target.se[rows] = source.se[places]
    target.neg_log10_p[rows] = source.neg_log10_p[places]
    target.perfect_fit[rows] = source.perfect_fit[places]
