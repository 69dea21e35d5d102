"""A Dask cluster as the place where the tasks of a study are done.

Futures only: what goes through the scheduler are a few hundred bytes a task, what tasks make lies
on storage that the workers share. A task that is lost with its worker is done again by another.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmmgwas import stop
from lmmgwas.errors import FileAccessError, LmmgwasError, UsageError
from lmmgwas.pipeline.logbook import Logbook
from lmmgwas.pipeline.options import ClusterOptions
from lmmgwas.pipeline.tasks import (
    Order,
    StudyProcess,
    Task,
    TaskDone,
    TaskFailed,
    failure_of,
)

_RETRIES = 5  # of a task whose worker is lost, or that fails as no task should
_WAIT = 0.5  # seconds between looks at the workers
_POLL = 0.02  # between looks at what is done

_SETTINGS = {
    "distributed.scheduler.allowed-failures": _RETRIES,
    "distributed.worker.memory.terminate": False,  # mapped matrices count as used memory there
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "logging.distributed": "error",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A task, and the tasks (by place in the list) that come before it."""

    task: Task
    after: tuple[int, ...] = ()


class Cluster:
    """A cluster that does tasks."""

    def __init__(self, client: Any, log: Logbook) -> None:
        self._client = client
        self._log = log
        self._known = self.n_workers()
        self._asked = 0.0

    def n_workers(self) -> int:
        """Return how many workers there are now."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def do(
        self, order: Order, calls: Sequence[Call], finished: Callable[[Call, TaskDone], None]
    ) -> None:
        """Do all tasks; `finished` hears of each as it ends.

        Raises what a task raised.
        """
        futures: list[Any] = []
        for call in calls:
            after = [futures[k] for k in call.after]
            futures.append(
                self._client.submit(do_task, order, call.task, after, pure=False, retries=_RETRIES)
            )
        try:
            self._gather(dict(zip(futures, calls, strict=True)), finished)
        finally:
            self._client.cancel(futures)

    def _gather(self, waiting: dict[Any, Call], finished: Callable[[Call, TaskDone], None]) -> None:
        from distributed import as_completed

        done, total = 0, len(waiting)
        results = as_completed(waiting, raise_errors=False)
        while waiting:
            stop.obey()
            self._say_workers()
            if not results.has_ready():
                time.sleep(_POLL)
                continue
            future = next(results)
            call = waiting.pop(future)
            found = _result_of(future)
            if isinstance(found, TaskFailed):
                raise found.as_error()
            for text in found.warnings:
                self._log.repeat(text)
            done += 1
            self._log.detail(f"task {done} of {total} by {found.worker}: {call.task}")
            finished(call, found)
            future.release()

    def _say_workers(self) -> None:
        """Say when workers come or go."""
        if time.monotonic() - self._asked < _WAIT:
            return
        self._asked = time.monotonic()
        now = self.n_workers()
        if now != self._known:
            self._log.say(f"Cluster: workers now: {now}, before: {self._known}")
            self._known = now


def _result_of(future: Any) -> TaskDone | TaskFailed:
    """The result of a task; what no task should raise is a bug, or a cluster that is gone."""
    if future.status == "finished":
        found: TaskDone | TaskFailed = future.result()
        return found
    if future.status == "cancelled":
        raise FileAccessError(
            "E125", "the cluster cancelled a task: is its scheduler gone? Go on with --resume"
        )
    error = future.exception()
    raise FileAccessError(
        "E125",
        f"a task failed {_RETRIES + 1} times on the cluster ({type(error).__name__}: {error}): see "
        "the logs of its workers; what is finished is kept, --resume goes on",
    )


def do_task(order: Order, task: Task, after: Sequence[TaskDone | TaskFailed]) -> Any:
    """What a worker runs. A failure that another try would meet again is a result."""
    for before in after:
        if isinstance(before, TaskFailed):
            return before
    try:
        with _ONE:
            return _process_of(order).do(order, task)
    except LmmgwasError as error:
        return failure_of(error)


_ONE = threading.Lock()
"""BLAS threads, and what a study keeps, are the process's: one task at a time."""


def _process_of(order: Order) -> StudyProcess:
    """The study as this worker has planned it; of one study at a time."""
    from distributed import get_worker

    worker = get_worker()
    known: tuple[tuple[str, Path | None], StudyProcess] | None
    known = getattr(worker, "lmmgwas_study", None)
    mine = order.key, order.grm
    if known is None or known[0] != mine:
        if worker.state.nthreads != 1:
            raise FileAccessError(
                "E124",
                f"a worker has {worker.state.nthreads} threads of Dask's: start workers with "
                "--nthreads 1 (a task itself uses the threads of --threads)",
            )
        _change_folder(order.cwd)
        known = mine, StudyProcess(order)
        worker.lmmgwas_study = known
    return known[1]


def _change_folder(path: str) -> None:
    """Go where the relative names of the inputs hold."""
    try:
        os.chdir(path)
    except OSError as error:
        raise FileAccessError(
            "E124", f"a worker does not see the folder {path} ({error.strerror})"
        ) from error


@contextlib.contextmanager
def connected(options: ClusterOptions, scratch: Path, log: Logbook) -> Iterator[Cluster]:
    """Join a running cluster, or start a local one.

    Raises UsageError (E014) without Dask, FileAccessError (E125) where no scheduler answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UsageError(
            "E014", "--scheduler and --workers need Dask: pip install 'lmmgwas[dask]'"
        ) from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        if options.scheduler is None:
            where = LocalCluster(
                n_workers=options.workers,
                threads_per_worker=1,
                dashboard_address=None,
                memory_limit=0,
                local_directory=str(scratch),
                silence_logs="ERROR",
            )
            stack.enter_context(where)
            client = Client(where)
        else:
            client = _joined(options.scheduler, Client)
        stack.enter_context(client)
        cluster = Cluster(client, log)
        _wait_for_workers(client)
        log.say(f"Cluster: {client.scheduler.address}, workers: {cluster.n_workers()}")
        yield cluster


_PATIENCE = 300  # seconds for the first worker
_ANSWER = 60  # seconds for the scheduler


def _wait_for_workers(client: Any) -> None:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        raise FileAccessError(
            "E125",
            f"no worker came to the cluster in {_PATIENCE} s: start some, with `dask worker "
            "--nthreads 1` and the same --scheduler-file, then --resume",
        ) from error


def _wait_for(path: Path) -> None:
    """Wait for the file that a scheduler writes when it starts."""
    until = time.monotonic() + _ANSWER
    while not path.exists():
        stop.obey()
        if time.monotonic() > until:
            raise FileNotFoundError(f"no such file after {_ANSWER} s")
        time.sleep(_WAIT)


def _joined(scheduler: str, client: Any) -> Any:
    """A client of a running scheduler: an address, or the file that it wrote."""
    try:
        if "://" in scheduler:
            return client(scheduler, timeout=_ANSWER)
        _wait_for(Path(scheduler))
        return client(scheduler_file=scheduler, timeout=_ANSWER)
    except (OSError, ValueError) as error:
        raise FileAccessError(
            "E125",
            f"--scheduler {scheduler}: no Dask scheduler answers there ({error}); give its address "
            "(tcp://host:port), or the file that `dask scheduler --scheduler-file` wrote",
        ) from error
