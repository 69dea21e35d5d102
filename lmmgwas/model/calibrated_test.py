"""The test of a calibrated scan: n numbers a variant instead of n^2.

For a variant x, with P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 and V = h2 K + (1 - h2) I,

    beta = x'Py / x'Px,   RSS = y'Py - beta x'Py,   se, t and p as in `variant_tests`.

x'Py is exact: P y is one vector. With x_res = x - X X'x, U the k leading eigenvectors of K,
d = h2 S + 1 - h2, and x_left = x_res - U U'x_res,

    x'Px = x_res'V^-1 x_res - a' (X'V^-1 X)^-1 a,              a = X'V^-1 x_res,
    x_res'V^-1 x_res ~= sum_k (u'x_res)^2 / d_k + gamma x_left'Q x_left.

a, and so the covariates' part, is exact. Q is the inverse of what U leaves of V within each
family, 1/v for everyone else; gamma is one constant, fitted on random variants. gamma alone is
GRAMMAR-Gamma (Svishcheva et al. 2012), as in BOLT-LMM (Loh et al. 2015); a matrix that is
sparse because most people are unrelated is fastGWA's (Jiang et al. 2019). Everything comes from
one product of a tile with a thin matrix, O(n (c + k)) a variant, and the pairs of relatives.

Tiles are float32 (T, n), sums over variants float64.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from lmmgwas.model.background import (
    Families,
    Leading,
    deflated_diagonal,
    family_blocks,
)
from lmmgwas.model.variant_tests import Products, ScanResult, wald
from lmmgwas.model.whitening import WhitenedTrait
from lmmgwas.numerics.jit import kernel

Array = NDArray[np.float64]
Tile = NDArray[Any]

MIN_SHARE = 0.05
"""Of x'x beyond covariates and eigenvectors: with less, float32 sums lose 4 of their 7 digits in
the difference, and gamma is asked about a variant unlike those that it was fitted on."""

_COLUMN_STEP = 16
"""Columns of the thin matrix are filled up to a multiple: 16 take two thirds of the time of 14."""


@dataclass(frozen=True, slots=True, eq=False)
class NullVectors:
    """A fitted trait in the samples' own coordinates."""

    X: Array  # (n, c) orthonormal, the intercept within
    Py: Array  # (n,)
    VX: Array  # (n, c) V^-1 X
    h2: float
    whitened: WhitenedTrait  # for y'Py, the degrees of freedom and the unit


@kernel
def _family_sums(
    tile: NDArray[np.float32],
    people: NDArray[np.int64],
    first: NDArray[np.int64],
    partner: NDArray[np.int64],
    weight: NDArray[np.float32],
    out: Array,
) -> None:
    """Write x'E x of each row of a tile (T, n) to out (T,); E as in `FamilyForm`.

    Sixteen rows at a time, transposed, so that each step is one instruction for all of them.
    """
    x = np.zeros((people.size, 16), dtype=np.float32)
    inner = np.empty(16, dtype=np.float32)
    total = np.empty(16)
    for start in range(0, tile.shape[0], 16):
        n_rows = min(16, tile.shape[0] - start)
        for t in range(n_rows):
            for a in range(people.size):
                x[a, t] = tile[start + t, people[a]]
        total[:] = 0.0
        for a in range(people.size):
            inner[:] = 0.0
            for e in range(first[a], first[a + 1]):
                w, b = weight[e], partner[e]
                for t in range(16):
                    inner[t] += w * x[b, t]
            for t in range(16):
                total[t] += inner[t] * x[a, t]
        for t in range(n_rows):
            out[start + t] = total[t]


@dataclass(frozen=True, slots=True, eq=False)
class FamilyForm:
    """x'Q x = x'x/v + x'E x, E zero but within families. E's lower triangle is kept, by rows.

    Elements off the diagonal are doubled. There are e of them, over r people.
    """

    v: float  # the variance of everyone else, at unit sigma2
    E: sparse.csr_array  # (n, n), both triangles, not doubled
    people: NDArray[np.int64]  # (r,) samples
    first: NDArray[np.int64]  # (r + 1,) where the elements of each of them begin
    partner: NDArray[np.int64]  # (e,) place among `people`
    weight: NDArray[np.float32]  # (e,)

    def sums(self, tile: NDArray[np.float32], sum_of_squares: Array) -> Array:
        """Return x'Q x (T,) of the rows of a tile (T, n), given their x'x."""
        out = np.zeros(tile.shape[0])
        if self.people.size:
            _family_sums(tile, self.people, self.first, self.partner, self.weight, out)
        return out + sum_of_squares / self.v

    def times(self, columns: Array) -> Array:
        """Return Q W (n, k) of a few columns W."""
        return np.asarray(columns / self.v + self.E @ columns)


def family_form(K: Array, h2: float, leading: Leading, families: Families) -> FamilyForm:
    """Return Q for K (n, n), its leading eigenvectors taken out."""
    n = K.shape[0]
    loner = np.ones(n, dtype=np.bool_)
    for members in families.members:
        loner[members] = False
    diagonal = deflated_diagonal(K, leading)
    v = h2 * float(diagonal[loner].mean() if loner.any() else diagonal.mean()) + 1.0 - h2
    rows, columns, values = [], [], []
    blocks = family_blocks(K, leading, families)
    for members, block in zip(families.members, blocks, strict=True):
        size = members.shape[1]
        inverse = np.linalg.inv(h2 * block + (1.0 - h2) * np.eye(size)) - np.eye(size) / v
        rows.append(np.broadcast_to(members[:, :, None], block.shape).ravel())
        columns.append(np.broadcast_to(members[:, None, :], block.shape).ravel())
        values.append(inverse.ravel())
    if not rows:
        empty = np.empty(0, dtype=np.int64)
        return FamilyForm(v, sparse.csr_array((n, n)), empty, empty, empty, np.empty(0, np.float32))
    place = (np.concatenate(rows), np.concatenate(columns))
    E = sparse.csr_array((np.concatenate(values), place), shape=(n, n))
    return _form(v, E, np.flatnonzero(~loner))


def _form(v: float, E: sparse.csr_array, people: NDArray[np.int64]) -> FamilyForm:
    """The lower triangle of E among those who have relatives, doubled off the diagonal."""
    own = E[people][:, people]
    lower = sparse.csr_array(2.0 * sparse.tril(own) - sparse.diags_array(own.diagonal()))
    lower.sort_indices()
    first, partner = lower.indptr.astype(np.int64), lower.indices.astype(np.int64)
    return FamilyForm(v, E, people, first, partner, lower.data.astype(np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What x'Px is made of, for each row of a tile. All are (T,)."""

    numerator: Array  # x'Py
    head: Array  # sum over the leading eigenvectors
    left: Array  # x_left'Q x_left, which gamma multiplies
    covariates: Array  # a'(X'V^-1 X)^-1 a
    share: Array  # of x'x: what neither covariates nor eigenvectors explain


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedTest:
    """A trait's test for raw tiles: centred, missing calls at 0, covariates still in."""

    columns: NDArray[np.float32]  # (n, q) P y, X, V^-1 X, U, E [X, U] where E is not 0; then zeros
    weights: Array  # (k,) 1/d
    UX: Array  # (k, c) U'X
    XVX: Array  # (c, c) X'V^-1 X
    XVX_inverse: Array  # (c, c)
    WQW: Array  # (c + k, c + k) W'Q W, W = [X, U]
    form: FamilyForm
    gamma: float
    whitened: WhitenedTrait

    @property
    def n_eigenvectors(self) -> int:
        """How many leading eigenvectors are taken exactly."""
        return self.weights.size

    def parts(self, tile: NDArray[np.float32], sum_of_squares: Array) -> Parts:
        """Return the sums of each row of a tile (T, n), given x'x (T,) in float64."""
        c, k = self.XVX.shape[0], self.weights.size
        dots = np.asarray(tile @ self.columns, dtype=np.float64)
        ends = np.cumsum([1, c, c, k, c + k])
        numerator, p, vx, u, within, _ = np.split(dots, ends, axis=1)
        lead = u - p @ self.UX.T
        z = np.hstack([p, lead])  # x_left = x - W z
        crossed = np.hstack([p, u]) / self.form.v  # W'Q x
        if self.form.people.size:
            crossed += within
        whole = self.form.sums(tile, sum_of_squares)
        left = whole + np.einsum("ij,ij->i", z @ self.WQW - 2.0 * crossed, z)
        a = vx - p @ self.XVX
        beyond = sum_of_squares - np.einsum("ij,ij->i", z, z)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = beyond / sum_of_squares
        return Parts(
            numerator[:, 0],
            (lead * lead) @ self.weights,
            left,
            np.einsum("ij,ij->i", a @ self.XVX_inverse, a),
            share,
        )

    def test(self, tile: NDArray[np.float32], sum_of_squares: Array) -> ScanResult:
        """Return the test of each row of a tile (T, n), given x'x (T,) in float64.

        NaN where no promise can be made: what is left of x beside covariates and eigenvectors
        is less than MIN_SHARE of it.
        """
        parts = self.parts(tile, sum_of_squares)
        gg = parts.head + self.gamma * parts.left - parts.covariates
        gg = np.where((parts.share >= MIN_SHARE) & (gg > 0.0), gg, np.nan)
        beta = parts.numerator / gg
        products = Products(parts.numerator, gg, beta, beta * parts.numerator)
        return wald(products, self.whitened)


def _thin_matrix(parts: list[Array]) -> NDArray[np.float32]:
    """Put columns side by side, and columns of zeros after them."""
    together = np.hstack(parts)
    n, q = together.shape
    thin = np.zeros((n, -(-q // _COLUMN_STEP) * _COLUMN_STEP), dtype=np.float32)
    thin[:, :q] = together
    return thin


def uncalibrated_test(
    K: Array, null: NullVectors, leading: Leading, families: Families
) -> CalibratedTest:
    """Return the test with gamma = 1, from K (n, n) and as many eigenvectors as are given."""
    form = family_form(K, null.h2, leading, families)
    W = np.hstack([null.X, leading.U])
    XVX = null.X.T @ null.VX
    XVX = 0.5 * (XVX + XVX.T)
    columns = [null.Py[:, None], null.X, null.VX, leading.U]
    if form.people.size:
        columns.append(form.E @ W)
    return CalibratedTest(
        columns=_thin_matrix(columns),
        weights=1.0 / (null.h2 * leading.S + 1.0 - null.h2),
        UX=leading.U.T @ null.X,
        XVX=XVX,
        XVX_inverse=linalg.inv(XVX, check_finite=False),
        WQW=W.T @ form.times(W),
        form=form,
        gamma=1.0,
        whitened=null.whitened,
    )
