"""`lmmgwas grm --part i/N`, and the parts put together."""

from collections.abc import Sequence
from pathlib import Path

from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.grm_files import GrmPaths
from lmmgwas.io.workspace import Workspace
from lmmgwas.pipeline.grm_cells import CellFolders, share_of_cells, sum_cells
from lmmgwas.pipeline.grm_room import require_grm_room
from lmmgwas.pipeline.grm_run import plan_grm, run_grm, write_grm
from lmmgwas.pipeline.grm_sums import GrmTask
from lmmgwas.pipeline.inputs import Genotypes, open_genotypes
from lmmgwas.pipeline.journal import Journal, refuse_unfinished
from lmmgwas.pipeline.logbook import Logbook, Progress
from lmmgwas.pipeline.options import GrmJob
from lmmgwas.pipeline.parts import Part, Said, repeat, require_free_part, seal_part
from lmmgwas.report.manifest import describe_inputs


def grm_inputs(job: GrmJob, genotypes: Genotypes) -> list[Path]:
    """Return all files that a GRM rests on."""
    choice, options = job.grm.choice, job.genotypes
    lists = [options.keep, options.remove, choice.extract, choice.exclude]
    return [*genotypes.source.paths(), *(path for path in lists if path is not None)]


def run_grm_part(job: GrmJob, log: Logbook, outputs: OutputSet, workspace: Workspace) -> None:
    """Sum a share of the cells, and keep them as a part."""
    share = job.run.share
    if share is None:
        raise ValueError("not a part")
    refuse_unfinished(workspace, job.run)
    genotypes = open_genotypes(job.genotypes, log)
    task = plan_grm(genotypes, job.genotypes, job.grm, job.run, log)
    require_free_part(job.run)
    outputs.require_free([])
    log.begin()
    require_grm_room(job, genotypes, task.variants, log)
    said = Said.so_far(log)
    inputs = describe_inputs(grm_inputs(job, genotypes))
    journal = Journal.begin(workspace, outputs, job.run, inputs, log)
    if journal is None:
        return
    n_samples = genotypes.kept.size
    cells = share_of_cells(task.variants, n_samples, share)
    names = task.variants.groups()
    groups = sorted({cell.place for cell in cells})
    n_variants = sum(len(task.variants.in_group(names[place])) for place in groups)
    progress = Progress(log, "GRM", n_variants, quiet=job.run.verbosity == 0)
    with log.stage("GRM"):
        sum_cells(task, cells, journal.folder, journal.key, progress)
    progress.close()
    workspace.require_lock()
    seal_part(
        job.run,
        journal.folder,
        "grm",
        (journal.key, journal.facts),
        said,
        overwrite=outputs.overwrite,
    )
    log.say(
        f"Part {share.part} of {share.n_parts}: {len(cells)} pieces of {len(groups)} chromosomes "
        f"in {job.run.out}/"
    )


def merge_grm(
    job: GrmJob, parts: Sequence[Part], log: Logbook, outputs: OutputSet, workspace: Workspace
) -> None:
    """Put the parts of a GRM together."""

    def build(task: GrmTask, paths: GrmPaths, outputs: OutputSet, log: Logbook) -> None:
        inputs = describe_inputs(grm_inputs(job, task.genotypes))
        journal = Journal.of_parts(workspace, job.run, inputs, parts)
        repeat(parts[0].said, log)
        log.say(f"Merging {len(parts)} parts")
        cells = CellFolders(task, [part.folder for part in parts], journal.key)
        write_grm(task, cells.group, paths, outputs, log)

    run_grm(job, log, outputs, build)
