"""Shards: finished pieces of a run, one file for each step, committed by a rename.

A shard is a sequence of pieces (a few whole numbers, and some stretches of bytes), then what
closes it. It carries the key of the study that it belongs to and a checksum of all of itself,
so that what is half written, damaged or of another study is never taken for a result.

    bytes of the pieces | index, int64 | closing, JSON | lengths, magic | SHA-256
"""

import contextlib
import hashlib
import json
import os
import secrets
import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError
from lmmgwas.io.text import access_error
from lmmgwas.io.writing import patiently, rename, write_error

_MAGIC = b"lmmshrd1"
_TAIL = struct.Struct("<QQ8s")
_HASH_BYTES = 32
_AT_ONCE = 1 << 22
_ALIGNED = 64


class DamagedShardError(Exception):
    """A file that is not a whole shard of this study; the text says why."""


class ForeignShardError(DamagedShardError):
    """A whole shard, but of another study."""


class ShardWriter:
    """A shard that grows under a temporary name; `commit` gives it its own."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        # Processes that do the same thing at the same time must not share it.
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        self._key = key
        self._hash = hashlib.sha256()
        self._index: list[list[int]] = []
        self._size = 0
        try:
            self._stream = self._temporary.open("wb")
        except OSError as error:
            raise self._failed(error) from error

    def add(self, numbers: Sequence[int], parts: Sequence[bytes | memoryview]) -> None:
        """Append a piece. All pieces of a shard have as many numbers and parts as the first."""
        self._index.append([*numbers, self._size, *(len(part) for part in parts)])
        for part in parts:
            self._write(part)
            self._size += len(part)

    def add_array(self, array: NDArray[Any]) -> None:
        """Append an array as a piece, filled up so that the next one is aligned."""
        flat = np.ascontiguousarray(array).reshape(-1)
        data = flat.data.cast("B") if flat.size else b""
        self.add([flat.size], [data, b"\0" * (-flat.nbytes % _ALIGNED)])

    def commit(self, closing: dict[str, Any]) -> None:
        """Write what closes the shard (JSON's values), wait for the disk, and name the file."""
        index = np.array(self._index, dtype="<i8")
        text = json.dumps({"key": self._key, "pieces": index.shape[0], "closing": closing})
        self._write(index.tobytes())
        self._write(text.encode())
        self._write(_TAIL.pack(index.nbytes, len(text.encode()), _MAGIC))
        try:
            self._stream.write(self._hash.digest())
            self._stream.flush()
            patiently(partial(os.fsync, self._stream.fileno()))
            self._stream.close()
        except OSError as error:
            raise self._failed(error) from error
        rename(self._temporary, self._path)

    def close(self) -> None:
        """Let go of what was not committed."""
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _write(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        try:
            self._stream.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> FileAccessError:
        return write_error(self._temporary, error, name=self._path)


class Shard:
    """A committed shard."""

    def __init__(self, path: Path, index: NDArray[np.int64], closing: dict[str, Any]) -> None:
        self.path = path
        self.index = index  # (pieces, numbers + 1 + parts): numbers, offset, lengths
        self.closing = closing

    @classmethod
    def open(cls, path: Path, key: str, *, verify: bool = True) -> "Shard":
        """Read index and closing; with `verify` every byte is checked, too.

        Raises DamagedShardError, or FileNotFoundError.
        """
        if verify:
            _verify(path)
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            end = _HASH_BYTES + _TAIL.size
            if size < end:
                raise DamagedShardError("it is too short")
            stream.seek(size - end)
            n_index, n_text, magic = _TAIL.unpack(stream.read(_TAIL.size))
            if magic != _MAGIC or n_index + n_text + end > size:
                raise DamagedShardError("it is no shard")
            stream.seek(size - end - n_text - n_index)
            index = np.frombuffer(stream.read(n_index), dtype="<i8")
            about = json.loads(stream.read(n_text))
        if about["key"] != key:
            raise ForeignShardError("it belongs to another study")
        rows = int(about["pieces"])
        return cls(path, index.reshape(rows, -1) if rows else index.reshape(0, 0), about["closing"])

    def parts(self, pieces: NDArray[np.int64], n_parts: int) -> "list[list[bytes]]":
        """Return the parts of some pieces, all of the file's where that is asked.

        Raises FileAccessError (E110).
        """
        found = []
        try:
            with self.path.open("rb") as stream:
                for row in pieces.tolist():
                    lengths = self.index[row, -n_parts:].tolist()
                    stream.seek(int(self.index[row, -n_parts - 1]))
                    found.append([stream.read(length) for length in lengths])
        except OSError as error:
            raise access_error(self.path, error) from error
        return found

    def mapped(self, piece: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Map a piece that `add_array` made; what is written to the array stays in memory.

        Raises DamagedShardError for another size.
        """
        offset, n_bytes = self.index[piece, -3:-1].tolist()
        if n_bytes != dtype.itemsize * int(np.prod(shape)):
            raise DamagedShardError("an array has another size")
        if n_bytes == 0:
            return np.empty(shape, dtype)
        return np.memmap(self.path, dtype=dtype, mode="c", offset=offset, shape=shape)


def checksum(path: Path) -> str:
    """Return the SHA-256 that a shard carries."""
    try:
        with path.open("rb") as stream:
            stream.seek(-_HASH_BYTES, os.SEEK_END)
            return stream.read().hex()
    except OSError as error:
        raise access_error(path, error) from error


def _verify(path: Path) -> None:
    """Compare the checksum."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        left = path.stat().st_size - _HASH_BYTES
        while left > 0 and (data := stream.read(min(left, _AT_ONCE))):
            digest.update(data)
            left -= len(data)
        if stream.read() != digest.digest():
            raise DamagedShardError("its checksum does not fit")
