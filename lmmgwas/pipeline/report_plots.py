"""The plots of the report's page: of a run's results, or of a table that is read again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.report.interactive import (
    Chosen,
    FrequencyClass,
    Genome,
    NamedLead,
    PointDetails,
    choose,
    manhattan_data,
    qq_data,
)

_QQ_SHARE = 0.06
_QQ_CAPTION = (
    "Each variant's p against the p expected by chance alone; 95 % of variants without any effect "
    "would lie in the band. λ is the median chi-square over its expectation."
)


@dataclass(frozen=True, slots=True, eq=False)
class TestsDrawn:
    """Manhattan and QQ plot of a trait."""

    data: dict[str, Any]  # by name, as `interactive` has them
    captions: tuple[str, str]
    classes: list[FrequencyClass]


def points_of(genome: Genome, room: int) -> Chosen:
    """Choose the points of the Manhattan plot, where both plots have `room` points in all."""
    return choose(genome, room - _of_quantiles(room))


def draw_tests(
    genome: Genome,
    frequency: NDArray[np.float64],
    chosen: Chosen,
    details: PointDetails,
    leads: Sequence[NamedLead],
    lines: tuple[float, float],
    room: int,
) -> TestsDrawn:
    """Draw both plots of `points_of` the same room.

    `frequency` is the effect allele's (m,), NaN where unknown; `details` are of the chosen
    points; `leads` pass the threshold, and `lines` holds that and the suggestive p.
    """
    n_quantiles = _of_quantiles(room)
    maf = np.minimum(frequency, 1.0 - frequency)
    quantiles, classes = qq_data(genome.neg_log10_p, maf, n_quantiles)
    placed = [lead for lead in leads if lead.pos > 0]
    data = {
        "manhattan": manhattan_data(genome, chosen, details, placed, lines),
        "qq": quantiles,
    }
    caption = _manhattan_caption(chosen, genome.neg_log10_p.size)
    return TestsDrawn(data, (caption, _QQ_CAPTION), classes)


def _of_quantiles(room: int) -> int:
    return int(_QQ_SHARE * room)


def _manhattan_caption(chosen: Chosen, m: int) -> str:
    """What is drawn, what is not, and what can be done with it."""
    k = chosen.rows.size
    drawn = (
        f"All {m:,} variants are drawn"
        if k == m
        else f"All {k:,} variants with a known position are drawn, of {m:,}"
        if k + chosen.n_unplaced == m
        else f"{k:,} of {m:,} variants are drawn: the significant end in full, below it one of "
        "those that would cover each other"
    )
    thinned = k + chosen.n_unplaced < m
    lost = f"; {chosen.n_unplaced:,} have no known position" if thinned * chosen.n_unplaced else ""
    return f"{drawn}{lost}. Drag to zoom, double-click to go back, point at a variant to read it."
