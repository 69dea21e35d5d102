"""Building a GRM set: one pass over the genotypes, one part per chromosome, GCTA's files.

`lmmgwas grm` keeps the set; `assoc` builds the very same files in a temporary folder, so
that one command or two give the same bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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
from lmmgwas.model.genotypes import (
    Samples,
    Variants,
    calls_of,
    count_block,
    read_tile,
    variant_stats,
)
from lmmgwas.model.grm import (
    GRM_TILE,
    GrmSum,
    centre_and_scale,
    kept_in_grm,
    loco_matrix,
    variant_scale,
)
from lmmgwas.model.grm_check import SumCheck, observed_values, scaled_values
from lmmgwas.model.spectrum import decompose
from lmmgwas.numerics.kernels import fill_tile, pack_rows
from lmmgwas.numerics.parallel import ordered_map, over_triangle
from lmmgwas.pipeline.grm_room import require_grm_room
from lmmgwas.pipeline.inputs import Genotypes, choose_variants, open_genotypes
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import GenotypeOptions, GrmJob, GrmOptions, RunOptions
from lmmgwas.pipeline.pca_run import keep_components, require_components
from lmmgwas.pipeline.sample_checks import warn_of_twins

Array = NDArray[np.float64]

_TILES_AHEAD = 3  # read and filled before they are summed
_AT_ONCE = 1 << 20  # constants written at a time


@dataclass(frozen=True, slots=True, eq=False)
class GrmTask:
    """What is to be summed: which variants, over which samples, how."""

    genotypes: Genotypes
    variants: Variants  # chosen, autosomal, in output order
    options: GrmOptions
    block_size: int
    threads: int


def run_grm(job: GrmJob, log: Logbook, outputs: OutputSet) -> None:
    """`lmmgwas grm`: build the set and keep it."""
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
        build_grm(task, paths, outputs, log, quiet=job.run.verbosity == 0)
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
    """Write the set under temporary names of `outputs`.

    One part is written to disk while the next group is summed.
    """
    rows = task.genotypes.kept
    sums = _Sums(rows.size, task.threads, pairwise=task.options.pairwise)
    groups: list[dict[str, Any]] = []
    used: list[NDArray[np.int64]] = []
    progress = Progress(log, "GRM", len(task.variants), quiet=quiet)
    with ThreadPoolExecutor(1) as writer:
        written: list[Future[None]] = []
        for group in task.variants.groups():
            used.append(_sum_group(task, task.variants.in_group(group), sums, progress))
            groups.append({"name": group, "n_variants": int(used[-1].size)})
            triangles = sums.close(group, used[-1].size)
            task.genotypes.source.check_unchanged()
            _drain(written)  # one part waits for the disk at a time
            written = _submit(writer, paths, group, triangles, used[-1].size, outputs)
        everything = np.concatenate(used)
        _refuse_empty(everything, task)
        _refuse_miscount(everything, task)
        _drain(written)
        _drain(_submit(writer, paths, None, sums.whole(everything.size), everything.size, outputs))
    progress.close()
    outputs.write_text(paths.ids, _id_lines(task.genotypes.samples, rows))
    outputs.write_text(paths.manifest, _manifest(task, groups, everything))
    log.say(
        f"GRM: {everything.size:,} of {len(task.variants):,} autosomal variants "
        f"({task.options.model}) in {len(groups)} LOCO groups, {rows.size:,} samples"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Triangles:
    """What is written of a group: means, and counts where pairs have their own."""

    values: NDArray[np.float32]  # (n (n + 1) / 2,)
    counts: NDArray[np.float32] | None


class _Sums:
    """The sums of the group at hand and of all groups before it, lower triangles.

    What leaves here was held against the products that `check` has of the calls themselves.
    """

    def __init__(self, n_samples: int, threads: int, *, pairwise: bool) -> None:
        self.values = GrmSum(n_samples, threads)
        self.counts = GrmSum(n_samples, threads) if pairwise else None
        self.check = SumCheck(n_samples)
        self.counts_check = SumCheck(n_samples) if pairwise else None
        self._total = np.zeros((n_samples, n_samples))
        self._total_counts = np.zeros((n_samples, n_samples)) if pairwise else None
        self._threads = threads

    def close(self, group: str, n_variants: int) -> _Triangles:
        """End a group: return its means, and move its sums to the totals.

        Raises NumericalError (E903) for sums that are not those of the calls.
        """
        self.values.flush()
        counts = None
        if self.counts is not None and self._total_counts is not None:
            self.counts.flush()
            counts = self.counts.total
        triangles = self._divide(self.values.total, counts, n_variants)
        self.check.close_group(group, triangles.values, triangles.counts, n_variants, self._threads)
        if self.counts_check is not None and triangles.counts is not None:
            self.counts_check.close_group(group, triangles.counts, None, 1, self._threads)
        self.values.move_to(self._total)
        if self.counts is not None and self._total_counts is not None:
            self.counts.move_to(self._total_counts)
        return triangles

    def whole(self, n_variants: int) -> _Triangles:
        """Return the means over all groups. Raises NumericalError (E903), as `close` does."""
        triangles = self._divide(self._total, self._total_counts, n_variants)
        self.check.close_all(triangles.values, triangles.counts, n_variants, self._threads)
        if self.counts_check is not None and triangles.counts is not None:
            self.counts_check.close_all(triangles.counts, None, 1, self._threads)
        return triangles

    def _divide(self, values: Array, counts: Array | None, n_variants: int) -> _Triangles:
        if counts is None:
            return _Triangles(self._pack(values, np.full((1, 1), float(n_variants))), None)
        return _Triangles(self._pack(values, counts), self._pack(counts, np.ones((1, 1))))

    def _pack(self, values: Array, divisor: Array) -> NDArray[np.float32]:
        n = values.shape[0]
        packed = np.empty(n * (n + 1) // 2, dtype=np.float32)
        over_triangle(n, self._threads, lambda chunk: pack_rows(values, divisor, chunk, packed))
        return packed


def _drain(written: list[Future[None]]) -> None:
    """Wait for files that are being written; raise what went wrong there."""
    for future in written:
        future.result()


def _submit(
    writer: ThreadPoolExecutor,
    paths: GrmPaths,
    group: str | None,
    triangles: _Triangles,
    n_variants: int,
    outputs: OutputSet,
) -> list[Future[None]]:
    """Begin to write a part; the whole matrix has a file of counts, too."""
    futures = [
        writer.submit(write_triangle, outputs.temporary(paths.values(group)), [triangles.values])
    ]
    counts = triangles.counts
    if counts is not None:
        target = outputs.temporary(paths.counts(group))
        futures.append(writer.submit(write_triangle, target, [counts]))
    elif group is None:
        target = outputs.temporary(paths.counts(None))
        constant = (np.full(n, n_variants, dtype=np.float32) for n in _lengths(triangles.values))
        futures.append(writer.submit(write_triangle, target, constant))
    return futures


def _lengths(packed: NDArray[np.float32]) -> Iterator[int]:
    """How many values to write at a time."""
    for start in range(0, packed.size, _AT_ONCE):
        yield min(_AT_ONCE, packed.size - start)


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


def _sum_group(
    task: GrmTask, variants: Variants, sums: _Sums, progress: Progress
) -> NDArray[np.int64]:
    """Sum Z Z' over a group's variants; return the rows of the .bim that took part.

    Tile by tile of the fixed grid: the next tiles are read and filled while BLAS works on
    this one.
    """
    used = [np.empty(0, dtype=np.int64)]
    starts = range(0, len(variants), GRM_TILE)

    def prepare(start: int) -> _GrmTile:
        return _standardised_tile(task, variants.source_index[start : start + GRM_TILE], sums)

    for tile in ordered_map(prepare, starts, 1, _TILES_AHEAD):
        sums.values.add(tile.values)
        sums.check.add(tile.products)
        if sums.counts is not None and sums.counts_check is not None:
            sums.counts.add(tile.observed)
            sums.counts_check.add(tile.observed_products)
        used.append(tile.used)
        progress.advance(tile.n_read)
    return np.concatenate(used)


@dataclass(frozen=True, slots=True, eq=False)
class _GrmTile:
    """A tile of the fixed grid; rows that take no part are zero."""

    values: NDArray[np.float32]  # (GRM_TILE, n) of Z'
    observed: NDArray[np.float32]  # (GRM_TILE, n) 1 where a call is there, for `pairwise`
    products: Array  # (n,) what the tile adds to the check of the sum
    observed_products: Array  # (n,) the same of `observed`
    used: NDArray[np.int64]  # rows of the .bim that take part
    n_read: int


def _standardised_tile(task: GrmTask, index: NDArray[np.int64], sums: _Sums) -> _GrmTile:
    """Read a tile's calls, count them, and fill its rows in one pass.

    The products for the check come from the calls, not from the tile: a wrong tile shows, too.
    """
    rows = task.genotypes.kept
    calls = calls_of(read_tile(task.genotypes.source, index, task.block_size), rows)
    stats = variant_stats(count_block(calls, np.arange(rows.size)))
    kept = kept_in_grm(stats, task.options.filters)
    centre, scale = variant_scale(stats, task.options.model)
    scale[~kept] = 0.0
    tile = np.empty((GRM_TILE, rows.size), dtype=np.float32)
    tile[len(calls) :] = 0.0
    fill_tile(calls, centre, scale, tile)
    products = sums.check.products(calls, scaled_values(centre, scale))
    observed, observed_products = tile, products
    if sums.counts_check is not None:
        observed = np.zeros_like(tile)
        observed[: len(calls)][kept] = calls[kept] >= 0
        observed_products = sums.counts_check.products(calls, observed_values(kept))
    return _GrmTile(tile, observed, products, observed_products, index[kept], index.size)


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
