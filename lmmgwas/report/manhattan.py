"""The Manhattan plot: -log10 p of every variant along the genome."""

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from lmmgwas.report import style
from lmmgwas.report.thinning import (
    FloatArray,
    GenomeLayout,
    LabelPlacer,
    fit_in_rows,
    lay_out,
    thin_points,
)

_MARGINS = (0.50, 0.53, 0.47, 0.44)
_GRID = (1100, 400)
_MARKER_SIZE = 2.2
_SMALL_MARKER = 1.6
_MANY_CHROMS = 60
_MAX_LEADS = 15
_MAX_LEAD_TEXT = 24
_MAX_CHROM_TEXT = 14
_LABEL_PAD = 2.2
_CHROM_SIZE = 7.2
_CHROM_SIZES = (_CHROM_SIZE, 0.88 * _CHROM_SIZE, 0.76 * _CHROM_SIZE)
_ROW_HEIGHT = 8.0
_LEAST_LEADER = 4.5
_SAME_PEAK = 0.01


@dataclass(frozen=True, slots=True)
class LeadLabel:
    """A lead variant to be named on the plot when it passes the threshold."""

    chrom_index: int
    pos: int
    neg_log10_p: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class ManhattanData:
    """What a Manhattan plot shows; rows sorted by chromosome, then position."""

    chrom_names: tuple[str, ...]
    chrom_index: NDArray[np.integer]  # (m,) into chrom_names
    pos: NDArray[np.int64]  # (m,) base pairs; <= 0 where unknown
    neg_log10_p: FloatArray  # (m,)
    leads: tuple[LeadLabel, ...]
    threshold: float  # p of genome-wide significance
    suggestive: float  # p of the lighter line
    title: str
    lambda_gc: float
    n_samples: int


def draw_manhattan(data: ManhattanData) -> Figure:
    """Draw the plot; variants without a position or a p-value are counted in a note."""
    has_p = np.isfinite(data.neg_log10_p)
    shown = has_p & (data.pos > 0)
    with style.figure_style():
        axes = style.new_axes(style.MANHATTAN_SIZE, _MARGINS)
        style.add_axis_labels(axes, "Chromosome", r"$-\log_{10}\,P$")
        if np.any(shown):
            _draw_genome(axes, data, shown)
        else:
            _draw_empty(axes, data)
        facts = [style.lambda_phrase(data.lambda_gc), *style.sample_phrases(data.n_samples)]
        style.add_title(axes, data.title, "   ".join([*facts, _variants_phrase(data, has_p)]))
    return style.figure_of(axes)


def _variants_phrase(data: ManhattanData, has_p: NDArray[np.bool_]) -> str:
    """How many variants there are, and how many of them could not be drawn and why."""
    no_pos = int(np.count_nonzero(has_p & (data.pos <= 0)))
    no_p = int(data.pos.size - np.count_nonzero(has_p))
    lost = [
        f"{count:,} without a {what}"
        for count, what in ((no_pos, "known position"), (no_p, "p-value"))
        if count
    ]
    missing = f" ({', '.join(lost)}: not shown)" if lost else ""
    return style.count_phrase(int(data.pos.size), "variant") + missing


def _draw_genome(axes: Axes, data: ManhattanData, shown: NDArray[np.bool_]) -> None:
    every = bool(shown.all())
    chrom = data.chrom_index if every else data.chrom_index[shown]
    pos = data.pos if every else data.pos[shown]
    y = data.neg_log10_p if every else data.neg_log10_p[shown]
    y = np.maximum(y, 0.0)
    layout = lay_out(chrom, pos, len(data.chrom_names))
    x = pos + layout.shift[chrom]
    kept = thin_points(x / layout.total, y, _GRID)
    x, y, chrom = x[kept], y[kept], chrom[kept]
    leads = _leads_to_name(data, layout)
    _set_limits(axes, data, layout, float(y.max()), leads)
    _draw_rules(axes, data)
    _draw_points(axes, x, y, chrom, layout, _line_height(data.threshold))
    _label_x_axis(axes, data, layout, leads)
    _name_leads(axes, leads, layout, np.column_stack([x, y]))


def _line_height(p: float) -> float:
    """-log10 p of a line, infinite where there is none to draw."""
    return -math.log10(p) if 0.0 < p < 1.0 else math.inf


def _set_limits(
    axes: Axes, data: ManhattanData, layout: GenomeLayout, highest: float, leads: list[LeadLabel]
) -> None:
    line = _line_height(data.threshold)
    room = 1.08
    if leads and max(lead.neg_log10_p for lead in leads) > 0.8 * highest:
        room = 1.16
    top = max(highest * room, line * 1.06 if math.isfinite(line) else 0.0, 1.0)
    edge = layout.total * 0.008
    axes.set_xlim(-edge, layout.total + edge)
    axes.set_ylim(0.0, top)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
    axes.grid(axis="y", color=style.GRID, linewidth=0.5)


def _draw_rules(axes: Axes, data: ManhattanData) -> None:
    """Draw the two significance lines, their p-values small at the right end."""
    genome_wide = _line_height(data.threshold)
    suggestive = _line_height(data.suggestive)
    top = axes.get_ylim()[1]
    height = style.axes_points(axes)[1]
    labelled: list[float] = []
    rules = ((genome_wide, data.threshold, "--", 0.8), (suggestive, data.suggestive, ":", 0.7))
    for y, p, dashes, width in rules:
        if y > top or (p == data.suggestive and not y < genome_wide):
            continue
        axes.axhline(y, color=style.RULE, linestyle=dashes, linewidth=width, zorder=1.5)
        if all(abs(y - other) / top * height > style.SMALL_SIZE for other in labelled):
            place = axes.get_yaxis_transform()
            size = style.SMALL_SIZE - 0.3
            text = style.p_phrase(p)
            axes.text(
                1.008, y, text, transform=place, fontsize=size, color=style.MUTED, va="center"
            )
            labelled.append(y)


def _draw_points(
    axes: Axes,
    x: FloatArray,
    y: FloatArray,
    chrom: NDArray[np.integer],
    layout: GenomeLayout,
    threshold: float,
) -> None:
    n_chroms = int(np.count_nonzero(layout.width))
    side = (np.cumsum(layout.width > 0)[chrom] + 1) % 2
    significant = y > threshold
    size = _MARKER_SIZE if n_chroms <= _MANY_CHROMS else _SMALL_MARKER
    groups = (
        (style.DARK, (side == 0) & ~significant),
        (style.LIGHT, (side == 1) & ~significant),
        (style.SIGNIFICANT, significant),
    )
    for order, (colour, chosen) in enumerate(groups):
        axes.plot(
            x[chosen],
            y[chosen],
            linestyle="none",
            marker="o",
            markersize=size + (0.4 if colour == style.SIGNIFICANT else 0.0),
            markeredgewidth=0,
            color=colour,
            rasterized=True,
            clip_on=False,
            zorder=2 + 0.1 * order,
        )


def _label_x_axis(
    axes: Axes, data: ManhattanData, layout: GenomeLayout, leads: list[LeadLabel]
) -> None:
    """Name the chromosomes; of those that would collide, the large and those with leads."""
    drawn = np.flatnonzero(layout.width > 0)
    names = [style.clean_text(data.chrom_names[k], _MAX_CHROM_TEXT) for k in drawn]
    if drawn.size == 1:
        _label_positions(axes, names[0], float(layout.shift[drawn[0]]))
        return
    axes.set_xticks([])
    figure = style.figure_of(axes)
    left, right = axes.get_xlim()
    centres = layout.left[drawn] + layout.width[drawn] / 2
    at = (centres - left) * style.axes_points(axes)[0] / (right - left)
    in_order = -np.arange(drawn.size, dtype=np.float64)
    for size in _CHROM_SIZES:  # rather smaller labels than missing ones
        widths = np.array([style.text_extent(figure, name, size)[0] for name in names])
        widths += _LABEL_PAD
        rows = fit_in_rows(at, widths, in_order, 2)
        if np.all(rows >= 0):
            break
    with_lead = np.isin(drawn, [lead.chrom_index for lead in leads])
    if np.any(rows < 0):
        rows = fit_in_rows(at, widths, layout.width[drawn] + layout.total * with_lead, 2)
    if not np.any(rows == 1):
        style.raise_x_label(axes)
    for name, x, row in zip(names, centres, rows, strict=True):
        if row >= 0:
            axes.annotate(
                name,
                (float(x), 0.0),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0.0, -3.5 - _ROW_HEIGHT * float(row)),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=size,
                parse_math=False,
                annotation_clip=False,
            )


def _label_positions(axes: Axes, name: str, shift: float) -> None:
    """Where there is one chromosome, show positions on it."""
    left, right = axes.get_xlim()
    unit, word = next(
        (unit, word)
        for unit, word in ((1e6, "Mb"), (1e3, "kb"), (1.0, "bp"))
        if right - left >= 2 * unit or unit == 1.0
    )
    ticks = MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]).tick_values(left - shift, right - shift)
    axes.set_xticks([t + shift for t in ticks if left <= t + shift <= right])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{(x - shift) / unit:,.10g}"))
    axes.set_xlabel(f"Position on chromosome {name} ({word})", parse_math=False)
    axes.set_xlim(left, right)
    style.raise_x_label(axes)


def _leads_to_name(data: ManhattanData, layout: GenomeLayout) -> list[LeadLabel]:
    """The strongest leads above the threshold, one for what looks like one peak."""
    line = _line_height(data.threshold)
    chosen: list[LeadLabel] = []
    for lead in sorted(data.leads, key=lambda a: (-a.neg_log10_p, a.chrom_index, a.pos)):
        drawn = lead.pos > 0 and layout.width[lead.chrom_index] > 0
        if not (drawn and line < lead.neg_log10_p < math.inf):
            continue
        near = _SAME_PEAK * layout.total
        alone = all(
            lead.chrom_index != other.chrom_index or abs(lead.pos - other.pos) > near
            for other in chosen
        )
        if alone and len(chosen) < _MAX_LEADS:
            chosen.append(lead)
    return chosen


def _name_leads(
    axes: Axes, leads: list[LeadLabel], layout: GenomeLayout, points: FloatArray
) -> None:
    figure = style.figure_of(axes)
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    size = style.axes_points(axes)
    scale = (size[0] / (right - left), size[1] / top)
    placer = LabelPlacer(size, (points - np.array([left, 0.0])) * np.array(scale))
    for lead in leads:
        text = style.clean_text(lead.text, _MAX_LEAD_TEXT)
        x = lead.pos + float(layout.shift[lead.chrom_index])
        anchor = ((x - left) * scale[0], lead.neg_log10_p * scale[1])
        extent = style.text_extent(figure, text, style.SMALL_SIZE)
        spot = placer.place(anchor, extent) if text else None
        if spot is None:
            continue
        meets = tuple((spot.tip[k] - spot.centre[k]) / extent[k] + 0.5 for k in (0, 1))
        leader = {"arrowstyle": "-", "linewidth": 0.5, "color": style.MUTED, "relpos": meets}
        axes.annotate(
            text,
            (x, lead.neg_log10_p),
            xytext=(spot.centre[0] - anchor[0], spot.centre[1] - anchor[1]),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=style.SMALL_SIZE,
            parse_math=False,
            annotation_clip=False,
            zorder=4,
            arrowprops=leader | {"shrinkA": 0, "shrinkB": 1.5, "patchA": None}
            if spot.length > _LEAST_LEADER
            else None,
        )


def _draw_empty(axes: Axes, data: ManhattanData) -> None:
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 8.0)
    axes.set_xticks([])
    _draw_rules(axes, data)
    nothing = "No variant" if data.pos.size == 0 else "No variant has a known position"
    style.add_empty_message(axes, nothing)
