"""How large a planned study is: what memory, disk and time are reckoned from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lmmgwas.io.grm_files import GrmPaths
from lmmgwas.model.genotypes import Variants
from lmmgwas.model.grm import Grm
from lmmgwas.model.memory import StudySize
from lmmgwas.model.run_size import RunSize
from lmmgwas.model.scan import ScanKind
from lmmgwas.model.variant_tests import VarianceKind
from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.numerics.limits import page_bytes
from lmmgwas.pipeline.disk_check import DiskNeed, study_needs, table_bytes
from lmmgwas.pipeline.grm_room import grm_size, set_needs
from lmmgwas.pipeline.inputs import Genotypes
from lmmgwas.pipeline.memory_check import resident_bytes
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.plan import PlannedAnalysis, autosomal_groups, choose_whitener
from lmmgwas.pipeline.relatedness import PlannedGrm

_RECORD_BYTES = 48
_PARQUET = 2  # a Parquet file is at most so many times as large as the table


def study_size(
    job: AssocJob,
    genotypes: Genotypes,
    variants: Variants,
    plans: Sequence[PlannedAnalysis],
    grm: PlannedGrm | None,
    given: Grm | None,
) -> RunSize:
    """Return the sizes of a study.

    Parameters
    ----------
    genotypes : the genotype file
    variants : that are tested
    plans : the analyses
    grm, given : the GRM as it was planned, and as it is on disk where it is not built
    """
    built = None
    pairwise = given is not None and given.whole.counts is not None
    if grm is not None and grm.task is not None:
        task = grm.task
        built = grm_size(task.genotypes, task.variants, task.options, job.run.threads)
        pairwise = built.pairwise
    file: dict[str, Any] = {
        "n_file": len(genotypes.samples),
        "pairwise": pairwise,
        "call_bytes": 2 if genotypes.source.has_dosages else 1,
    }
    analyses = tuple(replace(_analysis(job, variants, plan, grm), **file) for plan in plans)
    mapped = _RECORD_BYTES * len(variants)
    if built is not None:
        mapped += sum(need.size for need in set_needs(built, job.run.out.parent, ""))
    if given is not None:
        mapped += sum(part.values.nbytes for part in (given.whole, *given.parts.values()))
    return RunSize(resident_bytes(), built, analyses, mapped=mapped)


def _analysis(
    job: AssocJob,
    variants: Variants,
    plan: PlannedAnalysis,
    grm: PlannedGrm | None,
) -> StudySize:
    """One analysis, with the whitener that it will have."""
    n_fits = len(autosomal_groups(variants)) if job.model.loco else 0
    kept = has_kept(grm, plan)
    threads = job.run.threads
    analysis, _ = choose_whitener(
        plan, job.model, variants, n_fits=n_fits, kept=kept, threads=threads
    )
    whole = n_fits > 0 and len(variants.groups()) > n_fits  # X, under a fit of its own
    calibrated = job.model.scan is ScanKind.CALIBRATED
    return StudySize(
        n=plan.samples.n_samples,
        n_file=plan.samples.n_samples,
        n_covariates=plan.design.basis.shape[1],
        n_traits=len(plan.traits),
        n_variants=len(variants),
        largest_group=_largest_group(variants),
        n_fits=n_fits + int(whole),
        threads=threads,
        kind=analysis.kind,
        precision=job.model.precision,
        fixed_h2=job.model.h2 is not None,
        calibrated=calibrated and analysis.kind is WhitenerKind.CHOLESKY,
        per_variant=job.model.variance is VarianceKind.PER_VARIANT,
        may_choose=not (job.model.needs_spectrum or calibrated or job.model.h2 == 0.0),
        kept=kept,
        plots=job.plots.png or job.plots.pdf,
        report=job.plots.report,
        page=page_bytes(),
    )


def has_kept(grm: PlannedGrm | None, plan: PlannedAnalysis) -> bool:
    """Whether decompositions of these very samples may be on disk, as `grm --eigen` leaves them."""
    if grm is None or grm.prefix is None:
        return False
    rows = plan.samples.grm_rows
    same = rows.size == int(grm.row_of.max()) + 1 and bool((rows == np.arange(rows.size)).all())
    return same and GrmPaths(grm.prefix).eigen(None).exists()


def _largest_group(variants: Variants) -> int:
    """Variants of the largest LOCO group."""
    counts = np.bincount(variants.chrom, minlength=len(variants.chromosomes))
    by_group: dict[str, int] = {}
    for chromosome, count in zip(variants.chromosomes, counts.tolist(), strict=True):
        by_group[chromosome.group] = by_group.get(chromosome.group, 0) + count
    return max(by_group.values())


def study_disk(job: AssocJob, variants: Variants, n_traits: int, size: RunSize) -> list[DiskNeed]:
    """Return what the study writes."""
    raw, index = variants.raw, variants.source_index
    share = index.size / max(len(raw), 1)
    columns = (raw.marker_id, raw.effect_allele, raw.other_allele)
    text = int(share * sum(_text_bytes(column) for column in columns))
    n_plots = (2 + job.plots.regions) * (int(job.plots.png) + int(job.plots.pdf))
    needs = study_needs(job.run.out, job.run.tmpdir, n_traits, len(variants), text, n_plots)
    if job.parquet:
        table = n_traits * table_bytes(len(variants), text)
        needs.append(DiskNeed(job.run.out.parent, _PARQUET * table, "Parquet tables"))
    if size.grm is not None:
        folder = job.run.tmpdir or job.run.out.parent
        needs += set_needs(size.grm, folder, "the GRM, a part for each chromosome")
    return needs + _null_needs(job, size)


def _null_needs(job: AssocJob, size: RunSize) -> list[DiskNeed]:
    """What null models take that other processes are to scan with: a matrix for each fit."""
    if job.save_nulls is None and job.run.cluster is None:
        return []
    folder = job.save_nulls or job.nulls or job.run.out.parent
    total = 0
    for analysis in size.analyses:
        each = analysis.n * analysis.n * np.dtype(analysis.precision.dtype).itemsize
        matrices = 1 if analysis.kind is WhitenerKind.SPECTRAL else analysis.n_traits
        if analysis.kind is not WhitenerKind.IDENTITY:
            total += max(1, analysis.n_fits) * matrices * each
    return [DiskNeed(folder, total, "null models, a matrix for each chromosome")]


def _text_bytes(column: Any) -> int:
    """Bytes of the strings of a pyarrow array, without the offsets to them."""
    return max(0, int(column.nbytes) - 4 * (len(column) + 1))
