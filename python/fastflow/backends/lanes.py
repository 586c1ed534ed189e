"""Calls that wait to be sent to other processes, or are under way.

What is here belongs to a `fastflow.backends.sender.Sender`, and changes under its lock
only.
"""

from __future__ import annotations

import concurrent.futures as cf
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from types import FunctionType
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from fastflow.base.lifetime import WORKERS, in_forked_child
from fastflow.base.log_ids import extra
from fastflow.run.clocks import Where
from fastflow.run.job import Job
from fastflow.run.remote import Outcome, Run, explained

__all__ = ["Call", "Chunk", "Lane", "Submit"]

_LOGGER = logging.getLogger("fastflow")

_SECONDS = 0.1  # that a chunk should take

Submit = Callable[..., cf.Future[Any]]
"""``submit`` of an executor."""


class _Usual:
    """What a call took, by function; for the next run."""

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Know nothing; in a forked child nobody may give the lock back."""
        self._lock = threading.Lock()
        self._seconds: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def get(self, fn: object) -> float:
        """Return the seconds, 0 if they are not known."""
        if type(fn) is not FunctionType:  # others may be compared in ways of their own
            return 0.0
        with self._lock:
            return self._seconds.get(fn, 0.0)

    def put(self, fn: object, seconds: float) -> None:
        """Keep the seconds."""
        if type(fn) is FunctionType:
            with self._lock:
                self._seconds[fn] = seconds


_usual = _Usual()
in_forked_child(WORKERS, _usual.start_over)


class Lane:
    """The calls of one function in one run.

    Parameters
    ----------
    key
        Of run and function, as long as the lane is there.
    submit : callable
        Of the executor.
    run, fn
        See `fastflow.run.remote.Run`.
    """

    __slots__ = ("calls", "fn", "held", "keeps", "key", "packed", "run", "seconds",
                 "submit")  # fmt: skip

    def __init__(
        self, key: Any, submit: Submit, run: Run, fn: Any, *, keeps: bool = False
    ) -> None:
        self.key = key
        self.submit = submit
        self.run = run
        self.fn = fn
        self.keeps = keeps
        """Whether large values may stay there; see `fastflow.run.job.Job`."""
        self.held: OrderedDict[Call, None] = OrderedDict()
        """Those without a limit that have not left."""
        self.calls = 0
        """All that are not over."""
        self.packed: bytes | None = None
        """What they have in common."""
        self.seconds = _usual.get(fn)
        """What a call takes; 0 as long as that is not known."""

    def note(self, seconds: float) -> None:
        """Learn from calls that came back; quickly that they are long."""
        seconds = max(seconds, 1e-7)
        usual = (self.seconds + seconds) / 2 if self.seconds else seconds
        self.seconds = max(usual, seconds)
        _usual.put(self.fn, self.seconds)

    def take(self, workers: int, most: int) -> list[Call]:
        """Take the calls that should leave together now."""
        count = 1
        if self.seconds:
            full = min(int(_SECONDS / self.seconds), most)
            count = max(min(len(self.held) // workers, full), 1)
        return [self.held.popitem(last=False)[0] for _ in range(count)]


class Sends(Protocol):
    """What a call needs of its `fastflow.backends.sender.Sender`."""

    def take_back(self, call: Call) -> bool:
        """See `Call.cancel`."""

    def give_up(self, call: Call) -> None:
        """See `Call.give_up`."""


class Call:
    """An attempt; see `fastflow.run.job.UnderWay`."""

    __slots__ = ("_sender", "chunk", "given_up", "job", "lane", "limited",
                 "taken_back", "ticket")  # fmt: skip

    def __init__(
        self, sender: Sends, lane: Lane, job: Job, ticket: int, *, limited: bool
    ) -> None:
        self._sender = sender
        self.lane = lane
        self.job = job
        self.ticket = ticket
        self.limited = limited
        self.chunk: Chunk | None = None
        """What it is a part of; None: it is held, or over."""
        self.taken_back = self.given_up = False
        """While it is a part of one."""

    def cancel(self) -> bool:
        """See `fastflow.run.job.UnderWay`."""
        return self._sender.take_back(self)

    def give_up(self) -> None:
        """See `fastflow.run.job.UnderWay`."""
        self._sender.give_up(self)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for what comes of it."""
        return self.job.attempts.live == self.ticket

    # What its job is told, whose mistakes are not those of its neighbours.

    def sent(self) -> None:
        """Say that it is on its way."""
        try:
            self.job.sent(self.ticket)
            self.job.begun(self.ticket)
        except Exception as error:  # its limit can't be watched
            self.failed(error)

    def ended(self, outcome: Outcome, sent: float, where: Where | None) -> None:
        """Say what came of it; see `Outcome.seen_here`."""
        try:
            if outcome.process:
                self.job.ran(self.ticket, *outcome.seen_here(sent, where))
            if outcome.failure is None:
                self.job.returned(self.ticket, outcome.value)
                return
            error = outcome.failure.error()
        except Exception:
            _LOGGER.exception(
                "exception at the end of a call", extra=extra(*self.job.ids())
            )
        else:
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """Say why nothing came of it."""
        try:
            self.job.raised(self.ticket, explained(error))
        except Exception:
            _LOGGER.exception(
                "exception at the end of a call", extra=extra(*self.job.ids())
            )

    def left(self) -> None:
        """Say that it was not made."""
        try:
            self.job.left(self.ticket)
        except Exception:
            _LOGGER.exception(
                "exception at the end of a call", extra=extra(*self.job.ids())
            )


class Chunk:
    """Calls that are under way together, or about to leave.

    Parameters
    ----------
    lane : Lane
    calls : list of Call
        None of them: it only asks whether a process is there.
    alone : bool
        Whether that is one call, with a limit.
    """

    __slots__ = ("alone", "asks", "calls", "future", "hangs", "lane", "sent")

    def __init__(self, lane: Lane, calls: list[Call], *, alone: bool = False) -> None:
        self.lane = lane
        self.calls = calls
        self.alone = alone
        self.asks = not calls
        self.future: cf.Future[Any] | None = None
        """From when it was sent until it is opened."""
        self.sent = 0.0
        self.hangs = False
        """Whether nobody waits for it, and it goes on."""
        for call in calls:
            call.chunk = self

    def unwanted(self) -> cf.Future[Any] | None:
        """Return the future if none of the calls is to be made."""
        if all(call.taken_back or call.given_up for call in self.calls):
            return self.future
        return None

    @property
    def forgotten(self) -> bool:
        """Whether nobody waits for any of the calls."""
        return all(call.given_up for call in self.calls)
