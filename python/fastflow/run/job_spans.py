"""What is told of jobs, as spans for those who record.

A `JobSpans` is a subscriber (`fastflow.run.events`) of one run: it takes its own times,
on the clock of all spans, in the thread in which something happens. What is known
better elsewhere (a call was made in another process, and timed there) is told by
`job_ran`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from fastflow.base import aio, recorders
from fastflow.base.recorders import Noted
from fastflow.errors import Cancelled
from fastflow.run.events import Events, JobKey

__all__ = ["JobSpans", "Lane", "RunSpans", "joined", "lane_of"]

_CALL, _PAUSE = 0, 4  # kinds and states of seeing.trace
_DONE, _FAILED, _RETRIED, _CANCELLED, _CACHED = range(5)

Lane = tuple[str, str, int] | int
"""See `Noted.lane`."""


class _Attempt(NamedTuple):
    start: int
    end: int
    """0: it goes on."""
    lane: Lane


class JobSpans:
    """Tells recorders of the jobs of a run.

    Parameters
    ----------
    run : int
        Its number; see `recorders.begin_run`.
    first : callable, optional
        Returns start (ns) and lane of the first attempt of a job that was not told of;
        None: it is not known.
    item : callable, optional
        Returns which item of a fan-out, or node, a job is; -1: none.

    Attributes
    ----------
    told : set of str
        Ids of the jobs whose end was told.
    """

    def __init__(
        self,
        run: int,
        first: Callable[[JobKey], tuple[int, Lane] | None] = lambda _: None,
        item: Callable[[JobKey], int] = lambda _: -1,
    ) -> None:
        self.told: set[str] = set()
        self.run = run
        self._first = first
        self._item = item
        self._attempts: dict[tuple[str, str], _Attempt] = {}
        self._pauses: dict[tuple[str, str], int] = {}
        self._waits: dict[tuple[str, str], int] = {}
        self._sent: set[tuple[str, str]] = set()  # attempts, to other processes

    def run_of(self, key: JobKey) -> int:  # noqa: ARG002
        """Return the number of a job's run."""
        return self.run

    def events(self) -> Events:
        """Return what tells this one."""
        return Events((self,))

    def job_started(self, key: JobKey, attempt: int, time: float, /) -> None:  # noqa: ARG002
        """See `Subscriber`."""
        now = recorders.now()
        since = self._pauses.pop(key[:2], None)
        if since is not None:
            self._tell(key, attempt, _Attempt(since, now, _waits()), kind=_PAUSE)
        lane = _elsewhere() if key[:2] in self._sent else lane_of(None)
        self._attempts[key[:2]] = _Attempt(now, 0, lane)

    def job_sent(self, key: JobKey, attempt: int, /) -> None:
        """See `Subscriber`; where it is made is known only if it comes back."""
        del attempt
        self._sent.add(key[:2])

    def job_ran(
        self, key: JobKey, attempt: int, start: float, end: float, where: str | int
    ) -> None:
        """Note when and where an attempt was made, by ``time.perf_counter``."""
        del attempt
        self._attempts[key[:2]] = _Attempt(
            round(start * 1e9), round(end * 1e9), lane_of(where)
        )

    def job_retrying(
        self, key: JobKey, attempt: int, time: float, error: BaseException, /
    ) -> None:
        """See `Subscriber`."""
        del time
        self._end(key, attempt, _RETRIED, error)
        self._pauses[key[:2]] = recorders.now()

    def job_recalled(self, key: JobKey, attempt: int, time: float, /) -> None:
        """See `Subscriber`."""
        del time
        now = recorders.now()
        self.told.add(key.id)
        self._tell(key, attempt, _Attempt(now, now, lane_of(None)), state=_CACHED)

    def job_ended(
        self, key: JobKey, attempt: int, time: float, error: BaseException | None, /
    ) -> None:
        """See `Subscriber`."""
        del time
        began = self._waits.pop(key[:2], None)
        if began is not None:
            self.job_waited(key, (recorders.now() - began) / 1e9)
            return
        self.told.add(key.id)
        since = self._pauses.pop(key[:2], None)
        if since is not None:  # it was stopped meanwhile
            now = recorders.now()
            self._tell(key, attempt, _Attempt(since, now, _waits()), kind=_PAUSE)
        state = _DONE
        if error is not None:
            state = _CANCELLED if isinstance(error, Cancelled) else _FAILED
        if key[:2] in self._attempts or since is None:
            self._end(key, attempt, state, error)

    def wait_began(self, key: JobKey) -> None:
        """Note that a job begins in which nobody works; its end is told as others'."""
        self._waits[key[:2]] = recorders.now()

    def job_waited(self, key: JobKey, seconds: float, /) -> None:
        """See `Subscriber`."""
        now = recorders.now()
        start = now - round(seconds * 1e9)
        self._tell(key, 1, _Attempt(start, now, _waits()), kind=_PAUSE)

    def _end(
        self, key: JobKey, attempt: int, state: int, error: BaseException | None
    ) -> None:
        found = self._attempts.pop(key[:2], None)
        self._sent.discard(key[:2])
        if found is None:
            first = self._first(key)
            if first is None:
                return  # it has never begun
            found = _Attempt(first[0], 0, first[1])
        ended = found.end or recorders.now()
        failure = 0
        if error is not None and state != _CANCELLED:
            failure = recorders.failure_of(error)
        found = found._replace(end=ended)
        self._tell(key, attempt, found, state=state, failure=failure)

    def _tell(
        self,
        key: JobKey,
        attempt: int,
        found: _Attempt,
        *,
        kind: int = _CALL,
        state: int = _DONE,
        failure: int = 0,
    ) -> None:
        recorders.tell(
            [
                Noted(
                    key.name or key.id, found.start, found.end, found.lane,
                    self._item(key), self.run_of(key), max(attempt, 1), kind, state,
                    failure,
                )
            ]
        )  # fmt: skip


class RunSpans(JobSpans):
    """The same for many runs, whose beginning and end it is told."""

    def __init__(self, kind: str) -> None:
        super().__init__(0)
        self._kind = kind
        self._numbers: dict[str, int] = {}

    def run_of(self, key: JobKey) -> int:
        """See `JobSpans`."""
        return self._numbers.get(key.run, 0)

    def run_started(self, run: str, time: float, /) -> None:
        """See `Subscriber`."""
        del time
        self._numbers[run] = recorders.begin_run(run, self._kind)

    def run_ended(self, run: str, time: float, error: BaseException | None, /) -> None:
        """See `Subscriber`."""
        del time
        recorders.end_run(self._numbers.get(run, 0), error)


def joined(events: Events | None, spans: JobSpans | None) -> Events | None:
    """Return what tells both, or None if there is neither."""
    if spans is None:
        return events
    return spans.events() if events is None else events.also((spans,))


def lane_of(where: str | int | None) -> Lane:
    """Return the lane of a thread, by number, or of a process; None: of this thread."""
    if where is None:
        if aio.is_loop_thread():
            return "event loop", "loop", os.getpid()
        return threading.get_ident()
    if isinstance(where, int):
        return where
    # See `run.clocks`: there may be a machine before and a thread behind it.
    machine, _, rest = where.rpartition("process ")
    number = rest.partition(" ")[0]
    process = int(number) if number.isdecimal() else 0
    return where, "process" if process and not machine else "remote", process


def _elsewhere() -> Lane:
    """Return the lane of calls of which nobody knows which worker has made them."""
    return "elsewhere", "waits", os.getpid()


def _waits() -> Lane:
    return "waits", "waits", os.getpid()
