"""Samples whose calls look wrong: many of them missing, or heterozygous more or less than others.

Heterozygosity is the share of heterozygous calls among those observed. Contamination and mixed
samples raise it, inbreeding and lost alleles lower it; most of a cohort lies close together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.genotypes import MISSING, Calls, Indices

Array = NDArray[np.float64]

MAX_MISSING = 0.2
"""Share of missing calls of a sample above which it is named."""

OUTLYING = 6.0
"""Robust standard deviations from the median heterozygosity beyond which a sample is named: of a
million normal values none is expected there."""

LEAST_DISTANCE = 0.05
"""From the median, too: where most samples are inbred lines, all but alike, the robust standard
deviation is next to nothing, and what is left of heterozygosity in a line is no fault."""

MIN_CALLS = 50
"""Observed calls of a sample that its heterozygosity must rest on."""

_NORMAL = 1.4826
"""The standard deviation of a normal sample over the median absolute deviation."""


class SampleCounts:
    """Missing and heterozygous calls of N samples, summed block by block."""

    def __init__(self, n_samples: int) -> None:
        self.n_variants = 0
        self.missing: Indices = np.zeros(n_samples, dtype=np.int64)
        self.heterozygous: Indices = np.zeros(n_samples, dtype=np.int64)

    def add(self, calls: Calls) -> None:
        """Count a block (b, N); variants without any call say nothing of a sample."""
        seen = calls[(calls != MISSING).any(axis=1)]
        self.n_variants += len(seen)
        self.missing += (seen == MISSING).sum(axis=0)
        self.heterozygous += (seen == 1).sum(axis=0)


@dataclass(frozen=True, slots=True, eq=False)
class DoubtfulSamples:
    """Who stands out, by place, the worst first, with the shares that say so."""

    missing: tuple[tuple[int, float], ...]  # sample, share of missing calls
    heterozygosity: tuple[tuple[int, float], ...]  # sample, share of heterozygous calls
    median: float  # of the heterozygosity


def doubtful_samples(counts: SampleCounts) -> DoubtfulSamples:
    """Return who has more than 20 % of the calls missing, and whose heterozygosity lies apart."""
    missing = counts.missing / max(counts.n_variants, 1)
    lacking = np.flatnonzero(missing > MAX_MISSING)
    lacking = lacking[np.argsort(-missing[lacking], kind="stable")]
    observed = counts.n_variants - counts.missing
    usable = np.flatnonzero(observed >= MIN_CALLS)
    if not usable.size:
        return DoubtfulSamples(_named(lacking, missing), (), float("nan"))
    share = np.zeros(missing.size)
    share[usable] = counts.heterozygous[usable] / observed[usable]
    median = float(np.median(share[usable]))
    distance = np.abs(share - median)
    spread = _NORMAL * float(np.median(distance[usable]))
    bound = max(OUTLYING * spread, LEAST_DISTANCE)
    outlying = usable[distance[usable] > bound]
    outlying = outlying[np.argsort(-distance[outlying], kind="stable")]
    return DoubtfulSamples(_named(lacking, missing), _named(outlying, share), median)


def _named(samples: Indices, share: Array) -> tuple[tuple[int, float], ...]:
    return tuple((i, float(share[i])) for i in samples.tolist())
