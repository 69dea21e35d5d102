"""What either whitener costs, so that the cheaper one can be chosen before the work."""

from dataclasses import dataclass

from lmmgwas.model.whitening import WhitenerKind
from lmmgwas.numerics.linalg import EVD_MAX_N


@dataclass(frozen=True, slots=True)
class WhitenerCost:
    """The two costs that the choice of a whitener compares, in units of 1e9 operations."""

    spectral: float
    cholesky: float
    decomposable: bool = True  # False beyond what LAPACK's integers count

    @property
    def kind(self) -> WhitenerKind:
        """The cheaper one that can be had."""
        cheaper = self.decomposable and self.spectral < self.cholesky
        return WhitenerKind.SPECTRAL if cheaper else WhitenerKind.CHOLESKY


def whitener_cost(
    n_samples: int, n_variants: int, n_groups: int, n_traits: int, *, kept: bool
) -> WhitenerCost:
    """Return the cost of either whitener for traits that share their samples.

    Spectral: 9 n^3 for each decomposition (none where they are kept on disk), and a product of
    2 n^2 for each variant, float32 at twice the speed of float64. Cholesky: for each trait
    about three likelihoods with derivatives, n^3 each at half the speed of a product, and a
    solve of n^2 for each variant.
    """
    n, m = float(n_samples), float(n_variants)
    fits = n_groups + 1
    spectral = (0.0 if kept else 9.0 * n**3 * fits) + n * n * m
    cholesky = n_traits * (6.0 * n**3 * fits + 0.7 * n * n * m)
    return WhitenerCost(spectral / 1e9, cholesky / 1e9, kept or n_samples <= EVD_MAX_N)
