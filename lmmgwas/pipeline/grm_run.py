"""Building a GRM set: one pass over the genotypes, one part per chromosome, GCTA's files.

`lmmgwas grm` keeps the set; `assoc` builds the very same files in a temporary folder, so
that one command or two give the same bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import lmmgwas
from lmmgwas.errors import DegenerateError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.grm_files import FORMAT_VERSION, GrmPaths, open_grm, write_eigen, write_triangle
from lmmgwas.model.chromosomes import Role
from lmmgwas.model.genotypes import Calls, Samples, Variants, count_block, iter_tiles, variant_stats
from lmmgwas.model.grm import (
    GRM_TILE,
    GrmSum,
    centre_and_scale,
    kept_in_grm,
    loco_matrix,
    variant_scale,
)
from lmmgwas.model.spectrum import decompose
from lmmgwas.numerics.kernels import fill_tile, pack_rows
from lmmgwas.pipeline.inputs import Genotypes, choose_variants, open_genotypes
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import GenotypeOptions, GrmJob, GrmOptions
from lmmgwas.pipeline.pca_run import keep_components, require_components

Array = NDArray[np.float64]

_PACK_VALUES = 1 << 22  # values of a triangle that are packed at a time: 16 MB


@dataclass(frozen=True, slots=True, eq=False)
class GrmTask:
    """What is to be summed: which variants, over which samples, how."""

    genotypes: Genotypes
    variants: Variants  # chosen, autosomal, in output order
    options: GrmOptions
    block_size: int


@dataclass(frozen=True, slots=True, eq=False)
class _GroupSum:
    """The sums of one group; counts are None unless pairs have their own."""

    values: Array  # (n, n) lower triangle of Z Z'
    counts: Array | None  # (n, n) lower triangle, variants seen jointly
    used: NDArray[np.int64]  # rows of the .bim that took part


def run_grm(job: GrmJob, log: Logbook, outputs: OutputSet) -> None:
    """`lmmgwas grm`: build the set and keep it."""
    paths = GrmPaths(job.run.out)
    genotypes = open_genotypes(job.genotypes, job.run.threads, log)
    task = plan_grm(genotypes, job.genotypes, job.grm, job.run.block_size, log)
    finals = grm_files(paths, task, eigen=job.eigen)
    if job.n_components is not None:
        require_components(job.n_components, genotypes.kept.size)
        finals += [paths.eigenvec, paths.eigenval]
    outputs.require_free(finals)
    log.begin()
    with log.stage("GRM"):
        build_grm(task, paths, outputs, log, quiet=job.run.verbosity == 0)
    if job.n_components is not None:
        with log.stage("principal components"):
            keep_components(genotypes, job.n_components, paths, outputs, log)
    outputs.commit()
    if job.eigen:
        with log.stage("decompositions"):
            keep_decompositions(paths, outputs, log)
        outputs.commit()
    log.say(f"GRM written to {paths.values(None)} and {len(finals) - 1} files beside it")


def plan_grm(
    genotypes: Genotypes,
    options: GenotypeOptions,
    grm: GrmOptions,
    block_size: int,
    log: Logbook,
) -> GrmTask:
    """Choose the GRM's variants: autosomes, by name and place."""
    autosomal = genotypes.variants.take(genotypes.variants.with_role(Role.AUTOSOME))
    if not len(autosomal):
        raise DegenerateError(
            "E215", "no variant lies on an autosome, and the GRM is made of those: give --grm"
        )
    return GrmTask(genotypes, choose_variants(autosomal, grm.choice, options, log), grm, block_size)


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
    """Write the set under temporary names of `outputs`."""
    rows = task.genotypes.kept
    total = np.zeros((rows.size, rows.size))
    total_counts = np.zeros_like(total) if task.options.pairwise else None
    groups: list[dict[str, Any]] = []
    used: list[NDArray[np.int64]] = []
    progress = Progress(log, "GRM", len(task.variants), quiet=quiet)
    sums = GrmSum(rows.size)
    counts = GrmSum(rows.size) if task.options.pairwise else None
    for group in task.variants.groups():
        variants = task.variants.in_group(group)
        summed = _sum_group(task, variants, sums, counts, progress)
        used.append(summed.used)
        groups.append({"name": group, "n_variants": int(summed.used.size)})
        total += summed.values
        if total_counts is not None and summed.counts is not None:
            total_counts += summed.counts
        _write_part(paths, group, summed, outputs)
    progress.close()
    everything = _GroupSum(total, total_counts, np.concatenate(used))
    _refuse_empty(everything, task)
    _write_part(paths, None, everything, outputs)
    outputs.write_text(paths.ids, _id_lines(task.genotypes.samples, rows))
    outputs.write_text(paths.manifest, _manifest(task, groups, everything.used))
    log.say(
        f"GRM: {everything.used.size:,} of {len(task.variants):,} autosomal variants "
        f"({task.options.model}) in {len(groups)} LOCO groups, {rows.size:,} samples"
    )


def _refuse_empty(everything: _GroupSum, task: GrmTask) -> None:
    if everything.used.size == 0:
        raise DegenerateError(
            "E216",
            f"none of {len(task.variants):,} variants is polymorphic and passes --grm-maf "
            f"{task.options.filters.maf:g} and --grm-geno {task.options.filters.geno:g}: "
            "there is nothing to make a GRM of",
        )


def _sum_group(
    task: GrmTask,
    variants: Variants,
    sums: GrmSum,
    counts: GrmSum | None,
    progress: Progress,
) -> _GroupSum:
    """Sum Z Z' over a group's variants, tile by tile of the fixed grid.

    The sums are views of memory that the next group overwrites.
    """
    sums.clear()
    if counts is not None:
        counts.clear()
    used: list[NDArray[np.int64]] = []
    for where, tile, observed in _standardised_tiles(task, variants, used):
        sums.add(tile)
        if counts is not None:
            counts.add(observed)
        progress.advance(where.stop - where.start)
    sums.flush()
    if counts is not None:
        counts.flush()
    index = np.concatenate(used) if used else np.empty(0, dtype=np.int64)
    return _GroupSum(sums.total, counts.total if counts else None, index)


def _standardised_tiles(
    task: GrmTask, variants: Variants, used: list[NDArray[np.int64]]
) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32]]]:
    """Yield tiles (GRM_TILE, n) of Z' and of observed calls; rows that take no part are zero."""
    rows = task.genotypes.kept
    source = task.genotypes.source
    tile = np.zeros((GRM_TILE, rows.size), dtype=np.float32)
    observed = np.zeros_like(tile) if task.options.pairwise else tile
    for where, calls in iter_tiles(source, variants.source_index, GRM_TILE, task.block_size):
        stats = variant_stats(count_block(calls, rows))
        kept = kept_in_grm(stats, task.options.filters)
        centre, scale = variant_scale(stats, task.options.model)
        scale[~kept] = 0.0
        tile[len(calls) :] = 0.0
        fill_tile(calls, rows, centre, scale, tile)
        if task.options.pairwise:
            observed[:] = 0.0
            observed[: len(calls)][kept] = _observed(calls, rows, kept)
        used.append(variants.source_index[where][kept])
        yield where, tile, observed


def _observed(
    calls: Calls, rows: NDArray[np.int64], kept: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """1 where a call is there, 0 where it is missing."""
    return (calls[kept][:, rows] >= 0).astype(np.float32)


def _write_part(paths: GrmPaths, group: str | None, summed: _GroupSum, outputs: OutputSet) -> None:
    """Divide by the counts and write one triangle (two where pairs have their own counts)."""
    values, counts = summed.values, summed.counts
    n = values.shape[0]
    divisor = np.full((1, 1), float(summed.used.size)) if counts is None else counts
    write_triangle(outputs.temporary(paths.values(group)), _packed(values, divisor))
    if counts is not None:
        one = np.ones((1, 1))
        write_triangle(outputs.temporary(paths.counts(group)), _packed(counts, one))
    elif group is None:
        constant = np.full(n, summed.used.size, dtype=np.float32)
        rows = (constant[: i + 1] for i in range(n))
        write_triangle(outputs.temporary(paths.counts(None)), rows)


def _packed(values: Array, counts: Array) -> Iterator[NDArray[np.float32]]:
    """Yield values / counts as a packed lower triangle, some rows at a time."""
    n = values.shape[0]
    step = max(1, _PACK_VALUES // n)
    for first in range(0, n, step):
        stop = min(first + step, n)
        rows = np.empty((stop * (stop + 1) - first * (first + 1)) // 2, dtype=np.float32)
        pack_rows(values, counts, first, stop, rows)
        yield rows


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
