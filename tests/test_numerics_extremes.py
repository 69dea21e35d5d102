"""The ends of a spectrum, against the full decomposition."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lmmgwas.numerics.extremes import extreme_eigenvalues


def with_spectrum(S: NDArray[np.float64]) -> NDArray[np.float64]:
    rng = np.random.default_rng(S.size)
    U, _ = np.linalg.qr(rng.standard_normal((S.size, S.size)))
    return (U * S) @ U.T


@pytest.mark.parametrize("n", [1, 2, 40, 60])
def test_exact_with_as_many_steps_as_samples(n: int) -> None:
    K = with_spectrum(np.linspace(-0.3, 5.0, n))
    low, high = extreme_eigenvalues(lambda x: K @ x, n)
    S = np.linalg.eigvalsh(K)
    assert low == pytest.approx(S[0], abs=1e-10)
    assert high == pytest.approx(S[-1], abs=1e-10)


def test_ends_that_stand_apart_are_found_in_a_large_matrix() -> None:
    S = np.concatenate([[-0.2], np.linspace(0.0, 3.0, 498), [40.0]])
    K = with_spectrum(S)
    low, high = extreme_eigenvalues(lambda x: K @ x, 500)
    assert low == pytest.approx(-0.2, abs=1e-3)
    assert high == pytest.approx(40.0, rel=1e-10)


def test_never_beyond_the_ends() -> None:
    """A proof: what is negative here is negative there."""
    S = np.abs(np.random.default_rng(3).standard_normal(400))
    S[:100] = 0.0
    K = with_spectrum(S)
    low, high = extreme_eigenvalues(lambda x: K @ x, 400)
    assert low > -1e-12
    assert high <= S.max() + 1e-12


@pytest.mark.parametrize("scale", [0.0, 2.5, 1e-8])
def test_multiples_of_the_identity_end_after_a_step(scale: float) -> None:
    calls: list[int] = []

    def product(x: NDArray[np.float64]) -> NDArray[np.float64]:
        calls.append(1)
        return scale * x

    assert extreme_eigenvalues(product, 300) == pytest.approx((scale, scale), rel=1e-12)
    assert len(calls) == 1
