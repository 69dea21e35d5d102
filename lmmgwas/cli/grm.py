"""`lmmgwas grm`: the relatedness matrix of a genotype set, or one on disk in another format."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmmgwas.cli.command import Command, is_typed
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
  lmmgwas grm --convert gemma --grm study --fam study.fam --out for_gemma
"""

_BUILDING = (
    "pfile",
    "eigen",
    "pca",
    "part",
    "keep",
    "remove",
    "mind",
    "grm_extract",
    "grm_exclude",
    "grm_chr",
    "grm_model",
    "grm_missing",
    "grm_maf",
    "grm_geno",
)
"""Options of a GRM that is built."""


@click.command("grm", cls=Command, epilog=_EPILOG)
@genotype_options
@grm_options
@click.option(
    "--eigen", is_flag=True, help="Keep the decompositions, too; assoc uses them when it can."
)
@click.option(
    "--pca",
    type=click.IntRange(1),
    metavar="N",
    help="Write N principal components of the matrix: PREFIX.eigenvec, for assoc --covar. "
    "[default: none]",
)
@click.option(
    "--convert",
    type=click.Choice(["gcta", "gemma", "plink2", "table", "npy"]),
    help="Build nothing: write the matrix that --grm names in this format.",
)
@click.option("--grm", metavar="PREFIX", help="With --convert: a GRM, prefix or file, any format.")
@part_option
@run_options
def command(**given: Any) -> None:
    """Build the relatedness matrix, with one part per chromosome for LOCO."""
    from lmmgwas.cli.session import session
    from lmmgwas.pipeline.grm_parts import run_grm_part
    from lmmgwas.pipeline.grm_run import run_grm

    if given["convert"] is not None or given["grm"] is not None:
        _convert(given)
        return
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


def _convert(given: dict[str, Any]) -> None:
    """`grm --convert FORMAT --grm PREFIX`: needs no genotypes, and of GEMMA's a .fam."""
    from lmmgwas.cli.session import session
    from lmmgwas.errors import UsageError
    from lmmgwas.io.grm_formats import GrmFormat
    from lmmgwas.pipeline.grm_convert import ConvertJob, convert_grm

    if given["convert"] is None or given["grm"] is None:
        raise UsageError(
            "E020",
            "--convert FORMAT and --grm PREFIX go together: the one says to what, the other what "
            "is converted; a GRM is built without both",
        )
    unused = [name for name in _BUILDING if is_typed(name)]
    if unused:
        names = ", ".join("--" + name.replace("_", "-") for name in unused)
        raise UsageError("E020", f"{names} cannot change a matrix that is there: leave out")
    fam = given["fam"] or (None if given["bfile"] is None else f"{given['bfile']}.fam")
    job = ConvertJob(
        Path(given["grm"]),
        GrmFormat(given["convert"]),
        None if fam is None else Path(fam),
        run_bundle(given),
    )
    with session(job.run) as (log, outputs, _):
        convert_grm(job, log, outputs)
