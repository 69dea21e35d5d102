"""Building a GRM set: one pass over the genotypes, one part per chromosome, GCTA's files.

`lmmgwas grm` keeps the set; `assoc` builds the very same files in a temporary folder, so
that one command or two give the same bytes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import lmmgwas
from lmmgwas.errors import DegenerateError, NumericalError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.grm_files import (
    FORMAT_VERSION,
    GrmPaths,
    map_triangle,
    open_grm,
    write_eigen,
    write_triangle,
)
from lmmgwas.model.chromosomes import Role
from lmmgwas.model.genotypes import Samples
from lmmgwas.model.grm import centre_and_scale, loco_matrix
from lmmgwas.model.grm_check import check_counts, check_products
from lmmgwas.model.grm_sum import GroupRows, WholeSum, row_tiles
from lmmgwas.model.spectrum import decompose
from lmmgwas.pipeline.grm_room import require_grm_room
from lmmgwas.pipeline.grm_sums import GrmTask, GroupSummer, SummedGroup
from lmmgwas.pipeline.inputs import Genotypes, choose_variants, open_genotypes
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import GenotypeOptions, GrmJob, GrmOptions, RunOptions
from lmmgwas.pipeline.pca_run import keep_components, require_components
from lmmgwas.pipeline.sample_checks import warn_of_twins

_AT_ONCE = 1 << 20  # constants written at a time


Build = Callable[[GrmTask, GrmPaths, OutputSet, Logbook], None]
"""Writes the set under temporary names."""


def run_grm(job: GrmJob, log: Logbook, outputs: OutputSet, build: Build | None = None) -> None:
    """`lmmgwas grm`: build the set and keep it; `build` may have it from elsewhere."""
    usual = partial(build_grm, quiet=job.run.verbosity == 0)
    paths = GrmPaths(job.run.out)
    genotypes = open_genotypes(job.genotypes, log)
    task = plan_grm(genotypes, job.genotypes, job.grm, job.run, log)
    finals = grm_files(paths, task, eigen=job.eigen)
    if job.n_components is not None:
        require_components(job.n_components, genotypes.kept.size)
        finals += [paths.eigenvec, paths.eigenval]
    outputs.require_free(finals)
    log.begin()
    require_grm_room(job, genotypes, task.variants, log)
    with log.stage("GRM"):
        (build or usual)(task, paths, outputs, log)
    _warn_of_twins(task, outputs.temporary(paths.values(None)), log)
    if job.n_components is not None:
        with log.stage("principal components"):
            keep_components(genotypes, job.n_components, paths, outputs, log)
    outputs.commit()
    if job.eigen:
        with log.stage("decompositions"):
            keep_decompositions(paths, outputs, log)
        outputs.commit()
    log.say(f"GRM written to {paths.values(None)} and {len(finals) - 1} files beside it")


def _warn_of_twins(task: GrmTask, written: Path, log: Logbook) -> None:
    """Look for pairs that are too alike in the matrix that was written."""
    rows, samples = task.genotypes.kept, task.genotypes.samples
    ids = [samples.fid[i] for i in rows.tolist()], [samples.iid[i] for i in rows.tolist()]
    values = map_triangle(written, rows.size)
    warn_of_twins(values, ids, np.arange(rows.size, dtype=np.int64), task.threads, log)


def plan_grm(
    genotypes: Genotypes,
    options: GenotypeOptions,
    grm: GrmOptions,
    run: RunOptions,
    log: Logbook,
) -> GrmTask:
    """Choose the GRM's variants: autosomes, by name and place."""
    autosomal = genotypes.variants.take(genotypes.variants.with_role(Role.AUTOSOME))
    if not len(autosomal):
        raise DegenerateError(
            "E215", "no variant lies on an autosome, and the GRM is made of those: give --grm"
        )
    chosen = choose_variants(autosomal, grm.choice, options, log)
    return GrmTask(genotypes, chosen, grm, run.block_size, run.threads)


def grm_files(paths: GrmPaths, task: GrmTask, *, eigen: bool = False) -> list[Path]:
    """Return the names of all files of the set."""
    groups = [None, *task.variants.groups()]
    files = [paths.ids, paths.manifest]
    for group in groups:
        files.append(paths.values(group))
        if group is None or task.options.pairwise:
            files.append(paths.counts(group))
        if eigen:
            files.append(paths.eigen(group))
    return files


def build_grm(
    task: GrmTask, paths: GrmPaths, outputs: OutputSet, log: Logbook, *, quiet: bool
) -> None:
    """Sum the set, and write it under temporary names of `outputs`."""
    progress = Progress(log, "GRM", len(task.variants), quiet=quiet)
    summer = GroupSummer(task, row_tiles(task.genotypes.kept.size))
    write_grm(task, lambda group: summer.sum(group, progress), paths, outputs, log)
    progress.close()


def write_grm(
    task: GrmTask,
    summed: Callable[[str], SummedGroup],
    paths: GrmPaths,
    outputs: OutputSet,
    log: Logbook,
) -> None:
    """Write the set under temporary names of `outputs`; `summed` gives each group when asked.

    One part is written to disk while the next group is summed.
    """
    kept = task.genotypes.kept
    tiles = row_tiles(kept.size)
    pairwise = task.options.pairwise
    whole = [WholeSum(rows, task.threads, pairwise=pairwise) for rows in tiles]
    groups: list[dict[str, Any]] = []
    used: list[NDArray[np.int64]] = []
    with ThreadPoolExecutor(1) as writer:
        written: list[Future[None]] = []
        for group in task.variants.groups():
            found = summed(group)
            used.append(found.used)
            groups.append({"name": group, "n_variants": int(found.used.size)})
            for total, rows in zip(whole, found.rows, strict=True):
                total.add(rows, found.used.size)
            _drain(written)  # one part waits for the disk at a time
            written = _submit(writer, paths, group, found.rows, outputs)
        everything = np.concatenate(used)
        _refuse_empty(everything, task)
        _refuse_miscount(everything, task)
        _drain(written)
        _write_whole(whole, everything.size, paths, outputs)
    outputs.write_text(paths.ids, _id_lines(task.genotypes.samples, kept))
    outputs.write_text(paths.manifest, _manifest(task, groups, everything))
    log.say(
        f"GRM: {everything.size:,} of {len(task.variants):,} autosomal variants "
        f"({task.options.model}) in {len(groups)} LOCO groups, {kept.size:,} samples"
    )


def _drain(written: list[Future[None]]) -> None:
    """Wait for files that are being written; raise what went wrong there."""
    for future in written:
        future.result()


def _submit(
    writer: ThreadPoolExecutor,
    paths: GrmPaths,
    group: str,
    rows: tuple[GroupRows, ...],
    outputs: OutputSet,
) -> list[Future[None]]:
    """Begin to write a part, and its counts where pairs have their own."""
    target = outputs.temporary(paths.values(group))
    futures = [writer.submit(write_triangle, target, [tile.values for tile in rows])]
    counts = [tile.counts for tile in rows if tile.counts is not None]
    if counts:
        target = outputs.temporary(paths.counts(group))
        futures.append(writer.submit(write_triangle, target, counts))
    return futures


def _write_whole(
    whole: list[WholeSum], n_variants: int, paths: GrmPaths, outputs: OutputSet
) -> None:
    """Write the whole matrix and its counts, each row tile held against its products."""
    means = []
    for total in whole:
        means.append(total.means(n_variants))
        check_products("the whole genome", means[-1], n_variants)
        if means[-1].counts is not None:
            check_counts("the whole genome", means[-1])
    write_triangle(outputs.temporary(paths.values(None)), [rows.values for rows in means])
    counts = [rows.counts for rows in means if rows.counts is not None]
    target = outputs.temporary(paths.counts(None))
    write_triangle(target, counts or _constant(sum(r.values.size for r in means), n_variants))


def _constant(size: int, value: int) -> Iterator[NDArray[np.float32]]:
    """A file of one number, some of it at a time."""
    for start in range(0, size, _AT_ONCE):
        yield np.full(min(_AT_ONCE, size - start), value, dtype=np.float32)


def _refuse_empty(used: NDArray[np.int64], task: GrmTask) -> None:
    if used.size == 0:
        raise DegenerateError(
            "E216",
            f"none of {len(task.variants):,} variants is polymorphic and passes --grm-maf "
            f"{task.options.filters.maf:g} and --grm-geno {task.options.filters.geno:g}: "
            "there is nothing to make a GRM of",
        )


def _refuse_miscount(used: NDArray[np.int64], task: GrmTask) -> None:
    """Every variant takes part at most once, and is one of those that were chosen."""
    chosen = np.isin(used, task.variants.source_index)
    if np.unique(used).size != used.size or not chosen.all():
        raise NumericalError(
            "E902",
            f"the GRM has {used.size:,} variants in its groups, but {np.unique(used).size:,} "
            f"distinct ones, of which {int(chosen.sum()):,} were chosen: counts of variants do "
            "not add up; please report this with the log",
        )


def _id_lines(samples: Samples, rows: NDArray[np.int64]) -> str:
    return "".join(f"{samples.fid[i] or '0'}\t{samples.iid[i]}\n" for i in rows.tolist())


def _manifest(task: GrmTask, groups: list[dict[str, Any]], used: NDArray[np.int64]) -> str:
    """The set's own description; nothing in it changes from run to run."""
    raw = task.variants.raw
    rows = task.genotypes.kept
    columns = [raw.marker_id, raw.effect_allele, raw.other_allele]
    pos = pa.array(raw.pos[used]).cast(pa.string())
    lines = pc.binary_join_element_wise(pos, *(column.take(used) for column in columns), "\t")
    digest = hashlib.sha256()
    for line in lines.to_pylist():
        digest.update(line.encode() + b"\n")
    ids = _id_lines(task.genotypes.samples, rows)
    content = {
        "format_version": FORMAT_VERSION,
        "software": f"lmmgwas {lmmgwas.__version__}",
        "model": task.options.model,
        "missing": "pairwise" if task.options.pairwise else "mean",
        "filters": {"maf": task.options.filters.maf, "geno": task.options.filters.geno},
        "n_variants": int(used.size),
        "groups": groups,
        "samples": {"n": int(rows.size), "sha256": hashlib.sha256(ids.encode()).hexdigest()},
        "variants": {"n": int(used.size), "sha256": digest.hexdigest()},
    }
    return json.dumps(content, indent=1) + "\n"


def keep_decompositions(paths: GrmPaths, outputs: OutputSet, log: Logbook) -> None:
    """`--eigen`: decompose the whole GRM and each that leaves one group out, over all samples."""
    grm, _ = open_grm(paths.prefix)
    rows = np.arange(len(grm.iid), dtype=np.int64)
    progress = Progress(log, "decompositions", len(grm.parts) + 1, quiet=True)
    for group in (None, *grm.parts):
        if grm.n_variants_without(group) == 0:
            continue
        K = loco_matrix(grm, group, rows)
        write_eigen(outputs.temporary(paths.eigen(group)), decompose(K, centre_and_scale(K)))
        progress.advance(1)
