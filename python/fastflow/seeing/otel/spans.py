"""Spans that are open, and what is written on them.

A `Shown` is one span: of a run, of an operation, or of a stage, in which any number of
calls share it.  So a fan-out of a million items is one span with a count, however many
begin at the same time.  What is kept per span is bounded: the first few errors and
retries are events of it, all are counted.
"""

from __future__ import annotations

import contextlib
from typing import Any

from fastflow.errors import text_of

__all__ = ["Shown", "error_type", "nanoseconds"]

_MOST_EVENTS = 16
_LONGEST = 1_000  # characters


def nanoseconds(seconds: float) -> int:
    """Return a time as spans have it."""
    return round(seconds * 1e9)


def error_type(error: BaseException) -> str:
    """Return the value of ``error.type`` for an error: the name of its class."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


class Shown:
    """A span that is open.

    Parameters
    ----------
    span : opentelemetry.trace.Span
    name : str
    attempt : str
        The attribute that says which attempt a retry follows.

    Attributes
    ----------
    calls, failed, retries, cached : int
        Of a stage: how many there were.
    last : float
        The latest time that was told; seconds since 1970.
    """

    __slots__ = (
        "_attempt", "_events", "_failure", "cached", "calls", "failed", "last", "name",
        "retries", "span",
    )  # fmt: skip

    def __init__(self, span: Any, name: str, time: float, attempt: str) -> None:
        self.span = span
        self.name = name
        self.last = time
        self.calls = self.failed = self.retries = self.cached = 0
        self._attempt = attempt
        self._events = 0
        self._failure: BaseException | None = None

    def share(self, name: str, stem: str) -> None:
        """Take in a call; of several names, the span has what they share."""
        self.calls += 1
        if name != self.name and stem != self.name:
            self.name = stem
            self.span.update_name(stem)

    def retry(self, attempt: int, time: float, error: BaseException) -> None:
        """Write down that an attempt has failed, and another one follows."""
        self.retries += 1
        self.last = max(self.last, time)
        if self._may_write():
            said = {
                self._attempt: attempt,
                "error.type": error_type(error),
                "exception.message": text_of(error)[:_LONGEST],
            }
            self.span.add_event("retry", said, nanoseconds(time))

    def fail(self, time: float, error: BaseException) -> None:
        """Write down an error; the span's status is that of the first one."""
        self.failed += 1
        self._failure = self._failure or error
        if self._may_write():
            # Its own methods may raise, and are no reason to tell nothing any more.
            with contextlib.suppress(Exception):
                self.span.record_exception(error, timestamp=nanoseconds(time))

    def _may_write(self) -> bool:
        self._events += 1
        return self._events <= _MOST_EVENTS

    def end(self, attributes: dict[str, Any], time: float | None = None) -> None:
        """End the span; time: default is the latest that was told."""
        from opentelemetry.trace import Status, StatusCode

        failure, self._failure = self._failure, None
        self.span.set_attributes(attributes)
        if failure is not None:
            self.span.set_attribute("error.type", error_type(failure))
            text = text_of(failure)[:_LONGEST]
            self.span.set_status(Status(StatusCode.ERROR, text))
        self.span.end(nanoseconds(self.last if time is None else time))
