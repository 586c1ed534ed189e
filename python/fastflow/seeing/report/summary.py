"""The figures at the top of a report."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastflow.seeing.trace import Kind, State, Trace

__all__ = ["Summary", "outermost", "summary_of"]

_WORKERS = ("worker", "process", "thread", "remote")


class Summary(NamedTuple):
    """What a run was as a whole.  Times in seconds."""

    wall: float
    calls: int
    """Those of which there is no span are among them."""
    work: float
    """Time within calls; a call within another one of its lane counts once."""
    busy: float
    """Of that, what lanes of workers did: not what an event loop had under way."""
    cpu: float | None
    """Processor time of calls; None if not all of them were measured."""
    workers: int
    failed: int
    retried: int
    cancelled: int
    cached: int
    running: int
    waits: int
    """Spans in which nobody worked on something."""
    dropped: int

    @property
    def at_a_time(self) -> float:
        """How many calls were under way, on average."""
        return self.work / self.wall if self.wall > 0 else 0.0

    @property
    def utilisation(self) -> float | None:
        """Share of the workers' time in which they had calls; None: no workers."""
        if not self.workers or self.wall <= 0:
            return None
        return min(1.0, self.busy / (self.wall * self.workers))


def summary_of(trace: Trace) -> Summary:
    """Return the figures of a trace."""
    calls = trace.calls
    states = np.bincount(calls["state"], minlength=len(State))
    measured = calls["cpu"] >= 0
    outer = calls[outermost(calls)]
    work = (outer["end"] - outer["start"]).clip(0)
    workers = [n for n, lane in enumerate(trace.lanes) if lane.kind in _WORKERS]
    counted = sum(total[0] for total in trace.totals)
    return Summary(
        wall=trace.seconds,
        calls=max(len(calls), counted),
        work=float(work.sum()) / 1e9,
        busy=float(work[np.isin(outer["lane"], workers)].sum()) / 1e9,
        cpu=float(calls["cpu"][measured].sum()) / 1e9
        if len(calls) and measured.all()
        else None,
        workers=int(trace.machine.get("workers") or len(workers)),
        failed=int(states[State.FAILED]),
        retried=int(states[State.RETRIED]),
        cancelled=int(states[State.CANCELLED]),
        cached=int(states[State.CACHED]),
        running=int(states[State.RUNNING]),
        waits=len(trace.of_kind(Kind.PAUSE)),
        dropped=trace.dropped,
    )


def outermost(calls: np.ndarray) -> np.ndarray:
    """Return the numbers of the calls that are not within another one of their lane."""
    order = np.lexsort((-calls["end"], calls["start"], calls["lane"]))
    end = calls["end"][order]
    first = np.flatnonzero(np.diff(calls["lane"][order])) + 1
    inside = np.zeros(len(order), bool)
    for begin, stop in zip([0, *first], [*first, len(order)], strict=True):
        reach = np.maximum.accumulate(end[begin:stop])
        inside[begin + 1 : stop] = end[begin + 1 : stop] <= reach[:-1]
    return order[~inside]
