"""One variant of a .bed read in the plainest way, to check what the fast reader read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError

_MAGIC = b"\x6c\x1b\x01"
_HEADER_BYTES = 3
_COPIES = np.array([2.0, np.nan, 1.0, 0.0])  # of the codes 00, 01, 10, 11


def read_dosage(paths: Sequence[Any], n_samples: int, row: int) -> NDArray[np.float64] | None:
    """Return the copies (N,) of the allele in column 5 of the .bim, NaN where missing.

    `paths` are .bed, .bim and .fam of one file set after another, `row` counts the variants of
    all. None where they are not .bed files. Raises FileAccessError (E110).
    """
    width = (n_samples + 3) // 4
    for path in (Path(path) for path in paths[::3]):
        try:
            with path.open("rb") as stream:
                if stream.read(_HEADER_BYTES) != _MAGIC:
                    return None
                n_variants = (path.stat().st_size - _HEADER_BYTES) // width
                if row < n_variants:
                    stream.seek(_HEADER_BYTES + row * width)
                    return _decode(stream.read(width), n_samples)
        except OSError as error:
            raise FileAccessError("E110", f"cannot read {path}: {error.strerror}") from error
        row -= n_variants
    raise IndexError("the files have fewer variants")


def _decode(data: bytes, n_samples: int) -> NDArray[np.float64]:
    """Four calls a byte, the first in its lowest bits."""
    codes = np.frombuffer(data, dtype=np.uint8)[:, None] >> np.array([0, 2, 4, 6]) & 3
    return np.asarray(_COPIES[codes.ravel()[:n_samples]])
