"""What a GRM looks like from far away: its leading eigenvectors, and who is closely related.

    K ~= U diag(S) U' + a block for each family + a constant for everyone else

Populations make few large eigenvalues. Families make hundreds of middling ones, which no few
eigenvectors hold: of 600 families of five among 5,000 people of three populations 2 eigenvectors
hold the populations, and 400 do not yet hold the families. But once U is taken out, a family
is a small block of large elements, and blocks are inverted one by one.

Eigenvectors are those of a block subspace iteration with Rayleigh and Ritz (Saad: Numerical
Methods for Large Eigenvalue Problems, 2011, chapter 5): approximate ones, of which nothing but
orthonormality is asked, because what they miss is measured by whoever uses them. Measured at n =
5,000, 2 cores: a product of K with 20 columns takes 30 ms, one with a single column 8 ms, so that
a block is the cheaper way: 10 eigenvectors and the families 0.34 s from nothing and 0.08 s from
those of a similar K; scipy's eigsh, 0.4 s for the eigenvectors at a tolerance of 0.01.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.csgraph import connected_components

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

N_LEADING = 10
"""Eigenvectors looked for at first: families from three populations need two of them."""

_SEED = 20_240_601
_OVERSAMPLING = 8
_COLD_STEPS, _WARM_STEPS = 6, 2

_THRESHOLDS = (0.05, 0.1, 0.2, 0.4)
"""What counts as related, of the mean diagonal: the first that leaves small families. 0.05 is
ten standard deviations of what unrelated people share by chance at 50,000 variants."""

_SPREAD, _LARGE = 0.005, 5.0
"""Eigenvectors are taken out of K before families are looked for where S is above both n times the
one, below which they make no element of a tenth of the threshold, and the other, below which they
may be families themselves."""

_NEAR = 0.1
_LARGEST_FAMILY = 64
_MOST_PAIRS = 8
"""Pairs within families per sample: with two of them a variant takes 4 times its dot products."""

_CHUNK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Leading:
    """k approximate eigenvectors of K, largest first, with S = diag(U'K U)."""

    S: Array  # (k,) Ritz values
    U: Array  # (n, k) orthonormal columns
    KU: Array  # (n, k) K U

    def first(self, k: int) -> "Leading":
        """Return the k largest ones."""
        return Leading(self.S[:k], self.U[:, :k], self.KU[:, :k])


@dataclass(frozen=True, slots=True, eq=False)
class Families:
    """Samples that share a large element of K, directly or through others; of two or more."""

    members: tuple[Indices, ...]  # by size: (families of that size, size) samples, ascending
    threshold: float  # what a large element is; infinite where families would be too large

    @property
    def near(self) -> bool:
        """Whether the families hold all near relatives: half-siblings, and grandparents."""
        return self.threshold <= _NEAR


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Leading eigenvectors and families of one K."""

    leading: Leading
    families: Families


def find_background(K: Array, previous: Background | None = None) -> Background:
    """Return eigenvectors and families of K (n, n), symmetric, centred and scaled.

    Parameters
    ----------
    K : (n, n) both triangles
    previous : those of a similar K, as the whole genome's is for LOCO. Eigenvectors begin
        there, and families are the same: a chromosome makes nobody a relative.
    """
    if previous is None:
        leading = leading_eigenvectors(K, N_LEADING)
        return Background(leading, find_families(K, leading))
    k = previous.leading.S.size
    return Background(leading_eigenvectors(K, k, previous.leading), previous.families)


def leading_eigenvectors(K: Array, n_wanted: int, previous: Leading | None = None) -> Leading:
    """Return approximate leading eigenvectors of K (n, n), at most n_wanted of them.

    The start is seeded, or `previous`, filled up with seeded columns where it has fewer: same K
    and same start, same result.
    """
    n = K.shape[0]
    k = min(n_wanted, n)
    rng = np.random.default_rng(_SEED)
    columns = min(k + _OVERSAMPLING, n)
    n_known = 0 if previous is None else previous.S.size
    basis = rng.standard_normal((n, columns))
    if previous is not None:
        known = previous.U[:, :columns]
        basis[:, : known.shape[1]] = known
    for _ in range(_WARM_STEPS if n_known >= k else _COLD_STEPS):
        basis, _ = linalg.qr(K @ basis, mode="economic", overwrite_a=True, check_finite=False)
    KB = K @ basis
    small = basis.T @ KB
    S, turn = linalg.eigh(0.5 * (small + small.T), check_finite=False)
    turn = turn[:, ::-1][:, :k]
    return Leading(S[::-1][:k].copy(), basis @ turn, KB @ turn)


def find_families(K: Array, leading: Leading) -> Families:
    """Return who is related in K (n, n) beyond those leading eigenvectors that are large.

    The lowest threshold is taken at which families are small; where there is none (mice of
    one stock: everyone is related to all) there are no families.
    """
    n = K.shape[0]
    populations = leading.first(int((max(_SPREAD * n, _LARGE) <= leading.S).sum()))
    for threshold in _THRESHOLDS:
        pairs = _related_pairs(K, populations, threshold, _MOST_PAIRS * n)
        if pairs is None:
            continue
        graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
        _, label = connected_components(graph, directed=False)
        size = np.bincount(label)
        size = size[size > 1]
        if size.max(initial=0) <= _LARGEST_FAMILY and size @ size <= 2 * _MOST_PAIRS * n:
            return Families(_by_size(label), threshold)
    return Families((), float("inf"))


def _related_pairs(K: Array, leading: Leading, threshold: float, most: int) -> Indices | None:
    """Pairs (p, 2) whose element of K - U S U' is above the threshold; None beyond `most`."""
    scaled = leading.U * leading.S
    found, n_found = [], 0
    for start in range(0, K.shape[0], _CHUNK):
        stop = min(start + _CHUNK, K.shape[0])
        left = K[start:stop, :stop] - scaled[start:stop] @ leading.U[:stop].T
        pairs = np.argwhere(left > threshold)
        pairs[:, 0] += start
        pairs = pairs[pairs[:, 1] < pairs[:, 0]]
        found.append(pairs)
        n_found += len(pairs)
        if n_found > most:
            return None
    return np.concatenate(found).astype(np.int64)


def _by_size(label: NDArray[np.int32]) -> tuple[Indices, ...]:
    """Families of equal size in one array each, in the order of their labels."""
    order = np.argsort(label, kind="stable").astype(np.int64)
    size = np.bincount(label)
    first = np.cumsum(size) - size
    sizes = np.unique(size[size > 1])
    return tuple(order[first[size == f][:, None] + np.arange(f)] for f in sizes.tolist())


def family_blocks(K: Array, leading: Leading, families: Families) -> tuple[Array, ...]:
    """Return (I - UU') K (I - UU') within each family, (families of a size, size, size).

    Positive semi-definite also where U is not quite made of eigenvectors.
    """
    U, KU, S = leading.U, leading.KU, leading.S
    blocks = []
    for members in families.members:
        u, ku = U[members], KU[members]
        cross = u @ ku.transpose(0, 2, 1)
        own = K[members[:, :, None], members[:, None, :]]
        blocks.append(own - cross - cross.transpose(0, 2, 1) + (u * S) @ u.transpose(0, 2, 1))
    return tuple(blocks)


def deflated_diagonal(K: Array, leading: Leading) -> Array:
    """Return the diagonal (n,) of (I - UU') K (I - UU')."""
    U, KU = leading.U, leading.KU
    crossed = np.einsum("ik,ik->i", U, 2.0 * KU - U * leading.S)
    return np.asarray(K.diagonal() - crossed)
