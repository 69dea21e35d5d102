"""Compiled text: decimal digits of doubles, and rows of a table put together byte by byte.

All kernels of the row text stand in this one module, because a kernel kept on disk is made
anew when its own module changes, not when one that it calls does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel

Bytes = NDArray[np.uint8]
Bits = NDArray[np.uint64]
Indices = NDArray[np.int64]
Column = tuple[NDArray[Any], Bytes]
"""Strings: where each begins and the last ends (m + 1,), and their bytes."""

N_DIGITS = 8
DECIMAL_P_FROM = 307.0
"""From this -log10 p on p is written by mantissa and exponent: doubles end at 1e-308."""

# Powers of ten, the first 64 bits of each: 10^k lies in [P, P + 1) 2^(q - 63), P in [2^63, 2^64).
_LOWEST, _HIGHEST = -301, 331  # 1.8e308 and 4.9e-324, scaled to 8 digits
# 5^27 is the last power of five within 64 bits: from 0 to here P is 10^k itself.
_LAST_EXACT = 27

_MANTISSA = np.uint64((1 << 52) - 1)
_HIDDEN = np.uint64(1 << 52)
_LOW = np.uint64((1 << 32) - 1)
_NULL, _ONE, _TWO = np.uint64(0), np.uint64(1), np.uint64(2)
_UNITS = np.uint64(10**N_DIGITS)
_B11, _B32, _B52, _B63 = np.uint64(11), np.uint64(32), np.uint64(52), np.uint64(63)

_TAB, _LF, _DOT, _MINUS, _PLUS, _E, _ZERO = 9, 10, 46, 45, 43, 101, 48
_NOT_GIVEN = np.frombuffer(b"#NA", np.uint8)
_OTHER_ALLELE = np.frombuffer(b"OA", np.uint8)
_EXACT = np.frombuffer(b"exact", np.uint8)
_CALIBRATED = np.frombuffer(b"calibrated", np.uint8)


def _first_bits(k: int) -> tuple[int, int]:
    """Return P and q of 10^k."""
    if k >= 0:
        q = (10**k).bit_length() - 1
        return (10**k << 63) >> q, q
    q = -(10**-k).bit_length()
    return (1 << (63 - q)) // 10**-k, q


_TABLE = [_first_bits(k) for k in range(_LOWEST, _HIGHEST + 1)]
_POWERS = np.array([p for p, _ in _TABLE], dtype=np.uint64)
_POWER_BITS = np.array([q for _, q in _TABLE], dtype=np.int64)


@kernel
def _product(a: Any, b: Any) -> Any:
    """Return the upper and the lower half of the 128 bits of a b."""
    a0, a1 = a & _LOW, a >> _B32
    b0, b1 = b & _LOW, b >> _B32
    low, left, right = a0 * b0, a0 * b1, a1 * b0
    middle = (low >> _B32) + (left & _LOW) + (right & _LOW)
    high = a1 * b1 + (left >> _B32) + (right >> _B32) + (middle >> _B32)
    return high, (middle << _B32) | (low & _LOW)


@kernel
def _rounded(bits: Any) -> Any:
    """Return the 8 digits of a positive double and the exponent of the first.

    The digits are -1 where the 64 bits of the power of ten cannot tell on which side of a tie
    the number lies.
    """
    e2 = np.int64(bits >> _B52)
    m = bits & _MANTISSA
    if e2 > 0:
        m |= _HIDDEN
    else:
        e2 = np.int64(1)
    m <<= _B11
    e2 -= 1023
    while m >> _B63 == _NULL:  # subnormal
        m <<= _ONE
        e2 -= 1
    # The number is m 2^(e2 - 63). The first guess of the exponent, floor(e2 log10(2)), is
    # right or one too low; the fraction holds for all doubles.
    exponent = (e2 * 1262611) >> 22
    while True:
        k = N_DIGITS - 1 - exponent
        high, low = _product(m, _POWERS[k - _LOWEST])
        shift = np.uint64(62 - e2 - _POWER_BITS[k - _LOWEST])
        whole = high >> shift
        if whole < _UNITS:
            break
        exponent += 1
    rest = high & ((_ONE << shift) - _ONE)
    half = _ONE << (shift - _ONE)
    if 0 <= k <= _LAST_EXACT:
        if rest > half or (rest == half and (low > _NULL or whole & _ONE == _ONE)):
            whole += _ONE
    elif half - _TWO <= rest <= half:  # the power is up to one unit larger: so is `high`, by two
        return np.int64(-1), exponent
    elif rest > half:
        whole += _ONE
    if whole == _UNITS:
        return np.int64(10 ** (N_DIGITS - 1)), exponent + 1
    return np.int64(whole), exponent


@kernel
def round_digits(bits: Bits, digits: Indices, exponents: Indices) -> int:
    """Write the 8 digits of finite doubles and their exponents; return how many are left.

    What is left has the digits -1: see `_rounded`. Zero has the digits 0; signs are not read.
    """
    n_left = 0
    for j in range(bits.size):
        magnitude = (bits[j] << _ONE) >> _ONE
        if magnitude == _NULL:
            digits[j] = 0
            exponents[j] = 0
            continue
        digits[j], exponents[j] = _rounded(magnitude)
        n_left += digits[j] < 0
    return n_left


@kernel
def split_p(
    neg_log10_p: NDArray[np.float64], ten: float, p: NDArray[np.float64], shift: Indices
) -> None:
    """Write p and a decimal exponent 0, or a mantissa and its exponent where doubles end.

    `ten` is 10.0, and no constant here: a compiler that knows the base may take exp10, whose
    last bit is not pow's.
    """
    for j in range(p.size):
        x = neg_log10_p[j]
        shift[j] = 0
        if x >= DECIMAL_P_FROM:
            shift[j] = np.int64(np.floor(-x))
        p[j] = ten ** (-x - shift[j])


@kernel
def _put(out: Bytes, w: int, text: Bytes, start: int, stop: int) -> int:
    """Copy text[start:stop]; return the place after it, as all that put something do."""
    # Without a sign, an index needs no look at whether it counts from the end.
    to, source = np.uint64(w), np.uint64(start)
    for k in range(np.uint64(stop - start)):
        out[to + k] = text[source + k]
    return w + stop - start


@kernel
def _put_digits(out: Bytes, w: int, number: Any, n_digits: int) -> int:
    """Write the last digits of a number that is not negative."""
    rest, to = np.uint64(number), np.uint64(w + n_digits - 1)
    for k in range(np.uint64(n_digits)):
        upper = rest // np.uint64(10)
        out[to - k] = np.uint8(rest - upper * np.uint64(10)) + np.uint8(_ZERO)
        rest = upper
    return w + n_digits


@kernel
def _put_integer(out: Bytes, w: int, number: int) -> int:
    """Write a number that is not negative."""
    n_digits, bound = 1, 10
    while n_digits < 19 and number >= bound:
        n_digits += 1
        bound *= 10
    return _put_digits(out, w, number, n_digits)


@kernel
def _put_exponent(out: Bytes, w: int, exponent: int) -> int:
    """Write `e`, the sign and at least two digits."""
    out[w] = _E
    out[w + 1] = _MINUS if exponent < 0 else _PLUS
    if abs(exponent) < 10:
        return _put_digits(out, w + 2, abs(exponent), 2)
    return _put_integer(out, w + 2, abs(exponent))


@kernel
def _put_number(out: Bytes, w: int, negative: bool, digits: int, exponent: int) -> int:
    """Write a number as %.8g does: no zeros at the end, an exponent below 1e-4 and from 1e8."""
    if negative:
        out[w] = _MINUS
        w += 1
    if digits == 0:
        out[w] = _ZERO
        return w + 1
    n = N_DIGITS
    rest = np.uint64(digits)
    while rest % np.uint64(10) == _NULL:
        rest //= np.uint64(10)
        n -= 1
    if -4 <= exponent < 0:
        out[w] = _ZERO
        out[w + 1] = _DOT
        for k in range(w + 2, w + 1 - exponent):
            out[k] = _ZERO
        return _put_digits(out, w + 1 - exponent, rest, n)
    fixed = 0 <= exponent < N_DIGITS
    n_whole = exponent + 1 if fixed else 1
    if n <= n_whole:
        _put_digits(out, w, rest, n)
        for k in range(w + n, w + n_whole):
            out[k] = _ZERO
        w += n_whole
    else:
        _put_digits(out, w + 1, rest, n)
        for k in range(w, w + n_whole):
            out[k] = out[k + 1]
        out[w + n_whole] = _DOT
        w += n + 1
    return w if fixed else _put_exponent(out, w, exponent)


@kernel
def _is_rsid(text: Bytes, start: int, stop: int) -> bool:
    """Tell whether text[start:stop] is `rs` and digits."""
    if stop - start < 3 or text[start] != 114 or text[start + 1] != 115:
        return False
    for k in range(start + 2, stop):  # noqa: SIM110  numba compiles no generator
        if not 48 <= text[k] <= 57:
            return False
    return True


@kernel
def write_variants(
    index: Indices,
    pos: Indices,
    chrom: NDArray[np.int32],
    columns: tuple[Column, Column, Column, Column],
    out: Bytes,
    bounds: Indices,
    rsid: NDArray[np.bool_],
) -> int:
    """Write `chromosome TAB position TAB`, `effect TAB other TAB`, marker of each variant.

    `columns` are the names of the chromosomes, effect alleles, other alleles and IDs of the
    file, of which rows `index` are taken. bounds (m, 4): where each of the three begins and
    the last ends. rsid (m,): whether the marker is an rs number. Returns the bytes written.
    """
    (name_at, name), (effect_at, effect), (other_at, other), (marker_at, marker) = columns
    w = 0
    for j in range(index.size):
        k, c = index[j], chrom[j]
        bounds[j, 0] = w
        w = _put(out, w, name, name_at[c], name_at[c + 1])
        out[w] = _TAB
        w = _put_integer(out, w + 1, pos[j])
        out[w] = _TAB
        w += 1
        bounds[j, 1] = w
        w = _put(out, w, effect, effect_at[k], effect_at[k + 1])
        out[w] = _TAB
        w = _put(out, w + 1, other, other_at[k], other_at[k + 1])
        out[w] = _TAB
        w += 1
        bounds[j, 2] = w
        start, stop = marker_at[k], marker_at[k + 1]
        rsid[j] = _is_rsid(marker, start, stop)
        if stop - start == 1 and marker[start] == _DOT:  # no ID: the place and the alleles
            w = _put(out, w, out, bounds[j, 0], w - 1)
            for x in range(bounds[j, 2], w):
                if out[x] == _TAB:
                    out[x] = 58  # a colon
        else:
            w = _put(out, w, marker, start, stop)
        bounds[j, 3] = w
    return w


@kernel
def write_rows(
    variants: tuple[Bytes, Indices, NDArray[np.bool_], NDArray[np.bool_]],
    at: Indices,
    numbers: tuple[NDArray[np.bool_], Indices, Indices],
    n_observed: Indices,
    exact: NDArray[np.bool_],
    out: Bytes,
    starts: Indices,
) -> int:
    """Write the rows of the summary statistics of variants `at`; return the bytes written.

    `variants` are text, bounds and rsid of `write_variants`, and of which the other allele is
    known to be the reference (empty: of none). `numbers` are whether negative,
    digits and exponents, (5, m) each of beta, se, af, p and -log10 p, or (6, m) with the log
    odds ratio. `exact` is empty where there is no such column. starts (m,): where rows begin.
    """
    text, bounds, rsid, is_reference = variants
    negative, digits, exponents = numbers
    w = 0
    for j in range(at.size):
        k = at[j]
        starts[j] = w
        w = _put(out, w, text, bounds[k, 0], bounds[k, 2])
        for c in range(4):
            w = _put_number(out, w, negative[c, j], digits[c, j], exponents[c, j])
            out[w] = _TAB
            w += 1
        if rsid[k]:
            w = _put(out, w, text, bounds[k, 2], bounds[k, 3])
        else:
            w = _put(out, w, _NOT_GIVEN, 0, _NOT_GIVEN.size)
        out[w] = _TAB
        known = is_reference.size > 0 and is_reference[k]
        reference = _OTHER_ALLELE if known else _NOT_GIVEN
        w = _put(out, w + 1, reference, 0, reference.size)
        out[w] = _TAB
        w = _put_integer(out, w + 1, n_observed[j])
        out[w] = _TAB
        w = _put_number(out, w + 1, negative[4, j], digits[4, j], exponents[4, j])
        out[w] = _TAB
        w = _put(out, w + 1, text, bounds[k, 2], bounds[k, 3])
        for c in range(5, digits.shape[0]):
            out[w] = _TAB
            w = _put_number(out, w + 1, negative[c, j], digits[c, j], exponents[c, j])
        if exact.size:
            word = _EXACT if exact[j] else _CALIBRATED
            out[w] = _TAB
            w = _put(out, w + 1, word, 0, word.size)
        out[w] = _LF
        w += 1
    return w


@kernel
def write_excluded(
    variants: tuple[Bytes, Indices, NDArray[np.bool_]],
    at: Indices,
    reasons: NDArray[np.int8],
    words: Column,
    out: Bytes,
) -> int:
    """Write the rows of the excluded table of variants `at`; return the bytes written."""
    text, bounds, _ = variants
    word_at, word = words
    w = 0
    for j in range(at.size):
        k, why = at[j], reasons[j]
        w = _put(out, w, text, bounds[k, 0], bounds[k, 1])
        w = _put(out, w, text, bounds[k, 2], bounds[k, 3])
        out[w] = _TAB
        w = _put(out, w + 1, word, word_at[why], word_at[why + 1])
        out[w] = _LF
        w += 1
    return w
