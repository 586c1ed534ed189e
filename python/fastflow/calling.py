"""Running one task here and now: with retries, timeout, fallback and cache.

The caller waits. Engines that must not wait have `engines.driver` instead; both decide
by the same `Task`.
"""

from __future__ import annotations

import concurrent.futures
import inspect
import threading
import time
from typing import Any

from fastflow import _core, aio
from fastflow.cache import MISSING
from fastflow.errors import TaskTimeout
from fastflow.interrupts import wait_until
from fastflow.tasks import InvalidInput, Task

__all__ = ["Attempts", "run_async", "run_blocking", "timeout_error"]


class Attempts:
    """Counts how often a task was tried."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


def run_blocking(
    task: Task,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    attempts: Attempts | None = None,
) -> Any:
    """Run a task and return its result; the calling thread waits for all of it."""
    attempts = attempts or Attempts()
    key = task.cache.key(args, kwargs) if task.cache is not None else None
    if task.cache is not None:
        value = task.cache.get(key)
        if value is not MISSING:
            return value
    while True:
        attempts.count += 1
        try:
            value = _attempt(task, args, kwargs)
        except Exception as error:
            reason = error.reason if isinstance(error, InvalidInput) else error
            if reason is error and task.retry.wants(error, attempts.count):
                with _core.Blocking():
                    time.sleep(task.retry.delay(attempts.count))
                continue
            return _recover(task, reason, args, kwargs)
        if task.cache is not None:
            return task.cache.put(key, value)
        return value


def _recover(
    task: Task, reason: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if not task.has_fallback:
        raise reason
    value = task.recover(reason, args, kwargs)
    if inspect.iscoroutine(value):
        return _wait(aio.submit(value), None)
    return value


def _attempt(task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if task.is_async:
        future = aio.submit(task.attempt_async(args, kwargs))
    elif task.timeout is None:
        return task.attempt(args, kwargs)
    else:
        future = _on_own_thread(task, args, kwargs)
    if not _wait_done(future, task.timeout):
        future.cancel()
        raise timeout_error(task)
    return _result_of(future)


def _result_of(future: concurrent.futures.Future[Any]) -> Any:
    if future.cancelled():  # by the coroutine itself; nobody else could
        import asyncio

        raise asyncio.CancelledError
    return future.result()


def _wait(future: concurrent.futures.Future[Any], timeout: float | None) -> Any:
    _wait_done(future, timeout)
    return _result_of(future)


def _wait_done(future: concurrent.futures.Future[Any], timeout: float | None) -> bool:
    if aio.is_loop_thread():
        raise RuntimeError(
            "this would make the event loop wait for itself; call the task from a "
            "thread, or await it"
        )
    return wait_until(
        lambda seconds: bool(concurrent.futures.wait([future], seconds).done), timeout
    )


def timeout_error(task: Task) -> TaskTimeout:
    """Return the error of a task that took too long."""
    return TaskTimeout(f"task {task.name!r} did not finish within {task.timeout:g} s")


def _on_own_thread(
    task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> concurrent.futures.Future[Any]:
    """Start an attempt on a thread that nobody has to wait for."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    context = _core.task_context()

    def body() -> None:
        try:
            value = context.run(task.attempt, args, kwargs)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    future.set_running_or_notify_cancel()
    threading.Thread(target=body, name=f"fastflow-{task.name}", daemon=True).start()
    return future


async def run_async(task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an ``async def`` task in the caller's event loop and return its result."""
    import asyncio

    key = task.cache.key(args, kwargs) if task.cache is not None else None
    if task.cache is not None:
        value = task.cache.get(key)
        if value is not MISSING:
            return value
    attempt = 0
    while True:
        attempt += 1
        try:
            value = await _attempt_async(task, args, kwargs)
        except Exception as error:
            reason = error.reason if isinstance(error, InvalidInput) else error
            if reason is error and task.retry.wants(error, attempt):
                await asyncio.sleep(task.retry.delay(attempt))
                continue
            if not task.has_fallback:
                raise reason from reason.__cause__
            value = task.recover(reason, args, kwargs)
            return await value if inspect.isawaitable(value) else value
        if task.cache is not None:
            return task.cache.put(key, value)
        return value


async def _attempt_async(
    task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    import asyncio

    if task.timeout is None:
        return await task.attempt_async(args, kwargs)
    # Not asyncio.timeout(): a coroutine may go on in spite of being cancelled, and what
    # it returns then is late.
    attempt = asyncio.ensure_future(task.attempt_async(args, kwargs))
    _keep.add(attempt)
    attempt.add_done_callback(_forget)
    try:
        done, _ = await asyncio.wait([attempt], timeout=task.timeout)
    except BaseException:
        attempt.cancel()
        raise
    if not done:
        attempt.cancel()
        raise timeout_error(task)
    return attempt.result()


_keep: set[Any] = set()
"""Attempts that may go on after their time; the loop keeps weak references only."""


def _forget(attempt: Any) -> None:
    _keep.discard(attempt)
    if not attempt.cancelled():
        attempt.exception()  # looked at, so nobody is told that it was not
