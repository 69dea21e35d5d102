"""One variant of a .pgen read in the plainest way, to check what the usual reader read."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmmgwas.errors import FileAccessError

_NONE = -9.0  # of pgenlib


def read_pgen_dosage(paths: Sequence[Any], n_samples: int, row: int) -> NDArray[np.float64]:
    """Return the copies (N,) of ALT, dosages where the file has them, NaN where missing.

    `paths` are .pgen, .pvar and .psam of one file set after another, `row` counts the variants of
    all. The file is opened anew. Raises FileAccessError (E110).
    """
    import pgenlib

    for path in (Path(path) for path in paths[::3]):
        try:
            with pgenlib.PgenReader(os.fsencode(path), raw_sample_ct=n_samples) as reader:
                n_variants = reader.get_variant_ct()
                if row < n_variants:
                    copies = np.empty(n_samples)
                    reader.read_dosages(row, copies)
                    return np.where(copies == _NONE, np.nan, copies)
        except (RuntimeError, OSError) as error:
            raise FileAccessError("E110", f"cannot read {path}: {error}") from error
        row -= n_variants
    raise IndexError("the files have fewer variants")
