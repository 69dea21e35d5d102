"""The plots of a trait: from the spooled results of a run, or from a table read again.

Both go through `draw_pictures`, and both bring p-values as the table has them, so that the
pictures are the same to the byte.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.read_sumstats import as_written
from lmmgwas.io.sumstats import marker_ids
from lmmgwas.model.chromosomes import Chromosome, Role
from lmmgwas.model.genotypes import Variants
from lmmgwas.numerics.tails import lambda_gc
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import PlotOptions
from lmmgwas.pipeline.trait_output import GroupRow, Leads, TraitOutput
from lmmgwas.report.content import Picture as PagePicture

if TYPE_CHECKING:
    from lmmgwas.report.manhattan import LeadLabel

_SUGGESTIVE_HUMAN = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What both plots of a trait show; rows by chromosome, then position."""

    title: str
    n_samples: int
    chrom_names: tuple[str, ...]  # as they are shown
    chrom: NDArray[np.integer]  # (m,) index into chrom_names
    pos: NDArray[np.int64]  # (m,) base pairs, 0 where unknown
    neg_log10_p: NDArray[np.float64]  # (m,) as the table has them
    leads: "tuple[LeadLabel, ...]"  # that pass the threshold
    lines: tuple[float, float]  # threshold and suggestive p


def suggestive_line(threshold: float, n_variants: int, *, is_human: bool) -> float:
    """Return the second line of the Manhattan plot: 1e-5 for human data, otherwise 1/m."""
    line = _SUGGESTIVE_HUMAN if is_human else 1.0 / max(n_variants, 1)
    return max(line, threshold)


def plot_suffixes(plots: PlotOptions) -> list[str]:
    """Return the file types that are wanted."""
    return [suffix for suffix, wanted in (("png", plots.png), ("pdf", plots.pdf)) if wanted]


def draw_pictures(
    picture: Picture,
    suffixes: list[str],
    path: Callable[[str, str], Path],
    outputs: OutputSet,
) -> None:
    """Write both plots in each format; `path(kind, suffix)` is the final name of each."""
    from lmmgwas.report.manhattan import ManhattanData, draw_manhattan
    from lmmgwas.report.qq import draw_qq
    from lmmgwas.report.style import save_pdf, save_png

    # lambda from the same 8 digits in both commands; the null table has it from all digits.
    inflation = lambda_gc(picture.neg_log10_p)
    names, chrom, leads = _without_empty(picture)
    data = ManhattanData(
        chrom_names=names,
        chrom_index=chrom,
        pos=picture.pos,
        neg_log10_p=picture.neg_log10_p,
        leads=leads,
        threshold=picture.lines[0],
        suggestive=picture.lines[1],
        title=picture.title,
        lambda_gc=inflation,
        n_samples=picture.n_samples,
    )
    figures = {
        "manhattan": draw_manhattan(data),
        "qq": draw_qq(picture.neg_log10_p, inflation, picture.title, picture.n_samples),
    }
    save = {"png": save_png, "pdf": save_pdf}
    for kind, figure in figures.items():
        for suffix in suffixes:
            save[suffix](figure, outputs.temporary(path(kind, suffix)))


def drawn_pictures(
    name: str, path: Callable[[str, str], Path], outputs: OutputSet
) -> tuple[PagePicture, ...]:
    """Return the PNG plots that were drawn and wait for their names, for the report's page."""
    ready = dict(outputs.pending())
    titles = {"manhattan": f"Manhattan plot of {name}", "qq": f"QQ plot of {name}"}
    drawn = {kind: ready.get(path(kind, "png")) for kind in titles}
    return tuple(
        PagePicture(titles[kind], png.read_bytes())
        for kind, png in drawn.items()
        if png is not None
    )


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
    """Write the plots of a finished trait; one that fails never costs a table.

    `lines` holds threshold and suggestive p. Raises FileAccessError where the disk fails: then
    --resume draws them.
    """
    suffixes = plot_suffixes(plots)
    if not suffixes or output.n_tested == 0:
        return
    from lmmgwas.report.settings import load_matplotlib

    try:
        load_matplotlib(outputs.temporary(output.files.plot("qq", suffixes[0])).parent)
        picture = _picture_of(output, selected, leads, whole, lines)
        draw_pictures(picture, suffixes, output.files.plot, outputs)
    except FileAccessError:
        raise
    except Exception as error:
        # Results are safe by now, and no picture is worth them.
        for kind in ("manhattan", "qq"):
            for suffix in suffixes:
                outputs.forget(output.files.plot(kind, suffix))
        log.warn("W701", f"plots of {output.name} could not be drawn: {error!r}")


def _picture_of(
    output: TraitOutput,
    selected: Variants,
    leads: Leads,
    whole: GroupRow,
    lines: tuple[float, float],
) -> Picture:
    """Gather what is shown of spooled results."""
    from lmmgwas.report.manhattan import LeadLabel

    records = output.records()
    tested = selected.take(np.asarray(records["row"]))
    named = leads.rows.take(slice(0, leads.n_below))
    labels = zip(
        named.variants.chrom.tolist(),
        named.variants.pos.tolist(),
        as_written(named.neg_log10_p).tolist(),
        marker_ids(named.variants),
        strict=True,
    )
    return Picture(
        title=output.name,
        n_samples=whole.n_samples,
        chrom_names=tuple(shown_name(chromosome) for chromosome in selected.chromosomes),
        chrom=tested.chrom,
        pos=tested.pos,
        neg_log10_p=as_written(np.asarray(records["neg_log10_p"], dtype=np.float64)),
        leads=tuple(LeadLabel(*label) for label in labels),
        lines=lines,
    )


def _without_empty(
    picture: Picture,
) -> "tuple[tuple[str, ...], NDArray[np.int64], tuple[LeadLabel, ...]]":
    """Return names, index and leads without chromosomes that no row lies on."""
    from lmmgwas.report.manhattan import LeadLabel

    present = np.bincount(picture.chrom, minlength=len(picture.chrom_names)) > 0
    renumbered = np.cumsum(present) - 1
    names = tuple(n for n, kept in zip(picture.chrom_names, present, strict=True) if kept)
    leads = tuple(
        LeadLabel(int(renumbered[lead.chrom_index]), lead.pos, lead.neg_log10_p, lead.text)
        for lead in picture.leads
    )
    return names, renumbered[picture.chrom], leads


def shown_name(chromosome: Chromosome) -> str:
    """Return what pictures call it: X, Y and MT, whatever number the table must give them."""
    lettered = chromosome.role in (Role.X, Role.Y, Role.MT)
    return str(chromosome.role) if lettered else chromosome.name
