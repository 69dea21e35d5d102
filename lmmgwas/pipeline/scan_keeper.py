"""Keeping what the scan yields: stretches come in order, each becomes a shard."""

import contextlib
from dataclasses import dataclass

from lmmgwas.model.genotypes import Reason, Variants
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.pipeline.group_shards import (
    AnalysisShards,
    CalibrationNote,
    GroupEnd,
    GroupWriter,
    Stretch,
)
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.scan_tiles import TestedTile
from lmmgwas.pipeline.tile_reader import ScanJob
from lmmgwas.pipeline.trait_rows import TraitRows, untested_pieces


@dataclass(frozen=True, slots=True, eq=False)
class Untested:
    """A stretch of a group that is not tested."""

    stretch: Stretch
    variants: Variants
    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class StretchTile:
    """A tested tile, and whose it is."""

    stretch: Stretch
    tile: TestedTile


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A stretch all of whose tiles have come."""

    stretch: Stretch
    left_out: str | None
    nulls: tuple[NullModel, ...]  # by trait
    kind: WhitenerKind | None
    calibrations: tuple[CalibrationNote, ...]  # by trait; empty in an exact scan


Done = StretchTile | Untested | Finished


class GroupKeeper:
    """Commits what the lanes yield, stretch by stretch."""

    def __init__(
        self,
        job: ScanJob,
        traits: tuple[TraitRows, ...],
        groups: tuple[str, ...],
        shards: AnalysisShards,
        log: Logbook,
    ) -> None:
        self.n_variants = 0
        self.seconds = 0.0
        self._job = job
        self._traits = traits
        self._groups = groups
        self._shards = shards
        self._log = log
        self._open: GroupWriter | None = None
        self._n_heterozygotes = 0

    def keep(self, done: Done) -> int:
        """Write what is done; return how many variants it covers."""
        if isinstance(done, Finished):
            self._commit(done)
            return 0
        if self._open is None:
            self._open = self._shards.begin(done.stretch)
        if isinstance(done, Untested):
            for piece in untested_pieces(done.variants, done.reason):
                self._open.add((piece,) * len(self._traits))
            self._commit(Finished(done.stretch, None, (), None, ()))
            return len(done.variants)
        self._open.add(done.tile.pieces)
        self._n_heterozygotes += done.tile.n_heterozygotes
        self.n_variants += done.tile.n_variants
        self.seconds += done.tile.seconds
        return done.tile.n_variants

    def close(self) -> None:
        """Let go of a stretch that was not finished."""
        if self._open is not None:
            self._open.close()

    def _commit(self, done: Finished) -> None:
        group = self._groups[done.stretch.place]
        warn_exact(group, done.calibrations, self._traits, self._log)
        if self._open is None:
            self._open = self._shards.begin(done.stretch)
        writer, self._open = self._open, None
        n_grm = n_variants_grm(self._job, done.left_out) if done.nulls else None
        with contextlib.closing(writer):
            writer.commit(
                GroupEnd(
                    group, n_grm, done.nulls, done.kind, done.calibrations, self._n_heterozygotes
                )
            )
        self._n_heterozygotes = 0


def warn_exact(
    group: str,
    calibrations: tuple[CalibrationNote, ...],
    traits: tuple[TraitRows, ...],
    log: Logbook,
) -> None:
    """Say of which traits the promise could not be kept in a group."""
    for trait, note in zip(traits, calibrations, strict=False):
        if note.reason:
            log.warn(
                "W604",
                f"trait {trait.name}, group {group}: scanned exactly, not calibrated: "
                f"{note.reason}",
            )


def n_variants_grm(job: ScanJob, left_out: str | None) -> int | None:
    """Return how many variants a GRM has, where one is used and that is known."""
    if job.relatedness is None or job.analysis.kind is WhitenerKind.IDENTITY:
        return None
    return job.relatedness.grm.n_variants_without(left_out) or None
