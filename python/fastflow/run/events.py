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

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from fastflow.base.log_ids import extra

__all__ = ["LISTENING", "Events", "JobKey", "RunAbout", "Subscriber"]

_LOGGER = logging.getLogger("fastflow")


class JobKey(NamedTuple):
    """Which job it is."""

    run: str
    """The id or the name of its run."""
    id: str
    """Of no other job of the run."""
    name: str | None = None
    """For people."""
    kind: str | None = None
    """Of an operation of a durable function, such as "STEP"."""
    parent: str | None = None
    """The operation that it is inside of; None: the function itself."""
    fan: str | None = None
    """The fan-out of a durable function of which it is a part: one of many."""


class RunAbout(NamedTuple):
    """What a run is, beyond its id."""

    kind: str
    """"flow", "workflow" or "durable"."""
    name: str
    """Of the flow, workflow or durable function."""
    resumed: int = 0
    """How many have begun it, or gone on with it, before."""
    seed: str | None = None
    """The same in each process that it goes on in, and that of no other run."""


class Subscriber(Protocol):
    """Is told what happens.

    It need not have all of these methods.  Times are in seconds since 1970, on the
    clock of the run; attempts are counted from 1.
    """

    def about_run(self, run: str, about: RunAbout, /) -> None:
        """What a run is that is about to begin."""

    def around_job(
        self, key: JobKey, attempt: int, /
    ) -> contextlib.AbstractContextManager[object]:
        """Return what is entered around the call of the user's function.

        It is entered where that is called, so it may set context variables for it; not
        if that is another process.  It must not keep back what the function raises.
        """
        raise NotImplementedError

    def scope_started(self, key: JobKey, kind: str, time: float, /) -> None:
        """An operation that has others in it, or waits for an answer, begins.

        These are child contexts, parallel, map and invoke of durable functions.  It is
        told again when the function runs again from its top.
        """

    def scope_ended(
        self, key: JobKey, time: float, error: BaseException | None, /
    ) -> None:
        """Such an operation is over."""

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


_METHODS = tuple(name for name in vars(Subscriber) if not name.startswith("_"))

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

    def run_started(self, run: str, about: RunAbout | None = None) -> None:
        """See `Subscriber`."""
        if about is not None:
            self._tell("about_run", run, about)
        self._tell("run_started", run, self._now())

    @property
    def goes_around(self) -> bool:
        """Whether somebody is to be asked for `around_job`."""
        return bool(self._listeners["around_job"])

    def around_job(
        self, key: JobKey, attempt: int
    ) -> contextlib.AbstractContextManager[object]:
        """See `Subscriber`; what theirs raise is no matter of the call."""
        if not self._listeners["around_job"]:
            return contextlib.nullcontext()
        return self._around(key, attempt)

    @contextlib.contextmanager
    def _around(self, key: JobKey, attempt: int) -> Iterator[None]:
        entered: list[tuple[Any, Any]] = []
        for subscriber, method in self._listeners["around_job"]:
            with self._no_harm(subscriber, key):
                manager: Any = method(key, attempt)
                manager.__enter__()
                entered.append((subscriber, manager))
        try:
            yield
        finally:
            for subscriber, manager in reversed(entered):
                with self._no_harm(subscriber, key):
                    manager.__exit__(None, None, None)

    def scope_started(self, key: JobKey, kind: str) -> None:
        """See `Subscriber`."""
        self._tell("scope_started", key, kind, self._now())

    def scope_ended(self, key: JobKey, error: BaseException | None) -> None:
        """See `Subscriber`."""
        self._tell("scope_ended", key, self._now(), error)

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
                self._complain(subscriber, what[0])

    @contextlib.contextmanager
    def _no_harm(self, subscriber: Any, of: JobKey) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._complain(subscriber, of)

    def _complain(self, subscriber: Any, of: str | JobKey) -> None:
        """Log what a subscriber has raised, which is told nothing any more."""
        if self._disable(subscriber):
            _LOGGER.exception(
                "a subscriber to events, a %s, has raised, and is told nothing "
                "any more",
                type(subscriber).__name__,
                extra=_ids(of),
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


def _ids(of: str | JobKey) -> dict[str, Any]:
    return extra(of.run, of.name) if isinstance(of, JobKey) else extra(of)


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
