"""Pauses between the attempts of a task that is called in the middle of something.

Its caller waits, so the pause is a sleep; unless what calls it is on a virtual clock,
where nobody sleeps: then `PAUSES` has who waits for that clock instead.

That is somebody who counts as active while he runs, as the clock goes on only when
nobody is.  He counts again before he goes on: in the moment in which his time has come,
by the thread that lets it come.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable

from fastflow import _core
from fastflow.base.interrupts import wait_until
from fastflow.base.timers import Clock, Timer
from fastflow.run.loop import Activity

__all__ = ["PAUSES", "Pauses", "sleep", "sleep_async"]


class Pauses:
    """Pauses on a clock that goes on by itself when nothing is active.

    Parameters
    ----------
    clock : Clock
    activity : Activity
        Counts whoever asks for a pause.
    """

    def __init__(self, clock: Clock, activity: Activity) -> None:
        self._clock = clock
        self._activity = activity

    def sleep(self, seconds: float) -> None:
        """Return when the time is over."""
        over = threading.Event()
        timer = self._begin(seconds, over.set)
        try:
            wait_until(over.wait, None)
        finally:
            self._end(timer)

    async def sleep_async(self, seconds: float) -> None:
        """Return when the time is over; other coroutines go on."""
        import asyncio

        loop, over = asyncio.get_running_loop(), asyncio.Event()
        timer = self._begin(seconds, lambda: loop.call_soon_threadsafe(over.set))
        try:
            await over.wait()
        finally:
            self._end(timer)

    def _begin(self, seconds: float, wake: Callable[[], object]) -> Timer:
        def due() -> None:
            self._activity.enter()
            wake()

        timer = self._clock.call_later(seconds, due)
        self._activity.leave()  # perhaps it lets the time come, here and now
        return timer

    def _end(self, timer: Timer) -> None:
        if timer.cancel():  # something else has ended the pause
            self._activity.enter()


PAUSES: contextvars.ContextVar[Pauses | None] = contextvars.ContextVar(
    "fastflow.pauses", default=None
)
"""Whose clock counts here; None: everybody's."""


def sleep(seconds: float) -> None:
    """Sleep, on the clock that counts here."""
    pauses = PAUSES.get()
    if pauses is not None:
        pauses.sleep(seconds)
        return
    with _core.Blocking():
        time.sleep(seconds)


async def sleep_async(seconds: float) -> None:
    """Sleep in a coroutine, on the clock that counts here."""
    import asyncio

    pauses = PAUSES.get()
    if pauses is not None:
        await pauses.sleep_async(seconds)
    else:
        await asyncio.sleep(seconds)
