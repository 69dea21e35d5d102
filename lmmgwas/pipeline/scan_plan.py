"""How the scan of an analysis is divided: groups, fits, and stretches of whole tiles.

All of it is a function of the study: whoever scans a stretch, beside whatever else, computes
the same bytes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.chromosomes import Role
from lmmgwas.model.genotypes import Reason, Variants
from lmmgwas.model.scan import scan_tile
from lmmgwas.pipeline.group_shards import Stretch
from lmmgwas.pipeline.options import Share
from lmmgwas.pipeline.scan_calibrated import TILES_TOGETHER
from lmmgwas.pipeline.tile_reader import ScanJob

_LANES = 2
_MAX_LANE_SAMPLES = 16_384  # 6.4 GB for both lanes


@dataclass(frozen=True, slots=True)
class Batch:
    """Groups that follow each other and leave the same out of the GRM: one fit for all."""

    number: int  # in the study
    left_out: str | None
    places: tuple[int, ...]

    def of(self, stretches: list[Stretch]) -> list[Stretch]:
        """Return those of its groups."""
        return [stretch for stretch in stretches if stretch.place in self.places]


class Layout:
    """The groups of an analysis in output order, and the fits that they need."""

    def __init__(self, job: ScanJob) -> None:
        self._job = job
        variants = job.variants
        self.groups = variants.groups()
        places = {name: place for place, name in enumerate(self.groups)}
        of_label = np.array([places.get(c.group, -1) for c in variants.chromosomes], dtype=np.int32)
        group = of_label[variants.chrom]
        self.counts: list[int] = np.bincount(group, minlength=len(self.groups)).tolist()
        firsts = np.unique(group, return_index=True)[1]
        self._roles = [variants.chromosomes[int(variants.chrom[k])].role for k in firsts]
        self.batches = self._gather()

    def members(self, place: int) -> NDArray[np.int64]:
        """Return where a group's variants stand among the selected ones."""
        return places_of(self._job.variants, self.groups[place])

    def untested(self, place: int) -> Reason | None:
        """Return why a group is not tested: Y, MT and unplaced variants only are on demand."""
        role = self._roles[place]
        if self._job.include_nonautosomal or role in (Role.AUTOSOME, Role.X):
            return None
        return Reason.UNPLACED if role is Role.UNPLACED else Reason.NON_AUTOSOME

    def everything(self) -> list[Stretch]:
        """Return one stretch for each group."""
        return [Stretch(place, 0, count) for place, count in enumerate(self.counts)]

    def share(self, share: Share) -> list[Stretch]:
        """Return the stretches of a share: tiles whose middle lies in it, by variants."""
        found, start, total = [], 0, sum(self.counts)
        for place, count in enumerate(self.counts):
            step = count if self.untested(place) else self._step()
            firsts = np.arange(0, count, step)
            lasts = np.minimum(firsts + step, count)
            owner = (2 * start + firsts + lasts) * share.n_parts // (2 * total)
            mine = np.flatnonzero(owner == share.part - 1)
            if mine.size:
                found.append(Stretch(place, int(firsts[mine[0]]), int(lasts[mine[-1]])))
            start += count
        return found

    def lanes(self) -> int:
        """Return how many groups are fitted and scanned at a time.

        Two lanes with one BLAS thread each waste nothing where BLAS on two threads waits at every
        step; each has an n x n matrix in float64 and one in float32. With more threads, or where
        n^3 dwarfs the steps between, BLAS has all threads for a fit, and a scan has them by tiles.
        """
        job = self._job
        few = _LANES <= job.threads < 2 * _LANES
        fits = len(self.batches) > 1 and job.samples.n_samples <= _MAX_LANE_SAMPLES
        return _LANES if few and fits and job.relatedness is not None else 1

    def _step(self) -> int:
        together = 1 if self._job.calibrated is None else TILES_TOGETHER
        return scan_tile(self._job.samples.n_samples) * together

    def _gather(self) -> tuple[Batch, ...]:
        batches: list[Batch] = []
        for place in range(len(self.groups)):
            left_out = self._left_out(place)
            if batches and batches[-1].left_out == left_out:
                last = batches[-1]
                batches[-1] = Batch(last.number, left_out, (*last.places, place))
            else:
                batches.append(Batch(len(batches), left_out, (place,)))
        return tuple(batches)

    def _left_out(self, place: int) -> str | None:
        """What LOCO leaves out of the GRM: nothing for X and other non-autosomes."""
        job = self._job
        leaves = job.loco and self._roles[place] is Role.AUTOSOME and job.relatedness is not None
        return self.groups[place] if leaves else None


def places_of(variants: Variants, group: str) -> NDArray[np.int64]:
    """Return where a group's variants stand among these."""
    members = [k for k, c in enumerate(variants.chromosomes) if c.group == group]
    return np.flatnonzero(np.isin(variants.chrom, members)).astype(np.int64)
