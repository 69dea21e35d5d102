"""`lmmgwas assoc`: from files to summary statistics, plots and lambda, step by step.

One process does all of it, or a part of the scan (--part), or fits null models for others to
scan with (--save-nulls).
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from lmmgwas.errors import FileAccessError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.workspace import Workspace
from lmmgwas.io.writing import remove_tree
from lmmgwas.pipeline.analyses import PreparedAnalysis, prepare, relatedness_of
from lmmgwas.pipeline.checksums import begun_checksums
from lmmgwas.pipeline.cluster import connected
from lmmgwas.pipeline.cluster_run import build_on, order_of, scan_on, with_grm
from lmmgwas.pipeline.journal import Journal, refuse_unfinished
from lmmgwas.pipeline.kept_fits import KeptFits
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import AssocJob, Share
from lmmgwas.pipeline.parts import Said, seal_part
from lmmgwas.pipeline.preflight import plan_study
from lmmgwas.pipeline.record import inputs_of
from lmmgwas.pipeline.relatedness import Relatedness
from lmmgwas.pipeline.results import finish, gather_traits
from lmmgwas.pipeline.scan_run import ScanOutcome, keep_nulls, outcome_of, scan_stretches
from lmmgwas.pipeline.study import Study, TraitResult


def run_assoc(job: AssocJob, log: Logbook, outputs: OutputSet, workspace: Workspace) -> None:
    """Run the study or a part of it, or go on with it.

    Finished stretches are kept as they come; tables get their names when all are finished, and
    before any plot is begun; the manifest is the last.
    """
    refuse_unfinished(workspace, job.run)
    with begun_checksums(job.genotypes.files) as checksums:
        study = plan_study(job, log, outputs)
        inputs = checksums.describe(inputs_of(study))
    journal = Journal.begin(workspace, outputs, job.run, inputs, log)
    if journal is None:
        return
    if job.run.cluster is not None:
        _run_on_cluster(study, journal, log, outputs, workspace)
        return
    with relatedness_of(study, journal, log) as relatedness:
        if job.save_nulls is not None:
            _save_nulls(study, relatedness, journal, log)
            return
        if job.run.share is None:
            with folder_for(journal.scratch(job.run, "spool")) as spool:
                results = analyse(study, relatedness, journal, spool, log, outputs)
                finish(study, results, journal, log, outputs, workspace)
            return
        said = Said.so_far(log)
        _scan_part(study, relatedness, journal, job.run.share, log)
    workspace.require_lock()
    seal_part(
        job.run,
        journal.folder,
        "assoc",
        (journal.key, journal.facts),
        said,
        overwrite=outputs.overwrite,
    )
    log.say(f"Part: {job.run.out}/   ({log.seconds():.1f} s)")


def _run_on_cluster(
    study: Study, journal: Journal, log: Logbook, outputs: OutputSet, workspace: Workspace
) -> None:
    """Run the study with its GRM, null models and tests computed by the workers of a cluster."""
    run, order = study.job.run, order_of(study.job, journal)
    if run.cluster is None:
        raise ValueError("no cluster")
    with (
        folder_for(journal.scratch(run, "cluster")) as scratch,
        connected(run.cluster, scratch, log) as cluster,
        relatedness_of(study, journal, log, build_on(cluster, order)) as relatedness,
        folder_for(journal.scratch(run, "spool")) as spool,
    ):
        order = with_grm(order, relatedness, study)

        def compute(number: int, prepared: PreparedAnalysis) -> None:
            scan_on(cluster, order, number, prepared, log)

        results = analyse(study, relatedness, journal, spool, log, outputs, compute)
        finish(study, results, journal, log, outputs, workspace)


@contextlib.contextmanager
def folder_for(path: Path) -> Iterator[Path]:
    """A folder that is new, and gone afterwards."""
    remove_tree(path)
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        raise FileAccessError(
            "E111", f"cannot write into {path.parent}: {error.strerror}"
        ) from error
    try:
        yield path
    finally:
        remove_tree(path)


def analyse(
    study: Study,
    relatedness: Relatedness | None,
    journal: Journal,
    spool: Path,
    log: Logbook,
    outputs: OutputSet,
    before: Callable[[int, PreparedAnalysis], None] | None = None,
) -> list[TraitResult]:
    """Run every analysis, as far as it is not finished; write the tables of its traits.

    `before` each analysis may finish it in another way.
    """
    results = []
    for number, plan in enumerate(study.plans):
        prepared = prepare(study, number, relatedness, journal, log)
        scan = prepared.scan
        if before is not None:
            before(number, prepared)
        progress = Progress(log, "scan", len(study.variants), quiet=study.job.run.verbosity == 0)
        scan_stretches(scan, scan.layout.everything(), progress, log)
        outcome = outcome_of(scan, log)
        progress.close()
        found = outcome, prepared.cost
        _warn_of_males(outcome, log)
        results += gather_traits(study, plan, scan.traits, found, spool, outputs, log)
    order = list(study.tables.traits)
    return sorted(results, key=lambda result: order.index(result.output.name))


def _warn_of_males(outcome: ScanOutcome, log: Logbook) -> None:
    if outcome.n_male_heterozygotes:
        log.warn(
            "W216",
            f"{outcome.n_male_heterozygotes:,} heterozygous calls of males on X were set missing",
        )


def _scan_part(
    study: Study, relatedness: Relatedness | None, journal: Journal, share: Share, log: Logbook
) -> None:
    """Scan a share of every analysis."""
    for number in range(len(study.plans)):
        scan = prepare(study, number, relatedness, journal, log).scan
        wanted = scan.layout.share(share)
        n_variants = sum(stretch.last - stretch.first for stretch in wanted)
        log.say(
            f"Part {share.part} of {share.n_parts}: {n_variants:,} of {len(study.variants):,} "
            "variants"
        )
        progress = Progress(log, "scan", n_variants, quiet=study.job.run.verbosity == 0)
        scan_stretches(scan, wanted, progress, log)
        progress.close()


def _save_nulls(
    study: Study, relatedness: Relatedness | None, journal: Journal, log: Logbook
) -> None:
    """Fit null models, all of them or a share of the groups, and keep them."""
    job = study.job
    if job.save_nulls is None:
        return
    for number in range(len(study.plans)):
        prepared = prepare(study, number, relatedness, journal, log)
        fits = KeptFits(job.save_nulls, number, journal.key, make=True)
        if job.run.overwrite:
            fits.drop_others()
        batches = list(prepared.scan.layout.batches)
        if job.nulls_of_genome:
            batches = []
        elif job.run.share is not None:
            batches = batches[job.run.share.part - 1 :: job.run.share.n_parts]
        keep_nulls(prepared.scan, fits, batches, log)
    log.say(f"Null models: {job.save_nulls}/   ({log.seconds():.1f} s)")
