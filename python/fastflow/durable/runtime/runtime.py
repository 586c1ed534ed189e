"""What the executions of one runner share: journal, writer, scheduler, clock."""

from __future__ import annotations

import concurrent.futures as cf
import threading
from collections.abc import Callable, Iterable
from typing import Any

from fastflow.backends.local import ThreadBackend
from fastflow.base import recorders
from fastflow.base.timers import Clock, SystemClock, Timer, VirtualClock, system_clock
from fastflow.durable.runtime.coroutines import Coroutines
from fastflow.durable.runtime.scheduler import Scheduler
from fastflow.journal.journal import Journal
from fastflow.journal.records import now_us
from fastflow.journal.writer import Probe, Writer
from fastflow.pool.dispatch import Dispatcher
from fastflow.pool.executor import default_executor
from fastflow.run.events import Events
from fastflow.run.job_spans import RunSpans, joined
from fastflow.run.pauses import Pauses

__all__ = ["RetryStrategy", "Runtime"]

RetryStrategy = Callable[[Exception, int], Any]


class Runtime:
    """The machinery under a `DurableRunner`.

    Parameters
    ----------
    clock : VirtualClock, optional
        Goes on by itself to the next timer when nothing else can happen.
    """

    def __init__(
        self,
        journal: Journal,
        executor: cf.Executor | None = None,
        default_retry: RetryStrategy | None = None,
        clock: VirtualClock | None = None,
        probe: Probe | None = None,
        subscribers: Iterable[Any] = (),
    ) -> None:
        self.journal = journal
        self.executor = executor or default_executor()
        self.calls = Dispatcher(self.executor)
        """Sends calls to its threads."""
        self.threads = ThreadBackend(self.executor)
        """Where functions with a time limit are called."""
        self.coroutines = Coroutines(self.threads.loop)
        """Where coroutines run that functions have returned."""
        self.default_retry = default_retry
        self.writer = Writer(journal, probe)
        self.scheduler = Scheduler(
            self.executor,
            self.flush,
            lambda: self.writer.waiting,
            self._idle,
        )
        self.virtual = clock
        self.pauses = None if clock is None else Pauses(clock, self.scheduler)
        """For tasks that are called in steps, and have retries of their own."""
        self.clock: Clock | SystemClock = clock or system_clock
        self.holds = 0
        """How many want the virtual clock to stand still while callbacks are open."""
        self._listeners = threading.Lock()
        self.listening = 0
        """Callbacks that are waited for; changed by `count_listeners`."""
        self._begun = now_us()
        self.now_us = now_us if clock is None else self._virtual_now_us
        """Returns the time in microseconds since 1970, on the runtime's clock."""
        self._events = Events.of(subscribers, lambda: self.now_us() / 1e6)
        self.has_subscribers = self._events is not None
        """Besides those who record: with `recorders.RECORDERS`, whether `events` is
        worth a look, which costs a step a call."""
        self._spans = RunSpans("durable")
        self._advancing = threading.Lock()
        self.start_function: Callable[[str, str, bytes], Any] | None = None
        """Starts a registered function as an execution of its own (for ``invoke``)."""
        self.bring: Callable[[], object] | None = None
        """Has messages delivered at once."""
        self.cancel_execution: Callable[[str], object] | None = None
        """Cancels the execution of a name, wherever it runs."""
        self.cancel_below: Callable[[str], object] | None = None
        """Cancels what an execution that has ended had invoked."""

    @property
    def events(self) -> Events | None:
        """What is told of executions: whoever listens, and whoever records now."""
        events = self._events
        return joined(events, self._spans) if recorders.RECORDERS else events

    def count_listeners(self, more: int) -> None:
        """So many callbacks more wait for a message; any thread."""
        with self._listeners:
            self.listening += more

    def _virtual_now_us(self) -> int:
        assert self.virtual is not None
        return self._begun + round(self.virtual.now() * 1e6)

    def call_at(
        self, due: int, most: float, fn: Callable[..., object], *args: Any
    ) -> Timer:
        """Call ``fn(*args)`` at a time in microseconds, but in `most` seconds at most.

        The limit is for a clock that was set back meanwhile.
        """
        seconds = (due - self.now_us()) / 1e6
        return self.clock.call_later(min(max(seconds, 0.0), most), fn, *args)

    def flush(self) -> None:
        """Write what is queued; whom a failure concerns finds it in its stream."""
        self.writer.flush()

    def _idle(self) -> None:
        self.flush()
        clock = self.virtual
        if clock is None:
            return
        # Whoever else comes here meanwhile was idle too: one who advances is enough,
        # if he looks again after giving the lock back.
        while self._may_advance() and self._advancing.acquire(blocking=False):
            try:
                while self._may_advance():
                    clock.advance_to_next()
            finally:
                self._advancing.release()

    def _may_advance(self) -> bool:
        clock = self.virtual
        return (
            clock is not None
            and self.scheduler.idle
            and not (self.holds and self.listening > 0)
            and clock.pending > 0
        )

    def nudge(self) -> None:
        """Let the virtual clock go on if nothing else can happen."""
        if self.scheduler.idle:
            self._idle()
