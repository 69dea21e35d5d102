"""The bytes of a PLINK 1 .bed: held against the .bim and .fam, then read.

A byte holds four calls, the first in its lowest bits: 00 homozygous for the allele of .bim
column 5 (two copies), 01 missing, 10 heterozygous, 11 no copy. Reading goes through a table of
256 entries, ten times as fast as bed-reader, which is the oracle in the tests.
"""

import os
import stat
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError, FormatError
from lmmgwas.io.text import PLINK_MAGIC, detect_format
from lmmgwas.model.genotypes import MISSING, Calls, Indices, Samples
from lmmgwas.numerics.kernels import spread_bytes

HEADER_BYTES = 3

_COPIES = np.array([2, MISSING, 1, 0], dtype=np.int8)  # of the codes 00, 01, 10, 11
_CALLS_OF_BYTE: NDArray[np.uint32] = np.ascontiguousarray(
    _COPIES[np.arange(256)[:, None] >> np.array([0, 2, 4, 6]) & 3]
).view(np.uint32)[:, 0]
# A sample without any call but homozygous A1 is taken for padding when so many variants ...
_AUDIT_MIN_VARIANTS = 50
# ... make it this improbable (log10), and no other sample comes near it: linked variants and
# inbred lines make the probability, which takes variants as independent, far too small.
_AUDIT_LOG10_P = -9.0
_AUDIT_MAX_SHARE = 0.95
_AUDIT_CALLS = 20_000_000


class BedFile:
    """An open .bed of n samples. Several threads may read at a time."""

    def __init__(self, path: Path, n_samples: int) -> None:
        self._path = path
        self._n = n_samples
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, index: Indices) -> Calls:
        """Return the calls (b, n) of these variants, C-contiguous.

        Raises FileAccessError (E110) with the variants and the byte offset.
        """
        if not index.size:
            return np.empty((0, self._n), dtype=np.int8)
        packed = self._read_bytes(index)
        spread = np.empty(packed.shape, dtype=np.uint32)
        spread_bytes(packed, _CALLS_OF_BYTE, spread)
        calls: Calls = spread.view(np.int8)[:, : self._n]
        return np.ascontiguousarray(calls)

    def _read_bytes(self, index: Indices) -> NDArray[np.uint8]:
        """The bytes (b, w) of these variants; neighbours in the file are read at once."""
        width = _bytes_per_variant(self._n)
        packed = np.empty((index.size, width), dtype=np.uint8)
        ends = np.append(np.flatnonzero(np.diff(index) != 1) + 1, index.size)
        start = 0
        for end in ends.tolist():
            self._read_run(int(index[start]), packed[start:end])
            start = end
        return packed

    def _read_run(self, first: int, out: NDArray[np.uint8]) -> None:
        """Fill out (k, w) with variants first, first + 1, ... of the file."""
        offset = HEADER_BYTES + first * out.shape[1]
        last = first + len(out) - 1
        view = out.reshape(-1).data.cast("B")
        done = 0
        try:
            while done < len(view):
                found = os.pread(self._descriptor, len(view) - done, offset + done)
                if not found:
                    raise OSError("the file ends too early")
                view[done : done + len(found)] = found
                done += len(found)
        except OSError as error:
            message = f"reading variants {first + 1} to {last + 1} (from byte {offset}) failed"
            hint = f"{error}; was the file changed or its disk lost during the run? Start again"
            raise FileAccessError("E110", f"{message}: {hint}", str(self._path)) from error


def _bytes_per_variant(n: int) -> int:
    return (n + 3) // 4


def check_header(bed: Path) -> None:
    """Raise FormatError (E101, E102, E103, E105) unless it begins as a variant-major .bed."""
    # Asked before it is opened: opening a pipe would wait for its writer.
    if not stat.S_ISREG(bed.stat().st_mode):
        message = "not a regular file, which random access needs: copy the data to a file"
        raise FormatError("E105", message, str(bed))
    with bed.open("rb") as handle:
        head = handle.read(4096)
    if len(head) < HEADER_BYTES:
        message = f"{len(head)} bytes, where the header alone takes 3: truncated copy?"
        raise FormatError("E101", message, str(bed))
    if head[:2] != PLINK_MAGIC or head[2] not in (0, 1):
        message = f"not a PLINK .bed file: it begins {head[:3].hex(' ')}, expected 6c 1b 01"
        raise FormatError("E102", f"{message}; {detect_format(head)}", str(bed))
    if head[2] == 0:
        message = "individual-major .bed (mode byte 00, expected 01), which no program writes now"
        raise FormatError("E103", f"{message}: convert it with plink2 --make-bed", str(bed))


def check_size(paths: tuple[Path, Path, Path], n: int, m: int) -> None:
    """Raise FormatError (E101) unless the .bed has the size of n samples and m variants."""
    bed, bim, fam = paths
    have, width = bed.stat().st_size, _bytes_per_variant(n)
    expected = HEADER_BYTES + m * width
    if have == expected:
        return
    off = f"short by {expected - have}" if have < expected else f"{have - expected} too many"
    message = f"{have} bytes, expected {expected} = 3 + {m} variants x ceil({n} samples/4), {off}"
    hints = []
    fits_m, rest_m = divmod(have - HEADER_BYTES, width)
    if fits_m and not rest_m:
        side = f"{fits_m - m} lines short" if fits_m > m else f"{m - fits_m} lines too long"
        hints.append(f"the size fits {fits_m} variants, {bim.name} has {m} ({side}?)")
    fits_width, rest_n = divmod(have - HEADER_BYTES, m)
    if fits_width and not rest_n:
        fits_n = f"{4 * fits_width - 3} to {4 * fits_width}"
        hints.append(f"the size fits {fits_n} samples, {fam.name} has {n}")
    if have < expected:
        hints.append("truncated copy?")
    hints.append("restore the three files from one and the same set")
    raise FormatError("E101", f"{message}; {'; '.join(hints)}", str(bed))


def audit_last_bytes(bed: Path, samples: Samples, m: int) -> str | None:
    """Hold the last byte of each variant against the number of samples.

    A .fam with a line too few leaves calls in the padding bits; with a line too many, padding
    reads as a sample that is homozygous A1 everywhere. Either moves genotypes to other people.

    Returns a warning where such a sample may be genuine.
    """
    n = len(samples)
    width = _bytes_per_variant(n)
    data = np.memmap(bed, dtype=np.uint8, mode="r", offset=HEADER_BYTES, shape=(m, width))
    last = np.array(data[:, -1])
    used = n - 4 * (width - 1)
    n_dirty = int(np.count_nonzero(last >> (2 * used))) if used < 4 else 0
    if n_dirty:
        message = f"bits after the last of {n} samples are set in {n_dirty} of {m} variants"
        remedy = (
            "does the .fam lack a line? Then genotypes would go to the wrong people. Compare it "
            "with its origin; if the count is right, a careless converter wrote the .bed, and "
            "plink2 --make-bed repairs it"
        )
        raise FormatError("E104", f"{message}: {remedy}", str(bed))
    seen = int(np.bitwise_or.reduce(last))
    suspects = 0
    while suspects < used and not (seen >> (2 * (used - 1 - suspects))) & 3:
        suspects += 1
    if not suspects:
        return None
    who = ", ".join(samples.iid[n - suspects :])
    message = f"the last {suspects} of {n} samples ({who}) are homozygous A1 in all {m} variants"
    if _is_padding(data, n, suspects):
        remedy = f"does the .fam have {suspects} lines too many? Compare it with its origin"
        raise FormatError("E104", f"{message}, as padding is: {remedy}", str(bed))
    return f"{bed}: {message}; if that is not so, the .fam has lines too many"


def _is_padding(data: NDArray[np.uint8], n: int, suspects: int) -> bool:
    """Tell whether samples that are homozygous A1 everywhere are too improbable to be genuine."""
    m = data.shape[0]
    if m < _AUDIT_MIN_VARIANTS or n == suspects:
        return False
    n_read = min(m, max(16, min(256, _AUDIT_CALLS // n)))
    rows = np.linspace(0, m - 1, n_read).astype(np.intp)
    codes = (data[rows][:, :, None] >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3
    homozygous = codes.reshape(n_read, -1)[:, : n - suspects] == 0
    # One more sample than there are, so that a share of 0 does not decide alone.
    share = (homozygous.sum(axis=1) + 1) / (n - suspects + 1)
    log10_p = m * float(np.log10(share).mean())
    return log10_p < _AUDIT_LOG10_P and float(homozygous.mean(axis=0).max()) < _AUDIT_MAX_SHARE
