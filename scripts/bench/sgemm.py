"""The yardstick: how fast this machine multiplies matrices of the scan's shape.

    python scripts/bench/sgemm.py N THREADS

Multiplies n x n by n x 1024 in single precision with the BLAS of numpy, set up as lmmgwas sets
it up, and prints JSON: the median rate in GFLOP/s, numpy's version, and the BLAS libraries. It
runs in a process of its own, because the set-up must come before numpy.
"""

import json
import statistics
import sys
import time

from lmmgwas.numerics.processor import prepare_blas
from lmmgwas.numerics.threads import blas_libraries, limited_blas

COLUMNS = 1024
_SECONDS = 4.0
_MIN_TIMES = 5


def rate(n: int) -> float:
    """Return the median of several products, in operations per second."""
    import numpy as np

    rng = np.random.default_rng(1)
    left = rng.standard_normal((n, n), dtype=np.float32)
    right = rng.standard_normal((n, COLUMNS), dtype=np.float32)
    product = np.empty((n, COLUMNS), dtype=np.float32)
    np.matmul(left, right, out=product)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _MIN_TIMES or time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        np.matmul(left, right, out=product)
        times.append(time.perf_counter() - start)
    return 2.0 * n * n * COLUMNS / statistics.median(times)


def main() -> None:
    """Measure, and print."""
    n, threads = map(int, sys.argv[1:])
    prepare_blas()
    with limited_blas(threads):
        import numpy as np

        gflops = rate(n) / 1e9
        libraries = blas_libraries()
    print(json.dumps({"gflops": gflops, "numpy": np.__version__, "blas": libraries}))


if __name__ == "__main__":
    main()
