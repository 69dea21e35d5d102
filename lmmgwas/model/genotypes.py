"""Variants, samples and blocks of calls or dosages: the types that a study is made of.

A block is variant-major: row j holds the calls of variant j for all samples of the
source, as copies (0, 1, 2) of the effect allele, `MISSING` where there is no call; or its
dosages (see `blocks`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.chromosomes import Chromosome, Karyotype, LabelRow, Role, arrange, label_table
from lmmgwas.numerics.kernels import count_calls

MISSING = -127
"""The code of a missing call in a block (bed-reader's own, too)."""

Calls = NDArray[np.int8]
Dosages = NDArray[np.uint16]
"""Imputed copies in units of 2^-14, as a .pgen has them; 65535 where there is none."""

Block = NDArray[Any]
"""Calls (int8) or dosages (uint16), (b, N); which of them, `blocks.are_dosages` tells."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RawVariants:
    """The variants of a file set as written there, in file order, before any choice."""

    labels: tuple[str, ...]  # the distinct chromosome labels, in order of appearance
    label_code: NDArray[np.int32]  # (m,) index into labels
    pos: Indices  # (m,) base pairs; 0 or negative where unknown
    marker_id: Any  # (m,) pyarrow string array
    effect_allele: Any  # (m,) pyarrow string array: column 5 of the .bim or ALT, never flipped
    other_allele: Any  # (m,) pyarrow string array: column 6 of the .bim or REF
    other_is_reference: NDArray[np.bool_] | None = None  # (m,) known to be; None: of none
    first_line: int = 1  # of the file, where row 0 stands

    def __len__(self) -> int:
        return self.pos.size


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples of a file set, in file order. IDs are strings, always."""

    fid: tuple[str, ...]  # "" where the file gives none (or "0")
    iid: tuple[str, ...]
    sex: NDArray[np.int8]  # (n,) 1 male, 2 female, 0 unknown
    founder: NDArray[np.bool_]  # (n,) neither parent is named, as PLINK has it

    def __len__(self) -> int:
        return len(self.iid)


class GenotypeSource(Protocol):
    """Where calls or dosages come from. A new file format is one class with this shape."""

    @property
    def samples(self) -> Samples: ...

    @property
    def variants(self) -> RawVariants: ...

    @property
    def has_dosages(self) -> bool:
        """Whether blocks hold dosages."""
        ...

    def read(self, variant_index: Indices) -> Block:
        """Return the calls, or dosages, (b, n) of these variants for all samples."""
        ...

    def hard_calls(self, variant_index: Indices) -> Calls:
        """Return the calls (b, n) of these variants, whatever `read` returns."""
        ...

    def paths(self) -> Sequence[Any]:
        """The files that the source rests on, for the manifest."""
        ...

    def check_unchanged(self) -> None:
        """Raise FileAccessError (E106) if a file is not the one that was opened. Cheap."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Variants:
    """Chosen variants in output order: by chromosome, position, place in the file.

    `chrom` indexes `chromosomes`. Positions that the file does not give are 0.
    """

    raw: RawVariants
    chromosomes: tuple[Chromosome, ...]
    source_index: Indices  # (m,) row in the file
    chrom: NDArray[np.int32]  # (m,)
    haploid_x: NDArray[np.bool_]  # (m,) on X outside the pseudo-autosomal regions

    def __len__(self) -> int:
        return self.source_index.size

    @property
    def pos(self) -> Indices:
        """Base pairs (m,), 0 where unknown."""
        return np.maximum(self.raw.pos[self.source_index], 0)

    def take(self, rows: Any) -> "Variants":
        """Return some of these variants, by index, mask or slice."""
        return Variants(
            self.raw,
            self.chromosomes,
            self.source_index[rows],
            self.chrom[rows],
            self.haploid_x[rows],
        )

    def groups(self) -> tuple[str, ...]:
        """The LOCO groups that occur here, in output order."""
        present = set(np.unique(self.chrom).tolist())
        names = [c.group for k, c in enumerate(self.chromosomes) if k in present]
        return tuple(dict.fromkeys(names))

    def in_group(self, group: str) -> "Variants":
        """Return the variants of one LOCO group, in output order."""
        return self.take(np.isin(self.chrom, self._indices(lambda c: c.group == group)))

    def with_role(self, role: Role) -> NDArray[np.bool_]:
        """Return which variants (m,) lie on chromosomes of that role."""
        return np.isin(self.chrom, self._indices(lambda c: c.role is role))

    def _indices(self, wanted: Callable[[Chromosome], bool]) -> list[int]:
        return [k for k, c in enumerate(self.chromosomes) if wanted(c)]


def arrange_variants(
    raw: RawVariants, karyotype: Karyotype, min_loco_variants: int
) -> tuple[Variants, tuple[LabelRow, ...]]:
    """Return all variants in output order, and what each chromosome label was taken for."""
    counts = np.bincount(raw.label_code, minlength=len(raw.labels))
    table = label_table(raw.labels, counts, karyotype)
    chromosomes, index_of = arrange(table, karyotype, min_loco_variants)
    by_label = np.array([index_of[label] for label in raw.labels], dtype=np.int32)
    haploid = np.array([row.role is Role.X for row in table], dtype=np.bool_)
    chrom = by_label[raw.label_code]
    order = _output_order(chrom, np.maximum(raw.pos, 0))
    return Variants(raw, chromosomes, order, chrom[order], haploid[raw.label_code][order]), table


def _output_order(chrom: NDArray[np.int32], pos: Indices) -> Indices:
    """Return the rows by chromosome, position and place in the file; most files are in order."""
    follows = chrom[1:] > chrom[:-1]
    follows |= (chrom[1:] == chrom[:-1]) & (pos[1:] >= pos[:-1])
    if follows.all():
        return np.arange(pos.size, dtype=np.int64)
    return np.lexsort((pos, chrom)).astype(np.int64)  # stable


class Reason(StrEnum):
    """Why a variant is not tested. The first that holds, in this order, is written."""

    NON_AUTOSOME = "NON_AUTOSOME"
    UNPLACED = "UNPLACED"
    SAME_ALLELES = "SAME_ALLELES"
    ALL_MISSING = "ALL_MISSING"
    HIGH_MISSING = "HIGH_MISSING"
    MONOMORPHIC = "MONOMORPHIC"
    LOW_MAF = "LOW_MAF"
    LOW_MAC = "LOW_MAC"
    HWE = "HWE"
    COLLINEAR = "COLLINEAR"


REASONS = tuple(Reason)
KEPT = -1
"""In arrays of reasons: the variant is tested; otherwise an index into REASONS."""


@dataclass(frozen=True, slots=True)
class VariantFilters:
    """Which variants may take part, by what is seen in the samples at hand."""

    maf: float = 0.0  # minor-allele frequency, at least
    mac: float = 0.0  # minor-allele count, at least
    geno: float = 1.0  # fraction of missing calls, at most
    hwe: float = 0.0  # exact Hardy-Weinberg p, at least


@dataclass(frozen=True, slots=True, eq=False)
class VariantStats:
    """What the calls of b variants look like over n samples. All arrays are (b,)."""

    n_samples: int
    n_observed: Indices
    mean: NDArray[np.float64]  # of the observed calls, in copies of the effect allele
    variance: NDArray[np.float64]  # of the observed calls, divisor n_observed
    af: NDArray[np.float64]  # effect-allele frequency; on X males count once
    mac: NDArray[np.float64]  # minor-allele count; on X males count once

    def take(self, rows: Any) -> "VariantStats":
        """Return the statistics of some of the variants, by index, mask or slice."""
        return VariantStats(
            self.n_samples,
            self.n_observed[rows],
            self.mean[rows],
            self.variance[rows],
            self.af[rows],
            self.mac[rows],
        )

    @classmethod
    def joined(cls, parts: "Sequence[VariantStats]") -> "VariantStats":
        """Return the statistics of several blocks over the same samples as one."""
        return cls(
            parts[0].n_samples,
            np.concatenate([part.n_observed for part in parts]),
            np.concatenate([part.mean for part in parts]),
            np.concatenate([part.variance for part in parts]),
            np.concatenate([part.af for part in parts]),
            np.concatenate([part.mac for part in parts]),
        )

    @property
    def missing_rate(self) -> NDArray[np.float64]:
        """Fraction of missing calls (b,)."""
        return 1.0 - self.n_observed / self.n_samples


def variant_stats(counts: Indices, male_counts: Indices | None = None) -> VariantStats:
    """Return the statistics of b variants from their counts of 0, 1, 2 and missing calls (b, 4).

    male_counts (b, 4) holds the males' share of `counts` where they are haploid (X): a male
    called 2 carries one copy, and one chromosome is counted for him. All-missing variants have
    mean, variance, af and mac 0.
    """
    one, two = counts[:, 1], counts[:, 2]
    observed = counts[:, :3].sum(axis=1)
    divisor = np.maximum(observed, 1)
    mean = (one + 2 * two) / divisor
    variance = np.maximum((one + 4 * two) / divisor - mean**2, 0.0)
    # Exactly zero where all calls are equal, whatever the rounding of the line above.
    variance[(counts[:, :3] > 0).sum(axis=1) <= 1] = 0.0
    copies, chromosomes = one + 2 * two, 2 * observed
    if male_counts is not None:
        copies = copies - male_counts[:, 2]
        chromosomes = chromosomes - male_counts[:, 0] - male_counts[:, 2]
    af = copies / np.maximum(chromosomes, 1)
    mac = np.minimum(copies, chromosomes - copies).astype(np.float64)
    n_samples = int(counts[0].sum()) if len(counts) else 0
    return VariantStats(n_samples, observed, mean, variance, af, mac)


def calls_of(block: Block, samples: Indices) -> Block:
    """Return the calls (b, n) of the samples at these columns (distinct, ascending) of (b, N)."""
    if samples.size == block.shape[1]:
        return block
    return np.take(block, samples, axis=1)


def count_block(calls: Block, samples: Indices) -> Indices:
    """Return counts of 0, 1, 2 and missing calls (b, 4) over the samples at these columns."""
    counts = np.empty((calls.shape[0], 4), dtype=np.int64)
    count_calls(np.ascontiguousarray(calls_of(calls, samples)), counts)
    return counts


def exclusion_reasons(
    stats: VariantStats,
    filters: VariantFilters,
    same_alleles: NDArray[np.bool_],
    hwe_p: NDArray[np.float64] | None = None,
) -> NDArray[np.int8]:
    """Return for each variant (b,) an index into REASONS, or KEPT.

    `hwe_p` (b,) is needed where filters.hwe is above 0.
    Frequencies and counts are compared with a slack of 1e-12, so that 5 copies of 200 meet
    `--maf 0.025` whatever the rounding.
    """
    slack = 1e-12
    maf = np.minimum(stats.af, 1.0 - stats.af)
    tests = (
        (Reason.SAME_ALLELES, same_alleles),
        (Reason.ALL_MISSING, stats.n_observed == 0),
        (Reason.HIGH_MISSING, stats.missing_rate > filters.geno + slack),
        (Reason.MONOMORPHIC, stats.variance == 0.0),
        (Reason.LOW_MAF, maf < filters.maf - slack),
        (Reason.LOW_MAC, stats.mac < filters.mac - slack),
        (Reason.HWE, np.zeros_like(same_alleles) if hwe_p is None else hwe_p < filters.hwe),
    )
    reasons = np.full(stats.n_observed.size, KEPT, dtype=np.int8)
    for reason, holds in reversed(tests):
        reasons[holds] = REASONS.index(reason)
    return reasons


def read_tile(source: GenotypeSource, source_index: Indices, block: int) -> Block:
    """Return the calls or dosages (b, N) of these variants, read `block` at a time.

    `block` bounds what a source has in hand at once; it never changes what is returned.
    """
    if source_index.size <= block:
        return source.read(source_index)
    starts = range(0, source_index.size, block)
    return np.concatenate([source.read(source_index[k : k + block]) for k in starts])
