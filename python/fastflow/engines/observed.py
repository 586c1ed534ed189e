"""Calls that tell who listens when they begin and end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from fastflow import _core
from fastflow.engines.base import ItemErrors, Run
from fastflow.run.events import Events
from fastflow.run.job_spans import JobSpans

__all__ = ["Call", "noted_item", "observed"]

Call = Callable[[Run, int], Any]
"""Runs the task of that number and returns its result."""


def observed(call: Call, events: Events) -> Call:
    """Return the call of a task so that it tells of itself.

    What becomes a job on the way goes on by itself.
    """

    def told(run: Run, number: int) -> object:
        key = run.key(number)
        events.job_started(key, 1)
        try:
            with events.around_job(key, 1):
                value = call(run, number)
        except BaseException as error:
            events.job_ended(key, _attempts(run, number), _first(error))
            raise
        if value is not _core.DEFERRED and value is not _core.LOST:
            events.job_ended(key, _attempts(run, number), None)
        return value

    return told


def noted_item(
    run: Run, spans: JobSpans, number: int, call: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """Return the call of one item after the other so that it tells who records."""
    places = itertools.count()

    def told(item: Any) -> Any:
        key = run.item_key(number, next(places))
        spans.job_started(key, 1, 0.0)
        try:
            value = call(item)
        except BaseException as error:
            spans.job_ended(key, 1, 0.0, error)
            raise
        spans.job_ended(key, 1, 0.0, None)
        return value

    return told


def _attempts(run: Run, number: int) -> int:
    return run.track.attempts.get(number, 1)


def _first(error: BaseException) -> BaseException:
    """Return the error of the first item that has failed, if it is one of items."""
    if isinstance(error, ItemErrors) and error.errors:
        return error.errors[min(error.errors)]
    return error
