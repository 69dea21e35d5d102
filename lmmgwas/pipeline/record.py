"""What is said of a finished study: a few lines for people, a manifest for programs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.sumstats import marker_ids, p_text
from lmmgwas.model.genotypes import REASONS
from lmmgwas.numerics.optimise import Status
from lmmgwas.numerics.threads import blas_libraries
from lmmgwas.pipeline.journal import WHO_AND_WHERE
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.row_checks import quality_of_rows, report_rows
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.pipeline.trait_output import GroupRow, TraitOutput
from lmmgwas.report.manifest import describe_file, describe_software
from lmmgwas.report.multiqc import KeyFigures

_SHOWN_LEADS = 5
_OF_THIS_ATTEMPT = {
    "resume",
    "break_lock",
    *WHO_AND_WHERE,
}  # what a study is does not depend on them


def say_trait(study: Study, result: TraitResult, log: Logbook) -> None:
    """The result in a few lines of text."""
    trait, leads, whole = result.output, result.leads, result.whole
    null = whole.null
    error = "" if null.h2_se != null.h2_se else f" (standard error {null.h2_se:.3f})"
    p_h2 = "" if math.isnan(null.p_h2) else f"; p of h2 = 0: {null.p_h2:.3g}"
    lines = [
        f"Trait {trait.name}",
        f"  h2 {null.h2:.4f}{error}, {null.status}{p_h2}",
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
        place = f"{chrom}:{pos:,}" if pos else f"{chrom}, position unknown"
        lines.append(f"    {marker} at {place}  beta {beta:.4g} (se {se:.3g})  p {p_text(value)}")
    if leads.n_below > _SHOWN_LEADS:
        lines.append(f"    and {leads.n_below - _SHOWN_LEADS} more in {trait.files.leads}")
    log.say_lines(lines)
    if trait.n_perfect:
        log.warn(
            "W902",
            f"{trait.n_perfect} variants fit trait {trait.name} perfectly: their -log10 p is a "
            "lower bound",
        )
    least_mac = study.job.test.filters.mac
    report_rows(quality_of_rows(study, result), whole.n_samples, least_mac, log)
    if whole.null.status is Status.FLAT:
        log.say(
            f"Note: h2 of {trait.name} cannot be estimated, the likelihood does not depend on it: "
            "h2 is set to 0, and every test is ordinary least squares"
        )
    if result.not_ssf:
        why = "; ".join(result.not_ssf)
        log.say(
            f"Note: the table of {trait.name} is not valid GWAS-SSF: {why}{_species_hint(study)}"
        )


def _species_hint(study: Study) -> str:
    """Where the data may be of another species, and the user did not say."""
    job = study.job
    if job.genotypes.karyotype.stated or job.test.choice.chromosomes is not None:
        return ""
    return "; if the species is not human, give --species or --autosomes"


def _reason_counts(trait: TraitOutput) -> str:
    counts = [f"{r} {int(k):,}" for r, k in zip(REASONS, trait.reasons, strict=True) if k]
    return f" ({', '.join(counts)})" if counts else ""


def manifest_of(
    study: Study, results: Sequence[TraitResult], inputs: list[dict[str, Any]], log: Logbook
) -> dict[str, Any]:
    """Return the content of PREFIX.run.json but for the outputs."""
    job = study.job
    return {
        "software": describe_software(),
        "blas": blas_libraries(),
        "threads": job.run.threads,
        "arguments": {k: v for k, v in job.run.arguments if k not in _OF_THIS_ATTEMPT},
        "arguments_from": {k: v for k, v in job.run.origins if k not in _OF_THIS_ATTEMPT},
        "inputs": inputs,
        "samples": {
            "in_genotypes": len(study.genotypes.samples),
            "analysed": {name: int(mask.sum()) for name, mask in study.flow.analysed.items()},
            "dropped": study.flow.dropped(),
            "only_in_pheno": len(study.tables.strangers),
        },
        "n_variants_selected": len(study.variants),
        "threshold": study.threshold,
        "loco": job.model.loco,
        "traits": [_describe_trait(study, result) for result in results],
        "warnings": log.warnings,
        "notes": log.notes,
    }


def describe_outputs(
    outputs: OutputSet, rows: dict[Path, int] | None = None
) -> list[dict[str, Any]]:
    """Describe what is about to get its name; `rows` says how many a table has."""
    known = rows or {}
    return [
        describe_file(temporary, final) | ({"rows": known[final]} if final in known else {})
        for final, temporary in outputs.pending()
    ]


def inputs_of(study: Study) -> list[Path]:
    """Return all files that the results rest on."""
    tables = study.job.tables
    optional = [tables.covar, study.job.genotypes.keep, study.job.genotypes.remove]
    optional += [study.job.test.choice.extract, study.job.test.choice.exclude]
    optional += [study.job.grm.choice.extract, study.job.grm.choice.exclude]
    paths = [*study.genotypes.source.paths(), tables.pheno, *(p for p in optional if p)]
    if study.grm is not None:
        paths += study.grm.files()
    if study.grm is not None and study.grm.task is not None:
        paths += study.grm.task.genotypes.source.paths()
    return paths


def inputs_of_plots(study: Study) -> list[dict[str, Any]]:
    """Describe what the plots alone rest on: other genes are no other study."""
    return [] if study.genes is None else [study.genes.description]


def _describe_trait(study: Study, result: TraitResult) -> dict[str, Any]:
    trait = result.output
    counts = {str(r): int(k) for r, k in zip(REASONS, trait.reasons, strict=True)}
    return {
        "name": trait.name,
        "files": trait.files.stem,  # in the names of its files
        "table": trait.files.table.name,
        "n_samples": result.whole.n_samples,
        "conditioned_on": list(study.job.model.condition),
        "test": study.job.model.test,
        "variance": study.job.model.variance,
        "covariates": list(result.plan.design.names),
        "covariates_dropped": [asdict(column) for column in result.plan.design.dropped],
        "whitener": {
            "used": sorted({str(kind) for kind in result.outcome.kinds}),
            "rule": "the lower cost, in 1e9 operations, unless --whitener or --h2 0 decides",
            "cost_spectral": result.cost.spectral,
            "cost_cholesky": result.cost.cholesky,
        },
        "case_control": None if trait.coding is None else asdict(trait.coding),
        "precision": study.job.model.precision,
        "scan": study.job.model.scan,
        "calibration": None
        if result.outcome.calibration is None
        else asdict(result.outcome.calibration),
        "null_models": [_describe_null(row) for row in (*trait.groups, result.whole)],
        "n_variants_tested": trait.n_tested,
        "n_variants_excluded": counts,
        "lambda_gc": result.whole.lambda_gc,
        "n_loci_below_threshold": result.leads.n_below,
        "gwas_ssf": result.not_ssf or "valid",
    }


def figures_of(result: TraitResult, run: str) -> KeyFigures:
    """Return the key figures of a trait, in the run of that name."""
    trait, whole, top = result.output, result.whole, result.leads.rows.take(slice(0, 1))
    found = len(top.neg_log10_p) > 0
    return KeyFigures(
        name=f"{run}.{trait.files.stem}",
        n_samples=whole.n_samples,
        n_variants=trait.n_tested,
        n_excluded=trait.n_excluded,
        lambda_gc=whole.lambda_gc,
        h2=whole.null.h2,
        h2_se=whole.null.h2_se,
        n_leads=result.leads.n_below,
        top_neg_log10_p=float(top.neg_log10_p[0]) if found else math.nan,
        top_marker=marker_ids(top.variants)[0] if found else "",
    )


def _describe_null(row: GroupRow) -> dict[str, Any]:
    """The null model of a group; `information_slope` is the optimiser's own business."""
    fitted = {k: v for k, v in asdict(row.null).items() if k != "information_slope"}
    p_h2 = row.null.p_h2 if row.group == "all" else None
    return {"group": row.group, "n_variants_grm": row.n_grm, "p_h2": p_h2} | fitted
