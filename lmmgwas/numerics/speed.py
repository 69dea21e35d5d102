"""How fast this machine multiplies: a tenth of a second's look."""

import time
from collections.abc import Callable

import numpy as np

_N = 1024
_SECONDS = 0.1


def sgemm_rate(seconds: float = _SECONDS, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the floating-point operations a second of a float32 product (1,024 x 1,024).

    The best of some products, with as many threads as BLAS has now: what else the machine does
    meanwhile makes it slower, never faster.
    """
    rng = np.random.default_rng(1)
    left = rng.standard_normal((_N, _N), dtype=np.float32)
    product = np.empty_like(left)
    np.matmul(left, left, out=product)
    began = clock()
    best = float("inf")
    while best == float("inf") or clock() - began < seconds:
        start = clock()
        np.matmul(left, left, out=product)
        best = min(best, clock() - start)
    return 2.0 * _N**3 / best
