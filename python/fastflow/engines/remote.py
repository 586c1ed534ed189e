"""What runs in another process, and how it comes back."""

from __future__ import annotations

import concurrent.futures
import os
import pickle
import time
import traceback
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

from fastflow.blas import limited, look_again, share_of
from fastflow.errors import portable
from fastflow.portable import raising_portable
from fastflow.tasks import Task, task_of

__all__ = [
    "Returned",
    "Unpacked",
    "pack",
    "run_parcel",
    "run_remotely",
    "threads_of",
]


def pack(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Return the arguments of a call as they travel."""
    return bytes(ForkingPickler.dumps((args, kwargs)))


class Unpacked:
    """What came of one call, packed by the other process; like a future."""

    __slots__ = ("_error", "_result")

    def __init__(self, packed: bytes) -> None:
        self._error: BaseException | None = None
        self._result: Any = None
        try:
            self._result, self._error, trace = pickle.loads(packed)
        except Exception as unpickled:
            self._error = unpickled
            return
        if self._error is not None and self._error.__cause__ is None:
            self._error.__cause__ = _RemoteTraceback(trace)

    def cancelled(self) -> bool:
        """Whether it never began."""
        return False

    def exception(self) -> BaseException | None:
        """What it raised."""
        return self._error

    def result(self) -> Any:
        """What the attempt returned, when it began, its seconds, and where."""
        return self._result


class _RemoteTraceback(Exception):  # noqa: N818  (shown as the cause of an error)
    """Where an exception was raised in the other process."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class Returned:
    """What came of a parcel: results of the first calls, packed, and their seconds."""

    __slots__ = ("packed", "seconds")

    def __init__(self, packed: list[bytes], seconds: float) -> None:
        self.packed = packed
        self.seconds = seconds


def threads_of(executor: concurrent.futures.Executor) -> int | None:
    """Return how many threads of BLAS each process may use, None if all it likes.

    Processes of one machine share its cores, as the threads of an executor do.
    """
    if not isinstance(executor, concurrent.futures.ProcessPoolExecutor):
        return None
    return share_of(getattr(executor, "_max_workers", None) or 1)


def run_remotely(
    reference: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    threads: int | None = None,
) -> tuple[Any, float, float, int]:
    """Make one attempt; return the value, when it began, its seconds, and where."""
    with raising_portable(), limited(threads):
        return _run(task_of(reference, "task"), args, kwargs)


def run_parcel(
    reference: Callable[..., Any],
    packed: list[bytes],
    seconds: float,
    size: int,
    threads: int | None = None,
) -> Returned:
    """Make attempts one after another, until their time or their results are over."""
    task = task_of(reference, "task")
    results: list[bytes] = []
    passed, start = 0.0, time.perf_counter()
    with limited(threads):
        for call in packed:
            results.append(_run_packed(task, call))
            size -= len(results[-1])
            passed = time.perf_counter() - start
            if size < 0 or passed > seconds:
                break
    return Returned(results, passed)


def _run(
    task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, float, float, int]:
    began, start = time.time(), time.perf_counter()
    value = task.attempt(args, kwargs)
    return value, began, time.perf_counter() - start, os.getpid()


def _run_packed(task: Task, packed: bytes) -> bytes:
    try:
        args, kwargs = pickle.loads(packed)
        look_again()  # arrays bring their library with them
        return bytes(ForkingPickler.dumps((_run(task, args, kwargs), None, "")))
    except BaseException as error:
        trace = "".join(traceback.format_exception(error))
        return bytes(ForkingPickler.dumps((None, portable(error), trace)))
