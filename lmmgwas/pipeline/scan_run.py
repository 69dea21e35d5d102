"""One analysis: null models and scan of all LOCO groups, in lanes.

LOCO is another GRM through the same loop: groups that leave the same out share a fit. Two
lanes fit and scan a group each where there are two threads; rows are written group by group.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.background import find_background
from lmmgwas.model.calibration import PROMISE, Calibration, PooledError, pooled_error
from lmmgwas.model.chromosomes import Role
from lmmgwas.model.fitting import (
    FittedGroup,
    fit_group,
    fit_without_relatedness,
    suggested_starts,
)
from lmmgwas.model.genotypes import Reason, Variants
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.numerics.parallel import ordered_streams
from lmmgwas.numerics.threads import limited_blas
from lmmgwas.pipeline.group_shards import (
    AnalysisShards,
    CalibrationNote,
    GroupShard,
)
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.scan_calibrated import calibrate_group, scan_calibrated
from lmmgwas.pipeline.scan_keeper import (
    Done,
    FinishedGroup,
    GroupKeeper,
    GroupTile,
    UntestedGroup,
    warn_exact,
)
from lmmgwas.pipeline.scan_tiles import TestedTile, scan_tiles
from lmmgwas.pipeline.self_check_run import GroupWatch, check_group
from lmmgwas.pipeline.tile_reader import ScanJob, TileReader
from lmmgwas.pipeline.trait_rows import RECORD, TraitRows

_LANES = 2
_MAX_LANE_SAMPLES = 16_384  # 6.4 GB for both lanes


@dataclass(frozen=True, slots=True, eq=False)
class ScanOutcome:
    """What the tables and the report need of an analysis."""

    whole: tuple[NullModel, ...]  # the whole-genome fits, by trait
    groups: tuple[GroupShard, ...]  # in output order
    calibration: PooledError | None  # of a calibrated scan

    @property
    def kinds(self) -> tuple[WhitenerKind, ...]:
        """The whiteners used in the end, by tested group."""
        return tuple(shard.end.kind for shard in self.groups if shard.end.kind is not None)

    @property
    def n_male_heterozygotes(self) -> int:
        """Calls of males on X that were set missing."""
        return sum(shard.end.n_heterozygotes for shard in self.groups)


def run_scan(
    job: ScanJob,
    traits: tuple[TraitRows, ...],
    shards: AnalysisShards,
    progress: Progress,
    log: Logbook,
) -> ScanOutcome:
    """Fit and scan every group that is not finished yet; `traits` are those of the analysis."""
    names = job.variants.groups()
    left = [name for place, name in enumerate(names) if not shards.has(place)]
    for place, name in enumerate(names):
        if name not in left:
            progress.resume(_places(job.variants, name).size)
            warn_exact(name, shards.group(place).end.calibrations, traits, log)
    whole = shards.whole()
    if whole is None or left:
        whole = _scan_groups(job, traits, set(left), shards, progress, log)
    groups = tuple(shards.group(place) for place in range(len(names)))
    pooled = _judge(groups, log) if job.calibrated is not None else None
    return ScanOutcome(whole, groups, pooled)


def _scan_groups(
    job: ScanJob,
    traits: tuple[TraitRows, ...],
    left: set[str],
    shards: AnalysisShards,
    progress: Progress,
    log: Logbook,
) -> tuple[NullModel, ...]:
    """Fit and scan these groups; return the whole-genome fits."""
    batches = _batches(job, left)
    lanes = _lanes(job, batches)
    whole = _whole(job, _needs_whole_fit(job, left), shards, log)
    lane = _Lane(_for_one_lane(job) if lanes > 1 else job, whole, traits, log)
    if not _needs_whole_fit(job, left):
        lane.forget_whole()
    nulls = whole.nulls
    del whole
    with (
        limited_blas(1) if lanes > 1 else contextlib.nullcontext(),
        contextlib.closing(GroupKeeper(job, traits, shards, log)) as keeper,
    ):
        for done in ordered_streams(lane.run, batches, lanes):
            progress.advance(keeper.keep(done))
    log.detail(
        f"tests and rows: {keeper.seconds / job.threads:.2f} s on {job.threads} threads, "
        f"{keeper.n_variants / max(keeper.seconds / job.threads, 1e-9):,.0f} variants per second"
    )
    return nulls


def _needs_whole_fit(job: ScanJob, left: set[str]) -> bool:
    """Whether the first groups of the study are scanned under the whole-genome fit itself.

    Later ones that leave nothing out, as X, are fitted again: its matrices are not kept so long.
    """
    first = _batches(job, set(job.variants.groups()))[:1]
    return any(batch.left_out is None and not left.isdisjoint(batch.groups) for batch in first)


def _whole(job: ScanJob, needs_fit: bool, shards: AnalysisShards, log: Logbook) -> "_Whole":
    """The whole-genome fits: as they were kept, or fitted now and kept."""
    kept = shards.whole()
    if kept is not None and not needs_fit:
        K = None
        if job.calibrated is not None and job.relatedness is not None:
            K = job.relatedness.matrix(None, job.samples.grm_rows)[0]
        return _Whole(kept, None, K)
    with log.stage("null model, whole genome"):
        fit = _fit(job, None, [None] * len(job.analysis.traits))
    nulls = tuple(trait.null for trait in fit.fitted.traits)
    shards.keep_whole(nulls)
    return _Whole(nulls, fit, fit.K)


def _judge(groups: tuple[GroupShard, ...], log: Logbook) -> PooledError | None:
    """Say how well the promise was kept on the held-out variants of all groups."""
    notes = [note for shard in groups for note in shard.end.calibrations if not note.reason]
    if not notes:
        return None
    error = pooled_error([np.array(note.errors) for note in notes])
    n_eigenvectors = [note.n_eigenvectors for note in notes]
    log.say(
        f"Calibrated scan: chi-square within {error.quantile:.2%} at the 99th percentile of "
        f"{error.n_variants:,} held-out variants (largest {error.largest:.2%}), with "
        f"{min(n_eigenvectors)} to {max(n_eigenvectors)} eigenvectors; smaller p and "
        "rare variants are exact"
    )
    if not error.kept:
        log.warn("W605", f"the calibrated scan's error of chi-square is above {PROMISE:.0%}")
    return error


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Groups that follow each other and leave the same out of the GRM: one fit for all."""

    left_out: str | None
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Null models under one GRM, and the GRM itself where a calibration needs it."""

    fitted: FittedGroup
    K: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """What the lanes begin with."""

    nulls: tuple[NullModel, ...]
    fit: _Fit | None  # None where the null models were kept by an earlier run
    K: NDArray[np.float64] | None  # of a calibrated scan


def _batches(job: ScanJob, left: set[str]) -> list[_Batch]:
    """Gather these groups, in output order, by what LOCO leaves out."""
    batches: list[_Batch] = []
    for group in job.variants.groups():
        if group not in left:
            continue
        variants = job.variants.take(_places(job.variants, group))
        left_out = _left_out(job, variants, group)
        if batches and batches[-1].left_out == left_out:
            batches[-1] = _Batch(left_out, (*batches[-1].groups, group))
        else:
            batches.append(_Batch(left_out, (group,)))
    return batches


def _lanes(job: ScanJob, batches: Sequence[_Batch]) -> int:
    """How many groups are fitted and scanned at a time.

    Two lanes with one BLAS thread each waste nothing where BLAS on two threads waits at every
    step; each has an n x n matrix in float64 and one in float32. With more threads, or where
    n^3 dwarfs the steps between, BLAS has all threads for a fit, and a scan has them by tiles.
    """
    few = _LANES <= job.threads < 2 * _LANES
    fits = len(batches) > 1 and job.samples.n_samples <= _MAX_LANE_SAMPLES
    return _LANES if few and fits and job.relatedness is not None else 1


def _for_one_lane(job: ScanJob) -> ScanJob:
    """The same job on one thread."""
    relatedness = None if job.relatedness is None else replace(job.relatedness, threads=1)
    return replace(
        job, threads=1, analysis=replace(job.analysis, threads=1), relatedness=relatedness
    )


class _Lane:
    """Fits and scans a batch of groups."""

    def __init__(
        self, job: ScanJob, whole: _Whole, traits: tuple[TraitRows, ...], log: Logbook
    ) -> None:
        self._job = job
        self._traits = traits
        self._log = log
        self._starts = suggested_starts(whole.nulls)
        self._groups = job.variants.groups()
        self._background = None if whole.K is None else find_background(whole.K)
        self._whole = whole.fit  # used where the first batch leaves nothing out

    def forget_whole(self) -> None:
        """Let go of the matrices of the whole genome."""
        self._whole = None

    def run(self, batch: _Batch) -> Iterator[Done]:
        """Yield the tested tiles of each group, then its end."""
        job = self._job
        fit: _Fit | None = None
        for group in batch.groups:
            members = _places(job.variants, group)
            variants = job.variants.take(members)
            untested = _untested_reason(variants, job.include_nonautosomal)
            if untested is not None:
                yield UntestedGroup(group, variants, untested)
                continue
            if fit is None:
                fit = self._fitted(batch)
            reader = TileReader(job, variants, members)
            calibrations = self._calibrate(reader, fit, group)
            watch = GroupWatch(len(self._traits))
            for tile in self._scan(reader, fit.fitted, calibrations):
                watch.see([np.frombuffer(piece.records, dtype=RECORD) for piece in tile.pieces])
                yield GroupTile(group, tile)
            self._check(batch.left_out, fit.fitted, watch, calibrations, group)
            nulls = tuple(trait.null for trait in fit.fitted.traits)
            notes = tuple(_note(calibration) for calibration in calibrations)
            yield FinishedGroup(group, batch.left_out, nulls, fit.fitted.kind, notes)

    def _fitted(self, batch: _Batch) -> _Fit:
        whole, self._whole = self._whole, None
        if whole is not None and batch.left_out is None:
            return whole
        where = f"without {batch.left_out}" if batch.left_out else "whole genome"
        with self._log.stage(f"null model, {where}"):
            return _fit(self._job, batch.left_out, self._starts)

    def _check(
        self,
        left_out: str | None,
        fitted: FittedGroup,
        watch: GroupWatch,
        calibrations: tuple[Calibration, ...],
        group: str,
    ) -> None:
        """Compute some rows again by another way, from files that are what they were."""
        self._job.source.check_unchanged()
        names = [trait.name for trait in self._traits]
        began = time.perf_counter()
        done = check_group(self._job, left_out, fitted, names, watch.records(), calibrations)
        self._log.detail(
            f"{done.n_rows} rows of {group} computed again in "
            f"{time.perf_counter() - began:.2f} s, the farthest at {done.largest:.2g} of what is "
            "allowed"
        )

    def _calibrate(self, reader: TileReader, fit: _Fit, group: str) -> tuple[Calibration, ...]:
        """The calibrations of a group's traits; none in an exact scan."""
        if fit.K is None or self._background is None:
            return ()
        with self._log.stage(f"calibration, {group}"):
            background = find_background(fit.K, self._background)
            place = self._groups.index(group), len(self._groups)
            return calibrate_group(reader, fit.fitted, fit.K, background, place)

    def _scan(
        self, reader: TileReader, fitted: FittedGroup, calibrations: tuple[Calibration, ...]
    ) -> Iterator[TestedTile]:
        options = self._job.calibrated
        if options is None or not calibrations or not all(c.kept for c in calibrations):
            yield from scan_tiles(reader, fitted, self._traits)
        else:
            yield from scan_calibrated(reader, fitted, calibrations, options, self._traits)


def _note(calibration: Calibration) -> CalibrationNote:
    """What is kept of a calibration."""
    test = calibration.test
    n_eigenvectors = 0 if test is None else test.n_eigenvectors
    return CalibrationNote(
        "" if test is not None else calibration.reason,
        n_eigenvectors,
        tuple(calibration.errors.tolist()),
    )


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


def _fit(job: ScanJob, group: str | None, starts: list[NullModel | None]) -> _Fit:
    """The null models of all traits with one group left out of the GRM."""
    if job.relatedness is None or job.analysis.kind is WhitenerKind.IDENTITY:
        return _Fit(fit_without_relatedness(job.analysis), None)
    rows = job.samples.grm_rows
    K, grm_scale = job.relatedness.matrix(group, rows)
    kept = None
    if job.analysis.kind is WhitenerKind.SPECTRAL:
        kept = job.relatedness.kept_decomposition(group, rows, K, grm_scale)
    fitted = fit_group(job.analysis, K, grm_scale, starts=starts, decomposition=kept)
    return _Fit(fitted, None if job.calibrated is None else K)
