"""Tests of r2 between variants: against the correlation of mean-imputed copies, and its limits."""

import numpy as np
import pytest

from lmmgwas.model.genotypes import MISSING
from lmmgwas.model.ld import squared_correlation


def imputed(calls: np.ndarray) -> np.ndarray:
    """Copies with missing calls at the mean of the others."""
    x = np.where(calls == MISSING, np.nan, calls.astype(float))
    mean = np.nanmean(x, axis=-1, keepdims=True)
    return np.where(np.isnan(x), mean, x)


def simulated(n: int, b: int, missing: float, seed: int) -> np.ndarray:
    """Calls (b, n) of variants that go together: copies of one with errors."""
    rng = np.random.default_rng(seed)
    base = rng.binomial(2, 0.3, n)
    calls = np.where(rng.random((b, n)) < rng.random((b, 1)), rng.binomial(2, 0.4, (b, n)), base)
    calls[rng.random((b, n)) < missing] = MISSING
    return calls.astype(np.int8)


@pytest.mark.parametrize("missing", [0.0, 0.05, 0.6])
@pytest.mark.parametrize("n", [63, 500, 20_011])
def test_the_square_of_the_correlation_of_imputed_copies(n: int, missing: float) -> None:
    calls = simulated(n, 17, missing, seed=n)
    full = imputed(calls)
    # The recipe: numpy's Pearson correlation. Its rounding is the larger one.
    oracle = [np.corrcoef(full[0], x)[0, 1] ** 2 for x in full]
    found = squared_correlation(calls[0], calls)
    np.testing.assert_allclose(found, oracle, rtol=1e-9, atol=1e-12)
    assert found[0] == pytest.approx(1.0, abs=1e-15)


def test_swapped_alleles_and_copies_go_fully_together() -> None:
    calls = simulated(300, 2, 0.1, seed=2)
    twin = np.where(calls[0] == MISSING, MISSING, 2 - calls[0]).astype(np.int8)
    found = squared_correlation(calls[0], np.stack([calls[0], twin]))
    np.testing.assert_allclose(found, 1.0, rtol=1e-14)


def test_what_does_not_vary_has_no_r2() -> None:
    calls = np.array(
        [[0, 1, 2, 1], [2, 2, 2, 2], [1, MISSING, 1, 1], [MISSING] * 4, [0, 0, 0, 1]], np.int8
    )
    found = squared_correlation(calls[0], calls)
    assert np.isnan(found).tolist() == [False, True, True, True, False]
    assert np.isnan(squared_correlation(calls[1], calls)).all()
    # By hand: u = (-1, 0, 1, 0), v = (-1, -1, -1, 3)/4: u'v = 0.
    assert found[4] == 0.0


def test_bits_do_not_depend_on_the_block() -> None:
    calls = simulated(1003, 64, 0.03, seed=5)
    whole = squared_correlation(calls[3], calls)
    parts = [squared_correlation(calls[3], calls[k : k + 5]) for k in range(0, 64, 5)]
    assert whole.tobytes() == np.concatenate(parts).tobytes()


def test_nothing_gives_nothing() -> None:
    calls = simulated(20, 3, 0.0, seed=1)
    assert squared_correlation(calls[0], calls[:0]).size == 0
