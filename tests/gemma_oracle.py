"""Wald's test and variances at any variance ratio: to judge figures where GEMMA differs.

numpy and scipy only; no code is shared with the package. lambda is GEMMA's vg/ve, and K is
the matrix as given: V = lambda K + I. Centring and scaling of K, which the package does,
change nothing here: X holds the intercept, and lambda takes the scale up.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from bed_reader import open_bed
from scipy import optimize, stats


def read_grm(prefix: Path) -> tuple[np.ndarray, list[str]]:
    """Return the square matrix of a GCTA file and the IIDs of its rows."""
    ids = pd.read_csv(f"{prefix}.grm.id", sep=r"\s+", header=None, dtype=str)[1].tolist()
    K = np.zeros((len(ids), len(ids)))
    K[np.tril_indices(len(ids))] = np.fromfile(f"{prefix}.grm.bin", dtype="<f4")
    return K + np.tril(K, -1).T, ids


@dataclass(frozen=True, slots=True, eq=False)
class GemmaModel:
    """What GEMMA was given, of the samples that have everything; K decomposed."""

    S: np.ndarray  # (n,)
    U: np.ndarray  # (n, n)
    y: np.ndarray  # (n,)
    X: np.ndarray  # (n, c) with the intercept
    bfile: Path
    rows: np.ndarray  # (n,) of the .fam

    @classmethod
    def of(
        cls, bfile: Path, grm: Path, y: pd.Series, covariates: pd.DataFrame | None = None
    ) -> "GemmaModel":
        """Trait and covariates are by IID; who lacks one (NaN) is left out."""
        K, ids = read_grm(grm)
        table = y.to_frame() if covariates is None else pd.concat([y, covariates], axis=1)
        table = table.reindex(ids)
        keep = np.flatnonzero(table.notna().all(axis=1))
        S, U = np.linalg.eigh(K[np.ix_(keep, keep)])
        columns = table.to_numpy(dtype=float)[keep]
        X = np.column_stack([np.ones(keep.size), columns[:, 1:]])
        fam = pd.read_csv(f"{bfile}.fam", sep=r"\s+", header=None, dtype=str)[1]
        rows = pd.Index(fam).get_indexer([ids[k] for k in keep])
        return cls(S, U, columns[:, 0], X, bfile, rows)

    def design(self, marker: str) -> np.ndarray:
        """Return X and the variant, missing calls at the mean (n, c + 1)."""
        with open_bed(f"{self.bfile}.bed", count_A1=True, num_threads=1) as bed:
            column = int(np.flatnonzero(bed.sid == marker)[0])
            x = bed.read(np.s_[:, column], dtype="float64")[self.rows, 0]
        return np.column_stack([self.X, np.where(np.isnan(x), np.nanmean(x), x)])

    def _fit(self, ratio: float, A: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return A'V^-1 A, its solution for y, and the sum of squares left."""
        d = 1.0 / (ratio * self.S + 1.0)
        rotated, y = self.U.T @ A, self.U.T @ self.y
        information = rotated.T @ (d[:, None] * rotated)
        b = np.linalg.solve(information, rotated.T @ (d * y))
        left = y - rotated @ b
        return information, b, float(left @ (d * left))

    def wald_p(self, ratio: float, A: np.ndarray) -> float:
        """Return p of F on (1, n-c-1) of the last column at this lambda."""
        information, b, rss = self._fit(ratio, A)
        dof = self.y.size - A.shape[1]
        f = b[-1] ** 2 / (np.linalg.inv(information)[-1, -1] * rss / dof)
        return float(stats.f.sf(f, 1, dof))

    def variances(self, ratio: float) -> tuple[float, float]:
        """Return vg and ve of the null model at this lambda."""
        rss = self._fit(ratio, self.X)[2]
        ve = rss / (self.y.size - self.X.shape[1])
        return ratio * ve, ve

    def reml(self, ratio: float, A: np.ndarray) -> float:
        """Return the restricted log-likelihood less what does not depend on lambda."""
        information, _, rss = self._fit(ratio, A)
        log_v = np.log(ratio * self.S + 1.0).sum()
        dof = self.y.size - A.shape[1]
        return float(-0.5 * (dof * np.log(rss) + log_v + np.linalg.slogdet(information)[1]))

    def best_ratio(self, near: float, A: np.ndarray) -> float:
        """Return the lambda of the highest restricted likelihood within 1 % of another.

        The derivative's root, by central differences: a maximum itself is known to the square
        root of the rounding only.
        """
        step = 1e-4

        def slope(log_ratio: float) -> float:
            ends = (self.reml(np.exp(log_ratio + s), A) for s in (step, -step))
            return next(ends) - next(ends)

        at = np.log(near)
        if not slope(at - 0.01) > 0.0 > slope(at + 0.01):
            raise RuntimeError(f"no maximum of the restricted likelihood within 1 % of {near:g}")
        return float(np.exp(optimize.brentq(slope, at - 0.01, at + 0.01, xtol=1e-12)))
