"""Variants, samples and blocks of hard calls: the types that a study is made of.

A block is variant-major: row j holds the calls of variant j for all samples of the
source, as copies (0, 1, 2) of the effect allele, `MISSING` where there is no call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MISSING = -127
"""The code of a missing call in a block (bed-reader's own, so that no copy is made)."""

Calls = NDArray[np.int8]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RawVariants:
    """The variants of a file set as written there, in file order, before any choice."""

    labels: tuple[str, ...]  # the distinct chromosome labels, in order of appearance
    label_code: NDArray[np.int32]  # (m,) index into labels
    pos: Indices  # (m,) base pairs; 0 or negative where unknown
    marker_id: Any  # (m,) pyarrow string array
    effect_allele: Any  # (m,) pyarrow string array: column 5 of the .bim, never flipped
    other_allele: Any  # (m,) pyarrow string array: column 6 of the .bim

    def __len__(self) -> int:
        return self.pos.size


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples of a file set, in file order. IDs are strings, always."""

    fid: tuple[str, ...]  # "" where the file gives none (or "0")
    iid: tuple[str, ...]
    sex: NDArray[np.int8]  # (n,) 1 male, 2 female, 0 unknown

    def __len__(self) -> int:
        return len(self.iid)


class GenotypeSource(Protocol):
    """Where calls come from. A new file format is one class with this shape."""

    @property
    def samples(self) -> Samples: ...

    @property
    def variants(self) -> RawVariants: ...

    def read(self, variant_index: Indices) -> Calls:
        """Return the calls (b, n) of these variants for all samples, variant-major."""
        ...

    def paths(self) -> Sequence[Any]:
        """The files that the source rests on, for the manifest."""
        ...
