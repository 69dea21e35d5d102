"""What the plots of the report's page draw: plain numbers and names, ready for JSON.

The page's own script turns them into plots. Values are rounded to what a screen can show, so
that a page of 50,000 points stays small; the tables have all digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.tails import lambda_gc
from lmmgwas.report.qq import band_ranks, chance_band, quantile_points
from lmmgwas.report.thinning import (
    FloatArray,
    GenomeLayout,
    IntArray,
    choose_points,
    lay_out,
    thin_curve,
)

MOST_POINTS = 40_000
"""Points of one page, all plots of all traits together."""

FREQUENCY_CLASSES = (
    (0.0, 0.01, "below 1 %"),
    (0.01, 0.05, "1 to 5 %"),
    (0.05, 0.51, "5 % and above"),
)
"""Minor-allele frequency: from, up to but without, name."""

_QQ_GRID = (220, 220)
_LEAST_CURVE = 12
_BAND_EVERY = 4
_MAX_NAMED = 15


@dataclass(frozen=True, slots=True, eq=False)
class Genome:
    """The tests of a trait; rows by chromosome, then position. Arrays are (m,)."""

    chrom_names: tuple[str, ...]  # as they are shown
    chrom: NDArray[np.integer]  # index into chrom_names
    pos: NDArray[np.int64]  # base pairs, 0 where unknown
    neg_log10_p: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The variants of a Manhattan plot, and where chromosomes lie."""

    rows: IntArray  # (k,) ascending, of the tests
    layout: GenomeLayout
    n_unplaced: int  # tests without a position, which cannot be drawn


@dataclass(frozen=True, slots=True, eq=False)
class PointDetails:
    """What is said of each point (k,) that a reader points at; "" and NaN where unknown."""

    marker_ids: Sequence[str]
    alleles: Sequence[tuple[str, str]]  # effect, other
    beta: FloatArray
    se: FloatArray
    af: FloatArray


@dataclass(frozen=True, slots=True)
class NamedLead:
    """A lead variant that passes the threshold, to be named in the plot."""

    chrom: int
    pos: int
    neg_log10_p: float
    name: str


@dataclass(frozen=True, slots=True)
class FrequencyClass:
    """The tests of one class of minor-allele frequency, or of all."""

    name: str
    n_variants: int
    lambda_gc: float


@dataclass(frozen=True, slots=True)
class GroupFit:
    """A null model: of a LOCO group, or of the whole genome."""

    group: str
    h2: float
    h2_se: float  # NaN where there is none
    status: str


def choose(genome: Genome, at_most: int) -> Chosen:
    """Choose the points of the Manhattan plot."""
    placed = np.flatnonzero(genome.pos > 0)
    chrom, pos = genome.chrom[placed], genome.pos[placed]
    n_unplaced = int(genome.pos.size - placed.size)
    if placed.size == 0:
        nothing = np.zeros(len(genome.chrom_names))
        return Chosen(placed, GenomeLayout(nothing, nothing, nothing, 0.0), n_unplaced)
    layout = lay_out(chrom, pos, len(genome.chrom_names))
    x = (pos + layout.shift[chrom]) / max(layout.total, 1.0)
    kept = choose_points(x, np.maximum(genome.neg_log10_p[placed], 0.0), at_most)
    return Chosen(placed[kept], layout, n_unplaced)


def manhattan_data(
    genome: Genome,
    chosen: Chosen,
    details: PointDetails,
    leads: Sequence[NamedLead],
    lines: tuple[float, float],
) -> dict[str, Any]:
    """Return the Manhattan plot; `lines` holds the threshold and the suggestive p."""
    rows, layout = chosen.rows, chosen.layout
    y = np.maximum(genome.neg_log10_p[rows], 0.0)
    chrom = genome.chrom[rows]
    heights = [-math.log10(p) for p in lines]
    named = sorted(leads, key=lambda lead: -lead.neg_log10_p)[:_MAX_NAMED]
    pairs = dict.fromkeys(details.alleles)
    place = {pair: k for k, pair in enumerate(pairs)}
    counts = np.bincount(chrom, minlength=len(genome.chrom_names))
    highest = float(y.max(initial=0.0))
    room = 1.14 if named and named[0].neg_log10_p > 0.8 * highest else 1.08
    return {
        "chroms": [
            {
                "name": name,
                "index": k,
                "n": int(counts[k]),
                "shift": float(layout.shift[k]),
                "left": float(layout.left[k]),
                "width": float(layout.width[k]),
            }
            for k, name in enumerate(genome.chrom_names)
            if layout.width[k] > 0
        ],
        "total": layout.total,
        "top": max(highest * room, heights[0] * 1.06, 1.0),
        "lines": heights,
        "line_p": list(lines),
        "pos": genome.pos[rows].tolist(),
        "y": np.round(y, 4).tolist(),
        "id": list(details.marker_ids),
        "pairs": [list(pair) for pair in pairs],
        "pair": [place[pair] for pair in details.alleles],
        "beta": _digits(details.beta),
        "se": _digits(details.se),
        "af": [_or_none(value, 4) for value in details.af.tolist()],
        "leads": [
            {"chrom": lead.chrom, "pos": lead.pos, "y": lead.neg_log10_p, "name": lead.name}
            for lead in named
        ],
    }


def _digits(values: FloatArray) -> list[float | None]:
    """Four significant digits."""
    return [float(f"{x:.4g}") if math.isfinite(x) else None for x in values.tolist()]


def qq_data(
    neg_log10_p: FloatArray, maf: FloatArray, at_most: int
) -> tuple[dict[str, Any], list[FrequencyClass]]:
    """Return the QQ plot, of all tests and by frequency class, and the classes that occur.

    The first curve and class are those of all tests. `at_most` points are drawn in all. `maf` is
    NaN where it is unknown.
    """
    m = neg_log10_p.size
    found = [FrequencyClass("all", m, lambda_gc(neg_log10_p))]
    values = {0: neg_log10_p}  # by the colour of the curve
    for colour, (low, high, name) in enumerate(FREQUENCY_CLASSES, 1):
        inside = neg_log10_p[(maf >= low) & (maf < high)]
        if inside.size:
            found.append(FrequencyClass(name, inside.size, lambda_gc(inside)))
            values[colour] = inside
    if len(values) == 2:  # all variants are of one class, which has no curve of its own
        del values[max(values)]
    room = max(at_most // len(values), _LEAST_CURVE)
    curves = [
        {"name": about.name, "n": about.n_variants, "colour": colour, **_curve(curve, room)}
        for about, (colour, curve) in zip(found, values.items(), strict=False)
    ]
    ranks = band_ranks(m)[::_BAND_EVERY]
    lower, upper = chance_band(ranks, m)
    middle = -np.log10((ranks - 0.5) / m)
    band = {
        name: np.round(side, 4).tolist()
        for name, side in (("x", middle), ("lower", lower), ("upper", upper))
    }
    right = max(curves[0]["expected"][0], 0.3) * 1.04
    top = max(curves[0]["observed"][0], float(upper[0]), right) * 1.04
    return {"curves": curves, "band": band, "right": right, "top": top}, found


def _curve(values: FloatArray, at_most: int) -> dict[str, Any]:
    """Return the points of a curve, strongest first."""
    expected, observed = quantile_points(values)
    grid = _QQ_GRID
    kept = np.arange(expected.size)
    while kept.size > at_most and grid[0] > 1:
        kept = thin_curve(expected, np.minimum(observed, 3.0), grid)
        grid = (grid[0] * 3 // 4, grid[1] * 3 // 4)
    if kept.size > at_most:
        kept = kept[:at_most]
    return {
        "expected": np.round(expected[kept], 4).tolist(),
        "observed": np.round(observed[kept], 4).tolist(),
    }


def h2_data(groups: Sequence[GroupFit], whole: GroupFit) -> dict[str, Any] | None:
    """Return the plot of h2 by LOCO group; None where nothing was estimated."""
    if not groups or whole.status == "fixed":
        return None
    return {
        "names": [fit.group for fit in groups],
        "h2": [round(fit.h2, 5) for fit in groups],
        "se": [_or_none(fit.h2_se, 5) for fit in groups],
        "status": [fit.status for fit in groups],
        "whole": round(whole.h2, 5),
        "whole_se": _or_none(whole.h2_se, 5),
    }


def _or_none(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
