"""Running one task here and now: with retries, timeout, fallback and cache.

The caller waits, in its thread or in its event loop, and does itself what the task's
`Attempts` say.  Whoever must not wait has `fastflow.run.job` instead.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any

from fastflow import _core
from fastflow.base import aio
from fastflow.base.interrupts import wait_until
from fastflow.base.log_ids import CURRENT, NOBODY, Ids
from fastflow.errors import TaskTimeout
from fastflow.run.attempts import CALL, DELIVER, PAUSE, Attempts, Do
from fastflow.run.cache import MISSING
from fastflow.run.events import Events, JobKey
from fastflow.run.pauses import sleep, sleep_async
from fastflow.run.task import InvalidInput, Task

__all__ = [
    "Tries",
    "attempt_raised",
    "attempts_of",
    "carry_out",
    "outcome",
    "run_async",
    "run_blocking",
    "timeout_error",
]


def attempts_of(task: Task, *, begun: bool = False) -> Attempts:
    """Return the machine for one call of a task; `begun`: of which an attempt runs."""
    attempts = Attempts(task.retry, task.timeout, fallback=task.has_fallback)
    if begun:
        attempts.resume(1, sent=True)
    return attempts


Whose = tuple[Callable[[Any, int], Ids], Any]
"""What returns the ids of log records, given this and the number of an attempt."""


class Tries:
    """How many attempts a call has taken, and who is told of the next ones.

    Attributes
    ----------
    whose : Whose or None
        Whose call it is; needed if that is made elsewhere.
    """

    __slots__ = ("_events", "_key", "count", "whose")

    def __init__(self) -> None:
        self.count = 0
        self.whose: Whose | None = None
        self._events: Events | None = None
        self._key: JobKey | None = None

    def tell(self, events: Events, key: JobKey) -> None:
        """Have it told when there is another attempt."""
        self._events, self._key = events, key

    def ids(self) -> Ids:
        """Return what log records of the attempt that is made belong to."""
        if self.whose is None:
            return NOBODY
        ids_of, of = self.whose
        return ids_of(of, max(self.count, 1))

    def pauses(self, attempts: Attempts) -> None:
        """Hear that an attempt has failed, and there will be another one."""
        if self._events is not None and self._key is not None and attempts.error:
            self._events.job_retrying(self._key, attempts.count, attempts.error)

    def begins(self, attempts: Attempts) -> None:
        """Hear that an attempt begins; whoever calls tells of the first."""
        if self._events is not None and self._key is not None and attempts.count > 1:
            self._events.job_started(self._key, attempts.count)


def run_blocking(
    task: Task,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tries: Tries | None = None,
) -> Any:
    """Run a task and return its result; the calling thread waits for all of it.

    Parameters
    ----------
    tries : Tries, optional
        Where the attempts are counted.
    """
    cache = task.cache
    if cache is not None:
        key = cache.key(args, kwargs)
        value = cache.get(key)
        if value is not MISSING:
            return value
    tries = tries or Tries()
    if task.is_async or task.timeout is not None:
        attempts = attempts_of(task)
        action = attempts.start()
    else:  # nothing is decided before it has failed
        tries.count = 1
        try:
            value = task.attempt(args, kwargs)
        except Exception as error:
            attempts = attempts_of(task, begun=True)
            action = attempt_raised(attempts, attempts.live, error)
        else:
            return value if cache is None else cache.put(key, value)
    try:
        recovered = _go_on(attempts, action, task, args, kwargs, tries)
    finally:
        tries.count = attempts.count
    value = outcome(attempts)
    if cache is not None and not recovered:
        return cache.put(key, value)
    return value


def _go_on(
    attempts: Attempts,
    action: Do,
    task: Task,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tries: Tries,
) -> bool:
    """Do what follows, to the end; whether the fallback has been asked."""
    recovered = False

    def call(attempts: Attempts) -> Do:
        tries.begins(attempts)
        tries.count = attempts.count
        return _attempt(attempts, task, args, kwargs, tries)

    def rest(attempts: Attempts) -> None:
        tries.pauses(attempts)
        sleep(attempts.pause)

    def recover(attempts: Attempts) -> Do:
        nonlocal recovered
        recovered = True
        return _recover(attempts, task, args, kwargs)

    carry_out(attempts, action, call, rest, recover)
    return recovered


def carry_out(
    attempts: Attempts,
    action: Do,
    call: Callable[[Attempts], Do],
    rest: Callable[[Attempts], object],
    recover: Callable[[Attempts], Do] | None = None,
) -> None:
    """Do what a machine says, from `action` on, until there is an outcome.

    Parameters
    ----------
    call : callable
        Makes an attempt, and tells the machine how it ended.
    rest : callable
        Returns when the pause is over.
    recover : callable, optional
        Like `call`, with the fallback, if there is one.
    """
    while action is not DELIVER:
        if action is CALL:
            action = call(attempts)
        elif action is PAUSE:
            rest(attempts)
            action = attempts.due()
        else:
            assert recover is not None
            action = recover(attempts)


def outcome(attempts: Attempts) -> Any:
    """Return or raise what has come of a call."""
    if attempts.succeeded:
        return attempts.value
    # The error's traceback has this frame: they must not refer to each other.
    error, attempts.error = attempts.error, None
    assert error is not None
    try:
        raise error
    finally:
        del error


def attempt_raised(
    attempts: Attempts, ticket: int, error: BaseException, *, final: bool = False
) -> Do:
    """Tell the machine what an attempt at a task has raised.

    What a validator of the input refuses, another attempt would not change.
    """
    if isinstance(error, InvalidInput):
        error, final = error.reason, True
    return attempts.raised(ticket, error, final=final)


def _attempt(
    attempts: Attempts,
    task: Task,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tries: Tries,
) -> Do:
    ticket = attempts.live
    attempts.begun(ticket)
    try:
        if task.is_async:
            coroutine = task.attempt_async(args, kwargs)
            future = _context_for(tries).run(aio.submit, coroutine)
        elif task.timeout is None:
            return attempts.returned(ticket, task.attempt(args, kwargs))
        else:
            future = _on_own_thread(task, args, kwargs, tries)
        if _wait_done(future, task.timeout):
            return attempts.returned(ticket, _result_of(future))
    except Exception as error:
        return attempt_raised(attempts, ticket, error)
    future.cancel()
    return attempts.expired(ticket, timeout_error(task))


def _recover(
    attempts: Attempts, task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Do:
    ticket, reason = attempts.live, attempts.error
    assert isinstance(reason, Exception)
    try:
        value = task.recover(reason, args, kwargs)
        if inspect.iscoroutine(value):
            value = _wait(aio.submit(value), None)
    except Exception as error:
        return attempts.raised(ticket, _after(reason, error))
    return attempts.returned(ticket, value)


def _after(reason: Exception, error: Exception) -> Exception:
    """Return the error of a fallback, which says what it was called for."""
    if error.__context__ is None and error is not reason:
        error.__context__ = reason
    return error


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


def _context_for(tries: Tries) -> contextvars.Context:
    """Return the context of an attempt that is made elsewhere in this process."""
    context = _core.task_context()
    context.run(CURRENT.set, tries)
    return context


def _on_own_thread(
    task: Task, args: tuple[Any, ...], kwargs: dict[str, Any], tries: Tries
) -> concurrent.futures.Future[Any]:
    """Start an attempt on a thread that nobody has to wait for."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    context = _context_for(tries)

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
    cache = task.cache
    if cache is not None:
        key = cache.key(args, kwargs)
        value = cache.get(key)
        if value is not MISSING:
            return value
    attempts, recovered = attempts_of(task), False
    action = attempts.start()
    while action is not DELIVER:
        if action is CALL:
            action = await _attempt_async(attempts, task, args, kwargs)
        elif action is PAUSE:
            await sleep_async(attempts.pause)
            action = attempts.due()
        else:
            recovered = True
            action = await _recover_async(attempts, task, args, kwargs)
    value = outcome(attempts)
    if cache is not None and not recovered:
        return cache.put(key, value)
    return value


async def _attempt_async(
    attempts: Attempts, task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Do:
    ticket = attempts.live
    attempts.begun(ticket)
    try:
        value = await _in_time(task, args, kwargs)
    except Exception as error:
        return attempt_raised(attempts, ticket, error)
    if value is _LATE:
        return attempts.expired(ticket, timeout_error(task))
    return attempts.returned(ticket, value)


async def _recover_async(
    attempts: Attempts, task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Do:
    ticket, reason = attempts.live, attempts.error
    assert isinstance(reason, Exception)
    try:
        value = task.recover(reason, args, kwargs)
        if inspect.isawaitable(value):
            value = await value
    except Exception as error:
        return attempts.raised(ticket, _after(reason, error))
    return attempts.returned(ticket, value)


_LATE: Any = object()


async def _in_time(task: Task, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Await one attempt; `_LATE` if its time was over."""
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
        return _LATE
    return attempt.result()


_keep: set[Any] = set()
"""Attempts that may go on after their time; the loop keeps weak references only."""


def _forget(attempt: Any) -> None:
    _keep.discard(attempt)
    if not attempt.cancelled():
        attempt.exception()  # looked at, so nobody is told that it was not
