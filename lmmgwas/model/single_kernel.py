"""K of many samples in float32, for half the memory.

K = M A M / s as `grm.centre_and_scale` has it: A a GRM without one group, M = I - 11'/n,
s = tr(M A M)/n. All of it is computed in float64, a few rows at a time, and rounded once, when a
value is written: no n x n matrix of float64 is ever there. The triangles are read twice, for the
means of the rows and for the values.

What that does, measured at n = 1,500 and 3,000 with h2 from 0 to 0.95 against K and tests in
float64: h2 off by 2e-8, the log-likelihood by 5e-6, -log10 p by 4e-6, which is what float32 tiles
do anyway. The files that K is made of are float32 themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import DegenerateError, MismatchError
from lmmgwas.model.grm import Grm, PackedPart
from lmmgwas.model.grm_sum import Packed
from lmmgwas.numerics.kernels import mirror_lower
from lmmgwas.numerics.linalg import EVD_MAX_N, NotPositiveDefiniteError
from lmmgwas.numerics.panels import add_counted_rows, add_packed_rows, centre_rows
from lmmgwas.numerics.parallel import over_triangle, triangle_chunks

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Indices = NDArray[np.int64]
Kernel = NDArray[Any]  # K (n, n) in float64 or float32

LARGE_SAMPLES = 16_384
"""Beyond it K is kept in float32 where the tests are in float32: a function of n alone, so that
a study has the same bytes whatever the machine."""

_PANEL = 64
"""Rows in float64 at a time, on each thread: 15 MB at n = 30,000."""


def is_large(n_samples: int) -> bool:
    """Return whether so many samples have K in float32."""
    return n_samples > LARGE_SAMPLES


def refuse_decomposition(K: Kernel, error: NotPositiveDefiniteError) -> None:
    """Raise DegenerateError (E721) where V has no factor and K is too large for eigenvectors.

    They would take hours, and memory that nobody reckoned with.
    """
    n = K.shape[0]
    if K.dtype == np.float64 and n <= EVD_MAX_N:
        return
    remedy = "--h2 X fixes it lower"
    if n <= EVD_MAX_N:
        remedy += ", and --whitener spectral goes by eigenvectors, which takes hours"
    raise DegenerateError(
        "E721",
        f"the covariance of the {n:,} samples at the best h2, which is next to 1, has no Cholesky "
        f"factor ({error}), and no test can be made of it: are samples in the GRM twice, or has it "
        f"fewer variants than samples? {remedy}",
    ) from error


def single_matrix(
    grm: Grm, group: str | None, rows: Indices, threads: int = 1
) -> tuple[Single, float]:
    """Return K (n, n) without `group`, centred and scaled, both triangles, and its grm_scale.

    rows (n,) are samples of the GRM; `group` None is the whole GRM.

    Raises DegenerateError (E702, E703) for a K that is constant, or not finite.
    """
    source = _Source.of(grm, group, rows)
    n = rows.size
    sums, diagonal = _row_sums(source, n, threads)
    means = sums / n
    mean = float(means.mean())
    scale = float((diagonal - 2.0 * means + mean).sum()) / n
    if not np.isfinite(scale):
        raise DegenerateError("E702", "the GRM holds values that are not finite")
    if scale <= 1e-10 * float(np.abs(means).max()):
        raise DegenerateError(
            "E703",
            f"the GRM has a mean diagonal of {scale:.3g} after centring: the samples do not differ",
        )
    K = np.empty((n, n), dtype=np.float32)

    def write(chunk: tuple[int, int]) -> None:
        for first, panel in source.panels(chunk):
            centre_rows(panel, means, mean, 1.0 / scale, first, K)

    over_triangle(n, threads, write)
    mirror_lower(K)
    return K, scale


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """The parts whose weighted sum is A; signs for weights where pairs have counts of their own."""

    terms: tuple[tuple[PackedPart, float], ...]
    rows: Indices  # empty where they are all samples, in order

    @classmethod
    def of(cls, grm: Grm, group: str | None, rows: Indices) -> "_Source":
        """As `grm.loco_triangle`: of a group with more than half of the variants the others."""
        same = rows.size == len(grm.iid) and bool((rows == np.arange(rows.size)).all())
        picked = rows[:0] if same else rows
        if group is None:
            return cls(((grm.whole, 1.0),), picked)
        left_out = grm.parts[group]
        if 2 * left_out.n_variants <= grm.whole.n_variants:
            signed = [(grm.whole, 1.0), (left_out, -1.0)]
        else:
            signed = [(part, 1.0) for name, part in grm.parts.items() if name != group]
        if grm.whole.counts is not None:
            return cls(tuple(signed), picked)
        total = sum(sign * part.n_variants for part, sign in signed) or 1.0
        return cls(tuple((part, sign * part.n_variants / total) for part, sign in signed), picked)

    def panels(self, chunk: tuple[int, int]) -> Iterator[tuple[int, Array]]:
        """Yield rows of A's lower triangle: the first of them, and a panel (p, stop)."""
        for first in range(*chunk, _PANEL):
            stop = min(first + _PANEL, chunk[1])
            panel = np.zeros((stop - first, stop))
            counted = np.zeros_like(panel) if self.terms[0][0].counts is not None else None
            for part, weight in self.terms:
                if counted is None:
                    add_packed_rows(part.values, weight, self.rows, first, panel)
                else:
                    counts = _counts(part)
                    add_counted_rows(part.values, counts, weight, self.rows, first, panel, counted)
            if counted is not None:
                np.divide(panel, counted, out=panel, where=counted > 0.0)
            yield first, panel


def _counts(part: PackedPart) -> Packed:
    if part.counts is None:
        raise MismatchError("E805", "a part of the GRM lacks its .grm.N.bin file")
    return part.counts


def _row_sums(source: _Source, n: int, threads: int) -> tuple[Array, Array]:
    """Sums (n,) of the rows of A, and its diagonal (n,); chunks are added in order."""
    sums = {chunk: np.zeros(n) for chunk in triangle_chunks(n)}
    diagonal = np.empty(n)

    def add(chunk: tuple[int, int]) -> None:
        own = sums[chunk]
        for first, panel in source.panels(chunk):
            p, stop = panel.shape
            mine = panel[:, first:stop].diagonal()
            diagonal[first : first + p] = mine
            own[first : first + p] += panel.sum(axis=1) - mine
            own[:stop] += panel.sum(axis=0)

    over_triangle(n, threads, add)
    return np.asarray(sum(sums.values())), diagonal
