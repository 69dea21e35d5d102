"""What every run of a command lives in: its log, its threads, its output files."""

import contextlib
import os
from collections.abc import Iterator

from lmmgwas.cli.command import doubts
from lmmgwas.cli.watch import watched
from lmmgwas.io.atomic import OutputSet
from lmmgwas.io.open_files import require_open_files
from lmmgwas.io.workspace import Workspace, is_pointless
from lmmgwas.numerics.processor import flushed_denormals, slow_kernels
from lmmgwas.numerics.threads import blas_libraries, describe_blas, limited_blas
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions


@contextlib.contextmanager
def session(run: RunOptions) -> Iterator[tuple[Logbook, OutputSet, Workspace]]:
    """Lock the prefix, open the log, limit the threads; remove temporary files in the end.

    A run that is interrupted leaves its finished steps in the workspace, for --resume.
    """
    require_open_files()
    log = Logbook(run.path(".log"), verbosity=run.verbosity, strict=run.strict, append=run.resume)
    workspace = Workspace(run.out, break_lock=run.break_lock)
    outputs = OutputSet(overwrite=run.overwrite, folder=workspace.files, resuming=run.resume)
    with log, watched(workspace.abandon), workspace, outputs, limited_blas(run.threads):
        for text in doubts():
            log.warn("W021", text)
        log.detail(describe_blas())
        flushed = flushed_denormals()
        if flushed is not None:
            log.warn("W903", flushed)
        advice = slow_kernels([found["kernels"] for found in blas_libraries()])
        if advice is not None:
            log.say(f"Note: {advice}")
        try:
            yield log, outputs, workspace
        except BaseException as error:
            if workspace.owns_study and workspace.is_worth_keeping() and not is_pointless(error):
                log.say("Finished steps are kept: the same command with --resume goes on")
            raise
    if log.broken_pipe:
        # Nobody reads the terminal any more; the results are complete.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        raise SystemExit(141)
