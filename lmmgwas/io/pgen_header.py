"""The header of a .pgen: how many variants and samples, and where each record lies.

Read apart from pgenlib, so that a file that was cut, or whose index was damaged, is refused with
its numbers before anything is computed from it. Source: the PLINK 2 file format specification
(plink-ng, pgen_spec), sections "Header" and "Variant records". Records have no checksums.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FormatError
from lmmgwas.io.text import PLINK_MAGIC, detect_format
from lmmgwas.io.watched import WatchedFile
from lmmgwas.model.genotypes import Indices

_FIXED_BYTES = 12  # magic number, mode, counts, how the rest is laid out
_BLOCK = 1 << 16  # variants
_BED, _CALLS_ONLY, _DOSAGES, _PHASED_DOSAGES = 0x01, 0x02, 0x03, 0x04
_VARIABLE, _EXTENDED = 0x10, 0x11
_INDEX_APART = (0x20, 0x21)
_MULTIALLELIC, _HAS_DOSAGES = 0x08, 0x60  # bits of a record's type
_TOLD_BY_PVAR, _ALL_REFERENCE, _ALL_PROVISIONAL, _EACH = range(4)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class PgenHeader:
    """What the header says."""

    n_variants: int
    n_samples: int
    has_dosages: bool
    multiallelic: Indices  # rows with calls of more than two alleles
    provisional: NDArray[np.bool_] | None  # (m,) REF is a guess; None: the .pvar tells


def read_pgen_header(file: WatchedFile) -> PgenHeader:
    """Read the header and hold it against the size of the file.

    Raises
    ------
    FormatError
        E140 (not a .pgen), E141 (size, or an index that contradicts itself), E142 (a storage mode
        that is not read).
    OSError
        where the file cannot be read.
    """
    head = file.pread(4096, 0)
    mode = _require_mode(head, file.path)
    if file.size < _FIXED_BYTES:
        raise _truncated(file, f"{file.size} bytes, where the header alone takes more")
    m, n = (int(count) for count in np.frombuffer(head, dtype="<u4", count=2, offset=3))
    if not m or not n:
        raise _truncated(file, f"the header tells of {m} variants and {n} samples")
    control = head[_FIXED_BYTES - 1]
    if mode in (_VARIABLE, _EXTENDED):
        return _variable(file, m, n, control, extended=mode == _EXTENDED)
    return _fixed(file, m, n, control, mode)


def _require_mode(head: bytes, path: Path) -> int:
    """Return the storage mode; refuse what is no .pgen, and modes that are not read."""
    if head[:2] != PLINK_MAGIC or len(head) < 3:
        message = f"not a .pgen file: it begins {head[:3].hex(' ') or 'nowhere'}, expected 6c 1b"
        raise FormatError("E140", f"{message}; {detect_format(head)}", str(path))
    mode = head[2]
    if mode in (0, _BED):
        message = "this is a PLINK 1 .bed under the name of a .pgen"
        raise FormatError("E142", f"{message}: give --bed, --bim and --fam", str(path))
    remedy = "write it again: plink2 --pfile PREFIX --make-pgen --out NEW"
    if mode in _INDEX_APART:
        message = f"storage mode {mode:#04x}: its index is in a .pgen.pgi of its own"
        raise FormatError("E142", f"{message}, which is not read; {remedy}", str(path))
    if mode not in (_CALLS_ONLY, _DOSAGES, _PHASED_DOSAGES, _VARIABLE, _EXTENDED):
        message = f"storage mode {mode:#04x} is unknown: a damaged header, or a newer format?"
        raise FormatError("E142", f"{message} Else {remedy}", str(path))
    return mode


def _fixed(file: WatchedFile, m: int, n: int, control: int, mode: int) -> PgenHeader:
    """Records of one size: calls, and with dosages 2 or 4 bytes more of each sample."""
    start = _FIXED_BYTES
    flags = _read(file, start, (m + 7) // 8 if control >> 6 == _EACH else 0)
    start += flags.size
    more = {_CALLS_ONLY: 0, _DOSAGES: 2, _PHASED_DOSAGES: 4}[mode]
    expected = start + m * ((n + 3) // 4 + more * n)
    if control & 0x3F or file.size != expected:
        said = f"{file.size} bytes, expected {expected} of {m} variants and {n} samples"
        raise _truncated(file, said)
    provisional = _bits(flags, m) if flags.size else _same_for_all(control, m)
    return PgenHeader(m, n, more > 0, np.empty(0, dtype=np.int64), provisional)


def _variable(file: WatchedFile, m: int, n: int, control: int, *, extended: bool) -> PgenHeader:
    """Records of sizes of their own, indexed in blocks of 65,536 variants."""
    n_blocks = -(-m // _BLOCK)
    type_bits, length_bytes = (8 if control & 4 else 4), (control & 3) + 1
    if control & 8:
        message = f"its index is laid out in an unknown way ({control & 15}): a damaged header?"
        raise FormatError("E142", f"{message} Copy the file again", str(file.path))
    starts = _read(file, _FIXED_BYTES, 8 * n_blocks).view("<u8").astype(np.int64)
    at = _FIXED_BYTES + 8 * n_blocks
    types, flags, ends = [], [], []
    for block in range(n_blocks):
        size = min(_BLOCK, m - block * _BLOCK)
        kinds = _read(file, at, (size * type_bits + 7) // 8)
        lengths = _read(file, at + kinds.size, size * length_bytes)
        at += kinds.size + lengths.size + size * (control >> 4 & 3)
        types.append(kinds if type_bits == 8 else _halves(kinds, size))
        ends.append(int(starts[block]) + _total(lengths, length_bytes))
        if control >> 6 == _EACH:
            flags.append(_read(file, at, (size + 7) // 8))
            at += flags[-1].size
    _check_places(file, starts, np.array(ends, dtype=np.int64), at, extended=extended)
    each = [_bits(some, min(_BLOCK, m - k * _BLOCK)) for k, some in enumerate(flags)]
    provisional = np.concatenate(each) if each else _same_for_all(control, m)
    kind = np.concatenate(types)
    multiallelic = np.flatnonzero(kind & _MULTIALLELIC)
    return PgenHeader(m, n, bool((kind & _HAS_DOSAGES).any()), multiallelic, provisional)


def _check_places(
    file: WatchedFile, starts: Indices, ends: Indices, header_end: int, *, extended: bool
) -> None:
    """Blocks lie one behind the other, between the header and the end of the file.

    With extensions there may be more in the header, and after the last record.
    """
    if extended:
        first, last = int(starts[0]) > header_end, int(ends[-1]) <= file.size
    else:
        first, last = int(starts[0]) == header_end, int(ends[-1]) == file.size
    if not last:
        end = int(ends[-1])
        off = f"short by {end - file.size}" if end > file.size else f"{file.size - end} too many"
        raise _truncated(file, f"{file.size} bytes, and its records end at byte {end}, {off}")
    if not first or (starts[1:] != ends[:-1]).any():
        raise _truncated(file, "its index contradicts itself: records do not follow each other")


def _truncated(file: WatchedFile, what: str) -> FormatError:
    remedy = "truncated or damaged copy? Copy the file again, or restore it"
    return FormatError("E141", f"{what}: {remedy}", str(file.path))


def _read(file: WatchedFile, at: int, size: int) -> Bytes:
    """Return bytes of the header, which must be there."""
    if at + size > file.size:
        raise _truncated(file, f"{file.size} bytes, where the header alone ends past {at + size}")
    pieces = []
    while size:
        piece = file.pread(size, at)
        if not piece:
            raise _truncated(file, f"the file ends at byte {at}, within its header")
        pieces.append(piece)
        at, size = at + len(piece), size - len(piece)
    return np.frombuffer(b"".join(pieces), dtype=np.uint8)


def _halves(packed: Bytes, count: int) -> Bytes:
    """Return numbers of 4 bits, the lower half of each byte first."""
    halves = np.empty(2 * packed.size, dtype=np.uint8)
    halves[::2] = packed & 15
    halves[1::2] = packed >> 4
    return halves[:count]


def _total(packed: Bytes, width: int) -> int:
    """Return the sum of little-endian numbers of `width` bytes."""
    columns = packed.reshape(-1, width).sum(axis=0, dtype=np.int64)
    return sum(int(column) << (8 * k) for k, column in enumerate(columns))


def _bits(packed: Bytes, count: int) -> NDArray[np.bool_]:
    """Return single bits, the lowest of each byte first."""
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)


def _same_for_all(control: int, m: int) -> NDArray[np.bool_] | None:
    """Whether REF is provisional where all variants are alike; None where the .pvar tells."""
    how = control >> 6
    if how == _TOLD_BY_PVAR:
        return None
    return np.full(m, how == _ALL_PROVISIONAL, dtype=np.bool_)
