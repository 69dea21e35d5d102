"""`lmmgwas check`: all that `assoc` would refuse, and what it would take; nothing is written.

The planning is that of `assoc` itself, so that both refuse the same things with the same words.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from lmmgwas.errors import FileAccessError, UsageError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.workspace import Workspace
from lmmgwas.model.duration import UNCERTAINTY, Duration, run_duration
from lmmgwas.model.run_size import RunSize
from lmmgwas.numerics.speed import sgemm_rate
from lmmgwas.pipeline.disk_check import DiskNeed, free_bytes
from lmmgwas.pipeline.journal import refuse_unfinished
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.memory_check import gibibytes, limits_of, room_of, tightest
from lmmgwas.pipeline.options import AssocJob, RunOptions
from lmmgwas.pipeline.plan import autosomal_groups
from lmmgwas.pipeline.preflight import plan_study, size_of
from lmmgwas.pipeline.study import Study
from lmmgwas.pipeline.study_size import study_disk

_GIB, _MIB = 1 << 30, 1 << 20
_MEMORY_MARGIN = 1.15
"""Of a batch job over the estimate: mapped files are counted there, too, until they are dropped."""

_SHOWN_NAMES = 8
_NAME_MAX = 255 - 16  # less what a temporary name adds
_LEAST_MINUTES, _STEP_MINUTES = 10, 5


class NamesOnly(OutputSet):
    """Output that is looked for and never written, not even to try."""

    def __init__(self, run: RunOptions, *, named: bool) -> None:
        super().__init__(overwrite=run.overwrite, resuming=run.resume)
        self._named = named

    def require_free(self, finals: list[Path]) -> None:
        """Raise, as for a run, where a name is taken or cannot be written; without --out never."""
        if not self._named:
            return
        for folder in dict.fromkeys(path.parent for path in finals):
            if not folder.is_dir():
                raise FileAccessError(
                    "E111", f"the output folder {folder} does not exist: create it, or change --out"
                )
            if not os.access(folder, os.W_OK | os.X_OK):
                raise FileAccessError(
                    "E111", f"cannot write into the output folder {folder}: permission denied"
                )
        longest = max(len(os.fsencode(path.name)) for path in finals)
        if longest > _NAME_MAX:
            raise UsageError(
                "E010", f"a file name would have {longest} bytes: use a shorter --out or trait name"
            )
        self._taken = [path for path in finals if path.exists() or path.is_symlink()]
        if not self._resuming:
            self.require_free_of_others()


def run_check(job: AssocJob, command: Sequence[str], log: Logbook, *, named: bool) -> str:
    """Plan the study, say what it will be and take; return a script for Slurm.

    `command` is the line that runs the study; `named` says whether an --out was given.
    """
    outputs = NamesOnly(job.run, named=named)
    if named:
        refuse_unfinished(Workspace(job.run.out), job.run)
    study = plan_study(job, log, outputs)
    size = size_of(study)
    rate = sgemm_rate()
    taken = run_duration(size.grm, size.analyses, rate, job.run.threads)
    disk = study_disk(job, study.variants, len(study.tables.traits), size)
    rows = [*_study_rows(study), *_need_rows(size, taken, rate, disk, job.run)]
    width = max(len(name) for name, _ in rows)
    log.say("Check")
    for name, text in rows:
        log.say(f"  {name:<{width}}  {text}")
    log.say("Nothing stands in the way of this run; nothing was written.")
    return _slurm(size, taken, job.run.threads, command)


def _study_rows(study: Study) -> list[tuple[str, str]]:
    """What would be analysed."""
    analysed = [
        f"{name} ({plan.samples.n_samples:,})" for plan in study.plans for name in plan.names
    ]
    designs = list(dict.fromkeys(", ".join(plan.design.names) for plan in study.plans))
    n_any = len({row for plan in study.plans for row in plan.samples.rows.tolist()})
    return [
        ("samples", f"{n_any:,} analysed of {len(study.genotypes.samples):,} in the .fam"),
        ("traits (samples)", _some(analysed)),
        ("covariates", "; or ".join(designs)),
        ("variants", f"{len(study.variants):,} selected of {len(study.genotypes.variants):,}"),
        ("LOCO groups", _loco(study)),
        ("GRM", _grm(study)),
        ("significance", f"p below {study.threshold:g}"),
    ]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_NAMES])
    hidden = len(names) - _SHOWN_NAMES
    return f"{shown} and {hidden:,} more" if hidden > 0 else shown


def _loco(study: Study) -> str:
    groups = autosomal_groups(study.variants)
    if not study.job.model.loco:
        return "none is left out (--no-loco)"
    return f"{len(groups)}: {_some(groups)}" if study.grm is not None else "none: no GRM"


def _grm(study: Study) -> str:
    """Where the GRM comes from."""
    grm = study.grm
    if grm is None:
        return "none (--h2 0)"
    if grm.task is None:
        return f"given, {grm.prefix} ({int((grm.row_of >= 0).sum()):,} samples of the .fam)"
    task = grm.task
    return (
        f"built in the run: up to {len(task.variants):,} autosomal variants, "
        f"{task.genotypes.kept.size:,} samples"
    )


def _need_rows(
    size: RunSize, taken: Duration, rate: float, disk: Sequence[DiskNeed], run: RunOptions
) -> list[tuple[str, str]]:
    """What the run would take."""
    estimate = size.estimate()
    least = tightest(limits_of(run), size, run.threads)
    had = (
        "no limit is known"
        if least is None
        else f"{gibibytes(room_of(least, size, run.threads))} can be had, by {least.source}"
    )
    parts = ", ".join(
        f"{name} {_clock(seconds)}"
        for name, seconds in (
            ("GRM", taken.grm),
            ("null models", taken.fits),
            ("tests", taken.tests),
            ("the rest", taken.rest),
        )
        if seconds >= 1.0
    )
    rows = [
        ("memory", f"about {gibibytes(estimate.peak)} ({estimate.largest.name}); {had}"),
        (
            "time",
            f"about {_clock(taken.total)}, {_clock(taken.total / UNCERTAINTY)} to "
            f"{_clock(taken.total * UNCERTAINTY)} ({parts}); at {rate / 1e9:.0f} GFLOP/s with "
            f"{run.threads} threads",
        ),
    ]
    for folder in dict.fromkeys(need.folder for need in disk):
        own = [need for need in disk if need.folder == folder and need.size]
        listed = ", ".join(f"{gibibytes(need.size)} {need.what}" for need in own)
        total = sum(need.size for need in own)
        rows.append(
            (
                "disk",
                f"about {gibibytes(total)} in {folder} ({listed}); "
                f"{gibibytes(free_bytes(folder))} are free",
            )
        )
    return rows


def _clock(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    minutes = seconds / 60.0
    return f"{minutes:.0f} min" if minutes < 100.0 else f"{minutes / 60.0:.1f} h"


def _slurm(size: RunSize, taken: Duration, threads: int, command: Sequence[str]) -> str:
    """A batch script: what the run should be given, and its command."""
    wanted = _MEMORY_MARGIN * size.estimate().peak
    steps = taken.total * UNCERTAINTY / 60.0 / _STEP_MINUTES
    minutes = max(_LEAST_MINUTES, _STEP_MINUTES * math.ceil(steps))
    days, rest = divmod(minutes, 24 * 60)
    clock = f"{rest // 60:02d}:{rest % 60:02d}:00"
    memory = f"{math.ceil(wanted / _GIB)}G"
    return (
        "#!/bin/sh\n"
        f"#SBATCH --cpus-per-task={threads} --mem={memory} "
        f"--time={f'{days}-' if days else ''}{clock}\n"
        f"{' '.join(command)}\n"
    )
