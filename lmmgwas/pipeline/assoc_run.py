"""`lmmgwas assoc`: from files to summary statistics, plots and lambda, step by step."""

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import lmmgwas
from lmmgwas.errors import NumericalError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.metadata import StudyDescription, TableFacts, format_sidecar, reasons_not_ssf
from lmmgwas.model.genotypes import Variants
from lmmgwas.model.grm import check_loco
from lmmgwas.model.scan import ScanKind
from lmmgwas.pipeline.condition import condition_covariates
from lmmgwas.pipeline.flow import describe_flow, sample_flow
from lmmgwas.pipeline.inputs import Genotypes, choose_variants, open_genotypes
from lmmgwas.pipeline.join import (
    read_study_tables,
)
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.pictures import draw_plots, suggestive_line
from lmmgwas.pipeline.plan import (
    PlannedAnalysis,
    TraitChoices,
    autosomal_groups,
    choose_whitener,
    plan_analyses,
    significance,
    trait_stems,
    warn_small_refit,
)
from lmmgwas.pipeline.record import manifest_of, say_trait
from lmmgwas.pipeline.relatedness import (
    Relatedness,
    opened,
    plan_relatedness,
    require_loco_possible,
)
from lmmgwas.pipeline.scan_run import run_scan
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.pipeline.tile_reader import CalibratedScan, ScanJob
from lmmgwas.pipeline.trait_output import GroupRow, Leads, TraitFiles, TraitOutput
from lmmgwas.report.manifest import (
    format_manifest,
)


def run_assoc(job: AssocJob, log: Logbook, outputs: OutputSet) -> None:
    """Run the study; every file appears at the end, or none."""
    study = _plan(job, log, outputs)
    if study.grm is None:
        results = _analyse(study, None, log, outputs)
    else:
        with opened(study.grm, job, log) as relatedness:
            results = _analyse(study, relatedness, log, outputs)
    _finish(study, results, log, outputs)


def _plan(job: AssocJob, log: Logbook, outputs: OutputSet) -> Study:
    """Read all inputs and refuse what can be refused before the work."""
    genotypes = open_genotypes(job.genotypes, log)
    tables = read_study_tables(job.tables, genotypes, log)
    if job.model.condition:
        extra = condition_covariates(genotypes, job.model.condition, log)
        tables = replace(tables, covariates=tables.covariates + extra)
    variants = choose_variants(genotypes.variants, job.test.choice, job.genotypes, log)
    outputs.require_free(_final_names(job, tuple(tables.traits), variants))
    log.begin()
    grm = plan_relatedness(job, genotypes, log)
    everyone = np.ones(len(genotypes.samples), dtype=np.bool_)
    in_grm = everyone if grm is None else grm.present
    flow = sample_flow(genotypes, tables, in_grm, needs_grm=grm is not None)
    log.say(describe_flow(flow, tables, needs_grm=grm is not None))
    choices = TraitChoices(job.model.rint, job.test.hwe_of_all)
    plans = plan_analyses(genotypes, tables, flow, grm, choices, log)
    _say_hwe(job, genotypes, plans, log)
    if grm is not None and job.model.loco and job.model.h2 != 0.0:
        require_loco_possible(grm, autosomal_groups(variants))
    _warn_unknown_sex(genotypes, variants, plans, log)
    if not job.model.loco:
        log.say("LOCO is off: each variant is tested against a GRM that contains it")
    # Of the whole file: a run of one chromosome must not get a line of its own.
    threshold = significance(
        job.model, len(genotypes.variants), is_human=job.genotypes.karyotype.is_human
    )
    return Study(job, genotypes, variants, tables, flow, plans, grm, threshold)


def _say_hwe(
    job: AssocJob, genotypes: Genotypes, plans: list[PlannedAnalysis], log: Logbook
) -> None:
    """On whom the Hardy-Weinberg test is made."""
    if job.test.filters.hwe == 0.0:
        return
    counted = sum(plan.samples.hwe_rows.size for plan in plans) // len(plans)
    who = "all analysed samples" if job.test.hwe_of_all else "founders"
    log.say(f"Hardy-Weinberg test on {who} ({counted:,} samples); on X on the women among them")
    if counted == 0:
        log.warn("W218", "no analysed sample is a founder: --hwe drops nothing; see --nonfounders")


def _warn_unknown_sex(
    genotypes: Genotypes, variants: Variants, plans: list[PlannedAnalysis], log: Logbook
) -> None:
    """On X it matters who is male."""
    analysed = np.unique(np.concatenate([plan.samples.rows for plan in plans]))
    unknown = int((genotypes.samples.sex[analysed] == 0).sum())
    if unknown and variants.haploid_x.any():
        log.warn(
            "W217",
            f"{unknown:,} analysed samples of unknown sex are treated as female on X: give the "
            "sex in column 5 of the .fam (1 male, 2 female)",
        )


def _files(job: AssocJob, stem: str, variants: Variants) -> TraitFiles:
    return TraitFiles(job.run, stem, int(variants.pos.max(initial=0)))


def _plot_names(job: AssocJob, files: TraitFiles) -> list[Path]:
    suffixes = [s for s, wanted in (("png", job.plots.png), ("pdf", job.plots.pdf)) if wanted]
    return [files.plot(kind, suffix) for kind in ("manhattan", "qq") for suffix in suffixes]


def _final_names(job: AssocJob, names: tuple[str, ...], variants: Variants) -> list[Path]:
    finals = [job.run.path(".samples.tsv"), job.run.path(".run.json")]
    for stem in trait_stems(names).values():
        files = _files(job, stem, variants)
        finals += files.data() + _plot_names(job, files)
    return finals


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
                    files = _files(job, stems[name], study.variants)
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
