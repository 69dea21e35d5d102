"""The likelihood of the self-check against dense matrices, and its hills against a dense grid."""

import numpy as np
import pytest
from oracles import centred_kernel
from simulate import Axes, make_problem

from lmmgwas.model.self_refit import highest_hills, spectral_loglik

GRID = np.linspace(0.0, 0.99, 200)


def dense(K: np.ndarray, y: np.ndarray, X: np.ndarray, h2: float, *, restricted: bool) -> float:
    """As written in the design, V inverted; REML without log|X'X|, which does not depend on h2."""
    n, c = X.shape
    V = h2 * K + (1.0 - h2) * np.eye(n)
    Vi = np.linalg.inv(V)
    r = y - X @ np.linalg.solve(X.T @ Vi @ X, X.T @ Vi @ y)
    dof = n - c if restricted else n
    value = dof * (np.log(2.0 * np.pi * (r @ Vi @ r) / dof) + 1.0) + np.linalg.slogdet(V)[1]
    if restricted:
        value += np.linalg.slogdet(X.T @ Vi @ X)[1]
    return -0.5 * value


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("h2", [0.0, 0.4])
def test_against_dense_matrices(h2: float, restricted: bool) -> None:
    problem = make_problem(Axes(n=50, m=80, c=2, h2=h2, seed=6))
    K, _ = centred_kernel(problem.K)
    S, U = np.linalg.eigh(K)
    Z = U.T @ np.column_stack([problem.X, problem.y])
    expected = [dense(K, problem.y, problem.X, h, restricted=restricted) for h in GRID]
    found = spectral_loglik(S, Z, GRID, restricted=restricted)
    # An inverse of V with a condition of some 1e3 keeps 12 digits, of a value of some 100.
    np.testing.assert_allclose(found, expected, atol=1e-8)
    best = highest_hills(S, Z, restricted=restricted)[0]
    assert best.loglik >= max(expected) - 1e-8
    nearest = GRID[int(np.argmax(expected))]
    assert best.h2 == pytest.approx(nearest, abs=GRID[1])
