"""One analysis: null models and scan of stretches of LOCO groups, in lanes.

LOCO is another GRM through the same loop: groups that leave the same out share a fit. Two
lanes fit and scan a group each where there are two threads; rows are written in order.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.background import find_background
from lmmgwas.model.calibration import PROMISE, Calibration, PooledError, pooled_error
from lmmgwas.model.fitting import (
    FittedGroup,
    fit_group,
    fit_without_relatedness,
    suggested_starts,
)
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.numerics.parallel import ordered_streams
from lmmgwas.numerics.threads import limited_blas
from lmmgwas.pipeline.group_shards import (
    AnalysisShards,
    CalibrationNote,
    GroupShard,
    Stretch,
    WholeEnd,
)
from lmmgwas.pipeline.kept_fits import GENOME, KeptFits
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.scan_calibrated import calibrate_group, scan_calibrated
from lmmgwas.pipeline.scan_keeper import (
    Done,
    Finished,
    GroupKeeper,
    StretchTile,
    Untested,
    n_variants_grm,
    warn_exact,
)
from lmmgwas.pipeline.scan_plan import Batch, Layout
from lmmgwas.pipeline.scan_tiles import TestedTile, scan_tiles
from lmmgwas.pipeline.self_check_run import GroupWatch, check_group
from lmmgwas.pipeline.tile_reader import ScanJob, TileReader
from lmmgwas.pipeline.trait_rows import RECORD, TraitRows

_Work = tuple[Batch, list[Stretch]]


@dataclass(frozen=True, slots=True, eq=False)
class ScanOutcome:
    """What the tables and the report need of an analysis."""

    whole: WholeEnd  # the whole-genome fits
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


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One analysis, ready to be scanned: all of it, or any part."""

    job: ScanJob
    traits: tuple[TraitRows, ...]
    shards: AnalysisShards
    layout: Layout
    fits: KeptFits | None = None  # null models that are on disk


def outcome_of(scan: Scan, log: Logbook) -> ScanOutcome:
    """Return the outcome of an analysis whose stretches are all finished."""
    whole = scan.shards.whole()
    if whole is None:
        raise RuntimeError("the whole-genome null models are not there")
    counts = scan.layout.counts
    groups = tuple(scan.shards.group(place, count) for place, count in enumerate(counts))
    pooled = _judge(groups, log) if scan.job.calibrated is not None else None
    return ScanOutcome(whole, groups, pooled)


def scan_stretches(scan: Scan, wanted: list[Stretch], progress: Progress, log: Logbook) -> None:
    """Fit and scan what of some stretches is not finished yet."""
    left = [gap for stretch in wanted for gap in scan.shards.gaps(stretch)]
    _report_finished(scan, wanted, left, progress, log)
    if scan.shards.whole() is not None and not left:
        return
    layout = scan.layout
    batches = [(batch, found) for batch in layout.batches if (found := batch.of(left))]
    whole = _whole(scan, log, needs_fit=_needs_whole_fit(layout, left))
    narrow = layout.lanes() > 1
    fit_job = _for_one_lane(scan.job) if narrow else scan.job
    lane = _Lane(scan, fit_job, scan.job if len(batches) == 1 else fit_job, whole, log)
    del whole
    with (
        limited_blas(1) if narrow else contextlib.nullcontext(),
        contextlib.closing(
            GroupKeeper(scan.job, scan.traits, layout.groups, scan.shards, log)
        ) as keeper,
    ):
        for done in ordered_streams(lane.run, batches, layout.lanes()):
            progress.advance(keeper.keep(done))
    threads = scan.job.threads
    log.detail(
        f"tests and rows: {keeper.seconds / threads:.2f} s on {threads} threads, "
        f"{keeper.n_variants / max(keeper.seconds / threads, 1e-9):,.0f} variants per second"
    )


def _report_finished(
    scan: Scan, wanted: list[Stretch], left: list[Stretch], progress: Progress, log: Logbook
) -> None:
    """Count what is finished, and repeat what was said of whole groups."""
    undone = sum(gap.last - gap.first for gap in left)
    progress.resume(sum(s.last - s.first for s in wanted) - undone)
    for stretch in wanted:
        place, count = stretch.place, scan.layout.counts[stretch.place]
        if stretch == Stretch(place, 0, count) and not any(gap.place == place for gap in left):
            notes = scan.shards.group(place, count).end.calibrations
            warn_exact(scan.layout.groups[place], notes, scan.traits, log)


def keep_nulls(scan: Scan, fits: KeptFits, batches: list[Batch], log: Logbook) -> None:
    """Fit these batches, and keep what is not kept yet for others to scan with."""
    whole = _whole(scan, log, needs_fit=False, save=fits)
    left = [
        batch
        for batch in batches
        if not _is_genome(scan.layout, batch) and not fits.has(batch.number)
    ]
    narrow = scan.layout.lanes() > 1
    fit_job = _for_one_lane(scan.job) if narrow else scan.job
    lane = _Lane(scan, fit_job, fit_job, whole, log)
    del whole
    with limited_blas(1) if narrow else contextlib.nullcontext():
        streams: list[_Work] = [(batch, []) for batch in left]
        for batch, fitted in ordered_streams(lane.fit, streams, scan.layout.lanes()):
            fits.keep(batch.number, fitted)


def _is_genome(layout: Layout, batch: Batch) -> bool:
    """Whether a batch is scanned under the whole-genome fit itself.

    Later ones that leave nothing out, as X, are fitted again: its matrices are not kept so long.
    """
    return batch is layout.batches[0] and batch.left_out is None


def _needs_whole_fit(layout: Layout, left: list[Stretch]) -> bool:
    first = layout.batches[0]
    return _is_genome(layout, first) and bool(first.of(left))


def _whole(scan: Scan, log: Logbook, *, needs_fit: bool, save: KeptFits | None = None) -> "_Whole":
    """The whole-genome fits: as they were kept, or fitted now and kept."""
    job, known = scan.job, scan.shards.whole()
    if known is not None and not needs_fit and (save is None or save.has(GENOME)):
        return _Whole(known.nulls, None, _matrix(job, None))
    fits = save or scan.fits
    kept = None if fits is None else fits.find(GENOME)
    if kept is not None:
        fit = _Fit(kept, _matrix(job, None))
    else:
        with log.stage("null model, whole genome"):
            fit = _fit(job, None, [None] * len(job.analysis.traits))
        if save is not None:
            # Its matrices are wanted where the first groups are scanned under it.
            light = replace(fit.fitted, rotations=())
            under = _is_genome(scan.layout, scan.layout.batches[0])
            save.keep(GENOME, fit.fitted if under else light)
    nulls = tuple(trait.null for trait in fit.fitted.traits)
    if known is None and save is None:
        scan.shards.keep_whole(WholeEnd(nulls, n_variants_grm(job, None)))
    return _Whole(nulls, fit if needs_fit else None, fit.K)


def _matrix(job: ScanJob, left_out: str | None) -> NDArray[np.float64] | None:
    """The GRM of a calibrated scan."""
    if job.calibrated is None or job.relatedness is None:
        return None
    return job.relatedness.matrix(left_out, job.samples.grm_rows)[0]


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
class _Fit:
    """Null models under one GRM, and the GRM itself where a calibration needs it."""

    fitted: FittedGroup
    K: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """What the lanes begin with."""

    nulls: tuple[NullModel, ...]
    fit: _Fit | None  # where the first batch is scanned under it
    K: NDArray[np.float64] | None  # of a calibrated scan


def _for_one_lane(job: ScanJob) -> ScanJob:
    """The same job on one thread."""
    relatedness = None if job.relatedness is None else replace(job.relatedness, threads=1)
    return replace(
        job, threads=1, analysis=replace(job.analysis, threads=1), relatedness=relatedness
    )


class _Lane:
    """Fits a batch of groups, and scans stretches of them."""

    def __init__(
        self, scan: Scan, fit_job: ScanJob, scan_job: ScanJob, whole: _Whole, log: Logbook
    ) -> None:
        self._scan_of = scan
        self._fit_job = fit_job
        self._job = scan_job
        self._traits = scan.traits
        self._log = log
        self._starts = suggested_starts(whole.nulls)
        self._background = None if whole.K is None else find_background(whole.K)
        self._whole = whole.fit

    def run(self, work: _Work) -> Iterator[Done]:
        """Yield the tested tiles of each stretch, then its end."""
        batch, stretches = work
        layout = self._scan_of.layout
        fit: _Fit | None = None
        for stretch in stretches:
            members = layout.members(stretch.place)
            untested = layout.untested(stretch.place)
            if untested is not None:
                yield Untested(stretch, self._job.variants.take(members), untested)
                continue
            if fit is None:
                fit = self._fitted(batch)
            yield from self._scan(batch, fit, stretch, members)

    def fit(self, work: _Work) -> Iterator[tuple[Batch, FittedGroup]]:
        """Yield the fit of a batch, unless none of its groups is tested."""
        batch, _ = work
        if all(self._scan_of.layout.untested(place) for place in batch.places):
            return
        yield batch, self._fitted(batch).fitted

    def _fitted(self, batch: Batch) -> _Fit:
        if self._whole is not None and _is_genome(self._scan_of.layout, batch):
            whole, self._whole = self._whole, None
            return whole
        kept = None if self._scan_of.fits is None else self._scan_of.fits.find(batch.number)
        if kept is not None:
            return _Fit(kept, _matrix(self._fit_job, batch.left_out))
        where = f"without {batch.left_out}" if batch.left_out else "whole genome"
        with self._log.stage(f"null model, {where}"):
            return _fit(self._fit_job, batch.left_out, self._starts)

    def _scan(
        self, batch: Batch, fit: _Fit, stretch: Stretch, members: NDArray[np.int64]
    ) -> Iterator[Done]:
        """Yield the tiles of a stretch, look at some of them again, and yield its end."""
        group = self._scan_of.layout.groups[stretch.place]
        reader = TileReader(self._job, self._job.variants.take(members), members)
        calibrations = self._calibrate(reader, fit, stretch.place)
        watch = GroupWatch(len(self._traits))
        for tile in self._tiles(reader, fit.fitted, calibrations, stretch):
            watch.see([np.frombuffer(piece.records, dtype=RECORD) for piece in tile.pieces])
            yield StretchTile(stretch, tile)
        self._check(batch.left_out, fit.fitted, watch, calibrations, group)
        nulls = tuple(trait.null for trait in fit.fitted.traits)
        notes = tuple(_note(calibration) for calibration in calibrations)
        yield Finished(stretch, batch.left_out, nulls, fit.fitted.kind, notes)

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

    def _calibrate(self, reader: TileReader, fit: _Fit, place: int) -> tuple[Calibration, ...]:
        """The calibrations of a group's traits; none in an exact scan."""
        if fit.K is None or self._background is None:
            return ()
        groups = self._scan_of.layout.groups
        with self._log.stage(f"calibration, {groups[place]}"):
            background = find_background(fit.K, self._background)
            return calibrate_group(reader, fit.fitted, fit.K, background, (place, len(groups)))

    def _tiles(
        self,
        reader: TileReader,
        fitted: FittedGroup,
        calibrations: tuple[Calibration, ...],
        stretch: Stretch,
    ) -> Iterator[TestedTile]:
        options = self._job.calibrated
        if options is None or not calibrations or not all(c.kept for c in calibrations):
            yield from scan_tiles(reader, fitted, self._traits, stretch)
        else:
            yield from scan_calibrated(reader, fitted, calibrations, options, self._traits, stretch)


def _note(calibration: Calibration) -> CalibrationNote:
    """What is kept of a calibration."""
    test = calibration.test
    n_eigenvectors = 0 if test is None else test.n_eigenvectors
    return CalibrationNote(
        "" if test is not None else calibration.reason,
        n_eigenvectors,
        tuple(calibration.errors.tolist()),
    )


def _fit(job: ScanJob, group: str | None, starts: list[NullModel | None]) -> _Fit:
    """The null models of all traits with one group left out of the GRM."""
    if job.relatedness is None or job.analysis.kind is WhitenerKind.IDENTITY:
        return _Fit(fit_without_relatedness(job.analysis), None)
    rows = job.samples.grm_rows
    single = job.analysis.single_kernel and job.calibrated is None  # which needs K in float64
    K, grm_scale = job.relatedness.matrix(group, rows, single=single)
    kept = None
    if job.analysis.kind is WhitenerKind.SPECTRAL:
        kept = job.relatedness.kept_decomposition(group, rows, K, grm_scale)
    fitted = fit_group(job.analysis, K, grm_scale, starts=starts, decomposition=kept)
    return _Fit(fitted, None if job.calibrated is None else K)
