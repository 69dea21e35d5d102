"""The QQ plot: observed against expected -log10 p, with the band that chance allows."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import special

from lmmgwas.report import style
from lmmgwas.report.thinning import FloatArray, thin_curve

_MARGINS = (0.48, 0.12, 0.46, 0.30)
_GRID = (500, 500)
_MARKER_SIZE = 3.2
_BAND_RANKS = 240
_BAND_LEVEL = 0.95


def draw_qq(neg_log10_p: FloatArray, lambda_gc: float, title: str, n_samples: int) -> Figure:
    """Draw observed against expected -log10 p; variants without a p-value are counted."""
    finite = np.isfinite(neg_log10_p)
    n_lost = int(neg_log10_p.size - np.count_nonzero(finite))
    values = neg_log10_p[finite] if n_lost else neg_log10_p
    with style.figure_style():
        axes = style.new_axes(style.QQ_SIZE, _MARGINS)
        style.add_axis_labels(axes, r"Expected $-\log_{10}\,P$", r"Observed $-\log_{10}\,P$")
        style.raise_x_label(axes)
        if values.size:
            _draw_quantiles(axes, values)
        else:
            axes.set_xlim(0.0, 1.0)
            axes.set_ylim(0.0, 1.0)
            style.add_empty_message(axes, "No variant")
        facts = [
            *style.sample_phrases(n_samples),
            style.count_phrase(int(values.size), "variant"),
        ]
        if n_lost:
            facts.append(f"{n_lost:,} without a p-value: not shown")
        _write_facts(axes, style.lambda_phrase(lambda_gc), facts)
        style.add_title(axes, title, "")
    return style.figure_of(axes)


def expected_neg_log10_p(ranks: FloatArray, m: int) -> FloatArray:
    """Return -log10((i - 1/2)/m), where the i-th smallest of m uniform p-values is expected."""
    result: FloatArray = -np.log10((ranks - 0.5) / m)
    return result


def chance_band(ranks: FloatArray, m: int) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper end on the -log10 scale of the pointwise 95 % band.

    The i-th smallest of m independent uniform p-values follows Beta(i, m - i + 1).
    """
    tail = (1 - _BAND_LEVEL) / 2
    low_p = special.betaincinv(ranks, m - ranks + 1, tail)
    high_p = special.betaincinv(ranks, m - ranks + 1, 1 - tail)
    return -np.log10(high_p), -np.log10(low_p)


def band_ranks(m: int) -> FloatArray:
    """Return ranks from 1 to m, evenly spaced in the logarithm (the band is smooth in them)."""
    ranks: FloatArray = np.minimum(np.geomspace(1.0, m, _BAND_RANKS), m)
    return ranks


def quantile_points(neg_log10_p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return expected and observed of the points to draw, strongest first."""
    m = neg_log10_p.size
    observed = np.maximum(np.sort(neg_log10_p)[::-1], 0.0)
    expected = expected_neg_log10_p(np.arange(1, m + 1, dtype=np.float64), m)
    kept = thin_curve(expected, observed, _GRID)
    return expected[kept], observed[kept]


def _draw_quantiles(axes: Axes, values: FloatArray) -> None:
    m = values.size
    expected, observed = quantile_points(values)
    ranks = band_ranks(m)
    lower, upper = chance_band(ranks, m)
    middle = expected_neg_log10_p(ranks, m)
    right = max(float(expected[0]), 0.3) * 1.04
    top = max(float(observed[0]), float(upper[0]), right) * 1.04
    axes.set_xlim(0.0, right)
    axes.set_ylim(0.0, top)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], min_n_ticks=3))
    axes.fill_between(middle, lower, upper, color=style.BAND, linewidth=0, zorder=1)
    end = min(right, top)
    axes.plot([0.0, end], [0.0, end], color=style.RULE, linewidth=0.8, zorder=1.5)
    axes.plot(
        expected,
        observed,
        linestyle="none",
        marker="o",
        markersize=_MARKER_SIZE,
        markeredgewidth=0,
        color=style.DARK,
        rasterized=True,
        clip_on=False,
        zorder=2,
    )


def _write_facts(axes: Axes, headline: str, facts: list[str]) -> None:
    """Write lines of our own in the upper left corner, where the curve never is."""
    for line, text in enumerate([headline, *facts]):
        axes.annotate(
            text,
            (0.0, 1.0),
            xycoords="axes fraction",
            xytext=(6.0, -3.0 if line == 0 else -6.0 - 10.0 * line),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=style.SMALL_SIZE if line else style.TEXT_SIZE + 0.5,
            color=style.MUTED if line else style.INK,
        )
