"""Rows for a picture of a trace in which spans of a row only follow or hold each other.

A lane is one row if its spans nest. Where they overlap (on an event loop, among waits,
or as clocks differ) it has as many rows as overlap at a time: each span goes on the
first that is free.
"""

from __future__ import annotations

import heapq

import numpy as np

from fastflow.seeing.trace import Kind, Lane, State, Trace

__all__ = ["times_of", "tracks_of"]

#: How deep spans may nest on one row.
_DEEPEST = 64
_NOBODY = Lane("elsewhere", "thread")


def times_of(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends of the spans, ns: none before its start, none open."""
    spans = trace.spans
    start = np.maximum(spans["start"], 0)
    last = max(trace.length, int(spans["end"].max(initial=0)))
    running = (spans["state"] == State.RUNNING) & (spans["end"] <= start)
    return start, np.maximum(np.where(running, last, spans["end"]), start)


def tracks_of(
    trace: Trace, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, list[tuple[Lane, int]]]:
    """Return the row of each span, and the lane of each row with its number there.

    Events without a duration (steals) are on the first row of their lane.
    """
    lanes = [*trace.lanes, _NOBODY]
    lane = trace.spans["lane"].astype(np.int64)
    lane[(lane < 0) | (lane >= len(lanes))] = len(lanes) - 1
    slices = np.flatnonzero(trace.spans["kind"] != Kind.STEAL)
    order = slices[np.lexsort((-end[slices], start[slices], lane[slices]))]
    overlapping = _overlapping(lane[order], start[order], end[order])
    row = np.zeros(len(lane), np.int64)
    for number in overlapping:
        mine = order[lane[order] == number]
        row[mine] = _rows(start[mine].tolist(), end[mine].tolist())
    if len(lane):
        pairs = np.unique(lane * (row.max() + 1) + row)
        found = [divmod(int(pair), int(row.max()) + 1) for pair in pairs]
        track = np.searchsorted(pairs, lane * (row.max() + 1) + row)
        return track, [(lanes[number], at) for number, at in found]
    return row, []


def _overlapping(lane: np.ndarray, start: np.ndarray, end: np.ndarray) -> list[int]:
    """Return the lanes with spans that overlap and don't nest. Spans are in order."""
    left = np.arange(len(lane))
    found: set[int] = set()
    for _ in range(_DEEPEST):
        if not len(left):
            return sorted(found)
        outer, inner, parent = _level(lane[left], start[left], end[left])
        crossing = end[left[inner]] > end[left[outer[parent]]]
        found.update(np.unique(lane[left[inner[crossing]]]).tolist())
        left = left[inner]
        left = left[~np.isin(lane[left], list(found))]
    return sorted(found | set(np.unique(lane[left]).tolist()))


def _level(
    lane: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return those in no other one, those that are, and in which of the former."""
    # Ranks of times, so that lanes can be put behind each other without overflow.
    ticks = np.unique(np.concatenate([start, end]))
    step = len(ticks) + 1
    first = np.searchsorted(ticks, start) + lane * step
    last = np.searchsorted(ticks, end) + lane * step
    reach = np.maximum.accumulate(last)
    free = np.ones(len(lane), bool)
    free[1:] = first[1:] >= reach[:-1]
    outer, inner = np.flatnonzero(free), np.flatnonzero(~free)
    return outer, inner, np.searchsorted(outer, inner) - 1


def _rows(start: list[int], end: list[int]) -> list[int]:
    """Return a row for each span, the first that is free; spans are by start."""
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    rows = []
    for begin, finish in zip(start, end, strict=True):
        while busy and busy[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        row = heapq.heappop(free) if free else len(busy)
        # A span without a length takes its row until the next moment.
        heapq.heappush(busy, (max(finish, begin + 1), row))
        rows.append(row)
    return rows
