"""The executors that machines run on."""

from __future__ import annotations

import concurrent.futures as cf
import multiprocessing
import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from typing import Any

import fastflow

WORKERS = 2


class Cluster(cf.Executor):
    """Like ``dask.distributed.Client.get_executor()``.

    What travels is pickled; how many workers there are is not told; the start of a call
    is not seen; and equal calls are one: the same function with the same arguments
    gives the same future, unless ``pure=False`` says that it is not pure.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._known: dict[bytes, cf.Future[Any]] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def submit(  # type: ignore[override]
        self, fn: Callable[..., Any], /, *args: Any, pure: bool = True, **kwargs: Any
    ) -> cf.Future[Any]:
        """Have a call made, unless an equal one was made before."""
        call = bytes(ForkingPickler.dumps((fn, args, kwargs)))
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            known = self._known.get(call) if pure else None
            if known is not None:
                return known
            future: cf.Future[Any] = cf.Future()
            self._known[call] = future
            self._calls.put((call, future))
            if len(self._threads) < WORKERS:
                thread = threading.Thread(target=self._serve, daemon=True)
                thread.start()
                self._threads.append(thread)
        return future

    def _serve(self) -> None:
        while (taken := self._calls.get()) is not None:
            call, future = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                fn, args, kwargs = pickle.loads(call)
                result = bytes(ForkingPickler.dumps(fn(*args, **kwargs)))
                future.set_result(pickle.loads(result))
            except BaseException as error:
                future.set_exception(_travelled(error))
            del taken, call, future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further calls."""
        with self._lock:
            self._closed = True
        if cancel_futures:
            for future in self._known.values():
                future.cancel()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()


def _travelled(error: BaseException) -> BaseException:
    try:
        return pickle.loads(bytes(ForkingPickler.dumps(error)))  # type: ignore[no-any-return]
    except Exception as lost:
        return lost


@contextmanager
def _own() -> Iterator[Any]:
    with fastflow.Executor(WORKERS) as executor:
        yield executor


@contextmanager
def _threads() -> Iterator[Any]:
    with cf.ThreadPoolExecutor(WORKERS) as executor:
        yield executor


@contextmanager
def _cluster() -> Iterator[Any]:
    with Cluster() as executor:
        yield executor


@contextmanager
def _serial() -> Iterator[Any]:
    yield "serial"


_shared: list[cf.ProcessPoolExecutor] = []


def close_processes() -> None:
    """End the processes that all rows share."""
    while _shared:
        _shared.pop().shutdown()


@contextmanager
def _processes() -> Iterator[Any]:
    """Starting processes takes longer than most rows, so all share a pool."""
    if not _shared:
        context = multiprocessing.get_context("forkserver")
        _shared.append(cf.ProcessPoolExecutor(WORKERS, context))
    yield _shared[0]
    try:
        _shared[0].submit(int).result()
    except cf.BrokenExecutor:
        close_processes()


BACKENDS = {
    "serial": _serial,
    "own": _own,
    "threads": _threads,
    "processes": _processes,
    "cluster": _cluster,
}

BY_VALUE = ("processes", "cluster")
"""Those that pickle what they are given."""


@contextmanager
def counted(executor: Any) -> Iterator[list[int]]:
    """Count what is submitted to an executor."""
    counts = [0]
    submit = executor.submit

    def count(*args: Any, **kwargs: Any) -> Any:
        counts[0] += 1
        return submit(*args, **kwargs)

    executor.submit = count
    try:
        yield counts
    finally:
        del executor.submit
