"""Where the GRM of an association run comes from: a set on disk, or one that the run builds."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError, MismatchError
from lmmgwas.io.grm_files import GrmPaths, open_grm, read_eigen
from lmmgwas.io.grm_reading import ForeignGrm
from lmmgwas.model.grm import Grm, centre_and_scale, loco_triangle, require_groups
from lmmgwas.model.single_kernel import single_matrix
from lmmgwas.model.spectrum import SpectralDecomposition, matches
from lmmgwas.model.variant_tests import VarianceKind
from lmmgwas.pipeline.given_grm import open_given
from lmmgwas.pipeline.grm_checks import GivenGrm, check_definite, check_given_grm, require_finite
from lmmgwas.pipeline.grm_run import Build, plan_grm
from lmmgwas.pipeline.grm_sums import GrmTask
from lmmgwas.pipeline.inputs import Genotypes, open_genotypes
from lmmgwas.pipeline.join import match_grm
from lmmgwas.pipeline.journal import Journal
from lmmgwas.pipeline.kept_grm import grm_of_study
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.sample_checks import warn_of_twins

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PlannedGrm:
    """The GRM before the work: which samples it has, and the task where it must be built."""

    row_of: NDArray[np.int64]  # (N,) GRM row of each sample of the .fam, -1 where it has none
    task: GrmTask | None
    prefix: Path | None  # of a set on disk, or the file in another format
    foreign: ForeignGrm | None = None  # what that file holds

    def given(self) -> tuple[Grm, dict[str, Any] | None]:
        """Return the GRM on disk, mapped, and its manifest; there is one where there is no task."""
        if self.foreign is not None:
            return self.foreign.grm, None
        return open_grm(self.prefix or Path())

    def files(self) -> list[Path]:
        """Return the files of the GRM on disk; none where it must be built."""
        if self.foreign is not None:
            return self.foreign.files
        return [] if self.prefix is None else GrmPaths(self.prefix).existing()

    def paths(self) -> GrmPaths:
        """Return the names of the GRM's files on disk."""
        if self.foreign is not None:
            return self.foreign.paths
        return GrmPaths(self.prefix or Path())

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which samples (N,) of the .fam the GRM has."""
        return self.row_of >= 0


@dataclass(frozen=True, slots=True, eq=False)
class Relatedness:
    """An opened GRM set."""

    grm: Grm
    manifest: dict[str, Any] | None
    paths: GrmPaths
    threads: int = 1

    def matrix(
        self, group: str | None, rows: NDArray[np.int64], *, single: bool = False
    ) -> tuple[NDArray[Any], float]:
        """Return K (n, n) without `group`, centred and scaled, and its grm_scale.

        `single` is for K in float32 (`Analysis.single_kernel`), in half the memory.

        Raises DegenerateError: E702, with its place, for a value that is not finite.
        """
        try:
            if single:
                return single_matrix(self.grm, group, rows, self.threads)
            K = loco_triangle(self.grm, group, rows, self.threads)
            return K, centre_and_scale(K, self.threads)
        except DegenerateError:
            self.require_finite()
            raise

    def require_finite(self) -> None:
        """Raise DegenerateError (E702), with the place, where a value of the set is NaN or inf."""
        for name, part in ((None, self.grm.whole), *self.grm.parts.items()):
            require_finite(self.grm, part, self.paths.values(name))

    def kept_decomposition(
        self, group: str | None, rows: NDArray[np.int64], K: Array, grm_scale: float
    ) -> SpectralDecomposition | None:
        """Return the decomposition that `grm --eigen` kept, where it is of exactly this K."""
        if not self.has_kept(group, rows):
            return None
        found = read_eigen(self.paths.eigen(group), rows.size, grm_scale)
        return found if found is not None and matches(found, K) else None

    def has_kept(self, group: str | None, rows: NDArray[np.int64]) -> bool:
        """Whether a decomposition of these very samples, in this order, may be on disk."""
        same = rows.size == len(self.grm.iid) and bool((rows == np.arange(rows.size)).all())
        return same and self.paths.eigen(group).exists()


def plan_relatedness(job: AssocJob, genotypes: Genotypes, log: Logbook) -> PlannedGrm | None:
    """Open or plan the GRM; None for `--h2 0`, which needs none unless one is given."""
    n = len(genotypes.samples)
    if job.model.grm is not None:
        needs_parts = job.model.loco and job.model.h2 != 0.0
        found = open_given(job.model.grm, genotypes.samples, job.run, log, needs_parts=needs_parts)
        grm, paths = found.grm, found.paths
        row_of = match_grm(genotypes.index, n, grm.fid, grm.iid, str(paths.ids))
        if job.model.h2 != 0.0:
            given = GivenGrm(grm, found.manifest, paths, _used_rows(row_of))
            refits = job.model.variance is VarianceKind.PER_VARIANT
            check_given_grm(given, row_of, genotypes, job.run.threads, log, refits=refits)
        return PlannedGrm(row_of, None, paths.prefix, found.foreign)
    if job.model.h2 == 0.0:
        return None
    built_from = genotypes
    files = job.model.grm_files
    if files is not None:
        built_from = open_genotypes(replace(job.genotypes, files=files), log)
    task = plan_grm(built_from, job.genotypes, job.grm, job.run, log)
    return PlannedGrm(_rows_when_built(built_from, genotypes), task, None)


def _used_rows(row_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of the GRM that are samples of the .fam, ascending."""
    return np.sort(row_of[row_of >= 0])


def _look_at_samples(planned: PlannedGrm, grm: Grm, job: AssocJob, log: Logbook) -> None:
    """Warn of twins, and of a matrix of pairs that is not positive semi-definite."""
    if job.model.h2 == 0.0:
        return
    rows = _used_rows(planned.row_of)
    warn_of_twins(grm.whole.values, (grm.fid, grm.iid), rows, job.run.threads, log)
    if planned.task is not None and planned.task.options.pairwise:
        refits = job.model.variance is VarianceKind.PER_VARIANT
        check_definite(grm, rows, log, refits=refits)


def _rows_when_built(built_from: Genotypes, genotypes: Genotypes) -> NDArray[np.int64]:
    """The row that each sample of the .fam will have."""
    kept = built_from.kept
    if built_from is genotypes:
        row_of = np.full(len(genotypes.samples), -1, dtype=np.int64)
        row_of[kept] = np.arange(kept.size)
        return row_of
    fid = [built_from.samples.fid[i] for i in kept.tolist()]
    iid = [built_from.samples.iid[i] for i in kept.tolist()]
    n = len(genotypes.samples)
    return match_grm(genotypes.index, n, fid, iid, "--grm-bfile")


def require_loco_possible(planned: PlannedGrm, tested: tuple[str, ...]) -> None:
    """Raise before the work when a GRM that is to be built cannot leave a tested group out."""
    if planned.task is None:
        return
    groups = planned.task.variants.groups()
    if len(groups) < 2:
        raise DegenerateError(
            "E801",
            f"LOCO leaves 0 variants: all {len(planned.task.variants):,} autosomal variants lie on "
            f"chromosome {groups[0]}; use --no-loco, or give a GRM of the whole genome "
            "(--grm or --grm-bfile)",
        )
    require_groups(groups, tested)


@contextlib.contextmanager
def opened(
    planned: PlannedGrm, job: AssocJob, journal: Journal, log: Logbook, build: Build | None = None
) -> Iterator[Relatedness]:
    """Build the set if need be, open it, and remove afterwards what was built for the run."""
    if planned.task is None:
        grm, manifest = planned.given()
        _look_at_samples(planned, grm, job, log)
        given = Relatedness(grm, manifest, planned.paths(), job.run.threads)
        try:
            yield given
        except MismatchError:  # parts that do not add up: NaN never does, and has a place
            given.require_finite()
            raise
        return
    with grm_of_study(planned.task, job.run, journal, log, build) as paths:
        grm, manifest = open_grm(paths.prefix)
        _look_at_samples(planned, grm, job, log)
        yield Relatedness(grm, manifest, paths, job.run.threads)
