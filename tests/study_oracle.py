"""What a whole study must give, in plain numpy: from the raw calls to every cell of the tables.

Nothing is shared with the package. The likelihood is evaluated in the basis of numpy's
eigenvectors, on a fine grid, every hill of it climbed by golden sections. The one thing taken
over from a run is the GRM as it lies on disk, in float32, after it was held against the sums
here: that rounding is documented, and near h2 = 1 it decides digits that can be seen.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from conftest import MALE, Study
from oracles import H2_UPPER, centred_kernel
from random_studies import OTHERS, Draw, Drawn, Options
from scipy import stats

GRID = np.unique(
    np.concatenate(
        [np.linspace(0.0, 0.995, 200), 1.0 - np.logspace(-2.5, -6, 15), [1e-4, 1e-3, H2_UPPER]]
    )
)
"""Where the likelihood is looked at; both ends are among the points."""

_N_HILLS = 2
"""Hills of a variant's likelihood that are climbed: the grid may show the lower as the higher."""

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_MAX_LEVELS = 50
_MIN_SAMPLES = 10
_MIN_LOCO = 10


# --- The GRM ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class GrmTruth:
    """The GRM by its definition: sums over the variants of each autosome."""

    sums: dict[str, np.ndarray]
    counts: dict[str, int]

    @property
    def n_variants(self) -> int:
        """Of all autosomes."""
        return sum(self.counts.values())

    def mean(self, group: str | None) -> np.ndarray:
        """K of one autosome, of all with None; zeros where there is no variant."""
        if group is not None:
            return self.sums[group] / max(self.counts[group], 1)
        return sum(self.sums.values()) / max(self.n_variants, 1)


def grm_truth(drawn: Drawn, options: Options) -> GrmTruth:
    """Sum z z' over the variants that the options let in, over the samples that are kept."""
    study = drawn.study
    labels = sorted({c for c in study.chrom if c not in (*OTHERS, "X")}, key=int)
    n = int(drawn.kept.sum())
    sums = {label: np.zeros((n, n)) for label in labels}
    counts = dict.fromkeys(labels, 0)
    for j, label in enumerate(study.chrom):
        if label not in sums:
            continue
        x = study.dosage(j)[drawn.kept]
        seen = x[~np.isnan(x)]
        if seen.size == 0 or seen.min() == seen.max():
            continue
        p = seen.mean() / 2.0
        if min(p, 1 - p) < options.grm_maf - 1e-12:
            continue
        if 1.0 - seen.size / n > options.grm_geno + 1e-12:
            continue
        divisor = {"standardized": seen.std(), "hwe": np.sqrt(2 * p * (1 - p)), "centered": 1.0}
        z = np.where(np.isnan(x), 0.0, (x - seen.mean()) / divisor[options.grm_model])
        sums[label] += np.outer(z, z)
        counts[label] += 1
    return GrmTruth(sums, counts)


def read_triangle(path: Path, n: int) -> np.ndarray:
    """Return the matrix of a .grm.bin."""
    K = np.zeros((n, n))
    K[np.tril_indices(n)] = np.fromfile(path, dtype="<f4")
    return K + np.tril(K, -1).T


@dataclass(frozen=True)
class GrmOnDisk:
    """The float32 matrices of a run, and the counts of variants."""

    whole: np.ndarray
    parts: dict[str, np.ndarray]
    counts: dict[str, int]

    @classmethod
    def read(cls, prefix: Path, truth: GrmTruth, n: int) -> "GrmOnDisk":
        """Read the set at a prefix."""
        parts = {g: read_triangle(Path(f"{prefix}.chr{g}.grm.bin"), n) for g in truth.counts}
        return cls(read_triangle(Path(f"{prefix}.grm.bin"), n), parts, truth.counts)

    def without(self, group: str | None) -> np.ndarray:
        """K_(-c): a subtraction, or, where c holds more than half, the sum of the others."""
        if group is None:
            return self.whole
        m, m_c = sum(self.counts.values()), self.counts[group]
        if 2 * m_c <= m:
            return (m * self.whole - m_c * self.parts[group]) / (m - m_c)
        others = [g for g in self.parts if g != group]
        return sum(self.counts[g] * self.parts[g] for g in others) / (m - m_c)


# --- Who is analysed --------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """The analysed samples of one trait."""

    rows: np.ndarray  # (n,) of the .fam
    y: np.ndarray  # (n,)
    X: np.ndarray  # (n, c) orthonormal, of full rank
    levels: tuple[int, ...]  # of the categorical covariates

    @property
    def dof(self) -> int:
        """Of a variant's test."""
        return self.y.size - self.X.shape[1] - 1


def analysed(drawn: Drawn, plan: Draw, trait: str) -> Sample:
    """Return the kept samples with a trait value and all covariates, in the order of the .fam."""
    study = drawn.study
    pheno = {row[1]: row[study.pheno.names.index(trait)] for row in study.pheno.rows}
    covar = {row[1]: row[2:] for row in study.covar.rows}
    with_covar = len(study.covar.names) > 2
    rows = []
    for k, iid in enumerate(study.iid):
        value, others = pheno.get(iid, "NA"), covar.get(iid, ["NA"]) if with_covar else []
        if drawn.kept[k] and value != "NA" and "NA" not in others:
            rows.append(k)
    y = np.array([float(pheno[study.iid[k]]) for k in rows])
    if plan.options.rint and y.size:
        y = stats.norm.ppf((stats.rankdata(y) - 0.375) / (y.size + 0.25))
    columns, levels = [np.ones(len(rows))], []
    for place, name in enumerate(study.covar.names[2:]):
        cells = [covar[study.iid[k]][place] for k in rows]
        if name == "site":
            found = sorted(set(cells))
            levels.append(len(found))
            columns += [np.array([c == one for c in cells], dtype=float) for one in found[1:]]
        else:
            columns.append(np.array([float(c) for c in cells]))
    return Sample(np.array(rows, dtype=int), y, _basis(columns), tuple(levels))


def _basis(columns: list[np.ndarray]) -> np.ndarray:
    """Orthonormal basis of the columns, the first of which is the intercept."""
    n = columns[0].size
    if n == 0:
        return np.empty((0, 1))
    others = [c - c.mean() for c in columns[1:]]
    unit = [c / np.linalg.norm(c) for c in others if np.abs(c).max() > 1e-12]
    A = np.column_stack([np.full(n, n**-0.5), *unit])
    left, size, _ = np.linalg.svd(A, full_matrices=False)
    return left[:, size > 1e-8]


# --- Variants ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What the calls of the analysed samples say of each variant of the file."""

    af: np.ndarray  # (m,)
    n: np.ndarray  # (m,) observed calls
    reason: list[str]  # "" where the variant is tested
    G: np.ndarray  # (m, n) complete, missing calls at the mean


def variant_facts(study: Study, sample: Sample, options: Options) -> Facts:
    """Count, and apply the filters in their order."""
    male = np.array(study.sex)[sample.rows] == MALE
    m, n = len(study.chrom), sample.rows.size
    af, observed, G = np.zeros(m), np.zeros(m, dtype=int), np.zeros((m, n))
    reasons = []
    for j, label in enumerate(study.chrom):
        x = study.dosage(j)[sample.rows]
        haploid = male if label == "X" else np.zeros(n, dtype=bool)
        x = np.where(haploid & (x == 1), np.nan, x)
        seen = ~np.isnan(x)
        copies = np.where(haploid, x / 2.0, x)[seen].sum()
        chromosomes = int(np.where(haploid, 1, 2)[seen].sum())
        af[j] = copies / max(chromosomes, 1)
        observed[j] = seen.sum()
        mac = min(copies, chromosomes - copies)
        if seen.any():
            G[j] = np.where(seen, x, x[seen].mean())
        same = study.effect[j] == study.other[j]
        reasons.append(_reason(label, same, x[seen], mac, af[j], G[j], sample, options))
    return Facts(af, observed, reasons, G)


def _reason(
    label: str,
    same: bool,
    seen: np.ndarray,
    mac: float,
    af: float,
    x: np.ndarray,
    sample: Sample,
    options: Options,
) -> str:
    if label in OTHERS:
        return "UNPLACED" if label == "0" else "NON_AUTOSOME"
    if same:
        return "SAME_ALLELES"
    if seen.size == 0:
        return "ALL_MISSING"
    if 1.0 - seen.size / x.size > options.geno + 1e-12:
        return "HIGH_MISSING"
    if seen.min() == seen.max():
        return "MONOMORPHIC"
    if min(af, 1 - af) < options.maf - 1e-12:
        return "LOW_MAF"
    if mac < options.mac - 1e-12:
        return "LOW_MAC"
    centred = x - x.mean()
    left = centred - sample.X @ (sample.X.T @ centred)
    left = left - sample.X @ (sample.X.T @ left)
    return "COLLINEAR" if left @ left <= 1e-8 * (centred @ centred) else ""


# --- The model --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effects:
    """beta, se and -log10 p of variants; (b,) each."""

    beta: np.ndarray
    se: np.ndarray
    neg_log10_p: np.ndarray

    def change(self, other: "Effects") -> "Effects":
        """By how much another one differs, in each cell."""
        names = ("beta", "se", "neg_log10_p")
        return Effects(*(np.abs(getattr(self, k) - getattr(other, k)) for k in names))


def p_of_t(t: np.ndarray, dof: int) -> np.ndarray:
    """-log10 of the two-sided p of Student's t."""
    return -(np.log(2.0) + stats.t.logsf(np.abs(t), dof)) / np.log(10.0)


def p_of_chi2(chi2: np.ndarray) -> np.ndarray:
    """-log10 p of chi-square(1)."""
    return -(np.log(2.0) + stats.norm.logsf(np.sqrt(chi2))) / np.log(10.0)


@dataclass(frozen=True)
class Mixed:
    """One trait under one GRM, in the basis of its eigenvectors. K None: ordinary regression."""

    sample: Sample
    K: np.ndarray | None
    clip: bool  # negative eigenvalues to 0, as the spectral whitener has it
    scale: float = field(init=False, default=np.nan)
    S: np.ndarray = field(init=False)
    U: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        n = self.sample.y.size
        S, U = np.ones(n), np.eye(n)
        if self.K is not None:
            K, scale = centred_kernel(self.K)
            S, U = np.linalg.eigh((K + K.T) / 2.0)
            object.__setattr__(self, "scale", scale)
            if self.clip:
                S = np.maximum(S, 0.0)
        object.__setattr__(self, "S", S)
        object.__setattr__(self, "U", U)

    @cached_property
    def y(self) -> np.ndarray:
        """U'y, the mean gone, which X spans."""
        return self.U.T @ (self.sample.y - self.sample.y.mean())

    @cached_property
    def X(self) -> np.ndarray:
        """U'X."""
        return self.U.T @ self.sample.X

    def loglik(self, h2: np.ndarray, x: np.ndarray | None = None, *, reml: bool) -> np.ndarray:
        """Return the log-likelihood at each h2; sigma2 and the effects at their best.

        With x (b, n), rotated, the model has one more column, another one in each row: then h2
        and the result are (b, g), otherwise (g,). No constant is dropped; |A'A| is that of X
        orthonormal, times what x adds.
        """
        return self._profile(h2, x, reml=reml)[0]

    def _profile(
        self, h2: np.ndarray, x: np.ndarray | None, *, reml: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The log-likelihood, the last effect, and its standard error."""
        n = self.y.size
        D = h2[..., None] * self.S + (1.0 - h2[..., None])
        valid = (D > 0.0).all(axis=-1)
        D = np.where(valid[..., None], D, 1.0)
        A = self.X if x is None else _with_column(self.X, x)  # (n, k) or (b, 1, n, k)
        At = np.swapaxes(A, -1, -2) / D[..., None, :]
        information = At @ A
        right = At @ self.y
        b = np.linalg.solve(information, right[..., None])[..., 0]
        left = self.y - (A @ b[..., None])[..., 0]
        rss = (left * left / D).sum(axis=-1)
        k = A.shape[-1]
        dof = n - k if reml else n
        value = dof * (np.log(2.0 * np.pi * rss / dof) + 1.0) + np.log(D).sum(axis=-1)
        if reml:
            value = value + np.linalg.slogdet(information)[1]
            value = value - np.linalg.slogdet(np.swapaxes(A, -1, -2) @ A)[1]
        last = np.linalg.inv(information)[..., -1, -1]
        se = np.sqrt(rss / (n - k) * last)
        return np.where(valid, -0.5 * value, -np.inf), b[..., -1], se

    def hills(self, *, reml: bool) -> list[tuple[float, float]]:
        """Return (h2, log-likelihood) of every hill, the highest first."""
        values = self.loglik(GRID, reml=reml)
        padded = np.concatenate([[-np.inf], values, [-np.inf]])
        tops = np.flatnonzero((padded[1:-1] >= padded[:-2]) & (padded[1:-1] >= padded[2:]))
        low, high = GRID[np.maximum(tops - 1, 0)], GRID[np.minimum(tops + 1, GRID.size - 1)]
        at, value = _golden(lambda h2: self.loglik(h2, reml=reml), low, high)
        at = _polish(lambda h2: self.loglik(h2, reml=reml), at)
        ends = values[tops] >= value
        at, value = np.where(ends, GRID[tops], at), np.maximum(value, values[tops])
        order = np.argsort(-value)
        return [(float(at[k]), float(value[k])) for k in order]

    def wald(self, h2: float, G: np.ndarray) -> Effects:
        """Return Wald's t test of variants (b, n) at this h2."""
        gg, gr, rr = self._products(h2, G)
        beta = gr / gg
        se = np.sqrt((rr - beta * gr) / self.sample.dof / gg)
        return Effects(beta, se, p_of_t(beta / se, self.sample.dof))

    def p_null(self, test: str, h2: float, G: np.ndarray) -> np.ndarray:
        """Return -log10 p of the likelihood ratio or the score at the null model's ML h2."""
        n = self.y.size
        gg, gr, rr = self._products(h2, G)
        if test == "lrt":
            return p_of_chi2(-n * np.log1p(-(gr**2) / gg / rr))
        return p_of_t(np.sqrt(n * gr**2 / gg / rr), self.sample.dof)

    def _products(self, h2: float, G: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        w = (h2 * self.S + 1.0 - h2) ** -0.5
        centred = G - G.mean(axis=1, keepdims=True)
        x = w[:, None] * (self.U.T @ centred.T)
        Q, _ = np.linalg.qr(w[:, None] * self.X)
        x = x - Q @ (Q.T @ x)
        y = w * self.y
        r = y - Q @ (Q.T @ y)
        return (x * x).sum(axis=0), x.T @ r, float(r @ r)

    def refit(self, G: np.ndarray, *, reml: bool) -> tuple[np.ndarray, np.ndarray, Effects]:
        """Fit each variant (b, n) anew: return h2, log-likelihood and Wald's test there."""
        x = (G - G.mean(axis=1, keepdims=True)) @ self.U
        values = self.loglik(np.broadcast_to(GRID, (len(x), GRID.size)), x, reml=reml)
        beyond = np.full((len(x), 1), -np.inf)
        left, right = np.hstack([beyond, values[:, :-1]]), np.hstack([values[:, 1:], beyond])
        hills = np.where((values >= left) & (values >= right), values, -np.inf)
        at, value = GRID[values.argmax(axis=1)], values.max(axis=1)

        def loglik(h2: np.ndarray) -> np.ndarray:
            return self.loglik(h2[:, None], x, reml=reml)[:, 0]

        for top in np.argsort(-hills, axis=1)[:, :_N_HILLS].T:
            low, high = GRID[np.maximum(top - 1, 0)], GRID[np.minimum(top + 1, GRID.size - 1)]
            climbed = _polish(loglik, _golden(loglik, low, high)[0])
            reached = loglik(climbed)
            at, value = np.where(reached > value, climbed, at), np.maximum(reached, value)
        return at, value, self.wald_each(at, x)

    def wald_each(self, h2: np.ndarray, x: np.ndarray) -> Effects:
        """Return Wald's test of each rotated variant (b, n) at an h2 of its own (b,)."""
        _, beta, se = self._profile(h2[:, None], x, reml=True)
        return Effects(beta[:, 0], se[:, 0], p_of_t(beta[:, 0] / se[:, 0], self.sample.dof))


def _with_column(X: np.ndarray, x: np.ndarray) -> np.ndarray:
    """X and each row of x as its last column (b, 1, n, c + 1)."""
    b, n = x.shape
    A = np.empty((b, 1, n, X.shape[1] + 1))
    A[..., :-1] = X
    A[:, 0, :, -1] = x
    return A


_FIRST = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
_SECOND = {1: 8 / 5, 2: -1 / 5, 3: 8 / 315, 4: -1 / 560}


def _polish(function, at: np.ndarray) -> np.ndarray:
    """Newton steps on differences of eighth order, element by element, away from the ends.

    Golden sections know a flat top to the square root of the rounding only, 1e-7 or so.
    """
    room = np.minimum(at, H2_UPPER - at)
    step = np.clip(room / 50.0, 1e-9, 2e-3)
    for _ in range(2):
        with np.errstate(divide="ignore", invalid="ignore"):
            up = {k: function(np.clip(at + k * step, 0.0, H2_UPPER)) for k in _FIRST}
            down = {k: function(np.clip(at - k * step, 0.0, H2_UPPER)) for k in _FIRST}
            middle = function(at)
            slope = sum(w * (up[k] - down[k]) for k, w in _FIRST.items()) / step
            bend = sum(w * (up[k] - 2.0 * middle + down[k]) for k, w in _SECOND.items())
            change = -slope / bend * step**2
        wide = (room > 1e-6) & (bend < 0.0) & (np.abs(change) < step)
        at = np.where(wide, at + change, at)
    return at


def _golden(function, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maximise by golden sections, element by element; return the place and the value."""
    a, d = low.copy(), high.copy()
    b, c = d - _GOLDEN * (d - a), a + _GOLDEN * (d - a)
    at_b, at_c = function(b), function(c)
    for _ in range(45):
        left = at_b >= at_c
        a, d = np.where(left, a, b), np.where(left, c, d)
        old_b, old_c, old_at_b, old_at_c = b, c, at_b, at_c
        b = np.where(left, d - _GOLDEN * (d - a), old_c)
        c = np.where(left, old_b, a + _GOLDEN * (d - a))
        fresh = function(np.where(left, b, c))
        at_b = np.where(left, fresh, old_at_c)
        at_c = np.where(left, old_at_b, fresh)
    return np.where(at_b >= at_c, b, c), np.maximum(at_b, at_c)


# --- What must be refused ---------------------------------------------------------------------


def refusals(drawn: Drawn, plan: Draw, samples: list[Sample], grm: GrmTruth) -> set[str]:
    """Return the codes with which the run may be refused; none where it must succeed."""
    codes = set()
    for sample in samples:
        n = sample.y.size
        if n < _MIN_SAMPLES:
            codes.add("E307" if n else "E306")
        most = max(2, min(_MAX_LEVELS, n // 10))
        if any(levels > most for levels in sample.levels):
            codes.add("E505")
        if sample.X.shape[1] >= n - 1:
            codes.add("E504")
    if plan.options.h2 == 0.0:
        return codes
    if grm.n_variants == 0:
        codes.add("E216")
    if plan.options.loco and any(grm.n_variants - k < _MIN_LOCO for k in grm.counts.values()):
        codes.add("E802")
    return codes
