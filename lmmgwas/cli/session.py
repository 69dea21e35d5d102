"""What every run of a command lives in: its log, its threads, its output files."""

import contextlib
import os
from collections.abc import Iterator

from lmmgwas.io.atomic import OutputSet
from lmmgwas.numerics.processor import slow_kernels
from lmmgwas.numerics.threads import blas_libraries, describe_blas, limited_blas
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import RunOptions


@contextlib.contextmanager
def session(run: RunOptions) -> Iterator[tuple[Logbook, OutputSet]]:
    """Open the log, limit the threads, and remove temporary output when the work fails."""
    log = Logbook(run.path(".log"), verbosity=run.verbosity, strict=run.strict)
    with log, OutputSet(overwrite=run.overwrite) as outputs, limited_blas(run.threads):
        log.detail(describe_blas())
        advice = slow_kernels([found["kernels"] for found in blas_libraries()])
        if advice is not None:
            log.say(f"Note: {advice}")
        yield log, outputs
    if log.broken_pipe:
        # Nobody reads the terminal any more; the results are complete.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        raise SystemExit(141)
