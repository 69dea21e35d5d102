"""A sum Z Z' held against its products with one random vector, which cost next to nothing.

With r of random signs, Z Z' r = sum over variants of z (z'r) is had from the calls in O(n) a
variant, in float64 and without BLAS. A matrix that differs from Z Z' by E then shows by E r, of
which an element is 0 by chance in one of two cases (Freivalds, 1977): a fault that reaches more
than a few elements cannot hide.
"""

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import NumericalError
from lmmgwas.model.blocks import are_dosages
from lmmgwas.model.genotypes import Block, Calls
from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.model.grm_sum import GroupRows, Packed, RowTile
from lmmgwas.model.kernel_products import triangle_product
from lmmgwas.numerics.dosage_kernels import add_signed_dosages
from lmmgwas.numerics.jit import kernel

Array = NDArray[np.float64]

BOUND = 1e-5
"""Largest element of E r over the mean diagonal and sqrt(n). Rounding in float32 gives 5e-9 to
4e-7 (measured: n = 200 to 5,000, groups of 20 to 100,000 variants, clones and two populations)."""

_SEED = 19_770_905


@kernel
def _add_signed_products(
    calls: Calls, values: Array, signs: NDArray[np.int8], first: int, out: Array
) -> None:
    """Add z (z'r) of each variant to out, for samples `first` and later.

    calls (b, n); values (b, 4) are what 0, 1, 2 copies and a missing call stand for in z;
    signs (last,) of 1 and -1, last <= n, are r; out (last - first,).
    """
    n = signs.size
    for j in range(calls.shape[0]):
        zero = one = two = none = 0
        for i in range(n):
            call = calls[j, i]
            sign = signs[i]
            zero += sign * (call == 0)
            one += sign * (call == 1)
            two += sign * (call == 2)
            none += sign * (call < 0)
        u = zero * values[j, 0] + one * values[j, 1] + two * values[j, 2] + none * values[j, 3]
        low, mid, high, lost = (
            u * values[j, 0],
            u * values[j, 1],
            u * values[j, 2],
            u * values[j, 3],
        )
        for i in range(first, n):
            call = calls[j, i]
            chosen = low if call == 0 else lost
            chosen = mid if call == 1 else chosen
            out[i - first] += high if call == 2 else chosen


def scaled_values(centre: Array, scale: Array) -> Array:
    """Return what the calls of b variants stand for in Z (b, 4): missing ones at the mean."""
    copies = np.array([0.0, 1.0, 2.0])
    values = np.zeros((centre.size, 4))
    values[:, :3] = (copies - centre[:, None]) * scale[:, None]
    return values


def observed_values(kept: NDArray[np.bool_]) -> Array:
    """Return what calls stand for where joint observations are counted (b, 4)."""
    values = np.zeros((kept.size, 4))
    values[kept, :3] = 1.0
    return values


class SumCheck:
    """The products that a sum Z Z' must have, of a row tile: r is 0 beyond its last row."""

    def __init__(self, rows: RowTile) -> None:
        self.rows = rows
        self._signs = _random_signs(rows.last)
        self._group = np.zeros(rows.height)

    def products(self, block: Block, values: Array) -> Array:
        """Return sum z (z'r) (height,) of b variants; any thread may call it.

        Calls or dosages (b, n), values (b, 4) as `scaled_values` or `observed_values` have them.
        """
        out = np.zeros(self.rows.height)
        add = add_signed_dosages if are_dosages(block) else _add_signed_products
        add(np.ascontiguousarray(block), values, self._signs, self.rows.first, out)
        return out

    def add(self, products: Array) -> None:
        """Count the products of a tile."""
        self._group += products

    def close_group(
        self, name: str, values: Packed, counts: Packed | None, n_variants: int, threads: int = 1
    ) -> Array:
        """Return the products (height,) of a group that is complete, and begin the next.

        Raises NumericalError (E903) unless the means have these products.
        """
        products, self._group = self._group, np.zeros(self.rows.height)
        means = GroupRows(self.rows, values, counts, products, None)
        check_products(f"group {name}", means, n_variants, threads)
        return products


def check_products(what: str, means: GroupRows, n_variants: int, threads: int = 1) -> None:
    """Raise NumericalError (E903) unless means over n_variants have the products they come with.

    Where pairs have counts of their own, the means are over those.
    """
    rows = means.rows
    signs = _random_signs(rows.last).astype(np.float64)
    found = triangle_product(means.values, means.counts, signs, threads, rows.first)
    if means.counts is None:
        found = found * n_variants
    error = relative_error(found - means.products, _mean_diagonal(means, n_variants))
    if not error <= BOUND:
        raise NumericalError(
            "E903",
            f"the GRM of {what} over {n_variants:,} variants does not reproduce its products "
            f"with the genotypes (relative difference {error:.2g}, at most {BOUND:g} is "
            "rounding): memory or the BLAS library of this machine made an error, and every "
            "test would rest on a wrong matrix. Nothing was written. Run `lmmgwas selftest`; "
            "then run again with --threads 1, with OPENBLAS_CORETYPE=Haswell in the "
            "environment, or on another machine",
        )


def check_counts(what: str, means: GroupRows) -> None:
    """Raise NumericalError (E903) unless counts of pairs have the products they come with."""
    if means.counts is not None and means.count_products is not None:
        alone = GroupRows(means.rows, means.counts, None, means.count_products, None)
        check_products(f"{what} (counts of pairs)", alone, 1)


def relative_error(difference: Array, mean_diagonal: float) -> float:
    """Return the largest element over the mean diagonal and sqrt(n); 0 for no difference.

    sqrt(n), because rounding of n elements adds up in a product with random signs.
    """
    largest = float(np.abs(difference).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    size = abs(mean_diagonal) * np.sqrt(difference.size)
    return largest / size if size > 0.0 else float("inf")


def parts_error(grm: Grm, threads: int = 1) -> float:
    """Return how far the parts of a set are from adding up to its whole.

    The largest element of (S - sum of S_c) r over the mean diagonal and sqrt(n), r of random
    signs and S the mean times its count of variants.
    """
    n = len(grm.iid)
    signs = _random_signs(n).astype(np.float64)
    whole = _sum_times(grm.whole, signs, threads)
    parts = sum(_sum_times(part, signs, threads) for part in grm.parts.values())
    everything = GroupRows(RowTile(0, n), grm.whole.values, grm.whole.counts, whole, None)
    diagonal = _mean_diagonal(everything, grm.whole.n_variants)
    return relative_error(np.asarray(whole - parts), diagonal)


def _sum_times(part: PackedPart, signs: Array, threads: int) -> Array:
    product = triangle_product(part.values, part.counts, signs, threads)
    return product if part.counts is not None else product * part.n_variants


def _mean_diagonal(means: GroupRows, n_variants: int) -> float:
    """The mean diagonal element of the sum."""
    at = np.arange(means.rows.first, means.rows.last)
    at = at * (at + 3) // 2 - means.rows.start
    counts = n_variants if means.counts is None else means.counts[at].astype(np.float64)
    return float((means.values[at].astype(np.float64) * counts).mean())


def _random_signs(n_samples: int) -> NDArray[np.int8]:
    signs = np.random.default_rng(_SEED).integers(0, 2, size=n_samples)
    return (2 * signs - 1).astype(np.int8)
