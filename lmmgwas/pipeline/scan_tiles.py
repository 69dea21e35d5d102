"""The second half of a tile's journey: from its calls to the rows of each trait.

calls -> residual on the covariates -> rotated (one BLAS call) -> tests -> compressed rows. Each
thread takes whole tiles through all of it, with BLAS on one thread.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.row_text import VariantText
from lmmgwas.model.fitting import FittedGroup, RotationBatch
from lmmgwas.model.genotypes import Block, VariantStats
from lmmgwas.model.scan import residual_tile
from lmmgwas.model.variant_tests import ScanResult
from lmmgwas.numerics.parallel import ordered_map
from lmmgwas.numerics.threads import limited_blas
from lmmgwas.pipeline.group_shards import Stretch
from lmmgwas.pipeline.tile_reader import CountedTile, ScanJob, TileReader
from lmmgwas.pipeline.trait_rows import TilePiece, TraitRows

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, eq=False)
class TestedTile:
    """What becomes of a tile."""

    n_variants: int
    n_heterozygotes: int
    pieces: tuple[TilePiece, ...]  # by trait
    seconds: float  # that a thread spent on it


def scan_tiles(
    reader: TileReader, fitted: FittedGroup, traits: tuple[TraitRows, ...], stretch: Stretch
) -> Iterator[TestedTile]:
    """Yield the tested tiles of a stretch, in order."""
    batches = fitted.batches()
    job = reader.job

    def travel(start: int) -> TestedTile:
        began = time.perf_counter()
        tile = reader.tile(start)
        results = exact_results(
            tile.calls, tile.stats, tile.reasons, reader.rows, batches, job.samples.X
        )
        exact = None if job.calibrated is None else [np.ones(len(tile.batch), dtype=np.bool_)]
        pieces = prepare_pieces(tile, results, exact, traits)
        seconds = time.perf_counter() - began
        return TestedTile(len(tile.batch), tile.n_heterozygotes, pieces, seconds)

    yield from in_order(travel, range(stretch.first, stretch.last, reader.rows), job)


def in_order(work: Callable[[int], _Result], starts: range, job: ScanJob) -> Iterator[_Result]:
    """Yield work(start) in order, on the job's threads, each with BLAS on one."""
    if job.threads == 1:
        yield from map(work, starts)
        return
    with limited_blas(1):
        yield from ordered_map(work, starts, job.threads, 2 * job.threads)


def exact_results(
    calls: Block,
    stats: VariantStats,
    reasons: NDArray[np.int8],
    rows: int,
    batches: tuple[RotationBatch, ...],
    X: NDArray[np.float64],
) -> list[ScanResult]:
    """Return the exact tests by trait; marks in `reasons` what the covariates span."""
    results: dict[int, ScanResult] = {}
    for shared in batches:
        tile = residual_tile(calls, stats, reasons, X, rows, shared.precision)
        results |= zip(shared.traits, shared.test(tile), strict=True)
    return [results[k] for k in sorted(results)]


def prepare_pieces(
    tile: CountedTile,
    results: list[ScanResult],
    exact: list[NDArray[np.bool_]] | None,
    traits: tuple[TraitRows, ...],
) -> tuple[TilePiece, ...]:
    """Format and compress the rows of each trait.

    `exact` says, by trait or once for all, which rows of a calibrated scan are exact.
    """
    text = VariantText.of(tile.batch)
    computed = exact * len(traits) if exact is not None and len(exact) == 1 else exact
    return tuple(
        trait.prepare(
            text,
            tile.first_row,
            tile.batch,
            tile.stats,
            tile.reasons,
            result,
            None if computed is None else computed[k],
        )
        for k, (trait, result) in enumerate(zip(traits, results, strict=True))
    )
