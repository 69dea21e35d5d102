"""A few tests of the scan, computed again by a way that shares nothing with the scan's.

With B = [X, y, x], V = h2 K + (1 - h2) I, any Z, and R = B - V Z,

    B'V^-1 B = B'Z + Z'B - Z'V Z + R'V^-1 R,     0 <= R'V^-1 R <= R'R / (1 - h2)   (K >= 0).

So a rough Z, from the factor that the scan used, and one product with V in float64, from the
GRM on file, give the sums that a test is made of with a known error, the square of Z's. Nothing
is believed of the factor: where it is wrong the residual shows it, and conjugate gradients,
which do without it, have the last word.

Vectors are rows here: B is (q, n), as X' (c, n), y, and then k variants. All of it is float64,
and X is taken out of y and x, which changes no test.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lmmgwas.errors import NumericalError
from lmmgwas.model.variant_tests import PERFECT_FIT
from lmmgwas.model.whitening import Precision
from lmmgwas.numerics.tails import neg_log10_p_from_chi2, neg_log10_p_from_t

Array = NDArray[np.float64]
Rows = Callable[[Array], Array]
"""(q, n) -> (q, n)."""

ACCURACY = 1e-9
"""Relative error of each sum x'V^-1 x."""

MAX_H2 = 0.9999
"""Beyond this V is so near singular that rounding of K on file decides: nothing is compared."""

_PROGRESS = 0.1
"""What a refinement must leave of the error at most, or it is given up."""

_MAX_STEPS = 1_000
_SMALLEST_P = 1e-290


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """Right-hand sides at one h2, and how V^-1 is had roughly."""

    h2: float
    rows: Array  # (q, n)
    rough: Rows  # about V^-1 b for each row b


def inner_products(times: Rows, systems: Sequence[System]) -> list[Array]:
    """Return B V^-1 B' (q, q) of each system, its diagonal to ACCURACY.

    `times` gives K b for each row b; it is called once for all systems where their rough
    inverses are good. Raises NumericalError (E904) where V^-1 cannot be reached.
    """
    found: dict[int, Array] = {}
    errors = [math.inf] * len(systems)
    solved = [system.rough(system.rows) for system in systems]
    unfinished = list(range(len(systems)))
    while unfinished:
        some = [systems[k] for k in unfinished]
        products = _times_v(times, some, [solved[k] for k in unfinished])
        left = []
        for k, product in zip(unfinished, products, strict=True):
            sums, error = _sums(systems[k], solved[k], product)
            if error <= ACCURACY:
                found[k] = sums
            elif error <= _PROGRESS * errors[k] and math.isfinite(error):
                solved[k] = solved[k] + systems[k].rough(systems[k].rows - product)
                left.append(k)
            else:  # the rough inverse is none
                found[k] = _by_conjugate_gradients(times, systems[k])
            errors[k] = error
        unfinished = left
    return [found[k] for k in range(len(systems))]


def _times_v(times: Rows, systems: Sequence[System], rows: Sequence[Array]) -> list[Array]:
    """V z for the rows z of each system; one product with K for all."""
    if all(system.h2 == 0.0 for system in systems):
        return list(rows)
    ends = np.cumsum([len(some) for some in rows])[:-1]
    products = np.split(times(np.vstack(rows)), ends)
    return [
        system.h2 * product + (1.0 - system.h2) * some
        for system, some, product in zip(systems, rows, products, strict=True)
    ]


def _sums(system: System, solved: Array, product: Array) -> tuple[Array, float]:
    """B V^-1 B' from Z (q, n) and V Z, and the largest relative error on its diagonal."""
    rows = system.rows
    with np.errstate(over="ignore", invalid="ignore"):
        mixed, square = rows @ solved.T, solved @ product.T
        sums = mixed + mixed.T - 0.5 * (square + square.T)
        residual = rows - product
        error = np.einsum("ij,ij->i", residual, residual) / (1.0 - system.h2)
        diagonal = sums.diagonal()
        relative = np.divide(error, diagonal, out=np.full(len(rows), np.inf), where=diagonal > 0.0)
    relative[error == 0.0] = 0.0
    return sums, float(relative.max(initial=0.0))


def _by_conjugate_gradients(times: Rows, system: System) -> Array:
    """The same without a rough inverse; each row has steps of its own."""
    solved = np.zeros_like(system.rows)
    residual = system.rows.copy()
    direction = residual.copy()
    size = np.einsum("ij,ij->i", residual, residual)
    for _ in range(_MAX_STEPS):
        (product,) = _times_v(times, [system], [direction])
        curvature = np.einsum("ij,ij->i", direction, product)
        step = np.divide(size, curvature, out=np.zeros_like(size), where=curvature > 0.0)[:, None]
        solved += step * direction
        residual -= step * product
        new = np.einsum("ij,ij->i", residual, residual)
        reached = np.einsum("ij,ij->i", system.rows, solved)
        if (new / (1.0 - system.h2) <= 0.01 * ACCURACY * reached).all():
            break
        ratio = np.divide(new, size, out=np.zeros_like(size), where=size > 0.0)
        direction = residual + ratio[:, None] * direction
        size = new
    (product,) = _times_v(times, [system], [solved])
    sums, error = _sums(system, solved, product)
    if not error <= ACCURACY:
        raise NumericalError(
            "E904",
            f"the covariance matrix at h2 {system.h2:.6g} cannot be solved for the check of the "
            f"results (relative error {error:.2g}, {ACCURACY:g} is asked): the GRM on file may be "
            "damaged or not positive semi-definite; build it again, and run `lmmgwas selftest`",
        )
    return sums


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """What the tests of k variants are made of, at one h2."""

    rr: float  # y'Py
    gr: Array  # (k,) x'Py
    gg: Array  # (k,) x'Px

    @classmethod
    def of(cls, products: Array, c: int) -> "Sums":
        """From B V^-1 B' (c + 1 + k, ...), B = [X, y, x...]."""
        along = products[c:, :c]
        P = products[c:, c:] - along @ np.linalg.solve(products[:c, :c], along.T)
        return cls(float(P[0, 0]), P[0, 1:].copy(), P.diagonal()[1:].copy())

    @property
    def explained(self) -> Array:
        """(x'Py)^2 / x'Px (k,)."""
        return self.gr**2 / self.gg


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Tests of k variants: as the scan has them, or computed again. All are (k,)."""

    beta: Array
    se: Array
    neg_log10_p: Array

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Values":
        """Return some of them."""
        at = np.asarray(rows, dtype=np.int64)
        return Values(self.beta[at], self.se[at], self.neg_log10_p[at])


def wald_again(sums: Sums, dof: int, unit: float) -> Values:
    """Return Wald's t test from its sums; `unit` is the trait's."""
    beta = sums.gr / sums.gg
    left = np.maximum(sums.rr - beta * sums.gr, PERFECT_FIT * sums.rr)
    se = np.sqrt(left / dof / sums.gg)
    return Values(beta * unit, se * unit, p_of_t(beta / se, dof))


def lrt_again(sums: Sums, n: int) -> Array:
    """Return -log10 p (k,) of the likelihood ratio at the variances of the sums."""
    share = np.minimum(sums.explained / sums.rr, 1.0 - PERFECT_FIT)
    return p_of_chi2(-n * np.log(1.0 - share))


def score_again(sums: Sums, n: int, dof: int) -> Array:
    """Return -log10 p (k,) of the score test at the variances of the sums."""
    return p_of_t(np.sqrt(n * sums.explained / sums.rr), dof)


def p_of_t(t: Array, dof: int) -> Array:
    """Return -log10 of the two-sided p: from scipy's tail, where a double can hold p."""
    p = 2.0 * special.stdtr(dof, -np.abs(t))
    plain = -np.log10(np.maximum(p, _SMALLEST_P))
    return np.where(p > _SMALLEST_P, plain, neg_log10_p_from_t(np.abs(t), dof))


def p_of_chi2(chi2: Array) -> Array:
    """Return -log10 p of chi-square(1): from scipy's tail, where a double can hold p."""
    p = special.erfc(np.sqrt(np.maximum(chi2, 0.0) / 2.0))
    plain = -np.log10(np.maximum(p, _SMALLEST_P))
    return np.where(p > _SMALLEST_P, plain, neg_log10_p_from_chi2(chi2))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a row may be from what is computed again.

    `rounding` is the error of t, relative and absolute, that arithmetic may leave; beta may be
    off by as much of se, and -log10 p by as much as follows. `chi2` is the relative error of
    chi-square where a row is approximated on purpose.
    """

    rounding: float
    chi2: float = 0.0


def rounding_of(
    precision: Precision, n_samples: int, h2: float, largest_eigenvalue: float | None
) -> float:
    """Return the error of t that rounding may leave.

    Float32 tiles: largest seen 1.2e-6 at n = 550 and h2 from 0 to 0.98, and it grows as sqrt(n);
    float64: 1e-13. What is allowed is twenty times as much, and no less than 1e-8: a fault of
    memory or arithmetic is larger by orders of magnitude.

    `largest_eigenvalue` is that of K where V^-1 rests on its eigenvalues, None for a Cholesky
    factor: eigenvalues that are negative by rounding of the file are taken as 0, and along
    them V is off by up to 1e-7 of the largest (seen: 2e-7 at K of rank n/2, largest 30).
    """
    root = math.sqrt(n_samples)
    base = 1e-5 + 3e-7 * root if precision is Precision.SINGLE else 1e-8 + 3e-10 * root
    if largest_eigenvalue is None:
        return base
    return base + 1e-7 * max(largest_eigenvalue, 10.0) * h2 / (1.0 - h2)


def deviations(found: Values, again: Values, tolerance: Tolerance, dof: int) -> Array:
    """Return the difference of each row as a share of what is allowed: above 1 is a fault.

    Where a variant explains nearly all of the trait, its residual is a small difference of
    large sums, and the error of se and p grows by t^2/dof.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        t = np.abs(again.beta / again.se)
        apart = np.abs(found.beta - again.beta) / again.se
        if tolerance.chi2 > 0.0:
            share = tolerance.chi2
            t_apart = np.abs(np.abs(found.beta / found.se) - t)
            own_p = p_of_t(found.beta / found.se, dof)
            ratios = [apart / (share * t + 1e-3), t_apart / (0.5 * share * t + 1e-3)]
            ratios.append(np.abs(found.se / again.se - 1.0) / share)
            ratios.append(np.abs(found.neg_log10_p - own_p) / (1e-6 * (1.0 + own_p)))
        else:
            share = tolerance.rounding
            amplified = 1.0 + t * t / dof
            p_apart = np.abs(found.neg_log10_p - again.neg_log10_p)
            ratios = [apart / (share * (1.0 + t))]
            ratios.append(np.abs(found.se / again.se - 1.0) / (share * amplified))
            ratios.append(p_apart / (share * (1.0 + 5.0 * again.neg_log10_p) * amplified))
        worst = np.maximum.reduce(ratios)
    return np.where(np.isfinite(worst), worst, np.inf)


def compare(
    names: Sequence[str], found: Values, again: Values, tolerance: Tolerance, dof: int
) -> float:
    """Return the largest deviation, as a share of what is allowed.

    `names` say of each row which trait and variant it is. Raises NumericalError (E904) for the
    row that is farthest off, where that is above 1.
    """
    shares = deviations(found, again, tolerance, dof)
    if not shares.size:
        return 0.0
    worst = int(np.argmax(shares))
    if not shares[worst] <= 1.0:
        raise NumericalError(
            "E904",
            f"{names[worst]}: the scan found {_text(found, worst)}; computed again from the files "
            f"by another way it is {_text(again, worst)}, {shares[worst]:.3g} times the difference "
            "that rounding allows. Memory or the BLAS library of this machine made an error, or "
            "there is a bug of ours: no result of this chromosome can be trusted, and none was "
            "written. Run `lmmgwas selftest`; then run again with --precision double, with "
            "--threads 1, or on another machine, and report it where it happens again",
        )
    return float(shares[worst])


def _text(values: Values, row: int) -> str:
    return (
        f"beta {values.beta[row]:.8g} (se {values.se[row]:.8g}), "
        f"-log10 p {values.neg_log10_p[row]:.8g}"
    )
