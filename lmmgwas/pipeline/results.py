"""The results of a study: tables, leads, metadata, plots, report and manifest.

Tables get their names before any plot is begun, the manifest is the last.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lmmgwas
from lmmgwas.errors import NumericalError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.metadata import StudyDescription, TableFacts, format_sidecar, reasons_not_ssf
from lmmgwas.io.workspace import Workspace
from lmmgwas.model.whitener_cost import WhitenerCost
from lmmgwas.pipeline.conservation import check_rows_on_disk
from lmmgwas.pipeline.journal import Journal
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.pictures import draw_plots, suggestive_line
from lmmgwas.pipeline.plan import PlannedAnalysis, trait_stems
from lmmgwas.pipeline.preflight import trait_files
from lmmgwas.pipeline.record import (
    describe_outputs,
    figures_of,
    inputs_of_plots,
    manifest_of,
    say_trait,
)
from lmmgwas.pipeline.region_files import drop_stale, regions_there
from lmmgwas.pipeline.regions import draw_trait_regions
from lmmgwas.pipeline.report_run import write_report
from lmmgwas.pipeline.scan_run import ScanOutcome
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.pipeline.trait_output import GroupRow, TraitOutput
from lmmgwas.pipeline.trait_rows import TraitRows
from lmmgwas.report.content import Page, Picture
from lmmgwas.report.manifest import format_manifest
from lmmgwas.report.multiqc import format_multiqc


def gather_traits(
    study: Study,
    plan: PlannedAnalysis,
    rows: tuple[TraitRows, ...],
    found: tuple[ScanOutcome, WhitenerCost],
    spool: Path,
    outputs: OutputSet,
    log: Logbook,
) -> list[TraitResult]:
    """Write the tables of an analysis' traits under temporary names, and say what they hold."""
    outcome, _ = found
    stems = trait_stems(tuple(study.tables.traits))
    results = []
    for k, trait in enumerate(rows):
        files = trait_files(study.job, stems[trait.name], study.variants)
        output = TraitOutput(trait, files, outputs, spool / f"{stems[trait.name]}.records")
        output.gather(outcome.groups, k, plan.samples.n_samples)
        with checked_on_disk(output, outputs):
            whole = output.finish_null(
                outcome.whole.nulls[k], outcome.whole.n_grm, plan.samples.n_samples
            )
            results.append(_write_tables(study, plan, output, whole, found, outputs))
        say_trait(study, results[-1], log)
    return results


@contextlib.contextmanager
def checked_on_disk(output: TraitOutput, outputs: OutputSet) -> Iterator[None]:
    """Read the tables back to their ends while the work inside goes on."""
    files = output.files
    with ThreadPoolExecutor(1) as reader:
        table = reader.submit(check_rows_on_disk, outputs.temporary(files.table), output.n_tested)
        excluded = outputs.temporary(files.excluded)
        left_out = reader.submit(check_rows_on_disk, excluded, output.n_excluded)
        yield
        table.result()
        left_out.result()


def _write_tables(
    study: Study,
    plan: PlannedAnalysis,
    output: TraitOutput,
    whole: GroupRow,
    found: tuple[ScanOutcome, WhitenerCost],
    outputs: OutputSet,
) -> TraitResult:
    """Check what was gathered; write leads, metadata, and Parquet where it is asked for."""
    _check_conservation(output, len(study.variants))
    leads = output.write_leads(study.variants, study.threshold)
    tested = study.variants.take(output.records()["row"])
    not_ssf = reasons_not_ssf(tested, is_human=study.is_human)
    _write_sidecar(study, output, plan, outputs, valid=not not_ssf)
    if study.job.parquet:
        _write_parquet(output, outputs)
    outcome, cost = found
    return TraitResult(output, plan, whole, leads, cost, outcome, not_ssf)


def _write_parquet(trait: TraitOutput, outputs: OutputSet) -> None:
    """Make it of the finished table, so that merged, resumed and divided runs write the same."""
    from lmmgwas.io.parquet import export_parquet  # loads what only this needs

    table, parquet = outputs.temporary(trait.files.table), outputs.temporary(trait.files.parquet)
    facts = export_parquet(table, parquet, may_be_empty=True)
    if facts.n_rows != trait.n_tested:
        raise NumericalError(
            "E902",
            f"trait {trait.name}: {facts.n_rows} rows as Parquet, but {trait.n_tested} tested "
            "variants; please report this with the log",
        )


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


def finish(
    study: Study,
    results: Sequence[TraitResult],
    journal: Journal,
    log: Logbook,
    outputs: OutputSet,
    workspace: Workspace,
) -> None:
    """Name the tables, then draw and report, then name plots, report, key figures and manifest."""
    samples = study.job.run.path(".samples.tsv")
    frame = study.flow.table.to_csv(sep="\t", index=False, lineterminator="\n")
    outputs.write_text(samples, frame)
    workspace.require_lock()
    rows = {
        path: result.output.n_tested
        for result in results
        for path in (result.output.files.table, result.output.files.parquet)
    }
    written = describe_outputs(outputs, rows)
    drop_stale([result.output.files.parquet for result in results], outputs)
    outputs.commit()
    regions = {result.output.name: _draw(study, result, log, outputs) for result in results}
    key_figures = [figures_of(result, study.job.run.out.name) for result in results]
    outputs.write_text(study.job.run.path("_mqc.json"), format_multiqc(key_figures))
    inputs = journal.inputs + inputs_of_plots(study)
    if study.job.plots.report:
        _report(study, results, regions, inputs, log, outputs)
    written += describe_outputs(outputs)
    manifest = manifest_of(study, results, inputs, log)  # with what the report warned of
    final = study.job.run.path(".run.json")
    content = {**manifest, "outputs": written, "study": journal.key}
    outputs.write_text(final, format_manifest(content))
    workspace.require_lock()
    drop_stale(_possible_drawings(study, results), outputs)
    outputs.commit()
    log.say(f"Results: {study.job.run.out}.*   ({log.seconds():.1f} s)")


def _possible_drawings(study: Study, results: Sequence[TraitResult]) -> list[Path]:
    """Everything drawn that a run of this prefix may have left."""
    plots = [
        result.output.files.plot(kind, suffix)
        for result in results
        for kind in ("manhattan", "qq")
        for suffix in ("png", "pdf")
    ]
    regions = regions_there(study.job.run, [result.output.files.stem for result in results])
    return [*plots, *regions, study.job.run.path(".report.html")]


def _report(
    study: Study,
    results: Sequence[TraitResult],
    regions: Mapping[str, Sequence[Picture]],
    inputs: list[dict[str, Any]],
    log: Logbook,
    outputs: OutputSet,
) -> None:
    """Write the report, with the manifest as far as it is known."""
    known = manifest_of(study, results, inputs, log)

    def make_page() -> Page:
        from lmmgwas.pipeline.report_page import page_of  # loads matplotlib

        return page_of(study, results, known, outputs, regions)

    write_report(study.job.run.path(".report.html"), make_page, outputs, log)


def _draw(
    study: Study, result: TraitResult, log: Logbook, outputs: OutputSet
) -> tuple[Picture, ...]:
    """Draw the plots of a trait; return those of its regions."""
    suggestive = suggestive_line(study.threshold, len(study.variants), is_human=study.is_human)
    lines = (study.threshold, suggestive)
    trait, plots = result.output, study.job.plots
    with log.stage(f"plots of {trait.name}"):
        draw_plots(trait, study.variants, result.leads, result.whole, lines, plots, outputs, log)
    with log.stage(f"regional plots of {trait.name}"):
        return draw_trait_regions(study, result, outputs, log)
