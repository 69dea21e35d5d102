"""The first half of a tile's journey: from the calls on disk to counts and reasons.

calls -> counts -> keep, or exclude with a reason. The grid of tiles is anchored in the order of
a group's variants and depends on the number of samples alone.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.model.blocks import are_dosages, block_stats, mask_single
from lmmgwas.model.chromosomes import Role
from lmmgwas.model.fitting import Analysis
from lmmgwas.model.genotypes import (
    Block,
    GenotypeSource,
    VariantFilters,
    Variants,
    VariantStats,
    calls_of,
    count_block,
    exclusion_reasons,
    read_tile,
)
from lmmgwas.model.samples import SampleTable
from lmmgwas.model.scan import scan_tile
from lmmgwas.numerics.hwe import hardy_weinberg_p
from lmmgwas.pipeline.relatedness import Relatedness


@dataclass(frozen=True, slots=True)
class CalibratedScan:
    """What a calibrated scan is asked for."""

    exact_below: float  # p under this are exact
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class ScanJob:
    """All that one analysis needs."""

    source: GenotypeSource
    variants: Variants  # selected, in output order
    samples: SampleTable
    analysis: Analysis
    filters: VariantFilters
    relatedness: Relatedness | None  # None: ordinary least squares
    loco: bool
    include_nonautosomal: bool
    block_size: int
    threads: int
    calibrated: CalibratedScan | None = None  # None: the exact scan


@dataclass(frozen=True, slots=True, eq=False)
class CountedTile:
    """The calls of b variants, counted, and what is to become of each."""

    batch: Variants
    first_row: int  # place of the first among the selected variants
    calls: Block  # (b, n) of the analysed samples
    stats: VariantStats
    reasons: NDArray[np.int8]  # (b,)
    n_heterozygotes: int  # males on X, set missing


class TileReader:
    """Reads the tiles of one group; several threads at a time."""

    def __init__(self, job: ScanJob, variants: Variants, members: NDArray[np.int64]) -> None:
        self.job = job
        self.rows = scan_tile(job.samples.n_samples)
        self.n_variants = len(variants)
        self._variants = variants
        self._members = members

    def tile(self, start: int) -> CountedTile:
        """Return the tile whose first variant is `start` of the group."""
        return self.pick(np.arange(start, min(start + self.rows, self.n_variants)))

    def pick(self, rows: NDArray[np.int64]) -> CountedTile:
        """Return some variants of the group."""
        job = self.job
        batch = self._variants.take(rows)
        calls = read_tile(job.source, batch.source_index, job.block_size)
        n_heterozygotes = _mask_haploid(job, batch, calls)
        own = calls_of(calls, job.samples.rows)
        stats = _stats(job, batch, calls, own)
        hwe_p = _hardy_weinberg(job, batch, calls) if job.filters.hwe > 0.0 else None
        reasons = exclusion_reasons(stats, job.filters, _same_alleles(batch), hwe_p)
        first = int(self._members[rows[0]]) if rows.size else 0
        return CountedTile(batch, first, own, stats, reasons, n_heterozygotes)


def _stats(job: ScanJob, batch: Variants, calls: Block, own: Block) -> VariantStats:
    """Statistics over the analysed samples; on X males count once."""
    if not batch.haploid_x.any():
        return block_stats(own)
    return block_stats(own, calls_of(calls, job.samples.males), batch.haploid_x)


def _hardy_weinberg(job: ScanJob, batch: Variants, calls: Block) -> NDArray[np.float64]:
    """Exact p (b,) over founders or all, as was asked; on X over the women among them."""
    role = batch.chromosomes[int(batch.chrom[0])].role
    if role not in (Role.AUTOSOME, Role.X):
        return np.ones(len(batch))  # haploid, or not known: the test has no meaning
    if are_dosages(calls):
        calls = job.source.hard_calls(batch.source_index)
    counts = count_block(calls, job.samples.hwe_rows)
    if batch.haploid_x.any():
        women = count_block(calls, job.samples.hwe_females)
        counts[batch.haploid_x] = women[batch.haploid_x]
    return hardy_weinberg_p(counts)


def _mask_haploid(job: ScanJob, batch: Variants, calls: Block) -> int:
    """Set heterozygous males on X missing; a man has one X."""
    haploid = np.flatnonzero(batch.haploid_x)
    if not haploid.size or not job.samples.males.size:
        return 0
    block = calls[haploid]
    changed = mask_single(block, job.samples.males)
    if changed:
        calls[haploid] = block
    return changed


def _same_alleles(batch: Variants) -> NDArray[np.bool_]:
    raw, index = batch.raw, batch.source_index
    same = pc.equal(raw.effect_allele.take(index), raw.other_allele.take(index))
    return np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)
