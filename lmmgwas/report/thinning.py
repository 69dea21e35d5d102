"""Which of millions of points are drawn, and where labels go: geometry without a canvas.

Points that would fall on the same spot of paper are drawn once. Nothing that matters is lost:
every p below 1e-5 stays, and of each cell of the grid the strongest point, so that the skyline
of the plot is the skyline of the data. The choice depends on the data alone.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

KEEP_NEG_LOG10_P = 5.0
"""Variants with p at or below 1e-5 are always drawn."""

ASKED_NEG_LOG10_P = 3.0
"""Variants with p below 1e-3 are in a plot that can be asked, as far as there is room."""

_CHUNK = 1 << 20
_LEAST_SPAN = 1e-9
_LEAST_WIDTH = 0.004
_MAX_GAP = 0.008
_MAX_GAPS = 0.17
_STRONG_SHARE = 0.8
_FINEST = (1100, 320)
_COARSER = 0.85


def thin_points(x: FloatArray, y: FloatArray, grid: tuple[int, int]) -> IntArray:
    """Return the indices, ascending, of the points to draw.

    `x` lies in [0, 1]; `y` is -log10 p, finite and not negative. Kept are all points from
    `KEEP_NEG_LOG10_P` on and, in each of the `grid` (columns, rows) cells over [0, 1] x
    [0, max y], the highest point (the first of equals).
    """
    if x.size == 0:
        return np.empty(0, dtype=np.int64)
    columns, rows = grid
    scale = rows / max(float(y.max()), _LEAST_SPAN)
    best = np.full(columns * rows, -1.0)
    cell = np.empty(x.size, dtype=np.int32)
    for start in range(0, x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        column = np.minimum((x[part] * columns).astype(np.int32), columns - 1)
        row = np.minimum((y[part] * scale).astype(np.int32), rows - 1)
        cell[part] = column * np.int32(rows) + row
        np.maximum.at(best, cell[part], y[part])
    chosen = np.full(columns * rows, -1, dtype=np.int64)
    for start in range(((x.size - 1) // _CHUNK) * _CHUNK, -1, -_CHUNK):
        part = slice(start, start + _CHUNK)
        hits = np.flatnonzero(y[part] == best[cell[part]])[::-1]
        chosen[cell[part][hits]] = hits + start
    always = np.flatnonzero(y >= KEEP_NEG_LOG10_P)
    return np.union1d(chosen[chosen >= 0], always)


def choose_points(x: FloatArray, y: FloatArray, at_most: int) -> IntArray:
    """Return the indices, ascending, of the points of a plot that a reader asks about each.

    As `thin_points`, but never more than `at_most`: all with p < 1e-3, or the most significant
    where these alone would take more than four fifths of the room (of equals the first), and
    of the others the highest in each cell of the finest grid with which they fit.
    """
    strong = np.flatnonzero(y > ASKED_NEG_LOG10_P)
    room = int(_STRONG_SHARE * at_most) if x.size > at_most else at_most
    if strong.size > room:
        strong = np.sort(strong[np.argsort(-y[strong], kind="stable")[:room]])
    is_weak = np.ones(x.size, dtype=np.bool_)
    is_weak[strong] = False
    weak = np.flatnonzero(is_weak)
    left = at_most - strong.size
    return np.union1d(strong, weak[_fit(x[weak], y[weak], left)])


def _fit(x: FloatArray, y: FloatArray, at_most: int) -> IntArray:
    """Thin to at most `at_most` points by the finest grid that does it; all where they fit."""
    if x.size <= at_most:
        return np.arange(x.size, dtype=np.int64)
    columns, rows = _FINEST
    while columns > 1 or rows > 1:
        kept = thin_points(x, np.minimum(y, ASKED_NEG_LOG10_P), (columns, rows))
        if kept.size <= at_most:
            return kept
        scale = min(_COARSER, math.sqrt(at_most / kept.size))
        columns, rows = max(1, int(columns * scale)), max(1, int(rows * scale))
    return np.argsort(-y, kind="stable")[:at_most]


def thin_curve(x: FloatArray, y: FloatArray, grid: tuple[int, int]) -> IntArray:
    """Return the indices of the points of a monotone curve to draw.

    Along a curve points of one cell are neighbours: kept is the first of each run, the last
    point, and all from `KEEP_NEG_LOG10_P` on in `y`.
    """
    if x.size == 0:
        return np.empty(0, dtype=np.int64)
    x_scale = grid[0] / max(float(x.max()), _LEAST_SPAN)
    y_scale = grid[1] / max(float(y.max()), _LEAST_SPAN)
    kept: list[IntArray] = []
    previous = (-1, -1)
    for start in range(0, x.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        column = (x[part] * x_scale).astype(np.int32)
        row = (y[part] * y_scale).astype(np.int32)
        fresh = y[part] >= KEEP_NEG_LOG10_P
        fresh[0] |= (int(column[0]), int(row[0])) != previous
        fresh[1:] |= (np.diff(column) != 0) | (np.diff(row) != 0)
        previous = (int(column[-1]), int(row[-1]))
        kept.append(np.flatnonzero(fresh) + start)
    last = np.array([x.size - 1], dtype=np.int64)
    return np.union1d(np.concatenate(kept), last)


@dataclass(frozen=True, slots=True, eq=False)
class GenomeLayout:
    """Where chromosomes lie on the x axis, in base pairs from the left end."""

    shift: FloatArray  # (k,) to be added to a position
    left: FloatArray  # (k,) left end of each chromosome
    width: FloatArray  # (k,) 0 where nothing is drawn
    total: float


def lay_out(chrom: NDArray[np.integer], pos: NDArray[np.int64], n_chroms: int) -> GenomeLayout:
    """Give each chromosome the span of its positions, at least a sliver, and a gap."""
    low = np.full(n_chroms, np.iinfo(np.int64).max)
    high = np.zeros(n_chroms, dtype=np.int64)
    np.minimum.at(low, chrom, pos)
    np.maximum.at(high, chrom, pos)
    present = high > 0
    low = np.where(present, low, 0)
    span = (high - low).astype(np.float64)
    count = int(np.count_nonzero(present))
    whole = max(float(span.sum()), 1.0)
    width = np.where(present, np.maximum(span, whole * min(_LEAST_WIDTH, 0.3 / count)), 0.0)
    gap = float(width.sum()) * min(_MAX_GAP, _MAX_GAPS / count)
    step = np.where(present, width + gap, 0.0)
    left = np.concatenate([[0.0], np.cumsum(step)[:-1]])
    middle = left + (width - span) / 2
    return GenomeLayout(middle - low, left, width, float(step.sum() - gap))


def fit_in_rows(
    centres: FloatArray, widths: FloatArray, priority: FloatArray, rows: int
) -> IntArray:
    """Return the row of each label, or -1 where it is left out, so that none overlap.

    The label with the highest priority chooses first; all take the first row that is free.
    """
    row_of = np.full(centres.size, -1, dtype=np.int64)
    for label in np.argsort(-priority, kind="stable"):
        reach = (widths + widths[label]) / 2
        near = np.abs(centres - centres[label]) < reach
        for row in range(rows):
            if not np.any(near & (row_of == row)):
                row_of[label] = row
                break
    return row_of


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a label is put: its centre, and where its leader line meets it."""

    centre: tuple[float, float]
    tip: tuple[float, float]
    length: float  # of the leader line


class LabelPlacer:
    """Finds free spots for labels beside their points, one after the other (greedy).

    All lengths in points (1/72 inch), from the lower left corner of a page of `size`. A spot
    is free when the label covers no other label and no other's leader line, nor do leader lines
    cross; among free spots the one that covers few data points and is near wins.
    """

    _CELL = 1.5
    _COST_PER_CELL = 6.0
    _MOST_COVERED = 4
    _CLEARANCE = 1.6
    _PAD = 1.5
    _MARGIN = 3.0

    def __init__(self, size: tuple[float, float], points: FloatArray) -> None:
        self._size = size
        cells = (math.ceil(size[0] / self._CELL), math.ceil(size[1] / self._CELL))
        column = np.clip((points[:, 0] / self._CELL).astype(np.int64), 0, cells[0] - 1)
        row = np.clip((points[:, 1] / self._CELL).astype(np.int64), 0, cells[1] - 1)
        filled = np.zeros((cells[0] + 1, cells[1] + 1), dtype=np.int64)
        filled[column + 1, row + 1] = 1
        self._covered = filled.cumsum(axis=0).cumsum(axis=1)
        self._boxes: list[tuple[float, float, float, float]] = []
        self._lines: list[FloatArray] = []

    def place(self, anchor: tuple[float, float], extent: tuple[float, float]) -> Spot | None:
        """Return where the label of `anchor` goes, or None where there is no room."""
        best: tuple[float, Spot] | None = None
        for centre in self._candidates(anchor, extent):
            box = self._box(centre, extent)
            tip = _nearest(box, anchor)
            length = math.dist(anchor, tip)
            covered = self._points_under(box)
            if length < self._CLEARANCE or covered > self._MOST_COVERED:
                continue
            cost = length + self._COST_PER_CELL * covered
            if best is not None and cost >= best[0]:
                continue
            if not self._is_taken(box, _segment(anchor, tip)):
                best = (cost, Spot(centre, tip, length))
        if best is None:
            return None
        self._boxes.append(self._box(best[1].centre, extent))
        self._lines.append(_segment(anchor, best[1].tip))
        return best[1]

    def _candidates(
        self, anchor: tuple[float, float], extent: tuple[float, float]
    ) -> list[tuple[float, float]]:
        width, height = extent
        left, right = width / 2 + self._MARGIN, self._size[0] - width / 2
        top = self._size[1] - height / 2
        lifts = [0.0, *(height / 2 + 3.0 + 0.5 * height * k for k in range(14))]
        asides = [k * (width / 2 + 4.0) for k in (0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2.2, -2.2)]
        return [
            (min(max(anchor[0] + aside, left), right), anchor[1] + lift)
            for lift in lifts
            for aside in asides
            if anchor[1] + lift <= top
        ]

    def _box(
        self, centre: tuple[float, float], extent: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        half_width, half_height = extent[0] / 2 + self._PAD, extent[1] / 2 + self._PAD / 2
        x, y = centre
        return x - half_width, y - half_height, x + half_width, y + half_height

    def _is_taken(self, box: tuple[float, float, float, float], line: FloatArray) -> bool:
        for other in self._boxes:
            apart = box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1]
            if not (apart or other[3] <= box[1]) or np.any(_inside(line, other)):
                return True
        return any(
            bool(np.any(_inside(other, box))) or _cross(line, other) for other in self._lines
        )

    def _points_under(self, box: tuple[float, float, float, float]) -> float:
        limit = np.array(self._covered.shape) - 1
        low = np.clip(np.floor(np.array(box[:2]) / self._CELL).astype(np.int64), 0, limit)
        high = np.clip(np.ceil(np.array(box[2:]) / self._CELL).astype(np.int64), 0, limit)
        table = self._covered
        total = table[high[0], high[1]] - table[low[0], high[1]]
        return float(total - table[high[0], low[1]] + table[low[0], low[1]])


def _nearest(
    box: tuple[float, float, float, float], point: tuple[float, float]
) -> tuple[float, float]:
    """The point of a box's rim or inside that is nearest to `point`."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _segment(start: tuple[float, float], end: tuple[float, float]) -> FloatArray:
    """Points along a leader line, closer together than a label is high."""
    return np.linspace(start, end, 24)


def _cross(line: FloatArray, other: FloatArray) -> bool:
    """Whether two leader lines cross: each has its ends on both sides of the other."""

    def side(of: FloatArray, point: FloatArray) -> float:
        along, to = of[-1] - of[0], point - of[0]
        return float(along[0] * to[1] - along[1] * to[0])

    return (
        side(line, other[0]) * side(line, other[-1]) < 0
        and side(other, line[0]) * side(other, line[-1]) < 0
    )


def _inside(points: FloatArray, box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    x, y = points[:, 0], points[:, 1]
    return (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])
