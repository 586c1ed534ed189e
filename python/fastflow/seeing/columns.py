"""Spans of the calls that a run has in columns of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastflow.base.recorders import Columns
from fastflow.run.job_spans import lane_of
from fastflow.run.results import CANCELLED, COMPLETED, FAILED
from fastflow.seeing.trace import SPAN, State

__all__ = ["spans_of"]

_STATES = np.full(256, State.RUNNING, "u1")
_STATES[[COMPLETED, FAILED, CANCELLED]] = State.DONE, State.FAILED, State.CANCELLED


def spans_of(
    columns: Columns,
    began: int,
    length: int,
    lane: Callable[[Any], int],
    label: Callable[[str], int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return spans, and the numbers of their errors.

    Parameters
    ----------
    columns : Columns
    began, length : int
        Of the trace.
    lane, label : callable
        Return the number of a lane, as it is told, and of a name.
    """
    starts = np.array(columns.starts)
    called = [task for task in np.flatnonzero(starts) if not columns.is_told(int(task))]
    spans = np.zeros(len(called), SPAN)
    if not called:
        return spans, np.zeros(0, "u4")
    ends = np.array(columns.ends)[called]

    def after(seconds: np.ndarray) -> np.ndarray:
        ns = np.rint(seconds * 1e9).astype("i8") - began
        return np.asarray(np.clip(ns, 0, length))

    spans["start"] = after(starts[called])
    spans["end"] = np.where(
        ends > 0, after(ends), np.clip(columns.over - began, 0, length)
    )
    spans["end"] = np.maximum(spans["end"], spans["start"])
    spans["ready"] = spans["cpu"] = -1
    spans["item"] = called
    spans["run"] = columns.run
    spans["state"] = _STATES[np.frombuffer(columns.states, "u1")[called]]
    lanes: dict[Any, int] = {}
    failures = np.zeros(len(called), "u4")
    for place, task in enumerate(map(int, called)):
        worker = columns.workers[task]
        if worker == "cache":
            spans["state"][place], worker = State.CACHED, None
        if worker not in lanes:
            lanes[worker] = lane(lane_of(worker))
        spans["lane"][place] = lanes[worker]
        spans["label"][place] = label(columns.names[task])
        spans["attempt"][place] = columns.attempts.get(task, 1) or 1
        failures[place] = columns.failures.get(task, 0)
    return spans, failures
