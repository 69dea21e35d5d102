"""`lmmgwas assoc`: the study."""

from typing import Any

import click

from lmmgwas.cli.command import Command
from lmmgwas.cli.options import run_options
from lmmgwas.cli.study_options import divide_options, study_job, study_options

_EPILOG = """
\b
Examples:
  lmmgwas assoc --bfile study --pheno traits.tsv --covar covariates.tsv --out results
  lmmgwas assoc --bfile study --grm study --pheno traits.tsv --pheno-name height --out height
"""


@click.command("assoc", cls=Command, epilog=_EPILOG)
@study_options
@divide_options
@run_options
def command(**given: Any) -> None:
    """Test every variant: null models, scan, summary statistics, plots."""
    from lmmgwas.cli.session import session
    from lmmgwas.pipeline.assoc_run import run_assoc

    job = study_job(given)
    with session(job.run) as (log, outputs, workspace):
        run_assoc(job, log, outputs, workspace)
