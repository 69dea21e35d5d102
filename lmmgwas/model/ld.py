"""How closely variants go together: the squared correlation of their calls (r2).

    r2 = (sum_i u_i v_i)^2 / (sum_i u_i^2  sum_i v_i^2),   u, v: calls less their mean,
                                                           0 where missing

This is the square of Pearson's correlation of the copies of an allele (Rogers and Huff 2009), a
missing call being at its variant's mean, as in the tests. Every sum is of whole numbers and so
exact: the result does not depend on the number of threads, nor on how variants are blocked.
"""

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.genotypes import MISSING, Calls

Array = NDArray[np.float64]


def squared_correlation(lead: NDArray[np.int8], calls: Calls) -> Array:
    """Return r2 (b,) of each variant with the lead; NaN where one of the two does not vary.

    Costs four products of n b; float64 copies of the block are made.

    Parameters
    ----------
    lead : (n,) copies of the effect allele, MISSING where there is no call
    calls : (b, n) of the other variants, the same samples
    """
    seen, copies = _split(calls)
    lead_seen, lead_copies = _split(lead[None, :])
    n, total, squares = _moments(seen, copies)
    lead_n, lead_total, lead_squares = (float(x[0]) for x in _moments(lead_seen, lead_copies))
    of_lead = np.concatenate([lead_seen, lead_copies]).T
    both = seen @ of_lead  # (b, 2): calls seen in both, and the lead's copies there
    shared = copies @ of_lead  # (b, 2): the variant's copies there, and products
    # Means multiplied out: all whole numbers until the division.
    covariance = n * lead_n * shared[:, 1] + total * lead_total * both[:, 0]
    covariance -= n * lead_total * shared[:, 0] + lead_n * total * both[:, 1]
    spread = n * squares - total**2
    lead_spread = lead_n * lead_squares - lead_total**2
    product = n * lead_n * spread * lead_spread
    varies = (spread > 0.0) & (lead_spread > 0.0)
    result = np.full(n.size, np.nan)
    result[varies] = np.minimum(covariance[varies] ** 2 / product[varies], 1.0)
    return result


def _split(calls: Calls) -> tuple[Array, Array]:
    """Return 1 where there is a call, and the copies, 0 where there is none; (b, n) each."""
    seen = calls != MISSING
    return seen.astype(np.float64), np.where(seen, calls, 0).astype(np.float64)


def _moments(seen: Array, copies: Array) -> tuple[Array, Array, Array]:
    """Return calls, sum and sum of squares (b,) of each variant."""
    return seen.sum(axis=1), copies.sum(axis=1), np.einsum("bn,bn->b", copies, copies)
