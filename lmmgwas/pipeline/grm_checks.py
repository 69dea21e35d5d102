"""A GRM that a user gives: is it one, is it whole, and is it of these samples?

All of this is asked before the work, in a few passes over the file. A matrix from another program
may be on any scale and of any definition: what changes no p-value is said, what does is warned
of or refused.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError, MismatchError
from lmmgwas.io.grm_files import GrmPaths
from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.model.grm_sanity import N_SAMPLES, N_VARIANTS, SEED, Agreement, compare
from lmmgwas.model.kernel_products import CentredKernel
from lmmgwas.model.spectrum import NEGATIVE_TOLERANCE
from lmmgwas.numerics.extremes import extreme_eigenvalues
from lmmgwas.numerics.triangle import (
    TriangleSummary,
    first_not_finite,
    packed_block,
    summarise,
)
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.sample_checks import random_calls

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

USUAL_DIAGONAL = (0.7, 1.3)

_SAME = 1e-6
"""Of the mean diagonal: values closer than this differ by the rounding of float32 files alone."""


@dataclass(frozen=True, slots=True, eq=False)
class GivenGrm:
    """A GRM set on disk, opened, and the rows that are samples of the genotypes."""

    grm: Grm
    manifest: dict[str, Any] | None  # None: not of `lmmgwas grm`
    paths: GrmPaths
    rows: Indices  # (n,) rows of the GRM, ascending

    @property
    def may_be_indefinite(self) -> bool:
        """Whether it is a matrix that need not be positive semi-definite."""
        return self.manifest is None or self.manifest.get("missing") == "pairwise"


def check_given_grm(
    given: GivenGrm,
    row_of: Indices,
    genotypes: Genotypes,
    threads: int,
    log: Logbook,
    *,
    refits: bool,
) -> None:
    """Refuse or warn of what is wrong with a given GRM.

    row_of (N,) is the GRM row of each sample of the .fam, -1 where it has none; `refits` says
    that variances are fitted for each variant, which needs a definite matrix.

    Raises DegenerateError (E701, E702, E703), MismatchError (E710).
    """
    require_finite(given.grm, given.grm.whole, given.paths.values(None))
    summary = summarise(given.grm.whole.values, given.rows, threads)
    _check_values(given, summary, log)
    _check_ids(given, log)
    _note_variants(given, genotypes, log)
    if given.may_be_indefinite:
        check_definite(given.grm, given.rows, log, refits=refits)
    _check_agreement(given, row_of, genotypes, log)


def require_finite(grm: Grm, part: PackedPart, path: Path) -> None:
    """Raise DegenerateError (E702), with the place and the samples, where a value is NaN or inf."""
    place = first_not_finite(part.values)
    if place is None:
        return
    i, j = place
    value = float(part.values[i * (i + 1) // 2 + j])
    who = " and ".join(f"{grm.fid[k] or '0'} {grm.iid[k]}" for k in (i, j))
    raise DegenerateError(
        "E702",
        f"the value of samples {who} (row {i + 1}, column {j + 1}) is {value}, which is not "
        "finite: it would make every result NaN; build the GRM again without these samples",
        str(path),
    )


def _check_values(given: GivenGrm, summary: TriangleSummary, log: Logbook) -> None:
    """Scale and structure."""
    n = summary.n_samples
    whole_mean = (summary.mean_diagonal + (n - 1) * summary.mean_off) / n
    size = max(abs(summary.mean_diagonal), abs(summary.mean_off), *map(abs, summary.off_range))
    centred = summary.mean_diagonal - whole_mean
    if centred <= 1e-10 * size:
        raise DegenerateError(
            "E703",
            f"the GRM has a mean diagonal of {centred:.3g} after centring: the samples do not "
            f"differ (values from {summary.off_range[0]:.3g} to {summary.off_range[1]:.3g}, "
            f"diagonal from {summary.diagonal_range[0]:.3g} to {summary.diagonal_range[1]:.3g})",
            str(given.paths.values(None)),
        )
    log.say(
        f"GRM values: mean diagonal {summary.mean_diagonal:.4f}, off the diagonal mean "
        f"{summary.mean_off:.4g}, standard deviation {summary.sd_off:.4g}"
    )
    low, high = USUAL_DIAGONAL
    if given.manifest is None and not low <= summary.mean_diagonal <= high:
        log.warn(
            "W703",
            f"the GRM's mean diagonal is {summary.mean_diagonal:.4g}, outside {low:g} to {high:g}: "
            "is it a kinship (half of a relatedness), a sum, or not centred? p-values do not "
            "depend on its scale, and h2 is for the matrix scaled to tr(M K M)/n = 1, M centring",
        )
    spread = max(np.ptp(summary.diagonal_range), np.ptp(summary.off_range))
    if spread <= _SAME * centred:
        log.warn(
            "W705",
            "the GRM is a multiple of the identity (but for a constant): no two samples are more "
            "related than others, h2 cannot be estimated, and every test is ordinary least squares",
        )


def _check_ids(given: GivenGrm, log: Logbook) -> None:
    """Is the list of samples of one of our sets as it was written?"""
    if given.manifest is None:
        return
    grm = given.grm
    lines = "".join(f"{f or '0'}\t{i}\n" for f, i in zip(grm.fid, grm.iid, strict=True))
    if hashlib.sha256(lines.encode()).hexdigest() != given.manifest["samples"].get("sha256"):
        log.warn(
            "W704",
            f"{given.paths.ids} is not as `lmmgwas grm` wrote it: if its lines were moved, the "
            "values belong to other people; if IDs were changed, all is well",
        )


def _note_variants(given: GivenGrm, genotypes: Genotypes, log: Logbook) -> None:
    """Say where the GRM must rest on other variants: a group of it has more than the genotypes."""
    variants = genotypes.variants
    n_here = np.bincount(variants.chrom, minlength=len(variants.chromosomes))
    here: dict[str, int] = {}
    for chromosome, n in zip(variants.chromosomes, n_here.tolist(), strict=True):
        here[chromosome.group] = here.get(chromosome.group, 0) + n
    counts = {name: part.n_variants for name, part in given.grm.parts.items()}
    more = [name for name, n in counts.items() if n > here.get(name, 0)]
    if more:
        log.say(
            f"Note: the GRM rests on other variants than these genotypes: on chromosome {more[0]} "
            f"it has {counts[more[0]]:,}, they have {here.get(more[0], 0):,}"
        )


def check_definite(grm: Grm, rows: Indices, log: Logbook, *, refits: bool) -> None:
    """Warn of a matrix with negative eigenvalues beyond rounding, centred over these rows.

    Raises DegenerateError (E701) where variances are to be fitted for each variant.
    """
    kernel = CentredKernel(grm, None, rows)
    smallest, largest = extreme_eigenvalues(lambda x: kernel.times(x[None])[0], rows.size)
    if smallest >= -NEGATIVE_TOLERANCE * largest:
        if smallest < -1e-12 * largest:
            log.detail(
                f"Note: the GRM's smallest eigenvalue is {smallest / largest:.2g} of its largest: "
                "rounding, taken as 0"
            )
        return
    text = (
        "the GRM is not positive semi-definite: an eigenvalue is "
        f"{smallest:.4g} or less, the largest {largest:.4g}"
    )
    if refits:
        raise DegenerateError(
            "E701",
            f"{text}; --variance per-variant needs one that is: give a GRM without "
            "--grm-missing pairwise, or use --variance null",
        )
    log.warn(
        "W706",
        f"{text}, as where each pair of samples has variants of its own (--grm-missing pairwise, "
        "GCTA); the run goes on where the covariance at the fitted h2 is positive definite",
    )


def _check_agreement(given: GivenGrm, row_of: Indices, genotypes: Genotypes, log: Logbook) -> None:
    """Hold the GRM against one of random variants of the genotypes."""
    found = agreement_with_genotypes(given.grm, row_of, genotypes)
    if found is None:
        return
    measured = (
        f"of {found.n_samples:,} samples and {found.n_variants:,} variants of these genotypes"
    )
    log.detail(
        f"GRM against one {measured}: correlation {found.correlation:.3f} off the diagonal, "
        f"{found.expected:.3f} expected or more"
    )
    if found.is_wrong:
        raise MismatchError(
            "E710",
            f"the GRM does not know who is related to whom: its correlation with a GRM {measured} "
            f"is {found.correlation:.3f} off the diagonal, where a right one has about "
            f"{found.expected:.2f}; are its lines in another order than its .grm.id, or is it of "
            "another study with the same IDs?",
            str(given.paths.values(None)),
        )
    if found.is_doubtful:
        log.warn(
            "W707",
            f"the GRM agrees little with these genotypes: its correlation with a GRM {measured} is "
            f"{found.correlation:.3f} off the diagonal, where {found.expected:.2f} is to be "
            "expected; is it of other genotypes, or are some IDs exchanged?",
        )


def agreement_with_genotypes(grm: Grm, row_of: Indices, genotypes: Genotypes) -> Agreement | None:
    """Compare up to 1,000 random samples at up to 1,000 random variants; None: nothing to say."""
    samples = genotypes.kept[row_of[genotypes.kept] >= 0]
    if samples.size > N_SAMPLES:
        drawn = np.random.default_rng(SEED).choice(samples.size, N_SAMPLES, replace=False)
        samples = samples[np.sort(drawn)]
    some = random_calls(genotypes, N_VARIANTS, samples)
    if not len(some.variants) or not samples.size:
        return None
    calls = np.concatenate(list(some.blocks))
    groups = list(some.variants.groups())
    names = [chromosome.group for chromosome in some.variants.chromosomes]
    number = np.array([groups.index(g) if g in groups else -1 for g in names], dtype=np.int64)
    group = number[some.variants.chrom]
    order = np.argsort(group, kind="stable")
    return compare(packed_block(grm.whole.values, row_of[samples]), calls[order], group[order])
