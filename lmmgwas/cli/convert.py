"""`lmmgwas convert`: our summary statistics in other tools' formats."""

from typing import Any

import click

from lmmgwas.cli.command import Command
from lmmgwas.cli.options import SPECIES, table_options, table_run_bundle
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
@table_options
def command(**given: Any) -> None:
    """Write TABLE, PREFIX.TRAIT.tsv.gz of `lmmgwas assoc`, in another tool's format."""
    from pathlib import Path

    from lmmgwas.cli.session import session
    from lmmgwas.model.chromosomes import Karyotype
    from lmmgwas.pipeline.convert_run import ConvertJob, run_convert

    job = ConvertJob(
        table=Path(given["table"]),
        target=FORMATS[given["target"]],
        run=table_run_bundle(given),
        karyotype=Karyotype.of(given["species"], given["autosomes"]),
    )
    with session(job.run) as (log, outputs, _):
        run_convert(job, log, outputs)
