"""The ends of a symmetric matrix's spectrum, from products with it alone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]

_SEED = 20_240_601
_STEPS = 40


def extreme_eigenvalues(
    product: Callable[[Array], Array], n: int, steps: int = _STEPS
) -> tuple[float, float]:
    """Return the smallest and the largest Ritz value of K (n, n) after some steps of Lanczos.

    `product` is x -> K x. The ends of the spectrum lie at these values or beyond them: a negative
    one is a proof that K is not positive semi-definite, up to rounding. With n steps both are
    exact. Every step is made orthogonal to all before it, O(n steps^2) in all.
    """
    rng = np.random.default_rng(_SEED)
    basis: list[Array] = []
    diagonal: list[float] = []
    beside: list[float] = []
    q = rng.standard_normal(n)
    for _ in range(min(steps, n)):
        length = float(np.linalg.norm(q))
        if basis:
            scale = max(abs(value) for value in diagonal + beside)
            if length <= 1e-12 * max(scale, 1e-300):
                break  # an invariant space: its ends are known
            beside.append(length)
        basis.append(q / length)
        q = product(basis[-1])
        diagonal.append(float(basis[-1] @ q))
        for _ in range(2):
            for vector in basis:
                q = q - (vector @ q) * vector
    values = linalg.eigvalsh_tridiagonal(np.array(diagonal), np.array(beside))
    return float(values[0]), float(values[-1])
