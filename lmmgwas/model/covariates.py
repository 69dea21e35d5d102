"""The covariate design: intercept, numeric and categorical columns, and what is dependent.

Columns are centred and scaled before the rank is judged, so that a year and its square, or
a covariate of size 1e12, work. The model needs only the span of the design, hence the
orthonormal basis that is returned.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from lmmgwas.errors import DegenerateError

Array = NDArray[np.float64]

RANK_TOLERANCE = 1e-9
"""On columns of unit norm: a column nearer than this to the span of the others is dependent."""

MAX_LEVELS = 50

INTERCEPT = "intercept"


@dataclass(frozen=True, slots=True, eq=False)
class NumericCovariate:
    """A numeric column over the analysed samples."""

    name: str
    values: Array  # (n,)


@dataclass(frozen=True, slots=True, eq=False)
class CategoricalCovariate:
    """A column of labels over the analysed samples."""

    name: str
    values: tuple[str, ...]  # (n,)
    place: str = ""  # in its file, for messages


@dataclass(frozen=True, slots=True)
class DroppedColumn:
    """A column that the others already span, and how."""

    name: str
    combination: str


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """The covariates of one trait's analysis."""

    basis: Array  # (n, c) orthonormal, spans the intercept and the kept columns
    names: tuple[str, ...]  # (c,) the kept columns, the intercept first
    dropped: tuple[DroppedColumn, ...]
    singletons: tuple[str, ...]  # levels with one sample, which is then fitted exactly


def build_design(
    covariates: tuple[NumericCovariate | CategoricalCovariate, ...], n_samples: int
) -> Design:
    """Return the design of intercept and covariates, dependent columns dropped and named.

    Dependence is found by a QR decomposition with column pivoting (Golub and Van Loan,
    section 5.4.2). Raises DegenerateError when no degree of freedom is left or a categorical
    column has too many levels. Cost O(n c^2).
    """
    names: list[str] = []
    columns: list[Array] = []
    dropped: list[DroppedColumn] = []
    singletons: list[str] = []
    for covariate in covariates:
        if isinstance(covariate, NumericCovariate):
            names.append(covariate.name)
            columns.append(covariate.values)
        else:
            levels = _levels(covariate, n_samples)
            if len(levels) == 1:
                dropped.append(DroppedColumn(covariate.name, INTERCEPT))
                continue
            labels = np.array(covariate.values, dtype=object)
            counts = {level: int((labels == level).sum()) for level in levels}
            singletons += [f"{covariate.name}={level}" for level in levels if counts[level] == 1]
            names += [f"{covariate.name}={level}" for level in levels[1:]]
            columns += [(labels == level).astype(np.float64) for level in levels[1:]]
    matrix = np.column_stack(columns) if columns else np.empty((n_samples, 0))
    basis, kept, dependent = _independent(matrix, names)
    if basis.shape[1] >= n_samples - 1:
        raise DegenerateError(
            "E504",
            f"{n_samples} samples and {basis.shape[1]} covariate columns (with the intercept) "
            f"leave {n_samples - basis.shape[1] - 1} degrees of freedom for a variant's test: "
            "use fewer covariates or more samples",
        )
    return Design(basis, (INTERCEPT, *kept), (*dropped, *dependent), tuple(singletons))


def _levels(covariate: CategoricalCovariate, n_samples: int) -> list[str]:
    """The levels in sorted order; the first is the reference."""
    levels = sorted(set(covariate.values))
    most = max(2, min(MAX_LEVELS, n_samples // 10))
    if len(levels) > most:
        raise DegenerateError(
            "E505",
            f"categorical covariate '{covariate.name}' has {len(levels)} levels over {n_samples} "
            f"analysed samples, at most {most} are allowed: is it an identifier? merge rare "
            "levels or leave the column out with --covar-name",
            covariate.place,
        )
    return levels


def _independent(
    matrix: Array, names: list[str]
) -> tuple[Array, list[str], tuple[DroppedColumn, ...]]:
    """Orthonormal basis of intercept and columns, names kept in order, and what was dropped."""
    n = matrix.shape[0]
    ones = np.full((n, 1), 1.0 / np.sqrt(n))
    if matrix.shape[1] == 0:
        return ones, [], ()
    # Powers of two change no digit, and no sum or square of what is left can overflow.
    matrix = np.ldexp(matrix, -np.frexp(np.abs(matrix).max(axis=0))[1])
    centred = matrix - matrix.mean(axis=0)
    centred -= centred.mean(axis=0)  # once more, for columns far from zero
    norm = np.linalg.norm(centred, axis=0)
    # Of a column near 1 in size only rounding is left: it is constant as far as can be told.
    constant = np.abs(centred).max(axis=0) <= 4.0 * np.finfo(float).eps
    # A constant column is the intercept again; as zeros it is pivoted to the end.
    scaled = np.where(constant, 0.0, centred / np.where(constant, 1.0, norm))
    Q, R, pivot = linalg.qr(scaled, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(R)) > RANK_TOLERANCE).sum())
    dropped = _name_dropped(R, pivot, rank, names)
    kept = [names[k] for k in sorted(pivot[:rank])]
    # Nearly dependent columns bring rounding of the others' size: orthogonalise once more.
    inside = Q[:, :rank] - ones @ (ones.T @ Q[:, :rank])
    again, _ = linalg.qr(inside, mode="economic")
    return np.column_stack([ones, again]), kept, dropped


def _name_dropped(
    R: Array, pivot: NDArray[np.intp], rank: int, names: list[str]
) -> tuple[DroppedColumn, ...]:
    """Each dependent column with the columns that it is a combination of."""
    if rank == len(names):
        return ()
    weights = linalg.solve_triangular(R[:rank, :rank], R[:rank, rank:]) if rank else R[:0, rank:]
    dropped = []
    for k, column in enumerate(pivot[rank:]):
        used = [names[pivot[i]] for i in range(rank) if abs(weights[i, k]) > 1e-6]
        dropped.append(DroppedColumn(names[column], " + ".join(sorted(used)) or INTERCEPT))
    return tuple(sorted(dropped, key=lambda d: d.name))
