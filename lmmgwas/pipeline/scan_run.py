"""One analysis: null models and scan of all LOCO groups, in lanes.

LOCO is another GRM through the same loop: groups that leave the same out share a fit. Two
lanes fit and scan a group each where there are two threads; rows are written group by group.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.background import find_background
from lmmgwas.model.calibration import PROMISE, Calibration, PooledError, pooled_error
from lmmgwas.model.chromosomes import Role
from lmmgwas.model.fitting import (
    FittedGroup,
    FittedTrait,
    fit_group,
    fit_without_relatedness,
    suggested_starts,
)
from lmmgwas.model.genotypes import Reason, Variants
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.numerics.parallel import ordered_streams
from lmmgwas.numerics.threads import limited_blas
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.scan_calibrated import calibrate_group, scan_calibrated
from lmmgwas.pipeline.scan_tiles import TestedTile, scan_tiles
from lmmgwas.pipeline.tile_reader import ScanJob, TileReader
from lmmgwas.pipeline.trait_output import TraitOutput

_LANES = 2
_MAX_LANE_SAMPLES = 16_384  # 6.4 GB for both lanes


@dataclass(frozen=True, slots=True, eq=False)
class ScanOutcome:
    """What the report needs of an analysis besides the tables."""

    whole: tuple[FittedTrait, ...]  # the whole-genome fits
    kinds: tuple[WhitenerKind, ...]  # used in the end, by group
    n_male_heterozygotes: int
    calibration: PooledError | None  # of a calibrated scan


def run_scan(
    job: ScanJob, outputs: tuple[TraitOutput, ...], progress: Progress, log: Logbook
) -> ScanOutcome:
    """Fit and scan every group; `outputs` are the traits of the analysis, in its order."""
    with log.stage("null model, whole genome"):
        fit = _fit(job, None, [None] * len(outputs))
    whole = fit.fitted.traits  # without the rotation, which is n x n
    batches = _batches(job)
    lanes = _lanes(job, batches)
    lane = _Lane(_for_one_lane(job) if lanes > 1 else job, fit, outputs, log)
    if not batches or batches[0].left_out is not None:
        lane.forget_whole()
    del fit
    taken = _Taken()
    with limited_blas(1) if lanes > 1 else contextlib.nullcontext():
        for done in ordered_streams(lane.run, batches, lanes):
            progress.advance(taken.take(job, done, outputs, log))
    log.detail(
        f"tests and rows: {taken.seconds / job.threads:.2f} s on {job.threads} threads, "
        f"{taken.n_variants / max(taken.seconds / job.threads, 1e-9):,.0f} variants per second"
    )
    pooled = _judge(taken, log) if taken.errors else None
    return ScanOutcome(whole, tuple(taken.kinds), taken.n_heterozygotes, pooled)


class _Taken:
    """What the lanes have yielded so far, written and counted."""

    def __init__(self) -> None:
        self.kinds: list[WhitenerKind] = []
        self.errors: list[NDArray[np.float64]] = []  # of held-out variants
        self.n_eigenvectors: list[int] = []
        self.n_heterozygotes = 0
        self.n_variants = 0
        self.seconds = 0.0

    def take(
        self, job: ScanJob, done: "_Done", outputs: tuple[TraitOutput, ...], log: Logbook
    ) -> int:
        """Write what is done; return how many variants it covers."""
        if isinstance(done, TestedTile):
            done.write(outputs)
            self.n_heterozygotes += done.n_heterozygotes
            self.n_variants += done.n_variants
            self.seconds += done.seconds
            return done.n_variants
        if isinstance(done, _Untested):
            for output in outputs:
                output.exclude(done.variants, done.reason)
            return len(done.variants)
        _close_group(job, done, outputs)
        self.kinds.append(done.kind)
        for output, calibration in zip(outputs, done.calibrations, strict=False):
            if calibration.test is not None:
                self.errors.append(calibration.errors)
                self.n_eigenvectors.append(calibration.test.n_eigenvectors)
                continue
            log.warn(
                "W604",
                f"trait {output.name}, group {done.group}: scanned exactly, not calibrated: "
                f"{calibration.reason}",
            )
        return 0


def _judge(taken: _Taken, log: Logbook) -> PooledError:
    """Say how well the promise was kept on the held-out variants of all groups."""
    error = pooled_error(taken.errors)
    log.say(
        f"Calibrated scan: chi-square within {error.quantile:.2%} at the 99th percentile of "
        f"{error.n_variants:,} held-out variants (largest {error.largest:.2%}), with "
        f"{min(taken.n_eigenvectors)} to {max(taken.n_eigenvectors)} eigenvectors; smaller p and "
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
class _Untested:
    """Variants of chromosomes that are not tested."""

    variants: Variants
    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class _FinishedGroup:
    """A group all of whose tiles have come."""

    group: str
    left_out: str | None
    nulls: tuple[NullModel, ...]  # by trait
    kind: WhitenerKind
    calibrations: tuple[Calibration, ...]  # by trait; empty in an exact scan


_Done = TestedTile | _Untested | _FinishedGroup


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Null models under one GRM, and the GRM itself where a calibration needs it."""

    fitted: FittedGroup
    K: NDArray[np.float64] | None


def _batches(job: ScanJob) -> list[_Batch]:
    """Gather the groups, in output order, by what LOCO leaves out."""
    batches: list[_Batch] = []
    for group in job.variants.groups():
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
        self, job: ScanJob, whole: _Fit, outputs: tuple[TraitOutput, ...], log: Logbook
    ) -> None:
        self._job = job
        self._outputs = outputs
        self._log = log
        self._starts = suggested_starts(whole.fitted.traits)
        self._groups = job.variants.groups()
        self._background = None if whole.K is None else find_background(whole.K)
        self._whole: _Fit | None = whole  # used where the first batch leaves nothing out

    def forget_whole(self) -> None:
        """Let go of the matrices of the whole genome."""
        self._whole = None

    def run(self, batch: _Batch) -> Iterator[_Done]:
        """Yield the tested tiles of each group, then its end."""
        job = self._job
        fit: _Fit | None = None
        for group in batch.groups:
            members = _places(job.variants, group)
            variants = job.variants.take(members)
            untested = _untested_reason(variants, job.include_nonautosomal)
            if untested is not None:
                yield _Untested(variants, untested)
                continue
            if fit is None:
                fit = self._fitted(batch)
            reader = TileReader(job, variants, members)
            calibrations = self._calibrate(reader, fit, group)
            yield from self._scan(reader, fit.fitted, calibrations)
            nulls = tuple(trait.null for trait in fit.fitted.traits)
            yield _FinishedGroup(group, batch.left_out, nulls, fit.fitted.kind, calibrations)

    def _fitted(self, batch: _Batch) -> _Fit:
        whole, self._whole = self._whole, None
        if whole is not None and batch.left_out is None:
            return whole
        where = f"without {batch.left_out}" if batch.left_out else "whole genome"
        with self._log.stage(f"null model, {where}"):
            return _fit(self._job, batch.left_out, self._starts)

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
            yield from scan_tiles(reader, fitted, self._outputs)
        else:
            yield from scan_calibrated(reader, fitted, calibrations, options, self._outputs)


def _close_group(job: ScanJob, done: _FinishedGroup, outputs: tuple[TraitOutput, ...]) -> None:
    """Note the null models of a group."""
    n_grm = None
    if job.relatedness is not None and job.analysis.kind is not WhitenerKind.IDENTITY:
        n_grm = job.relatedness.grm.n_variants_without(done.left_out) or None
    for output, null in zip(outputs, done.nulls, strict=True):
        output.close_group(done.group, null, n_grm, job.samples.n_samples)


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
