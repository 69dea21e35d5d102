"""`lmmgwas assoc`: from files to summary statistics, plots and lambda, step by step."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lmmgwas
from lmmgwas.errors import NumericalError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.metadata import StudyDescription, TableFacts, format_sidecar, reasons_not_ssf
from lmmgwas.io.sumstats import marker_ids, p_text
from lmmgwas.model.fitting import WhitenerCost
from lmmgwas.model.genotypes import REASONS, Variants
from lmmgwas.model.grm import check_loco
from lmmgwas.numerics.threads import blas_libraries
from lmmgwas.pipeline.inputs import Genotypes, choose_variants, open_genotypes
from lmmgwas.pipeline.join import (
    SampleFlow,
    StudyTables,
    describe_flow,
    read_study_tables,
    sample_flow,
)
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.pictures import draw_plots, suggestive_line
from lmmgwas.pipeline.plan import (
    PlannedAnalysis,
    autosomal_groups,
    choose_whitener,
    plan_analyses,
    significance,
    trait_stems,
)
from lmmgwas.pipeline.relatedness import (
    PlannedGrm,
    Relatedness,
    opened,
    plan_relatedness,
    require_two_groups,
)
from lmmgwas.pipeline.scan_run import ScanJob, ScanOutcome, run_scan
from lmmgwas.pipeline.trait_output import GroupRow, Leads, TraitFiles, TraitOutput
from lmmgwas.report.manifest import (
    describe_file,
    describe_inputs,
    describe_software,
    format_manifest,
)

_SHOWN_LEADS = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Study:
    """What all steps after the planning need."""

    job: AssocJob
    genotypes: Genotypes
    variants: Variants  # selected for testing, in output order
    tables: StudyTables
    flow: SampleFlow
    plans: list[PlannedAnalysis]
    grm: PlannedGrm | None
    threshold: float

    @property
    def is_human(self) -> bool:
        return self.job.genotypes.karyotype.is_human


@dataclass(frozen=True, slots=True, eq=False)
class _TraitResult:
    """One finished trait, for the summary and the manifest."""

    output: TraitOutput
    plan: PlannedAnalysis
    whole: GroupRow
    leads: Leads
    cost: WhitenerCost
    outcome: ScanOutcome
    not_ssf: list[str]  # why the table is not valid GWAS-SSF; empty when it is


def run_assoc(job: AssocJob, log: Logbook, outputs: OutputSet) -> None:
    """Run the study; every file appears at the end, or none."""
    study = _plan(job, log, outputs)
    if study.grm is None:
        results = _analyse(study, None, log, outputs)
    else:
        with opened(study.grm, job, log) as relatedness:
            results = _analyse(study, relatedness, log, outputs)
    _finish(study, results, log, outputs)


def _plan(job: AssocJob, log: Logbook, outputs: OutputSet) -> _Study:
    """Read all inputs and refuse what can be refused before the work."""
    genotypes = open_genotypes(job.genotypes, job.run.threads, log)
    tables = read_study_tables(job.tables, genotypes, log)
    variants = choose_variants(genotypes.variants, job.test.choice, job.genotypes, log)
    outputs.require_free(_final_names(job, tuple(tables.traits), variants))
    grm = plan_relatedness(job, genotypes, log)
    kept = genotypes.samples.sex >= 0  # everyone, where no GRM limits the samples
    flow = sample_flow(genotypes, tables, grm.present if grm else kept, needs_grm=grm is not None)
    log.say(describe_flow(flow, tables, needs_grm=grm is not None))
    plans = plan_analyses(genotypes, tables, flow, grm, job.model.rint, log)
    if grm is not None:
        require_two_groups(grm, loco=job.model.loco)
    if not job.model.loco:
        log.say("LOCO is off: each variant is tested against a GRM that contains it")
    threshold = significance(job.model, len(variants), is_human=job.genotypes.karyotype.is_human)
    return _Study(job, genotypes, variants, tables, flow, plans, grm, threshold)


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
    study: _Study, relatedness: Relatedness | None, log: Logbook, outputs: OutputSet
) -> list[_TraitResult]:
    """Run every analysis; finish the tables of its traits."""
    job = study.job
    if relatedness is not None and job.model.loco:
        check_loco(relatedness.grm, autosomal_groups(study.variants))
    stems = trait_stems(tuple(study.tables.traits))
    folder = job.run.tmpdir or job.run.out.parent
    results = []
    with tempfile.TemporaryDirectory(prefix=f".{job.run.out.name}.spool.", dir=folder) as spool:
        for plan in study.plans:
            traits = tuple(
                TraitOutput(
                    name,
                    _files(job, stems[name], study.variants),
                    outputs,
                    Path(spool) / f"{stems[name]}.records",
                )
                for name in plan.names
            )
            results += _analyse_one(study, plan, traits, relatedness, log, outputs)
    order = list(study.tables.traits)
    return sorted(results, key=lambda result: order.index(result.output.name))


def _analyse_one(
    study: _Study,
    plan: PlannedAnalysis,
    traits: tuple[TraitOutput, ...],
    relatedness: Relatedness | None,
    log: Logbook,
    outputs: OutputSet,
) -> list[_TraitResult]:
    """Null models and scan of traits with the same samples, then their tables and plots."""
    job = study.job
    n_fits = len(autosomal_groups(study.variants)) if job.model.loco else 0
    kept = relatedness is not None and relatedness.has_kept(None, plan.samples.grm_rows)
    analysis, cost = choose_whitener(plan, job.model, study.variants, n_fits=n_fits, kept=kept)
    log.say(
        f"Analysis of {', '.join(plan.names)}: {plan.samples.n_samples:,} samples, covariates "
        f"{', '.join(plan.design.names)}; whitener {analysis.kind}"
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
    )
    progress = Progress(log, "scan", len(study.variants), quiet=job.run.verbosity == 0)
    outcome = run_scan(scan, traits, progress, log)
    progress.close()
    if outcome.n_male_heterozygotes:
        log.warn(
            "W216",
            f"{outcome.n_male_heterozygotes:,} heterozygous calls of males on X were set missing",
        )
    n_grm = relatedness.grm.whole.n_variants or None if relatedness else None
    results = []
    for k, trait in enumerate(traits):
        _check_conservation(trait, len(study.variants))
        trait.finish_tables()
        null = outcome.whole.traits[k].null
        whole = trait.finish_null(null, n_grm, plan.samples.n_samples)
        leads = trait.write_leads(study.variants, study.threshold)
        tested = study.variants.take(trait.records()["row"])
        not_ssf = reasons_not_ssf(tested, is_human=study.is_human)
        _write_sidecar(study, trait, plan, outputs, valid=not not_ssf)
        _draw(study, trait, leads, whole, log, outputs)
        result = _TraitResult(trait, plan, whole, leads, cost, outcome, not_ssf)
        _say_trait(study, result, log)
        results.append(result)
    return results


def _check_conservation(trait: TraitOutput, n_selected: int) -> None:
    """Variants selected = rows written + excluded by reason."""
    if trait.n_tested + trait.n_excluded != n_selected:
        raise NumericalError(
            "E902",
            f"trait {trait.name}: {trait.n_tested} tested and {trait.n_excluded} excluded variants "
            f"do not add up to {n_selected}; please report this with the log",
        )


def _write_sidecar(
    study: _Study, trait: TraitOutput, plan: PlannedAnalysis, outputs: OutputSet, *, valid: bool
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
    study: _Study,
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


def _say_trait(study: _Study, result: _TraitResult, log: Logbook) -> None:
    """The result in a few lines of text."""
    trait, leads, whole = result.output, result.leads, result.whole
    null = whole.null
    error = "" if null.h2_se != null.h2_se else f" (standard error {null.h2_se:.3f})"
    lines = [
        f"Trait {trait.name}",
        f"  h2 {null.h2:.4f}{error}, {null.status}; p of h2 = 0: {null.p_h2:.3g}",
        f"  variants tested {trait.n_tested:,}, excluded {trait.n_excluded:,}"
        + _reason_counts(trait),
        f"  lambda_gc {whole.lambda_gc:.4f}",
        f"  loci with p < {study.threshold:g}: {leads.n_below}",
    ]
    shown = leads.rows.take(slice(0, min(_SHOWN_LEADS, leads.n_below)))
    chromosomes = [study.variants.chromosomes[k].name for k in shown.variants.chrom.tolist()]
    for marker, chrom, pos, beta, se, value in zip(
        marker_ids(shown.variants),
        chromosomes,
        shown.variants.pos.tolist(),
        shown.beta.tolist(),
        shown.se.tolist(),
        shown.neg_log10_p.tolist(),
        strict=True,
    ):
        lines.append(
            f"    {marker} at {chrom}:{pos:,}  beta {beta:.4g} (se {se:.3g})  p {p_text(value)}"
        )
    log.say("\n".join(lines))
    if trait.n_perfect:
        log.warn(
            "W902",
            f"{trait.n_perfect} variants fit trait {trait.name} perfectly: their -log10 p is a "
            "lower bound",
        )
    if result.not_ssf:
        why = "; ".join(result.not_ssf)
        log.say(f"Note: the table of {trait.name} is not valid GWAS-SSF: {why}")


def _reason_counts(trait: TraitOutput) -> str:
    counts = [f"{r} {int(k):,}" for r, k in zip(REASONS, trait.reasons, strict=True) if k]
    return f" ({', '.join(counts)})" if counts else ""


def _finish(
    study: _Study, results: Sequence[_TraitResult], log: Logbook, outputs: OutputSet
) -> None:
    """Samples table and manifest, then everything gets its name."""
    samples = study.job.run.path(".samples.tsv")
    frame = study.flow.table.to_csv(sep="\t", index=False, lineterminator="\n")
    outputs.write_text(samples, frame)
    manifest = study.job.run.path(".run.json")
    outputs.write_text(manifest, format_manifest(_manifest(study, results, log, outputs)))
    outputs.commit()
    log.say(f"Results: {study.job.run.out}.*   ({log.seconds():.1f} s)")


def _manifest(
    study: _Study, results: Sequence[_TraitResult], log: Logbook, outputs: OutputSet
) -> dict[str, Any]:
    job = study.job
    rows = {result.output.files.table: result.output.n_tested for result in results}
    return {
        "software": describe_software(),
        "blas": blas_libraries(),
        "threads": job.run.threads,
        "arguments": dict(job.run.arguments),
        "inputs": describe_inputs(_inputs(study)),
        "samples": {
            "in_genotypes": len(study.genotypes.samples),
            "analysed": {name: int(mask.sum()) for name, mask in study.flow.analysed.items()},
            "dropped": study.flow.table.query("analysed == 0")["reason"].value_counts().to_dict(),
        },
        "n_variants_selected": len(study.variants),
        "threshold": study.threshold,
        "loco": job.model.loco,
        "traits": [_describe_trait(study, result) for result in results],
        "warnings": log.warnings,
        "outputs": [
            describe_file(temporary, final, **({"rows": rows[final]} if final in rows else {}))
            for final, temporary in outputs.pending()
        ],
    }


def _inputs(study: _Study) -> list[Path]:
    """All files that the results rest on."""
    tables = study.job.tables
    optional = [tables.covar, study.job.genotypes.keep, study.job.genotypes.remove]
    optional += [study.job.test.choice.extract, study.job.test.choice.exclude]
    optional += [study.job.grm.choice.extract, study.job.grm.choice.exclude]
    paths = [*study.genotypes.source.paths(), tables.pheno, *(p for p in optional if p)]
    if study.grm is not None and study.grm.prefix is not None:
        name = study.grm.prefix.name
        folder = study.grm.prefix.parent
        paths += sorted(
            p for p in folder.iterdir() if p.name.startswith(f"{name}.") and ".grm" in p.name
        )
    if study.grm is not None and study.grm.task is not None:
        paths += study.grm.task.genotypes.source.paths()
    return paths


def _describe_trait(study: _Study, result: _TraitResult) -> dict[str, Any]:
    trait = result.output
    counts = {str(r): int(k) for r, k in zip(REASONS, trait.reasons, strict=True)}
    return {
        "name": trait.name,
        "n_samples": result.whole.n_samples,
        "covariates": list(result.plan.design.names),
        "covariates_dropped": [asdict(column) for column in result.plan.design.dropped],
        "whitener": {
            "used": sorted({str(kind) for kind in result.outcome.kinds}),
            "rule": "the lower cost, in 1e9 operations, unless --whitener or --h2 0 decides",
            "cost_spectral": result.cost.spectral,
            "cost_cholesky": result.cost.cholesky,
        },
        "precision": study.job.model.precision,
        "null_models": [
            {"group": row.group, "n_variants_grm": row.n_grm, "p_h2": row.null.p_h2}
            | asdict(row.null)
            for row in (*trait.groups, result.whole)
        ],
        "n_variants_tested": trait.n_tested,
        "n_variants_excluded": counts,
        "lambda_gc": result.whole.lambda_gc,
        "n_loci_below_threshold": result.leads.n_below,
        "gwas_ssf": result.not_ssf or "valid",
    }
