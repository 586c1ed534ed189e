"""What a trace consists of as events in order, whatever file they are written to.

On a row, slices must begin and end like brackets. So at one moment, first end those
that began before, the innermost first; then begin those that begin, the outermost
first. What has no length ends as soon as it has begun.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastflow.base.terminal import printable
from fastflow.seeing.trace import Kind, Lane, State, Trace
from fastflow.seeing.traces.arrows import dependencies, submissions
from fastflow.seeing.traces.tracks import times_of, tracks_of

__all__ = ["BEGIN", "END", "INSTANT", "Events", "category", "events_of", "name_of"]

BEGIN, END, INSTANT = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Events:
    """Columns with a row per event, in the order in which they are written."""

    kind: np.ndarray
    time: np.ndarray
    """ns since the trace began."""
    span: np.ndarray
    """What begins, ends or happens; for a submission, the call."""
    submission: np.ndarray
    """Whether it is one: an instant on a row of its own."""
    track: np.ndarray
    """The row of each span."""
    rows: list[tuple[Lane, int]]
    """The lane of each row, and its number there."""
    arrows: np.ndarray
    """Pairs of spans, from and to; where both are the same, from its submission."""


def events_of(trace: Trace) -> Events:
    """Return the events of a trace."""
    start, end = times_of(trace)
    track, rows = tracks_of(trace, start, end)
    pairs = dependencies(trace)
    alone = submissions(trace, pairs[:, 1])
    slices = np.flatnonzero(trace.spans["kind"] != Kind.STEAL)
    order = slices[np.lexsort((-end[slices], start[slices]))]
    instants = np.flatnonzero(trace.spans["kind"] == Kind.STEAL)
    long = end[order] > start[order]
    # Equal times keep this order: submissions, as they come before what they lead to;
    # ends, the innermost first; begins, and right behind them ends of what is empty.
    ends = order[long][::-1]
    begins = np.repeat(order, np.where(long, 1, 2))
    kinds = np.full(len(begins), BEGIN)
    kinds[np.cumsum(np.where(long, 1, 2))[~long] - 1] = END
    span = np.concatenate([alone, ends, begins, instants])
    kind = np.concatenate(
        [
            np.full(len(alone), INSTANT),
            np.full(len(ends), END),
            kinds,
            np.full(len(instants), INSTANT),
        ]
    )
    time = np.concatenate(
        [trace.spans["ready"][alone], end[ends], start[begins], start[instants]]
    )
    submission = np.zeros(len(span), bool)
    submission[: len(alone)] = True
    by_time = np.argsort(time, kind="stable")
    return Events(
        kind=kind[by_time],
        time=time[by_time],
        span=span[by_time],
        submission=submission[by_time],
        track=track,
        rows=rows,
        arrows=np.concatenate([pairs, np.stack([alone, alone], axis=1)]),
    )


def name_of(trace: Trace, label: int, kind: int) -> str:
    """Return what a span is called: the function, and what went on if it is no call."""
    known = 0 <= label < len(trace.labels)
    name = printable(trace.labels[label]) if known else ""
    if kind == Kind.CALL:
        return name or "call"
    what = _word(Kind, kind)
    return f"{what}: {name}" if name else what


def category(kind: int, state: int) -> str:
    """Return kind and state of a span in a word."""
    return f"{_word(Kind, kind)}.{_word(State, state)}"


def _word(words: type[Kind] | type[State], number: int) -> str:
    try:
        return words(number).name.lower()
    except ValueError:
        return str(number)
