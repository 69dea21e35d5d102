"""`lmmgwas assoc` on a cluster: which tasks, in which order, and what is done with their files."""

from dataclasses import replace
from pathlib import Path

from lmmgwas.errors import FileAccessError
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.grm_files import GrmPaths
from lmmgwas.io.shards import DamagedShardError
from lmmgwas.pipeline.analyses import PreparedAnalysis
from lmmgwas.pipeline.cluster import Call, Cluster
from lmmgwas.pipeline.grm_cells import CellFolders, all_cells
from lmmgwas.pipeline.grm_run import Build, write_grm
from lmmgwas.pipeline.grm_sums import GrmTask
from lmmgwas.pipeline.group_shards import Stretch, WholeEnd
from lmmgwas.pipeline.journal import Journal
from lmmgwas.pipeline.kept_fits import GENOME, KeptFits
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import AssocJob, Share
from lmmgwas.pipeline.relatedness import Relatedness
from lmmgwas.pipeline.scan_keeper import n_variants_grm
from lmmgwas.pipeline.study import Study
from lmmgwas.pipeline.tasks import (
    CELLS,
    NULLS,
    FitGenome,
    FitGroup,
    Order,
    ScanStretch,
    SumCell,
    TaskDone,
)

_STRETCHES_PER_WORKER = 8  # so that the last ones to finish are short


def order_of(job: AssocJob, journal: Journal) -> Order:
    """Return what workers must know of a study."""
    plain = replace(job.run, out=job.run.out.absolute(), overwrite=True, cluster=None)
    folder = journal.folder.absolute()
    nulls = None if job.nulls is None else job.nulls.absolute()
    plain_job = replace(job, run=plain, nulls=nulls)
    return Order(plain_job, journal.key, journal.facts, folder, None, str(Path.cwd()))


def build_on(cluster: Cluster, order: Order) -> Build:
    """Return what has the GRM of a study summed by a cluster."""

    def build(task: GrmTask, paths: GrmPaths, outputs: OutputSet, log: Logbook) -> None:
        folder = order.folder / CELLS
        folder.mkdir(mode=0o700, exist_ok=True)
        cells = all_cells(task.variants, task.genotypes.kept.size)
        groups = task.variants.groups()
        total = sum(len(task.variants.in_group(groups[cell.place])) for cell in cells)
        progress = Progress(log, "GRM", total, quiet=order.job.run.verbosity == 0)

        def finished(call: Call, done: TaskDone) -> None:
            if isinstance(call.task, SumCell):
                progress.advance(len(task.variants.in_group(groups[call.task.cell.place])))

        cluster.do(order, [Call(SumCell(cell)) for cell in cells], finished)
        progress.close()
        summed = CellFolders(task, [folder], order.key)
        write_grm(task, summed.group, paths, outputs, log)

    return build


def scan_on(
    cluster: Cluster, order: Order, number: int, prepared: PreparedAnalysis, log: Logbook
) -> None:
    """Have a cluster do what of an analysis is not finished."""
    scan = prepared.scan
    calls = _calls(cluster, number, prepared)
    if not calls:
        return
    stretches = [call.task.stretch for call in calls if isinstance(call.task, ScanStretch)]
    total = sum(stretch.last - stretch.first for stretch in stretches)
    progress = Progress(log, "scan", total, quiet=order.job.run.verbosity == 0)
    fits = KeptFits(order.folder / NULLS, number, order.key, make=True, given=order.job.nulls)

    def finished(call: Call, done: TaskDone) -> None:
        if isinstance(call.task, FitGenome):
            _keep_whole(prepared, fits)
        if isinstance(call.task, ScanStretch):
            stretch = call.task.stretch
            try:
                scan.shards.take(stretch)
            except (DamagedShardError, OSError) as error:
                raise FileAccessError(
                    "E122", f"{done.path}, which a worker wrote, is damaged ({error}): --resume"
                ) from error
            progress.advance(stretch.last - stretch.first)

    cluster.do(order, calls, finished)
    progress.close()


def _keep_whole(prepared: PreparedAnalysis, fits: KeptFits) -> None:
    scan = prepared.scan
    found = fits.find(GENOME)
    if found is not None and scan.shards.whole() is None:
        nulls = tuple(trait.null for trait in found.traits)
        scan.shards.keep_whole(WholeEnd(nulls, n_variants_grm(scan.job, None)))


def _calls(cluster: Cluster, number: int, prepared: PreparedAnalysis) -> list[Call]:
    """The genome's fit first; each group's next; stretches once their group is fitted."""
    scan, layout = prepared.scan, prepared.scan.layout
    n_shares = max(1, cluster.n_workers()) * _STRETCHES_PER_WORKER
    shares = [layout.share(Share(k + 1, n_shares)) for k in range(n_shares)]
    holes = [gap for group in layout.everything() for gap in scan.shards.gaps(group)]
    gaps = sorted(
        Stretch(piece.place, max(piece.first, gap.first), min(piece.last, gap.last))
        for share in shares
        for piece in share
        for gap in holes
        if gap.place == piece.place and max(piece.first, gap.first) < min(piece.last, gap.last)
    )
    if not gaps and scan.shards.whole() is not None:
        return []
    calls = [Call(FitGenome(number))]
    for batch in layout.batches:
        own = batch.of(gaps)
        before = 0
        tested = any(layout.untested(stretch.place) is None for stretch in own)
        if tested and not (batch.number == 0 and batch.left_out is None):
            calls.append(Call(FitGroup(number, batch.number), (0,)))
            before = len(calls) - 1
        calls += [Call(ScanStretch(number, stretch), (before,)) for stretch in own]
    return calls


def with_grm(order: Order, relatedness: Relatedness | None, study: Study) -> Order:
    """Return the order once the GRM is there."""
    built = relatedness is not None and study.grm is not None and study.grm.task is not None
    if relatedness is None or not built:
        return order
    return replace(order, grm=relatedness.paths.prefix.absolute())
