"""A finished study gathered for the page of its report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import lmmgwas
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.read_sumstats import as_written
from lmmgwas.io.sumstats import alleles_of, marker_ids
from lmmgwas.pipeline.methods_text import methods_text
from lmmgwas.pipeline.pictures import shown_name, suggestive_line
from lmmgwas.pipeline.report_tables import (
    classes_table,
    excluded_bars,
    facts_of,
    fits_table,
    group_fits,
    leads_table,
    overview_of,
    sample_bars,
)
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.report.content import Page, Picture, Table, TraitPart
from lmmgwas.report.interactive import (
    MOST_POINTS,
    Chosen,
    FrequencyClass,
    Genome,
    NamedLead,
    PointDetails,
    choose,
    h2_data,
    manhattan_data,
    qq_data,
)
from lmmgwas.report.manifest import format_manifest

MOST_TRAITS = 20
"""Traits with plots of their own in the page; the others have their figures and files."""

_QQ_SHARE = 0.06
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
    plots, captions, classes = None, ("", ""), Table((), ())
    if room and trait.n_tested:
        plots, captions, found = _plots(study, result, room)
        classes = classes_table(found)
    return TraitPart(
        name=trait.name,
        facts=facts_of(study, result),
        leads=leads_table(study, result),
        classes=classes,
        fits=fits_table(result),
        excluded=excluded_bars(result),
        plots=plots,
        captions=captions,
        static=_static(result, outputs) if plots else (),
        regions=tuple(regions.get(trait.name, ())),
    )


def _plots(
    study: Study, result: TraitResult, room: int
) -> tuple[dict[str, Any], tuple[str, str], list[FrequencyClass]]:
    """Return the three plots, captions of two of them, and the frequency classes."""
    records = result.output.records()
    tested = study.variants.take(np.asarray(records["row"]))
    neg_log10_p = as_written(np.asarray(records["neg_log10_p"], dtype=np.float64))
    af = np.asarray(records["af"], dtype=np.float64)
    genome = Genome(
        chrom_names=tuple(shown_name(c) for c in study.variants.chromosomes),
        chrom=tested.chrom,
        pos=tested.pos,
        neg_log10_p=neg_log10_p,
    )
    n_qq = int(_QQ_SHARE * room)
    chosen = choose(genome, room - n_qq)
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
    qq, classes = qq_data(neg_log10_p, np.minimum(af, 1.0 - af), n_qq)
    groups, whole = group_fits(result)
    plots = {
        "manhattan": manhattan_data(genome, chosen, details, _named(result), lines),
        "qq": qq,
        "h2": h2_data(groups, whole),
    }
    return plots, (_manhattan_caption(chosen, neg_log10_p.size), _QQ_CAPTION), classes


_QQ_CAPTION = (
    "Each variant's p against the p expected by chance alone; 95 % of variants without any effect "
    "would lie in the band. λ is the median chi-square over its expectation."
)


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
    return [NamedLead(*lead) for lead in found if lead[1] > 0]


def _manhattan_caption(chosen: Chosen, m: int) -> str:
    """What is drawn, what is not, and what can be done with it."""
    k = chosen.rows.size
    drawn = (
        f"All {m:,} variants are drawn"
        if k == m
        else f"All {k:,} variants with a known position are drawn, of {m:,}"
        if k + chosen.n_unplaced == m
        else f"{k:,} of {m:,} variants are drawn: the significant end in full, below it one of "
        "those that would cover each other"
    )
    thinned = k + chosen.n_unplaced < m
    lost = f"; {chosen.n_unplaced:,} have no known position" if thinned * chosen.n_unplaced else ""
    return f"{drawn}{lost}. Drag to zoom, double-click to go back, point at a variant to read it."


def _static(result: TraitResult, outputs: OutputSet) -> tuple[Picture, ...]:
    """The PNG plots of this run, as far as there are any."""
    files, name = result.output.files, result.output.name
    ready = dict(outputs.pending())
    titles = {"manhattan": f"Manhattan plot of {name}", "qq": f"QQ plot of {name}"}
    paths = {kind: ready.get(files.plot(kind, "png")) for kind in titles}
    return tuple(
        Picture(titles[kind], path.read_bytes()) for kind, path in paths.items() if path is not None
    )
