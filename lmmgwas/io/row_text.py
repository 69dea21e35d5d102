"""The rows of our tables as bytes, a tile at a time, without a Python object for any row.

What a row says of its variant is made once for a tile (`VariantText`), the numbers once for
each trait. The text is what Python's formatting gives: `%.8g` of doubles, correctly rounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.io.row_kernels import (
    Bytes,
    Column,
    round_digits,
    split_p,
    write_excluded,
    write_rows,
    write_variants,
)
from lmmgwas.model.genotypes import REASONS, Indices, Variants

Array = NDArray[np.float64]

_NUMBER_BYTES = 24  # "-1.2345678e-4294967296" and a tab
_INTEGER_BYTES = 20  # 19 digits and a tab
_REST_BYTES = 32  # twice #NA, "calibrated", their tabs and the line end
_P = 3  # the place of p among the numbers of a row
_P_LIMIT = 2.0**32
"""-log10 p beyond this is none: t = 1e300 on ten million degrees of freedom gives 3e9."""


def _column(strings: Any) -> Column:
    """Return the offsets and the bytes of a pyarrow string array, without copying them."""
    if hasattr(strings, "combine_chunks"):
        strings = strings.combine_chunks()
    _, offsets, data = strings.buffers()
    width = np.int64 if str(strings.type) == "large_string" else np.int32
    if not len(strings):
        return np.zeros(1, dtype=width), np.empty(0, dtype=np.uint8)
    at = np.frombuffer(offsets, dtype=width)[strings.offset : strings.offset + len(strings) + 1]
    return at, np.frombuffer(data or b"", dtype=np.uint8)


def _words(words: Sequence[str]) -> Column:
    """Return a few strings as a column."""
    encoded = [word.encode() for word in words]
    at = np.cumsum([0, *(len(word) for word in encoded)], dtype=np.int32)
    return at, np.frombuffer(b"".join(encoded), dtype=np.uint8)


def _lengths(column: Column, index: Indices) -> int:
    """How many bytes these strings of a column have."""
    at, _ = column
    return int((at[index + 1] - at[index]).sum(dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Whole lines of a table, and where each begins."""

    data: bytes
    starts: Indices  # (m,)


@dataclass(frozen=True, slots=True, eq=False)
class VariantText:
    """What rows say of m variants: place, alleles and marker. All traits of a tile share it."""

    text: Bytes
    bounds: Indices  # (m, 4): place, alleles, marker, end of the marker in `text`
    rsid: NDArray[np.bool_]  # (m,) whether the marker is an rs number
    is_reference: NDArray[np.bool_]  # (m,) whether the other allele is; empty: not known of any

    def __len__(self) -> int:
        return self.rsid.size

    @classmethod
    def of(cls, variants: Variants) -> "VariantText":
        """Make the text of these variants."""
        raw, index = variants.raw, variants.source_index
        m = len(variants)
        # The names that occur here: there may be 100,000 contigs.
        first = int(variants.chrom.min()) if m else 0
        last = int(variants.chrom.max()) if m else 0
        names = _words([c.name for c in variants.chromosomes[first : last + 1]])
        chrom = variants.chrom - np.int32(first)
        columns = (
            names,
            _column(raw.effect_allele),
            _column(raw.other_allele),
            _column(raw.marker_id),
        )
        # Twice the place and the alleles, since they may stand for the marker, too.
        place = _lengths(names, chrom) + m * (_INTEGER_BYTES + 3)
        alleles = sum(_lengths(column, index) for column in columns[1:3])
        out = np.empty(2 * (place + alleles) + _lengths(columns[3], index), dtype=np.uint8)
        bounds = np.empty((m, 4), dtype=np.int64)
        rsid = np.empty(m, dtype=np.bool_)
        end = write_variants(index, variants.pos, chrom, columns, out, bounds, rsid)
        known = raw.other_is_reference
        none = np.empty(0, dtype=np.bool_)
        return cls(out[:end], bounds, rsid, none if known is None else known[index])

    def _size(self, at: Indices) -> int:
        """How many bytes the text of these variants has."""
        return int((self.bounds[at, 3] - self.bounds[at, 0]).sum())

    def rows(
        self,
        at: Indices,
        numbers: Sequence[Array],
        n_observed: Indices,
        exact: NDArray[np.bool_] | None,
    ) -> Lines:
        """Return the rows of the summary statistics of variants `at` (k,).

        `numbers` are beta, se, af, -log10 p, and perhaps the log odds ratio, (k,) each.

        Raises ValueError where one is not finite.
        """
        beta, se, af, neg_log10_p, *odds = numbers
        if neg_log10_p.size and not neg_log10_p.max() < _P_LIMIT:
            raise ValueError("a -log10 p that no test can have")
        values = np.empty((len(numbers) + 1, at.size))
        shift = np.empty(at.size, dtype=np.int64)
        for row, column in enumerate((beta, se, af, neg_log10_p, neg_log10_p, *odds)):
            values[row] = column
        split_p(values[_P + 1], 10.0, values[_P], shift)
        digits, exponents = decimal_digits(values)
        exponents[_P] += shift
        per_row = len(values) * _NUMBER_BYTES + _INTEGER_BYTES + _REST_BYTES
        out = np.empty(2 * self._size(at) + at.size * per_row, dtype=np.uint8)
        starts = np.empty(at.size, dtype=np.int64)
        end = write_rows(
            (self.text, self.bounds, self.rsid, self.is_reference),
            at,
            (np.signbit(values), digits, exponents),
            np.ascontiguousarray(n_observed, dtype=np.int64),
            np.empty(0, dtype=np.bool_) if exact is None else exact,
            out,
            starts,
        )
        return Lines(out[:end].tobytes(), starts)

    def excluded(self, at: Indices, reasons: NDArray[np.int8]) -> bytes:
        """Return the rows of the excluded table of variants `at` (k,) with reasons (k,)."""
        longest = max(len(reason) for reason in REASONS) + 2
        out = np.empty(self._size(at) + at.size * longest, dtype=np.uint8)
        variants = (self.text, self.bounds, self.rsid)
        end = write_excluded(variants, at, reasons, _words(REASONS), out)
        return out[:end].tobytes()


def decimal_digits(values: Array) -> tuple[Indices, Indices]:
    """Return the 8 significant digits of doubles, as a whole number, and their exponents.

    4.5e-7 has the digits 45000000 and the exponent -7; 0 has the digits 0. Correctly rounded,
    half to even: what `round_digits` leaves, about one number in a thousand million, Python rounds.

    Raises ValueError for numbers that are not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("a number that is not finite has no digits")
    values = np.ascontiguousarray(values)
    digits = np.empty(values.shape, dtype=np.int64)
    exponents = np.empty(values.shape, dtype=np.int64)
    if round_digits(values.view(np.uint64).ravel(), digits.ravel(), exponents.ravel()):
        for k in zip(*np.nonzero(digits < 0), strict=True):
            mantissa, _, exponent = f"{abs(values[k]):.7e}".partition("e")
            digits[k], exponents[k] = int(mantissa.replace(".", "")), int(exponent)
    return digits, exponents
