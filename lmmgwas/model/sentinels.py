"""Numbers that may stand for a missing value: -999, 9999 and their like.

Nothing is dropped for it: what a value means, only the user knows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_REPEATS = 3
FAR = 10.0


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A value that looks like a code."""

    value: float
    count: int
    distance: float  # from the median, in median absolute deviations


def find_sentinels(values: NDArray[np.float64]) -> tuple[Sentinel, ...]:
    """Return the values (n, NaN where missing) that repeat and lie far from all others.

    A sentinel stands at least MIN_REPEATS times, more than FAR median absolute deviations from
    the median, and nothing but other sentinels lies in the outer half of the way to it: a long
    tail has neighbours, a code has none. Where most values are the same, the deviations are
    those of the other values.
    """
    known = values[~np.isnan(values)]
    levels, counts = np.unique(known, return_counts=True)
    if levels.size < 2:
        return ()
    unit = float(np.abs(levels).max())
    places = levels / unit  # so that no sum overflows
    centre = float(np.median(known / unit))
    away = np.abs(known / unit - centre)
    spread = float(np.median(away)) or float(np.median(away[away > 0.0]))
    distance = (places - centre) / spread
    suspect = (counts >= MIN_REPEATS) & (np.abs(distance) > FAR)
    plain = np.ones(levels.size, dtype=np.bool_)
    found = []
    for k in sorted(np.flatnonzero(suspect).tolist(), key=lambda k: abs(distance[k])):
        # As shares of the way from the median to this value; 1 is the value itself.
        way = distance[plain] / distance[k]
        if not ((way >= 0.5) & (way < 1.0)).any():
            plain[k] = False
            found.append(Sentinel(float(levels[k]), int(counts[k]), abs(float(distance[k]))))
    return tuple(found)
