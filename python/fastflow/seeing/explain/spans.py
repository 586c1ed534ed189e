"""The spans of a trace as an explanation needs them: repaired, and of lanes that count.

A trace can come from anywhere, so nothing is taken for granted: numbers of lanes and
labels that don't exist, spans that end before they begin, times before the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastflow.seeing.trace import Kind, State, Trace

__all__ = ["NOBODY", "Spans", "tidy"]

#: Kinds of lanes on which spans overlap: they are nobody's time.
NOBODY = ("loop", "waits")
_ACTIVE = (Kind.CALL, Kind.LOCK, Kind.BLOCKED, Kind.SEND)
#: A thread of the program's counts if it has so large a share of what the busiest has:
#: of the time in calls, or of their number.
_TAKES_PART = 0.25


@dataclass(frozen=True, eq=False)
class Spans:
    """Columns of equal length, and who was there. Times are ns."""

    start: np.ndarray
    end: np.ndarray
    ready: np.ndarray
    """-1: not known."""
    cpu: np.ndarray
    lane: np.ndarray
    """Positions in `kinds`."""
    label: np.ndarray
    run: np.ndarray
    item: np.ndarray
    attempt: np.ndarray
    kind: np.ndarray
    apart: np.ndarray
    """Whether it is on a lane where spans overlap."""
    cached: np.ndarray
    kinds: tuple[str, ...]
    """Of the lanes."""
    here: np.ndarray
    """Whether each lane counts: does or could do calls, one after the other."""
    begin: int
    finish: int
    """Between these something was to be done."""

    @property
    def wall(self) -> int:
        """How long that is."""
        return self.finish - self.begin


def tidy(trace: Trace) -> Spans:
    """Return the spans of a trace, repaired."""
    spans = trace.spans[trace.spans["kind"] != Kind.STEAL]
    if (np.diff(spans["start"]) < 0).any():
        spans = spans[np.argsort(spans["start"], kind="stable")]
    lanes = len(trace.lanes)
    # One more, for spans of lanes that don't exist.
    kinds = (*(str(lane.kind) for lane in trace.lanes), "thread")
    lane = spans["lane"].astype(np.int64)
    lane[(lane < 0) | (lane >= lanes)] = lanes
    most = 2**62 // (lanes + 2)
    start = np.clip(spans["start"], 0, most)
    horizon = int(min(max(trace.length, spans["end"].max(initial=0), 0), most))
    end = np.clip(spans["end"], 0, most)
    open_ = (spans["state"] == State.RUNNING) & (end <= start)
    end = np.maximum(np.where(open_, horizon, end), start)
    ready = np.where(spans["ready"] < 0, -1, np.minimum(spans["ready"], start))
    for number, run in enumerate(trace.runs):
        if run.kind == "map" and run.start >= 0:
            # All items of a map are ready when it begins.
            mine = (spans["run"] == number) & (ready < 0)
            ready[mine] = np.minimum(start[mine], run.start)
    label = spans["label"].astype(np.int64)
    label[(label < 0) | (label >= len(trace.labels))] = -1
    apart = np.isin(lane, [i for i, kind in enumerate(kinds) if kind in NOBODY])
    begin, finish = _window(trace, spans["kind"], start, end, ready, horizon)
    return Spans(
        start=start,
        end=end,
        ready=ready,
        cpu=np.where(spans["cpu"] < 0, -1, np.minimum(spans["cpu"], end - start)),
        lane=lane,
        label=label,
        run=spans["run"].astype(np.int64),
        item=spans["item"],
        attempt=spans["attempt"],
        kind=spans["kind"],
        apart=apart,
        cached=spans["state"] == State.CACHED,
        kinds=kinds,
        here=_who_counts(trace, kinds, lane, spans["kind"], end - start),
        begin=begin,
        finish=finish,
    )


def _window(
    trace: Trace,
    kind: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    ready: np.ndarray,
    horizon: int,
) -> tuple[int, int]:
    """Return from when to when there was something to do: in runs, else in spans."""
    some = kind != Kind.IDLE
    if not some.any():
        return 0, 0
    known = some & (ready >= 0)
    begin = min(
        int(start[some].min()), int(ready[known].min()) if known.any() else horizon
    )
    finish = int(end[some].max())
    for run in trace.runs:
        if 0 <= run.start < run.end <= horizon:
            begin, finish = min(begin, run.start), max(finish, run.end)
    return begin, finish


def _who_counts(
    trace: Trace,
    kinds: tuple[str, ...],
    lane: np.ndarray,
    kind: np.ndarray,
    length: np.ndarray,
) -> np.ndarray:
    """Return which lanes count.

    Those that did something, and workers of the same executor that did not: all but the
    numbers at the end of their names is the same. A thread of the program's does other
    things, too: it counts if it made calls for about as long as the workers.
    """
    size = len(kinds)
    did = np.isin(kind, _ACTIVE)
    count = np.bincount(lane[did], minlength=size)
    time = np.bincount(lane, weights=np.where(did, length, 0), minlength=size)
    active: np.ndarray = (count > 0) & ~np.array([name in NOBODY for name in kinds])
    mine = np.array([name == "thread" for name in kinds])
    enough = (time >= _TAKES_PART * time[active].max(initial=0)) | (
        count >= _TAKES_PART * count[active].max(initial=0)
    )
    active &= ~mine | enough
    teams = [(lane.kind, str(lane.name).rstrip("0123456789")) for lane in trace.lanes]
    at_work = {team for team, there in zip(teams, active, strict=False) if there}
    for number, team in enumerate(teams):
        active[number] |= team in at_work and team[0] != "thread"
    return active
