"""Hashes against FNV-1a written out in Python, and its published values."""

import numpy as np
import pytest

from lmmgwas.numerics.hashing import hash_strings


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def hashes(texts: list[bytes]) -> list[int]:
    at = np.cumsum([0, *map(len, texts)]).astype(np.int32)
    found = np.empty(len(texts), dtype=np.uint64)
    hash_strings(at, np.frombuffer(b"".join(texts), dtype=np.uint8), found)
    return found.tolist()


def test_hashes_are_fnv1a() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.bytes(int(n)) for n in rng.integers(0, 40, 500)]
    assert hashes(texts) == [fnv1a(text) for text in texts]
    assert hashes([]) == []


@pytest.mark.parametrize(
    ("text", "value"),
    # From the test suite of the IETF draft on FNV (Fowler, Noll, Vo, Eastlake), 64 bits.
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)],
)
def test_published_values(text: bytes, value: int) -> None:
    assert hashes([text]) == [value]
