"""Where the time of the workers went: an account that adds up to workers × time.

Spans of a worker nest: a call may hold a wait. Each moment belongs to the innermost
one. What no span covers is idle time or overhead, by whether something was ready.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastflow.seeing.explain.spans import Spans
from fastflow.seeing.trace import Kind

__all__ = ["Account", "account_of"]

#: How deep spans nest; what is below counts as what it is in.
_DEEPEST = 32
#: Gaps of so many times the usual one are more than overhead.
_LONG_GAP = 8


@dataclass(frozen=True, eq=False)
class Account:
    """Times of the lanes that count. All are ns."""

    own: dict[Kind, float]
    """Time in spans of each kind, without what is inside of them."""
    idle: float
    """Nothing to do, with the spans of kind IDLE."""
    overhead: float
    """Between calls, although there was something to do."""
    gaps: int
    """How many pieces of overhead there are."""
    call: np.ndarray
    """Positions of the calls in the spans."""
    call_own: np.ndarray
    """The time of each without what is inside of it."""
    call_cpu: np.ndarray
    """Processor time of each without that of calls inside of it; -1: not known."""
    occupied: tuple[np.ndarray, np.ndarray]
    """When someone stopped and began to be idle: starts and ends, each sorted."""
    running: tuple[np.ndarray, np.ndarray]
    """When a call itself went on: starts and ends, each sorted."""
    blocked: tuple[np.ndarray, np.ndarray]


@dataclass(eq=False)
class _Nest:
    """Spans by lane and start; each lane's times are shifted behind those of the last.

    So one running maximum goes over all lanes.
    """

    index: np.ndarray
    start: np.ndarray
    end: np.ndarray
    own: np.ndarray
    parent: np.ndarray
    shift: np.ndarray


def account_of(spans: Spans) -> Account:
    """Return where the time between `begin` and `finish` went."""
    nest = _nest(spans)
    _measure(nest)
    kind = spans.kind[nest.index]
    own = {k: float(nest.own[kind == k].sum()) for k in Kind}
    idle_gaps, overhead_from, overhead_to = _gaps(spans, nest, kind)
    calls = np.flatnonzero(kind == Kind.CALL)
    top = (nest.parent == -1) & (kind != Kind.IDLE)
    return Account(
        own=own,
        idle=own[Kind.IDLE] + idle_gaps,
        overhead=float((overhead_to - overhead_from).sum()),
        gaps=len(overhead_from),
        call=nest.index[calls],
        call_own=nest.own[calls],
        call_cpu=_own_cpu(spans, nest, kind)[calls],
        occupied=(
            np.sort(np.concatenate([_when(nest.start, nest)[top], overhead_from])),
            np.sort(np.concatenate([_when(nest.end, nest)[top], overhead_to])),
        ),
        running=_steps(nest, kind, Kind.CALL),
        blocked=_steps(nest, kind, Kind.BLOCKED),
    )


def _nest(spans: Spans) -> _Nest:
    """Return the spans of the lanes that count, cut to the window, in order."""
    index = np.flatnonzero(spans.here[spans.lane] & ~spans.cached)
    start = np.clip(spans.start[index], spans.begin, spans.finish) - spans.begin
    end = np.clip(spans.end[index], spans.begin, spans.finish) - spans.begin
    index, start, end = index[end > start], start[end > start], end[end > start]
    shift = spans.lane[index] * (spans.wall + 1)
    start, end = start + shift, end + shift
    order = np.argsort(start, kind="stable")
    if len(order) and (np.diff(start[order]) == 0).any():
        order = np.lexsort((-end, start))  # what begins together: the longer is outside
    start, end = start[order], end[order]
    # Clocks differ: what ends within the next one ends where that begins.
    cut = (end[:-1] > start[1:]) & (end[:-1] < end[1:])
    end[:-1][cut] = start[1:][cut]
    none = np.full(len(order), -1)
    return _Nest(index[order], start, end, np.zeros(len(order)), none, shift[order])


def _measure(nest: _Nest) -> None:
    """Find what each span is in, and how long it was the innermost one."""
    left = np.arange(len(nest.index))
    above = left[:0]
    for _ in range(_DEEPEST):
        if not len(left):
            break
        start = nest.start[left]
        if len(above):
            parent = above[np.searchsorted(nest.start[above], start, "right") - 1]
            nest.end[left] = np.maximum(
                start, np.minimum(nest.end[left], nest.end[parent])
            )
        reach = np.maximum.accumulate(nest.end[left])
        first = np.ones(len(left), bool)
        first[1:] = start[1:] >= reach[:-1]
        level = left[first]
        length = nest.end[level] - nest.start[level]
        nest.own[level] = length
        if len(above):
            nest.parent[level] = parent[first]
            np.subtract.at(nest.own, parent[first], length)
        left, above = left[~first], level
    # Too deep: as if it were not there.
    nest.parent[left] = -2


def _gaps(
    spans: Spans, nest: _Nest, kind: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the idle time that no span tells of, and starts and ends of overhead."""
    top = np.flatnonzero(nest.parent == -1)
    lane = spans.lane[nest.index[top]]
    start, end = _when(nest.start, nest)[top], _when(nest.end, nest)[top]
    empty = int(spans.here.sum()) - len(np.unique(lane))
    outer = float(empty * spans.wall)
    if not len(top):
        return outer, start, end
    same = lane[1:] == lane[:-1]
    outer += float(start[0] + start[1:][~same].sum())
    outer += float(spans.wall - end[-1] + (spans.wall - end[:-1][~same]).sum())
    begins, ends = end[:-1][same], start[1:][same]
    after = top[1:][same]
    told = np.isin(lane[1:][same], lane[kind[top] == Kind.IDLE])
    idle = np.where(told, 0, _idle_before(spans, nest, kind, after, ends - begins))
    middle = begins + idle
    some = ends > middle
    return outer + float(idle.sum()), middle[some], ends[some]


def _idle_before(
    spans: Spans, nest: _Nest, kind: np.ndarray, after: np.ndarray, gap: np.ndarray
) -> np.ndarray:
    """Return how much of the gap before each span is idle time.

    If it is known when the call could have begun, that long. If not, gaps as they
    usually are between calls are overhead, and longer ones are none.
    """
    index = nest.index[after]
    ready = spans.ready[index]
    known = (ready >= 0) & (kind[after] == Kind.CALL)
    until = np.clip(ready - (spans.start[index] - gap), 0, gap)
    usual = np.median(gap) if len(gap) else 0
    return np.where(known, until, np.where(gap > _LONG_GAP * usual, gap, 0))


def _own_cpu(spans: Spans, nest: _Nest, kind: np.ndarray) -> np.ndarray:
    """Return the processor time of each span, without that of calls inside of it."""
    cpu = spans.cpu[nest.index].astype(float)
    inner = np.flatnonzero((nest.parent >= 0) & (kind == Kind.CALL) & (cpu > 0))
    own = cpu.copy()
    np.subtract.at(own, nest.parent[inner], cpu[inner])
    return np.where(cpu < 0, -1.0, np.clip(own, 0, nest.own))


def _steps(
    nest: _Nest, kind: np.ndarray, wanted: Kind
) -> tuple[np.ndarray, np.ndarray]:
    """Return when spans of a kind began and ended to be the innermost ones."""
    mine = (kind == wanted) & (nest.parent > -2)
    start, end = _when(nest.start, nest), _when(nest.end, nest)
    inside = nest.parent >= 0
    inside[inside] = kind[nest.parent[inside]] == wanted
    ups = np.concatenate([start[mine], end[inside]])
    downs = np.concatenate([end[mine], start[inside]])
    return np.sort(ups), np.sort(downs)


def _when(times: np.ndarray, nest: _Nest) -> np.ndarray:
    """Return times of lanes as times since the beginning of the window."""
    since: np.ndarray = times - nest.shift
    return since
