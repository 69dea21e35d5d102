"""`lmmgwas convert`: our summary statistics in other tools' formats."""

from typing import Any

import click

from lmmgwas.cli.command import Command
from lmmgwas.cli.options import SPECIES
from lmmgwas.io.export_formats import FORMATS

_EPILOG = """
\b
Formats, and whose effect they hold:
{formats}

\b
Examples:
  lmmgwas convert first.height.tsv.gz --to ldsc --out height.ldsc.gz
  lmmgwas convert first.height.tsv.gz --to gwas-vcf --out height.vcf.gz
""".format(
    formats="\n".join(f"  {name:<9} {target.effect_rule}" for name, target in FORMATS.items())
)


@click.command("convert", cls=Command, epilog=_EPILOG)
@click.argument("table", metavar="TABLE")
@click.option("--to", "target", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option(
    "--out",
    metavar="FILE",
    required=True,
    help="The file to write; packed where its name ends in .gz.",
)
@click.option(
    "--species",
    type=click.Choice(SPECIES),
    help="Whose chromosomes the labels are. [default: human]",
)
@click.option(
    "--autosomes",
    metavar="N",
    type=click.IntRange(1),
    help="Number of autosomes, for other species. [default: 22]",
)
@click.option("--overwrite", is_flag=True, help="Replace existing output.")
@click.option("--strict", is_flag=True, help="Make every warning an error.")
@click.option("--quiet", is_flag=True, help="Print warnings and errors only.")
@click.option("--verbose", is_flag=True, help="Print the time of each step, too.")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def command(**given: Any) -> None:
    """Write TABLE, PREFIX.TRAIT.tsv.gz of `lmmgwas assoc`, in another tool's format."""
    from pathlib import Path

    from lmmgwas.cli.session import session
    from lmmgwas.model.chromosomes import Karyotype
    from lmmgwas.pipeline.convert_run import ConvertJob, run_convert
    from lmmgwas.pipeline.options import RunOptions

    job = ConvertJob(
        table=Path(given["table"]),
        target=FORMATS[given["target"]],
        run=RunOptions(
            out=Path(given["out"]),
            overwrite=given["overwrite"],
            strict=given["strict"],
            verbosity=0 if given["quiet"] else 2 if given["verbose"] or given["debug"] else 1,
        ),
        karyotype=Karyotype.of(given["species"], given["autosomes"]),
    )
    with session(job.run) as (log, outputs, _):
        run_convert(job, log, outputs)
