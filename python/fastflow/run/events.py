"""What happens to runs and jobs, told to whoever wants to know.

A *subscriber* is an object with some of the methods of `Subscriber`.  Whatever tells
something holds an `Events` or None.  While that is None it does nothing: there is no
call, no key is made, and nobody looks at the clock.

Subscribers are called in the thread in which something happens, at the same time from
several threads, and hold up what they are told of.  One that raises is told nothing
any more, and the log (``fastflow``) has why: nothing that is looked at may go wrong
because somebody looks.  Ctrl-C and the like pass.

On free-threaded builds: the table of methods is never changed, but replaced as a whole,
under a lock; who reads it while that happens sees the old or the new one.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

__all__ = ["LISTENING", "Events", "JobKey", "Subscriber"]

_LOGGER = logging.getLogger("fastflow")


class JobKey(NamedTuple):
    """Which job it is."""

    run: str
    """The id or the name of its run."""
    id: str
    """Of no other job of the run."""
    name: str | None = None
    """For people."""


class Subscriber(Protocol):
    """Is told what happens.

    It need not have all of these methods.  Times are in seconds since 1970, on the
    clock of the run; attempts are counted from 1.
    """

    def run_started(self, run: str, time: float, /) -> None:
        """A run begins, or goes on in this process."""

    def run_ended(self, run: str, time: float, error: BaseException | None, /) -> None:
        """A run is over here: with a result, with its error, or interrupted by it."""

    def job_started(self, key: JobKey, attempt: int, time: float, /) -> None:
        """An attempt begins."""

    def job_retrying(
        self, key: JobKey, attempt: int, time: float, error: BaseException, /
    ) -> None:
        """An attempt has failed, and there will be another one."""

    def job_recalled(self, key: JobKey, attempt: int, time: float, /) -> None:
        """A call was not made, as it is recorded that `attempt` attempts ended it."""

    def job_sent(self, key: JobKey, attempt: int, /) -> None:
        """An attempt leaves for another process: `job_ran` tells more, if it is back.

        It has begun, as far as it is known, at `job_started`.
        """

    def job_ran(
        self, key: JobKey, attempt: int, start: float, end: float, where: str | int, /
    ) -> None:
        """An attempt was made elsewhere, as it is known now; its end is told next.

        Times are those of ``time.perf_counter`` here; `where` names a process, or is
        the number of a thread.
        """

    def job_waited(self, key: JobKey, seconds: float, /) -> None:
        """So many seconds have passed in which nobody worked, and were to pass."""

    def job_ended(
        self, key: JobKey, attempt: int, time: float, error: BaseException | None, /
    ) -> None:
        """A job is over, after so many attempts.

        The error of one that was cancelled, or never begun, is a ``Cancelled``.
        """


_METHODS = tuple(name for name in vars(Subscriber) if name.startswith(("run_", "job_")))

_Listener = tuple[Any, Callable[..., object]]


class Events:
    """Tells subscribers.

    Parameters
    ----------
    subscribers : iterable of Subscriber
    now : callable
        The clock of the runs: seconds since 1970.

    Examples
    --------
    >>> class Ends:
    ...     def job_ended(self, key, attempt, time, error):
    ...         print(key.name, attempt, time, error)
    >>> events = Events([Ends()], now=lambda: 7.0)
    >>> events.job_started(JobKey("r", "1", "load"), 1)
    >>> events.job_ended(JobKey("r", "1", "load"), 1, None)
    load 1 7.0 None
    """

    def __init__(
        self, subscribers: Iterable[Any], now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._listeners = _table(subscribers)

    @classmethod
    def of(
        cls, subscribers: Iterable[Any], now: Callable[[], float] = time.time
    ) -> Events | None:
        """Return what tells these subscribers; None if there are none.

        Raises
        ------
        TypeError
            If one has none of the methods.
        """
        found = tuple(subscribers)
        for each in found:
            if not any(callable(getattr(each, name, None)) for name in _METHODS):
                raise TypeError(
                    f"a {type(each).__name__} is no subscriber: it has none of the "
                    f"methods {', '.join(_METHODS)}"
                )
        return cls(found, now) if found else None

    def also(self, subscribers: Iterable[Any]) -> Events:
        """Return what tells these subscribers, too."""
        mine = [each for table in self._listeners.values() for each, _ in table]
        return Events(dict.fromkeys([*mine, *subscribers]), self._now)

    def run_started(self, run: str) -> None:
        """See `Subscriber`."""
        self._tell("run_started", run, self._now())

    def run_ended(self, run: str, error: BaseException | None) -> None:
        """See `Subscriber`."""
        self._tell("run_ended", run, self._now(), error)

    def job_started(self, key: JobKey, attempt: int) -> None:
        """See `Subscriber`."""
        self._tell("job_started", key, attempt, self._now())

    def job_retrying(self, key: JobKey, attempt: int, error: BaseException) -> None:
        """See `Subscriber`."""
        self._tell("job_retrying", key, attempt, self._now(), error)

    def job_recalled(self, key: JobKey, attempt: int) -> None:
        """See `Subscriber`."""
        self._tell("job_recalled", key, attempt, self._now())

    def job_sent(self, key: JobKey, attempt: int) -> None:
        """See `Subscriber`."""
        self._tell("job_sent", key, attempt)

    def job_ran(
        self, key: JobKey, attempt: int, start: float, end: float, where: str | int
    ) -> None:
        """See `Subscriber`."""
        self._tell("job_ran", key, attempt, start, end, where)

    def job_waited(self, key: JobKey, seconds: float) -> None:
        """See `Subscriber`."""
        self._tell("job_waited", key, seconds)

    def job_ended(self, key: JobKey, attempt: int, error: BaseException | None) -> None:
        """See `Subscriber`."""
        self._tell("job_ended", key, attempt, self._now(), error)

    def _tell(self, name: str, *what: Any) -> None:
        for subscriber, method in self._listeners[name]:
            try:
                method(*what)
            except Exception:
                if self._disable(subscriber):
                    _LOGGER.exception(
                        "a subscriber to events, a %s, has raised, and is told nothing "
                        "any more",
                        type(subscriber).__name__,
                    )

    def _disable(self, subscriber: Any) -> bool:
        """Tell a subscriber nothing any more; whether it was told until now."""
        with self._lock:
            was_told = any(
                each is subscriber
                for listeners in self._listeners.values()
                for each, _ in listeners
            )
            self._listeners = {
                name: tuple(pair for pair in listeners if pair[0] is not subscriber)
                for name, listeners in self._listeners.items()
            }
        return was_told


def _table(subscribers: Iterable[Any]) -> dict[str, tuple[_Listener, ...]]:
    found = tuple(subscribers)
    return {
        name: tuple(
            (each, method)
            for each in found
            if callable(method := getattr(each, name, None))
        )
        for name in _METHODS
    }


LISTENING: contextvars.ContextVar[Events | None] = contextvars.ContextVar(
    "fastflow.events", default=None
)
"""Told of the runs that begin here, beside those who a run is given; None: nobody."""
