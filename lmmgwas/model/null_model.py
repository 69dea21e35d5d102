"""The null model: variance components of a trait without any variant, by REML.

    y = X b + g + e,   g ~ N(0, sigma2 h2 K),   e ~ N(0, sigma2 (1 - h2) I)

K is centred and scaled to mean diagonal 1, so that h2 is the share of the trait's variance
that the markers explain. Traits are standardised and X is orthonormal here; what a
`NullModel` reports is in the trait's own unit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError
from lmmgwas.model.samples import StandardTrait
from lmmgwas.numerics.ascend import ascend, ascend_from, polish
from lmmgwas.numerics.expansion import ExpandingReml
from lmmgwas.numerics.likelihood import (
    H2_MAX,
    CholeskyReml,
    RemlPoint,
    RestrictedLikelihood,
    SpectralReml,
    spectral_grid,
)
from lmmgwas.numerics.linalg import NotPositiveDefiniteError
from lmmgwas.numerics.optimise import (
    COARSE_GRID,
    FINE_GRID,
    Optimum,
    Status,
    maximise,
    maximise_from,
)
from lmmgwas.numerics.tails import half_chi2_p

Array = NDArray[np.float64]

MIN_RESIDUAL_SHARE = 1e-10

MIN_DRAFT_SAMPLES = 512
"""Below this a search in float32 saves no time worth having."""


@dataclass(frozen=True, slots=True)
class NullModel:
    """The fitted variance components of one trait and one GRM."""

    h2: float
    h2_se: float  # NaN at a bound, when flat, when fixed
    sigma2: float
    loglik: float
    loglik_without_grm: float  # at h2 = 0
    status: Status
    grm_scale: float  # NaN where there is no GRM
    information_slope: float = 0.0  # of the observed information at h2; 0 where it is not known

    @property
    def sigma_g2(self) -> float:
        """Variance of the genetic part; sigma_g2/grm_scale is per unit of the given matrix."""
        return self.sigma2 * self.h2

    @property
    def sigma_e2(self) -> float:
        """Variance of the residual part."""
        return self.sigma2 * (1.0 - self.h2)

    @property
    def p_h2(self) -> float:
        """Likelihood-ratio p of h2 = 0, which lies on the boundary (Self and Liang, 1987)."""
        if self.status is Status.FIXED:
            return math.nan  # nothing was estimated
        return half_chi2_p(2.0 * (self.loglik - self.loglik_without_grm))


def check_residual(name: str, trait: StandardTrait, X: Array) -> None:
    """Raise DegenerateError when the covariates leave nothing of the trait."""
    residual = trait.values - X @ (X.T @ trait.values)
    share = float(residual @ residual) / trait.values.size
    if share < MIN_RESIDUAL_SHARE:
        raise DegenerateError(
            "E408",
            f"trait '{name}' is a linear function of the covariates (residual share of variance "
            f"{share:.2g}): there is nothing left for a variant to explain; is the trait, or a "
            "copy of it, among the covariates?",
        )


def fit_spectral(
    S: Array,
    y_rot: Array,
    X_rot: Array,
    trait: StandardTrait,
    grm_scale: float,
    h2: float | None,
    *,
    restricted: bool = True,
    values: Array | None = None,
) -> NullModel:
    """Fit by REML (or ML) in the rotated basis, O(n c^2) a step; `h2` fixes it.

    `values` is the trait's row of `grid_values`, where several traits were evaluated together.
    Under a K with negative eigenvalues h2 ends where V does.

    Raises DegenerateError (E701) where V is not safely positive definite at the fitted h2.
    """
    likelihood: RestrictedLikelihood = SpectralReml(S, y_rot, X_rot, restricted=restricted)
    if float(S[0]) < 0.0:
        likelihood = _Bounded(likelihood, _largest_h2(S))
    if h2 is not None:
        _require_definite(S, h2)
        optimum = _fixed(likelihood, h2)
    else:
        known = None if values is None or not np.isfinite(values).all() else values.tolist()
        optimum = maximise(likelihood, FINE_GRID, values=known)
        _require_definite(S, optimum.point.h2)
    return _report(likelihood, optimum, trait, grm_scale, X_rot.shape[1] if restricted else 0)


def fit_cholesky(
    likelihood: CholeskyReml,
    trait: StandardTrait,
    X: Array,
    grm_scale: float,
    h2: float | None,
    start: float | None,
    slope: float = 0.0,
) -> NullModel:
    """Fit by REML with a factorisation at each step.

    `start` (the whole-genome h2) saves the grid, `slope` (of its information) a step.

    Raises NotPositiveDefiniteError where V cannot be factored at the optimum.
    """
    if h2 is not None:
        optimum = _fixed(likelihood, h2)
    else:
        n_samples = trait.values.size
        few = n_samples < _FEW_SAMPLES
        draft = None if n_samples < MIN_DRAFT_SAMPLES else likelihood.draft()
        try:
            # With few samples a chromosome less may bring another hill, and a grid costs nothing.
            optimum = _search(likelihood, None if few else start, slope, draft)
        except NotPositiveDefiniteError:
            optimum = _search(likelihood, None, 0.0, None)
    return _report(likelihood, optimum, trait, grm_scale, X.shape[1])


def grid_values(S: Array, Y_rot: Array, X_rot: Array, *, restricted: bool = True) -> Array:
    """Return the log-likelihood (q, G) of q traits on the grid of `fit_spectral`."""
    usable = [h2 for h2 in FINE_GRID if h2 <= _largest_h2(S)]
    values = np.full((Y_rot.shape[1], len(FINE_GRID)), -np.inf)
    values[:, : len(usable)] = spectral_grid(S, Y_rot, X_rot, usable, restricted=restricted)
    return values


_FEW_SAMPLES = 200
"""Below it the search has the fine grid with factorisations, too, which cost next to nothing: hills
may be narrow. In 877 random studies of 10 to 40 samples the coarse one missed one."""

_LEAST_VARIANCE = 0.01
"""Smallest eigenvalue of V that a K with negative eigenvalues may have at the fitted h2. Below it
the whitened data lean on directions that such a K gets wrong, and float32 on its rounding."""


def _largest_h2(S: Array) -> float:
    """Up to which h2 the smallest eigenvalue of V stays positive, with a millionth to spare."""
    return min(H2_MAX, (1.0 - 1e-6) / (1.0 - float(S[0]))) if float(S[0]) < 0.0 else H2_MAX


def _require_definite(S: Array, h2: float) -> None:
    """Raise DegenerateError (E701) where V has eigenvalues that are negative, or next to it."""
    smallest = h2 * float(S[0]) + 1.0 - h2
    if float(S[0]) < 0.0 and smallest < _LEAST_VARIANCE:
        raise DegenerateError(
            "E701",
            f"the GRM is not positive semi-definite (eigenvalues from {float(S[0]):.4g} to "
            f"{float(S[-1]):.4g}) and the covariance at h2 = {h2:.4g} is not positive definite "
            f"(its smallest eigenvalue is {smallest:.2g}): use a GRM that is, such as one without "
            "--grm-missing pairwise",
        )


class _Bounded:
    """A likelihood that ends at an h2 beyond which V is not positive definite."""

    def __init__(self, likelihood: RestrictedLikelihood, largest: float) -> None:
        self._likelihood = likelihood
        self._largest = largest

    def loglik(self, h2: float) -> float:
        """Return the log-likelihood; -inf beyond the end."""
        return self._likelihood.loglik(h2) if h2 <= self._largest else -math.inf

    def point(self, h2: float) -> RemlPoint:
        """Return the point; beyond the end one that falls, and tells nothing of its curvature."""
        if h2 <= self._largest:
            return self._likelihood.point(h2)
        return RemlPoint(h2, -math.inf, -1.0, 0.0, math.nan, math.nan)


def fit_expanding(
    expanding: ExpandingReml,
    likelihood: Callable[[], CholeskyReml],
    trait: StandardTrait,
    grm_scale: float,
    start: float | None,
) -> NullModel | None:
    """Fit by REML from factorisations in float32, h2 to 1e-6 or better; None where that fails.

    With `start` (the whole-genome h2) there is no grid, and one expansion is mostly enough.
    Without it, which is once in a run, `likelihood` in float64 has the last word.
    """
    if start is not None:
        optimum = ascend_from(expanding, start)
    else:
        optimum = ascend(expanding)
        expanding.release()  # one matrix less beside the float64 one; `factor` makes it anew
        optimum = None if optimum is None else polish(optimum, likelihood())
    if optimum is None:
        return None
    return _report(expanding, optimum, trait, grm_scale, expanding.n_covariates)


def _search(
    likelihood: CholeskyReml, start: float | None, slope: float, draft: CholeskyReml | None
) -> Optimum:
    """From the start where there is one and it leads somewhere, otherwise over the grid."""
    found = None if start is None else maximise_from(likelihood, start, draft, slope)
    if found is not None:
        return found
    few = likelihood.n_samples < _FEW_SAMPLES
    return maximise(likelihood, FINE_GRID if few else COARSE_GRID, draft)


def fit_without_grm(trait: StandardTrait, X: Array) -> NullModel:
    """Return the model of h2 = 0, ordinary least squares, which needs no GRM."""
    likelihood = SpectralReml(np.ones_like(trait.values), trait.values, X)
    optimum = _fixed(likelihood, 0.0)
    return _report(likelihood, optimum, trait, math.nan, X.shape[1])


def _fixed(likelihood: RestrictedLikelihood, h2: float) -> Optimum:
    return Optimum(likelihood.point(h2), Status.FIXED, 1)


def _report(
    likelihood: RestrictedLikelihood | ExpandingReml,
    optimum: Optimum,
    trait: StandardTrait,
    grm_scale: float,
    n_covariates: int,
) -> NullModel:
    """Bring the optimum back to the trait's unit."""
    point = optimum.point
    unit = (trait.values.size - n_covariates) * math.log(trait.sd)
    known = optimum.status is Status.CONVERGED and point.information > 0.0
    return NullModel(
        h2=point.h2,
        h2_se=1.0 / math.sqrt(point.information) if known else math.nan,
        sigma2=point.sigma2 * trait.sd**2,
        loglik=point.loglik - unit,
        loglik_without_grm=likelihood.loglik(0.0) - unit,
        status=optimum.status,
        grm_scale=grm_scale,
        information_slope=optimum.slope,
    )
