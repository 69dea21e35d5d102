"""How large a run is: its peak of memory, how many samples would fit, and which options help."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lmmgwas.model.grm_sum import MAX_ROWS
from lmmgwas.model.memory import (
    GrmSize,
    Phase,
    StudySize,
    after_each_other,
    grm_phases,
    reading_phase,
    study_phases,
)
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.numerics.linalg import EVD_MAX_N


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a run takes."""

    base: int  # bytes that are there before the first phase
    phases: tuple[Phase, ...]
    fallback: int  # bytes, more than the peak where h2 is too near 0 or 1 for float32

    @property
    def largest(self) -> Phase:
        """The phase that decides."""
        return max(self.phases, key=lambda phase: phase.size)

    @property
    def peak(self) -> int:
        """Bytes at the peak."""
        return self.base + self.largest.size


@dataclass(frozen=True, slots=True)
class RunSize:
    """What a run will do, in numbers."""

    base: int  # bytes that are there already: Python, libraries, lists of variants and samples
    grm: GrmSize | None  # that is built
    analyses: tuple[StudySize, ...] = ()
    text: int = 0  # bytes of the .bim, where it is yet to be read
    mapped: int = 0  # bytes of the files that are mapped: they count in an address space alone

    @property
    def n_samples(self) -> int:
        """Samples of the largest analysis, or of the GRM where there is none."""
        sizes = [size.n for size in self.analyses]
        return max(sizes) if sizes else self.grm.n if self.grm is not None else 0

    @property
    def threads(self) -> int:
        """Of the run."""
        built = [] if self.grm is None else [self.grm.threads]
        return max([1, *built, *(size.threads for size in self.analyses)])

    def estimate(self) -> MemoryEstimate:
        """Return the peak, and what makes it."""
        phases = [reading_phase(self.text)]
        if self.grm is not None:
            phases += grm_phases(self.grm)
        for size in self.analyses:
            phases += study_phases(size)
        kinds = {size.kind for size in self.analyses}
        fits = self.grm is not None or kinds != {WhitenerKind.IDENTITY}
        full = after_each_other(phases, self.threads, self.n_samples if fits else 0, fits=fits)
        peak = max(phase.size for phase in full)
        worst = max(phase.size + phase.fallback for phase in full)
        return MemoryEstimate(self.base, full, worst - peak)

    def with_samples(self, n: int) -> "RunSize":
        """Return the same run with n samples, those of its files reduced alike."""
        share = n / self.n_samples
        grm = self.grm
        if grm is not None:
            grm = replace(grm, n=round(share * grm.n), n_file=round(share * grm.n_file))
        analyses = tuple(
            replace(size, n=max(1, round(share * size.n)), n_file=round(share * size.n_file))
            for size in self.analyses
        )
        return replace(self, grm=grm, analyses=analyses)


def too_many_for_eigenvectors(run: RunSize) -> int:
    """Return the samples of a decomposition that is beyond LAPACK's integers; 0 for none.

    Those of 32 bits count the elements of a workspace of 2 n^2 no further than EVD_MAX_N samples.
    """
    sizes = [
        size.n for size in run.analyses if size.kind is WhitenerKind.SPECTRAL and not size.kept
    ]
    if run.grm is not None and run.grm.eigen:
        sizes.append(run.grm.n)
    largest = max(sizes, default=0)
    return largest if largest > EVD_MAX_N else 0


def most_samples(run: RunSize, limit: int) -> int:
    """Return the largest number of samples whose peak is within so many bytes; 0 where none is.

    A little above a multiple of MAX_ROWS a run takes less than a little below it: the GRM has
    a row tile more, and from MAX_LANE_SAMPLES, which is one, groups are fitted one at a time.
    """
    n = run.n_samples
    for start in range((n - 1) // MAX_ROWS * MAX_ROWS, -1, -MAX_ROWS):
        low, high = start + 1, min(n, start + MAX_ROWS)
        if run.with_samples(low).estimate().peak > limit:
            continue
        while low < high:
            middle = (low + high + 1) // 2
            fits = run.with_samples(middle).estimate().peak <= limit
            low, high = (middle, high) if fits else (low, middle - 1)
        return low
    return 0


def smaller_runs(run: RunSize) -> Iterator[tuple[str, RunSize]]:
    """Yield options that lower the peak, the harmless first, each with the run that it makes."""
    now = run.estimate().peak
    for option, changed in _changes(run):
        if changed.estimate().peak < now:
            yield option, changed


def _changes(run: RunSize) -> Iterator[tuple[str, RunSize]]:
    """Options that may lower the peak."""
    many_threads = any(size.threads > 1 for size in run.analyses)
    many_traits = any(size.n_traits > 1 for size in run.analyses)
    double = any(size.precision is Precision.DOUBLE for size in run.analyses)
    choice = bool(run.analyses) and all(size.may_choose for size in run.analyses)
    one_trait = "fewer traits at a time, at best one (--pheno-name)"
    table: tuple[tuple[bool, str, dict[str, Any]], ...] = (
        (many_threads, "--threads 1", {"threads": 1}),
        (many_traits, one_trait, {"n_traits": 1}),
        (double, "--precision single", {"precision": Precision.SINGLE}),
        *(
            (choice, f"--whitener {kind} --threads 1", {"kind": kind, "threads": 1})
            for kind in (WhitenerKind.CHOLESKY, WhitenerKind.SPECTRAL)
            if any(size.kind is not kind for size in run.analyses)
            and (kind is WhitenerKind.CHOLESKY or run.n_samples <= EVD_MAX_N)
        ),
        (many_traits, f"--threads 1 with {one_trait}", {"threads": 1, "n_traits": 1}),
        (True, "--plots none, and `lmmgwas plot` later", {"plots": False}),
        (True, "--no-loco, which costs power", {"n_fits": 0}),
    )
    for holds, option, values in table:
        if holds and run.analyses:
            analyses = tuple(replace(size, **values) for size in run.analyses)
            grm = run.grm
            if grm is not None and "threads" in values:
                grm = replace(grm, threads=1)
            yield option, replace(run, grm=grm, analyses=analyses)
    if run.grm is not None and run.analyses:
        yield "a GRM that was built elsewhere (--grm)", replace(run, grm=None)
