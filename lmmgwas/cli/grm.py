"""`lmmgwas grm`: the relatedness matrix of a genotype set."""

from typing import TYPE_CHECKING, Any

import click

from lmmgwas.cli.options import (
    genotype_bundle,
    genotype_options,
    grm_bundle,
    grm_options,
    part_option,
    run_bundle,
    run_options,
)

if TYPE_CHECKING:
    from lmmgwas.pipeline.options import GrmJob

_EPILOG = """
\b
Examples:
  lmmgwas grm --bfile study --out study
  lmmgwas grm --bfile study --grm-model hwe --grm-missing pairwise --out like_gcta
  lmmgwas grm --bfile study --pca 10 --out study
"""


@click.command("grm", epilog=_EPILOG)
@genotype_options
@grm_options
@click.option(
    "--eigen", is_flag=True, help="Keep the decompositions, too; assoc uses them when it can."
)
@click.option(
    "--pca",
    type=click.IntRange(1),
    metavar="N",
    help="Write N principal components of the matrix: PREFIX.eigenvec, for assoc --covar.",
)
@part_option
@run_options
def command(**given: Any) -> None:
    """Build the relatedness matrix, with one part per chromosome for LOCO."""
    from lmmgwas.cli.session import session
    from lmmgwas.pipeline.grm_parts import run_grm_part
    from lmmgwas.pipeline.grm_run import run_grm

    job = grm_job(given)
    with session(job.run) as (log, outputs, workspace):
        if job.run.share is None:
            run_grm(job, log, outputs)
        else:
            run_grm_part(job, log, outputs, workspace)


def grm_job(given: dict[str, Any]) -> "GrmJob":
    """Make the job of the arguments of `grm`."""
    from lmmgwas.pipeline.options import GrmJob

    return GrmJob(
        genotype_bundle(given),
        grm_bundle(given),
        run_bundle(given, "grm-"),
        eigen=given["eigen"],
        n_components=given["pca"],
    )
