"""Ending within 2 s of SIGINT or SIGTERM, even where Python cannot be interrupted.

A handler runs between two instructions of the main thread, and a factorisation is one
instruction of minutes. So a thread of ours hears of the signal, too. The main thread has a
second to leave by itself; then the process ends as it is, which is safe: results get their
names by a rename, and finished steps are on disk.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from lmmgwas import stop

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
_GRACE = 1.0  # seconds for the main thread
_COMMIT = 0.5  # more, where files are being named
_LINGER = 0.3  # for threads that are in the middle of something


@contextlib.contextmanager
def watched(abandon: Callable[[], None]) -> Iterator[None]:
    """Watch over the work inside; `abandon` cleans up before a forced end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread, which somebody else owns
        return
    over = threading.Event()
    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    before = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(receiver, over, abandon), daemon=True)
    watcher.start()
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        code = _code_of(error)
        if code is not None and code in EXIT_CODES.values() and _someone_works(watcher):
            _end(code, abandon)
        raise
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(sender)  # the watcher reads its end
        watcher.join()
        os.close(receiver)


def _watch(receiver: int, over: threading.Event, abandon: Callable[[], None]) -> None:
    while number := os.read(receiver, 1):
        code = EXIT_CODES.get(signal.Signals(number[0]))
        if code is None:
            continue
        stop.request(code)
        if not over.wait(_GRACE):
            stop.wait_until_free(_COMMIT)
            _end(code, abandon)


def _code_of(error: BaseException) -> int | None:
    if isinstance(error, KeyboardInterrupt):
        return EXIT_CODES[signal.SIGINT]
    return error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else None


def _someone_works(watcher: threading.Thread) -> bool:
    """Whether other threads are at work, which the interpreter would wait for."""
    mine = (threading.main_thread(), watcher)
    others = [t for t in threading.enumerate() if t not in mine and not t.daemon]
    for thread in others:
        thread.join(_LINGER / len(others))
    return any(thread.is_alive() for thread in others)


def _end(code: int, abandon: Callable[[], None]) -> None:
    """Leave without waiting for anybody."""
    with contextlib.suppress(Exception):
        abandon()
    with contextlib.suppress(OSError):
        os.write(2, f"Error [E{code}] {describe(code)}\n".encode())
    os._exit(code)


def describe(code: int) -> str:
    """Return what to say of an end by a signal."""
    what = "interrupted" if code == EXIT_CODES[signal.SIGINT] else "terminated"
    return f"{what}: no file is half written; a study goes on with --resume"
