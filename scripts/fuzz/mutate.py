"""Small changes of small files: bytes, tokens, fields, lines, lengths."""

import random
from collections.abc import Callable

TOKENS = (
    *(
        b"",
        b"\t",
        b" ",
        b"\n",
        b"\r\n",
        b"\r",
        b",",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xc2\x85",
    ),
    *(b"#", b'"', b"'", b"NA", b"nan", b"inf", b"-inf", b".", b"-", b"+", b"0", b"-0", b"1", b"-9"),
    *(b"1e5", b"1e400", b"1e-400", b"0x10", b"1_000", b"1,5", b"1.", b".5", b"+.5e+1", b"e5"),
    *(b"2147483647", b"2147483648", b"9223372036854775808", b"9" * 40, b"1" + b"0" * 400, b"007"),
    *(b"FID", b"IID", b"#FID", b"#IID", b"#CHROM", b"##fileformat=VCF", b"X", b"chr", b"23", b"MT"),
    *(
        "ä".encode(),
        "\u2028".encode(),
        "\u00a0".encode(),
        "١٢".encode(),
        b"\xed\xa0\x80",
        b"\xf4\x90",
    ),
    *(b"A,C", b"<DEL>", b"A" * 300, b"\t\t", b"\n\n", b"\x1f\x8b", b"\x1a", b"{", b"}", b"null"),
)
"""What readers have stumbled over, or might."""

_MOST_BYTES = 4096


def mutate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return the data with one to six random changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(_CHANGES)(data, others, rng)
    return data[:_MOST_BYTES]


def _at(data: bytes, rng: random.Random) -> int:
    return rng.randrange(len(data) + 1)


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = _at(data, rng)
    return start, min(len(data), start + rng.choice((1, 1, 2, 4, 8, 16, 64)))


def _flip(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    if not data:
        return data
    k = rng.randrange(len(data))
    return data[:k] + bytes([data[k] ^ (1 << rng.randrange(8))]) + data[k + 1 :]


def _byte(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    start, _ = _span(data, rng)
    return data[:start] + bytes([rng.randrange(256)]) + data[start + 1 :]


def _insert(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    k = _at(data, rng)
    return data[:k] + rng.choice(TOKENS) + data[k:]


def _replace(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    start, stop = _span(data, rng)
    return data[:start] + rng.choice(TOKENS) + data[stop:]


def _delete(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def _repeat(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    start, stop = _span(data, rng)
    return data[:stop] + data[start:stop] * rng.choice((1, 1, 2, 20)) + data[stop:]


def _truncate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    return data[: _at(data, rng)]


def _splice(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    other = rng.choice(others)
    return data[: _at(data, rng)] + other[_at(other, rng) :]


def _lines(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Delete, double, exchange or move a line."""
    lines = data.split(b"\n")
    k, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        del lines[k]
    elif what == 1:
        lines.insert(j, lines[k])
    elif what == 2:
        lines[k], lines[j] = lines[j], lines[k]
    else:
        lines.insert(j, rng.choice(rng.choice(others).split(b"\n")))
    return b"\n".join(lines)


def _field(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Replace, delete or double a field of a line."""
    lines = data.split(b"\n")
    k = rng.randrange(len(lines))
    delimiter = rng.choice((b"\t", b"\t", b"\t", b" ", b","))
    fields = lines[k].split(delimiter)
    j = rng.randrange(len(fields))
    fields[j : j + 1] = rng.choice(
        ([rng.choice(TOKENS)], [rng.choice(TOKENS)], [], [fields[j]] * 2)
    )
    lines[k] = delimiter.join(fields)
    return b"\n".join(lines)


_Change = Callable[[bytes, list[bytes], random.Random], bytes]
_CHANGES: tuple[_Change, ...] = (
    *(_flip, _byte, _insert, _insert, _replace, _replace, _delete, _repeat, _truncate, _splice),
    *(_lines, _field, _field, _field),
)
