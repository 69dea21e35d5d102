"""`lmmgwas assoc`: from files to summary statistics, plots and lambda, step by step."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import lmmgwas
from lmmgwas.errors import NumericalError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.metadata import StudyDescription, TableFacts, format_sidecar, reasons_not_ssf
from lmmgwas.model.grm import check_loco
from lmmgwas.model.scan import ScanKind
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
from lmmgwas.pipeline.record import manifest_of, say_trait
from lmmgwas.pipeline.relatedness import (
    Relatedness,
    opened,
)
from lmmgwas.pipeline.scan_run import run_scan
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.pipeline.tile_reader import CalibratedScan, ScanJob
from lmmgwas.pipeline.trait_output import GroupRow, Leads, TraitOutput
from lmmgwas.report.manifest import (
    format_manifest,
)


def run_assoc(job: AssocJob, log: Logbook, outputs: OutputSet) -> None:
    """Run the study; every file appears at the end, or none."""
    study = plan_study(job, log, outputs)
    if study.grm is None:
        results = _analyse(study, None, log, outputs)
    else:
        with opened(study.grm, job, log) as relatedness:
            results = _analyse(study, relatedness, log, outputs)
    _finish(study, results, log, outputs)


def _analyse(
    study: Study, relatedness: Relatedness | None, log: Logbook, outputs: OutputSet
) -> list[TraitResult]:
    """Run every analysis; finish the tables of its traits."""
    job = study.job
    if relatedness is not None and job.model.loco and job.model.h2 != 0.0:
        check_loco(relatedness.grm, autosomal_groups(study.variants))
    stems = trait_stems(tuple(study.tables.traits))
    folder = job.run.tmpdir or job.run.out.parent
    results = []
    with tempfile.TemporaryDirectory(prefix=f".{job.run.out.name}.spool.", dir=folder) as spool:
        for plan in study.plans:
            with contextlib.ExitStack() as opened_files:
                traits = []
                calibrated = _calibrated(job) is not None
                for name, coding in zip(plan.names, plan.case_control, strict=True):
                    files = trait_files(job, stems[name], study.variants)
                    records = Path(spool) / f"{stems[name]}.records"
                    traits.append(
                        TraitOutput(name, files, outputs, records, coding, calibrated=calibrated)
                    )
                    opened_files.callback(traits[-1].close)
                results += _analyse_one(study, plan, tuple(traits), relatedness, log, outputs)
    order = list(study.tables.traits)
    return sorted(results, key=lambda result: order.index(result.output.name))


def _analyse_one(
    study: Study,
    plan: PlannedAnalysis,
    traits: tuple[TraitOutput, ...],
    relatedness: Relatedness | None,
    log: Logbook,
    outputs: OutputSet,
) -> list[TraitResult]:
    """Null models and scan of traits with the same samples, then their tables and plots."""
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
    outcome = run_scan(scan, traits, progress, log)
    progress.close()
    if outcome.n_male_heterozygotes:
        log.warn(
            "W216",
            f"{outcome.n_male_heterozygotes:,} heterozygous calls of males on X were set missing",
        )
    used = relatedness if job.model.h2 != 0.0 else None
    n_grm = used.grm.whole.n_variants or None if used else None
    results = []
    for k, trait in enumerate(traits):
        _check_conservation(trait, len(study.variants))
        trait.finish_tables()
        null = outcome.whole[k].null
        whole = trait.finish_null(null, n_grm, plan.samples.n_samples)
        leads = trait.write_leads(study.variants, study.threshold)
        tested = study.variants.take(trait.records()["row"])
        not_ssf = reasons_not_ssf(tested, is_human=study.is_human)
        _write_sidecar(study, trait, plan, outputs, valid=not not_ssf)
        _draw(study, trait, leads, whole, log, outputs)
        result = TraitResult(trait, plan, whole, leads, cost, outcome, not_ssf)
        say_trait(study, result, log)
        results.append(result)
    return results


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


def _draw(
    study: Study,
    trait: TraitOutput,
    leads: Leads,
    whole: GroupRow,
    log: Logbook,
    outputs: OutputSet,
) -> None:
    suggestive = suggestive_line(study.threshold, len(study.variants), is_human=study.is_human)
    lines = (study.threshold, suggestive)
    with log.stage(f"plots of {trait.name}"):
        draw_plots(trait, study.variants, leads, whole, lines, study.job.plots, outputs, log)


def _finish(study: Study, results: Sequence[TraitResult], log: Logbook, outputs: OutputSet) -> None:
    """Samples table and manifest, then everything gets its name."""
    samples = study.job.run.path(".samples.tsv")
    frame = study.flow.table.to_csv(sep="\t", index=False, lineterminator="\n")
    outputs.write_text(samples, frame)
    manifest = study.job.run.path(".run.json")
    outputs.write_text(manifest, format_manifest(manifest_of(study, results, log, outputs)))
    outputs.commit()
    log.say(f"Results: {study.job.run.out}.*   ({log.seconds():.1f} s)")
