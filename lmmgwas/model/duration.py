"""About how long a run takes: operations over a measured rate, and what is paid for each row.

The large products and factorisations are counted in floating-point operations and divided by
the rate of a float32 product on this machine and its threads, times how much of that rate each
kind of step was seen to reach (n = 1,000 to 5,000, two AMD processors, 1 and 2 threads):

    a GRM of m variants       n^2 m
    a null model              4/3 n^3 by Cholesky, the first 7 n^3; 9 n^3 by eigenvectors
    tests of m variants       n^2 m for each trait by Cholesky, 2 n^2 m for all by eigenvectors

What is not BLAS's is taken as so many seconds a variant, sample or row; those are of one machine.
Reading from a slow disk is not in it. Take the sum to be right within a factor of UNCERTAINTY.
"""

from dataclasses import dataclass

from lmmgwas.model.memory import GrmSize, StudySize
from lmmgwas.model.whitening import WhitenerKind

UNCERTAINTY = 2.0
"""Either way."""

_GRM_SHARE = 0.8  # of the rate of a product
_CHOLESKY_SHARE = 0.65
_EIGEN_SHARE = 0.35
_TESTS_SHARE = 0.9
_CALIBRATED = 0.03  # of the variants of a calibrated scan: rare, or with a small p
_PER_VARIANT = 30.0  # operations of a refit, for each sample, at a hundredth of the rate

_START = 2.5
_PLOTS = 1.5  # of a trait
_READ_VARIANT = 1.5e-6
_READ_CALL = 1.2e-9
_TEST_VARIANT = 1.5e-6
_TEST_CALL = 4e-9
_ROW = 2.5e-6
_CELL = 1e-9  # of K, for each fit: read, combined, centred
_CELL_PASSES = 12


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds of each part of a run."""

    grm: float
    fits: float
    tests: float
    rest: float

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.grm + self.fits + self.tests + self.rest


def run_duration(
    grm: GrmSize | None, analyses: tuple[StudySize, ...], rate: float, threads: int
) -> Duration:
    """Return how long a run takes.

    Parameters
    ----------
    grm : the GRM that is built, if any
    analyses : those of the study, none for a GRM alone
    rate : floating-point operations a second of a float32 product on these threads
    threads : of the run
    """
    built = 0.0 if grm is None else _grm_seconds(grm, rate, threads)
    fits = sum(_fit_seconds(size, rate) for size in analyses)
    tests = sum(_test_seconds(size, rate) for size in analyses)
    n_variants = max([0 if grm is None else grm.n_variants, *(s.n_variants for s in analyses)])
    plots = sum(size.n_traits for size in analyses if size.plots)
    rest = _START + _PLOTS * plots + _READ_VARIANT * n_variants
    return Duration(built, fits, tests, rest)


def _grm_seconds(size: GrmSize, rate: float, threads: int) -> float:
    n, m = float(size.n), float(size.n_variants)
    products = (2.0 if size.pairwise else 1.0) * n * n * m
    seconds = products / (_GRM_SHARE * rate) + m * (_READ_VARIANT + size.n_file * _READ_CALL)
    if size.eigen:
        seconds += (1 + size.n_groups) * 9.0 * n**3 / (_EIGEN_SHARE * rate)
    return seconds + (1 + size.n_groups) * _CELL_PASSES * _CELL * n * n / threads


def _fit_seconds(size: StudySize, rate: float) -> float:
    """The first null model, and one for each group."""
    if size.kind is WhitenerKind.IDENTITY:
        return 0.0
    n, q = float(size.n), size.n_traits
    cells = (1 + size.n_fits) * _CELL_PASSES * _CELL * n * n / size.threads
    if size.kind is WhitenerKind.SPECTRAL:
        operations = 0.0 if size.kept else 9.0 * n**3 * (1 + size.n_fits)
        return operations / (_EIGEN_SHARE * rate) + cells
    operations = q * (7.0 + 4.0 / 3.0 * size.n_fits) * n**3
    return operations / (_CHOLESKY_SHARE * rate) + cells


def _test_seconds(size: StudySize, rate: float) -> float:
    n, m, q = float(size.n), float(size.n_variants), size.n_traits
    exact = m * _CALIBRATED if size.calibrated else m
    products = {
        WhitenerKind.IDENTITY: 0.0,
        WhitenerKind.SPECTRAL: 2.0 * n * n * exact,
        WhitenerKind.CHOLESKY: q * n * n * exact,
    }[size.kind]
    columns = 1 + size.n_covariates
    sums = m * q * 2.0 * n * columns / (0.1 * rate)
    refits = 100.0 * _PER_VARIANT * n * m * q * columns / rate if size.per_variant else 0.0
    rows = m * (_TEST_VARIANT + n * _TEST_CALL + q * _ROW) / size.workers
    return products / (_TESTS_SHARE * rate) + sums + refits + rows
