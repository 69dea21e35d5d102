"""What a study's analyses are made of: a GRM, and for each set of traits a scan to be run."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from lmmgwas.errors import MismatchError
from lmmgwas.model.grm import check_loco
from lmmgwas.model.scan import ScanKind
from lmmgwas.model.whitener_cost import WhitenerCost
from lmmgwas.pipeline.conservation import check_grm_set
from lmmgwas.pipeline.grm_run import Build
from lmmgwas.pipeline.journal import Journal
from lmmgwas.pipeline.kept_fits import KeptFits
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.plan import (
    PlannedAnalysis,
    autosomal_groups,
    choose_whitener,
    warn_small_refit,
)
from lmmgwas.pipeline.relatedness import Relatedness, opened
from lmmgwas.pipeline.scan_plan import Layout
from lmmgwas.pipeline.scan_run import Scan
from lmmgwas.pipeline.study import Study
from lmmgwas.pipeline.study_size import has_kept
from lmmgwas.pipeline.tile_reader import CalibratedScan, ScanJob
from lmmgwas.pipeline.trait_rows import TraitRows
from lmmgwas.pipeline.variant_checks import warn_few_left


@dataclass(frozen=True, slots=True, eq=False)
class PreparedAnalysis:
    """Traits with the same samples, ready to be scanned."""

    plan: PlannedAnalysis
    scan: Scan
    cost: WhitenerCost


@contextlib.contextmanager
def relatedness_of(
    study: Study, journal: Journal, log: Logbook, build: Build | None = None
) -> Iterator[Relatedness | None]:
    """The GRM of the run, where it has one: built, or opened and looked at.

    That a given set adds up is asked once: of many parts the first one looks. `build` may have
    the sums made elsewhere.
    """
    if study.grm is None:
        yield None
        return
    share = study.job.run.share
    with opened(study.grm, study.job, journal, log, build) as relatedness:
        if study.grm.task is None and (share is None or share.part == 1):
            check_grm_set(relatedness.grm, study.job.run.threads)
        if study.job.model.loco and study.job.model.h2 != 0.0:
            groups = autosomal_groups(study.variants)
            check_loco(relatedness.grm, groups)
            n_samples = max(plan.samples.n_samples for plan in study.plans)
            warn_few_left(relatedness.grm, groups, n_samples, log)
        yield relatedness


def prepare(
    study: Study, number: int, relatedness: Relatedness | None, journal: Journal, log: Logbook
) -> PreparedAnalysis:
    """Return analysis `number` of a study, with the shards that are finished."""
    job, plan = study.job, study.plans[number]
    n_fits = len(autosomal_groups(study.variants)) if job.model.loco else 0
    kept = has_kept(study.grm, plan)
    analysis, cost = choose_whitener(
        plan, job.model, study.variants, n_fits=n_fits, kept=kept, threads=job.run.threads
    )
    warn_small_refit(plan, job.model, log)
    log.say(
        f"Analysis of {', '.join(plan.names)}: {plan.samples.n_samples:,} samples, covariates "
        f"{', '.join(plan.design.names)}; test {analysis.test}, variances {analysis.variance}, "
        f"whitener {analysis.kind}"
    )
    scan_job = ScanJob(
        study.genotypes.source,
        study.variants,
        plan.samples,
        analysis,
        job.test.filters,
        relatedness,
        job.model.loco,
        job.test.include_nonautosomal,
        job.run.block_size,
        job.run.threads,
        calibrated_scan(job),
    )
    traits = tuple(
        TraitRows(name, coding, calibrated=scan_job.calibrated is not None)
        for name, coding in zip(plan.names, plan.case_control, strict=True)
    )
    shards = journal.analysis(number, study.variants.chromosomes, log)
    layout = Layout(scan_job)
    finished = sum(not shards.gaps(stretch) for stretch in layout.everything())
    if finished and job.run.resume:
        log.say(f"Resumed: {finished} of {len(layout.groups)} groups are finished")
    fits = None if job.nulls is None else KeptFits(job.nulls, number, journal.key)
    return PreparedAnalysis(plan, Scan(scan_job, traits, shards, layout, fits), cost)


def require_finished(scan: Scan) -> None:
    """Raise MismatchError (E123) where variants of an analysis are in no shard."""
    layout = scan.layout
    gaps = [gap for stretch in layout.everything() for gap in scan.shards.gaps(stretch)]
    if gaps:
        shown = ", ".join(
            f"{gap.first + 1} to {gap.last} of {layout.groups[gap.place]}" for gap in gaps[:3]
        )
        raise MismatchError(
            "E123",
            f"no part holds variants {shown}: run the parts again with --overwrite",
        )


def calibrated_scan(job: AssocJob) -> CalibratedScan | None:
    """Return what `--scan calibrated` asks for; ordinary regression is exact and fast as it is."""
    if job.model.scan is ScanKind.EXACT or job.model.h2 == 0.0:
        return None
    return CalibratedScan(job.model.exact_below, job.model.seed)
