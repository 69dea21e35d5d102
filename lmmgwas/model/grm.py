"""The genetic relatedness matrix: how it is summed, and how one chromosome is left out.

    K = Z Z' / m_used

Row j of Z' is variant j over N samples, missing calls at the mean, scaled by definition:

    standardized  (x - mean) / observed standard deviation       (FaST-LMM)
    hwe           (x - 2p) / sqrt(2 p (1 - p))                   (GCTA, PLINK 2)
    centered       x - 2p                                        (GEMMA -gk 1)

With the sums S_c = Z_c Z_c' and counts m_c of each group c,

    K_(-c) = (sum S - S_c) / (sum m - m_c).

What is kept is float32, as in GCTA's files, so that a matrix that was built in the run and
one that was read from a file are the same to the last bit. A model's fit uses M K M divided
by tr(M K M)/n, M = I - 11'/n (`centre_and_scale`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError, MismatchError
from lmmgwas.model.genotypes import VariantStats
from lmmgwas.model.grm_sum import Packed
from lmmgwas.numerics.kernels import (
    add_packed,
    add_packed_product,
    add_row_sums,
    centre_symmetric,
    combine_packed,
    mirror_lower,
)
from lmmgwas.numerics.parallel import over_triangle, triangle_chunks

Array = NDArray[np.float64]

MIN_LOCO_VARIANTS = 10


class GrmModel(StrEnum):
    """How a variant is scaled."""

    STANDARDIZED = "standardized"
    HWE = "hwe"
    CENTERED = "centered"


@dataclass(frozen=True, slots=True)
class GrmFilters:
    """Which variants make up the GRM, by what is seen in its samples."""

    maf: float = 0.01
    geno: float = 0.1


def variant_scale(stats: VariantStats, model: GrmModel) -> tuple[Array, Array]:
    """Return centre and scale (b,) of each variant; the scale of a monomorphic one is 0."""
    if model is GrmModel.CENTERED:
        spread = np.where(stats.variance > 0.0, 1.0, 0.0)
    elif model is GrmModel.HWE:
        spread = np.sqrt(0.5 * stats.mean * (2.0 - stats.mean))  # 2 p (1 - p), p = mean / 2
    else:
        spread = np.sqrt(stats.variance)
    usable = (stats.variance > 0.0) & (spread > 0.0)
    scale = np.zeros_like(spread)
    np.divide(1.0, spread, out=scale, where=usable)
    return stats.mean, scale


def kept_in_grm(stats: VariantStats, filters: GrmFilters) -> NDArray[np.bool_]:
    """Return which variants (b,) take part; the slack of 1e-12 is for the rounding of counts."""
    maf = np.minimum(stats.af, 1.0 - stats.af)
    common = maf >= filters.maf - 1e-12
    called = stats.missing_rate <= filters.geno + 1e-12
    return common & called & (stats.variance > 0.0) & (stats.n_observed > 0)


@dataclass(frozen=True, slots=True, eq=False)
class PackedPart:
    """One GRM on file: a mean over variants, lower triangle row by row."""

    values: Packed  # (N (N + 1) / 2,)
    n_variants: int
    counts: Packed | None = None  # (N (N + 1) / 2,) variants seen jointly, for `pairwise`


@dataclass(frozen=True, slots=True, eq=False)
class Grm:
    """A GRM set: the whole matrix, and one part per group so that LOCO is a subtraction.

    Samples are in the order of its own list, which need not be that of the genotypes.
    """

    fid: tuple[str, ...]
    iid: tuple[str, ...]
    whole: PackedPart
    parts: Mapping[str, PackedPart]  # empty where only the whole matrix is known

    def n_variants_without(self, group: str | None) -> int:
        """How many variants are left when `group` is left out (None: all)."""
        return self.whole.n_variants - (self.parts[group].n_variants if group else 0)


def require_groups(available: Iterable[str], tested: tuple[str, ...]) -> None:
    """Raise MismatchError unless each tested autosomal group is one of the GRM's."""
    there = tuple(available)
    absent = [group for group in tested if group not in there]
    if absent:
        raise MismatchError(
            "E803",
            f"the GRM has no part for chromosome {', '.join(absent)} (it has {', '.join(there)}): "
            "test fewer chromosomes with --chr, or build the GRM from all of them",
        )


def check_loco(grm: Grm, groups: tuple[str, ...]) -> None:
    """Raise unless each of the tested autosomal groups can be left out."""
    if not grm.parts:
        raise MismatchError(
            "E804",
            "the GRM has no per-chromosome parts, so that no chromosome can be left out and a "
            "variant would be tested against itself: build it with `lmmgwas grm`, or use --no-loco",
        )
    require_groups(grm.parts, groups)
    for group in groups:
        left = grm.n_variants_without(group)
        if left < MIN_LOCO_VARIANTS:
            raise DegenerateError(
                "E802",
                f"leaving chromosome {group} out leaves {left} of {grm.whole.n_variants} variants "
                f"in the GRM, at least {MIN_LOCO_VARIANTS} are needed: use --no-loco, or a GRM "
                "from more variants (--grm-bfile)",
            )


def loco_matrix(grm: Grm, group: str | None, rows: NDArray[np.int64], threads: int = 1) -> Array:
    """Return K_(-group) (n, n) in float64 over some samples; the whole K when group is None.

    rows (n,) are sample indices of the GRM. Where the group holds more than half of all
    variants the others are summed, which loses fewer digits than a subtraction.
    """
    K = loco_triangle(grm, group, rows, threads)
    mirror_lower(K)
    return K


def loco_triangle(grm: Grm, group: str | None, rows: NDArray[np.int64], threads: int = 1) -> Array:
    """Return K_(-group) as `loco_matrix` has it, lower triangle only, in one pass."""
    terms = _loco_terms(grm, group)
    n = rows.size
    if grm.whole.counts is None:
        K = np.empty((n, n))
        _combine(terms, rows, len(grm.iid), threads, K)
        return K
    K, count = np.zeros((n, n)), np.zeros((n, n))
    for part, sign in terms:
        add_packed_product(part.values, _counts(part), sign, rows, K, count)
    np.divide(K, count, out=K, where=count > 0.0)
    return K


def _combine(
    terms: list[tuple[PackedPart, float]],
    rows: NDArray[np.int64],
    n_grm: int,
    threads: int,
    K: Array,
) -> None:
    """Write the weighted sum of the parts to K's lower triangle."""
    total = sum(sign * part.n_variants for part, sign in terms) or 1
    # One term alone has weight 1 exactly: a GRM without a manifest has no count.
    weights = [sign * part.n_variants / total for part, sign in terms]
    if len(terms) == 1:
        terms, weights = terms * 2, [1.0, 0.0]
    parts = [part.values for part, _ in terms]
    same = rows.size == n_grm and bool((rows == np.arange(n_grm)).all())
    picked = rows[:0] if same else rows

    def work(chunk: tuple[int, int]) -> None:
        combine_packed(parts[0], parts[1], (weights[0], weights[1]), picked, chunk, K)
        for part, weight in zip(parts[2:], weights[2:], strict=True):
            add_packed(part, weight, picked, chunk, K)

    over_triangle(rows.size, threads, work)


def _loco_terms(grm: Grm, group: str | None) -> list[tuple[PackedPart, float]]:
    """The parts, each with its sign, whose sum leaves `group` out."""
    if group is None:
        return [(grm.whole, 1.0)]
    left_out = grm.parts[group]
    if 2 * left_out.n_variants <= grm.whole.n_variants:
        return [(grm.whole, 1.0), (left_out, -1.0)]
    return [(part, 1.0) for name, part in grm.parts.items() if name != group]


def _counts(part: PackedPart) -> Packed:
    if part.counts is None:
        raise MismatchError("E805", "a part of the GRM lacks its .grm.N.bin file")
    return part.counts


def centre_and_scale(K: Array, threads: int = 1) -> float:
    """Replace K by M K M / grm_scale and return grm_scale = tr(M K M)/n, M = I - 11'/n.

    The lower triangle of K (n, n) is read, both are written.

    Raises DegenerateError for a K that is constant, or not finite.
    """
    n = K.shape[0]
    row_means = _row_sums(K, threads) / n
    mean = float(row_means.mean())
    scale: float = float((K.diagonal() - 2.0 * row_means + mean).sum()) / n
    if not np.isfinite(scale):
        raise DegenerateError("E702", "the GRM holds values that are not finite")
    if scale <= 1e-10 * float(np.abs(row_means).max()):
        raise DegenerateError(
            "E703",
            f"the GRM has a mean diagonal of {scale:.3g} after centring: the samples do not differ",
        )
    over_triangle(
        n, threads, lambda chunk: centre_symmetric(row_means, mean, 1.0 / scale, chunk, K)
    )
    return scale


def _row_sums(K: Array, threads: int) -> Array:
    """Row sums (n,) of a symmetric matrix from its lower triangle; chunks are added in order."""
    n = K.shape[0]
    sums = {chunk: np.zeros(n) for chunk in triangle_chunks(n)}
    over_triangle(n, threads, lambda chunk: add_row_sums(K, chunk, sums[chunk]))
    return np.asarray(sum(sums.values()))
