"""The regional plot: -log10 p around a lead variant, coloured by r2 to it, above the genes."""

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator
from numpy.typing import NDArray

from lmmgwas.report import style
from lmmgwas.report.region import (
    LEAD_COLOUR,
    R2_BOUNDS,
    R2_COLOURS,
    UNKNOWN,
    UNKNOWN_COLOUR,
    GeneTracks,
    Region,
    pack_genes,
    r2_classes,
)
from lmmgwas.report.thinning import FloatArray, LabelPlacer, thin_points

COLOURS = (*R2_COLOURS, UNKNOWN_COLOUR)

_WIDTH = style.MANHATTAN_SIZE[0]
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.50, 0.53, 0.42, 0.46
_HEIGHT = 2.05  # of the panel of points, inches
_BETWEEN = 0.07
_ROW = 0.165  # of a row of genes
_BAR_ROW = 0.075  # of one without names
_MOST_ROWS = 8
_GENE_SIZE = 6.2
_MOST_GENE_TEXT = 22
_MOST_LEAD_TEXT = 28
_LEAD_TEXTS = (28, 22, 16, 11, 7)  # in the line of facts, where it is crowded
_BAR = 2.4
_THIN_FROM = 20_000
_GRID = (1000, 420)
_KEY_CELL = (0.21, 0.075)
_POINTS = ((400, 4.2, 0.35), (3000, 3.4, 0.25), (math.inf, 2.7, 0.15))
"""Up to so many points: their size, and the width of the rim that keeps them apart."""
_UNITS = ((200_000.0, 1e6, "Mb"), (200.0, 1e3, "kb"), (0.0, 1.0, "bp"))


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """What a regional plot says besides its variants."""

    title: str
    n_samples: int
    threshold: float  # p of genome-wide significance


def draw_region(region: Region, facts: RegionFacts) -> Figure:
    """Draw the plot; with a panel of genes where they are known."""
    with style.figure_style():
        width = (_WIDTH - _LEFT - _RIGHT) * style.POINTS_PER_INCH
        tracks, names = _tracks_of(region, width)
        panel = _panel_height(tracks) if region.has_gene_panel else 0.0
        size = (_WIDTH, _TOP + _HEIGHT + panel + _BOTTOM)
        axes = style.new_axes(size, (_LEFT, _RIGHT, _BOTTOM + panel, _TOP))
        axes.set_xlim(region.start, region.end)
        style.add_axis_labels(axes, "", r"$-\log_{10}\,P$")
        classes = r2_classes(region.r2)
        _set_heights(axes, region, facts)
        _draw_line(axes, facts.threshold)
        _draw_points(axes, region, classes)
        lowest = axes
        if region.has_gene_panel:
            axes.tick_params(axis="x", labelbottom=False)
            lowest = _draw_genes(axes, region, tracks, names, panel)
        _label_positions(axes, lowest, region)
        _name_lead(axes, region)
        key = _draw_key(axes, unknown=bool((classes == UNKNOWN).any()))
        style.add_title(axes, facts.title, _facts_line(axes, region, facts), key)
    return style.figure_of(axes)


def _facts_line(axes: Axes, region: Region, facts: RegionFacts) -> str:
    """The lead and the counts, in a line that ends before the key."""
    figure = style.figure_of(axes)
    left = axes.get_position().x0 * figure.get_figwidth()
    room = (_WIDTH - 0.1 - _KEY_CELL[0] * len(R2_BOUNDS) - 0.12 - left) * style.POINTS_PER_INCH
    p = style.log_p_phrase(float(region.neg_log10_p[region.lead]))
    line = ""
    for most in _LEAD_TEXTS:
        lead = style.clean_text(region.lead_id, most) or "Lead variant"
        parts = [
            f"{lead} at {region.lead_pos:,}",
            f"P = {p}",
            style.count_phrase(facts.n_samples, "sample"),
            style.count_phrase(region.pos.size, "variant"),
        ]
        line = "   ".join(parts)
        if style.text_extent(figure, line, style.SMALL_SIZE + 0.4)[0] <= room:
            break
    return line.replace("$", r"\$")


def _set_heights(axes: Axes, region: Region, facts: RegionFacts) -> None:
    highest = float(region.neg_log10_p.max())
    line = -math.log10(facts.threshold)
    axes.set_ylim(0.0, max(1.17 * highest, 1.06 * line, 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
    axes.grid(axis="y", color=style.GRID, linewidth=0.5)


def _draw_line(axes: Axes, threshold: float) -> None:
    """Draw the line of significance, its p small at the right end."""
    y = -math.log10(threshold)
    axes.axhline(y, color=style.RULE, linestyle="--", linewidth=0.8, zorder=1.5)
    axes.text(
        1.008,
        y,
        style.p_phrase(threshold),
        transform=axes.get_yaxis_transform(),
        fontsize=style.SMALL_SIZE - 0.3,
        color=style.MUTED,
        va="center",
    )


def _draw_points(axes: Axes, region: Region, classes: NDArray[np.int64]) -> None:
    """Draw the variants, those with a high r2 above the others, and the lead above all."""
    _, size, rim = next(look for look in _POINTS if region.pos.size <= look[0])
    others = np.arange(region.pos.size) != region.lead
    for k in range(UNKNOWN, len(R2_COLOURS)):
        chosen = np.flatnonzero((classes == k) & others)
        if chosen.size > _THIN_FROM:
            x = (region.pos[chosen] - region.start) / max(region.end - region.start, 1)
            chosen = chosen[thin_points(x, region.neg_log10_p[chosen], _GRID)]
        # Pale points crowd at the bottom, where white rims would wipe them out.
        look = size, (rim if k > 0 or region.pos.size <= _POINTS[1][0] else 0.0)
        _draw_circles(axes, region.pos[chosen], region.neg_log10_p[chosen], k, look)
    axes.plot(
        [region.pos[region.lead]],
        [region.neg_log10_p[region.lead]],
        linestyle="none",
        marker="D",
        markersize=4.8,
        markeredgewidth=0.6,
        markeredgecolor="white",
        color=LEAD_COLOUR,
        clip_on=False,
        zorder=3.5,
        gid="lead",
    )


def _draw_circles(
    axes: Axes,
    pos: NDArray[np.int64],
    neg_log10_p: FloatArray,
    k: int,
    look: tuple[float, float],
) -> None:
    """Draw the variants of one class; those of unknown r2 are hollow."""
    hollow = k == UNKNOWN
    size, rim = look
    axes.plot(
        pos,
        neg_log10_p,
        linestyle="none",
        marker="o",
        markersize=size - 0.6 if hollow else size,
        markeredgewidth=0.6 if hollow else rim,
        markeredgecolor=UNKNOWN_COLOUR if hollow else "white",
        markerfacecolor="white" if hollow else R2_COLOURS[k],
        rasterized=True,
        clip_on=False,
        zorder=2.0 + 0.1 * (k + 1),
        gid=f"r2 {k}",
    )


def _label_positions(upper: Axes, lowest: Axes, region: Region) -> None:
    """Mark positions on both panels, and name them below the lower one."""
    span = region.end - region.start
    _, unit, word = next(u for u in _UNITS if span >= u[0])
    locator = MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10])
    ticks = np.asarray(locator.tick_values(region.start, region.end))
    ticks = ticks[(ticks >= region.start) & (ticks <= region.end)]
    step = float(ticks[1] - ticks[0]) / unit if ticks.size > 1 else 1.0
    digits = next(d for d in range(8) if math.isclose(round(step, d), step) or d == 7)
    for axes in {id(axes): axes for axes in (upper, lowest)}.values():
        axes.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
    texts = [f"{tick / unit:,.{digits}f}" for tick in ticks.tolist()]
    lowest.xaxis.set_major_formatter(FixedFormatter(texts))
    name = style.clean_text(region.chrom, 20)
    figure, box = style.figure_of(upper), upper.get_position()
    figure.text(
        (box.x0 + box.x1) / 2,
        0.045 / figure.get_figheight(),
        f"Position on chromosome {name} ({word})",
        ha="center",
        va="bottom",
        fontsize=style.TEXT_SIZE,
        parse_math=False,
    )


def _tracks_of(region: Region, width: float) -> tuple[GeneTracks, list[str]]:
    """Return where the genes go on axes of this width, and how they are named."""
    names = [style.clean_text(gene.name, _MOST_GENE_TEXT) for gene in region.genes]
    shown = [
        {"+": f"{name} →", "-": f"← {name}"}.get(gene.strand, name) if name else ""
        for gene, name in zip(region.genes, names, strict=True)
    ]
    probe = Figure(figsize=(1.0, 1.0), dpi=style.DPI)
    widths = [style.text_extent(probe, name, _GENE_SIZE)[0] if name else 0.0 for name in shown]
    scale = width / max(region.end - region.start, 1)
    bars = np.array(
        [(gene.start - region.start, gene.end + 1 - region.start) for gene in region.genes],
        dtype=np.float64,
    ).reshape(-1, 2)
    focus = (region.lead_pos - region.start) * scale
    packed = pack_genes(bars * scale, np.array(widths), focus, width, _MOST_ROWS)
    return packed, shown


def _draw_genes(
    upper: Axes, region: Region, tracks: GeneTracks, names: list[str], panel: float
) -> Axes:
    """Draw the genes below the points: a bar each, its name above, an arrow for the strand."""
    figure, box = style.figure_of(upper), upper.get_position()
    height = figure.get_figheight()
    axes = figure.add_axes((box.x0, _BOTTOM / height, box.width, (panel - _BETWEEN) / height))
    width, points = style.axes_points(axes)
    axes.set_xlim(region.start, region.end)
    axes.set_ylim(points, 0.0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    left, right, label = (
        region.start + x * (region.end - region.start) / width
        for x in (tracks.left, tracks.right, tracks.label)
    )
    for k in np.flatnonzero(tracks.row >= 0).tolist():
        middle = _middle(int(tracks.row[k]), tracks.n_rows)
        corner = (float(left[k]), middle - _BAR / 2)
        bar = Rectangle(corner, float(right[k] - left[k]), _BAR, facecolor=style.DARK, gid="gene")
        axes.add_patch(bar)
        if tracks.named[k]:
            axes.text(
                float(label[k]),
                middle - _BAR / 2 - 0.6,
                names[k],
                fontsize=_GENE_SIZE,
                fontstyle="italic" if names[k].strip("←→ ").isascii() else "normal",
                ha="center",
                va="bottom",
                parse_math=False,
            )
    if not region.genes:
        style.add_empty_message(axes, "No gene")
    _count_hidden(axes, int((tracks.row < 0).sum()))
    return axes


def _count_hidden(axes: Axes, count: int) -> None:
    """Say in the margin how many genes there was no room for."""
    if count:
        axes.text(
            1.008,
            0.0,
            f"{style.count_phrase(count, 'gene')}\nnot drawn",
            transform=axes.transAxes,
            fontsize=style.SMALL_SIZE - 1.0,
            color=style.MUTED,
            va="bottom",
        )


def _panel_height(tracks: GeneTracks) -> float:
    """The height of the panel of genes and of the gap above it, in inches."""
    return _BETWEEN + _ROW * max(tracks.n_rows, 1) + _BAR_ROW * tracks.n_bar_rows


def _middle(row: int, n_rows: int) -> float:
    """How far below the top of the panel the bars of a row are, in points."""
    named, bars = min(row + 1, n_rows), max(row + 1 - n_rows, 0)
    return (named * _ROW + bars * _BAR_ROW) * style.POINTS_PER_INCH - 3.0


def _name_lead(axes: Axes, region: Region) -> None:
    """Write the lead's name beside its point, where there is room."""
    figure = style.figure_of(axes)
    text = style.clean_text(region.lead_id, _MOST_LEAD_TEXT)
    if not text:
        return
    width, height = style.axes_points(axes)
    top = axes.get_ylim()[1]
    scale = np.array([width / max(region.end - region.start, 1), height / top])
    points = np.column_stack([region.pos - region.start, region.neg_log10_p]) * scale
    placer = LabelPlacer((width, height), points)
    at = points[region.lead]
    extent = style.text_extent(figure, text, style.SMALL_SIZE)
    spot = placer.place((float(at[0]), float(at[1]) + 2.5), extent)
    if spot is None:
        return
    axes.annotate(
        text,
        (region.lead_pos, float(region.neg_log10_p[region.lead])),
        xytext=(spot.centre[0] - float(at[0]), spot.centre[1] - float(at[1])),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=style.SMALL_SIZE,
        parse_math=False,
        annotation_clip=False,
        zorder=4,
    )


def _draw_key(axes: Axes, *, unknown: bool) -> float:
    """Draw the classes of r2 above the right end; return where the key begins."""
    figure = style.figure_of(axes)
    inches, top = figure.dpi_scale_trans, figure.get_figheight() - 0.11
    cell, height = _KEY_CELL
    left = _WIDTH - 0.1 - cell * len(R2_COLOURS)
    small = style.SMALL_SIZE - 0.8
    for k, colour in enumerate(R2_COLOURS):
        place = (left + k * cell, top - height)
        figure.add_artist(Rectangle(place, cell, height, facecolor=colour, transform=inches))
    for k, bound in enumerate(R2_BOUNDS, 1):
        figure.text(
            left + k * cell,
            top - height - 0.02,
            f"{bound:g}",
            transform=inches,
            fontsize=small,
            color=style.MUTED,
            ha="center",
            va="top",
        )
    word = "r² to lead"
    figure.text(
        left - 0.05,
        top - height / 2,
        word,
        transform=inches,
        fontsize=small + 0.3,
        ha="right",
        va="center",
    )
    begins = left - 0.05 - style.text_extent(figure, word, small + 0.3)[0] / 72
    if unknown:
        begins = _draw_unknown(figure, begins - 0.1, top - height / 2, small)
    return (begins - 0.12) / _WIDTH


def _draw_unknown(figure: Figure, right: float, y: float, size: float) -> float:
    """Explain the hollow points; return where the word begins, in inches."""
    word = "○ unknown"
    figure.text(
        right,
        y,
        word,
        transform=figure.dpi_scale_trans,
        fontsize=size + 0.3,
        color=style.MUTED,
        ha="right",
        va="center",
    )
    return right - style.text_extent(figure, word, size + 0.3)[0] / style.POINTS_PER_INCH
