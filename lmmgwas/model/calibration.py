"""Calibrating a scan: gamma, how many eigenvectors, and the error on held-out variants.

`calibrated_test` has the formula. Its error in chi-square does not depend on the trait's noise:
at a given numerator chi-square goes as 1 / x'Px, so that

    error = (exact x'Px) / (approximate x'Px) - 1

to first order in the share of the trait that the variant explains. The promise is |error| <= 2 %
at the 99th percentile, seen on random held-out variants whose x'V^-1 x is computed exactly. The
number of eigenvectors is chosen on the training variants, which gamma was fitted on, so that
the held-out ones have seen no choice but yes or no.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.background import Background, Families, leading_eigenvectors
from lmmgwas.model.calibrated_test import CalibratedTest, NullVectors, uncalibrated_test
from lmmgwas.model.variant_tests import ScanResult
from lmmgwas.numerics.tails import neg_log10_p_from_t

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

PROMISE = 0.02
"""Relative error of chi-square at the quantile below."""

QUANTILE = 0.99

_AIM = 0.015
"""Asked of the training variants: a quantile of a few hundred is known to a fifth."""

POOLED_HELD_OUT = 1000
_N_TRAINING, _FEWEST_HELD_OUT = 100, 200
_MIN_TRAINING, _MIN_HELD_OUT = 20, 50
"""With fewer the error is not known, and the exact scan of so small a group costs little."""

_LADDER: tuple[int, ...] = (0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

_FEWEST_SAMPLES_EACH, _FEWEST_VARIANTS_EACH = 8, 48

RARE_MAC = 20.0
"""Minor-allele counts below this are rare. Measured on founders' alleles dropped through 600
families (n = 5,000, h2 = 0.36 and 0.9): where families are blocks, singletons have the error of
common variants (0.45 %, 1.1 %; largest 1.6 %). 20 is for cousins, whom no block holds."""

RARE_MAF = 0.05
"""The same where near relatives are in no block. There the carriers of a rare allele are one
another's relatives: 12 % at counts of 20 to 29, 5 % from 100 to 199, 2 % for common variants."""

_MARGIN, _MARGIN_FLOOR = 3.0, 0.05


@dataclass(frozen=True, slots=True, eq=False)
class ExactSample:
    """Random variants and their exact x'V^-1 x. Rows of zeros are passed over."""

    rows: NDArray[np.float32]  # (t, n) without their projection on X
    squares: Array  # (t,)

    def used(self) -> "ExactSample":
        """Return the rows that are not zero."""
        kept = np.isfinite(self.squares) & (self.squares > 0.0)
        return ExactSample(np.ascontiguousarray(self.rows[kept]), self.squares[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How one trait under one GRM is scanned."""

    test: CalibratedTest | None  # None: by the exact scan
    reason: str  # why by the exact scan; empty otherwise
    errors: Array  # of chi-square on the held-out variants, relative, signed; empty without any
    background: Background  # with all eigenvectors that were looked for

    @property
    def kept(self) -> bool:
        """Whether the promise is kept."""
        return self.test is not None

    @property
    def rare_mac(self) -> float:
        """The minor-allele count below which a variant is rare."""
        if self.background.families.near:
            return RARE_MAC
        return float(max(RARE_MAC, 2.0 * RARE_MAF * self.background.leading.U.shape[0]))

    @property
    def margin(self) -> float:
        """By how much chi-square may be too small, generously, as a share of itself.

        Three times the largest of the held-out errors: of a few hundred normal errors that is
        above 7 standard deviations, beyond what millions of variants reach, and no less than
        5 %, for errors that are no normal ones. Where chi-square is 10.8 (p = 1e-3) a margin
        of 5 % costs a third more exact tests, and they are few.
        """
        largest = float(np.abs(self.errors).max(initial=0.0))
        return max(_MARGIN * largest, _MARGIN_FLOOR)


@dataclass(frozen=True, slots=True)
class PooledError:
    """The error of chi-square over the held-out variants of all groups."""

    n_variants: int
    quantile: float  # of |error|, the 99th percentile; NaN without variants
    largest: float

    @property
    def kept(self) -> bool:
        """Whether the promise is kept."""
        return bool(self.quantile <= PROMISE)


def calibration_sizes(n_groups: int) -> tuple[int, int]:
    """Return how many variants of a group are for training, and how many are held out."""
    return _N_TRAINING, max(_FEWEST_HELD_OUT, -(-POOLED_HELD_OUT // max(n_groups, 1)))


def calibration_rows(
    n_variants: int, seed: int, group_index: int, n_groups: int
) -> tuple[Indices, Indices]:
    """Return which of a group's variants are for training, and which are held out, ascending.

    They depend on nothing but the arguments. A group that has too few gives a third of them to
    training.
    """
    n_training, n_held_out = calibration_sizes(n_groups)
    if n_variants < n_training + n_held_out:
        n_training = n_variants // 3
    order = np.random.default_rng([seed, group_index]).permutation(n_variants)
    picked = order[: n_training + n_held_out].astype(np.int64)
    return np.sort(picked[:n_training]), np.sort(picked[n_training:])


def most_eigenvectors(n_samples: int, n_variants: int) -> int:
    """Return the number of eigenvectors at which the exact scan is as good a choice.

    With k of them a variant costs up to 4 n k operations instead of n^2, half as many at n/8; and
    finding them costs about 12 n^2 k, a quarter of the exact scan of 48 k variants.
    """
    return min(n_samples // _FEWEST_SAMPLES_EACH, n_variants // _FEWEST_VARIANTS_EACH)


def calibrate(
    K: Array,
    background: Background,
    null: NullVectors,
    training: ExactSample,
    held_out: ExactSample,
    n_variants: int,
) -> Calibration:
    """Return the cheapest calibrated test that keeps the promise, or why there is none.

    Parameters
    ----------
    K : (n, n) centred and scaled, both triangles
    background : of this K
    null : of the trait, under this K
    training, held_out : random variants, none of them rare, none in both
    n_variants : of the group, for the costs
    """
    if null.h2 == 0.0:
        nothing = uncalibrated_test(K, null, background.leading.first(0), Families((), 0.0))
        return Calibration(nothing, "", np.zeros(held_out.used().squares.size), background)
    training, held_out = training.used(), held_out.used()
    if training.squares.size < _MIN_TRAINING or held_out.squares.size < _MIN_HELD_OUT:
        return Calibration(None, "too few variants to calibrate", np.empty(0), background)
    most = most_eigenvectors(K.shape[0], n_variants)
    for k in (rung for rung in _LADDER if rung <= most or rung == 0):
        if k > background.leading.S.size:
            more = leading_eigenvectors(K, k, background.leading)
            background = Background(more, background.families)
        test = uncalibrated_test(K, null, background.leading.first(k), background.families)
        test = replace(test, gamma=_fit_gamma(test, training))
        if error_quantile(chi2_errors(test, training)) > _AIM:
            continue
        errors = chi2_errors(test, held_out)
        if error_quantile(errors) <= PROMISE:
            return Calibration(test, "", errors, background)
    reason = f"the error of chi-square stays above {PROMISE:.0%} with {most} eigenvectors"
    return Calibration(None, reason, np.empty(0), background)


def _fit_gamma(test: CalibratedTest, sample: ExactSample) -> float:
    """The ratio of sums: as good as least squares of the relative errors, and simpler.

    Measured: 1.00563 and 1.00569, the error 0.449 % and 0.454 %, the median's 0.452 %.
    """
    parts = test.parts(sample.rows, _sums_of_squares(sample.rows))
    return float((sample.squares - parts.head).sum() / parts.left.sum())


def _sums_of_squares(rows: NDArray[Any]) -> Array:
    exact = rows.astype(np.float64)
    return np.asarray(np.einsum("ij,ij->i", exact, exact))


def chi2_errors(test: CalibratedTest, sample: ExactSample) -> Array:
    """Return the relative error (t,) of chi-square on variants whose x'V^-1 x is known."""
    parts = test.parts(sample.rows, _sums_of_squares(sample.rows))
    exact = sample.squares - parts.covariates
    return np.asarray(exact / (parts.head + test.gamma * parts.left - parts.covariates) - 1.0)


def error_quantile(errors: Array) -> float:
    """Return the 99th percentile of |error|; NaN without any."""
    return float(np.quantile(np.abs(errors), QUANTILE)) if errors.size else float("nan")


def pooled_error(errors: Sequence[Array]) -> PooledError:
    """Return the error over the held-out variants of all groups that are calibrated."""
    together = np.concatenate([np.empty(0), *errors])
    largest = float(np.abs(together).max(initial=0.0))
    return PooledError(together.size, error_quantile(together), largest)


def needs_exact(
    calibration: Calibration, result: ScanResult, mac: Array, exact_below: float
) -> NDArray[np.bool_]:
    """Return which rows (T,) must be tested exactly.

    Those whose exact p may be below `exact_below`, the rare ones, and those that the calibrated
    test has no p for. Rows that are not tested at all are among the last: the caller knows them.

    Parameters
    ----------
    result : of `calibration.test`
    mac : (T,) minor-allele counts
    """
    if calibration.test is None:
        return np.ones(mac.size, dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        t = np.abs(result.beta / result.se) * np.sqrt(1.0 + calibration.margin)
    largest = neg_log10_p_from_t(t, calibration.test.whitened.dof)
    unlikely = largest < -np.log10(exact_below)  # False for NaN
    return np.asarray(~unlikely | (mac < calibration.rare_mac), dtype=np.bool_)
