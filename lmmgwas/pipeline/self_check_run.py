"""A few tests of every group, computed again from the files before the group is kept.

Genotypes are decoded anew, K is taken as products with the triangles on file, V^-1 is certified
by its residual (`model.self_check`). Which tests: the first, the middle, the last and the most
significant one of a trait; of many traits some, others in each group. With variances refitted
for each variant, their optimum is found anew from the eigenvalues, and beta and se are certified
at it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import NumericalError
from lmmgwas.model.calibration import Calibration
from lmmgwas.model.fitting import FittedGroup, SharedRotation
from lmmgwas.model.kernel_products import CentredKernel
from lmmgwas.model.null_model import NullModel
from lmmgwas.model.self_check import (
    MAX_H2,
    Rows,
    Sums,
    System,
    Tolerance,
    Values,
    compare,
    deviations,
    inner_products,
    lrt_again,
    p_of_chi2,
    rounding_of,
    score_again,
    wald_again,
)
from lmmgwas.model.self_refit import Hill, highest_hills
from lmmgwas.model.variant_tests import LikelihoodRatioTest, RefitTest, ScoreTest, TestKind
from lmmgwas.model.whitening import (
    CholeskyRotation,
    IdentityRotation,
    SpectralRotation,
    WhitenerKind,
    spectral_weights,
)
from lmmgwas.numerics.linalg import solve_lower_rows
from lmmgwas.numerics.symmetric import times_any
from lmmgwas.pipeline.reread import Records, Reread, without
from lmmgwas.pipeline.tile_reader import ScanJob

Array = NDArray[np.float64]

MOST_TRAITS = 2
"""Traits of an analysis that are checked in one group."""

CALIBRATED_CHI2 = 0.10
"""Relative error of chi-square beyond which a calibrated row is a fault; 99 of 100 keep 2 %."""

_SAME_SCALE = 1e-6
_REFIT_ROUNDING = 1e-5
"""Where the optimum is sought by values of the likelihood: h2 to the root of their rounding, and
the p of a small difference of two of them as well."""

_SAME_SIGMA2 = 10.0
"""Times the error of t: the null model's variance is a sum over all samples, not one of few."""


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """What was computed again, and how near it came."""

    n_rows: int
    largest: float  # deviation, as a share of what rounding (or the calibration) allows


class GroupWatch:
    """Keeps of each trait what may be checked, while the rows of a group go by."""

    def __init__(self, n_traits: int) -> None:
        self._kept: list[list[Records]] = [[] for _ in range(n_traits)]

    def see(self, records: Sequence[Records]) -> None:
        """Look at the records of a tile, by trait."""
        for kept, tile in zip(self._kept, records, strict=True):
            if tile.size:
                best = int(np.argmax(tile["neg_log10_p"]))
                kept.append(tile[np.unique([0, tile.size // 2, best, tile.size - 1])].copy())

    def records(self) -> tuple[Records, ...]:
        """Return what was kept of each trait, in the order of the variants."""
        none = np.empty(0, dtype=[("row", "<i8"), ("neg_log10_p", "<f8")])
        return tuple(np.concatenate(kept) if kept else none for kept in self._kept)


def check_group(
    job: ScanJob,
    left_out: str | None,
    fitted: FittedGroup,
    names: Sequence[str],
    records: Sequence[Records],
    calibrations: Sequence[Calibration] = (),
) -> GroupCheck:
    """Compute a few rows of a finished group again and compare them.

    Parameters
    ----------
    left_out : what LOCO leaves out of the GRM for this group
    fitted : what the group was tested with
    names : of the traits
    records : by trait, what was found: fields row (place among job.variants), n_observed, beta,
        se, af, neg_log10_p; all rows of the group, or those that a `GroupWatch` kept
    calibrations : by trait, where the group was scanned with them; otherwise none

    Raises NumericalError (E904).
    """
    found = [_choose(some) for some in records]
    traits = [k for k in _traits(found) if fitted.traits[k].null.h2 <= MAX_H2]
    if not traits:
        return GroupCheck(0, 0.0)
    variants = Reread(job, np.unique(np.concatenate([found[k]["row"] for k in traits])))
    for k in traits:
        variants.compare_counts(names[k], found[k])
    kernel = _kernel(job, left_out, fitted)
    checks = [_check_of(_TraitRows(job, fitted, k, names[k], found[k], variants)) for k in traits]
    systems = [system for check in checks for system in check.systems]
    products = inner_products(_as_it_is if kernel is None else kernel.times, systems)
    if kernel is not None and any(system.h2 > 0.0 for system in systems):
        _compare_scale(kernel.scale, left_out, [fitted.traits[k].null for k in traits])
    kept = bool(calibrations) and all(calibration.kept for calibration in calibrations)
    largest, start = 0.0, 0
    for check, k in zip(checks, traits, strict=True):
        own = products[start : start + len(check.systems)]
        start += len(check.systems)
        largest = max(largest, check.compare(own, calibrations[k] if kept else None))
    return GroupCheck(sum(found[k].size for k in traits), largest)


def _choose(records: Records) -> Records:
    """The first, the middle, the last and the most significant."""
    if not records.size:
        return records
    best = int(np.argmax(records["neg_log10_p"]))
    chosen: Records = records[np.unique([0, records.size // 2, records.size - 1, best])]
    return chosen


def _traits(found: Sequence[Records]) -> list[int]:
    """Some of the traits that have rows, others in each group."""
    there = [k for k, records in enumerate(found) if records.size]
    if len(there) <= MOST_TRAITS:
        return there
    first = int(found[there[0]]["row"][0])  # another one in each group
    picked = np.random.default_rng(first).choice(there, MOST_TRAITS, replace=False)
    return sorted(picked.tolist())


def _kernel(job: ScanJob, left_out: str | None, fitted: FittedGroup) -> CentredKernel | None:
    """Products with K; None where V = I."""
    if job.relatedness is None or fitted.kind is WhitenerKind.IDENTITY:
        return None
    return CentredKernel(job.relatedness.grm, left_out, job.samples.grm_rows)


def _as_it_is(rows: Array) -> Array:
    return rows


def _compare_scale(scale: float, left_out: str | None, nulls: Sequence[NullModel]) -> None:
    """Raise NumericalError (E904) unless the GRM has the scale that the fits found."""
    for null in nulls:
        if not abs(scale / null.grm_scale - 1.0) <= _SAME_SCALE:
            raise NumericalError(
                "E904",
                f"the GRM without {left_out or 'any group'} had the scale {null.grm_scale:.8g} "
                f"when the null model was fitted, and {scale:.8g} when it was read again: memory "
                "or the disk made an error, or the GRM's files were changed during the run; "
                "build it again, and run `lmmgwas selftest`",
            )


class _TraitRows:
    """The rows of a trait that are to be checked, and what they were computed with."""

    def __init__(
        self,
        job: ScanJob,
        fitted: FittedGroup,
        k: int,
        name: str,
        found: Records,
        variants: Reread,
    ) -> None:
        places = variants.places(found["row"])
        self.job = job
        self.fitted = fitted.traits[k]
        self.shared = next(shared for shared in fitted.rotations if k in shared.traits)
        self.name = f"trait {name}"
        self.names = [f"trait {name}, {variants.names[at]}" for at in places.tolist()]
        self.unit = job.analysis.traits[k].sd
        self.dof = job.samples.n_samples - job.samples.X.shape[1] - 1
        self.x = variants.residual[places]  # (k, n)
        self.y = without(job.analysis.traits[k].values[None, :], job.samples.X)  # (1, n)
        self.found = Values(*(np.array(found[f]) for f in ("beta", "se", "neg_log10_p")))

    @property
    def c(self) -> int:
        """Covariates."""
        return int(self.job.samples.X.shape[1])

    def system(self, h2: float, x: Array, weights: Array | None) -> System:
        """Return the system of some variants x (k, n) at an h2."""
        rows = np.vstack([self.job.samples.X.T, self.y, x])
        return System(h2, rows, _rough_inverse(self.shared, h2, weights))

    def rounding(self, h2: float) -> float:
        """Return what rounding may leave."""
        weights, own = self.fitted.whitened.weights_squared, self.fitted.null.h2
        largest = None
        if weights is not None:
            largest = (1.0 / float(weights.min()) - (1.0 - own)) / own if own > 0.0 else 1.0
        n = self.job.samples.n_samples
        return rounding_of(self.shared.precision, n, h2, largest)


def _rough_inverse(shared: SharedRotation, h2: float, weights: Array | None) -> Rows:
    """About V^-1 b for each row b, with what the scan rotated its tiles with.

    weights (n,) are 1 / D with a spectral rotation.
    """
    rotation = shared.rotation
    if isinstance(rotation, CholeskyRotation):
        L: Any = rotation.L
        return lambda rows: solve_lower_rows(L, solve_lower_rows(L, rows), transposed=True)
    if h2 == 0.0 or not isinstance(rotation, SpectralRotation) or weights is None:
        return lambda rows: rows.copy()
    U: Any = rotation.U

    def spectral(rows: Array) -> Array:
        rotated = (rows.astype(U.dtype) @ U) * weights
        return np.asarray(rotated.astype(U.dtype) @ U.T, dtype=np.float64)

    return spectral


class _NullCheck:
    """Rows at the variances of the null model."""

    def __init__(self, rows: _TraitRows) -> None:
        self._rows = rows
        fitted = rows.fitted
        self.systems = [rows.system(fitted.null.h2, rows.x, fitted.whitened.weights_squared)]
        self._at_ml = isinstance(fitted.test, LikelihoodRatioTest | ScoreTest)
        if isinstance(fitted.test, LikelihoodRatioTest | ScoreTest):
            h2 = 0.0 if fitted.null_ml is None else fitted.null_ml.h2
            if h2 <= MAX_H2:
                self.systems.append(rows.system(h2, rows.x, fitted.test.ml.weights_squared))

    def compare(self, products: Sequence[Array], calibration: Calibration | None) -> float:
        """Return the largest deviation; raises NumericalError (E904)."""
        rows = self._rows
        sums = Sums.of(products[0], rows.c)
        rounding = rows.rounding(self.systems[0].h2)
        _compare_sigma2(rows, sums, rounding)
        again = wald_again(sums, rows.dof, rows.unit)
        if self._at_ml:
            p = rows.found.neg_log10_p  # where V at the ML variances is too near singular
            if len(products) > 1:
                p = _p_at_ml(rows, Sums.of(products[1], rows.c))
                rounding = max(rounding, rows.rounding(self.systems[1].h2))
            again = Values(again.beta, again.se, p)
        exact = Tolerance(rounding)
        if calibration is None:
            return compare(rows.names, rows.found, again, exact, rows.dof)
        return self._compare_calibrated(again, exact, calibration)

    def _compare_calibrated(
        self, again: Values, exact: Tolerance, calibration: Calibration
    ) -> float:
        """Small p are exact, the others within the calibration's error."""
        rows, options = self._rows, self._rows.job.calibrated
        limit = 0.0 if options is None else -np.log10(options.exact_below)
        small = rows.found.neg_log10_p >= limit
        loose = Tolerance(exact.rounding, max(CALIBRATED_CHI2, calibration.margin))
        shares = [
            compare(
                [rows.names[at] for at in which.tolist()],
                rows.found.take(which),
                again.take(which),
                tolerance,
                rows.dof,
            )
            for which, tolerance in (
                (np.flatnonzero(small), exact),
                (np.flatnonzero(~small), loose),
            )
        ]
        return max(shares)


def _p_at_ml(rows: _TraitRows, sums: Sums) -> Array:
    """-log10 p of the likelihood ratio or the score at the null model's ML variances."""
    n = rows.job.samples.n_samples
    if isinstance(rows.fitted.test, LikelihoodRatioTest):
        return lrt_again(sums, n)
    return score_again(sums, n, rows.dof)


def _compare_sigma2(rows: _TraitRows, sums: Sums, rounding: float) -> None:
    """Raise NumericalError (E904) unless the null model's variance is y'Py/(n - c)."""
    again = sums.rr / (rows.dof + 1) * rows.unit**2
    had = rows.fitted.null.sigma2
    if not abs(had / again - 1.0) <= _SAME_SIGMA2 * rounding:
        raise NumericalError(
            "E904",
            f"{rows.name}: the null model has a variance of {had:.8g}; computed again from the "
            f"files at its h2 ({rows.fitted.null.h2:.8g}) it is {again:.8g}. Memory or the BLAS "
            "library of this machine made an error: run `lmmgwas selftest`, then run again with "
            "--precision double, with --threads 1, or on another machine",
        )


class _RefitCheck:
    """Rows whose variances were fitted for each variant: the optimum is found again, too."""

    def __init__(self, rows: _TraitRows, test: RefitTest) -> None:
        self._rows, self._test = rows, test
        self.systems: list[System] = []
        self._candidates: list[list[int]] = []  # by row: systems at optima that tie
        self._p: list[float] = []  # of the likelihood ratio, by row
        for x in rows.x:
            self._add(x[None, :])
        self._score_at = len(self.systems)
        h2 = 0.0 if rows.fitted.null_ml is None else rows.fitted.null_ml.h2
        if test.kind is TestKind.SCORE and h2 <= MAX_H2:
            self.systems.append(rows.system(h2, rows.x, test.ml.weights_squared))

    def _add(self, x: Array) -> None:
        """The systems of one variant."""
        rows, S = self._rows, self._test.data.S
        fixed = np.vstack([rows.job.samples.X.T, x, rows.y])
        rotated = self._rotated(fixed).T
        hills = self._hills(rotated, restricted=True)
        usable = [hill for hill in hills if hill.h2 <= MAX_H2]
        first = len(self.systems)
        for hill in usable:
            self.systems.append(rows.system(hill.h2, x, spectral_weights(S, hill.h2) ** 2))
        self._candidates.append(list(range(first, first + len(usable))))
        p = np.nan
        if self._test.kind is TestKind.LRT:
            null = np.delete(rotated, rows.c, axis=1)
            gain = [self._hills(Z, restricted=False)[0].loglik for Z in (rotated, null)]
            p = float(p_of_chi2(np.array([2.0 * max(gain[0] - gain[1], 0.0)]))[0])
        self._p.append(p)

    def _rotated(self, columns: Array) -> Array:
        rotation = self._rows.shared.rotation
        if isinstance(rotation, SpectralRotation):
            return times_any(columns, rotation.U)
        return columns

    def _hills(self, Z: Array, *, restricted: bool) -> tuple[Hill, ...]:
        hills = highest_hills(self._test.data.S, Z, restricted=restricted)
        if isinstance(self._rows.shared.rotation, IdentityRotation):
            return (Hill(0.0, hills[0].loglik),)  # every h2 is the same
        return hills

    def compare(self, products: Sequence[Array], calibration: Calibration | None) -> float:
        """Return the largest deviation; raises NumericalError (E904)."""
        rows = self._rows
        p = np.array(self._p)
        if self._score_at < len(products):
            p = _p_at_ml(rows, Sums.of(products[self._score_at], rows.c))
        largest = 0.0
        for k, candidates in enumerate(self._candidates):
            found = rows.found.take([k])
            tried = []
            for at in candidates:
                sums, h2 = Sums.of(products[at], rows.c), self.systems[at].h2
                again = wald_again(sums, rows.dof, rows.unit)
                if self._test.kind is not TestKind.WALD:
                    own = found.neg_log10_p if np.isnan(p[k]) else p[[k]]
                    again = Values(again.beta, again.se, own)
                tolerance = Tolerance(max(rows.rounding(h2), _REFIT_ROUNDING))
                share = float(deviations(found, again, tolerance, rows.dof)[0])
                tried.append((share, again, tolerance))
            if tried:
                _, again, tolerance = min(tried, key=lambda each: each[0])
                share = compare([rows.names[k]], found, again, tolerance, rows.dof)
                largest = max(largest, share)
        return largest


def _check_of(rows: _TraitRows) -> _NullCheck | _RefitCheck:
    """The check that the trait's test asks for."""
    test = rows.fitted.test
    return _RefitCheck(rows, test) if isinstance(test, RefitTest) else _NullCheck(rows)
