"""Who is analysed, in which order, with which trait values.

Everything here is after the join: rows are samples of the genotype file, in its order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lmmgwas.errors import DegenerateError

Array = NDArray[np.float64]

MIN_SAMPLES = 10
_SD_RANGE = (1e-150, 1e150)


@dataclass(frozen=True, slots=True, eq=False)
class StandardTrait:
    """A trait centred and scaled to unit variance, so that no later sum loses digits."""

    values: Array  # (n,) mean 0, mean square 1
    mean: float
    sd: float


@dataclass(frozen=True, slots=True, eq=False)
class SampleTable:
    """The samples of one analysis, in the order of the genotype file.

    Traits that share all of this share the decomposition and the rotation of each block.
    """

    rows: NDArray[np.int64]  # (n,) columns in the blocks of calls
    grm_rows: NDArray[np.int64]  # (n,) rows of the GRM
    males: NDArray[np.int64]  # columns in the blocks of calls of the males among `rows`
    X: Array  # (n, c) orthonormal covariate basis
    hwe_rows: NDArray[np.int64]  # who is counted for the Hardy-Weinberg test
    hwe_females: NDArray[np.int64]  # and on X

    @property
    def n_samples(self) -> int:
        """n."""
        return self.rows.size


def standardise_trait(name: str, values: Array) -> StandardTrait:
    """Return the trait with mean 0 and variance 1 (divisor n), by a two-pass mean.

    Raises DegenerateError when the trait is constant or its spread is out of range.
    """
    # A power of two changes no digit, and no sum or square of what is left can overflow.
    exponent = int(np.frexp(np.abs(values).max())[1])
    scaled = np.ldexp(values, -exponent)
    shift = float(scaled.mean())
    with np.errstate(under="ignore"):
        centred = scaled - shift
        centred = centred - centred.mean()
        largest = float(np.abs(centred).max())
        sd = 0.0 if largest == 0.0 else largest * float(np.sqrt(np.mean((centred / largest) ** 2)))
    mean = float(np.ldexp(shift, exponent))
    if sd == 0.0 or largest <= 4.0 * np.finfo(float).eps * abs(shift):
        raise DegenerateError(
            "E404",
            f"trait '{name}' is constant ({mean:.8g}) over the {values.size} analysed samples: "
            "there is nothing to explain; check the column and the missing-value codes",
        )
    with np.errstate(over="ignore", under="ignore"):
        own_sd = float(np.ldexp(sd, exponent))
    if not _SD_RANGE[0] <= own_sd <= _SD_RANGE[1]:
        raise DegenerateError(
            "E414",
            f"trait '{name}' has a standard deviation of {own_sd:.3g}, beyond "
            f"{_SD_RANGE[0]:g} to {_SD_RANGE[1]:g}: its variance would overflow; change its unit",
        )
    return StandardTrait(centred / sd, mean, own_sd)


def rank_inverse_normal(values: Array) -> Array:
    """Return the rank-based inverse normal transform, ties at their mean rank.

    Quantiles at (rank - 3/8)/(n + 1/4): Blom (1958), as in Beasley, Erickson and Allison (2009).
    """
    from scipy import stats  # slow to load, and rarely needed

    ranks = stats.rankdata(values)
    return np.asarray(special.ndtri((ranks - 0.375) / (values.size + 0.25)))
