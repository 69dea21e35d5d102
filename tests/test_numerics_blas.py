"""Calls by pointer: that they release the GIL, and what they refuse."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from lmmgwas.numerics import blas
from lmmgwas.numerics.blas import call, call_lapack
from lmmgwas.numerics.linalg import (
    add_outer_in_place,
    cholesky_in_place,
    inverse_in_place,
    solve_lower_rows_in_place,
)

N = 2500
"""A float64 factorisation takes 0.1 s and more, of which a thread that sleeps 1 ms sees 100."""

MIN_WAKE_UPS = 5


class Ticker:
    """A thread that notes the time whenever it wakes up; needs the GIL for each note."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            time.sleep(0.001)
            self.times.append(time.perf_counter())

    def __enter__(self) -> "Ticker":
        self._thread.start()
        while not self.times:
            time.sleep(0.001)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def wake_ups_during(work: Callable[[], object]) -> int:
    """How often another thread ran within the middle eight tenths of the time that work took."""
    with Ticker() as ticker:
        begin = time.perf_counter()
        work()
        end = time.perf_counter()
    margin = 0.1 * (end - begin)
    return sum(begin + margin < when < end - margin for when in ticker.times)


def large(name: str) -> Callable[[], object]:
    """A call that takes a tenth of a second or more."""
    if name == "syrk":
        rows, out = np.ones((N, N)), np.zeros((N, N))
        return lambda: add_outer_in_place(rows, out)
    matrix = np.full((N, N), 0.1)
    matrix.flat[:: N + 1] = N
    if name == "potrf":
        return lambda: cholesky_in_place(matrix)
    if name == "potri":
        return lambda: inverse_in_place(matrix)
    rows = np.ones((N, N))
    return lambda: solve_lower_rows_in_place(matrix, rows)


@pytest.mark.parametrize("name", ["potrf", "potri", "syrk", "trsm"])
def test_other_threads_run_meanwhile(name: str) -> None:
    work = large(name)
    # A call that held the GIL would leave none, on any machine; a free one leaves 50 and more.
    # Three goes, because another process may take both processors for a moment.
    for _ in range(3):
        if wake_ups_during(work) >= MIN_WAKE_UPS:
            return
    pytest.fail(f"{name} holds the GIL")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_letter_of_type_and_scalars(dtype: type) -> None:
    x, y = np.arange(5, dtype=dtype), np.ones(5, dtype=dtype)
    call("axpy", 5, -0.5, x, 1, y, 1)
    np.testing.assert_array_equal(y, 1.0 - 0.5 * np.arange(5))  # exact


def test_strides_are_integers_that_are_counted_in_elements() -> None:
    x, y = np.arange(6.0), np.zeros(3)
    call("copy", 3, x, 2, y, 1)
    assert y.tolist() == [0.0, 2.0, 4.0]


@pytest.mark.parametrize("size", [2**31, -(2**31) - 1, 2**40])
def test_sizes_beyond_32_bits_are_refused(size: int) -> None:
    x, y = np.zeros(2), np.ones(2)
    with pytest.raises(OverflowError, match="32-bit"):
        call("axpy", size, 1.0, x, 1, y, 1)
    with pytest.raises(OverflowError, match=f"potrf: {size} "):
        call_lapack("potrf", b"U", size, np.eye(2), 2)


def test_info_is_returned() -> None:
    assert call_lapack("potrf", b"U", 3, np.eye(3), 3) == 0
    assert call_lapack("potrf", b"U", 3, np.diag([1.0, -1.0, 1.0]), 3) == 2


def test_a_routine_that_scipy_does_not_have() -> None:
    with pytest.raises(ImportError, match="dnothing"):
        call("nothing", np.zeros(1))


def test_whole_numbers_of_another_size_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scipy that is built for 64-bit integers must not be given those of 32 bits."""
    monkeypatch.setattr(blas, "_signature", lambda _: b"void (char *, long *, double *)")
    with pytest.raises(ImportError, match="dpotrf takes other integers"):
        blas._routine.__wrapped__("dpotrf")
