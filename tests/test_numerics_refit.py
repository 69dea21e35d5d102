"""Per-variant REML and ML against a dense grid of 2,000 points of h2, V built at each."""

import numpy as np
import pytest
from oracles import centred_kernel, dense_wald
from simulate import Axes, Problem, make_problem

from lmmgwas.numerics import refit
from lmmgwas.numerics.likelihood import H2_MAX
from lmmgwas.numerics.refit import RotatedData, refit_variants

GRID = np.concatenate([np.linspace(0.0, 1.0, 1990, endpoint=False), 1 - 10.0 ** -np.arange(3, 7)])
N_VARIANTS = 6

CASES = [
    Axes(n=40, m=60, c=1, h2=0.0, seed=1),
    Axes(n=40, m=60, c=1, h2=0.5, seed=2),
    Axes(n=40, m=60, c=2, h2=0.999, seed=3),
    Axes(n=60, m=30, c=2, h2=0.999, seed=4),
    Axes(n=60, m=90, c=5, h2=0.5, seed=5),
    Axes(n=60, m=90, c=5, h2=0.01, seed=6),
    Axes(n=60, m=90, c=2, h2=0.5, clones=6, seed=7),
]


def dense_grid(problem: Problem, x: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """REML and ML log-likelihoods with x among the fixed effects, at every point of GRID."""
    n = problem.y.size
    X = np.column_stack([problem.X, x])
    p = X.shape[1]
    reml, ml = [], []
    for h2 in GRID:
        V = h2 * K + (1 - h2) * np.eye(n)
        Vi = np.linalg.inv(V)
        logdet = np.linalg.slogdet(V)[1]
        A = X.T @ Vi @ X
        r = problem.y - X @ np.linalg.solve(A, X.T @ Vi @ problem.y)
        rss = r @ Vi @ r
        logdet_a = np.linalg.slogdet(A)[1] - np.linalg.slogdet(X.T @ X)[1]
        dof = n - p
        reml.append(-0.5 * (dof * (np.log(2 * np.pi * rss / dof) + 1) + logdet + logdet_a))
        ml.append(-0.5 * (n * (np.log(2 * np.pi * rss / n) + 1) + logdet))
    return np.array(reml), np.array(ml)


def rotated(problem: Problem) -> tuple[RotatedData, np.ndarray, np.ndarray, np.ndarray]:
    """The problem in its eigenbasis: data, tile (T, n), the variants (T, n), K."""
    K, _ = centred_kernel(problem.K)
    S, U = np.linalg.eigh(K)
    X = problem.basis
    x = problem.dosage[:N_VARIANTS]
    tile = x - (x @ X) @ X.T
    data = RotatedData.of(np.maximum(S, 0.0), U.T @ problem.y, U.T @ X)
    return data, np.ascontiguousarray(tile @ U), x, K


@pytest.mark.parametrize("axes", CASES, ids=str)
def test_log_likelihood_is_at_least_that_of_a_dense_grid(axes: Axes) -> None:
    problem = make_problem(axes)
    data, tile, variants, K = rotated(problem)
    reml = refit_variants(data, tile, reml=True)
    ml = refit_variants(data, tile, reml=False)
    assert not np.isnan([reml.loglik, ml.loglik, reml.beta, reml.se]).any()
    for j, x in enumerate(variants):
        grid_reml, grid_ml = dense_grid(problem, x, K)
        # REML drops log|[X x]'[X x]| of the residual variant, which does not depend on h2.
        constant = 0.5 * np.log((tile[j] ** 2).sum())
        for fit, grid, extra in ((reml, grid_reml, constant), (ml, grid_ml, 0.0)):
            # 1e-10 is the promise; next to h2 = 1 the dense V has a condition of 1e6 and its
            # determinant and inverse are good to some 1e-9.
            slack = 1e-10 + (1e-8 if fit.h2[j] > 0.99 else 0.0)
            assert fit.loglik[j] + extra >= grid.max() - slack
        assert 0.0 <= reml.h2[j] <= H2_MAX


@pytest.mark.parametrize("axes", CASES[1:5], ids=str)
def test_beta_and_se_are_those_of_gls_at_the_optimum(axes: Axes) -> None:
    problem = make_problem(axes)
    data, tile, variants, _ = rotated(problem)
    fit = refit_variants(data, tile, reml=True)
    for j, x in enumerate(variants):
        # X is taken out first, which changes no fit: the oracle's V^-1 reaches 1e6 along it.
        Q = problem.basis
        x_res, y_res = x - Q @ (Q.T @ x), problem.y - Q @ (Q.T @ problem.y)
        beta, se, *_ = dense_wald(x_res, y_res, problem.X, problem.K, float(fit.h2[j]))
        # Rounding only: h2 is handed over. Near h2 = 1 the dense inverse loses six digits.
        bound = 1e-9 if fit.h2[j] < 0.99 else 1e-6
        assert fit.beta[j] == pytest.approx(beta, abs=bound * se)
        assert fit.se[j] == pytest.approx(se, rel=bound)


def test_threads_change_no_bit() -> None:
    data, tile, *_ = rotated(make_problem(CASES[4]))
    one = refit_variants(data, tile, reml=True, threads=1)
    two = refit_variants(data, tile, reml=True, threads=2)
    assert one.h2.tobytes() == two.h2.tobytes()
    assert one.se.tobytes() == two.se.tobytes()


def test_a_row_of_zeros_is_not_tested() -> None:
    data, tile, *_ = rotated(make_problem(CASES[1]))
    tile[2] = 0.0
    fit = refit_variants(data, tile, reml=True)
    assert np.isnan(fit.beta[2])
    assert np.isfinite(np.delete(fit.beta, 2)).all()


def test_a_perfect_fit_stays_finite() -> None:
    problem = make_problem(CASES[1])
    data, tile, *_ = rotated(problem)
    data = RotatedData.of(data.S, 3.0 * tile[0] + data.X[:, 0], data.X)
    for reml in (True, False):
        fit = refit_variants(data, tile, reml=reml)
        assert np.isfinite([fit.h2, fit.loglik, fit.beta, fit.se]).all()
        assert fit.beta[0] == pytest.approx(3.0, rel=1e-6)


def test_the_search_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bisection needs some 40 steps; after one, h2 is still next to the grid's best point."""
    data, tile, *_ = rotated(make_problem(CASES[1]))
    whole = refit_variants(data, tile, reml=True)
    monkeypatch.setattr(refit, "_MAX_STEPS", 1)
    python = getattr(refit.climb_rows, "py_func", refit.climb_rows)  # compiled, it knows 80
    monkeypatch.setattr(refit, "climb_rows", python)
    one = refit_variants(data, tile, reml=True)
    assert (np.abs(one.h2 - whole.h2) < 0.1).all()
    assert np.isfinite([one.loglik, one.beta, one.se]).all()
