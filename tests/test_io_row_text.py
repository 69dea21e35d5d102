"""The rows of the tables, byte for byte what Python's formatting makes of them."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_oracle import python_excluded, python_rows, variants

from lmmgwas.io.row_kernels import split_p
from lmmgwas.io.row_text import VariantText, decimal_digits
from lmmgwas.io.sumstats import ResultRows, format_excluded, format_rows
from lmmgwas.model.chromosomes import Karyotype
from lmmgwas.model.genotypes import REASONS, Variants

many = settings(max_examples=300, deadline=None, derandomize=True)
HUMAN = Karyotype()


def python_digits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Digits and exponents as Python rounds them."""
    parts = [f"{abs(value):.7e}".partition("e") for value in values.tolist()]
    digits = np.array([int(mantissa.replace(".", "")) for mantissa, _, _ in parts])
    return digits, np.array([int(exponent) for _, _, exponent in parts])


def check_digits(values: np.ndarray) -> None:
    digits, exponents = decimal_digits(values)
    expected = python_digits(values)
    wrong = (digits != expected[0]) | (exponents != expected[1])
    assert not wrong.any(), values[wrong][:10]


def bits(low: int, high: int, size: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(low, high, size, dtype=np.uint64)
    return drawn.view(np.float64)


INFINITE = 0x7FF0 << 48


@pytest.mark.parametrize("seed", range(2))
def test_doubles_of_all_magnitudes(seed: int) -> None:
    check_digits(bits(1, INFINITE, 300_000, seed))


def test_subnormal_doubles() -> None:
    check_digits(bits(1, 1 << 52, 50_000, 1))
    check_digits(np.array([1, 2, 3, (1 << 52) - 1, 1 << 52], dtype=np.uint64).view(np.float64))


def test_doubles_next_to_and_on_ties() -> None:
    """Nine digits, the last of them 5: half of the exact ones go up, half down."""
    rng = np.random.default_rng(3)
    nine = rng.integers(10**7, 10**8, 100_000) * 10.0 + 5.0
    near = nine / 10.0 ** rng.integers(-3, 25, nine.size)
    check_digits(np.concatenate([near, np.nextafter(near, 0.0), np.nextafter(near, np.inf)]))
    check_digits(np.arange(1, 4096) / 4096.0)  # frequencies: exact ties among them
    check_digits((rng.integers(10**7, 10**8, 50_000) + 0.5) * 2.0 ** rng.integers(0, 12, 50_000))


def test_every_power_of_ten_and_its_neighbours() -> None:
    powers = np.array([float(f"1e{k}") for k in range(-323, 309)])
    borders = np.concatenate([powers, 9.99999995 * powers[:-1], 9.9999999499999 * powers[:-1]])
    check_digits(
        np.concatenate([borders, np.nextafter(borders, 0.0), np.nextafter(borders, 1e308)])
    )
    twos = 2.0 ** np.arange(-1074, 1024)
    check_digits(np.concatenate([twos, np.nextafter(twos, 0.0)]))


@pytest.mark.slow
def test_several_million_doubles() -> None:
    for seed in range(10):
        check_digits(bits(1, INFINITE, 500_000, 100 + seed))
        # The numbers that there are: from 1e-9 to 1e3.
        check_digits(10.0 ** np.random.default_rng(seed).uniform(-9, 3, 500_000))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        decimal_digits(np.array([1.0, value]))


def test_pow_is_that_of_python() -> None:
    """numba takes pow from the C library, as Python does; bit for bit."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0.0, 307.0, 500_000), rng.exponential(0.5, 500_000)])
    p, shift = np.empty(x.size), np.empty(x.size, dtype=np.int64)
    split_p(x, 10.0, p, shift)
    assert not shift.any()
    assert np.array_equal(p, np.array([10.0**-value for value in x.tolist()]))


PLACES = [
    ("X", 500, "rs5", "A", "G"),
    ("2", 2**31 - 1, "rs12", "T", "C"),
    ("2", -9, "2_Affx", "<DEL>", "C"),
    ("1", 70, ".", "AT" * 50, "A"),
    ("1", 20, "RS7", "G", "T"),
    ("1", 21, "rs", "G", "T"),
    ("1", 22, "rs1x", "G", "T"),
    ("1", 23, "xrs1", "G", "T"),
    ("1", 24, "rs\u0661", "G", "T"),
    ("1", 25, "..", "G", "\u00e9"),
    ("1", 1_000_000, "rs0" + "9" * 40, "G", "T"),
    ("MT", 3, "rs9x", "G", "T"),
    ("scaffold_12", 8, ".", "G", "T"),
    ("0", 0, ".", "C", "T"),
]


def check_rows(rows: ResultRows) -> None:
    text = VariantText.of(rows.variants)
    found = format_rows(text, np.arange(len(text)), rows)
    expected = python_rows(rows)
    assert found.data.decode().split("\n")[:-1] == expected
    sizes = [len(line.encode()) + 1 for line in expected]
    assert found.starts.tolist() == [0, *itertools.accumulate(sizes)][:-1]


def rows_of(
    table: Variants,
    numbers: np.ndarray,
    neg_log10_p: np.ndarray,
    case_fraction: float | None = None,
    exact: np.ndarray | None = None,
) -> ResultRows:
    """Rows with numbers (3, m)."""
    n = np.arange(len(table)) * 46_341
    return ResultRows(table, *numbers, n, neg_log10_p, case_fraction, exact)


finite = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.sampled_from(
        [
            *(0.0, -0.0, 99999999.5, 99999999.49, 9.9999999949999e-5, 1e-4, 1e-5, 1e22, 1e23),
            *(5e-324, 123456785.0, 12345678.5, -12345677.5, 0.251953125, 9999999.95),
            *(0.00012345678, 1e8, 1e7),
        ]
    ),
)
strengths = st.one_of(
    st.floats(0.0, 400.0),
    st.floats(0.0, 4e9),
    st.sampled_from(
        [0.0, 306.99999999999, 307.0, 307.5, 308.2, 323.7, 399.0 + 1e-12, 1234.0 + 1e-10, 1e-9]
    ),
)


@many
@given(data=st.data())
def test_rows_are_those_of_python(data: st.DataObject) -> None:
    table = variants(PLACES, HUMAN)
    m = len(table)
    numbers = np.array(data.draw(st.lists(finite, min_size=3 * m, max_size=3 * m)))
    numbers[:m] = np.clip(numbers[:m], -1e300, 1e300)  # the odds ratio must be finite
    strength = np.array(data.draw(st.lists(strengths, min_size=m, max_size=m)))
    fraction = data.draw(st.sampled_from([None, 0.5, 0.013]))
    exact = data.draw(st.sampled_from([None, np.arange(m) % 3 == 0]))
    check_rows(rows_of(table, numbers.reshape(3, m), strength, fraction, exact))


def test_many_rows_are_those_of_python() -> None:
    rng = np.random.default_rng(5)
    m = 20_000
    alleles = ["A", "C", "G", "T", "AT", "<INS>"]
    places = [
        (str(c), p, m, alleles[a], alleles[b])
        for c, p, m, a, b in zip(
            rng.integers(0, 30, m).tolist(),
            rng.integers(-1, 10**6, m).tolist(),
            [("." if k % 7 == 0 else f"rs{k}") for k in range(m)],
            rng.integers(0, 6, m).tolist(),
            rng.integers(0, 6, m).tolist(),
            strict=True,
        )
    ]
    table = variants(places, Karyotype(29, stated=True))
    numbers = rng.normal(size=(3, m)) * 10.0 ** rng.uniform(-6, 2, (3, m))
    check_rows(rows_of(table, numbers, rng.exponential(3.0, m) ** 2, 0.2, rng.random(m) < 0.5))


def test_a_selection_of_a_tile() -> None:
    table = variants(PLACES, HUMAN)
    text = VariantText.of(table)
    at = np.array([0, 3, 4, 11])
    rows = rows_of(table, np.ones((3, len(table))) / 3, np.ones(len(table))).take(at)
    assert format_rows(text, at, rows).data.decode().splitlines() == python_rows(rows)
    reasons = (np.arange(len(table)) % len(REASONS)).astype(np.int8)
    found = format_excluded(text, at, reasons[at]).decode().splitlines()
    assert found == python_excluded(table.take(at), reasons[at])


@pytest.mark.parametrize("strings", [pa.string(), pa.large_string()], ids=str)
def test_strings_that_are_slices_or_chunks(strings: pa.DataType) -> None:
    whole = variants([("1", 1, "zzz", "N", "N"), *PLACES], HUMAN, strings)
    raw = whole.raw
    pieces = {
        "slice": lambda column: column.slice(1),
        "chunks": lambda column: pa.chunked_array([column.slice(1, 3), column.slice(4)]),
    }
    expected = python_rows(rows_of(variants(PLACES, HUMAN), *_ones(len(PLACES))))
    for cut in pieces.values():
        part = type(raw)(
            raw.labels,
            raw.label_code[1:],
            raw.pos[1:],
            cut(raw.marker_id),
            cut(raw.effect_allele),
            cut(raw.other_allele),
        )
        index = variants(PLACES, HUMAN)
        table = Variants(part, index.chromosomes, index.source_index, index.chrom, index.haploid_x)
        rows = rows_of(table, *_ones(len(PLACES)))
        text = VariantText.of(table)
        found = format_rows(text, np.arange(len(text)), rows).data.decode().splitlines()
        assert found == expected


def _ones(m: int) -> tuple[np.ndarray, np.ndarray]:
    return np.ones((3, m)), np.ones(m)


def test_no_variants() -> None:
    table = variants(PLACES, HUMAN).take(slice(0, 0))
    text = VariantText.of(table)
    nothing = np.empty(0, dtype=np.int64)
    assert len(text) == 0
    assert format_rows(text, nothing, rows_of(table, *_ones(0))).data == b""
    assert format_excluded(text, nothing, nothing.astype(np.int8)) == b""
    empty = VariantText.of(variants([], HUMAN))
    assert len(empty) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e12])
def test_rows_that_cannot_be_are_refused(value: float) -> None:
    table = variants(PLACES, HUMAN)
    numbers, strength = _ones(len(table))
    strength[3] = value
    text = VariantText.of(table)
    with pytest.raises(ValueError, match="-log10 p"):
        format_rows(text, np.arange(len(text)), rows_of(table, numbers, strength))
