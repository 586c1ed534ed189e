"""Pauses of tasks on the clock of whoever calls them."""

from __future__ import annotations

import asyncio
import threading

import pytest

import fastflow
from fastflow.base.timers import VirtualClock
from fastflow.run.pauses import PAUSES, Pauses

HOUR = 3600.0


class Activity:
    """Lets the time pass when nobody is active."""

    def __init__(self, clock):
        self.clock = clock
        self.active = 1
        self.lowest = 1
        self._lock = threading.Lock()

    def enter(self):
        with self._lock:
            self.active += 1

    def leave(self):
        with self._lock:
            self.active -= 1
            self.lowest = min(self.lowest, self.active)
        while self.active <= 0 and self.clock.advance_to_next():
            pass


@pytest.fixture
def rig():
    clock = VirtualClock()
    activity = Activity(clock)
    token = PAUSES.set(Pauses(clock, activity))
    yield activity
    PAUSES.reset(token)


def flaky(registry, *, is_async):
    calls = []

    def call(value):
        calls.append(value)
        if len(calls) < 3:
            raise OSError("not yet")
        return value

    async def call_async(value):
        return call(value)

    make = registry.task(name="flaky", retries=2, retry_delay=HOUR, backoff=1, jitter=0)
    return make(call_async if is_async else call)


@pytest.fixture
def registry():
    return fastflow.TaskRegistry()


def check(activity, value):
    assert value == 5
    assert activity.clock.now() == pytest.approx(2 * 60)  # no delay is longer
    assert (activity.active, activity.lowest) == (1, 0)


def test_a_task_called_in_a_thread(rig, registry):
    check(rig, flaky(registry, is_async=False)(5))


def test_a_task_awaited_in_a_loop(rig, registry):
    async def main():
        return await flaky(registry, is_async=True)(5)

    check(rig, asyncio.run(main()))


def test_a_pause_that_is_cut_off(rig):
    """Whoever paused counts as active again."""
    rig.active = rig.lowest = 2  # so the time does not come

    async def main():
        pause = asyncio.ensure_future(PAUSES.get().sleep_async(HOUR))
        await asyncio.sleep(0)
        assert rig.active == 1
        pause.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pause

    asyncio.run(main())
    assert (rig.active, rig.clock.pending, rig.clock.now()) == (2, 0, 0.0)
