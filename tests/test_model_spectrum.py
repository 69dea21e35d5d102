"""The decomposition of a GRM: what is clipped, what is refused, what a kept one must match."""

import numpy as np
import pytest
from oracles import centred_kernel
from simulate import FEW, Axes, make_problem

from lmmgwas.errors import DegenerateError
from lmmgwas.model.spectrum import (
    SpectralDecomposition,
    decompose,
    matches,
    require_semidefinite,
)


def kernel(axes: Axes = FEW[0]) -> np.ndarray:
    return centred_kernel(make_problem(axes).K)[0]


@pytest.mark.parametrize("axes", FEW[:3], ids=str)
def test_decomposition_reproduces_its_kernel(axes: Axes) -> None:
    K = kernel(axes)
    found = decompose(K.copy(), 1.75)
    n = K.shape[0]
    # Rounding times n of a matrix whose norm is a few tens.
    np.testing.assert_allclose((found.U * found.S) @ found.U.T, K, atol=1e-12)
    np.testing.assert_allclose(found.U.T @ found.U, np.eye(n), atol=1e-13)
    assert found.grm_scale == 1.75
    assert (np.diff(found.S) >= 0.0).all()
    assert found.S[0] >= 0.0
    assert found.U.flags.c_contiguous


def with_smallest(share: float) -> np.ndarray:
    """A kernel whose smallest eigenvalue is -share times the largest."""
    S, U = np.linalg.eigh(kernel())
    S[0] = -share * S[-1]
    return (U * S) @ U.T


def test_rounding_of_float32_files_is_clipped() -> None:
    found = decompose(with_smallest(5e-6), 1.0)
    assert found.S[0] == 0.0


def test_indefinite_kernel_is_kept_as_it_is() -> None:
    """Whether it will do depends on the h2 that is fitted (test_model_null_model.py)."""
    K = with_smallest(2e-2)
    found = decompose(K.copy(), 1.0)
    assert found.S[0] == pytest.approx(-2e-2 * found.S[-1], rel=1e-10)
    np.testing.assert_allclose((found.U * found.S) @ found.U.T, K, atol=1e-12)


def test_refitted_variances_need_a_definite_kernel() -> None:
    require_semidefinite(decompose(kernel(), 1.0).S)
    with pytest.raises(DegenerateError, match=r"E701.*--variance null"):
        require_semidefinite(decompose(with_smallest(2e-2), 1.0).S)


def test_float32_kernel_short_of_rank_is_taken() -> None:
    K = kernel(FEW[1]).astype(np.float32).astype(np.float64)
    assert np.linalg.eigvalsh(K)[0] < 0.0  # what the file's rounding did
    assert decompose(K, 1.0).S[0] == 0.0


def test_matches_its_own_kernel() -> None:
    K = kernel()
    assert matches(decompose(K.copy(), 1.0), K)
    clipped = with_smallest(5e-6)
    assert matches(decompose(clipped.copy(), 1.0), clipped)


def test_matches_no_other_kernel() -> None:
    K = kernel()
    found = decompose(K.copy(), 1.0)
    n = K.shape[0]
    changed = K.copy()
    changed[0, 0] += 0.01
    order = np.roll(np.arange(n), 1)
    assert not matches(found, changed)
    assert not matches(found, K[np.ix_(order, order)])
    assert not matches(found, K[1:, 1:])
    assert not matches(found, 1.001 * K)
    assert not matches(SpectralDecomposition(found.S, found.U[:, :-1], 1.0), K)
