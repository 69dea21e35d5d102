"""The regional plots of a finished trait: what they show, and their files.

The tables have their names by now; a plot that fails costs none of them.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lmmgwas.errors import FileAccessError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.read_sumstats import as_written
from lmmgwas.io.sumstats import ResultRows, marker_ids
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import PlotOptions
from lmmgwas.pipeline.pictures import plot_suffixes, shown_name
from lmmgwas.pipeline.region_files import region_places
from lmmgwas.pipeline.region_rows import Panel, Window, genes_within, r2_to, rows_within
from lmmgwas.pipeline.study import Study, TraitResult
from lmmgwas.report.content import Picture

if TYPE_CHECKING:
    from lmmgwas.report.region import Region
    from lmmgwas.report.region_plot import RegionFacts


def draw_trait_regions(
    study: Study, result: TraitResult, outputs: OutputSet, log: Logbook
) -> tuple[Picture, ...]:
    """Write the regional plots of a trait's leads, as many as were asked for; return the PNGs.

    Raises FileAccessError where the disk fails: then --resume draws them.
    """
    plots, output = study.job.plots, result.output
    if not plots.draws_regions:
        return ()
    if result.leads.n_below == 0:
        log.say(f"No regional plots of {output.name}: no variant has p < {study.threshold:g}")
        return ()
    try:
        regions = collect_regions(study, result, log)
    except Exception as error:
        # As with the other plots: results are safe by now, and a .bed that is gone costs none.
        _warn(output.name, error, log)
        return ()
    paths = region_paths(regions, plots, output.files.region)
    try:
        from lmmgwas.report.region_plot import RegionFacts

        facts = RegionFacts(output.name, result.whole.n_samples, study.threshold)
        draw_regions(regions, facts, paths, outputs)
        pictures = region_pictures(regions, paths, outputs)
    except FileAccessError:
        raise
    except Exception as error:
        for path in chain(*paths):
            outputs.forget(path)
        _warn(output.name, error, log)
        return ()
    log.say(f"Regional plots of {output.name}: {count_phrase(len(regions), result.leads.n_below)}")
    return pictures


def region_pictures(
    regions: "Sequence[Region]", paths: Sequence[Sequence[Path]], outputs: OutputSet
) -> tuple[Picture, ...]:
    """Return the PNGs, as they were drawn, for the report."""
    return tuple(
        Picture(f"{region.lead_id} at {region.chrom}:{region.lead_pos:,}", drawn.read_bytes())
        for region, finals in zip(regions, paths, strict=True)
        for drawn in (outputs.temporary(final) for final in finals if final.suffix == ".png")
    )


def _warn(trait: str, error: Exception, log: Logbook) -> None:
    log.warn("W701", f"regional plots of {trait} could not be drawn: {error!r}")


def collect_regions(study: Study, result: TraitResult, log: Logbook) -> "tuple[Region, ...]":
    """Return the surroundings of a trait's strongest leads that have a position.

    Rows are those of the table, p-values as it has them; r2 is over the analysed samples.
    """
    from lmmgwas.report.region import Region

    plots, selected = study.job.plots, study.variants
    leads = _leads_to_draw(result, plots)
    if not len(leads.variants):
        return ()
    panel = Panel(study.genotypes.source, result.plan.samples.rows, result.plan.samples.males)
    records = result.output.records()
    place, pos = np.asarray(records["row"]), selected.pos
    chromosomes = selected.chromosomes
    windows = [
        Window.around(chromosomes[k], at, plots.region_window)
        for k, at in zip(leads.variants.chrom.tolist(), leads.variants.pos.tolist(), strict=True)
    ]
    genes = genes_within(study.genes, windows, log)
    regions = []
    for k, (lead_id, window) in enumerate(zip(marker_ids(leads.variants), windows, strict=True)):
        lead = leads.variants.take([k])
        within = rows_within(selected.chrom, pos, int(lead.chrom[0]), window)
        found = np.flatnonzero((place >= within.start) & (place < within.stop))
        found = found[np.argsort(place[found], kind="stable")]
        variants = selected.take(place[found])
        regions.append(
            Region(
                trait=result.output.name,
                lead_id=lead_id,
                chrom=shown_name(window.chromosome),
                lead_pos=int(lead.pos[0]),
                start=window.start,
                end=window.end,
                pos=variants.pos,
                neg_log10_p=as_written(np.asarray(records["neg_log10_p"][found])),
                r2=r2_to(lead, variants, panel),
                marker_ids=tuple(marker_ids(variants)),
                genes=() if genes is None else genes[k],
                genes_known=genes is not None,
            )
        )
    return tuple(regions)


def _leads_to_draw(result: TraitResult, plots: PlotOptions) -> ResultRows:
    """The strongest leads below the threshold; one without a position has no surroundings."""
    below = result.leads.rows.take(slice(0, result.leads.n_below))
    return below.take(np.flatnonzero(below.variants.pos > 0)[: plots.regions])


def region_paths(
    regions: "Sequence[Region]", plots: PlotOptions, path: Callable[[str, str], Path]
) -> list[list[Path]]:
    """Return the final names of each region, one of each format: `path(place, suffix)`."""
    places = region_places([(region.chrom, region.lead_pos) for region in regions])
    return [[path(place, suffix) for suffix in plot_suffixes(plots)] for place in places]


def draw_regions(
    regions: "Sequence[Region]",
    facts: "RegionFacts",
    paths: Sequence[Sequence[Path]],
    outputs: OutputSet,
) -> None:
    """Draw each region into its files, as `region_paths` names them."""
    from lmmgwas.report.region_plot import COLOURS, draw_region
    from lmmgwas.report.style import save_pdf, save_png

    for region, finals in zip(regions, paths, strict=True):
        figure = draw_region(region, facts)
        for final in finals:
            if final.suffix == ".png":
                save_png(figure, outputs.temporary(final), COLOURS)
            else:
                save_pdf(figure, outputs.temporary(final))


def count_phrase(n_drawn: int, n_below: int) -> str:
    """Return how many of the loci were drawn."""
    if n_drawn == n_below:
        return f"{n_drawn:,}"
    return f"{n_drawn:,} of {n_below:,} loci (see --regions; a lead needs a position)"
