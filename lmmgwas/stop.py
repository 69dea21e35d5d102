"""A request to stop, remembered until it is obeyed.

A signal handler raises, but Python drops exceptions in some places (finalizers, callbacks of
numba's compiler), and with them the request. So the handler notes it here, too, and the run
asks at every step.
"""

import contextlib
from collections.abc import Iterator
from threading import Event

_request: list[int] = []
_free = Event()
_free.set()


def request(exit_code: int) -> None:
    """Note that the run shall end with this exit code."""
    _request[:] = [exit_code]


def clear() -> None:
    """Forget earlier requests: a new run begins."""
    _request.clear()


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """Do a short thing that a request must not tear apart."""
    _free.clear()
    try:
        yield
    finally:
        _free.set()


def wait_until_free(seconds: float) -> None:
    """Wait for the end of what is `held_off`, but no longer than this."""
    _free.wait(seconds)


def obey() -> None:
    """Leave with the requested exit code, if there was a request."""
    if _request:
        raise SystemExit(_request[0])
