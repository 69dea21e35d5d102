"""A request to stop, remembered until it is obeyed.

A signal handler raises, but Python drops exceptions in some places (finalizers, callbacks of
numba's compiler), and with them the request. So the handler notes it here, too, and the run
asks at every step.
"""

_request: list[int] = []


def request(exit_code: int) -> None:
    """Note that the run shall end with this exit code."""
    _request[:] = [exit_code]


def clear() -> None:
    """Forget earlier requests: a new run begins."""
    _request.clear()


def obey() -> None:
    """Leave with the requested exit code, if there was a request."""
    if _request:
        raise SystemExit(_request[0])
