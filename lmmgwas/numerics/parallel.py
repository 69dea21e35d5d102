"""Threads for what BLAS does not do: rows of a triangle, and ordered work ahead of its user.

The division of the work never depends on the number of threads, so that results do not either.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from threading import Event
from typing import Generic, TypeVar

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


def over_triangle(
    n: int, threads: int, work: Callable[[tuple[int, int]], None], first: int = 0
) -> None:
    """Call `work` on each chunk of rows `first` and later of a triangle of n rows, in parallel.

    `work` releases the GIL (a kernel) and writes to rows of its own.
    """
    chunks = [(max(a, first), b) for a, b in triangle_chunks(n) if b > first]
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


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a stream, and what ended it before its time."""

    error: BaseException | None


class _Lane(Generic[_Result]):
    """The results of one stream, filled by one thread and emptied by another."""

    def __init__(self, begin: Callable[[], Iterator[_Result]], halt: Event) -> None:
        self._begin = begin
        self._halt = halt
        self._queue: SimpleQueue[tuple[_Result] | _End] = SimpleQueue()

    def fill(self) -> None:
        """Work to the end, or until nobody wants the results."""
        try:
            for result in self._begin():
                if self._halt.is_set():
                    return
                self._queue.put((result,))
            self._queue.put(_End(None))
        except BaseException as error:  # it is raised again where the results are taken
            self._queue.put(_End(error))

    def empty(self) -> Iterator[_Result]:
        """Yield what comes, and raise what ended it before its time."""
        while isinstance(found := self._queue.get(), tuple):
            yield found[0]
        if found.error is not None:
            raise found.error


def ordered_streams(
    begin: Callable[[_Item], Iterator[_Result]], items: Sequence[_Item], lanes: int
) -> Iterator[_Result]:
    """Yield what begin(item) yields, item after item, with up to `lanes` of them at work.

    What later items yield meanwhile waits in memory. An exception is raised where its result
    would have come; then, or when the iterator is closed, the other lanes stop at their next
    result.
    """
    if lanes == 1 or len(items) == 1:
        for item in items:
            yield from begin(item)
        return
    halt = Event()
    queues = [_Lane(partial(begin, item), halt) for item in items]
    with ThreadPoolExecutor(lanes) as pool:
        try:
            for queue in queues:
                pool.submit(queue.fill)
            for queue in queues:
                yield from queue.empty()
        finally:
            halt.set()
            pool.shutdown(wait=False, cancel_futures=True)
