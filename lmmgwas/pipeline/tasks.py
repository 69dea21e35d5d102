"""The tasks of a study: plain values, each of which a process turns into files that are whole.

    GRM           a chromosome and a row tile          SumCell
    null models   the whole genome, or a LOCO group    FitGenome, FitGroup
    scan          some variants of a group             ScanStretch

One process does them in a loop of its own, with what they share in memory; `--part` takes a share
of them; a cluster is given them all. Whoever does a task, and how often, writes the same bytes.
"""

import os
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmmgwas.errors import FileAccessError, LmmgwasError
from lmmgwas.io.grm_files import GrmPaths, open_grm
from lmmgwas.io.shards import checksum
from lmmgwas.numerics.threads import limited_blas
from lmmgwas.pipeline.analyses import PreparedAnalysis, prepare
from lmmgwas.pipeline.grm_cells import Cell, sum_cells
from lmmgwas.pipeline.group_shards import Stretch
from lmmgwas.pipeline.journal import Journal, digest, study_facts
from lmmgwas.pipeline.kept_fits import GENOME, KeptFits
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.parts import differences
from lmmgwas.pipeline.preflight import plan_study
from lmmgwas.pipeline.record import inputs_of
from lmmgwas.pipeline.relatedness import Relatedness
from lmmgwas.pipeline.scan_run import keep_nulls, scan_stretches
from lmmgwas.pipeline.study import Study
from lmmgwas.report.manifest import describe_file

NULLS = "nulls"
CELLS = "cells"


@dataclass(frozen=True, slots=True)
class SumCell:
    """Sum Z Z' over a chromosome, for a row tile."""

    cell: Cell


@dataclass(frozen=True, slots=True)
class FitGenome:
    """Fit the null models of an analysis under the GRM of the whole genome."""

    analysis: int


@dataclass(frozen=True, slots=True)
class FitGroup:
    """Fit the null models of an analysis without a LOCO group."""

    analysis: int
    batch: int


@dataclass(frozen=True, slots=True)
class ScanStretch:
    """Test some variants."""

    analysis: int
    stretch: Stretch


Task = SumCell | FitGenome | FitGroup | ScanStretch


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A file that is whole."""

    path: str
    sha256: str
    worker: str  # host and process
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """An error that doing the task again would meet again."""

    exit_code: int
    code: str
    message: str

    def as_error(self) -> LmmgwasError:
        """Return it as an error that ends the run as it would have ended the task."""
        error = LmmgwasError(self.code, self.message)
        error.exit_code = self.exit_code
        return error


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Which study the tasks are of, and where its files lie."""

    job: AssocJob
    key: str
    facts: dict[str, Any]
    folder: Path  # of the journal
    grm: Path | None  # prefix of the set that was built for the study, once it is there
    cwd: str  # what relative names of inputs are relative to


class StudyProcess:
    """A process that does tasks of one study, planned once."""

    def __init__(self, order: Order) -> None:
        run = order.job.run
        facts = {**study_facts(run, []), "inputs": order.facts["inputs"]}
        if digest(facts) != order.key:
            raise FileAccessError(
                "E124",
                "a worker is not set up as the process that asked it: "
                f"{differences(order.facts, facts)}; give the workers the same environment, and "
                "OPENBLAS_CORETYPE where the kernels differ",
            )
        if not order.folder.is_dir():
            raise FileAccessError(
                "E124",
                f"a worker does not see {order.folder}: the output, and --tmpdir, must lie on "
                "storage that all workers share",
            )
        self._log = Logbook(Path(os.devnull), verbosity=-1, strict=run.strict)
        self._study: Study = plan_study(order.job, self._log, None)
        _require_same_inputs(self._study, order)
        self._journal = Journal(order.folder, order.key, order.facts)
        self._relatedness: Relatedness | None = None
        self._prepared: dict[int, PreparedAnalysis] = {}

    def do(self, order: Order, task: Task) -> TaskDone:
        """Do a task."""
        said = len(self._log.warnings)
        with limited_blas(order.job.run.threads):
            path = self._do(order, task)
        me = f"{platform.node()}:{os.getpid()}"
        return TaskDone(str(path), checksum(path), me, tuple(self._log.warnings[said:]))

    def _do(self, order: Order, task: Task) -> Path:
        progress = Progress(self._log, "task", 1, quiet=True)
        if isinstance(task, SumCell):
            return self._sum(order, task.cell, progress)
        prepared = self._analysis(order, task.analysis)
        scan, fits = prepared.scan, self._fits(order, task.analysis)
        if not isinstance(task, FitGenome):
            scan.shards.look_for_whole()
        if isinstance(task, ScanStretch):
            scan_stretches(replace(scan, fits=fits), [task.stretch], progress, self._log)
            return scan.shards.path(task.stretch)
        if isinstance(task, FitGenome):
            keep_nulls(scan, fits, [], self._log)
            return fits.path(GENOME)
        keep_nulls(scan, fits, [scan.layout.batches[task.batch]], self._log)
        return fits.path(task.batch)

    def _sum(self, order: Order, cell: Cell, progress: Progress) -> Path:
        planned = self._study.grm
        if planned is None or planned.task is None:
            raise ValueError("there is no GRM to be summed")
        folder = order.folder / CELLS
        sum_cells(planned.task, [cell], folder, order.key, progress)
        return folder / cell.file_name

    def _fits(self, order: Order, analysis: int) -> KeptFits:
        given = order.job.nulls
        return KeptFits(order.folder / NULLS, analysis, order.key, make=True, given=given)

    def _analysis(self, order: Order, number: int) -> PreparedAnalysis:
        if self._relatedness is None:
            self._relatedness = self._open(order)
        if number not in self._prepared:
            self._prepared[number] = prepare(
                self._study, number, self._relatedness, self._journal, self._log
            )
        return self._prepared[number]

    def _open(self, order: Order) -> Relatedness | None:
        """The GRM, which the process that asks has looked at."""
        planned = self._study.grm
        if planned is None:
            return None
        threads = order.job.run.threads
        if order.grm is not None:
            grm, manifest = open_grm(order.grm)
            return Relatedness(grm, manifest, GrmPaths(order.grm), threads)
        grm, manifest = planned.given()
        return Relatedness(grm, manifest, planned.paths(), threads)


_SMALL = 1 << 26  # bytes of a file that each worker may read for its checksum


def _require_same_inputs(study: Study, order: Order) -> None:
    """Raise FileAccessError (E124) where a file is not what the process that asks has.

    Of large files, genotypes and GRM, that is seen by their sizes alone.
    """
    known = {found["path"]: found for found in order.facts["inputs"]}
    for path in dict.fromkeys(inputs_of(study)):
        expected = known.get(str(path))
        size = path.stat().st_size
        same = expected is not None and expected["bytes"] == size
        if same and expected is not None and size <= _SMALL:
            same = describe_file(path) == expected
        if not same:
            raise FileAccessError(
                "E124",
                f"a worker sees another {path} ({size:,} bytes) than the process that asked it: "
                "inputs must lie on storage that all workers share",
            )


def failure_of(error: LmmgwasError) -> TaskFailed:
    """Return an error as values."""
    problem = error.problems[0]
    where = f"{problem.where}: " if problem.where else ""
    return TaskFailed(error.exit_code, problem.code, where + problem.message)
