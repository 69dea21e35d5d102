"""A finished study gathered for the page of its report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import lmmgwas
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.read_sumstats import as_written
from lmmgwas.io.sumstats import alleles_of, marker_ids
from lmmgwas.pipeline.methods_text import methods_text
from lmmgwas.pipeline.pictures import drawn_pictures, shown_name, suggestive_line
from lmmgwas.pipeline.report_plots import TestsDrawn, draw_tests, points_of
from lmmgwas.pipeline.report_tables import (
    classes_table,
    excluded_bars,
    facts_of,
    fits_table,
    group_fits,
    overview_of,
    sample_bars,
    study_leads,
)
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.report.content import Page, Picture, TraitPart
from lmmgwas.report.interactive import MOST_POINTS, Genome, NamedLead, PointDetails, h2_data
from lmmgwas.report.manifest import format_manifest

MOST_TRAITS = 20
"""Traits with plots of their own in the page; the others have their figures and files."""

_NOT_HERE = {"outputs", "study"}  # of the manifest: run.json has them


def page_of(
    study: Study,
    results: Sequence[TraitResult],
    manifest: dict[str, Any],
    outputs: OutputSet,
    regions: Mapping[str, Sequence[Picture]],
) -> Page:
    """Return all that the page holds.

    `manifest` is the run's as far as it is known, `regions` are pictures by trait. Plots that
    are drawn and not yet named stand in the page for readers without JavaScript.
    """
    room = MOST_POINTS // min(len(results), MOST_TRAITS)
    parts = [
        _trait_part(study, result, room if k < MOST_TRAITS else 0, outputs, regions)
        for k, result in enumerate(results)
    ]
    n_samples = sorted({result.whole.n_samples for result in results})
    analysed = " to ".join(f"{n:,}" for n in dict.fromkeys((n_samples[0], n_samples[-1])))
    traits = f"{len(results)} traits" if len(results) > 1 else "1 trait"
    kept = {key: value for key, value in manifest.items() if key not in _NOT_HERE}
    kept["arguments"] = {k: v for k, v in kept["arguments"].items() if k != "out"}
    return Page(
        title=study.job.run.out.name,
        summary=f"{traits}, {analysed} samples, {len(study.variants):,} variants",
        traits=tuple(parts),
        overview=overview_of(study, results),
        samples=sample_bars(study),
        methods=methods_text(study, results),
        warnings=tuple(manifest["warnings"]),
        notes=tuple(manifest["notes"]),
        manifest=format_manifest(kept).strip(),
        software=f"lmmgwas {lmmgwas.__version__}",
    )


def _trait_part(
    study: Study,
    result: TraitResult,
    room: int,
    outputs: OutputSet,
    regions: Mapping[str, Sequence[Picture]],
) -> TraitPart:
    """Gather one trait, with plots of at most `room` points."""
    trait = result.output
    drawn = _tests(study, result, room) if room and trait.n_tested else None
    plots = None if drawn is None else {**drawn.data, "h2": h2_data(*group_fits(result))}
    return TraitPart(
        name=trait.name,
        facts=facts_of(study, result),
        leads=study_leads(study, result),
        classes=classes_table(drawn.classes if drawn else ()),
        fits=fits_table(result),
        excluded=excluded_bars(result),
        plots=plots,
        captions=drawn.captions if drawn else ("", ""),
        static=drawn_pictures(trait.name, trait.files.plot, outputs) if drawn else (),
        regions=tuple(regions.get(trait.name, ())),
    )


def _tests(study: Study, result: TraitResult, room: int) -> TestsDrawn:
    """Draw Manhattan and QQ plot."""
    records = result.output.records()
    tested = study.variants.take(np.asarray(records["row"]))
    af = np.asarray(records["af"], dtype=np.float64)
    genome = Genome(
        chrom_names=tuple(shown_name(c) for c in study.variants.chromosomes),
        chrom=tested.chrom,
        pos=tested.pos,
        neg_log10_p=as_written(np.asarray(records["neg_log10_p"], dtype=np.float64)),
    )
    chosen = points_of(genome, room)
    picked, shown = records[chosen.rows], tested.take(chosen.rows)
    details = PointDetails(
        marker_ids(shown),
        list(zip(*alleles_of(shown), strict=True)),
        np.asarray(picked["beta"]),
        np.asarray(picked["se"]),
        af[chosen.rows],
    )
    suggestive = suggestive_line(study.threshold, len(study.variants), is_human=study.is_human)
    lines = (study.threshold, suggestive)
    return draw_tests(genome, af, chosen, details, _named(result), lines, room)


def _named(result: TraitResult) -> list[NamedLead]:
    """The leads that pass the threshold."""
    leads = result.leads.rows.take(slice(0, result.leads.n_below))
    found = zip(
        leads.variants.chrom.tolist(),
        leads.variants.pos.tolist(),
        as_written(leads.neg_log10_p).tolist(),
        marker_ids(leads.variants),
        strict=True,
    )
    return [NamedLead(*lead) for lead in found]
