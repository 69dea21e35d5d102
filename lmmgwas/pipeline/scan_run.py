"""One analysis: null models and scan of all LOCO groups, tile by tile.

The journey of a tile: calls -> counts and reasons -> residual on the covariates -> rotated
(one BLAS call) -> tests of each trait -> compressed rows. Each thread takes whole tiles through
all of it, BLAS on one thread each; the rows are written in the order of the tiles. LOCO is
another GRM through the same loop.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lmmgwas.model.chromosomes import Role
from lmmgwas.model.fitting import (
    Analysis,
    FittedGroup,
    FittedTrait,
    fit_group,
    fit_without_relatedness,
    suggested_starts,
)
from lmmgwas.model.genotypes import (
    MISSING,
    Calls,
    GenotypeSource,
    Reason,
    VariantFilters,
    Variants,
    VariantStats,
    calls_of,
    count_block,
    exclusion_reasons,
    read_tile,
    variant_stats,
)
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.samples import SampleTable
from lmmgwas.model.scan import residual_tile, scan_tile
from lmmgwas.model.variant_tests import ScanResult
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.numerics.hwe import hardy_weinberg_p
from lmmgwas.numerics.kernels import mask_heterozygotes
from lmmgwas.numerics.parallel import ordered_map
from lmmgwas.numerics.threads import limited_blas
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.relatedness import Relatedness
from lmmgwas.pipeline.trait_output import TraitOutput


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


@dataclass(frozen=True, slots=True, eq=False)
class ScanOutcome:
    """What the report needs of an analysis besides the tables."""

    whole: tuple[FittedTrait, ...]  # the whole-genome fits
    kinds: tuple[WhitenerKind, ...]  # used in the end, by group
    n_male_heterozygotes: int


def run_scan(
    job: ScanJob, outputs: tuple[TraitOutput, ...], progress: Progress, log: Logbook
) -> ScanOutcome:
    """Fit and scan every group; `outputs` are the traits of the analysis, in its order."""
    with log.stage("null model, whole genome"):
        current: tuple[str | None, FittedGroup] = (None, _fit(job, None, [None] * len(outputs)))
    whole = current[1].traits  # without the rotation, which is n x n
    starts = suggested_starts(whole)
    kinds: list[WhitenerKind] = []
    n_heterozygotes = 0
    for group in job.variants.groups():
        members = _places(job.variants, group)
        variants = job.variants.take(members)
        untested = _untested_reason(variants, job.include_nonautosomal)
        if untested is not None:
            for output in outputs:
                output.exclude(variants, untested)
            progress.advance(len(variants))
            continue
        left_out = _left_out(job, variants, group)
        if left_out != current[0]:
            del current  # two rotations of n x n need not be alive at once
            where = f"without {left_out}" if left_out else "whole genome"
            with log.stage(f"null model, {where}"):
                current = (left_out, _fit(job, left_out, starts))
        n_heterozygotes += _scan_group(job, members, current[1], outputs, progress, group)
        kinds.append(current[1].kind)
    return ScanOutcome(whole, tuple(kinds), n_heterozygotes)


def _places(variants: Variants, group: str) -> NDArray[np.int64]:
    """Where a group's variants stand among the selected ones."""
    members = [k for k, c in enumerate(variants.chromosomes) if c.group == group]
    return np.flatnonzero(np.isin(variants.chrom, members)).astype(np.int64)


def _untested_reason(variants: Variants, include_nonautosomal: bool) -> Reason | None:
    """Y, MT and unplaced variants are tested only on demand."""
    role = variants.chromosomes[int(variants.chrom[0])].role
    if include_nonautosomal or role in (Role.AUTOSOME, Role.X):
        return None
    return Reason.UNPLACED if role is Role.UNPLACED else Reason.NON_AUTOSOME


def _left_out(job: ScanJob, variants: Variants, group: str) -> str | None:
    """What LOCO leaves out of the GRM for this group: nothing for X and other non-autosomes."""
    role = variants.chromosomes[int(variants.chrom[0])].role
    return group if job.loco and role is Role.AUTOSOME and job.relatedness is not None else None


def _fit(job: ScanJob, group: str | None, starts: list[NullModel | None]) -> FittedGroup:
    """The null models of all traits with one group left out of the GRM."""
    if job.relatedness is None or job.analysis.kind is WhitenerKind.IDENTITY:
        return fit_without_relatedness(job.analysis)
    rows = job.samples.grm_rows
    K, grm_scale = job.relatedness.matrix(group, rows)
    kept = None
    if job.analysis.kind is WhitenerKind.SPECTRAL:
        kept = job.relatedness.kept_decomposition(group, rows, K, grm_scale)
    return fit_group(job.analysis, K, grm_scale, starts=starts, decomposition=kept)


def _scan_group(
    job: ScanJob,
    members: NDArray[np.int64],
    fitted: FittedGroup,
    outputs: tuple[TraitOutput, ...],
    progress: Progress,
    group: str,
) -> int:
    """Test a group's variants; return how many male heterozygotes on X were set missing."""
    variants = job.variants.take(members)
    before = [output.n_tested for output in outputs]
    journey = _Journey(job, variants, members, fitted)
    starts = range(0, len(variants), journey.rows)
    n_heterozygotes = 0
    with limited_blas(1):
        for tested in ordered_map(journey.travel, starts, job.threads, 2 * job.threads):
            n_heterozygotes += tested.n_heterozygotes
            for output, result in zip(outputs, tested.results, strict=True):
                output.append(tested.first_row, tested.batch, tested.stats, tested.reasons, result)
            progress.advance(len(tested.batch))
    n_grm = _n_grm(job, variants, group)
    for k, output in enumerate(outputs):
        null = fitted.traits[k].null
        output.close_group(group, null, n_grm, job.samples.n_samples, before[k])
    return n_heterozygotes


@dataclass(frozen=True, slots=True, eq=False)
class _TestedTile:
    """What becomes of a tile."""

    first_row: int  # place of its first variant among the selected ones
    batch: Variants
    stats: VariantStats
    reasons: NDArray[np.int8]
    results: tuple[ScanResult, ...]  # by trait
    n_heterozygotes: int


class _Journey:
    """Takes tiles of one group from the file to their tests; several threads at a time."""

    def __init__(
        self,
        job: ScanJob,
        variants: Variants,
        members: NDArray[np.int64],
        fitted: FittedGroup,
    ) -> None:
        self.rows = scan_tile(job.samples.n_samples)
        self._job = job
        self._variants = variants
        self._members = members
        self._batches = fitted.batches()
        self._n_traits = len(fitted.traits)

    def travel(self, start: int) -> _TestedTile:
        """Everything that happens to the tile whose first variant is `start` of the group."""
        job = self._job
        batch = self._variants.take(slice(start, start + self.rows))
        calls = read_tile(job.source, batch.source_index, job.block_size)
        n_heterozygotes = _mask_haploid(job, batch, calls)
        own = calls_of(calls, job.samples.rows)
        stats = _stats(job, batch, calls, own)
        hwe_p = _hardy_weinberg(job, batch, calls) if job.filters.hwe > 0.0 else None
        reasons = exclusion_reasons(stats, job.filters, _same_alleles(batch), hwe_p)
        results: list[ScanResult | None] = [None] * self._n_traits
        for shared in self._batches:
            tile = residual_tile(own, stats, reasons, job.samples.X, self.rows, shared.precision)
            for k, result in zip(shared.traits, shared.test(tile), strict=True):
                results[k] = result
        found = tuple(result for result in results if result is not None)
        first = int(self._members[start])
        return _TestedTile(first, batch, stats, reasons, found, n_heterozygotes)


def _n_grm(job: ScanJob, variants: Variants, group: str) -> int | None:
    """How many variants the group's GRM rests on; None where that is not known."""
    if job.relatedness is None or job.analysis.kind is WhitenerKind.IDENTITY:
        return None
    return job.relatedness.grm.n_variants_without(_left_out(job, variants, group)) or None


def _stats(job: ScanJob, batch: Variants, calls: Calls, own: Calls) -> VariantStats:
    """Counts over the analysed samples; on X males count once."""
    counts = count_block(own, job.samples.rows)
    if not batch.haploid_x.any():
        return variant_stats(counts)
    male_counts = count_block(calls, job.samples.males)
    male_counts[~batch.haploid_x] = 0
    return variant_stats(counts, male_counts)


def _hardy_weinberg(job: ScanJob, batch: Variants, calls: Calls) -> NDArray[np.float64]:
    """Exact p (b,) over founders or all, as was asked; on X over the women among them."""
    role = batch.chromosomes[int(batch.chrom[0])].role
    if role not in (Role.AUTOSOME, Role.X):
        return np.ones(len(batch))  # haploid, or not known: the test has no meaning
    counts = count_block(calls, job.samples.hwe_rows)
    if batch.haploid_x.any():
        women = count_block(calls, job.samples.hwe_females)
        counts[batch.haploid_x] = women[batch.haploid_x]
    return hardy_weinberg_p(counts)


def _mask_haploid(job: ScanJob, batch: Variants, calls: Calls) -> int:
    """Set heterozygous males on X missing; a man has one X."""
    haploid = np.flatnonzero(batch.haploid_x)
    if not haploid.size or not job.samples.males.size:
        return 0
    block = calls[haploid]
    changed = mask_heterozygotes(job.samples.males, MISSING, block)
    if changed:
        calls[haploid] = block
    return int(changed)


def _same_alleles(batch: Variants) -> NDArray[np.bool_]:
    raw, index = batch.raw, batch.source_index
    same = pc.equal(raw.effect_allele.take(index), raw.other_allele.take(index))
    return np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)
