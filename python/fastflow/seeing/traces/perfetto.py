"""A trace as a file for Perfetto: its TrackEvents, as protocol buffers.

The file is a sequence of packets, each of which is self-contained but for names, which
are numbers after their first use. Events that come before others on a track are written
before them. Times are nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from fastflow.base.terminal import printable
from fastflow.base.textfiles import written_whole
from fastflow.seeing.trace import Trace
from fastflow.seeing.traces.chrome import write_chrome
from fastflow.seeing.traces.events import (
    BEGIN,
    END,
    INSTANT,
    Events,
    category,
    events_of,
    name_of,
)
from fastflow.seeing.traces.protobuf import Messages, field

__all__ = ["write_trace"]

#: Events that are made at a time.
_BLOCK = 1 << 16
#: All packets are of one sequence, whose first one makes the names known.
_SEQUENCE = field(10, 1)
_FIRST, _NEEDS_NAMES = 1, 2
_COUNTER = 4
_REALTIME, _BOOTTIME = 1, 6
#: Names of kinds of values at events.
_ITEM, _ATTEMPT = 1, 2


def write_trace(trace: Trace, path: str | PathLike[str]) -> None:
    """Write a trace to a file that https://ui.perfetto.dev opens.

    Each worker is a track; what overlaps (waits, calls on an event loop) has tracks of
    its own. Arrows lead from calls to those that waited for them, and from when one was
    submitted to when it began. Counters are there, too.

    Parameters
    ----------
    path : str or path
        A name that ends in ``.json`` or ``.json.gz`` gets the form of Chrome's tracing,
        which other tools read; all others Perfetto's own.

    Raises
    ------
    OSError
        If the file can't be written; what was there is as it was.
    """
    path = Path(path)
    if path.name.endswith((".json", ".json.gz")):
        write_chrome(trace, path)
        return
    events = events_of(trace)
    with written_whole(path) as file:
        for block in _packets(trace, events):
            file.write(block)


def _packets(trace: Trace, events: Events) -> Iterator[bytes]:
    began = max(int(trace.began * 1e9), 0) if np.isfinite(trace.began) else 0
    names, name = _names(trace)
    categories, kind = _categories(trace)
    yield _packet(_clocks(began))
    yield _packet(
        _SEQUENCE + field(13, _FIRST) + field(12, _interned(names, categories))
    )
    yield from _tracks(trace, events)
    # A span's arrows: those that leave it, and those that lead to it.
    leave, enter = events.arrows[:, 0], events.arrows[:, 1]
    submitted = leave == enter
    flows = _Flows(leave, enter, submitted, len(trace.spans))
    for first in range(0, len(events.kind), _BLOCK):
        some = slice(first, first + _BLOCK)
        yield _block(trace, events, some, began, name, kind, flows)
    for number, counter in enumerate(trace.counters.values()):
        yield _counter(counter, began, _counter_track(events, number))


def _packet(content: bytes) -> bytes:
    return field(1, content)


def _clocks(began: int) -> bytes:
    """Say that the clock of all events is that of the wall."""
    clocks = [field(1, clock) + field(2, began) for clock in (_BOOTTIME, _REALTIME)]
    return field(6, b"".join([field(1, clock) for clock in clocks])) + _SEQUENCE


# --- names ----------------------------------------------------------------------------


def _names(trace: Trace) -> tuple[list[str], np.ndarray]:
    """Return all names, and the position of each span's."""
    label, kind = trace.spans["label"].astype(np.int64), trace.spans["kind"]
    label[(label < 0) | (label >= len(trace.labels))] = -1
    pairs, which = np.unique((label + 1) * 256 + kind, return_inverse=True)
    names = [name_of(trace, int(at) // 256 - 1, int(at) % 256) for at in pairs]
    return names, which


def _categories(trace: Trace) -> tuple[list[str], np.ndarray]:
    kind, state = trace.spans["kind"].astype(np.int64), trace.spans["state"]
    pairs, which = np.unique(kind * 256 + state, return_inverse=True)
    return [category(int(at) // 256, int(at) % 256) for at in pairs], which


def _interned(names: list[str], categories: list[str]) -> bytes:
    """Give names their numbers, from 1 on."""
    values = {_ITEM: "item", _ATTEMPT: "attempt"}
    rows = [
        *((1, n, text) for n, text in enumerate(categories, 1)),
        *((2, n, text) for n, text in enumerate(names, 1)),
        *((3, n, text) for n, text in values.items()),
    ]
    return b"".join(
        [field(kind, field(1, number) + field(2, text)) for kind, number, text in rows]
    )


# --- tracks ---------------------------------------------------------------------------


def _submitted_track(events: Events) -> int:
    return len(events.rows) + 1


def _counter_track(events: Events, number: int) -> int:
    return len(events.rows) + 2 + number


def _process_track(events: Events, trace: Trace, number: int) -> int:
    return len(events.rows) + 2 + len(trace.counters) + number


def _tracks(trace: Trace, events: Events) -> Iterator[bytes]:
    """Describe the tracks: numbers from 1 on; those of a process are below it."""
    pids = sorted({lane.pid for lane, _ in events.rows if lane.pid > 0})
    parents = {pid: _process_track(events, trace, n) for n, pid in enumerate(pids)}
    for pid, track in parents.items():
        yield _track(track, field(3, field(1, pid) + field(6, f"process {pid}")))
    for number, (lane, _) in enumerate(events.rows, 1):
        above = field(5, parents[lane.pid]) if lane.pid > 0 else b""
        yield _track(number, field(2, printable(lane.name)) + above)
    if events.submission.any():
        yield _track(_submitted_track(events), field(2, "submitted"))
    for number, name in enumerate(trace.counters):
        track = _counter_track(events, number)
        yield _track(track, field(2, printable(name)) + field(8, b""))


def _track(number: int, more: bytes) -> bytes:
    return _packet(_SEQUENCE + field(60, field(1, number) + more))


# --- events ---------------------------------------------------------------------------


class _Flows:
    """Which arrows leave and enter each span; they have numbers from 1 on."""

    def __init__(
        self, leave: np.ndarray, enter: np.ndarray, submitted: np.ndarray, spans: int
    ) -> None:
        number = np.arange(1, len(leave) + 1)
        self.leave = _Grouped(leave[~submitted], number[~submitted], spans)
        self.enter = _Grouped(enter, number, spans)
        self.submitted = _Grouped(leave[submitted], number[submitted], spans)


class _Grouped:
    """Values by span, in compressed rows."""

    def __init__(self, span: np.ndarray, value: np.ndarray, spans: int) -> None:
        order = np.argsort(span, kind="stable")
        self._values = value[order]
        self._first = np.searchsorted(span[order], np.arange(spans + 1))

    def of(self, rows: np.ndarray, span: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of some spans, and for each the row of its span."""
        many = self._first[span + 1] - self._first[span]
        steps = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
        return (
            np.repeat(rows, many),
            self._values[np.repeat(self._first[span], many) + steps],
        )


def _block(
    trace: Trace,
    events: Events,
    some: slice,
    began: int,
    name: np.ndarray,
    kind: np.ndarray,
    flows: _Flows,
) -> bytes:
    """Return the packets of consecutive events."""
    span, what = events.span[some], events.kind[some]
    submission = events.submission[some]
    item, attempt = trace.spans["item"][span], trace.spans["attempt"][span]
    named = what != END
    event = Messages(len(span))
    event.numbers(9, what)
    track = np.where(submission, _submitted_track(events), events.track[span] + 1)
    event.numbers(11, track)
    event.numbers(10, name[span] + 1, named)
    event.numbers(3, kind[span] + 1, named)
    event.messages(4, _value(_ITEM, item), named & (item >= 0))
    event.messages(4, _value(_ATTEMPT, attempt), named & (attempt > 1))
    begin = np.flatnonzero(what == BEGIN)
    event.fixed(47, *flows.leave.of(begin, span[begin]))
    event.fixed(48, *flows.enter.of(begin, span[begin]))
    happens = np.flatnonzero((what == INSTANT) & submission)
    event.fixed(47, *flows.submitted.of(happens, span[happens]))
    return _with_time(event, events.time[some], began)


def _value(name: int, values: np.ndarray) -> Messages:
    value = Messages(len(values))
    value.numbers(1, np.full(len(values), name))
    value.numbers(4, np.maximum(values, 0))
    return value


def _counter(counter: np.ndarray, began: int, track: int) -> bytes:
    """Return the packets of a counter's values."""
    event = Messages(len(counter))
    event.numbers(9, np.full(len(counter), _COUNTER))
    event.numbers(11, np.full(len(counter), track))
    event.doubles(44, counter["value"])
    return _with_time(event, counter["time"], began)


def _with_time(event: Messages, time: np.ndarray, began: int) -> bytes:
    packet = Messages(event.count)
    packet.numbers(8, np.maximum(time, 0) + began)
    packet.numbers(10, np.ones(event.count))
    packet.numbers(13, np.full(event.count, _NEEDS_NAMES))
    packet.messages(11, event)
    trace = Messages(event.count)
    trace.messages(1, packet)
    return trace.joined()
