"""So many attempts at a time: a backend in front of another one."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from fastflow.run.job import Backend, Job
from fastflow.run.task_job import TaskJob

__all__ = ["Admission"]


class Admission(Backend):
    """Lets attempts through to a backend, the others wait.

    An attempt that is let in has a place until it ends, or its time is over; the
    fallback takes the place of the attempt that failed last.

    Whoever gives a place back lets the next one in.  So that a row of attempts that end
    at once needs no stack, one thread at a time does so, and all others leave what they
    give back to it: it looks again, under the lock, before it stops.

    Parameters
    ----------
    backend : Backend
    places : int
        Attempts at a time, at least 1.
    counts_async : bool
        Whether those of async functions need a place, too.
    """

    def __init__(self, backend: Backend, places: int, *, counts_async: bool) -> None:
        self._backend = backend
        self._free = places
        self._counts_async = counts_async
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._lets_in = False

    def launch(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        if job.is_async and not self._counts_async:
            self._backend.launch(job, ticket)
            return
        waiting = _Waiting(job, ticket)
        job.keep(ticket, waiting)
        with self._lock:
            self._waiting.append(waiting)
        self._let_in()

    def recover(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        self._backend.recover(job, ticket)

    def _let_in(self) -> None:
        with self._lock:
            if self._lets_in:
                return
            self._lets_in = True
        while True:
            with self._lock:
                if not self._free or not self._waiting:
                    self._lets_in = False
                    return
                waiting = self._waiting.popleft()
                if not waiting.take():
                    continue
                self._free -= 1
            self._go(waiting.job, waiting.ticket)

    def _go(self, job: Any, ticket: int) -> None:
        attempt: TaskJob = job
        attempt.leave = self._left
        attempt.unkeep(ticket)
        if attempt.attempts.live != ticket:
            attempt.freed()  # it was given up meanwhile
            return
        try:
            self._backend.launch(attempt, ticket)
        except BaseException as error:  # it is shut down, or broken
            attempt.raised(ticket, error)

    def _left(self) -> None:
        with self._lock:
            self._free += 1
        self._let_in()


class _Waiting:
    """An attempt that has no place yet."""

    __slots__ = ("_lock", "is_taken", "job", "ticket")

    def __init__(self, job: Job, ticket: int) -> None:
        self.job = job
        self.ticket = ticket
        self.is_taken = False
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether nobody else has let it in, or taken it back."""
        with self._lock:
            first, self.is_taken = not self.is_taken, True
        return first

    def cancel(self) -> bool:
        """See `fastflow.run.job.UnderWay`."""
        if not self.take():
            return False
        self.job.left(self.ticket)
        return True

    def give_up(self) -> None:
        """See `fastflow.run.job.UnderWay`."""
        self.take()
