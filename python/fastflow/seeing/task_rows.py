"""The tasks of a run that matter most: what failed, then what took longest."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastflow.engines.graph import GraphResult
from fastflow.errors import shown
from fastflow.run.results import FlowResult, Result, TaskRecord
from fastflow.run.status import Status
from fastflow.seeing.texts import time_text

__all__ = ["TaskRow", "TaskRows", "task_rows"]


class TaskRow(NamedTuple):
    """A line of a table."""

    name: str
    status: str
    time: str
    share: str
    worker: str
    attempts: int
    error: str


class TaskRows(NamedTuple):
    """The first lines of a table, and how many there would be."""

    rows: list[TaskRow]
    total: int


def task_rows(result: Result, most: int = 20) -> TaskRows:
    """Return at most so many tasks of a run: failures, then the longest.

    Those are listed in the order in which they began.
    """
    states, seconds, record = _columns(result)
    total = len(states)
    failed = np.array([state == Status.FAILED for state in states], bool)
    chosen = np.lexsort((-seconds, ~failed))[:most]
    work = float(seconds.sum())
    records = [record(number) for number in chosen.tolist()]
    records.sort(key=lambda r: (r.began is None, r.began or 0.0))
    return TaskRows([_row(one, work) for one in records], total)


def _columns(result: Result) -> tuple[Any, np.ndarray, Any]:
    if isinstance(result, FlowResult):
        track = result._track
        starts, ends = np.frombuffer(track.starts), np.frombuffer(track.ends)
        took = np.where((starts > 0) & (ends > 0), ends - starts, 0.0)
        words = np.array(tuple(Status))[np.frombuffer(track.states, np.uint8)]
        return words, took, track.record
    if isinstance(result, GraphResult):
        count = len(result.states)
        words = np.array(
            [Status.CANCELLED, Status.COMPLETED, Status.FAILED, Status.SKIPPED]
        )[np.frombuffer(bytes(result.states), np.uint8)]
        took = np.zeros(count)
        if result.timings is not None:
            took = (result.timings.end - result.timings.start) / 1e9
        return words, took, result.records.__getitem__
    records = list(result.records.values())
    took = np.array([record.duration or 0.0 for record in records], float)
    return [record.status for record in records], took, records.__getitem__


def _row(record: TaskRecord, work: float) -> TaskRow:
    took = record.duration
    return TaskRow(
        record.name,
        str(record.status),
        "" if took is None else time_text(took),
        "" if took is None or work <= 0 else f"{took / work:.0%}",
        record.worker,
        record.attempts,
        "" if record.error is None else shown(record.error),
    )
