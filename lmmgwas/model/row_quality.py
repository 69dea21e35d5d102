"""How many tested variants have few copies of the rarer allele, or many missing calls.

A t statistic leans on the residual's being normal; with few carriers it is the residual of a few
people. Calls that are missing more often in cases than in controls make signals of nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEW_COPIES = 20
"""Below this the normal approximation is doubtful for a trait that is not normal."""

RAREST = 5
"""The smallest count that is tested unless --mac says otherwise."""

MANY_MISSING = 0.05


@dataclass(frozen=True, slots=True)
class RowQuality:
    """Counts over tested variants."""

    n_tested: int = 0
    n_few: int = 0  # fewer than 20 copies of the rarer allele
    n_rarest: int = 0  # fewer than 5
    n_missing: int = 0  # more than 5 % of the calls missing

    def __add__(self, other: "RowQuality") -> "RowQuality":
        return RowQuality(
            self.n_tested + other.n_tested,
            self.n_few + other.n_few,
            self.n_rarest + other.n_rarest,
            self.n_missing + other.n_missing,
        )


def row_quality(
    af: Array,
    n_observed: NDArray[np.int64],
    haploid_x: NDArray[np.bool_],
    n_samples: int,
    n_males: int,
) -> RowQuality:
    """Count over tested variants; the arrays are (m,).

    On X (`haploid_x`) a male has one chromosome. How many of the observed calls are males' is
    taken from their share of the samples. Where calls are missing that is off by a few; times the
    frequency of a rare allele that is mostly less than half a copy, and copies are whole numbers.
    """
    males = n_observed * (n_males / max(n_samples, 1))
    chromosomes = 2.0 * n_observed - np.where(haploid_x, males, 0.0)
    copies = np.rint(np.minimum(af, 1.0 - af) * chromosomes)
    missing = 1.0 - n_observed / max(n_samples, 1)
    return RowQuality(
        n_tested=af.size,
        n_few=int((copies < FEW_COPIES).sum()),
        n_rarest=int((copies < RAREST).sum()),
        n_missing=int((missing > MANY_MISSING + 1e-12).sum()),
    )
