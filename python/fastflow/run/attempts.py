"""The life of one call: delay, attempts, time limit, fallback; as a pure state machine.

Events go in, the action that follows comes out; there is no thread, no lock and no
clock in here.  Who hosts the machine makes the calls, sets the timers and says what
happened: `fastflow.run.job` for all who must not wait, `fastflow.run.inline` for
callers that do, and steps of durable functions, which record what they do.

An attempt has a ticket.  Of whatever carries another ticket than the live one nothing
follows: so a result that comes after its time is dropped, whoever brings it.

`TRANSITIONS` has all that may happen; ``docs/attempts.md`` draws it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Protocol

__all__ = [
    "CALL",
    "DELIVER",
    "DROP",
    "LIMIT",
    "NOTHING",
    "PAUSE",
    "RECOVER",
    "TRANSITIONS",
    "Attempts",
    "Do",
    "Retry",
    "State",
]


class State(Enum):
    """How far a call has come."""

    NEW = "new"
    PAUSED = "paused"
    """Waits before its first attempt, or between two."""
    SENT = "sent"
    """An attempt is on its way; nobody has seen it begin."""
    RUNNING = "running"
    RECOVERING = "recovering"
    """The fallback takes the place of the attempt that failed last."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DROPPED = "dropped"
    """Given up; nothing will come of it."""


class Do(Enum):
    """What the host is to do next."""

    NOTHING = "nothing"
    CALL = "call"
    """Have an attempt made, with the ticket `Attempts.live`."""
    LIMIT = "limit"
    """Let the time of the live attempt begin: `Attempts.timeout` seconds."""
    PAUSE = "pause"
    """Come back with `Attempts.due` in `Attempts.pause` seconds."""
    RECOVER = "recover"
    """Have the fallback called for `Attempts.error`; its ticket is `Attempts.live`."""
    DELIVER = "deliver"
    """Hand out `Attempts.value` or `Attempts.error`."""
    DROP = "drop"
    """Say that nothing will come."""


# As names of this module, since looking up a member of an Enum takes as long as a call.
_NEW, _PAUSED, _SENT, _RUNNING, _RECOVERING, _SUCCEEDED, _FAILED, _DROPPED = State
NOTHING, CALL, LIMIT, PAUSE, RECOVER, DELIVER, DROP = Do


class Retry(Protocol):
    """Whether there is another attempt, and when.

    If that raises, the call has failed with what it raises.
    """

    def decide(self, error: BaseException, attempt: int, /) -> float | None:
        """Return the seconds to wait before trying again; None: don't.

        Parameters
        ----------
        error : BaseException
            What attempt number `attempt` (from 1) has raised.
        """


_ENDED = (_SUCCEEDED, _FAILED, _DROPPED)

_OPEN = frozenset({_SENT, _RUNNING})

TRANSITIONS: dict[tuple[State, str], frozenset[tuple[State, Do]]] = {
    (_NEW, "start"): frozenset({(_PAUSED, PAUSE), (_SENT, CALL)}),
    (_NEW, "recalled"): frozenset({(_SUCCEEDED, DELIVER)}),
    (_NEW, "refused"): frozenset({(_FAILED, DELIVER)}),
    (_PAUSED, "due"): frozenset({(_SENT, CALL)}),
    (_PAUSED, "refused"): frozenset({(_FAILED, DELIVER)}),
    (_SENT, "begun"): frozenset({(_RUNNING, LIMIT), (_RUNNING, NOTHING)}),
    **{
        (state, event): frozenset(
            {
                (_PAUSED, PAUSE),
                (_RECOVERING, RECOVER),
                (_FAILED, DELIVER),
            }
        )
        for state in _OPEN
        for event in ("raised", "expired")
    },
    **{
        (state, "returned"): frozenset({(_SUCCEEDED, DELIVER)})
        for state in (*_OPEN, _RECOVERING)
    },
    (_RECOVERING, "raised"): frozenset({(_FAILED, DELIVER)}),
    **{(state, "stop"): frozenset({(_DROPPED, DROP)}) for state in (_NEW, _PAUSED)},
    **{
        (state, "stop"): frozenset({(state, NOTHING)})
        for state in (*_OPEN, _RECOVERING)
    },
    **{
        (state, "left"): frozenset({(_DROPPED, DROP)})
        for state in (*_OPEN, _RECOVERING)
    },
    **{
        (state, "cancel"): frozenset({(_DROPPED, DROP)})
        for state in State
        if state not in _ENDED
    },
}
"""What may follow an event of a state; of all others nothing follows.

``begun``, ``returned``, ``raised``, ``expired`` and ``left`` are those of the live
attempt or fallback.  ``left`` follows ``stop`` only.
"""


class Attempts:
    """The machine of one call.

    Parameters
    ----------
    retry : Retry, optional
        None: there is one attempt.
    timeout : float, optional
        Seconds that an attempt may take.
    delay : float
        Seconds before the first attempt.
    fallback : bool
        Whether something takes the place of the result once all has failed.

    Attributes
    ----------
    state : State
    count : int
        Attempts so far.
    live : int
        Ticket of the attempt, or the fallback, whose end counts; 0: none does.
    pause : float
        Seconds, after `Do.PAUSE`.
    value
        The result, once it has succeeded.
    error : BaseException or None
        What failed last.
    stopping : bool
        Whether nothing more is to begin.
    """

    __slots__ = (
        "_delay", "_fallback", "_retry", "_tickets", "count", "error", "live", "pause",
        "state", "stopping", "timeout", "value",
    )  # fmt: skip

    def __init__(
        self,
        retry: Retry | None = None,
        timeout: float | None = None,
        delay: float = 0.0,
        *,
        fallback: bool = False,
    ) -> None:
        self._retry = retry
        self._delay = delay
        self._fallback = fallback
        self._tickets = 0
        self.stopping = False
        self.timeout = timeout
        self.state = _NEW
        self.count = 0
        self.live = 0
        self.pause = 0.0
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def ended(self) -> bool:
        """Whether all is over."""
        return self.state in _ENDED

    @property
    def succeeded(self) -> bool:
        """Whether there is a result."""
        return self.state is _SUCCEEDED

    @property
    def is_limited(self) -> bool:
        """Whether the live attempt has a limit; a fallback has none."""
        return self.timeout is not None and self.state is not _RECOVERING

    def resume(self, count: int, *, sent: bool) -> None:
        """Go on with a call that another process began.

        Parameters
        ----------
        count : int
            Attempts that were made.
        sent : bool
            Whether the last of them has not ended, as far as is known; else `due` is
            next.
        """
        self.count = count
        self.state = _PAUSED
        if sent:
            self._next_ticket(_SENT)

    def start(self) -> Do:
        """Begin."""
        if self.state is not _NEW:
            return NOTHING
        if self._delay:
            return self._wait(self._delay)
        return self._call()

    def due(self) -> Do:
        """The pause is over."""
        return self._call() if self.state is _PAUSED else NOTHING

    def recalled(self, value: Any) -> Do:
        """The result is known: no attempt is needed."""
        if self.state is not _NEW:
            return NOTHING
        self.value = value
        return self._end(_SUCCEEDED, DELIVER)

    def refused(self, error: BaseException) -> Do:
        """What has to come before the next attempt, a pause say, can't be."""
        if self.state is not _PAUSED and self.state is not _NEW:
            return NOTHING
        self.error = error
        return self._end(_FAILED, DELIVER)

    def begun(self, ticket: int) -> Do:
        """An attempt begins."""
        if ticket != self.live or self.state is not _SENT:
            return NOTHING
        self.state = _RUNNING
        return NOTHING if self.timeout is None else LIMIT

    def returned(self, ticket: int, value: Any) -> Do:
        """An attempt, or the fallback, has returned."""
        if ticket != self.live or not ticket:
            return NOTHING
        self.value = value
        self.live = 0
        self.state = _SUCCEEDED
        return DELIVER

    def raised(self, ticket: int, error: BaseException, *, final: bool = False) -> Do:
        """An attempt, or the fallback, has raised; `final`: trying again is no use."""
        if ticket != self.live or not ticket:
            return NOTHING
        self.error = error
        if self.state is _RECOVERING:
            return self._end(_FAILED, DELIVER)
        if not (final or self.stopping or self._retry is None):
            try:
                seconds = self._retry.decide(error, self.count)
                if seconds is not None:
                    return self._wait(seconds)
            except Exception as broken:
                self.error = error = broken
        if self._fallback and isinstance(error, Exception):
            self._next_ticket(_RECOVERING)
            return RECOVER
        return self._end(_FAILED, DELIVER)

    def expired(self, ticket: int, error: BaseException) -> Do:
        """The time of an attempt is over; `error` says so."""
        if self.state not in _OPEN:
            return NOTHING
        return self.raised(ticket, error)

    def stop(self) -> Do:
        """Begin nothing more; the attempt that runs is the last one."""
        self.stopping = True
        if self.state is _NEW or self.state is _PAUSED:
            return self._end(_DROPPED, DROP)
        return NOTHING

    def left(self, ticket: int) -> Do:
        """After `stop`, an attempt was taken back before it began."""
        if ticket != self.live or not (ticket and self.stopping):
            return NOTHING
        return self._end(_DROPPED, DROP)

    def cancel(self) -> Do:
        """Want nothing of it any more."""
        if self.state in _ENDED:
            return NOTHING
        return self._end(_DROPPED, DROP)

    def _next_ticket(self, state: State) -> None:
        self._tickets += 1
        self.live = self._tickets
        self.state = state

    def _call(self) -> Do:
        self.count += 1
        self._tickets += 1
        self.live = self._tickets
        self.state = _SENT
        return CALL

    def _wait(self, seconds: float) -> Do:
        self.live = 0
        self.pause = seconds
        self.state = _PAUSED
        return PAUSE

    def _end(self, state: State, action: Do) -> Do:
        self.live = 0
        self.state = state
        return action
