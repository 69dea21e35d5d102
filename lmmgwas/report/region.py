"""A locus as a regional plot shows it: its variants, their r2 to the lead, its genes.

Types, classes of r2 and the places of genes: geometry without a canvas.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.genes import Gene

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

__all__ = ["R2_BOUNDS", "R2_COLOURS", "Gene", "GeneTracks", "Region", "pack_genes", "r2_classes"]

R2_BOUNDS = (0.2, 0.4, 0.6, 0.8)
"""Where one class of r2 ends and the next, which it belongs to, begins."""

R2_COLOURS = ("#b9c6d3", "#6f9fd8", "#1f4e8c", "#f0a202", "#d1410c")
"""From the lowest class to the highest: apart for every kind of colour vision, and from grey."""

LEAD_COLOUR = "#1a1a1a"
UNKNOWN_COLOUR = "#8a949d"

UNKNOWN = -1
"""The class of variants whose r2 is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The surroundings of one lead variant; k variants by position."""

    trait: str
    lead_id: str
    chrom: str  # as it is shown: X, not 23
    lead_pos: int
    start: int  # base pairs, both ends included
    end: int
    pos: IntArray  # (k,)
    neg_log10_p: FloatArray  # (k,)
    r2: FloatArray  # (k,) to the lead; NaN where unknown
    marker_ids: tuple[str, ...]  # (k,)
    genes: tuple[Gene, ...] = ()  # that reach into it, by start
    genes_known: bool = False  # whether none means that there is none

    @property
    def has_gene_panel(self) -> bool:
        """Whether genes are shown, or that there is none."""
        return self.genes_known or bool(self.genes)

    @property
    def lead(self) -> int:
        """Which of the variants is the lead."""
        here = np.flatnonzero(self.pos == self.lead_pos)
        named = [k for k in here.tolist() if self.marker_ids[k] == self.lead_id]
        return max(named or here.tolist(), key=lambda k: float(self.neg_log10_p[k]))


def r2_classes(r2: FloatArray) -> IntArray:
    """Return the class (k,) of each r2: an index into R2_COLOURS, or UNKNOWN."""
    classes = np.searchsorted(np.array(R2_BOUNDS), np.nan_to_num(r2), side="right")
    return np.where(np.isnan(r2), UNKNOWN, classes).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class GeneTracks:
    """Where g genes are drawn. Lengths are in points from the left end of the axes."""

    left: FloatArray  # (g,) of the bar
    right: FloatArray  # (g,)
    label: FloatArray  # (g,) centre of the name
    row: IntArray  # (g,) from the top; -1 where there is no room for the gene
    named: NDArray[np.bool_]  # (g,) whether there is room for its name
    n_rows: int  # of genes with names, and those beside them
    n_bar_rows: int = 0  # below them, of bars without names


@dataclass(slots=True)
class _Row:
    """What is taken of a row: stretches that do not overlap."""

    taken: list[tuple[float, float]] = field(default_factory=list)

    def is_free(self, left: float, right: float) -> bool:
        return all(right <= a or left >= b for a, b in self.taken)


_GAP = 3.0  # between neighbours, points
_BAR_GAP = 0.8
_LEAST_BAR = 1.2
_MOST_BAR_ROWS = 4


def pack_genes(
    bars: FloatArray, label_widths: FloatArray, focus: float, width: float, most_rows: int
) -> GeneTracks:
    """Return rows for genes in which neither bars nor names overlap.

    From left to right each gene takes the first row with room for bar and name. Where that
    takes more than `most_rows`, those nearest to `focus` come first; the others are bars without
    a name in rows below, as many as there is room for.

    Parameters
    ----------
    bars : (g, 2) left and right end of each gene, in points; they may lie beyond the axes
    label_widths : (g,) of the names, in points; 0 where there is none
    focus : of the lead variant, in points
    width : of the axes, in points
    """
    left, right = np.clip(bars[:, 0], 0.0, width), np.clip(bars[:, 1], 0.0, width)
    thin = np.maximum(_LEAST_BAR - (right - left), 0.0) / 2
    left, right = left - thin, right + thin
    half = np.minimum(label_widths, width) / 2
    label = np.clip((left + right) / 2, half, width - half)
    outer = np.minimum(left, label - half), np.maximum(right, label + half)
    row, n_rows = _first_fit(outer)
    if n_rows <= most_rows:
        return GeneTracks(left, right, label, row, label_widths > 0.0, n_rows)
    away = np.maximum(np.maximum(left - focus, focus - right), 0.0)
    nearest = np.lexsort((left, away))
    row = np.full(left.size, -1, dtype=np.int64)
    _fill([_Row() for _ in range(most_rows)], nearest, outer, _GAP, row)
    named = (row >= 0) & (label_widths > 0.0)
    others = nearest[row[nearest] < 0]
    below = np.full(left.size, -1, dtype=np.int64)
    _fill([_Row() for _ in range(_MOST_BAR_ROWS)], others, (left, right), _BAR_GAP, below)
    row = np.where(below >= 0, most_rows + below, row)
    return GeneTracks(left, right, label, row, named, most_rows, int(below.max()) + 1)


def _first_fit(ends: tuple[FloatArray, FloatArray]) -> tuple[IntArray, int]:
    """Return the row of each gene, and how many there are, added as they are needed."""
    row = np.zeros(ends[0].size, dtype=np.int64)
    reach: list[float] = []  # of each row so far
    for k in np.lexsort((ends[1], ends[0])).tolist():
        left, right = float(ends[0][k]), float(ends[1][k])
        free = next((r for r, taken in enumerate(reach) if left >= taken + _GAP), len(reach))
        reach[free : free + 1] = [right]
        row[k] = free
    return row, len(reach)


def _fill(
    rows: list[_Row],
    order: IntArray,
    ends: tuple[FloatArray, FloatArray],
    gap: float,
    out_row: IntArray,
) -> None:
    """Put genes into the rows that have room, in this order; write which into `out_row`."""
    for k in order.tolist():
        left, right = float(ends[0][k]) - gap / 2, float(ends[1][k]) + gap / 2
        for number, row in enumerate(rows):
            if row.is_free(left, right):
                row.taken.append((left, right))
                out_row[k] = number
                break
