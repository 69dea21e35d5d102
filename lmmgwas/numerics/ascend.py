"""The optimum of h2 by expansions: each costs a factorisation and an inverse in float32.

From a start near the optimum one expansion is enough, from a grid two or three. Nothing is
forced: where the search leaves the interior, the hill or what float32 carries, the answer is
None, and the caller takes the slower and surer way of `optimise`.
"""

from lmmgwas.numerics.expansion import ExpandingReml, RemlExpansion
from lmmgwas.numerics.likelihood import RemlPoint, RestrictedLikelihood
from lmmgwas.numerics.linalg import NotPositiveDefiniteError
from lmmgwas.numerics.optimise import Optimum, Status

INTERIOR = (0.1, 0.9)
"""Where expansions are used: further out float32 and the series lose digits, or a second hill
next to 0 has to be looked for."""

_GRID = (0.1, 0.3, 0.5, 0.7, 0.9)
_BEYOND = 0.97

_TOLERANCE = 2.5e-7
"""Of h2, by the expansion's own doubt (about one standard error): the promise is 1e-6."""

_REACH = 0.06
"""From a centre, in h2, that a root may be the last one: beyond it the series say little."""

_LONGEST_STEP = 0.12
"""From one centre to the next."""

_LAST_STEP = 1e-5
"""Newton's method leaves the square of such a step."""

_MAX_EXPANSIONS = 6
_MAX_NEWTON_STEPS = 50


def ascend_from(reml: ExpandingReml, start: float) -> Optimum | None:
    """Return the maximum next to `start`, None where it is not to be had so."""
    if not INTERIOR[0] <= start <= INTERIOR[1]:
        return None
    try:
        return _ascend(reml, start)
    except NotPositiveDefiniteError:
        return None


def ascend(reml: ExpandingReml) -> Optimum | None:
    """Return the maximum over [0, 1) where a grid in float32 shows it to lie well inside.

    Both ends are looked at: h2 = 0, and _BEYOND, which must lie lower than 0.9.
    """
    try:
        values = [reml.loglik(h2) for h2 in (*_GRID, _BEYOND)]
        best = max(range(len(_GRID)), key=values.__getitem__)
        if values[-1] >= values[-2] or values[best] <= reml.loglik(0.0) or best == 0:
            return None
        return _ascend(reml, _GRID[best])
    except NotPositiveDefiniteError:
        return None


def polish(optimum: Optimum, likelihood: RestrictedLikelihood) -> Optimum | None:
    """Return the optimum by a likelihood in float64, one step from there; None where it is far."""
    point = likelihood.point(optimum.point.h2)
    if point.information <= 0.0:
        return None
    step = point.score / point.information
    if abs(step) > _LAST_STEP:
        return None
    final = point.moved_to(point.h2 + step, point.information)
    return Optimum(final, Status.CONVERGED, optimum.n_points + 1)


def _ascend(reml: ExpandingReml, start: float) -> Optimum | None:
    """Expand, go to the root of the score, expand there, until nothing is in doubt."""
    centre = start
    for n_expansions in range(1, _MAX_EXPANSIONS + 1):
        expansion = reml.expand(centre)
        root = _root(expansion)
        if not INTERIOR[0] <= root <= INTERIOR[1]:
            return None
        if abs(root - centre) < _REACH:
            point = expansion.point(root)
            if point.information <= 0.0:
                return None
            if expansion.doubt(root) <= _TOLERANCE * point.information:
                return _judge(reml, point, n_expansions)
        centre = root
    return None


def _judge(reml: ExpandingReml, point: RemlPoint, n_expansions: int) -> Optimum | None:
    """The hill must be higher than h2 = 0."""
    if point.loglik < reml.loglik(0.0):
        return None
    return Optimum(point, Status.CONVERGED, n_expansions)


def _root(expansion: RemlExpansion) -> float:
    """The root of the score by Newton's method, at most _LONGEST_STEP from the centre."""
    low, high = expansion.h2 - _LONGEST_STEP, expansion.h2 + _LONGEST_STEP
    h2 = expansion.h2
    for _ in range(_MAX_NEWTON_STEPS):
        point = expansion.point(h2)
        step = point.score / point.information if point.information > 0.0 else point.score
        target = min(max(h2 + step, low), high)
        if abs(target - h2) < 1e-12:
            return target
        h2 = target
    return h2
