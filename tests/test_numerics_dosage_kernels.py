"""Loops over dosages against numpy in float64 and Python's whole numbers."""

from fractions import Fraction

import numpy as np
import pytest

from lmmgwas.numerics.dosage_kernels import (
    NO_DOSAGE,
    ONE,
    add_missing_dosages,
    add_signed_dosages,
    calls_of_dosages,
    dosages_of_calls,
    encode_dosages,
    fill_dosage_tile,
    mask_single_copies,
    sum_dosages,
)


def random_dosages(b: int, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    dosages = rng.integers(0, 2 * ONE + 1, (b, n)).astype(np.uint16)
    dosages[rng.random((b, n)) < 0.1] = NO_DOSAGE
    return dosages


def test_every_dosage_is_encoded_exactly() -> None:
    whole = np.arange(2 * ONE + 1)
    out = np.empty((1, whole.size), dtype=np.uint16)
    assert encode_dosages((whole / ONE).astype(np.float32)[None], -9.0, out) == 0
    np.testing.assert_array_equal(out[0], whole)


def test_what_is_no_dosage_is_counted() -> None:
    copies = np.array([[-9.0, 0.0, 2.0, 2.0001, -0.1, np.nan, np.inf, -8.0]], dtype=np.float32)
    out = np.empty(copies.shape, dtype=np.uint16)
    assert encode_dosages(copies, -9.0, out) == 5
    assert out[0].tolist() == [NO_DOSAGE, 0, 2 * ONE, *[NO_DOSAGE] * 5]


def test_calls_and_back() -> None:
    calls = np.array([[0, 1, 2, -127]], dtype=np.int8)
    dosages = np.empty((1, 4), dtype=np.uint16)
    dosages_of_calls(calls, dosages)
    assert dosages[0].tolist() == [0, ONE, 2 * ONE, NO_DOSAGE]
    back = np.empty((1, 4), dtype=np.int8)
    calls_of_dosages(dosages, -127, back)
    np.testing.assert_array_equal(back, calls)
    between = np.array([[ONE // 2 - 1, ONE // 2, 3 * ONE // 2 - 1, 3 * ONE // 2]], dtype=np.uint16)
    calls_of_dosages(between, -127, back)
    assert back[0].tolist() == [0, 1, 1, 2]


def test_sums_are_exact() -> None:
    dosages = random_dosages(40, 1000)
    dosages[0] = NO_DOSAGE
    dosages[1] = 12345
    out = np.empty((40, 3), dtype=np.int64)
    sum_dosages(dosages, out)
    for row, (n, total, squares) in zip(dosages, out.tolist(), strict=True):
        seen = [int(x) for x in row if x != NO_DOSAGE]
        assert (n, total) == (len(seen), sum(seen))
        pivot = sum(seen) // len(seen) if seen else 0
        assert squares == sum((x - pivot) ** 2 for x in seen)
    assert out[1, 2] == 0


def test_a_tile(figures: object) -> None:
    dosages = random_dosages(6, 50)
    rng = np.random.default_rng(1)
    centre, scale = rng.uniform(0, 2, 6), rng.uniform(0.1, 9, 6)
    expected = np.where(dosages == NO_DOSAGE, 0.0, dosages / ONE - centre[:, None])
    for kind in (np.float64, np.float32):
        out = np.empty(dosages.shape, dtype=kind)
        fill_dosage_tile(dosages, centre, scale, out)
        np.testing.assert_array_equal(out, (expected * scale[:, None]).astype(kind))


def test_missing_and_single_copies() -> None:
    dosages = random_dosages(8, 30)
    out = np.arange(30)
    add_missing_dosages(dosages, out)
    np.testing.assert_array_equal(out - np.arange(30), (dosages == NO_DOSAGE).sum(axis=0))
    dosages[2, [3, 4, 5]] = ONE
    dosages[3, 4] = ONE - 1
    expected = dosages.copy()
    expected[2, [3, 5]] = NO_DOSAGE
    assert mask_single_copies(np.array([3, 5, 9]), dosages) == 2
    np.testing.assert_array_equal(dosages, expected)


@pytest.mark.parametrize("first", [0, 7])
def test_products_with_signs(first: int) -> None:
    """z (z'r) in exact fractions of the values, rounded once."""
    dosages = random_dosages(5, 40)
    rng = np.random.default_rng(2)
    zero, slope = rng.normal(size=5), rng.normal(size=5)
    values = np.zeros((5, 4))
    for copies in range(3):
        values[:, copies] = zero + copies * slope
    signs = rng.choice([-1, 1], 33).astype(np.int8)
    out = np.zeros(33 - first)
    add_signed_dosages(dosages, values, signs, first, out)
    z = np.where(dosages == NO_DOSAGE, 0.0, zero[:, None] + dosages / ONE * slope[:, None])[:, :33]
    expected = [
        float(sum(Fraction(row[i]) * sum(map(lambda a, s: Fraction(a) * int(s), row, signs))
                  for row in z))
        for i in range(first, 33)
    ]  # fmt: skip
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


def test_calls_give_the_products_of_calls() -> None:
    from lmmgwas.model.grm_check import SumCheck, scaled_values
    from lmmgwas.model.grm_sum import RowTile

    rng = np.random.default_rng(3)
    calls = rng.choice(np.array([0, 1, 2, -127], dtype=np.int8), (20, 60))
    dosages = np.empty(calls.shape, dtype=np.uint16)
    dosages_of_calls(calls, dosages)
    values = scaled_values(rng.uniform(0, 2, 20), rng.uniform(0, 3, 20))
    check = SumCheck(RowTile(10, 50))
    np.testing.assert_allclose(
        check.products(dosages, values), check.products(calls, values), rtol=1e-12, atol=1e-12
    )
