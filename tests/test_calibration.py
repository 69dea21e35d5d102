"""Does the test keep its promise? Type-I error, lambda, h2, and the power that LOCO saves.

Null simulations with families and populations: causal variants lie on odd chromosomes, tests
are made on even ones, so that every test is of a true null whose trait is heritable and
structured. Slow: `make test-all`.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from lmmgwas.model.fitting import Analysis, fit_group, fit_without_relatedness
from lmmgwas.model.genotypes import (
    KEPT,
    VariantFilters,
    count_block,
    exclusion_reasons,
    variant_stats,
)
from lmmgwas.model.grm import centre_and_scale
from lmmgwas.model.samples import standardise_trait
from lmmgwas.model.scan import residual_tile
from lmmgwas.model.whitening import Precision, WhitenerKind
from lmmgwas.numerics.tails import lambda_gc

pytestmark = pytest.mark.slow

Array = NDArray[np.float64]

N_CHROMOSOMES = 22
N_PER_CHROMOSOME = 400
N_FAMILIES = 50  # in each of three populations: two parents, two children
N_REPLICATES = 30
LEVELS = (0.05, 0.01, 1e-3)
H2 = 0.5


@dataclass(frozen=True)
class Replicate:
    """One simulated study."""

    calls: NDArray[np.int8]  # (m, n), chromosome after chromosome
    y: Array

    def chromosome(self, c: int) -> NDArray[np.int8]:
        return self.calls[c * N_PER_CHROMOSOME : (c + 1) * N_PER_CHROMOSOME]


def simulate(rng: np.random.Generator) -> Replicate:
    """Three populations (Fst 0.05), families of four, a polygenic trait and a stratified mean."""
    m = N_CHROMOSOMES * N_PER_CHROMOSOME
    ancestral = rng.uniform(0.1, 0.9, m)
    fst = 0.05
    blocks, means = [], []
    for population in range(3):
        f = rng.beta(ancestral * (1 - fst) / fst, (1 - ancestral) * (1 - fst) / fst)
        parents = rng.random((2, 2, m, N_FAMILIES)) < f[:, None]  # parent, haplotype, m, family
        blocks += [parents[p].sum(axis=0) for p in range(2)]
        for _ in range(2):
            side = rng.integers(0, 2, (2, m, N_FAMILIES))
            passed = [np.where(side[p], parents[p, 0], parents[p, 1]) for p in range(2)]
            blocks.append(passed[0].astype(int) + passed[1])
        means.append(np.full(4 * N_FAMILIES, 0.5 * population))
    calls = np.concatenate(blocks, axis=1).astype(np.int8)
    odd = (np.arange(m) // N_PER_CHROMOSOME) % 2 == 0  # chromosomes 1, 3, ... 21
    effects = np.where(odd, rng.standard_normal(m), 0.0)
    g = (calls - calls.mean(axis=1, keepdims=True)).T @ effects
    g *= np.sqrt(H2) / g.std()
    y = g + rng.standard_normal(g.size) * np.sqrt(1 - H2) + np.concatenate(means)
    return Replicate(calls, y)


def sums_of_squares(study: Replicate) -> list[Array]:
    """Z_c Z_c' of each chromosome, standardised."""
    sums = []
    for c in range(N_CHROMOSOMES):
        x = study.chromosome(c).astype(np.float64)
        spread = x.std(axis=1, keepdims=True)
        z = (x - x.mean(axis=1, keepdims=True))[spread[:, 0] > 0] / spread[spread[:, 0] > 0]
        sums.append(z.T @ z)
    return sums


def scan_chromosome(study: Replicate, c: int, K: Array | None) -> tuple[Array, float]:
    """-log10 p of a chromosome's variants under K (None: ordinary regression), and h2."""
    n = study.y.size
    trait = standardise_trait("y", study.y)
    X = np.full((n, 1), 1 / np.sqrt(n))
    if K is None:
        analysis = Analysis((trait,), X, WhitenerKind.IDENTITY, Precision.SINGLE, 0.0)
        fitted = fit_without_relatedness(analysis)
    else:
        analysis = Analysis((trait,), X, WhitenerKind.CHOLESKY, Precision.SINGLE, None)
        fitted = fit_group(analysis, K, centre_and_scale(K), starts=[None])
    calls = study.chromosome(c)
    samples = np.arange(n)
    stats = variant_stats(count_block(calls, samples))
    nothing = np.zeros(len(calls), dtype=np.bool_)
    reasons = exclusion_reasons(stats, VariantFilters(0.0, 5.0, 0.1), nothing)
    (shared,) = fitted.batches()
    (result,) = shared.test(residual_tile(calls, stats, reasons, X, len(calls), shared.precision))
    return result.neg_log10_p[reasons == KEPT], fitted.traits[0].null.h2


@pytest.fixture(scope="module")
def replicates() -> dict[str, list[Array]]:
    """-log10 p of the even chromosomes by mixed model and by ordinary regression; h2 of LOCO."""
    rng = np.random.default_rng(20261121)
    out: dict[str, list[Array]] = {"lmm": [], "ols": [], "h2": []}
    for _ in range(N_REPLICATES):
        study = simulate(rng)
        sums = sums_of_squares(study)
        total = sum(sums)
        lmm, ols, h2 = [], [], []
        for c in range(1, N_CHROMOSOMES, 2):
            p, fitted = scan_chromosome(study, c, np.ascontiguousarray(total - sums[c]))
            lmm.append(p)
            h2.append(fitted)
            ols.append(scan_chromosome(study, c, None)[0])
        out["lmm"].append(np.concatenate(lmm))
        out["ols"].append(np.concatenate(ols))
        out["h2"].append(np.array(h2))
    return out


def interval(rates: Array) -> tuple[float, float]:
    """99.9 % interval of the mean rate from the variance between replicates (normal, 3.29)."""
    half = 3.29 * rates.std(ddof=1) / np.sqrt(rates.size)
    return float(rates.mean() - half), float(rates.mean() + half)


def test_lambda_is_one_on_average(replicates) -> None:
    lambdas = np.array([lambda_gc(p) for p in replicates["lmm"]])
    print(
        f"\nlambda_gc: mean {lambdas.mean():.4f}, SD between replicates {lambdas.std(ddof=1):.4f}"
    )
    assert 0.98 <= lambdas.mean() <= 1.02


@pytest.mark.parametrize("level", LEVELS)
def test_type_one_error_is_nominal(replicates, level: float) -> None:
    rates = np.array([(p > -np.log10(level)).mean() for p in replicates["lmm"]])
    low, high = interval(rates)
    print(f"\nrate at {level:g}: {rates.mean():.5f}, 99.9 % interval {low:.5f} to {high:.5f}")
    assert low <= level <= high


def test_ordinary_regression_fails_on_the_same_data(replicates) -> None:
    lambdas = np.array([lambda_gc(p) for p in replicates["ols"]])
    print(f"\nordinary regression: lambda_gc {lambdas.mean():.3f}")
    assert lambdas.mean() > 1.02
    for level in LEVELS:
        rates = np.array([(p > -np.log10(level)).mean() for p in replicates["ols"]])
        assert interval(rates)[0] > level


def test_h2_is_recovered() -> None:
    """Infinitesimal traits of h2 0.5 drawn from the kernel itself: the mean fit is 0.5.

    Bound: 3.29 standard errors of the mean over the replicates (99.9 %).
    """
    rng = np.random.default_rng(11)
    fits = []
    for _ in range(20):
        study = simulate(rng)
        total = sum(sums_of_squares(study))
        K = total.copy()
        centre_and_scale(K)
        g = np.linalg.cholesky(K + 1e-6 * np.eye(len(K))) @ rng.standard_normal(len(K))
        y = np.sqrt(H2) * g + np.sqrt(1 - H2) * rng.standard_normal(len(K))
        fits.append(scan_chromosome(Replicate(study.calls, y), 0, total)[1])
    mean, error = np.mean(fits), np.std(fits, ddof=1) / np.sqrt(len(fits))
    print(f"\nh2: mean {mean:.3f}, standard error {error:.3f}")
    assert abs(mean - H2) <= 3.29 * error


def test_loco_keeps_the_power_that_the_full_grm_costs() -> None:
    """A causal variant that is in its own GRM is tested against itself (Yang et al. 2014)."""
    rng = np.random.default_rng(7)
    gains = []
    for _ in range(8):
        study = simulate(rng)
        j = N_PER_CHROMOSOME + 5  # a variant of the second chromosome
        x = study.calls[j].astype(np.float64)
        y = study.y + 0.3 * (x - x.mean()) / x.std()
        study = Replicate(study.calls, y)
        sums = sums_of_squares(study)
        total = sum(sums)
        place = int((study.chromosome(1)[:6].std(axis=1) > 0).sum()) - 1
        loco, _ = scan_chromosome(study, 1, np.ascontiguousarray(total - sums[1]))
        full, _ = scan_chromosome(study, 1, total.copy())
        gains.append(loco[place] - full[place])
    print(f"\ngain of LOCO in -log10 p at a causal variant: median {np.median(gains):.2f}")
    assert np.median(gains) > 0.0
