"""The record of a flow, as ``history=`` writes it, as a trace.

It tells when each task began and ended, where it ran and how often it was tried, but
not when the attempts were: a task is one span.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastflow.errors import FlowError
from fastflow.run.status import Status
from fastflow.seeing.past.builder import Builder
from fastflow.seeing.trace import Run, State, Trace

__all__ = ["trace_of_record"]

_STATE = {
    Status.COMPLETED: State.DONE,
    Status.FAILED: State.FAILED,
    Status.CANCELLED: State.CANCELLED,
    Status.RUNNING: State.RUNNING,
}


def trace_of_record(record: Mapping[str, Any], name: str) -> Trace:
    """Return the trace of a flow's record; `name` is the file's, for errors.

    Raises
    ------
    FlowError
        If something in it is not what it should be.
    """
    try:
        began, duration = _ns(record["started"]), _ns(record["duration"])
        builder = Builder()
        for task, fields in record["tasks"].items():
            _add(builder, str(task), fields, began, began + duration)
        failed = record["status"] == Status.FAILED
        run = Run(
            str(record["flow"]),
            "flow",
            str(record.get("run", "")),
            began,
            began + duration,
            "it has failed" if failed else None,
        )
        return builder.trace(run, began=began)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FlowError(f"{name} is not the record of a run: {error!r}") from None


def _ns(seconds: float) -> int:
    return round(float(seconds) * 1e9)


def _add(
    builder: Builder, task: str, fields: Mapping[str, Any], began: int, last: int
) -> None:
    if fields["start"] is None or fields["status"] not in _STATE:
        return  # it was not run
    state = _STATE[Status(fields["status"])]
    attempts = int(fields["attempts"])
    if state == State.DONE and attempts == 0:
        state = State.CACHED
    end = last if fields["end"] is None else began + _ns(fields["end"])
    told = fields.get("error")
    error = None
    if told is not None:
        kind, found, message = str(told).partition(": ")
        error = (kind, message, "") if found else ("error", str(told), "")
    worker = str(fields.get("worker") or "tasks")
    builder.add(
        began + _ns(fields["start"]),
        end,
        task,
        (worker, "thread" if worker != "tasks" else "loop"),
        state=state,
        attempt=max(1, attempts),
        error=error,
    )
