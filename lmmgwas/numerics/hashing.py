"""Hashes of many short strings, to find equal ones without a table of them all.

FNV-1a, 64 bits. Equal strings have equal hashes; strings that share a hash are to be compared.
"""

import numpy as np
from numpy.typing import NDArray

from lmmgwas.numerics.jit import kernel


@kernel
def hash_strings(
    at: NDArray[np.int32], data: NDArray[np.uint8], hashes: NDArray[np.uint64]
) -> None:
    """Write the hash (m,) of each string; string j is data[at[j]:at[j + 1]], at is (m + 1,)."""
    for j in range(hashes.size):
        value = np.uint64(14695981039346656037)
        for k in range(at[j], at[j + 1]):
            value = (value ^ np.uint64(data[k])) * np.uint64(1099511628211)
        hashes[j] = value
