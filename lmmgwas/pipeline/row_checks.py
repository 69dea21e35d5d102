"""What a reader of a finished table should know of its rows: few copies, missing calls."""

import numpy as np

from lmmgwas.model.row_quality import (
    FEW_COPIES,
    MANY_MISSING,
    RAREST,
    RowQuality,
    row_quality,
)
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.study import Study, TraitResult

_AT_ONCE = 1 << 20  # records looked at together

_COMMON = 0.05
"""Share of the tested variants with many missing calls above which it is no accident of a few."""


def quality_of_rows(study: Study, result: TraitResult) -> RowQuality:
    """Count the rows of a finished trait that deserve care."""
    records = result.output.records()
    samples = result.plan.samples
    found = RowQuality()
    for start in range(0, records.size, _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        haploid = study.variants.haploid_x[np.asarray(some["row"])]
        found += row_quality(
            np.asarray(some["af"]),
            np.asarray(some["n_observed"]),
            haploid,
            samples.n_samples,
            samples.males.size,
        )
    return found


def report_rows(quality: RowQuality, n_samples: int, least_mac: float, log: Logbook) -> None:
    """Warn of rows that were asked for against advice, or are many; say how many others are.

    `least_mac` is --mac: below 5 it asks for tests of variants with next to no carriers.
    """
    of = f"of {quality.n_tested:,} variants tested on {n_samples:,} samples"
    few = (
        f"{quality.n_few:,} {of} have fewer than {FEW_COPIES} copies of the rarer allele: their p "
        f"leans on few people, and is unreliable where the trait is not normal; --mac {FEW_COPIES} "
        "leaves them out"
    )
    if quality.n_rarest and least_mac < RAREST:
        log.warn("W219", f"{few}. {quality.n_rarest:,} of them have fewer than {RAREST}")
    elif quality.n_few:
        log.say(f"Note: {few}")
    missing = (
        f"{quality.n_missing:,} {of} have more than {MANY_MISSING:.0%} of their calls missing, "
        "which count as the mean: where calls are missing more often at one end of the trait, "
        f"signals arise; --geno {MANY_MISSING:g} leaves them out"
    )
    if quality.n_missing > _COMMON * quality.n_tested:
        log.warn("W220", missing)
    elif quality.n_missing:
        log.say(f"Note: {missing}")
