"""Where the restricted likelihood is largest: grid, bracket, then safeguarded Newton steps.

The outcome is a value with a status; no input makes this fail. Both ends of [0, H2_MAX] are
part of the grid. A warm start skips the grid: it trusts that the optimum lies in the same
hill as the start, and says `None` when it does not look so. A draft, the same likelihood at
lower precision and cost, may search; the likelihood itself always has the last word.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lmmgwas.numerics.likelihood import H2_MAX, RemlPoint, RestrictedLikelihood

COARSE_GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, H2_MAX)
FINE_GRID = (*(k / 50 for k in range(50)), 0.99, 0.995, 0.999, 0.9999, H2_MAX)

_STEP_TOLERANCE = 1e-10
"""In h2. A change of 1e-10 moves -log10 p by about 1e-9, a tenth of the promise of 1e-8."""

_CLOSE = 5e-6
"""A last step this small, relative to the distance to the ends, is taken without evaluating
again: Newton's method leaves of it less than its square."""

_DRAFT_TOLERANCE = 1e-4
_DRAFT_CUBIC_STEP = 1e-2
"""A draft stops at a step of this size once two points give the cubic: what that leaves is of
the order of the squared errors of both, 1e-6 or less, the noise of float32."""

_BENT_STEP = 5e-5
_DRAFT_BENT_STEP = 0.05
"""Steps, relative to the distance to the ends, that are the last when the slope of the
information is known: such a step leaves an error of its third power (2.4 times it, measured),
and even a slope that is all wrong leaves 1e-9 of a step of 2e-5. The draft's error is taken up
by the likelihood."""

_DRAFT_DOUBT = 1.0
"""A draft whose log-likelihood varies less than this over the grid cannot tell its points apart."""

_FLAT_RANGE = 1e-9
"""Range of the log-likelihood over the grid, relative to its size, below which h2 is unknown."""

_MAX_STEPS = 60
_WARM_MARGIN = 1e-3
_NEAR_ZERO = 0.1
_SPARSE_GRID = (0.1, 0.3, 0.6, 0.9)
"""A warm start below _NEAR_ZERO may end at h2 = 0, where the likelihood falls from there and
lies lower at these points, too; a hill between them would be missed."""


class Status(StrEnum):
    """How the search for h2 ended."""

    CONVERGED = "converged"
    LOWER_BOUND = "lower_bound"
    UPPER_BOUND = "upper_bound"
    FLAT = "flat"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Optimum:
    """The point of the largest likelihood and how it was found."""

    point: RemlPoint
    status: Status
    n_points: int  # evaluations with derivatives, without those of a draft
    slope: float = 0.0  # d information / d h2, 0 where it is not known


@dataclass(frozen=True, slots=True)
class _Ending:
    """When a climb may take its last step without evaluating again."""

    tolerance: float  # of any step, and of the bracket
    close: float  # of a step, relative to the distance to the ends
    cubic_step: float  # of a step by the cubic through two points
    bent_step: float  # of a first step, its slope known, relative to the distance to the ends

    def suffices(self, step: float, h2: float, *, cubic: bool, bent: bool) -> bool:
        """Whether a step of this size from h2 is the last."""
        room = min(h2, 1.0 - h2)
        largest = max(self.tolerance, self.close * room)
        if cubic:
            return step <= max(largest, self.cubic_step)
        return step <= (max(largest, self.bent_step * room) if bent else largest)


_EXACT = _Ending(_STEP_TOLERANCE, _CLOSE, 0.0, _BENT_STEP)
_DRAFT = _Ending(_DRAFT_TOLERANCE, 0.0, _DRAFT_CUBIC_STEP, _DRAFT_BENT_STEP)


def maximise(
    likelihood: RestrictedLikelihood,
    grid: tuple[float, ...],
    draft: RestrictedLikelihood | None = None,
    values: Sequence[float] | None = None,
) -> Optimum:
    """Return the maximum over [0, H2_MAX], from a grid that contains both ends.

    `values`, where they are known already, are the log-likelihood on the grid.
    """
    if values is None:
        values = [(draft or likelihood).loglik(h2) for h2 in grid]
    best = max(range(len(grid)), key=values.__getitem__)
    finite = [value for value in values if value > -math.inf]
    spread = max(finite) - min(finite)
    unsure = best == len(grid) - 1 or spread < _DRAFT_DOUBT or len(finite) < len(grid)
    if draft is not None and unsure:
        return maximise(likelihood, grid)
    if spread <= _FLAT_RANGE * max(1.0, abs(max(finite))):
        return Optimum(likelihood.point(0.0), Status.FLAT, 1)
    if best == 0:
        first = likelihood.point(grid[0])
        if first.score <= 0.0:
            return Optimum(first, Status.LOWER_BOUND, 1)
    if best == len(grid) - 1:
        last = likelihood.point(grid[-1])
        if last.score >= 0.0:
            return Optimum(last, Status.UPPER_BOUND, 1)
    low = grid[max(best - 1, 0)]
    high = grid[min(best + 1, len(grid) - 1)]
    start = grid[best] if 0 < best < len(grid) - 1 else 0.5 * (low + high)
    optimum = _climb_twice(likelihood, draft, low, high, start, 0.0)
    if draft is not None and not _inside(optimum.point, low, high):
        return maximise(likelihood, grid)  # the draft led to the wrong hill
    return optimum


def maximise_from(
    likelihood: RestrictedLikelihood,
    start: float,
    draft: RestrictedLikelihood | None = None,
    slope: float = 0.0,
) -> Optimum | None:
    """Return the maximum next to `start`, None when the search leaves the interior.

    Costs two or three evaluations where the start is good, all but one of them of the draft
    where there is one. `slope`, of the information of a model much like this one, may save one.
    """
    start = min(max(start, 2.0 * _WARM_MARGIN), H2_MAX - 2.0 * _WARM_MARGIN)
    low, high = max(0.0, start - 0.3), min(H2_MAX, start + 0.3)
    origin = likelihood.point(0.0)
    if start < _NEAR_ZERO and origin.score <= 0.0:
        elsewhere = max((draft or likelihood).loglik(h2) for h2 in (start, *_SPARSE_GRID))
        if elsewhere <= origin.loglik:
            return Optimum(origin, Status.LOWER_BOUND, 1)
        return None
    optimum = _climb_twice(likelihood, draft, low, high, start, slope)
    point = optimum.point
    rises = low == 0.0 and origin.score > 0.0  # then the hill may stand next to 0
    if not _inside(point, -1.0 if rises else low, high) or point.loglik < origin.loglik:
        return None
    return optimum


def _inside(point: RemlPoint, low: float, high: float) -> bool:
    """Whether a climb ended on a hilltop, away from the ends of its bracket."""
    clear = low + _WARM_MARGIN < point.h2 < high - _WARM_MARGIN
    return clear and point.information > 0.0


def _climb_twice(
    likelihood: RestrictedLikelihood,
    draft: RestrictedLikelihood | None,
    low: float,
    high: float,
    start: float,
    slope: float,
) -> Optimum:
    """Climb by the draft, where there is one, then by the likelihood from where that led."""
    if draft is not None:
        start, slope = _climb(draft, low, high, start, slope, _DRAFT)[:2]
    h2, slope, points = _climb(likelihood, low, high, start, slope, _EXACT)
    last = points[-1]
    information = last.information + slope * (h2 - last.h2)
    return Optimum(last.moved_to(h2, information), Status.CONVERGED, len(points), slope)


def _climb(
    likelihood: RestrictedLikelihood,
    low: float,
    high: float,
    start: float,
    slope: float,
    ending: _Ending,
) -> tuple[float, float, list[RemlPoint]]:
    """Find the root of the score in (low, high); bisect whenever a fast step would leave it.

    Returns the root, the slope of the information there (`slope` as long as fewer than two
    points tell), and the points that were evaluated, the last one next to the root.
    """
    points = [likelihood.point(start)]
    while True:
        point = points[-1]
        if point.score > 0.0:
            low = max(low, point.h2)
        else:
            high = min(high, point.h2)
        cubic = len(points) > 1
        if cubic:
            slope = _information_slope(points[-2], point)
        target = _next_h2(points, slope)
        if target is None or not low <= target <= high:
            target = 0.5 * (low + high)
        elif ending.suffices(abs(target - point.h2), point.h2, cubic=cubic, bent=slope != 0.0):
            return target, slope, points
        if high - low <= ending.tolerance or len(points) == _MAX_STEPS:
            return point.h2, slope, points
        points.append(likelihood.point(target))


def _information_slope(a: RemlPoint, b: RemlPoint) -> float:
    """Change of the information between two points, per unit of h2."""
    return (b.information - a.information) / (b.h2 - a.h2) if b.h2 != a.h2 else 0.0


def _next_h2(points: list[RemlPoint], slope: float) -> float | None:
    """The root of the score, by what is known of it.

    One point: Newton's step, bent by the slope of the information. Two: the cubic through
    both scores and their slopes.
    """
    point = points[-1]
    if point.information <= 0.0:
        return None
    newton = point.h2 + point.score / point.information
    if len(points) > 1 and points[-2].h2 != point.h2:
        return _hermite_root(points[-2], point, newton)
    square = point.information**2 + 2.0 * slope * point.score
    if slope == 0.0 or square <= 0.0:
        return newton
    return point.h2 + 2.0 * point.score / (point.information + math.sqrt(square))


def _hermite_root(a: RemlPoint, b: RemlPoint, guess: float) -> float:
    """The root near `guess` of the cubic with the scores and slopes of a and b.

    Its error is of the order of the squared errors of both points, so that it usually saves
    one evaluation over Newton's step from b alone.
    """
    width = b.h2 - a.h2
    slope_a, slope_b = -a.information * width, -b.information * width
    c2 = 3.0 * (b.score - a.score) - 2.0 * slope_a - slope_b
    c3 = 2.0 * (a.score - b.score) + slope_a + slope_b
    s = (guess - a.h2) / width
    for _ in range(8):
        value = a.score + s * (slope_a + s * (c2 + s * c3))
        slope = slope_a + s * (2.0 * c2 + 3.0 * s * c3)
        if slope == 0.0:
            return guess
        s -= value / slope
    root = a.h2 + s * width
    # A cubic that strays from Newton's step by more than the step itself is not to be trusted.
    return root if abs(root - guess) <= abs(guess - b.h2) else guess
