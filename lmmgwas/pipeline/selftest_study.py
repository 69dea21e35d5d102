"""The study of `lmmgwas selftest`, as it was simulated, and what the oracle makes of it.

Nothing here is read from the files that the program reads: calls, traits and covariates are
those in memory, and all sums are `model.dense_oracle`'s.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmmgwas.model import dense_oracle
from lmmgwas.model.genotypes import MISSING
from lmmgwas.model.simulate import (
    CHROMOSOMES,
    HEIGHT,
    MALE,
    SITES,
    SimulatedStudy,
    SimulationSettings,
)

Array = NDArray[np.float64]

SETTINGS = SimulationSettings(
    seed=20, n_families=105, n_unrelated=90, n_variants=2_400, traits=(HEIGHT,)
)
"""More than 512 analysed samples: from there on factors are float32 first."""

TESTED = ("1", "21", "X")
"""Chromosomes that are tested: a large and a small one, and one without LOCO."""

_MIN_COUNT = 5.0  # of the minor allele, `assoc`'s own default
_MAX_MISSING = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What must be found on one chromosome."""

    marker_ids: tuple[str, ...]  # tested, in order
    genotypes: Array  # (m, n) of them, NaN where missing
    af: Array  # (m,)
    n_observed: NDArray[np.int64]  # (m,)


class OracleStudy:
    """The study in plain arrays."""

    def __init__(self, study: SimulatedStudy) -> None:
        self._study = study
        calls = study.calls.astype(np.float64)
        self._all_calls = np.where(study.calls == MISSING, np.nan, calls)  # (m, N)
        self._chrom = np.array([CHROMOSOMES[k] for k in study.variants.chrom])
        trait = study.traits[0]
        listed = np.zeros(len(study.people), dtype=np.bool_)
        listed[study.pheno_order] = True
        gaps = [person for person, _ in study.covariate_gaps]
        complete = listed & trait.observed
        complete[gaps] = False
        self.rows = np.flatnonzero(complete[: study.n_genotyped])
        self.y = np.array(trait.values[self.rows])
        self.X = self._design()  # (n, c)
        self._sums: dict[str, tuple[Array, int]] = {}
        self._kernels: dict[str | None, Array] = {}
        self._fits: dict[tuple[str | None, bool], dense_oracle.Fit] = {}

    @property
    def n_samples(self) -> int:
        """Analysed."""
        return int(self.rows.size)

    def _design(self) -> Array:
        """Intercept, age, sex and the sites but the first."""
        people = self._study.people
        site = people.site[self.rows]
        columns = [np.ones(self.n_samples), people.age[self.rows], people.sex[self.rows] == MALE]
        columns += [site == k for k in range(1, len(SITES))]
        return np.column_stack(columns).astype(np.float64)

    def gram(self, left_out: str | None = None, only: str | None = None) -> tuple[Array, int]:
        """Return the matrix of all autosomes, but one or of one alone, and its variants."""
        names = dict.fromkeys(self._chrom[self._chrom != "X"].tolist())
        used = [name for name in names if name != left_out and only in (None, name)]
        parts = [self._sum(name) for name in used]
        n_variants = sum(count for _, count in parts)
        return np.asarray(sum(total for total, _ in parts)) / n_variants, n_variants

    def _sum(self, chromosome: str) -> tuple[Array, int]:
        if chromosome not in self._sums:
            Z = dense_oracle.standardised(self._all_calls[self._chrom == chromosome])
            self._sums[chromosome] = dense_oracle.products(Z), len(Z)
        return self._sums[chromosome]

    def kernel(self, left_out: str | None) -> Array:
        """Return K (n, n) of all autosomes but one, never by subtraction, centred and scaled."""
        if left_out not in self._kernels:
            K = self.gram(left_out)[0][np.ix_(self.rows, self.rows)]
            self._kernels[left_out] = dense_oracle.centred(K)[0]
        return self._kernels[left_out]

    def fit(self, left_out: str | None, *, restricted: bool) -> dense_oracle.Fit:
        """Return the null model's best h2."""
        key = left_out, restricted
        if key not in self._fits:
            K = self.kernel(left_out)
            self._fits[key] = dense_oracle.best_fit(K, self.y, self.X, restricted=restricted)
        return self._fits[key]

    def loglik(self, left_out: str | None, h2: float) -> float:
        """Return the restricted log-likelihood."""
        return dense_oracle.log_likelihood(
            h2, self.kernel(left_out), self.y, self.X, restricted=True
        )

    def expected(self, chromosome: str) -> Expected:
        """Return the variants of a chromosome that must be tested."""
        rows = np.flatnonzero(self._chrom == chromosome)
        kept, af, n_observed = [], [], []
        weight = np.full(self.n_samples, 2.0)
        if chromosome == "X":
            weight[self._study.people.sex[self.rows] == MALE] = 1.0
        for j in rows.tolist():
            x = self._all_calls[j, self.rows]
            seen = ~np.isnan(x)
            copies = float((x[seen] / 2.0 * weight[seen]).sum())
            total = float(weight[seen].sum())
            missing = 1.0 - seen.sum() / x.size
            if min(copies, total - copies) < _MIN_COUNT or missing > _MAX_MISSING:
                continue
            kept.append(j)
            af.append(copies / total)
            n_observed.append(int(seen.sum()))
        return Expected(
            tuple(self._study.variants.marker_id[j] for j in kept),
            self._all_calls[np.ix_(kept, self.rows.tolist())],
            np.array(af),
            np.array(n_observed),
        )
