"""Planning a study: everything that can fail is asked before the first heavy step.

Inputs are read and joined, names of files are free, LOCO has groups, ranks are full, memory and
disk suffice. What comes out is a `Study`, ready to be analysed (`assoc_run`) or only to be
talked about (`check_run`).
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from lmmgwas.errors import DegenerateError, FileAccessError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.model.genotypes import Variants
from lmmgwas.model.grm import MIN_LOCO_VARIANTS, Grm, check_loco
from lmmgwas.model.run_size import RunSize
from lmmgwas.pipeline.condition import condition_covariates
from lmmgwas.pipeline.conservation import check_samples
from lmmgwas.pipeline.disk_check import bytes_of, require_space
from lmmgwas.pipeline.flow import describe_flow, sample_flow
from lmmgwas.pipeline.gene_input import open_genes
from lmmgwas.pipeline.inputs import Genotypes, choose_variants, open_genotypes
from lmmgwas.pipeline.join import read_study_tables
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.memory_check import refuse_hopeless, require_memory
from lmmgwas.pipeline.options import AssocJob
from lmmgwas.pipeline.parts import require_free_part
from lmmgwas.pipeline.plan import (
    PlannedAnalysis,
    TraitChoices,
    autosomal_groups,
    plan_analyses,
    significance,
    trait_stems,
)
from lmmgwas.pipeline.region_files import longest_place, regions_there
from lmmgwas.pipeline.relatedness import PlannedGrm, plan_relatedness, require_loco_possible
from lmmgwas.pipeline.sample_checks import check_in_grm, check_sample_calls
from lmmgwas.pipeline.study import Study
from lmmgwas.pipeline.study_size import study_disk, study_size
from lmmgwas.pipeline.trait_output import TraitFiles
from lmmgwas.pipeline.variant_checks import say_nonautosomal


def plan_study(
    job: AssocJob, log: Logbook, outputs: OutputSet | None, *, needs_room: bool = True
) -> Study:
    """Read all inputs and refuse what can be refused before the work.

    Without `outputs` it is not asked whether the names of the results are free; `needs_room` is
    False where nothing large is computed, as when parts are merged.
    """
    _refuse_early(job, needs_room=needs_room)
    genotypes = open_genotypes(job.genotypes, log)
    check_sample_calls(genotypes, log)
    tables = read_study_tables(job.tables, genotypes, log)
    if job.model.condition:
        extra = condition_covariates(genotypes, job.model.condition, log)
        tables = replace(tables, covariates=tables.covariates + extra)
    variants = choose_variants(genotypes.variants, job.test.choice, job.genotypes, log)
    if outputs is not None:
        _require_free(job, tuple(tables.traits), variants, outputs)
    # A worker of a cluster draws nothing.
    genes = None
    if outputs is not None:
        karyotype = job.genotypes.karyotype
        genes = open_genes(job.plots, karyotype, variants.chromosomes, log)
    log.begin()
    if job.test.include_nonautosomal:
        say_nonautosomal(variants, log)
    grm = plan_relatedness(job, genotypes, log)
    everyone = np.ones(len(genotypes.samples), dtype=np.bool_)
    in_grm = everyone if grm is None else grm.present
    flow = sample_flow(genotypes, tables, in_grm, needs_grm=grm is not None)
    log.say_lines(describe_flow(flow, tables, needs_grm=grm is not None))
    check_in_grm(flow, log)
    choices = TraitChoices(job.model.rint, job.test.hwe_of_all)
    plans = plan_analyses(genotypes, tables, flow, grm, choices, log)
    check_samples(flow, plans, len(genotypes.samples))
    # Of the whole file: a run of one chromosome must not get a line of its own.
    threshold = significance(
        job.model, len(genotypes.variants), is_human=job.genotypes.karyotype.is_human
    )
    study = Study(job, genotypes, variants, tables, flow, plans, grm, threshold, genes)
    given = _given_grm(grm)
    if needs_room:
        _require_room(study, given, log)
    if grm is not None and job.model.loco and job.model.h2 != 0.0:
        _require_loco(grm, given, autosomal_groups(variants))
    _say_hwe(job, genotypes, plans, log)
    _warn_unknown_sex(genotypes, variants, plans, log)
    if not job.model.loco:
        log.say("LOCO is off: each variant is tested against a GRM that contains it")
    return study


def _refuse_early(job: AssocJob, *, needs_room: bool) -> None:
    """Refuse what needs no input: a folder that is not there, far too little memory."""
    _require_folders(job)
    tmpdir = job.run.tmpdir
    if tmpdir is not None and not (tmpdir.is_dir() and os.access(tmpdir, os.W_OK | os.X_OK)):
        raise FileAccessError(
            "E111",
            f"--tmpdir {tmpdir} is no folder that can be written to: create it, or change it",
        )
    if not needs_room:
        return
    builds = job.model.grm is None and job.model.h2 != 0.0
    genotypes = job.genotypes
    if job.model.grm_files is not None:
        genotypes = replace(genotypes, files=job.model.grm_files)
    refuse_hopeless(genotypes, job.grm if builds else None, job.run)


def _require_folders(job: AssocJob) -> None:
    """Of null models: the folder that is read, and the one that a new folder will be in."""
    if job.nulls is not None and not job.nulls.is_dir():
        raise FileAccessError(
            "E111",
            f"--nulls {job.nulls} is no folder: save null models there first (--save-nulls)",
        )
    if job.save_nulls is not None and not job.save_nulls.absolute().parent.is_dir():
        raise FileAccessError(
            "E111", f"--save-nulls {job.save_nulls}: the folder that it would be in does not exist"
        )


def size_of(study: Study) -> RunSize:
    """Return how large a study is, as things stand now."""
    return _size(study, _given_grm(study.grm))


def _size(study: Study, given: Grm | None) -> RunSize:
    return study_size(study.job, study.genotypes, study.variants, study.plans, study.grm, given)


def _require_room(study: Study, given: Grm | None, log: Logbook) -> None:
    """Refuse what does not fit into memory (E137) or onto the disk (E118)."""
    size, run = _size(study, given), study.job.run
    require_memory(size, run, log)
    there = bytes_of(run.out.with_name(f".{run.out.name}.work")) if run.resume else 0
    n_traits = len(study.tables.traits)
    require_space(study_disk(study.job, study.variants, n_traits, size), there=there)


def _given_grm(grm: PlannedGrm | None) -> Grm | None:
    """The GRM on disk, mapped, where there is one."""
    return None if grm is None or grm.prefix is None else grm.given()[0]


def _require_loco(planned: PlannedGrm, given: Grm | None, tested: tuple[str, ...]) -> None:
    """Refuse a GRM that cannot leave a tested group out, as far as that is known by now."""
    require_loco_possible(planned, tested)
    if given is not None:
        check_loco(given, tested)
    if planned.task is None:
        return
    variants = planned.task.variants
    for group in tested:
        left = len(variants) - len(variants.in_group(group))
        if left < MIN_LOCO_VARIANTS:
            raise DegenerateError(
                "E802",
                f"leaving chromosome {group} out leaves {left} of {len(variants)} autosomal "
                f"variants in the GRM, at least {MIN_LOCO_VARIANTS} are needed: use --no-loco, or "
                "a GRM from more variants (--grm-bfile)",
            )


def _say_hwe(
    job: AssocJob, genotypes: Genotypes, plans: list[PlannedAnalysis], log: Logbook
) -> None:
    """On whom the Hardy-Weinberg test is made."""
    if job.test.filters.hwe == 0.0:
        return
    counted = sum(plan.samples.hwe_rows.size for plan in plans) // len(plans)
    who = "all analysed samples" if job.test.hwe_of_all else "founders"
    log.say(f"Hardy-Weinberg test on {who} ({counted:,} samples); on X on the women among them")
    if counted == 0:
        log.warn("W218", "no analysed sample is a founder: --hwe drops nothing; see --nonfounders")


def _warn_unknown_sex(
    genotypes: Genotypes, variants: Variants, plans: list[PlannedAnalysis], log: Logbook
) -> None:
    """On X it matters who is male."""
    analysed = np.unique(np.concatenate([plan.samples.rows for plan in plans]))
    unknown = int((genotypes.samples.sex[analysed] == 0).sum())
    if unknown and variants.haploid_x.any():
        log.warn(
            "W217",
            f"{unknown:,} analysed samples of unknown sex are treated as female on X: give the "
            "sex in column 5 of the .fam (1 male, 2 female)",
        )


def trait_files(job: AssocJob, stem: str, variants: Variants) -> TraitFiles:
    """Return the final names of a trait's files."""
    return TraitFiles(job.run, stem, int(variants.pos.max(initial=0)))


def _require_free(
    job: AssocJob, names: tuple[str, ...], variants: Variants, outputs: OutputSet
) -> None:
    """Refuse names that are taken: of all results, or of the folder of a part."""
    if job.save_nulls is not None:
        outputs.require_free([job.run.path(".log")] if job.run.overwrite else [])
    elif job.run.share is not None:
        require_free_part(job.run)
    else:
        outputs.require_free(_final_names(job, names, variants))


def _plot_names(job: AssocJob, files: TraitFiles, variants: Variants) -> list[Path]:
    """Names of plots; which loci get regional ones is not known yet, so the longest name."""
    suffixes = [s for s, wanted in (("png", job.plots.png), ("pdf", job.plots.pdf)) if wanted]
    names = [files.plot(kind, suffix) for kind in ("manhattan", "qq") for suffix in suffixes]
    if job.plots.draws_regions:
        names.append(files.region(longest_place(variants), suffixes[0]))
    return names


def _final_names(job: AssocJob, names: tuple[str, ...], variants: Variants) -> list[Path]:
    finals = [job.run.path(end) for end in (".samples.tsv", "_mqc.json", ".run.json")]
    if job.plots.report:
        finals.append(job.run.path(".report.html"))
    for stem in trait_stems(names).values():
        files = trait_files(job, stem, variants)
        finals += files.data() + _plot_names(job, files, variants)
        finals += [files.parquet] if job.parquet else []
    return finals + regions_there(job.run, trait_stems(names).values(), job.plots)
