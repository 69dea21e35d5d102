"""The tests of a variant: Wald's, the likelihood ratio and the score, each at its variances.

For a variant x, after W and after the covariates are projected out (g, r; both depend on h2):

    wald   beta = g'r / g'g,  RSS = r'r - beta g'r,  se = sqrt(RSS / (n-c-1) / g'g),  t = beta / se
    lrt    twice the difference of the ML log-likelihoods with and without x, chi-square(1)
    score  F = n (g'r)^2 / (g'g r'r) at the null model's ML h2, on (1, n-c-1) degrees of freedom

With `null` variances wald is at the null model's REML h2 and lrt at its ML h2, where it is
n log(r'r / RSS). With `per_variant` ones beta, se and wald come from a REML fit of each
variant, lrt from an ML fit of each, as in GEMMA (Zhou and Stephens, 2012). beta and se are
Wald's at the REML variances whichever test gives the p.

Tiles are rotated rows (T, n), sums over them float64; rows of zeros, which are not tested, give
NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.whitening import WhitenedTrait
from lmmgwas.numerics.refit import Refit, RotatedData, refit_variants
from lmmgwas.numerics.tails import neg_log10_p_from_chi2, neg_log10_p_from_t

Array = NDArray[np.float64]
Tile = NDArray[Any]

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


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """g'r, g'g and the explained part of r'r for each row of a tile. All are (T,)."""

    gr: Array
    gg: Array  # NaN where the row has nothing of its own
    beta: Array
    explained: Array


class TraitStack:
    """Traits after one rotation, stacked: two matrix products give the sums of all of them.

    With q traits a tile costs 2 T n q (2 + c) operations beyond its rotation.
    """

    def __init__(self, traits: Sequence[WhitenedTrait]) -> None:
        self._traits = tuple(traits)
        self._dots = np.hstack([trait.dots for trait in traits])  # (n, sum of 1 + c)
        weighted = [t.weights_squared for t in traits if t.weights_squared is not None]
        if 0 < len(weighted) < len(self._traits):
            raise ValueError("traits after one rotation are all weighted, or none is")
        self._weights = np.column_stack(weighted) if weighted else None  # (n, q)

    def products(self, rotated: Tile) -> tuple[Products, ...]:
        """Return the sums of each trait over the rows of a rotated tile (T, n), in float64."""
        tile = rotated.astype(np.float64, copy=False)
        dots = tile @ self._dots
        if self._weights is None:
            squares = np.einsum("ij,ij->i", tile, tile)[:, None]
        else:
            squares = (tile * tile) @ self._weights
        found, start, weighted = [], 0, 0
        for trait in self._traits:
            stop = start + trait.dots.shape[1]
            column = weighted if self._weights is not None else 0
            found.append(_products(dots[:, start:stop], squares[:, column]))
            start, weighted = stop, weighted + 1
        return tuple(found)


def _products(dots: Array, squares: Array) -> Products:
    """The sums of one trait from g'r and Q'g (T, 1 + c) and x'V^-1 x (T,)."""
    gr = dots[:, 0]
    gg = squares - np.einsum("ik,ik->i", dots[:, 1:], dots[:, 1:])
    gg = np.where(gg > 0.0, gg, np.nan)
    beta = gr / gg
    return Products(gr, gg, beta, beta * gr)


class VariantTest(Protocol):
    """What the scan asks of a fitted trait."""

    @property
    def whitened(self) -> tuple[WhitenedTrait, ...]:
        """The trait at the variances whose products the test needs."""
        ...

    def test(self, rotated: Tile, products: Sequence[Products]) -> ScanResult:
        """Return the test of each row of a rotated tile (T, n)."""
        ...


def wald_tile(rotated: Tile, trait: WhitenedTrait) -> ScanResult:
    """Return Wald's t test of each row of a rotated tile (T, n)."""
    return wald(TraitStack([trait]).products(rotated)[0], trait)


def wald(products: Products, trait: WhitenedTrait) -> ScanResult:
    """Return Wald's t test from its sums."""
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

    @property
    def whitened(self) -> tuple[WhitenedTrait, ...]:
        """At the REML variances."""
        return (self.reml,)

    def test(self, rotated: Tile, products: Sequence[Products]) -> ScanResult:
        """Return beta, se and p of t on n - c - 1 degrees of freedom."""
        return wald(products[0], self.reml)


@dataclass(frozen=True, slots=True, eq=False)
class LikelihoodRatioTest:
    """The likelihood ratio at the null model's ML variances."""

    reml: WhitenedTrait
    ml: WhitenedTrait
    n_samples: int

    @property
    def whitened(self) -> tuple[WhitenedTrait, ...]:
        """At the REML and at the ML variances."""
        return (self.reml, self.ml)

    def test(self, rotated: Tile, products: Sequence[Products]) -> ScanResult:
        """Return beta and se of Wald's test, p of the likelihood ratio on chi-square(1)."""
        effect = wald(products[0], self.reml)
        explained = products[1].explained / self.ml.rr
        perfect = explained > 1.0 - PERFECT_FIT
        chi2 = -self.n_samples * np.log1p(-np.minimum(explained, 1.0 - PERFECT_FIT))
        return ScanResult(effect.beta, effect.se, neg_log10_p_from_chi2(chi2), perfect)


def _score_p(products: Products, ml: WhitenedTrait, n_samples: int) -> Array:
    """-log10 p of the score statistic at the null model's ML variances."""
    f = n_samples * products.explained / ml.rr
    return neg_log10_p_from_t(np.sqrt(f), ml.dof)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTest:
    """The score test, as GEMMA's: at the null model's ML variances."""

    reml: WhitenedTrait
    ml: WhitenedTrait
    n_samples: int

    @property
    def whitened(self) -> tuple[WhitenedTrait, ...]:
        """At the REML and at the ML variances."""
        return (self.reml, self.ml)

    def test(self, rotated: Tile, products: Sequence[Products]) -> ScanResult:
        """Return beta and se of Wald's test, p of the score statistic on F(1, n - c - 1)."""
        effect = wald(products[0], self.reml)
        p = _score_p(products[1], self.ml, self.n_samples)
        return ScanResult(effect.beta, effect.se, p, np.zeros(p.size, dtype=np.bool_))


@dataclass(frozen=True, slots=True, eq=False)
class RefitTest:
    """Any of the tests with the variances of each variant fitted anew."""

    data: RotatedData
    kind: TestKind
    ml: WhitenedTrait
    loglik_null_ml: float  # of the standardised trait

    @property
    def whitened(self) -> tuple[WhitenedTrait, ...]:
        """At the null model's ML variances, for the score."""
        return (self.ml,)

    def test(self, rotated: Tile, products: Sequence[Products]) -> ScanResult:
        """Return beta and se at each variant's REML optimum, p of the chosen test."""
        tile = rotated.astype(np.float64, copy=False)
        reml = refit_variants(self.data, tile, reml=True)
        unit = self.ml.scale
        p, perfect = self._p(tile, products, reml)
        return ScanResult(reml.beta * unit, reml.se * unit, p, perfect)

    def _p(
        self, rotated: Array, products: Sequence[Products], reml: Refit
    ) -> tuple[Array, NDArray[np.bool_]]:
        t = reml.beta / reml.se
        perfect = t * t * PERFECT_FIT > self.ml.dof
        if self.kind is TestKind.WALD:
            return neg_log10_p_from_t(t, self.ml.dof), perfect
        n = self.data.y.size
        if self.kind is TestKind.SCORE:
            return _score_p(products[0], self.ml, n), np.zeros_like(perfect)
        full = refit_variants(self.data, rotated, reml=False)
        # The null model is a point of the alternative: below it there is only rounding.
        chi2 = np.maximum(2.0 * (full.loglik - self.loglik_null_ml), 0.0)
        return neg_log10_p_from_chi2(chi2), perfect
