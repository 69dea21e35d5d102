"""`lmmgwas assoc`: from files to summary statistics, plots and lambda, step by step."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import lmmgwas
from lmmgwas.errors import FileAccessError, NumericalError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.metadata import StudyDescription, TableFacts, format_sidecar, reasons_not_ssf
from lmmgwas.io.workspace import Workspace
from lmmgwas.model.fitting import WhitenerCost
from lmmgwas.model.grm import check_loco
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.scan import ScanKind
from lmmgwas.pipeline.conservation import check_grm_set, check_rows_on_disk
from lmmgwas.pipeline.group_shards import AnalysisShards
from lmmgwas.pipeline.journal import Journal, refuse_unfinished
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.pictures import draw_plots, suggestive_line
from lmmgwas.pipeline.plan import (
    PlannedAnalysis,
    autosomal_groups,
    choose_whitener,
    trait_stems,
    warn_small_refit,
)
from lmmgwas.pipeline.preflight import plan_study, trait_files
from lmmgwas.pipeline.record import describe_outputs, inputs_of, manifest_of, say_trait
from lmmgwas.pipeline.relatedness import Relatedness, opened
from lmmgwas.pipeline.scan_run import ScanOutcome, run_scan
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.pipeline.tile_reader import CalibratedScan, ScanJob
from lmmgwas.pipeline.trait_output import GroupRow, TraitOutput
from lmmgwas.pipeline.trait_rows import TraitRows
from lmmgwas.pipeline.variant_checks import warn_few_left
from lmmgwas.report.manifest import describe_inputs, format_manifest


def run_assoc(job: AssocJob, log: Logbook, outputs: OutputSet, workspace: Workspace) -> None:
    """Run the study, or go on with it.

    Finished groups are kept as they come; tables get their names when all are finished, and
    before any plot is begun; the manifest is the last.
    """
    refuse_unfinished(workspace, job.run)
    study = plan_study(job, log, outputs)
    journal = Journal.begin(workspace, outputs, job.run, describe_inputs(inputs_of(study)), log)
    if journal is None:
        return
    with (
        _relatedness(study, journal, log) as relatedness,
        _folder_for(journal.scratch(job.run, "spool")) as spool,
    ):
        results = _analyse(study, relatedness, journal, spool, log, outputs)
        _finish(study, results, journal, log, outputs, workspace)


@contextlib.contextmanager
def _folder_for(path: Path) -> Iterator[Path]:
    """A folder that is new, and gone afterwards."""
    shutil.rmtree(path, ignore_errors=True)
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        raise FileAccessError(
            "E111", f"cannot write into {path.parent}: {error.strerror}"
        ) from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _relatedness(study: Study, journal: Journal, log: Logbook) -> Iterator[Relatedness | None]:
    """The GRM of the run, where it has one."""
    if study.grm is None:
        yield None
        return
    with opened(study.grm, study.job, journal, log) as relatedness:
        if study.grm.task is None:
            check_grm_set(relatedness.grm, study.job.run.threads)
        if study.job.model.loco and study.job.model.h2 != 0.0:
            groups = autosomal_groups(study.variants)
            check_loco(relatedness.grm, groups)
            n_samples = max(plan.samples.n_samples for plan in study.plans)
            warn_few_left(relatedness.grm, groups, n_samples, log)
        yield relatedness


def _analyse(
    study: Study,
    relatedness: Relatedness | None,
    journal: Journal,
    spool: Path,
    log: Logbook,
    outputs: OutputSet,
) -> list[TraitResult]:
    """Run every analysis; write the tables of its traits under temporary names."""
    job = study.job
    stems = trait_stems(tuple(study.tables.traits))
    variants = study.variants
    n_groups = len(variants.groups())
    results = []
    for number, plan in enumerate(study.plans):
        shards = journal.analysis(number, variants.chromosomes, n_groups, log)
        rows = tuple(
            TraitRows(name, coding, calibrated=_calibrated(job) is not None)
            for name, coding in zip(plan.names, plan.case_control, strict=True)
        )
        outcome, cost = _scan(study, plan, rows, relatedness, shards, log)
        for k, trait in enumerate(rows):
            files = trait_files(job, stems[trait.name], variants)
            output = TraitOutput(trait, files, outputs, spool / f"{stems[trait.name]}.records")
            output.gather(outcome.groups, k, plan.samples.n_samples)
            check_rows_on_disk(outputs.temporary(files.table), output.n_tested)
            check_rows_on_disk(outputs.temporary(files.excluded), output.n_excluded)
            whole = _whole_row(study, output, outcome.whole[k], plan, relatedness)
            results.append(_write_tables(study, plan, output, whole, (outcome, cost), outputs))
            say_trait(study, results[-1], log)
    order = list(study.tables.traits)
    return sorted(results, key=lambda result: order.index(result.output.name))


def _scan(
    study: Study,
    plan: PlannedAnalysis,
    traits: tuple[TraitRows, ...],
    relatedness: Relatedness | None,
    shards: AnalysisShards,
    log: Logbook,
) -> tuple[ScanOutcome, WhitenerCost]:
    """Null models and scan of traits with the same samples."""
    job = study.job
    n_fits = len(autosomal_groups(study.variants)) if job.model.loco else 0
    kept = relatedness is not None and relatedness.has_kept(None, plan.samples.grm_rows)
    analysis, cost = choose_whitener(
        plan, job.model, study.variants, n_fits=n_fits, kept=kept, threads=job.run.threads
    )
    warn_small_refit(plan, job.model, log)
    log.say(
        f"Analysis of {', '.join(plan.names)}: {plan.samples.n_samples:,} samples, covariates "
        f"{', '.join(plan.design.names)}; test {analysis.test}, variances {analysis.variance}, "
        f"whitener {analysis.kind}"
    )
    scan = ScanJob(
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
        _calibrated(job),
    )
    progress = Progress(log, "scan", len(study.variants), quiet=job.run.verbosity == 0)
    outcome = run_scan(scan, traits, shards, progress, log)
    progress.close()
    if outcome.n_male_heterozygotes:
        log.warn(
            "W216",
            f"{outcome.n_male_heterozygotes:,} heterozygous calls of males on X were set missing",
        )
    return outcome, cost


def _whole_row(
    study: Study,
    output: TraitOutput,
    null: NullModel,
    plan: PlannedAnalysis,
    relatedness: Relatedness | None,
) -> GroupRow:
    """Write the null table; return its last row."""
    used = relatedness if study.job.model.h2 != 0.0 else None
    n_grm = used.grm.whole.n_variants or None if used else None
    return output.finish_null(null, n_grm, plan.samples.n_samples)


def _write_tables(
    study: Study,
    plan: PlannedAnalysis,
    output: TraitOutput,
    whole: GroupRow,
    found: tuple[ScanOutcome, WhitenerCost],
    outputs: OutputSet,
) -> TraitResult:
    """Check what was gathered; write leads and metadata."""
    _check_conservation(output, len(study.variants))
    leads = output.write_leads(study.variants, study.threshold)
    tested = study.variants.take(output.records()["row"])
    not_ssf = reasons_not_ssf(tested, is_human=study.is_human)
    _write_sidecar(study, output, plan, outputs, valid=not not_ssf)
    outcome, cost = found
    return TraitResult(output, plan, whole, leads, cost, outcome, not_ssf)


def _calibrated(job: AssocJob) -> CalibratedScan | None:
    """What `--scan calibrated` asks for; ordinary regression is exact and fast as it is."""
    if job.model.scan is ScanKind.EXACT or job.model.h2 == 0.0:
        return None
    return CalibratedScan(job.model.exact_below, job.model.seed)


def _check_conservation(trait: TraitOutput, n_selected: int) -> None:
    """Variants selected = rows written + excluded by reason."""
    if trait.n_tested + trait.n_excluded != n_selected:
        raise NumericalError(
            "E902",
            f"trait {trait.name}: {trait.n_tested} tested and {trait.n_excluded} excluded variants "
            f"do not add up to {n_selected}; please report this with the log",
        )


def _write_sidecar(
    study: Study, trait: TraitOutput, plan: PlannedAnalysis, outputs: OutputSet, *, valid: bool
) -> None:
    facts = TableFacts(
        trait=trait.name,
        n_samples=plan.samples.n_samples,
        covariates=plan.design.names[1:],
        maf_limit=study.job.test.filters.maf,
        software=f"lmmgwas {lmmgwas.__version__}",
        valid=valid,
    )
    given = study.job.description
    about = StudyDescription(given.genome_build, given.ancestry, given.trait_description)
    table = outputs.temporary(trait.files.table)
    text = format_sidecar(table, trait.files.table.name, facts, about)
    outputs.write_text(trait.files.sidecar, text)


def _finish(
    study: Study,
    results: Sequence[TraitResult],
    journal: Journal,
    log: Logbook,
    outputs: OutputSet,
    workspace: Workspace,
) -> None:
    """Name the tables, then draw, then name plots and manifest."""
    samples = study.job.run.path(".samples.tsv")
    frame = study.flow.table.to_csv(sep="\t", index=False, lineterminator="\n")
    outputs.write_text(samples, frame)
    workspace.require_lock()
    rows = {result.output.files.table: result.output.n_tested for result in results}
    written = describe_outputs(outputs, rows)
    outputs.commit()
    for result in results:
        _draw(study, result, log, outputs)
    written += describe_outputs(outputs)
    manifest = manifest_of(study, results, journal.inputs, log)
    final = study.job.run.path(".run.json")
    content = {**manifest, "outputs": written, "study": journal.key}
    outputs.write_text(final, format_manifest(content))
    workspace.require_lock()
    outputs.commit()
    log.say(f"Results: {study.job.run.out}.*   ({log.seconds():.1f} s)")


def _draw(study: Study, result: TraitResult, log: Logbook, outputs: OutputSet) -> None:
    suggestive = suggestive_line(study.threshold, len(study.variants), is_human=study.is_human)
    lines = (study.threshold, suggestive)
    trait, plots = result.output, study.job.plots
    with log.stage(f"plots of {trait.name}"):
        draw_plots(trait, study.variants, result.leads, result.whole, lines, plots, outputs, log)
