"""Samples that a reader of the results would want to know of: bad calls, twins, no GRM.

What is said of calls rests on random autosomal variants, the same for every run of the same file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import MismatchError
from lmmgwas.model.blocks import nearest_calls
from lmmgwas.model.chromosomes import Role
from lmmgwas.model.genotypes import Calls, Variants, calls_of
from lmmgwas.model.sample_quality import MAX_MISSING, SampleCounts, doubtful_samples
from lmmgwas.numerics.triangle import Packed, close_pairs
from lmmgwas.pipeline.flow import SampleFlow
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.logbook import Logbook

Indices = NDArray[np.int64]

ALIKE = 0.95
"""K_ij / sqrt(K_ii K_jj) above which two samples are taken for twins, or for one sample twice."""

_SHOWN = 20
_N_VARIANTS = 2_000
_SEED = 20_240_601
_AT_ONCE = 256
_LEAST_IN_GRM = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class SomeCalls:
    """Calls of random variants."""

    variants: Variants  # in output order
    blocks: Iterator[Calls]  # (b, n) of some samples, in the order of the variants


def random_calls(genotypes: Genotypes, most: int, samples: Indices) -> SomeCalls:
    """Read up to `most` random autosomal variants (seeded), block by block, of some samples."""
    autosomal = genotypes.variants.take(genotypes.variants.with_role(Role.AUTOSOME))
    chosen = np.arange(len(autosomal))
    if chosen.size > most:
        drawn = np.random.default_rng(_SEED).choice(chosen.size, most, replace=False)
        chosen = np.sort(drawn)
    variants = autosomal.take(chosen)

    def blocks() -> Iterator[Calls]:
        for start in range(0, len(variants), _AT_ONCE):
            index = variants.source_index[start : start + _AT_ONCE]
            yield nearest_calls(calls_of(genotypes.source.read(index), samples))

    return SomeCalls(variants, blocks())


def check_sample_calls(genotypes: Genotypes, log: Logbook) -> None:
    """Warn of samples with many missing calls, or with outlying heterozygosity.

    Over the samples that `--keep`, `--remove` and `--mind` leave.
    """
    kept = genotypes.kept
    counts = SampleCounts(kept.size)
    for block in random_calls(genotypes, _N_VARIANTS, kept).blocks:
        counts.add(block)
    found = doubtful_samples(counts)
    names = _names(genotypes.samples.fid, genotypes.samples.iid)
    if found.missing:
        shown = [f"{names[kept[i]]} ({share:.0%})" for i, share in found.missing[:_SHOWN]]
        log.warn(
            "W308",
            f"{len(found.missing):,} of {kept.size:,} samples have more than {MAX_MISSING:.0%} of "
            f"their calls missing (seen at {counts.n_variants:,} autosomal variants); --mind "
            f"{MAX_MISSING:g} drops them",
            samples=_listed(shown, len(found.missing)),
        )
    if found.heterozygosity:
        shown = [f"{names[kept[i]]} ({share:.3f})" for i, share in found.heterozygosity[:_SHOWN]]
        log.warn(
            "W309",
            f"{len(found.heterozygosity):,} of {kept.size:,} samples have a heterozygosity far "
            f"from the median {found.median:.3f} (seen at {counts.n_variants:,} autosomal "
            "variants); is a sample contaminated, mixed up or inbred? --remove FILE drops samples",
            samples=_listed(shown, len(found.heterozygosity)),
        )


def warn_of_twins(
    values: Packed,
    ids: tuple[Sequence[str], Sequence[str]],
    rows: Indices,
    threads: int,
    log: Logbook,
) -> None:
    """Warn of pairs that are as alike as twins.

    `values` is the triangle of a GRM, `ids` its FIDs and IIDs, `rows` some of its rows, ascending.
    """
    n_pairs, pairs = close_pairs(values, rows, ALIKE, _SHOWN, threads)
    if not n_pairs:
        return
    names = _names(*ids)
    shown = [f"{names[rows[a]]} and {names[rows[b]]}" for a, b in pairs.tolist()]
    log.warn(
        "W310",
        f"{n_pairs:,} pairs of samples are as alike as twins, or as one sample taken twice "
        f"(relatedness above {ALIKE:g}); the model allows for twins, of a sample taken twice "
        "remove one (--remove FILE)",
        samples=_listed(shown, n_pairs),
    )


def check_in_grm(flow: SampleFlow, log: Logbook) -> None:
    """Warn of samples that are not analysed because the GRM lacks them.

    Raises MismatchError (E711) when these are more than the analysed ones.
    """
    frame = flow.table
    lacking = frame[(frame["in_genotypes"] == 1) & (frame["reason"] == "NOT_IN_GRM")]
    if lacking.empty:
        return
    n_analysed = int((frame["analysed"] == 1).sum())
    n_ready = n_analysed + len(lacking)
    shown = _listed(
        [f"{f} {i}" for f, i in zip(lacking["FID"][:3], lacking["IID"][:3], strict=True)],
        len(lacking),
    )
    text = f"{len(lacking):,} of {n_ready:,} samples that could be analysed are not in the GRM"
    if n_analysed < _LEAST_IN_GRM * n_ready:
        raise MismatchError(
            "E711",
            f"{text} ({shown}): is the GRM of another study, or are its IDs written otherwise? "
            "Build it from these genotypes, or choose its samples with --keep",
        )
    log.warn("W311", f"{text} and are left out", samples=shown)


def _names(fid: Sequence[str], iid: Sequence[str]) -> list[str]:
    return [f"{f or '0'} {i}" for f, i in zip(fid, iid, strict=True)]


def _listed(shown: list[str], total: int) -> str:
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")
