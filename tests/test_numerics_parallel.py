"""Work in order by several threads: the same whatever their number, and it can be stopped."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from lmmgwas.numerics.parallel import (
    ordered_map,
    ordered_streams,
    over_triangle,
    triangle_chunks,
)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 100, 724, 725, 1000, 4096, 20_011])
def test_chunks_cover_each_row_once(n: int) -> None:
    chunks = triangle_chunks(n)
    rows = np.concatenate([np.arange(first, stop) for first, stop in chunks])
    np.testing.assert_array_equal(rows, np.arange(n))


def test_chunks_have_like_areas() -> None:
    area = [(stop * (stop + 1) - first * (first + 1)) / 2 for first, stop in triangle_chunks(4096)]
    assert len(area) == 16
    # Rounding an end to a whole row moves at most half a row of 4096 of 524,000 values.
    assert max(area) / min(area) < 1.02


@pytest.mark.parametrize("threads", [1, 2, 3, 40])
@pytest.mark.parametrize("n", [1, 100, 1000])
def test_over_triangle_covers_each_row_once(n: int, threads: int) -> None:
    seen = np.zeros(n, dtype=int)
    lock = threading.Lock()

    def work(chunk: tuple[int, int]) -> None:
        with lock:
            seen[chunk[0] : chunk[1]] += 1

    over_triangle(n, threads, work)
    assert (seen == 1).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_over_triangle_raises_what_its_work_raises(threads: int) -> None:
    def work(chunk: tuple[int, int]) -> None:
        raise ArithmeticError(str(chunk[0]))

    with pytest.raises(ArithmeticError, match=r"^0$"):
        over_triangle(1000, threads, work)


def slow_square(k: int) -> int:
    """Later items are done first."""
    time.sleep(0.002 * (k % 3 == 0))
    return k * k


@pytest.mark.parametrize("ahead", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order(threads: int, ahead: int) -> None:
    assert list(ordered_map(slow_square, range(20), threads, ahead)) == [k * k for k in range(20)]
    assert list(ordered_map(slow_square, [], threads, ahead)) == []


@pytest.mark.parametrize("ahead", [1, 2, 5])
@pytest.mark.parametrize("threads", [1, 3])
def test_never_more_than_ahead_are_begun(threads: int, ahead: int) -> None:
    drawn, begun, taken = 0, 0, 0
    lock = threading.Lock()

    def items() -> Iterator[int]:
        nonlocal drawn
        for k in range(30):
            drawn += 1
            assert drawn - taken <= ahead
            yield k

    def work(k: int) -> int:
        nonlocal begun
        with lock:
            begun += 1
            assert begun - taken <= ahead
        return k

    for k in ordered_map(work, items(), threads, ahead):
        assert k == taken
        time.sleep(0.001)  # for the threads to run ahead as far as they may
        taken += 1
    assert begun == 30


@pytest.mark.parametrize("place", [0, 1, 6, 11])
@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_comes_where_its_result_would_have(threads: int, place: int) -> None:
    begun: list[int] = []

    def work(k: int) -> int:
        begun.append(k)
        if k >= place:
            raise ArithmeticError(str(k))
        return k

    results = ordered_map(work, range(1000), threads, 4)
    assert [next(results) for _ in range(place)] == list(range(place))
    with pytest.raises(ArithmeticError, match=rf"^{place}$"):
        next(results)
    assert len(begun) <= place + 4


@pytest.mark.parametrize("threads", [1, 3])
def test_closing_stops_the_work(threads: int) -> None:
    begun: list[int] = []

    def work(k: int) -> int:
        begun.append(k)
        time.sleep(0.002)
        return k

    results = ordered_map(work, range(10_000), threads, 6)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    n_begun = len(begun)
    assert n_begun <= 2 + 6
    time.sleep(0.02)
    assert len(begun) == n_begun  # close() waited for what was at work


def test_an_exception_of_the_items_comes_through() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    results = ordered_map(slow_square, items(), 2, 1)
    assert next(results) == 1
    with pytest.raises(LookupError):
        next(results)


# --- Streams in lanes -------------------------------------------------------------------------


def stream(item: int) -> Iterator[tuple[int, int]]:
    """Three results of an item, later items faster than earlier ones."""
    for k in range(3):
        time.sleep(0.002 / (1 + item))
        yield item, k


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("n_items", [0, 1, 2, 7])
def test_streams_come_one_after_the_other(lanes: int, n_items: int) -> None:
    items = list(range(n_items))
    expected = [(item, k) for item in items for k in range(3)]
    assert list(ordered_streams(stream, items, lanes)) == expected


def test_no_more_lanes_than_asked_for_work_at_a_time() -> None:
    lock = threading.Lock()
    working: set[int] = set()
    most = 0

    def begin(item: int) -> Iterator[int]:
        nonlocal most
        with lock:
            working.add(item)
            most = max(most, len(working))
        time.sleep(0.005)
        yield item
        with lock:
            working.remove(item)

    assert list(ordered_streams(begin, list(range(8)), 2)) == list(range(8))
    assert most == 2


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_an_error_comes_after_what_was_yielded_before_it(lanes: int) -> None:
    def begin(item: int) -> Iterator[int]:
        yield 10 * item
        if item == 1:
            raise ValueError("item 1")
        yield 10 * item + 1

    results = ordered_streams(begin, [0, 1, 2, 3], lanes)
    assert [next(results) for _ in range(3)] == [0, 1, 10]
    with pytest.raises(ValueError, match="item 1"):
        next(results)


def test_a_closed_stream_stops_its_lanes() -> None:
    """SystemExit, too, is raised where the results are taken, and nothing goes on behind it."""
    begun: list[int] = []

    def begin(item: int) -> Iterator[int]:
        begun.append(item)
        while True:
            time.sleep(0.001)
            yield item

    results = ordered_streams(begin, list(range(50)), 2)
    assert next(results) == 0
    results.close()
    n_begun = len(begun)
    assert n_begun <= 3
    time.sleep(0.02)
    assert len(begun) == n_begun
    assert not [t for t in threading.enumerate() if "ThreadPool" in t.name and t.is_alive()]
