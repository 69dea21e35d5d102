"""The tests of a variant: Wald's, the likelihood ratio and the score, each at its variances.

For a variant x, after W and after the covariates are projected out (g, r; both depend on h2):

    wald   beta = g'r / g'g,  RSS = r'r - beta g'r,  se = sqrt(RSS / (n-c-1) / g'g),  t = beta / se
    lrt    twice the difference of the ML log-likelihoods with and without x, chi-square(1)
    score  F = n (g'r)^2 / (g'g r'r) at the null model's ML h2, on (1, n-c-1) degrees of freedom

With `null` variances wald is at the null model's REML h2 and lrt at its ML h2, where it is
n log(r'r / RSS). With `per_variant` ones beta, se and wald come from a REML fit of each
variant, lrt from an ML fit of each, as in GEMMA (Zhou and Stephens, 2012). beta and se are
Wald's at the REML variances whichever test gives the p.

Tiles are rotated rows (T, n) in float64; rows of zeros, which are not tested, give NaN.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.whitening import WhitenedTrait
from lmmgwas.numerics.refit import Refit, RotatedData, refit_variants
from lmmgwas.numerics.tails import neg_log10_p_from_chi2, neg_log10_p_from_t

Array = NDArray[np.float64]

PERFECT_FIT = 1e-12
"""RSS with the variant over RSS without it below which rounding, not data, sets the p."""


class TestKind(StrEnum):
    """Which statistic gives the p."""

    __test__ = False  # not a test class, whatever its name says to a test runner

    WALD = "wald"
    LRT = "lrt"
    SCORE = "score"


class VarianceKind(StrEnum):
    """Where a variant's variance components come from."""

    NULL = "null"
    PER_VARIANT = "per-variant"


@dataclass(frozen=True, slots=True, eq=False)
class ScanResult:
    """The tests of T variants. All arrays are (T,)."""

    beta: Array  # per copy of the effect allele, in the trait's unit
    se: Array
    neg_log10_p: Array
    perfect_fit: NDArray[np.bool_]  # -log10 p is a lower bound


class VariantTest(Protocol):
    """What the scan asks of a fitted trait."""

    def test(self, rotated: Array) -> ScanResult:
        """Return the test of each row of a rotated tile (T, n)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Products:
    """g'r, g'g and the explained part of r'r for each row of a tile. All are (T,)."""

    gr: Array
    gg: Array  # NaN where the row has nothing of its own
    beta: Array
    explained: Array


def _products(rotated: Array, trait: WhitenedTrait) -> _Products:
    """The sums that Wald's test, the likelihood ratio and the score are made of."""
    dots = rotated @ trait.dots  # (T, 1 + c)
    gr = dots[:, 0]
    if trait.weights_squared is None:
        squares = np.einsum("ij,ij->i", rotated, rotated)
    else:
        squares = (rotated * rotated) @ trait.weights_squared
    gg = squares - np.einsum("ik,ik->i", dots[:, 1:], dots[:, 1:])
    gg = np.where(gg > 0.0, gg, np.nan)
    beta = gr / gg
    return _Products(gr, gg, beta, beta * gr)


def wald_tile(rotated: Array, trait: WhitenedTrait) -> ScanResult:
    """Return Wald's t test of each row of a rotated tile (T, n)."""
    products = _products(rotated, trait)
    floor = PERFECT_FIT * trait.rr
    left = trait.rr - products.explained
    se = np.sqrt(np.maximum(left, floor) / trait.dof / products.gg)
    return ScanResult(
        products.beta * trait.scale,
        se * trait.scale,
        neg_log10_p_from_t(products.beta / se, trait.dof),
        left < floor,
    )


@dataclass(frozen=True, slots=True, eq=False)
class WaldTest:
    """Wald's t at the null model's REML variances."""

    reml: WhitenedTrait

    def test(self, rotated: Array) -> ScanResult:
        """Return beta, se and p of t on n - c - 1 degrees of freedom."""
        return wald_tile(rotated, self.reml)


@dataclass(frozen=True, slots=True, eq=False)
class LikelihoodRatioTest:
    """The likelihood ratio at the null model's ML variances."""

    reml: WhitenedTrait
    ml: WhitenedTrait
    n_samples: int

    def test(self, rotated: Array) -> ScanResult:
        """Return beta and se of Wald's test, p of the likelihood ratio on chi-square(1)."""
        wald = wald_tile(rotated, self.reml)
        explained = _products(rotated, self.ml).explained / self.ml.rr
        perfect = explained > 1.0 - PERFECT_FIT
        chi2 = -self.n_samples * np.log1p(-np.minimum(explained, 1.0 - PERFECT_FIT))
        return ScanResult(wald.beta, wald.se, neg_log10_p_from_chi2(chi2), perfect)


def _score_p(rotated: Array, ml: WhitenedTrait, n_samples: int) -> Array:
    """-log10 p of the score statistic at the null model's ML variances."""
    f = n_samples * _products(rotated, ml).explained / ml.rr
    return neg_log10_p_from_t(np.sqrt(f), ml.dof)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTest:
    """The score test, as GEMMA's: at the null model's ML variances."""

    reml: WhitenedTrait
    ml: WhitenedTrait
    n_samples: int

    def test(self, rotated: Array) -> ScanResult:
        """Return beta and se of Wald's test, p of the score statistic on F(1, n - c - 1)."""
        wald = wald_tile(rotated, self.reml)
        p = _score_p(rotated, self.ml, self.n_samples)
        return ScanResult(wald.beta, wald.se, p, np.zeros(p.size, dtype=np.bool_))


@dataclass(frozen=True, slots=True, eq=False)
class RefitTest:
    """Any of the tests with the variances of each variant fitted anew."""

    data: RotatedData
    kind: TestKind
    ml: WhitenedTrait
    loglik_null_ml: float  # of the standardised trait
    threads: int

    def test(self, rotated: Array) -> ScanResult:
        """Return beta and se at each variant's REML optimum, p of the chosen test."""
        reml = refit_variants(self.data, rotated, reml=True, threads=self.threads)
        unit = self.ml.scale
        p, perfect = self._p(rotated, reml)
        return ScanResult(reml.beta * unit, reml.se * unit, p, perfect)

    def _p(self, rotated: Array, reml: Refit) -> tuple[Array, NDArray[np.bool_]]:
        t = reml.beta / reml.se
        perfect = t * t * PERFECT_FIT > self.ml.dof
        if self.kind is TestKind.WALD:
            return neg_log10_p_from_t(t, self.ml.dof), perfect
        n = self.data.y.size
        if self.kind is TestKind.SCORE:
            return _score_p(rotated, self.ml, n), np.zeros_like(perfect)
        full = refit_variants(self.data, rotated, reml=False, threads=self.threads)
        # The null model is a point of the alternative: below it there is only rounding.
        chi2 = np.maximum(2.0 * (full.loglik - self.loglik_null_ml), 0.0)
        return neg_log10_p_from_chi2(chi2), perfect
