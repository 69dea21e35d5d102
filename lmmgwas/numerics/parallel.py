"""Threads for what BLAS does not do: rows of a triangle, and ordered work ahead of its user.

The division of the work never depends on the number of threads, so that results do not either.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np

_N_CHUNKS = 16
_WORTH_THREADS = 1 << 18  # values of a triangle

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def triangle_chunks(n: int) -> list[tuple[int, int]]:
    """Return ranges of rows (first, stop) of a lower triangle of n rows, of like area."""
    n_chunks = _N_CHUNKS if n * n > 2 * _WORTH_THREADS else 1
    ends = np.round(n * np.sqrt(np.arange(n_chunks + 1) / n_chunks)).astype(int).tolist()
    return [(a, b) for a, b in pairwise(ends) if b > a]


def over_triangle(n: int, threads: int, work: Callable[[tuple[int, int]], None]) -> None:
    """Call `work` on each chunk of a triangle of n rows, several at a time.

    `work` releases the GIL (a kernel) and writes to rows of its own.
    """
    chunks = triangle_chunks(n)
    if threads == 1 or len(chunks) == 1:
        for chunk in chunks:
            work(chunk)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, chunks):
            pass


def ordered_map(
    work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int, ahead: int
) -> Iterator[_Result]:
    """Yield work(item) in the order of the items, at most `ahead` of them begun and not taken.

    An exception of `work` is raised where its result would have come; what was not begun by
    then, or when the iterator is closed, is not begun any more.
    """
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[_Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
