"""From a GRM to what the scan needs: null models and whitening of all traits of an analysis.

LOCO is not a mode here: leaving a chromosome out is another K, hence another call. Traits
that share their samples share one spectral rotation; each has a Cholesky rotation of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model.calibrated_test import NullVectors
from lmmgwas.model.null_model import (
    MIN_DRAFT_SAMPLES,
    NullModel,
    fit_cholesky,
    fit_expanding,
    fit_spectral,
    fit_without_grm,
    grid_values,
)
from lmmgwas.model.samples import StandardTrait
from lmmgwas.model.single_kernel import Kernel, is_large, refuse_decomposition
from lmmgwas.model.spectrum import (
    SpectralDecomposition,
    decompose,
    require_semidefinite,
)
from lmmgwas.model.variant_tests import (
    LikelihoodRatioTest,
    RefitTest,
    ScanResult,
    ScoreTest,
    TestKind,
    TraitStack,
    VarianceKind,
    VariantTest,
    WaldTest,
)
from lmmgwas.model.whitening import (
    CholeskyRotation,
    IdentityRotation,
    Precision,
    Rotation,
    SpectralRotation,
    WhitenedTrait,
    WhitenerKind,
    cholesky_columns,
    spectral_weights,
    whiten_trait,
)
from lmmgwas.numerics.expansion import ExpandingReml
from lmmgwas.numerics.likelihood import CholeskyReml
from lmmgwas.numerics.linalg import NotPositiveDefiniteError, solve_lower
from lmmgwas.numerics.optimise import Status
from lmmgwas.numerics.refit import RotatedData

Array = NDArray[np.float64]

_MANY_TRAITS = 8

_SINGLE_H2_MAX = 0.98
"""Beyond this tiles are double: twice the 1 - h2 at which float32 costs 1e-5 in -log10 p."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedTrait:
    """One trait under one GRM."""

    null: NullModel  # REML
    whitened: WhitenedTrait  # at its h2
    null_ml: NullModel | None  # by full likelihood, where the test needs it
    test: VariantTest
    vectors: NullVectors | None = None  # with a Cholesky whitener


@dataclass(frozen=True, slots=True, eq=False)
class SharedRotation:
    """A rotation and the traits (indices into the analysis) that are tested after it."""

    rotation: Rotation
    traits: tuple[int, ...]
    precision: Precision  # of the tiles that it takes


@dataclass(frozen=True, slots=True, eq=False)
class FittedGroup:
    """All traits of an analysis under one GRM. `kind` is what was used in the end."""

    kind: WhitenerKind
    traits: tuple[FittedTrait, ...]
    rotations: tuple[SharedRotation, ...]

    def batches(self) -> tuple["RotationBatch", ...]:
        """Return the tests of all traits, by the rotation that they share."""
        return tuple(
            RotationBatch(shared, tuple(self.traits[k].test for k in shared.traits))
            for shared in self.rotations
        )


class RotationBatch:
    """A rotation and the tests after it, ready for tiles; used by several threads at a time."""

    def __init__(self, shared: SharedRotation, tests: tuple[VariantTest, ...]) -> None:
        self.traits = shared.traits
        self.precision = shared.precision
        self._rotation = shared.rotation
        self._tests = tests
        self._stack = TraitStack([trait for test in tests for trait in test.whitened])

    def squares(self, tile: NDArray[Any]) -> Array:
        """Return x'V^-1 x (T,) of each row of a residual tile, for a Cholesky whitener."""
        rotated = self._rotation.rotate(tile).astype(np.float64, copy=False)
        return np.asarray(np.einsum("ij,ij->i", rotated, rotated))

    def test(self, tile: NDArray[Any]) -> tuple[ScanResult, ...]:
        """Return the tests of each row of a residual tile (T, n), by trait; destroys the tile."""
        rotated = self._rotation.rotate(tile)
        products = self._stack.products(rotated)
        results, start = [], 0
        for test in self._tests:
            stop = start + len(test.whitened)
            results.append(test.test(rotated, products[start:stop]))
            start = stop
        return tuple(results)


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Traits with the same samples and covariates, and how they are to be fitted."""

    traits: tuple[StandardTrait, ...]
    X: Array  # (n, c) orthonormal
    kind: WhitenerKind
    precision: Precision
    h2: float | None  # fixed, or None to estimate it
    test: TestKind = TestKind.WALD
    variance: VarianceKind = VarianceKind.NULL
    threads: int = 1

    @property
    def needs_ml(self) -> bool:
        """Whether the full likelihood is maximised, too."""
        return self.test is not TestKind.WALD or self.variance is VarianceKind.PER_VARIANT

    @property
    def single_kernel(self) -> bool:
        """Whether K is taken in float32: many samples, whose tests are in float32 as well."""
        single = self.kind is WhitenerKind.CHOLESKY and self.precision is Precision.SINGLE
        return single and is_large(self.X.shape[0])


def fit_group(
    analysis: Analysis,
    K: Kernel,
    grm_scale: float,
    *,
    starts: Sequence[NullModel | None],
    decomposition: SpectralDecomposition | None = None,
) -> FittedGroup:
    """Fit all traits of an analysis under K (n, n), centred and scaled; may destroy K.

    K is in float64, or in float32 for Cholesky factors. `starts` holds for each trait a fit under
    a similar K, or None. Where a Cholesky factorisation fails (h2 near 1 under a singular K), the
    spectral route is taken instead.

    Raises DegenerateError (E721) where that would take hours and memory that nobody planned.
    """
    if analysis.kind is WhitenerKind.CHOLESKY:
        try:
            return _fit_cholesky_group(analysis, K, grm_scale, starts)
        except NotPositiveDefiniteError as error:
            refuse_decomposition(K, error)
            decomposition = None
    return _fit_spectral_group(analysis, decomposition or decompose(K, grm_scale))


def _fit_spectral_group(analysis: Analysis, decomposition: SpectralDecomposition) -> FittedGroup:
    """One decomposition, one rotation; O(n) for each trait after it."""
    rotated = _rotate_traits(analysis, decomposition)
    fitted = tuple(
        _fit_spectral_trait(analysis, k, decomposition, rotated)
        for k in range(len(analysis.traits))
    )
    precisions = [_safe_precision(analysis, trait.null) for trait in fitted]
    rotations = tuple(
        SharedRotation(
            SpectralRotation(np.ascontiguousarray(decomposition.U, dtype=precision.dtype)),
            tuple(k for k, own in enumerate(precisions) if own is precision),
            precision,
        )
        for precision in Precision
        if precision in precisions
    )
    return FittedGroup(WhitenerKind.SPECTRAL, fitted, rotations)


@dataclass(frozen=True, slots=True, eq=False)
class _RotatedTraits:
    """U'y of each trait and U'X; with many traits their likelihoods on the grid, too."""

    ys: tuple[Array, ...]  # (n,) each
    X: Array  # (n, c)
    reml: Array | None  # (q, G)
    ml: Array | None  # (q, G)


def _rotate_traits(analysis: Analysis, decomposition: SpectralDecomposition) -> _RotatedTraits:
    """With many traits by matrix products; a few are not worth other last bits than one has."""
    U, S = decomposition.U, decomposition.S
    X_rot = U.T @ analysis.X
    if len(analysis.traits) < _MANY_TRAITS or analysis.h2 is not None:
        ys = tuple(U.T @ trait.values for trait in analysis.traits)
        return _RotatedTraits(ys, X_rot, None, None)
    Y_rot = U.T @ np.column_stack([trait.values for trait in analysis.traits])
    ml = grid_values(S, Y_rot, X_rot, restricted=False) if analysis.needs_ml else None
    ys = tuple(np.ascontiguousarray(Y_rot.T))
    return _RotatedTraits(ys, X_rot, grid_values(S, Y_rot, X_rot), ml)


def _fit_spectral_trait(
    analysis: Analysis, k: int, decomposition: SpectralDecomposition, rotated: _RotatedTraits
) -> FittedTrait:
    """Null model by REML, by ML where the test needs it, and the test."""
    S, grm_scale = decomposition.S, decomposition.grm_scale
    trait, y_rot, X_rot = analysis.traits[k], rotated.ys[k], rotated.X
    values = None if rotated.reml is None else rotated.reml[k]
    null = fit_spectral(S, y_rot, X_rot, trait, grm_scale, analysis.h2, values=values)
    reml = whiten_trait(y_rot, X_rot, spectral_weights(S, null.h2), trait.sd)
    if not analysis.needs_ml:
        return FittedTrait(null, reml, None, WaldTest(reml))
    values = None if rotated.ml is None else rotated.ml[k]
    null_ml = fit_spectral(
        S, y_rot, X_rot, trait, grm_scale, analysis.h2, restricted=False, values=values
    )
    ml = whiten_trait(y_rot, X_rot, spectral_weights(S, null_ml.h2), trait.sd)
    test = _test(analysis, RotatedData.of(S, y_rot, X_rot), reml, ml, null_ml, trait)
    return FittedTrait(null, reml, null_ml, test)


def _test(
    analysis: Analysis,
    data: RotatedData,
    reml: WhitenedTrait,
    ml: WhitenedTrait,
    null_ml: NullModel,
    trait: StandardTrait,
) -> VariantTest:
    """The test that was asked for."""
    n = data.y.size
    if analysis.variance is VarianceKind.PER_VARIANT:
        require_semidefinite(data.S)
        loglik = null_ml.loglik + n * math.log(trait.sd)  # of the standardised trait
        return RefitTest(data, analysis.test, ml, loglik)
    if analysis.test is TestKind.LRT:
        return LikelihoodRatioTest(reml, ml, n)
    return ScoreTest(reml, ml, n)


def _fit_cholesky_group(
    analysis: Analysis, K: Kernel, grm_scale: float, starts: Sequence[NullModel | None]
) -> FittedGroup:
    """One factorisation of V for each trait."""
    fitted: list[FittedTrait] = []
    rotations: list[SharedRotation] = []
    for k, (trait, start) in enumerate(zip(analysis.traits, starts, strict=True)):
        found = _expand_trait(analysis, trait, K, grm_scale, start)
        if found is None:
            found = _factor_trait(analysis, trait, K, grm_scale, start)
        null, whitened, L, precision, vectors = found
        fitted.append(FittedTrait(null, whitened, None, WaldTest(whitened), vectors))
        rotations.append(SharedRotation(CholeskyRotation(L), (k,), precision))
    return FittedGroup(WhitenerKind.CHOLESKY, tuple(fitted), tuple(rotations))


_FactoredTrait = tuple[NullModel, WhitenedTrait, NDArray[Any], Precision, NullVectors]


def _expand_trait(
    analysis: Analysis,
    trait: StandardTrait,
    K: Kernel,
    grm_scale: float,
    start: NullModel | None,
) -> _FactoredTrait | None:
    """Fit and whiten with factors in float32 only; None where float64 is wanted or needed."""
    wanted = analysis.precision is Precision.SINGLE and analysis.h2 is None
    if not wanted or trait.values.size < MIN_DRAFT_SAMPLES:
        return None
    expanding = ExpandingReml(K, trait.values, analysis.X, analysis.threads)
    null = fit_expanding(
        expanding,
        lambda: CholeskyReml(K, trait.values, analysis.X),
        trait,
        grm_scale,
        None if start is None else start.h2,
    )
    if null is None:
        return None
    try:
        L = expanding.factor(null.h2)
        white = expanding.whiten(L, null.h2)
    except NotPositiveDefiniteError:
        return None
    dots = np.column_stack([white.residual, white.basis])
    dof = trait.values.size - analysis.X.shape[1] - 1
    whitened = WhitenedTrait(dots, None, white.rr, dof, trait.sd)
    vectors = NullVectors(analysis.X, white.Py, white.VX, null.h2, whitened)
    return null, whitened, L, Precision.SINGLE, vectors


def _factor_trait(
    analysis: Analysis,
    trait: StandardTrait,
    K: Kernel,
    grm_scale: float,
    start: NullModel | None,
) -> _FactoredTrait:
    """Fit and whiten with factors in float64."""
    likelihood = CholeskyReml(K, trait.values, analysis.X)
    h2, slope = (None, 0.0) if start is None else (start.h2, start.information_slope)
    null = fit_cholesky(likelihood, trait, analysis.X, grm_scale, analysis.h2, h2, slope)
    L = likelihood.factor(null.h2)
    columns = cholesky_columns(L, np.column_stack([trait.values, analysis.X]))
    whitened = whiten_trait(columns[:, 0], columns[:, 1:], None, trait.sd)
    precision = _safe_precision(analysis, null)
    Py = solve_lower(L, whitened.dots[:, 0], transposed=True)
    VX = solve_lower(L, columns[:, 1:], transposed=True)
    vectors = NullVectors(analysis.X, Py, VX, null.h2, whitened)
    L = np.ascontiguousarray(L, dtype=precision.dtype)
    return null, whitened, L, precision, vectors


def fit_without_relatedness(analysis: Analysis) -> FittedGroup:
    """Ordinary least squares: h2 = 0, no GRM, no rotation."""
    fitted = []
    for trait in analysis.traits:
        null = fit_without_grm(trait, analysis.X)
        whitened = whiten_trait(trait.values, analysis.X, None, trait.sd)
        data = RotatedData.of(np.ones_like(trait.values), trait.values, analysis.X)
        test = (
            _test(analysis, data, whitened, whitened, null, trait)
            if analysis.needs_ml
            else WaldTest(whitened)
        )
        fitted.append(FittedTrait(null, whitened, None, test))
    everyone = tuple(range(len(fitted)))
    shared = SharedRotation(IdentityRotation(), everyone, analysis.precision)
    return FittedGroup(WhitenerKind.IDENTITY, tuple(fitted), (shared,))


def _safe_precision(analysis: Analysis, null: NullModel) -> Precision:
    """Return double where h2 is so near 1 that float32 tiles would show in the p-values.

    Rounding along eigenvalues of 0 (clones, more samples than variants) is weighted by
    (1 - h2)^(-1/2): measured 1e-5 in -log10 p at h2 = 0.99, 1e-3 at the upper end.
    """
    return Precision.DOUBLE if null.h2 > _SINGLE_H2_MAX else analysis.precision


def suggested_starts(whole: Sequence[NullModel]) -> list[NullModel | None]:
    """Return what each trait's LOCO fits begin at: the whole-genome fit, where that says much."""
    telling = (Status.CONVERGED, Status.LOWER_BOUND)
    return [null if null.status in telling else None for null in whole]
