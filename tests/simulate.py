"""Small random problems with the truth known; imports numpy only.

Two populations of families (two parents, four children each), so that K has both large
eigenvalues and near-clones; covariates that genotypes lean on; a trait of given h2.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

MISSING_CALL = -127


@dataclass(frozen=True)
class Axes:
    """What the branches of the code depend on (design.md section 7)."""

    n: int = 60
    m: int = 90
    c: int = 2
    h2: float = 0.5
    missing: float = 0.0
    clones: int = 0  # samples that are exact copies of others: K loses rank
    seed: int = 1

    def __str__(self) -> str:
        clones = f"-clones{self.clones}" if self.clones else ""
        missing = f"-missing{self.missing:g}" if self.missing else ""
        return f"n{self.n}-m{self.m}-c{self.c}-h2_{self.h2:g}{missing}{clones}-s{self.seed}"


@dataclass(frozen=True, eq=False)
class Problem:
    """Genotypes, covariates, trait and GRM of one study."""

    axes: Axes
    calls: np.ndarray  # (m, n) int8, MISSING_CALL where there is no call
    dosage: np.ndarray  # (m, n) float, NaN where there is no call
    chrom: np.ndarray  # (m,) "1", "2" or "3"
    covariates: np.ndarray  # (n, c - 1) without the intercept
    y: np.ndarray  # (n,)
    K: np.ndarray  # (n, n) GRM as it would lie on disk: neither centred nor scaled to 1

    @property
    def X(self) -> np.ndarray:
        """Intercept and covariates (n, c), neither orthogonal nor scaled."""
        return np.column_stack([np.ones(self.y.size), self.covariates])

    @property
    def basis(self) -> np.ndarray:
        """Orthonormal basis (n, c) of X."""
        return np.ascontiguousarray(np.linalg.qr(self.X)[0])


def families(rng: np.random.Generator, n: int, m: int) -> np.ndarray:
    """Return copies (m, n) for n samples: children draw one allele from either parent."""
    ancestral = rng.uniform(0.15, 0.85, m)
    columns: list[np.ndarray] = []
    family = 0
    while len(columns) < n:
        drift = 0.12 * rng.standard_normal(m) if family % 2 else np.zeros(m)
        p = np.clip(ancestral + drift, 0.05, 0.95)
        parents = [(rng.random((2, m)) < p).astype(int) for _ in range(2)]
        columns += [alleles.sum(axis=0) for alleles in parents]
        for _ in range(4):
            pick = rng.integers(0, 2, (2, m))
            child = sum(np.where(pick[k] == 0, parents[k][0], parents[k][1]) for k in range(2))
            columns.append(child)
        family += 1
    return np.array(columns[:n]).T


def _imputed_standardised(dosage: np.ndarray) -> np.ndarray:
    mean = np.nanmean(dosage, axis=1, keepdims=True)
    sd = np.nanstd(dosage, axis=1, keepdims=True)
    return np.where(np.isnan(dosage), 0.0, (dosage - mean) / sd)


@cache
def make_problem(axes: Axes) -> Problem:
    """Return the problem of these axes; every variant varies among its calls."""
    rng = np.random.default_rng([axes.seed, axes.n, axes.m, axes.c, int(1000 * axes.h2)])
    true = families(rng, axes.n, axes.m)
    if axes.clones:
        true[:, -axes.clones :] = true[:, : axes.clones]
    true[true.min(axis=1) == true.max(axis=1), :2] = [0, 1]
    dosage = true.astype(float)
    if axes.missing:
        lost = rng.random(dosage.shape) < axes.missing
        lost[:, :6] = False
        dosage[lost] = np.nan
        still = np.nanmin(dosage, axis=1) == np.nanmax(dosage, axis=1)
        dosage[still, :2] = [0.0, 1.0]
    Z = _imputed_standardised(dosage)
    if axes.clones:  # missing calls would tell the clones apart
        Z[:, -axes.clones :] = Z[:, : axes.clones]
    K = Z.T @ Z / axes.m
    covariates = rng.standard_normal((axes.n, axes.c - 1))
    if axes.c > 1:
        covariates[:, 0] += 0.3 * Z[0]
    genetic = Z.T @ rng.standard_normal(axes.m)
    noise = rng.standard_normal(axes.n)
    y = np.sqrt(axes.h2) * genetic / genetic.std() + np.sqrt(1.0 - axes.h2) * noise / noise.std()
    y = y + covariates @ np.full(axes.c - 1, 0.3) + 0.4 * np.sqrt(1.0 - axes.h2) * Z[1]
    calls = np.where(np.isnan(dosage), MISSING_CALL, dosage).astype(np.int8)
    chrom = np.array([str(1 + 3 * j // axes.m) for j in range(axes.m)])
    arrays = (calls, dosage, chrom, covariates, 170.0 + 6.5 * y, K)
    for array in arrays:
        array.setflags(write=False)  # problems are shared between tests
    return Problem(axes, *arrays)


SWEEP = [
    Axes(n=n, m=m, c=c, h2=h2, missing=missing, clones=clones, seed=seed)
    for seed, (c, h2, missing, (n, m, clones)) in enumerate(
        product(
            (1, 2, 5),
            (0.0, 0.5, 0.999),
            (0.0, 0.1),
            # n < m; n > m, where K has rank m at most; n < m with K short of rank by clones
            ((48, 130, 0), (90, 40, 0), (60, 100, 6)),
        )
    )
]
"""Every combination of the axes, each with its own seed."""

FEW = [axes for axes in SWEEP if axes.c == 2]
"""One third of it, for what costs more."""
