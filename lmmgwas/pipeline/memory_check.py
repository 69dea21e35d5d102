"""Whether a run fits into the memory that it can have: asked before the work, not by a kill.

The estimate (`model.memory`) is held against every limit that is known, and the least counts.
"""

from pathlib import Path

from lmmgwas.errors import LmmgwasError, OutOfMemoryError, UsageError
from lmmgwas.io.joined import PLACEHOLDER, find_labels
from lmmgwas.io.text import GZIP_MAGIC
from lmmgwas.model.memory import GrmSize
from lmmgwas.model.run_size import (
    RunSize,
    most_samples,
    smaller_runs,
    too_many_for_eigenvectors,
)
from lmmgwas.numerics.limits import (
    Counted,
    MemoryLimit,
    memory_limits,
    memory_use,
    page_bytes,
)
from lmmgwas.numerics.linalg import EVD_MAX_N
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import FileSet, GenotypeOptions, GrmOptions, RunOptions

_GIB, _MIB = 1 << 30, 1 << 20
_AT_ONCE = 1 << 22
_SHOWN_OPTIONS = 3
_SHOWN_TERMS = 3

_RESERVED_BY_THREAD = {Counted.RESIDENT: 0, Counted.DATA: 16 * _MIB, Counted.ADDRESS: 144 * _MIB}
"""What is reserved and never used: a stack, and a heap of glibc's of 128 MiB of addresses."""


def gibibytes(size: int) -> str:
    """Return bytes as a person reads them."""
    if size < _GIB:
        return f"{size / _MIB:,.0f} MiB"
    digits = 2 if size < 10 * _GIB else 1
    return f"{size / _GIB:,.{digits}f} GiB"


def resident_bytes() -> int:
    """Return what this process has now, 0 where the system does not tell."""
    use = memory_use()
    return 0 if use is None else use.anonymous


def limits_of(run: RunOptions) -> list[MemoryLimit]:
    """Return all limits, the user's own among them."""
    own = [] if run.memory is None else [MemoryLimit("--memory", run.memory)]
    return own + memory_limits()


def tightest(limits: list[MemoryLimit], size: RunSize, threads: int) -> MemoryLimit | None:
    """Return the limit that leaves least for arrays; None where none is known."""
    return min(limits, key=lambda limit: room_of(limit, size, threads), default=None)


def room_of(limit: MemoryLimit, size: RunSize, threads: int) -> int:
    """What a limit leaves for anonymous memory, once what else it counts is taken off."""
    reserved = _RESERVED_BY_THREAD[limit.counted] * (threads + 2)
    mapped = size.mapped if limit.counted is Counted.ADDRESS else 0
    return max(0, limit.available - reserved - mapped)


def require_memory(size: RunSize, run: RunOptions, log: Logbook) -> None:
    """Raise OutOfMemoryError (E137) where the run does not fit; say what it will take.

    Warns (W137) where --memory is more than there is. Raises UsageError (E015) where a matrix of
    that size cannot be decomposed at all.
    """
    _require_decomposable(size)
    estimate = size.estimate()
    found = _refuse(size, run)
    if found is None:
        log.say(
            f"Note: no limit of memory is known on this system; the run takes up to about "
            f"{gibibytes(estimate.peak)}, and --memory can set one"
        )
        return
    least, room = found
    _warn_generous(limits_of(run), log)
    log.detail(
        f"Memory: up to about {gibibytes(estimate.peak)} ({estimate.largest.name}); "
        f"{gibibytes(room)} can be had, by {least.source}"
    )
    worst = estimate.peak + estimate.fallback
    if worst > room:
        log.say(
            f"Note: should h2 come out below 0.1 or above 0.9, the null models take up to "
            f"{gibibytes(worst)}, and {gibibytes(room)} can be had, by {least.source}: "
            "--threads 1 takes less"
        )


def _require_decomposable(size: RunSize) -> None:
    """Refuse eigenvectors of more samples than LAPACK counts."""
    n = too_many_for_eigenvectors(size)
    if n:
        raise UsageError(
            "E015",
            f"the eigenvectors of a GRM of {n:,} samples cannot be had: LAPACK's workspace for "
            f"them has 2 n^2 numbers, which its 32-bit integers count up to {EVD_MAX_N:,} samples. "
            "Go without --test lrt, --test score, --variance per-variant, --whitener spectral and "
            "--eigen, which need them: --test wald with --whitener cholesky is exact as well; or "
            "keep fewer samples (--keep)",
        )


def _refuse(size: RunSize, run: RunOptions) -> tuple[MemoryLimit, int] | None:
    """Raise where the run does not fit; return the limit that counts and what it leaves."""
    least = tightest(limits_of(run), size, run.threads)
    if least is None:
        return None
    room = room_of(least, size, run.threads)
    if size.estimate().peak > room:
        raise OutOfMemoryError("E137", _refusal(size, least, room))
    return least, room


def _warn_generous(limits: list[MemoryLimit], log: Logbook) -> None:
    """Say when --memory promises what is not there."""
    others = [limit for limit in limits if limit.source != "--memory"]
    own = [limit for limit in limits if limit.source == "--memory"]
    if own and others:
        least = min(others, key=lambda limit: limit.available)
        if own[0].available > least.available:
            log.warn(
                "W137",
                f"--memory {gibibytes(own[0].available)} is more than there is: "
                f"{gibibytes(least.available)}, by {least.source}, which counts",
            )


def _refusal(size: RunSize, least: MemoryLimit, room: int) -> str:
    """What is needed, what there is, and what would help."""
    estimate = size.estimate()
    terms = sorted(estimate.largest.terms, key=lambda term: -term.size)[:_SHOWN_TERMS]
    made_of = ", ".join(f"{gibibytes(term.size)} {term.what}" for term in terms if term.size)
    text = (
        f"not enough memory: the run needs about {gibibytes(estimate.peak)} "
        f"({estimate.largest.name}: {made_of}), and it can have {gibibytes(room)} by {least.source}"
    )
    n = size.n_samples
    if n:
        fitting = most_samples(size, room)
        text += (
            f"; at most {fitting:,} of its {n:,} samples fit"
            if fitting
            else f"; not one of its {n:,} samples would fit"
        )
    return f"{text}; nothing was begun. {_advice(size, room)}"


def _advice(size: RunSize, room: int) -> str:
    """Options that make it fit, or at least smaller."""
    smaller = [(option, run.estimate().peak) for option, run in smaller_runs(size)]
    enough = [pair for pair in smaller if pair[1] <= room]
    best = enough or sorted(smaller, key=lambda pair: pair[1])
    shown = [f"{option} ({gibibytes(peak)})" for option, peak in best]
    others = "fewer samples (--keep), or a machine or an allotment with more memory"
    if not shown:
        return f"What helps: {others}"
    listed = ", or ".join(shown[:_SHOWN_OPTIONS])
    return (
        f"It fits with {listed}" if enough else f"What helps, not enough alone: {listed}; {others}"
    )


def refuse_hopeless(genotypes: GenotypeOptions, grm: GrmOptions | None, run: RunOptions) -> None:
    """Raise OutOfMemoryError (E137) at once where the sizes of files alone say enough.

    That is the text of the .bim, and the lines of the .fam when all its samples go into a GRM
    that is built (`grm` is not None). All else is left to `require_memory`, once files are read.
    """
    files = _file_sets(genotypes.files)
    everyone = genotypes.keep is None and genotypes.remove is None and genotypes.mind is None
    built = None
    if grm is not None and everyone and files:
        n = _count_lines(files[0].samples)
        built = GrmSize(n, n, 0, pairwise=grm.pairwise, page=page_bytes())
    text = sum(found.variants.stat().st_size for found in files if found.variants.is_file())
    _refuse(RunSize(resident_bytes(), built, text=text), run)


def _file_sets(files: FileSet) -> list[FileSet]:
    """The file sets that a name with an @ stands for; none where there are none."""
    if PLACEHOLDER not in files.genotypes.name:
        return [files]
    try:
        labels = find_labels(files.genotypes)
    except LmmgwasError:
        return []
    return [files.at(label, PLACEHOLDER) for label in labels]


def _count_lines(path: Path) -> int:
    """Lines of a plain text file; 0 where it cannot be read: that is said elsewhere."""
    n = 0
    try:
        if not path.is_file():
            return 0
        with path.open("rb") as stream:
            while data := stream.read(_AT_ONCE):
                if n == 0 and data.startswith(GZIP_MAGIC):
                    return 0
                n += data.count(b"\n")
    except OSError:
        return 0
    return n
