"""Instructions that wait, without a thread: sleep, wait_for_event, a human's answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow.base.durations import seconds_of
from fastflow.base.timers import Timer
from fastflow.errors import TaskTimeout
from fastflow.pool.dispatch import expire
from fastflow.workflows.fiber import SUSPENDED
from fastflow.workflows.program import Instruction
from fastflow.workflows.records import COMPLETED, StepRecord

if TYPE_CHECKING:
    from fastflow.workflows.context import Context
    from fastflow.workflows.fiber import Fiber

__all__ = ["Ask", "Sleep", "WaitForEvent"]

Function = Callable[..., Any]


def _nothing() -> None:
    pass


class _Wait:
    """A fiber that waits for one of: a value, a time limit, its end.

    Whichever comes first counts.
    """

    def __init__(self, fiber: Fiber, finish: Callable[[Any], int]) -> None:
        self._fiber = fiber
        self._finish = finish
        self._lock = threading.Lock()
        self._over = False
        self._timer: Timer | None = None
        self.withdraw: Callable[[], object] = _nothing

    def limit(self, seconds: float | None, error: BaseException) -> None:
        """Fail with an error after so many seconds."""
        if seconds is None:
            return

        def fail() -> int:
            raise error

        self._set_timer(seconds, expire, self._resume, fail)

    def sleep(self, seconds: float) -> None:
        """End after so many seconds."""
        self._set_timer(seconds, self._resume, lambda: self._finish(None))

    def _set_timer(self, seconds: float, fn: Callable[..., object], *args: Any) -> None:
        timer = self._fiber.run.clock.call_later(seconds, fn, *args)
        with self._lock:
            self._timer = timer
            over = self._over
        if over:
            timer.cancel()

    def deliver(self, value: Any) -> None:
        """End with a value."""
        self._resume(lambda: self._finish(value))

    def _end(self) -> bool:
        with self._lock:
            first = not self._over
            self._over = True
            timer = self._timer
        if timer is not None:
            timer.cancel()
        if first:
            withdraw, self.withdraw = self.withdraw, _nothing
            withdraw()
        return first

    def _resume(self, complete: Callable[[], int]) -> None:
        if self._end():
            self._fiber.resume(complete)

    def cancel(self) -> None:
        """Stop waiting; the fiber won't be resumed."""
        self._end()


class Sleep(Instruction):
    """Waits for a time; ``last`` stays."""

    __slots__ = ("_duration",)
    is_seen_as = "wait"

    def __init__(self, name: str, duration: float | Function) -> None:
        super().__init__(name)
        self._duration = duration

    def execute(self, fiber: Fiber) -> int:
        """Set a timer."""
        record = fiber.begin(self.name)
        if callable(self._duration):
            return fiber.call(
                self._duration,
                lambda value: self._sleep(
                    fiber, record, seconds_of(f"time of {self.name!r}", value)
                ),
            )
        return self._sleep(fiber, record, self._duration)

    def _sleep(self, fiber: Fiber, record: StepRecord, seconds: float) -> int:
        def finish(_: object) -> int:
            fiber.close(record, COMPLETED)
            return fiber.pc + 1

        wait = _Wait(fiber, finish)
        fiber.suspend(wait)
        wait.sleep(seconds)
        return SUSPENDED


class WaitForEvent(Instruction):
    """Waits for an event; its payload is the value."""

    __slots__ = ("_event", "_timeout")
    is_seen_as = "wait"

    def __init__(self, name: str, event: str, timeout: float | None) -> None:
        super().__init__(name)
        self._event = event
        self._timeout = timeout

    def execute(self, fiber: Fiber) -> int:
        """Look into the inbox, or wait for it."""
        record = fiber.begin(self.name)
        inbox, event = fiber.run.inbox, self._event
        wait = _Wait(fiber, lambda value: fiber.complete(record, value))
        wait.withdraw = lambda: inbox.give_up(event, wait.deliver)
        fiber.suspend(wait)
        wait.limit(
            self._timeout,
            TaskTimeout(f"the event {event!r} did not come within {self._timeout} s"),
        )
        inbox.wait(event, wait.deliver)
        return SUSPENDED


class Ask(Instruction):
    """Pauses until somebody answers with the token; the answer is the value."""

    __slots__ = ("_answer", "_on_pause", "_timeout")
    is_seen_as = "wait"

    def __init__(
        self, name: str, on_pause: Function | None, timeout: float | None
    ) -> None:
        super().__init__(name)
        self._on_pause = on_pause
        self._timeout = timeout
        self._answer: tuple[Any] | None = None

    def answered(self, value: Any) -> Ask:
        """Return the same with an answer that comes at once."""
        other = Ask(str(self.name), self._on_pause, self._timeout)
        other._answer = (value,)
        return other

    def execute(self, fiber: Fiber) -> int:
        """Make a token and tell on_pause; then wait."""
        record = fiber.begin(self.name)
        inbox = fiber.run.inbox
        answer = _Answer()
        token = inbox.pause(record.name, answer.deliver)

        def wait(_: object) -> int:
            waiting = _Wait(fiber, lambda value: fiber.complete(record, value))
            waiting.withdraw = lambda: inbox.end_pause(token)
            fiber.suspend(waiting)
            waiting.limit(
                self._timeout,
                TaskTimeout(f"nobody answered {self.name!r} within {self._timeout} s"),
            )
            answer.wait(waiting.deliver)
            if self._answer is not None:
                inbox.resume(token, self._answer[0])
            return SUSPENDED

        if self._on_pause is None:
            return wait(None)
        tell = self._on_pause
        return fiber.call(
            lambda ctx: _told(tell, ctx, token, lambda: inbox.end_pause(token)), wait
        )


def _told(
    tell: Function, ctx: Context, token: str, withdraw: Callable[[], object]
) -> Any:
    """Call ``tell(ctx, token)``; if it fails, nobody knows the token."""
    try:
        value = tell(ctx, token)
    except BaseException:
        withdraw()
        raise
    return _awaited(value, withdraw) if type(value) is CoroutineType else value


async def _awaited(coroutine: Any, withdraw: Callable[[], object]) -> Any:
    try:
        return await coroutine
    except BaseException:
        withdraw()
        raise


class _Answer:
    """An answer that may come before the fiber waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: tuple[Any] | None = None
        self._deliver: Callable[[Any], object] | None = None

    def deliver(self, value: Any) -> None:
        with self._lock:
            deliver = self._deliver
            if deliver is None:
                self._value = (value,)
        if deliver is not None:
            deliver(value)

    def wait(self, deliver: Callable[[Any], object]) -> None:
        with self._lock:
            self._deliver = deliver
            value = self._value
        if value is not None:
            deliver(value[0])
