"""`lmmgwas merge`: parts of a study, or of a GRM, into one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from lmmgwas.cli.command import Command

_EPILOG = """
\b
Examples:
  lmmgwas grm --bfile study --part 1/2 --out study; lmmgwas grm --bfile study --part 2/2 --out study
  lmmgwas merge --out study
  lmmgwas merge --what assoc --out results --tmpdir /tmp
"""


@click.command("merge", cls=Command, epilog=_EPILOG)
@click.option(
    "--out", metavar="PREFIX", required=True, help="The prefix that the parts were given."
)
@click.option(
    "--what",
    type=click.Choice(["grm", "assoc"]),
    help="Which parts, where PREFIX has both kinds. [default: those that are there]",
)
@click.option("--tmpdir", metavar="DIR", help="Temporary files. [default: beside the output]")
@click.option("--overwrite", is_flag=True, help="Replace existing output.")
@click.option("--break-lock", is_flag=True, help="Take the name from a run that is gone.")
@click.option("--strict", is_flag=True, help="Make every warning an error.")
@click.option("--quiet", is_flag=True, help="Print warnings and errors only.")
@click.option("--verbose", is_flag=True, help="Print the time of each step, too.")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def command(**given: Any) -> None:
    """Put the parts of --part together: the same bytes as the undivided run."""
    from lmmgwas.cli.grm import grm_job
    from lmmgwas.cli.session import session
    from lmmgwas.cli.study_options import study_job
    from lmmgwas.pipeline.merge_run import run_merge
    from lmmgwas.pipeline.parts import find_parts, require_software

    parts = find_parts(Path(given["out"]), given.pop("what"))
    require_software(parts[0])
    asked = {
        **parts[0].given,
        "memory": None,
        "part": None,
        "nulls": None,
        "scheduler": None,
        "workers": None,
        "resume": False,
        **given,
    }
    job = grm_job(asked) if parts[0].kind == "grm" else study_job(asked)
    before = {name: where for name, where in parts[0].given_from.items() if name not in given}
    origins = tuple(sorted({**before, **dict(job.run.origins)}.items()))
    job = replace(job, run=replace(job.run, origins=origins))
    with session(job.run) as (log, outputs, workspace):
        run_merge(job, parts, log, outputs, workspace)
