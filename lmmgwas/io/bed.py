"""The bytes of a PLINK 1 .bed: opened once, watched, and read.

A byte holds four calls, the first in its lowest bits: 00 homozygous for the allele of .bim
column 5 (two copies), 01 missing, 10 heterozygous, 11 no copy. Reading goes through a table of
256 entries, ten times as fast as bed-reader, which is the oracle in the tests.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError
from lmmgwas.io.watched import WatchedFile
from lmmgwas.model.genotypes import MISSING, Calls, Indices
from lmmgwas.numerics.kernels import spread_bytes

HEADER_BYTES = 3

Bytes = NDArray[np.uint8]

_COPIES = np.array([2, MISSING, 1, 0], dtype=np.int8)  # of the codes 00, 01, 10, 11
_CALLS_OF_BYTE: NDArray[np.uint32] = np.ascontiguousarray(
    _COPIES[np.arange(256)[:, None] >> np.array([0, 2, 4, 6]) & 3]
).view(np.uint32)[:, 0]
_CHUNK = 1 << 22  # bytes read at a time for the last bytes
_PAGE = 4096  # where a variant is longer, most pages between the last bytes need no reading


class BedFile:
    """An open .bed of n samples. Several threads may read at a time.

    The descriptor stays open: a file that takes the name later is never read.

    Raises FormatError (E105) for what is not a regular file, OSError where it cannot be opened.
    """

    def __init__(self, path: Path, n_samples: int) -> None:
        self._path = path
        self._n = n_samples
        self.width = (n_samples + 3) // 4
        """Bytes of a variant."""
        self._file = WatchedFile(path)
        self.size = self._file.size
        """Bytes of the file when it was opened."""

    def check_unchanged(self) -> None:
        """Refuse (E106) a file whose size, time or inode is another, or whose name went to one."""
        self._file.check_unchanged()

    def head(self, size: int) -> bytes:
        """Return the first bytes of the file; fewer where it is shorter. Raises OSError."""
        return self._file.pread(size, 0)

    def read(self, index: Indices) -> Calls:
        """Return the calls (b, n) of these variants, C-contiguous.

        Raises FileAccessError (E110) with the variants and the byte offset.
        """
        if not index.size:
            return np.empty((0, self._n), dtype=np.int8)
        packed = self.packed(index)
        spread = np.empty(packed.shape, dtype=np.uint32)
        spread_bytes(packed, _CALLS_OF_BYTE, spread)
        calls: Calls = spread.view(np.int8)[:, : self._n]
        return np.ascontiguousarray(calls)

    def packed(self, index: Indices) -> Bytes:
        """Return the bytes (b, w) of these variants; neighbours in the file are read at once."""
        packed = np.empty((index.size, self.width), dtype=np.uint8)
        ends = np.append(np.flatnonzero(np.diff(index) != 1) + 1, index.size)
        start = 0
        for end in ends.tolist():
            self._read_run(int(index[start]), packed[start:end])
            start = end
        return packed

    def last_bytes(self, m: int) -> Bytes:
        """Return the last byte (m,) of each variant.

        Not through a memory map: a read that fails there kills the process.
        """
        if self.width <= _PAGE:
            rows = max(1, _CHUNK // self.width)
            chunks = (np.arange(k, min(k + rows, m)) for k in range(0, m, rows))
            return np.concatenate([self.packed(chunk)[:, -1] for chunk in chunks])
        # Reading ahead would fetch what is not needed yet.
        os.posix_fadvise(self._file.descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        try:
            last = b"".join(self._single_bytes(m))
        finally:
            os.posix_fadvise(self._file.descriptor, 0, 0, os.POSIX_FADV_NORMAL)
        return np.frombuffer(last, dtype=np.uint8)

    def _single_bytes(self, m: int) -> Iterator[bytes]:
        """The last byte of each variant."""
        for j in range(m):
            offset = HEADER_BYTES + (j + 1) * self.width - 1
            try:
                byte = self._file.pread(1, offset)
            except OSError as error:
                raise self._failed((j, j), offset, offset, error) from error
            if not byte:
                raise self._failed((j, j), offset, offset, _cut())
            yield byte

    def _read_run(self, first: int, out: Bytes) -> None:
        """Fill out (k, w) with variants first, first + 1, ... of the file."""
        offset = HEADER_BYTES + first * self.width
        view = out.reshape(-1).data.cast("B")
        done = 0
        try:
            while done < len(view):
                found = self._file.pread(len(view) - done, offset + done)
                if not found:
                    raise _cut()
                view[done : done + len(found)] = found
                done += len(found)
        except OSError as error:
            variants = first, first + len(out) - 1
            raise self._failed(variants, offset, offset + done, error) from error

    def _failed(
        self, variants: tuple[int, int], start: int, byte: int, error: OSError
    ) -> FileAccessError:
        """What could not be read, and where it broke off."""
        at = (byte - HEADER_BYTES) // self.width
        return FileAccessError(
            "E110",
            f"reading variants {variants[0] + 1} to {variants[1] + 1} (from byte {start}) failed "
            f"at byte {byte}, in variant {at + 1}: {error.strerror or error}; was the file changed "
            "or its disk lost during the run? Start again",
            str(self._path),
        )


def _cut() -> OSError:
    return OSError("the file ends too early")
