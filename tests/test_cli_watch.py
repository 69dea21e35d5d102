"""Signals end a run within 2 s, whatever it is in."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lmmgwas import stop
from lmmgwas.cli import watch
from lmmgwas.cli.watch import watched

IN_LAPACK = """
import sys, pathlib
from lmmgwas.cli import main, watch
from lmmgwas.numerics.processor import prepare_blas
prepare_blas()
import signal, numpy as np
from lmmgwas.numerics.linalg import symmetric_eigen
signal.signal(signal.SIGTERM, main._terminate)
signal.signal(signal.SIGINT, main._interrupt)
place = pathlib.Path(sys.argv[1])
A = np.random.default_rng(0).normal(size=(6000, 6000))
A += A.T
with watch.watched(lambda: (place / "abandoned").touch()):
    (place / "begun").touch()
    symmetric_eigen(A)
"""

IN_A_THREAD = """
import sys, pathlib, signal, time
from concurrent.futures import ThreadPoolExecutor
from lmmgwas.cli import main, watch
signal.signal(signal.SIGTERM, main._terminate)
signal.signal(signal.SIGINT, main._interrupt)
place = pathlib.Path(sys.argv[1])
with watch.watched(lambda: (place / "abandoned").touch()):
    pool = ThreadPoolExecutor(1)
    future = pool.submit(time.sleep, 60)
    (place / "begun").touch()
    try:
        time.sleep(60)
    finally:
        pool.shutdown(wait=False)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("script", [IN_LAPACK, IN_A_THREAD], ids=["LAPACK", "thread"])
def test_the_process_ends_within_two_seconds(
    tmp_path: Path, script: str, number: signal.Signals
) -> None:
    """A decomposition of n = 6,000 takes half a minute and more; a pool is waited for at exit."""
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + 60.0
        while not (tmp_path / "begun").exists():
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.3)
        run.send_signal(number)
        sent = time.monotonic()
        said = run.communicate(timeout=30)[1].decode()
        took = time.monotonic() - sent
    assert run.returncode == watch.EXIT_CODES[number], said
    assert took < 2.0
    assert f"[E{run.returncode}]" in said
    assert "Traceback" not in said
    assert (tmp_path / "abandoned").exists()


def _be_told_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5.0)


def test_work_that_leaves_by_itself_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("forced"))
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with pytest.raises(SystemExit) as left, watched(lambda: pytest.fail("abandoned")):
            _be_told_to_stop()
    finally:
        signal.signal(signal.SIGTERM, before)
        stop.clear()
    assert left.value.code == 143
    assert signal.set_wakeup_fd(-1) == -1  # as it was


def test_other_signals_are_not_its_business() -> None:
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
    try:
        with watched(lambda: pytest.fail("abandoned")):
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.1)
        stop.obey()  # no request
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [1]


def test_other_exits_pass() -> None:
    with pytest.raises(SystemExit) as left, watched(lambda: pytest.fail("abandoned")):
        sys.exit(141)
    assert left.value.code == 141


def test_outside_the_main_thread_it_does_nothing() -> None:
    done = []

    def work() -> None:
        with watched(lambda: None):
            done.append(signal.set_wakeup_fd)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


def test_a_commit_is_waited_for() -> None:
    """Files are being named: the forced end comes after that, or half a second later."""
    entered = threading.Event()

    def commit() -> None:
        with stop.held_off():
            entered.set()
            time.sleep(0.2)

    thread = threading.Thread(target=commit)
    thread.start()
    entered.wait()
    began = time.monotonic()
    stop.wait_until_free(5.0)
    assert 0.05 < time.monotonic() - began < 2.0
    thread.join()
    began = time.monotonic()
    stop.wait_until_free(5.0)
    assert time.monotonic() - began < 0.1
