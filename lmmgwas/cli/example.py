"""`lmmgwas example`: a simulated study to try."""

from pathlib import Path

import click

from lmmgwas.cli.command import Command

_EPILOG = """
\b
Examples:
  lmmgwas example study
  lmmgwas example study --overwrite
"""


@click.command("example", cls=Command, epilog=_EPILOG)
@click.argument("directory", metavar="DIR")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def command(directory: str, overwrite: bool, debug: bool) -> None:
    """Write a simulated study into DIR: families, three populations, two traits."""
    from lmmgwas.model.simulate import SimulationSettings
    from lmmgwas.pipeline.example import write_example

    folder = Path(directory)
    paths = write_example(folder, SimulationSettings(), overwrite)
    for path in paths:
        click.echo(f"wrote {path}", err=True)
    click.echo(
        f"\nNow try:\n  lmmgwas assoc --bfile {folder / 'study'} --pheno {folder / 'pheno.tsv'} "
        f"--covar {folder / 'covar.tsv'} --out {folder / 'results'}",
        err=True,
    )
