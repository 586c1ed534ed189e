"""The fan-out functions over processes: what `fastflow.map` and its relatives call."""

from __future__ import annotations

import queue
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fastflow import errors
from fastflow.base.options import check_count
from fastflow.base.progress import Monitor, Progress
from fastflow.pool.columns import Column
from fastflow.processes.executor import ProcessExecutor
from fastflow.processes.remote_traceback import with_traceback
from fastflow.processes.shared import default_processes

__all__ = ["ProcessFanOut", "fan_out_of"]

_BATCH = 0.001  # seconds of work that travel together in a stream


def fan_out_of(executor: object, max_workers: int | None) -> ProcessFanOut | None:
    """Return what calls in the processes of an executor; None: it has none of ours."""
    if executor == "processes":
        return ProcessFanOut(default_processes(max_workers))
    if not isinstance(executor, ProcessExecutor):
        return None
    if max_workers is not None:
        most = check_count("max_workers", max_workers)
        if most < executor._max_workers:
            raise ValueError(
                f"max_workers={most}: a ProcessExecutor uses all of its workers; make "
                "one with fewer"
            )
    return ProcessFanOut(executor)


class ProcessFanOut:
    """Fans out over the processes of one executor."""

    def __init__(self, executor: ProcessExecutor) -> None:
        self._executor = executor
        self.workers = executor._max_workers

    def map(
        self,
        fn: Callable[..., Any],
        columns: tuple[Column, ...],
        *,
        star: bool = False,
        keep: bool = True,
        chunksize: int | None = None,
        seconds: float | None = None,
        return_exceptions: bool = False,
        progress: Progress = None,
    ) -> list[Any]:
        """Return the values of all items; see `fastflow.map`."""
        call: Callable[..., Any] = fn
        if star or not keep or return_exceptions:
            call = _Item(fn, star, keep, return_exceptions)
        found: list[Any] = []
        values = self._executor.map(
            call, *columns, timeout=seconds, chunksize=chunksize
        )
        counted = _Counted(found)
        try:
            with Monitor(progress, counted, min(map(len, columns)), "map"):
                found.extend(values)
        except Exception as error:
            if not isinstance(error, TimeoutError) or error.__cause__ is not None:
                _add_note(error, "item", fn, len(found))
            raise
        if return_exceptions:
            return [
                value.error() if type(value) is _Raised else value for value in found
            ]
        return found

    def stream(
        self,
        fn: Callable[..., Any],
        iterators: tuple[Iterator[Any], ...],
        size: int,
        *,
        ordered: bool,
        return_exceptions: bool,
        seconds: float | None,
    ) -> Iterator[Any]:
        """Return an iterator over the values of items; see `fastflow.imap`."""
        rows = zip(*iterators, strict=False)
        return _Stream(
            self._executor, fn, rows, size, ordered, return_exceptions, seconds
        )

    def call(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that makes a call there, and waits for it."""
        submit = self._executor.submit
        return lambda *args: submit(fn, *args).result()


class _Counted:
    """How many values are there, for a `Monitor`."""

    def __init__(self, found: list[Any]) -> None:
        self._found = found

    @property
    def done(self) -> int:
        return len(self._found)


class _Raised(NamedTuple):
    """An exception in the place of a value."""

    exception: BaseException
    text: str

    def error(self) -> BaseException:
        return with_traceback(self.exception, self.text)


def _raised(error: BaseException) -> _Raised:
    text = "".join(traceback.format_exception(error))
    return _Raised(errors.portable(error), text)


class _Item:
    """Calls a function for an item in a way of its own, in a worker."""

    def __init__(
        self,
        fn: Callable[..., Any],
        star: bool,
        keep: bool,
        catch: bool,
    ) -> None:
        self._of = fn, star, keep, catch

    def __call__(self, *args: Any) -> Any:
        fn, star, keep, catch = self._of
        try:
            value = fn(*args[0]) if star else fn(*args)
        except Exception as error:
            if not catch:
                raise
            return _raised(error)
        return value if keep else None


def _add_note(error: BaseException, what: str, fn: Any, number: int) -> None:
    if not getattr(error, "__notes__", None):
        name = getattr(fn, "__name__", type(fn).__name__)
        errors.add_note(error, f"{what} '{name}' #{number}")


def run_batch(fn: Callable[..., Any], rows: list[Any]) -> tuple[float, list[Any]]:
    """Call for several items, in a worker; return the seconds and what came of each."""
    began = time.perf_counter()
    found: list[Any] = []
    for row in rows:
        try:
            found.append(fn(*row))
        except Exception as error:
            found.append(_raised(error))
    return time.perf_counter() - began, found


class _Stream:
    """Items that are read, made and handed out a few at a time."""

    def __init__(
        self,
        executor: ProcessExecutor,
        fn: Callable[..., Any],
        rows: Iterator[tuple[Any, ...]],
        size: int,
        ordered: bool,
        return_exceptions: bool,
        seconds: float | None,
    ) -> None:
        self._executor = executor
        self._fn = fn
        self._rows = rows
        self._size = size
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        self._seconds = seconds
        self._most = max(size // (2 * executor._max_workers), 1)
        self._batch = 1
        self._room = size
        self._handed = 0
        self._here: deque[Any] = deque()
        self._under_way: deque[tuple[Any, int]] = deque()
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._counts: dict[Any, int] = {}

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        self._read()
        if not self._here:
            if not self._under_way and not self._counts:
                raise StopIteration
            self._take()
        self._room += 1
        self._handed += 1
        value = self._here.popleft()
        if type(value) is not _Raised:
            return value
        error = value.error()
        if self._return_exceptions:
            return error
        _add_note(error, "item of", self._fn, self._handed - 1)
        try:
            raise error
        finally:
            del error

    def _read(self) -> None:
        """Send as many items as there may be under way."""
        while self._room >= min(self._batch, self._size):
            rows = []
            for row in self._rows:
                rows.append(row)
                if len(rows) >= self._batch:
                    break
            if not rows:
                self._room = -self._size  # nothing more is there to be read
                return
            self._room -= len(rows)
            future = self._executor.submit(run_batch, self._fn, rows)
            if self._ordered:
                self._under_way.append((future, len(rows)))
            else:
                self._counts[future] = len(rows)
                future.add_done_callback(self._ended.put)

    def _take(self) -> None:
        if self._ordered:
            future, count = self._under_way[0]
            self._wait_for(future)
            self._under_way.popleft()
        else:
            try:
                future = self._ended.get(timeout=self._seconds)
            except queue.Empty:
                raise TimeoutError from None
            count = self._counts.pop(future)
        error = future.exception()
        if error is not None:  # of all of them
            self._here.extend([_raised(error)] * count)
            return
        seconds, values = future.result()
        each = max(seconds / max(count, 1), 1e-9)
        self._batch = max(1, min(int(_BATCH / each), 2 * self._batch, self._most))
        self._here.extend(values)

    def _wait_for(self, future: Any) -> None:
        try:
            future.exception(self._seconds)
        except TimeoutError:
            if not future.done():
                raise

    @property
    def done(self) -> int:
        """Items that were handed out, for a `Monitor`."""
        return self._handed
