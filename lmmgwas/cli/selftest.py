"""`lmmgwas selftest`: this installation on this machine, held against a built-in oracle."""

from typing import TYPE_CHECKING

import click

from lmmgwas.cli.command import Command

if TYPE_CHECKING:
    from lmmgwas.pipeline.options import AssocJob, GrmJob

_EPILOG = """
\b
Examples:
  lmmgwas selftest
  OPENBLAS_CORETYPE=Haswell lmmgwas selftest --threads 1
"""


@click.command("selftest", cls=Command, epilog=_EPILOG)
@click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads. [default: what the batch system or the machine allows]",
)
@click.option(
    "--tmpdir",
    type=click.Path(),
    metavar="DIR",
    help="Where the small study is put. [default: as Python finds it, TMPDIR]",
)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def command(threads: int | None, tmpdir: str | None, debug: bool) -> None:
    """Check this installation and machine: arithmetic, and a small study against an oracle."""
    import tempfile
    from pathlib import Path

    from lmmgwas.errors import FileAccessError
    from lmmgwas.numerics.threads import available_threads, describe_blas
    from lmmgwas.pipeline.selftest_run import Commands, run_selftest

    n_threads = threads or available_threads()
    _say(describe_blas())
    _say(f"{'check':<52} {'error':>9} {'bound':>9}")
    try:
        with tempfile.TemporaryDirectory(prefix="lmmgwas.selftest.", dir=tmpdir) as folder:
            findings = run_selftest(Path(folder), Commands(_grm, _assoc), n_threads, _say)
    except OSError as error:
        message = f"cannot write the small study: {error.strerror or error}"
        raise FileAccessError("E111", f"{message}; see --tmpdir") from error
    _say(f"All {len(findings)} checks passed")


def _say(text: str) -> None:
    click.echo(text, err=True)


def _grm(job: "GrmJob") -> None:
    from lmmgwas.cli.session import session
    from lmmgwas.pipeline.grm_run import run_grm

    with session(job.run) as (log, outputs, _):
        run_grm(job, log, outputs)


def _assoc(job: "AssocJob") -> None:
    from lmmgwas.cli.session import session
    from lmmgwas.pipeline.assoc_run import run_assoc

    with session(job.run) as (log, outputs, workspace):
        run_assoc(job, log, outputs, workspace)
