"""Waiting for a time: ``context.wait()``, and the delays between attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastflow.base.timers import Timer
from fastflow.durable.config import to_seconds
from fastflow.durable.operations.operation import Operation
from fastflow.durable.runtime.replay import Pending, Replay
from fastflow.journal.records import BEGUN, SUCCEEDED, Record

if TYPE_CHECKING:
    from fastflow.durable.operations.position import Position

__all__ = ["Rest", "Wait", "rest_until"]


class Rest(Pending):
    """A wait until some time."""

    __slots__ = ("_timer",)

    def __init__(self, replay: Replay) -> None:
        super().__init__(replay)
        self._timer: Timer | None = None

    def start(self, due: int, most: float) -> None:
        """Settle at `due`, in microseconds; `most` seconds from now at the latest."""
        runtime = self.replay.execution.runtime
        self._timer = runtime.call_at(due, most, self.settle)

    def cancel(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()


def rest_until(
    operation: Operation, record: Record | None = None, due: int = 0
) -> None:
    """Let the operation's replay wait until the time in its last record is over.

    Parameters
    ----------
    record : Record, optional
        One that tells since when (`at`) and until when (`due`) to wait.
    due : int
        Else, until when, from now; in microseconds.
    """
    replay = operation.context._replay
    rest = replay.pending.get(operation.id)
    if rest is not None and not isinstance(rest, Rest):
        return  # the next attempt has begun
    if rest is None:
        now = replay.execution.runtime.now_us()
        since, due = (record.at, record.due) if record is not None else (now, due)
        if record is not None and due <= now:
            return
        rest = Rest(replay)
        replay.begin(operation.id, rest)
        rest.start(due, max(due - since, 0) / 1e6)
    replay.wait_for(rest)
    replay.pending.pop(operation.id, None)


class Wait(Operation):
    """``context.wait()``."""

    __slots__ = ("_seconds",)

    kind = "WAIT"

    def __init__(self, context: Position, seconds: Any, name: str | None) -> None:
        super().__init__(context, "Wait", name)
        self._seconds = to_seconds(seconds)

    def advance(self, record: Record | None) -> None:
        """Wait for what is left of the time."""
        if record is None:
            runtime = self.context._replay.execution.runtime
            due = runtime.now_us() + round(self._seconds * 1e6)
            self.add(BEGUN, due=due)
            rest_until(self, due=due)
        else:
            rest_until(self, record)
        events = self.context._replay.execution.runtime.events
        if events is not None:
            events.job_waited(self.job_key(), self._seconds)
        # Nobody needs to wait for this record: if it is lost, the time is over anyway.
        self.add(SUCCEEDED)
