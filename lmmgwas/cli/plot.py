"""`lmmgwas plot`: QQ and Manhattan plot, leads and report again, from our table or a peer's."""

from typing import TYPE_CHECKING, Any

import click

from lmmgwas.cli.command import Command
from lmmgwas.cli.options import (
    SPECIES,
    bundled,
    optional_path,
    plot_bundle,
    region_options,
    report_option,
    table_options,
    table_run_bundle,
)

if TYPE_CHECKING:
    from lmmgwas.model.chromosomes import Karyotype
    from lmmgwas.pipeline.options import GenotypeOptions

_EPILOG = """
\b
Examples:
  lmmgwas plot results.height.tsv.gz --out again
  lmmgwas plot results.height.tsv.gz --out again --threshold 1e-6 --title "Standing height"
  lmmgwas plot results.height.tsv.gz --out again --bfile study --genes genes.bed
"""


@click.command("plot", cls=Command, epilog=_EPILOG)
@click.argument("table", metavar="TABLE")
@click.option("--out", metavar="PREFIX", required=True, help="Prefix of all output files.")
@click.option(
    "--threshold",
    metavar="P",
    type=float,
    help="Significant p. [default: 5e-8 for human data, 0.05/m otherwise]",
)
@click.option(
    "--suggestive",
    metavar="P",
    type=float,
    help="p of the lighter line. [default: 1e-5 for human data, 1/m otherwise]",
)
@click.option("--title", metavar="TEXT", help="Title of the plots. [default: the trait]")
@click.option(
    "--plots",
    type=click.Choice(["all", "png"]),
    default="all",
    show_default=True,
    help="PNG and PDF, or PNG only.",
)
@click.option(
    "--bfile", metavar="PREFIX", help="Genotypes, for regional plots of the leads with r2."
)
@click.option(
    "--keep", metavar="FILE", help="r2 over these samples of --bfile only (FID IID, or IID)."
)
@bundled(report_option, *region_options)
@click.option(
    "--species",
    type=click.Choice(SPECIES),
    help="Whose chromosomes the labels are. [default: human unless a number is above 25]",
)
@table_options
def command(**given: Any) -> None:
    """Draw TABLE again, name its leads, and make a page of them.

    TABLE is PREFIX.TRAIT.tsv.gz or PREFIX.TRAIT.leads.tsv of `lmmgwas assoc`, or a table of
    BOLT-LMM, FaST-LMM, GCTA, GEMMA, METAL, PLINK 2, REGENIE or SAIGE, packed or not; which it is
    is told by its header, and the log says what was taken for what.
    """
    from pathlib import Path

    from lmmgwas.cli.session import session
    from lmmgwas.model.chromosomes import Karyotype
    from lmmgwas.pipeline.plot_run import PlotJob, run_plot

    karyotype = Karyotype.of(given["species"], given["autosomes"])
    job = PlotJob(
        table=Path(given["table"]),
        run=table_run_bundle(given),
        karyotype=karyotype,
        threshold=given["threshold"],
        suggestive=given["suggestive"],
        title=given["title"],
        plots=plot_bundle(given),
        genotypes=_genotypes(given, karyotype),
    )
    with session(job.run) as (log, outputs, _):
        run_plot(job, log, outputs)


def _genotypes(given: dict[str, Any], karyotype: "Karyotype") -> "GenotypeOptions | None":
    """The genotypes that r2 is computed from, where they are given."""
    from lmmgwas.errors import UsageError
    from lmmgwas.pipeline.options import FileSet, GenotypeOptions

    if given["bfile"] is None:
        if given["keep"] is not None:
            raise UsageError("E003", "--keep chooses samples of --bfile: give that, too")
        return None
    files = FileSet.of(given["bfile"], None, None, None)
    return GenotypeOptions(files, karyotype, keep=optional_path(given["keep"]))
