"""The plots of a trait, from its spooled results. A plot that fails never costs a table."""

import numpy as np

from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.sumstats import marker_ids
from lmmgwas.model.chromosomes import Chromosome, Role
from lmmgwas.model.genotypes import Variants
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import PlotOptions
from lmmgwas.pipeline.trait_output import GroupRow, Leads, TraitOutput

_SUGGESTIVE_HUMAN = 1e-5


def suggestive_line(threshold: float, n_variants: int, *, is_human: bool) -> float:
    """Return the second line of the Manhattan plot: 1e-5 for human data, otherwise 1/m."""
    line = _SUGGESTIVE_HUMAN if is_human else 1.0 / max(n_variants, 1)
    return max(line, threshold)


def draw_plots(
    output: TraitOutput,
    selected: Variants,
    leads: Leads,
    whole: GroupRow,
    lines: tuple[float, float],
    plots: PlotOptions,
    outputs: OutputSet,
    log: Logbook,
) -> None:
    """Write the Manhattan and QQ plots; `lines` holds threshold and suggestive p."""
    formats = [suffix for suffix, wanted in (("png", plots.png), ("pdf", plots.pdf)) if wanted]
    if not formats or output.n_tested == 0:
        return
    try:
        _draw(output, selected, leads, whole, lines, formats, outputs)
    except Exception as error:
        # Results are safe by now, and no picture is worth them.
        for kind in ("manhattan", "qq"):
            for suffix in ("png", "pdf"):
                outputs.forget(output.files.plot(kind, suffix))
        log.warn("W701", f"plots of {output.name} could not be drawn: {error!r}")


def _label(chromosome: Chromosome) -> str:
    """X, Y and MT by their letters, whatever number the table must give them."""
    lettered = chromosome.role in (Role.X, Role.Y, Role.MT)
    return str(chromosome.role) if lettered else chromosome.name


def _draw(
    output: TraitOutput,
    selected: Variants,
    leads: Leads,
    whole: GroupRow,
    lines: tuple[float, float],
    formats: list[str],
    outputs: OutputSet,
) -> None:
    from lmmgwas.report.manhattan import LeadLabel, ManhattanData, draw_manhattan
    from lmmgwas.report.qq import draw_qq
    from lmmgwas.report.style import save_pdf, save_png

    records = output.records()
    rows = np.asarray(records["row"])
    neg_log10_p = np.asarray(records["neg_log10_p"], dtype=np.float64)
    tested = selected.take(rows)
    named = leads.rows.take(slice(0, leads.n_below))
    labels = tuple(
        LeadLabel(int(chrom), int(pos), float(value), text)
        for chrom, pos, value, text in zip(
            named.variants.chrom,
            named.variants.pos,
            named.neg_log10_p,
            marker_ids(named.variants),
            strict=True,
        )
    )
    data = ManhattanData(
        chrom_names=tuple(_label(chromosome) for chromosome in selected.chromosomes),
        chrom_index=tested.chrom.astype(np.int64),
        pos=tested.pos,
        neg_log10_p=neg_log10_p,
        leads=labels,
        threshold=lines[0],
        suggestive=lines[1],
        title=output.name,
        lambda_gc=whole.lambda_gc,
        n_samples=whole.n_samples,
    )
    figures = {
        "manhattan": draw_manhattan(data),
        "qq": draw_qq(neg_log10_p, whole.lambda_gc, output.name, whole.n_samples),
    }
    save = {"png": save_png, "pdf": save_pdf}
    for kind, figure in figures.items():
        for suffix in formats:
            save[suffix](figure, outputs.temporary(output.files.plot(kind, suffix)))
