"""Does a given GRM belong to the genotypes at hand? A look at up to 1,000 samples and variants.

A small GRM is made of random variants and its off-diagonal values are held against those of the
given one, both centred (M K M, M = I - 11'/n) over the same samples. Correlation is free of
scale and origin, so that matrices of any definition, kinships included, can be compared.

A small GRM is noisy: with 1,000 variants its values have a standard deviation of 0.03 around the
truth, more where variants are linked. Made of two halves of the variants, A and B, the noise of
their mean is var(A - B) / 4, whatever the linkage, as long as the halves lie on different
chromosomes. A right matrix with standard deviation s then gives a correlation near

    expected = s / sqrt(s^2 + noise),

and nothing can be said where that is small: in a cohort of unrelated people any matrix will do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.genotypes import MISSING, Calls

Array = NDArray[np.float64]

N_VARIANTS = 1_000
N_SAMPLES = 1_000
SEED = 20_240_601

_MIN_VARIANTS = 40
_MIN_SAMPLES = 20

_WRONG = 0.2
_WRONG_EXPECTED = 0.6
_DOUBTFUL = 0.5
_DOUBTFUL_EXPECTED = 0.8

_TOP_SHARE = 0.005
_MIN_TOP = 50
_RAISED = 1.0
"""The closest pairs of the given matrix lie this many standard deviations above the mean of the
small one: then it knows who is related to whom. The pairs of shuffled samples lie at 0."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a given GRM and one of random variants go together."""

    correlation: float  # of the off-diagonal values
    expected: float  # what it would be were the given matrix right
    reliable: float  # what it would be by the two halves of the variants alone
    closest: float  # where the small one has the given one's closest pairs, in standard deviations
    n_samples: int
    n_variants: int
    two_chromosomes: bool  # the halves of the variants share none

    @property
    def is_wrong(self) -> bool:
        """Whether the matrix must be of other samples: it has structure, and none of theirs."""
        return (
            self.correlation < _WRONG
            and self.expected > _WRONG_EXPECTED
            and self.reliable > _WRONG_EXPECTED
            and self.closest < _RAISED
            and self.two_chromosomes
        )

    @property
    def is_doubtful(self) -> bool:
        """Whether the matrix agrees less than it should."""
        return self.correlation < _DOUBTFUL and self.expected > _DOUBTFUL_EXPECTED


def compare(K: Array, calls: Calls, group: NDArray[np.int64]) -> Agreement | None:
    """Hold K (s, s) against the calls (v, s) of v random variants of the same samples.

    `group` (v,) is the LOCO group of each variant, by number, ascending. Returns None where too
    few samples, or polymorphic variants, are there to say anything, or where K does not vary.
    """
    Z, group = _standardised(calls, group)
    n = K.shape[0]
    if n < _MIN_SAMPLES or len(Z) < _MIN_VARIANTS:
        return None
    first, apart = _first_half(group)
    A = _centred(Z[first].T @ Z[first])
    B = _centred(Z[~first].T @ Z[~first])
    below = np.tril_indices(n, -1)
    given = _centred(K)[below]
    a, b = A[below], B[below]
    small = 0.5 * (a + b)
    if min(given.std(), a.std(), b.std(), small.std()) < 1e-9:
        return None
    noise = float(np.var(a - b)) / 4.0
    agreement = max(float(np.corrcoef(a, b)[0, 1]), 0.0)
    return Agreement(
        correlation=float(np.corrcoef(given, small)[0, 1]),
        expected=float(given.std() / np.sqrt(given.var() + noise)),
        # Spearman and Brown: a mean of two that agree at r agrees with the truth at this.
        reliable=float(np.sqrt(2.0 * agreement / (1.0 + agreement))),
        closest=_closest(given, small),
        n_samples=n,
        n_variants=len(Z),
        two_chromosomes=apart,
    )


def _closest(given: Array, small: Array) -> float:
    """How far the closest pairs of one matrix lie above the mean of the other."""
    n_top = min(max(_MIN_TOP, int(_TOP_SHARE * given.size)), given.size)
    top = np.argsort(-given, kind="stable")[:n_top]
    return float((small[top].mean() - small.mean()) / small.std())


def _standardised(calls: Calls, group: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Variants (v, s) with mean 0 and variance 1, missing calls at the mean; none that is flat."""
    dosage = np.where(calls == MISSING, 0.0, calls)
    n_seen = np.maximum((calls != MISSING).sum(axis=1), 1)[:, None]
    mean = dosage.sum(axis=1, keepdims=True) / n_seen
    centred = np.where(calls == MISSING, 0.0, dosage - mean)
    sd = np.sqrt((centred**2).sum(axis=1, keepdims=True) / n_seen)
    varies = sd[:, 0] > 0.0
    return centred[varies] / sd[varies], group[varies]


def _first_half(group: NDArray[np.int64]) -> tuple[NDArray[np.bool_], bool]:
    """Split the variants about evenly, by group where a third of them can be set apart so."""
    at = np.searchsorted(group, np.unique(group)[1:])
    best = int(at[np.argmin(np.abs(2 * at - group.size))]) if at.size else 0
    apart = min(best, group.size - best) >= group.size // 3
    return np.arange(group.size) < (best if apart else group.size // 2), apart


def _centred(K: Array) -> Array:
    """M K M, scaled to a mean diagonal of 1."""
    rows = K.mean(axis=1)
    centred = K - rows[:, None] - rows[None, :] + rows.mean()
    scale = float(np.trace(centred)) / K.shape[0]
    return np.asarray(centred / scale if scale > 0.0 else centred)
