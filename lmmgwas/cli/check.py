"""`lmmgwas check`: what `assoc` would say and take, without the work."""

import os
import shlex
from pathlib import Path
from typing import Any

import click

from lmmgwas.cli.command import STATED, Command, doubts
from lmmgwas.cli.options import check_options
from lmmgwas.cli.study_options import study_job, study_options

_EPILOG = """
\b
Examples:
  lmmgwas check --bfile study --pheno traits.tsv --covar covariates.tsv
  lmmgwas check --bfile study --pheno traits.tsv --out results --threads 8 > job.sh
"""

_NOT_FOR_THE_JOB = ("config", "log", "quiet", "verbose", "debug", "threads", "out")
_UNNAMED = "results"


@click.command("check", cls=Command, epilog=_EPILOG)
@study_options
@check_options
@click.option("--log", metavar="FILE", help="Write what is said to this file, too.")
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Look for everything that can fail in `assoc`, and estimate memory, time and disk.

    Takes the options of `assoc`, does none of its work and writes no file. The report goes to the
    terminal, a script for a Slurm job to standard output.
    """
    from lmmgwas.numerics.threads import limited_blas
    from lmmgwas.pipeline.check_run import run_check
    from lmmgwas.pipeline.logbook import Logbook

    named = given["out"] is not None
    log_file = Path(given.pop("log") or os.devnull)
    job = study_job({**given, "out": given["out"] if named else _UNNAMED})
    log = Logbook(log_file, verbosity=job.run.verbosity, strict=job.run.strict)
    line = [*_typed(context), "--threads", str(job.run.threads), "--out", str(job.run.out)]
    with log, limited_blas(job.run.threads):
        for text in doubts():
            log.warn("W021", text)
        script = run_check(job, [shlex.quote(word) for word in line], log, named=named)
    click.echo(script, nl=False)


def _typed(context: click.Context) -> list[str]:
    """The command line of `assoc` with the options that were given to `check`, wherever they
    were: the job shall not depend on variables or on a file that changes."""
    words = ["lmmgwas", "assoc"]
    for parameter in context.command.params:
        name = str(parameter.name)
        stated = context.get_parameter_source(name) in STATED
        if not stated or name in _NOT_FOR_THE_JOB or context.params[name] is False:
            continue
        words.append(parameter.opts[0])
        if not (isinstance(parameter, click.Option) and parameter.is_flag):
            words.append(str(context.params[name]))
    return words
