"""What hard calls and dosages have in common: one door for each step, whatever a block holds.

A source gives blocks of one kind. Calls are int8, dosages uint16 in units of 2^-14 of a copy,
as a .pgen has them: what is computed of a dosage of 0, 1 or 2 is what is computed of that call.

- Counts, frequencies and variances are those of the dosages; a missing dosage is what is missing.
- A man's X: dosages from 0 to 2 as calls are 0 or 2; exactly one copy is a heterozygous call.
- The GRM is made of dosages, too, as PLINK 2's is.
- Hardy-Weinberg tests count hard calls, which the file has beside the dosages; where samples
  are judged by random variants, a dosage counts as the nearest number of copies.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.genotypes import (
    MISSING,
    Block,
    Calls,
    Dosages,
    Indices,
    VariantStats,
    variant_stats,
)
from lmmgwas.numerics.dosage_kernels import (
    NO_DOSAGE,
    ONE,
    add_missing_dosages,
    calls_of_dosages,
    dosages_of_calls,
    fill_dosage_tile,
    mask_single_copies,
    sum_dosages,
)
from lmmgwas.numerics.kernels import add_missing, count_calls, fill_tile, mask_heterozygotes

Array = NDArray[np.float64]


def are_dosages(block: Block) -> bool:
    """Tell whether a block holds dosages."""
    return block.dtype == np.uint16


def block_stats(
    block: Block, males: Block | None = None, haploid: NDArray[np.bool_] | None = None
) -> VariantStats:
    """Return the statistics of the variants of a block (b, n).

    `males` (b, k) are the columns of its men, who have one chromosome where `haploid` (b,) holds;
    None: nowhere.
    """
    counted = _sums if are_dosages(block) else _counts
    every = counted(block)
    of_males = None
    if males is not None and haploid is not None:
        of_males = counted(males)
        of_males[~haploid] = 0
    if are_dosages(block):
        return dosage_stats(every, block.shape[1], of_males)
    return variant_stats(every, of_males)


def _counts(calls: Block) -> Indices:
    """Counts of 0, 1, 2 and missing calls (b, 4)."""
    counts = np.empty((calls.shape[0], 4), dtype=np.int64)
    count_calls(np.ascontiguousarray(calls), counts)
    return counts


def _sums(dosages: Block) -> Indices:
    """Counts, sums and sums of squares (b, 3), as `sum_dosages` has them."""
    sums = np.empty((dosages.shape[0], 3), dtype=np.int64)
    sum_dosages(np.ascontiguousarray(dosages), sums)
    return sums


def dosage_stats(sums: Indices, n_samples: int, male_sums: Indices | None = None) -> VariantStats:
    """Return the statistics of b variants from sums of their dosages (b, 3), see `sum_dosages`.

    male_sums (b, 3) holds the males' share of `sums` where they are haploid (X): a dosage of 2
    is one copy there, and one chromosome is counted. All-missing variants have mean, variance,
    af and mac 0.
    """
    observed, total, squares = sums.T
    divisor = np.maximum(observed, 1)
    rest = (total % divisor).astype(np.float64)  # the sum of the distances that are squared
    mean = total / ONE / divisor
    variance = np.maximum((squares - rest * rest / divisor) / divisor, 0.0) / ONE**2
    variance[squares == 0] = 0.0  # exactly, where all are equal
    copies, chromosomes = total / ONE, 2 * observed
    if male_sums is not None:
        copies = copies - male_sums[:, 1] / (2 * ONE)
        chromosomes = chromosomes - male_sums[:, 0]
    af = copies / np.maximum(chromosomes, 1)
    mac = np.minimum(copies, chromosomes - copies)
    return VariantStats(n_samples, observed, mean, variance, af, mac)


def fill_block(block: Block, centre: Array, scale: Array, out: NDArray[Any]) -> None:
    """Write (copies - centre) * scale to out (b, n), 0 where missing; centre and scale are (b,)."""
    if are_dosages(block):
        fill_dosage_tile(block, centre, scale, out)
    else:
        fill_tile(block, centre, scale, out)


def count_missing(block: Block, out: Indices) -> None:
    """Add to out (N,) how many variants of a block (b, N) each sample lacks."""
    if are_dosages(block):
        add_missing_dosages(block, out)
    else:
        add_missing(block, out)


def mask_single(block: Block, samples: Indices) -> int:
    """Set single copies of samples that have one chromosome missing, in place; return how many."""
    if are_dosages(block):
        return int(mask_single_copies(samples, block))
    return int(mask_heterozygotes(samples, MISSING, block))


def observed(block: Block) -> NDArray[np.bool_]:
    """Return where a call or dosage is there (b, n)."""
    there: NDArray[np.bool_] = block != NO_DOSAGE if are_dosages(block) else block >= 0
    return there


def copies_of(block: Block) -> Array:
    """Return a block as copies (b, n) of the effect allele, NaN where missing."""
    scale = 1.0 / ONE if are_dosages(block) else 1.0
    return np.where(observed(block), block * scale, np.nan)


def nearest_calls(block: Block) -> Calls:
    """Return a block as calls (b, n): of a dosage the nearest number of copies."""
    if not are_dosages(block):
        return np.asarray(block, dtype=np.int8)
    calls = np.empty(block.shape, dtype=np.int8)
    calls_of_dosages(block, MISSING, calls)
    return calls


def as_dosages(block: Block) -> Dosages:
    """Return a block as dosages (b, n)."""
    if are_dosages(block):
        return np.asarray(block, dtype=np.uint16)
    dosages = np.empty(block.shape, dtype=np.uint16)
    dosages_of_calls(block, dosages)
    return dosages
