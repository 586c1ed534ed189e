"""Replays: functions of the user's that can be run again from their top.

A replay that has to wait for something holds no thread: the operation raises
`SuspendExecution` through the user's function, and when the wait is over, the function
runs again; the operations that it did before return at once what they returned
then.  The replay of a handler that ``run()`` was called for has the caller's thread to
itself, and blocks it instead.

What a replay waits for is a `Pending`.  It belongs to the replay that began it, and
wakes that replay when it is done.  A replay may be woken without need; it looks and
rests again.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow import _core
from fastflow.base.interrupts import wait_until
from fastflow.base.log_ids import Ids
from fastflow.durable.exceptions import InvocationError, SuspendExecution
from fastflow.durable.runtime.recorder import JournalRecorder, Recorded
from fastflow.durable.runtime.scheduler import blocking
from fastflow.errors import Cancelled
from fastflow.run.scope import Scope

if TYPE_CHECKING:
    from fastflow.durable.runtime.execution_state import Execution

__all__ = ["BlockingReplay", "Pending", "Replay", "current_operation"]

current_operation: contextvars.ContextVar[Recorded | None] = contextvars.ContextVar(
    "fastflow.durable", default=None
)
"""The operation whose function is running here."""


class Pending:
    """Something that a replay waits for."""

    __slots__ = ("done", "replay")

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.done = False

    def settle(self) -> None:
        """Say that it is done.  What it has led to must be in place by now."""
        self.done = True
        self.replay.wake()

    def cancel(self) -> None:
        """Stop whatever leads to its end; nobody waits any more."""


class Replay(JournalRecorder):
    """A function that runs on the scheduler's threads, each time from its top.

    Parameters
    ----------
    run : callable
        Makes a context, calls the user's function with it, and returns its value; that
        of a coroutine function by way of `finish_call`.
    done : callable
        Called with this replay, the function's value, and the exception that ended it
        or None.
    """

    __slots__ = (
        "_run",
        "busy",
        "done",
        "leaving",
        "parked",
        "pending",
        "queued",
        "root",
        "scope",
        "thread",
        "woken",
    )  # fmt: skip

    single = True

    def __init__(
        self,
        execution: Execution,
        scope: Scope,
        run: Callable[[Replay], Any],
        done: Callable[[Replay, Any, BaseException | None], object],
    ) -> None:
        self.execution = execution
        self.scope = scope
        self._run = run
        self.done = done
        self.local = {}
        self.pending: dict[bytes, Pending] = {}
        self.thread = 0
        """The thread that the function runs in right now."""
        self.leaving = False
        """Whether the function is being left: what it does in `finally` must wait."""
        self.busy: Recorded | None = None
        """The operation whose function is running: it must not begin others."""
        self.parked = False
        self.woken = False
        self.queued = False
        self.root = False
        """Whether it is the handler's own."""

    def ids(self) -> Ids:
        """Return what log records belong to that are written between operations."""
        return Ids(self.execution.name)

    def next_replay(self) -> Callable[[], object]:
        """Return what runs it."""
        return self.run

    def run(self) -> None:
        """Run the function from its top."""
        _core.task_context(self.execution.context).run(self._attempt)

    def _attempt(self) -> None:
        if self.scope.over:
            # Decided without it, before it ran.  Branches are not asked any more.
            if self.root:
                self._end(None, Cancelled("the execution was cancelled"))
            return
        self.woken = self.leaving = False
        self.busy = None
        self.thread = threading.get_ident()
        value: Any = None
        error: BaseException | None = None
        try:
            value = self._run(self)
        except SuspendExecution:
            self.thread = 0
            self.execution.runtime.scheduler.park(self)
            return
        except BaseException as raised:
            error = raised
        self.thread = 0
        self._end(value, error)

    def _end(self, value: Any, error: BaseException | None) -> None:
        done, self.done = self.done, _nobody
        self._run = _never  # a branch's is its own: freed at once, not as a cycle
        if self.pending:
            self.drop()
        try:
            done(self, value, error)
        except BaseException as broken:  # out of memory
            self.execution.abort(broken)

    def wake(self) -> None:
        """Let the replay go on, if it rests."""
        self.execution.runtime.scheduler.wake(self)

    def begin(self, key: bytes, pending: Pending) -> None:
        """Have something that is cancelled together with this replay."""
        self.pending[key] = pending
        if self.scope.over:
            self.drop()
            raise Cancelled("what this belongs to has ended meanwhile")

    def wait_for(self, pending: Pending) -> None:
        """Return once it is done; by way of `SuspendExecution`, if need be."""
        if not pending.done:
            self.leaving = True
            raise SuspendExecution("waiting")

    def give_up(self) -> None:
        """Wait for it no longer: cancel what it waits for; if it runs, let it."""
        self.drop()
        self.execution.runtime.scheduler.give_up(self)

    def drop(self) -> None:
        """Cancel what the replay is waiting for."""
        while self.pending:
            self.pending.popitem()[1].cancel()


class BlockingReplay(Replay):
    """The replay of a handler that has a thread to itself and blocks it."""

    __slots__ = ("_blocked", "_lock", "_signal")

    def __init__(self, execution: Execution, run: Callable[[Replay], Any]) -> None:
        super().__init__(execution, execution.scope, run, _nobody)
        self.local = None
        self._signal = threading.Event()
        self._lock = threading.Lock()
        self._blocked = False

    def call(self) -> Any:
        """Run the function in this thread and return its value."""
        scheduler = self.execution.runtime.scheduler
        self.thread = threading.get_ident()
        scheduler.enter()
        try:
            return _core.task_context(self.execution.context).run(self._run, self)
        finally:
            self.thread = 0
            try:
                self.drop()
            finally:
                scheduler.leave()

    def wake(self) -> None:
        """Let the thread go on, if it is blocked."""
        # It counts as active from now on, before it runs: it must not seem that
        # nothing is going on.
        if self._unblock():
            self.execution.runtime.scheduler.enter()
        self._signal.set()

    def _unblock(self) -> bool:
        with self._lock:
            blocked, self._blocked = self._blocked, False
        return blocked

    def _may_go_on(self, pending: Pending) -> bool:
        return pending.done or self.scope.over

    def wait_for(self, pending: Pending) -> None:
        """Block until it is done."""
        scheduler = self.execution.runtime.scheduler
        if not pending.done:
            self.execution.runtime.flush()  # since when it waits should be known
        while not self._may_go_on(pending):
            self._signal.clear()
            with self._lock:
                self._blocked = True
            if self._may_go_on(pending):
                # The signal may have come before it was cleared.
                if not self._unblock():
                    scheduler.leave()  # the waker has counted us once more
                break
            # Leaving may write what is queued, and raise what that raises: it has left
            # even so, and has to be counted again.
            try:
                scheduler.leave()
                with blocking():
                    wait_until(self._signal.wait, None)
            finally:
                if self._unblock():
                    scheduler.enter()
        if not pending.done:
            raise Cancelled("the execution was cancelled")


def finish_call(value: Any) -> Any:
    """Return what a function returned; if that is a coroutine, run it here."""
    return _run_coroutine(value) if type(value) is CoroutineType else value


def _run_coroutine(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    import asyncio

    if asyncio._get_running_loop() is not None:
        name = coroutine.__qualname__
        coroutine.close()
        raise InvocationError(
            f"the async function {name} can't be run here: an event loop is running in "
            "this thread; call run() in another one, as by asyncio.to_thread(), or use "
            "start(); a function that is called by an async one must be a plain one"
        )
    runner = asyncio.Runner()
    try:
        runner.get_loop()
    except Exception as error:  # out of file descriptors, for example
        coroutine.close()
        raise InvocationError(f"there can't be an event loop: {error}") from error
    with runner:
        return runner.run(coroutine)


def _never(_replay: Replay) -> Any:
    raise AssertionError("a replay runs no more once it has ended")


def _nobody(_replay: Replay, _value: Any, _error: BaseException | None) -> None:
    pass
