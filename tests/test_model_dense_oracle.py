"""The plain mathematics that the self-test compares with, against closed forms."""

import numpy as np
import pytest
from oracles import centred_kernel
from simulate import Axes, make_problem

from lmmgwas.model.dense_oracle import H2_MAX, best_fit, log_likelihood


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("end", ["lower", "upper"])
def test_a_maximum_at_an_end_is_there(end: str, restricted: bool) -> None:
    """A trait along the leading eigenvectors of K, or along those of its smallest values."""
    problem = make_problem(Axes(n=40, m=60, c=1, h2=0.5, seed=3))
    K, _ = centred_kernel(problem.K)
    S, U = np.linalg.eigh(K)
    signs = np.where(np.arange(40) % 2, 1.0, -1.0)
    y = U @ (signs * (np.sqrt(np.maximum(S, 0.0)) if end == "upper" else 1.0 / (1.0 + S)))
    X = np.ones((40, 1))
    found = best_fit(K, y, X, restricted=restricted)
    assert found.h2 == (H2_MAX if end == "upper" else 0.0)
    assert found.loglik == log_likelihood(found.h2, K, y, X, restricted=restricted)
    inner = [log_likelihood(h, K, y, X, restricted=restricted) for h in np.linspace(0.01, 0.99, 99)]
    assert found.loglik > max(inner)


def test_without_relatedness_it_is_ordinary_regression() -> None:
    rng = np.random.default_rng(1)
    n = 30
    X = np.column_stack([np.ones(n), rng.standard_normal(n)])
    y = rng.standard_normal(n)
    rss = float(np.linalg.lstsq(X, y, rcond=None)[1][0])
    expected = -0.5 * (n - 2) * (np.log(2.0 * np.pi * rss / (n - 2)) + 1.0)
    assert log_likelihood(0.0, np.eye(n), y, X, restricted=True) == pytest.approx(
        expected, abs=1e-10
    )
