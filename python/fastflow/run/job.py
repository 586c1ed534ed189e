"""One call of a function in one run, for hosts that must not wait.

A `Job` carries out what its `Attempts` decide: attempts go to a `Backend`, delays and
limits are timers, and the end is told once, by ``done(job)``, unless the job is
cancelled first.  Whatever happens is told to it from whichever thread it happens in.

Why one outcome and no lost one: events change the machine under the job's lock, one
after another; what follows is done after the lock is given back, by the thread whose
event it was.  A ticket that is not live changes nothing, so of two events that end an
attempt (it returns, its time is over) only the first has a consequence.  A timer that
is kept too late, after the attempt that it belongs to has ended, is stopped by whoever
keeps it: it looks at the ticket under the same lock.  So is a call of which somebody
has given up the attempt before it could be kept; `_given_up` is the last such ticket.

Subscribers (`fastflow.run.events`) are told without the lock, of the end before
``done`` is called.  So what is told of one job comes in its order, unless one attempt
is cut off while its beginning is being told in another thread.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, Protocol

from fastflow import _core
from fastflow.base.log_ids import NOBODY, Ids
from fastflow.base.timers import Clock, Timer
from fastflow.errors import Cancelled, TaskTimeout
from fastflow.pool.dispatch import after_limit, given_up
from fastflow.run.attempts import (
    CALL,
    LIMIT,
    NOTHING,
    PAUSE,
    RECOVER,
    Attempts,
    Do,
    State,
)
from fastflow.run.events import Events, JobKey

__all__ = ["Backend", "Job", "UnderWay"]


class UnderWay(Protocol):
    """An attempt that a backend has taken."""

    def cancel(self) -> bool:
        """Take it back if it hasn't begun; the job is told by `Job.left`."""

    def give_up(self) -> None:
        """Wait for it no longer, whether it has begun or not."""


class Backend(Protocol):
    """Where attempts are made, and what that place can do."""

    remote: bool = False
    """Whether calls go to other processes, by way of pickle."""
    local: bool = True
    """Whether calls are made on this machine, with its files and cores."""
    sees_start: bool = True
    """Whether a job is told when an attempt begins, not only when it is sent."""
    by_value: bool = False
    """Whether a call gets copies of its arguments."""
    can_kill: bool = False
    """Whether a call that is given up is ended."""
    nested: bool = True
    """Whether calls can make calls of their own here."""

    def capacity(self) -> int | None:
        """Return how many calls are made at a time, None if that is not known."""
        return None

    def launch(self, job: Job, ticket: int) -> None:
        """Have an attempt made, and say so: `Job.keep`, `Job.begun`, then its end."""

    def recover(self, job: Job, ticket: int) -> None:
        """Have a fallback called, in this process; see `launch`.

        Not so where no job has one.
        """
        raise RuntimeError(f"fallback {ticket} of {job!r}: no job here has one")


class Job:
    """A call and all its attempts.

    What is called, and by what a limit is explained, is said by the classes derived
    from this one.

    Parameters
    ----------
    attempts : Attempts
    backend : Backend
    clock : Clock
        For delays and limits.
    done : callable
        Called with the job once it has ended; ``attempts`` tells how.
    context : contextvars.Context, optional
        Of which each attempt has a copy; default: one of the caller's.
    """

    __slots__ = (
        "_given_up", "_lock", "_timer", "_under_way", "attempts", "backend", "clock",
        "context", "done",
    )  # fmt: skip

    def __init__(
        self,
        attempts: Attempts,
        backend: Backend,
        clock: Clock,
        done: Callable[[Any], object],
        context: contextvars.Context | None = None,
    ) -> None:
        self.attempts = attempts
        self.backend = backend
        self.clock = clock
        self.done = done
        self.context = _core.task_context() if context is None else context
        self._lock = threading.Lock()
        self._given_up = 0
        self._timer: Timer | None = None
        self._under_way: UnderWay | None = None

    # Who it is, for subscribers; classes whose jobs have a place for these set them.

    events: Events | None = None
    """Told of what happens; None: nobody listens."""
    key: JobKey | None = None
    """There is one if there are events."""
    leave: Callable[[], object] | None = None
    """To be called when the attempt has ended that was let in; see `Admission`."""

    # What is called.

    executor: Any = None
    """Where its attempts are to be made, if not where all others are."""
    is_async = False
    """Whether `coroutine` is to be asked, not `call`."""
    awaits = False
    """Whether a coroutine that `call` returns is awaited."""
    keeps = False
    """Whether a large value may stay where it was made: see `fastflow.run.kept`."""

    def call(self, ticket: int) -> Any:
        """Call the function, here and now: one attempt."""
        raise NotImplementedError

    def coroutine(self, ticket: int) -> Any:
        """Return the coroutine of one attempt, of a function that is async."""
        raise NotImplementedError

    def remote_function(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return two functions for another process: ``run(fn, *arguments)``.

        `run` is one of a module; `fn` is the same object for all calls of a function:
        these may travel together.
        """
        raise NotImplementedError

    def remote_arguments(self) -> tuple[Any, ...]:
        """Return the arguments of one attempt there; asked when it leaves."""
        raise NotImplementedError

    def fallback(self) -> Any:
        """Return what takes the place of the result, for ``attempts.error``."""
        raise NotImplementedError

    def limit_error(self) -> TaskTimeout:
        """Return the error of an attempt that took too long."""
        raise NotImplementedError

    def ids(self) -> Ids:
        """Return what log records of an attempt belong to."""
        return NOBODY

    def freed(self) -> None:
        """Call `leave`, once; the fallback takes the place of the last attempt."""

    def time_is_up(self, ticket: int) -> None:
        """Tell an attempt that goes on that its time is over."""

    def sent(self, ticket: int) -> None:
        """Note that an attempt leaves for another process."""
        if self.events is not None and self.attempts.live == ticket:
            assert self.key is not None
            self.events.job_sent(self.key, self.attempts.count)

    def ran(self, ticket: int, start: float, end: float, where: int | str) -> None:
        """Note when, by ``time.perf_counter``, and where an attempt was made.

        Told before its end.
        """
        if self.events is not None and self.attempts.live == ticket:
            assert self.key is not None
            count = self.attempts.count
            self.events.job_ran(self.key, count, start, end, where)

    # For whoever wants the outcome.

    def start(self) -> None:
        """Begin; ``done`` may be called before this returns."""
        with self._lock:
            action = self.attempts.start()
        if action is CALL:
            self._make(self.backend.launch)
        else:
            self._follow(action)

    def stop(self) -> None:
        """Begin nothing more; what runs already goes on, and its end is told."""
        with self._lock:
            action = self.attempts.stop()
            under_way = None if self._recovers else self._under_way
        if action is not NOTHING:
            self._follow(action)
        elif under_way is not None:
            under_way.cancel()

    def cancel(self) -> bool:
        """Want the outcome no longer: nothing is told from now on.

        Returns
        -------
        bool
            Whether that was so; else it has ended before, and is told or being told.
        """
        with self._lock:
            self._given_up = self.attempts.live or self._given_up
            action = self.attempts.cancel()
            timer, under_way = self._release()
        if action is NOTHING:
            return False
        if timer is not None:
            timer.cancel()
        if under_way is not None:
            under_way.give_up()
        if self.leave is not None:
            self.freed()
        if self.events is not None:
            self._tell_ended(self.events)
        return True

    # For whoever makes the attempts.

    def keep(self, ticket: int, under_way: UnderWay, *, replace: bool = False) -> None:
        """Keep what can be given up while the attempt is on its way.

        Parameters
        ----------
        replace : bool
            Whether it takes the place of what was kept, or is about to be: it is what
            the call has led to.
        """
        with self._lock:
            live = self.attempts.live == ticket
            if live and (replace or self._under_way is None):
                self._under_way = under_way
            unwanted = ticket <= self._given_up
            stopping = self.attempts.stopping and live and not self._recovers
        if unwanted:
            under_way.give_up()
        elif stopping:
            under_way.cancel()

    def unkeep(self, ticket: int) -> None:
        """Forget what was kept: something else will be."""
        with self._lock:
            if self.attempts.live == ticket:
                self._under_way = None

    def begun(self, ticket: int) -> bool:
        """Note that an attempt begins; False if nobody wants it any more."""
        events = self.events
        with self._lock:
            first = events is not None and self.attempts.state is State.SENT
            action = self.attempts.begun(ticket)
            if action is NOTHING and self.attempts.live != ticket:
                return False
            count = self.attempts.count
        if action is LIMIT:
            self.limit(ticket)
        if first:
            assert events is not None
            self._tell_started(events, count)
        return True

    def limit(self, ticket: int, *, anew: bool = True) -> None:
        """Let the time of an attempt begin; if it has, `anew` or not at all."""
        seconds = self.attempts.timeout
        assert seconds is not None
        timer = self.clock.call_later(seconds, self.expired, ticket)
        with self._lock:
            wanted = self.attempts.live == ticket and self.attempts.is_limited
            if wanted and (anew or self._timer is None):
                timer, self._timer = self._timer, timer  # type: ignore[assignment]
        if timer is not None:
            timer.cancel()

    def returned(self, ticket: int, value: Any) -> bool:
        """Note the end of an attempt, or the fallback; whether it counts."""
        with self._lock:
            if self.attempts.returned(ticket, value) is NOTHING:
                return False
            timer, self._timer, self._under_way = self._timer, None, None
        if timer is not None:
            timer.cancel()
        if self.leave is not None:
            self.freed()
        if self.events is not None:
            self._tell_ended(self.events)
        self.done(self)
        return True

    def raised(self, ticket: int, error: BaseException, *, final: bool = False) -> bool:
        """Note the end of an attempt, or the fallback; whether it counts."""
        with self._lock:
            action = self.attempts.raised(ticket, error, final=final)
            if action is NOTHING:
                return False
            timer, _ = self._release()
            count = self.attempts.count
        if timer is not None:
            timer.cancel()
        if action is not RECOVER and self.leave is not None:
            self.freed()
        if action is PAUSE and self.events is not None:
            self._tell_retrying(self.events, count, error)
        self._follow(action)
        return True

    def left(self, ticket: int, error: BaseException | None = None) -> None:
        """Note that an attempt will not be made, as it was taken back or refused."""
        with self._lock:
            action = NOTHING if error else self.attempts.left(ticket)
            if action is not NOTHING:
                self._release()
        if action is NOTHING:
            self.raised(ticket, error or given_up())
        else:
            if self.leave is not None:
                self.freed()
            self._follow(action)

    def expired(self, ticket: int) -> None:
        """Note that the time of an attempt is over."""
        with after_limit():
            error = self.limit_error()
            with self._lock:
                action = self.attempts.expired(ticket, error)
                if action is NOTHING:
                    return
                self._given_up = ticket
                _, under_way = self._release()
                count = self.attempts.count
            self.time_is_up(ticket)  # not before: what it returns then is no result
            if under_way is not None:
                under_way.give_up()
            if action is not RECOVER and self.leave is not None:
                self.freed()
            if action is PAUSE and self.events is not None:
                self._tell_retrying(self.events, count, error)
            self._follow(action)

    # What follows.

    @property
    def _recovers(self) -> bool:
        return self.attempts.state is State.RECOVERING

    def _release(self) -> tuple[Timer | None, UnderWay | None]:
        timer, self._timer = self._timer, None
        under_way, self._under_way = self._under_way, None
        return timer, under_way

    def _follow(self, action: Do) -> None:
        if action is CALL:
            self._make(self.backend.launch)
        elif action is PAUSE:
            self._pause()
        elif action is RECOVER:
            self._recover()
        elif action is not NOTHING:
            if self.events is not None:
                self._tell_ended(self.events)
            self.done(self)

    def _recover(self) -> None:
        self._make(self.backend.recover)

    def _make(self, send: Callable[[Job, int], None]) -> None:
        ticket = self.attempts.live
        if not ticket:
            return  # cancelled meanwhile
        try:
            send(self, ticket)
        except BaseException as error:  # the backend is shut down, or broken
            self.raised(ticket, error)

    def _pause(self) -> None:
        count = self.attempts.count
        try:
            timer = self.clock.call_later(self.attempts.pause, self._due)
        except BaseException as error:  # there can't be a thread for timers
            with self._lock:
                action = self.attempts.refused(error)
            self._follow(action)
            return
        with self._lock:
            # It may have come already, and the next pause, too.
            if self.attempts.state is State.PAUSED and self.attempts.count == count:
                self._timer = timer
                return
        timer.cancel()

    def _due(self) -> None:
        with self._lock:
            self._timer = None
            action = self.attempts.due()
        self._follow(action)

    # Subscribers

    def around(self) -> contextlib.AbstractContextManager[object]:
        """Return what is to be entered around a call that is made here."""
        if self.events is None or self.key is None:
            return contextlib.nullcontext()
        return self.events.around_job(self.key, self.attempts.count)

    def _tell_started(self, events: Events, count: int) -> None:
        assert self.key is not None
        events.job_started(self.key, count)

    def _tell_retrying(self, events: Events, count: int, error: BaseException) -> None:
        assert self.key is not None
        events.job_retrying(self.key, count, error)

    def _tell_ended(self, events: Events) -> None:
        """Say how it ended; it has, so that does not change any more."""
        attempts = self.attempts
        error = attempts.error
        if attempts.succeeded:
            error = None
        elif attempts.state is State.DROPPED:
            error = Cancelled("nothing came of it: it was cancelled")
        assert self.key is not None
        events.job_ended(self.key, attempts.count, error)
