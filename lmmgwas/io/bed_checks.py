"""A .bed held against its .bim and .fam before anything is read from it.

The format has no counts and no IDs: a line too few or too many in a text file moves genotypes to
other people or variants. What can be told is told here: header, size, and the last byte of each
variant.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FormatError
from lmmgwas.io.bed import HEADER_BYTES, BedFile
from lmmgwas.io.text import PLINK_MAGIC, detect_format
from lmmgwas.model.genotypes import Samples

# A sample without any call but homozygous A1 is taken for padding when so many variants ...
_AUDIT_MIN_VARIANTS = 50
# ... make it this improbable (log10), and no other sample comes near it: linked variants and
# inbred lines make the probability, which takes variants as independent, far too small.
_AUDIT_LOG10_P = -9.0
_AUDIT_MAX_SHARE = 0.95
_AUDIT_CALLS = 20_000_000


def check_bed(bed: BedFile, paths: tuple[Path, Path, Path], samples: Samples, m: int) -> str | None:
    """Hold the .bed against n samples and m variants; `paths` are its own, the .bim's, the .fam's.

    Returns a warning where the last samples look like padding and may be genuine.

    Raises
    ------
    FormatError
        E101 (size), E102 (not a .bed), E103 (individual-major), E104 (last bytes).
    """
    n = len(samples)
    _check_header(bed, paths[0], n, m)
    _check_size(bed, paths, n, m)
    return _audit_last_bytes(bed, paths[0], samples, m)


def _check_header(bed: BedFile, path: Path, n: int, m: int) -> None:
    """Raise unless it begins as a variant-major .bed."""
    head = bed.head(4096)
    if len(head) < HEADER_BYTES:
        message = f"{len(head)} bytes, where the header alone takes 3: truncated copy?"
        raise FormatError("E101", message, str(path))
    if head[:2] != PLINK_MAGIC or head[2] not in (0, 1):
        message = f"not a PLINK .bed file: it begins {head[:3].hex(' ')}, expected 6c 1b 01"
        raise FormatError("E102", f"{message}; {detect_format(head)}", str(path))
    if head[2] == 1:
        return
    said = "the mode byte is 00 (individual-major), expected 01"
    if bed.size == _expected(n, m) != _expected(m, n):
        message = f"{said}, but the size, {bed.size} bytes, is that of a variant-major file"
        remedy = "a damaged header? Restore the file, or make it again with plink2 --make-bed"
    else:
        message = f"{said}: no program writes such files now"
        remedy = "convert it with plink2 --make-bed"
    raise FormatError("E103", f"{message}; {remedy}", str(path))


def _expected(n: int, m: int) -> int:
    """Bytes of a file of m rows of n calls."""
    return HEADER_BYTES + m * ((n + 3) // 4)


def _check_size(bed: BedFile, paths: tuple[Path, Path, Path], n: int, m: int) -> None:
    """Raise unless the .bed has the size of n samples and m variants."""
    have, expected = bed.size, _expected(n, m)
    if have == expected:
        return
    off = f"short by {expected - have}" if have < expected else f"{have - expected} too many"
    message = f"{have} bytes, expected {expected} = 3 + {m} variants x ceil({n} samples/4), {off}"
    hints = _likely_counts(have, paths, n, m)
    if have < expected:
        hints.append("truncated copy?")
    hints.append("restore the three files from one and the same set")
    raise FormatError("E101", f"{message}; {'; '.join(hints)}", str(paths[0]))


def _likely_counts(have: int, paths: tuple[Path, Path, Path], n: int, m: int) -> list[str]:
    """Which counts of variants or samples the size would fit."""
    _, bim, fam = paths
    hints = []
    fits_m, rest_m = divmod(have - HEADER_BYTES, (n + 3) // 4)
    if fits_m and not rest_m:
        side = f"{fits_m - m} lines short" if fits_m > m else f"{m - fits_m} lines too long"
        hints.append(f"the size fits {fits_m} variants, {bim.name} has {m} ({side}?)")
    fits_width, rest_n = divmod(have - HEADER_BYTES, m)
    if fits_width and not rest_n:
        fits_n = f"{4 * fits_width - 3} to {4 * fits_width}"
        hints.append(f"the size fits {fits_n} samples, {fam.name} has {n}")
    if have == _expected(m, n):
        hints.append(f"the size fits {m} samples and {n} variants: are .bim and .fam exchanged?")
    return hints


def _audit_last_bytes(bed: BedFile, path: Path, samples: Samples, m: int) -> str | None:
    """Hold the last byte of each variant against the number of samples.

    A .fam with a line too few leaves calls in the padding bits; with a line too many, padding
    reads as a sample that is homozygous A1 everywhere. Either moves genotypes to other people.
    """
    n = len(samples)
    last = bed.last_bytes(m)
    used = n - 4 * (bed.width - 1)
    n_dirty = int(np.count_nonzero(last >> (2 * used))) if used < 4 else 0
    if n_dirty:
        message = f"bits after the last of {n} samples are set in {n_dirty} of {m} variants"
        remedy = (
            "does the .fam lack a line? Then genotypes would go to the wrong people: compare it "
            "with its origin. If the count is right, a converter wrote the .bed that leaves "
            "unused bits set, as PLINK and bed-reader do not: plink2 --make-bed repairs it"
        )
        raise FormatError("E104", f"{message}: {remedy}", str(path))
    seen = int(np.bitwise_or.reduce(last))
    suspects = 0
    while suspects < used and not (seen >> (2 * (used - 1 - suspects))) & 3:
        suspects += 1
    if not suspects:
        return None
    who = ", ".join(samples.iid[n - suspects :])
    message = f"the last {suspects} of {n} samples ({who}) are homozygous A1 in all {m} variants"
    if _is_padding(bed, n, m, suspects):
        remedy = (
            f"does the .fam have {suspects} lines too many? Then genotypes would go to the wrong "
            "people: compare it with its origin"
        )
        raise FormatError("E104", f"{message}, as padding is: {remedy}", str(path))
    return f"{path}: {message}; if that is not so, the .fam has lines too many"


def _is_padding(bed: BedFile, n: int, m: int, suspects: int) -> bool:
    """Tell whether samples that are homozygous A1 everywhere are too improbable to be genuine."""
    if m < _AUDIT_MIN_VARIANTS or n == suspects:
        return False
    n_read = min(m, max(16, min(256, _AUDIT_CALLS // n)))
    rows: NDArray[np.int64] = np.linspace(0, m - 1, n_read).astype(np.int64)
    homozygous = bed.read(rows)[:, : n - suspects] == 2
    # One more sample than there are, so that a share of 0 does not decide alone.
    share = (homozygous.sum(axis=1) + 1) / (n - suspects + 1)
    log10_p = m * float(np.log10(share).mean())
    return log10_p < _AUDIT_LOG10_P and float(homozygous.mean(axis=0).max()) < _AUDIT_MAX_SHARE
