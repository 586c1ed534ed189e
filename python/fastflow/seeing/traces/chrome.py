"""A trace as a file for tools that read the JSON of Chrome's tracing.

It says less than Perfetto's own form, and is larger; times are microseconds.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastflow.base.terminal import printable
from fastflow.base.textfiles import written_whole
from fastflow.seeing.trace import Trace
from fastflow.seeing.traces.events import (
    BEGIN,
    INSTANT,
    Events,
    category,
    events_of,
    name_of,
)
from fastflow.seeing.traces.tracks import times_of

__all__ = ["write_chrome"]

_BLOCK = 10_000


def write_chrome(trace: Trace, path: Path) -> None:
    """Write a trace as JSON, packed if the name ends in ``.gz``.

    Raises
    ------
    OSError
        If the file can't be written; what was there is as it was.
    """
    with written_whole(path) as file, _packed(file, path.suffix == ".gz") as out:
        out.write(b'{"displayTimeUnit":"ns","traceEvents":[\n')
        last = ""
        for lines in _blocks(_lines(trace)):
            out.write((last + ",\n".join(lines)).encode("ascii"))
            last = ",\n"
        out.write(b"\n]}\n")


@contextlib.contextmanager
def _packed(file: BinaryIO, packed: bool) -> Iterator[BinaryIO]:
    if not packed:
        yield file
        return
    # Without a name and a time, equal traces are equal files.
    with gzip.GzipFile("", "wb", 5, file, mtime=0) as out:
        yield out  # type: ignore[misc]


def _blocks(lines: Iterator[str]) -> Iterator[list[str]]:
    block = []
    for line in lines:
        block.append(line)
        if len(block) == _BLOCK:
            yield block
            block = []
    if block:
        yield block


def _lines(trace: Trace) -> Iterator[str]:
    """Yield the events, a line each."""
    events = events_of(trace)
    pids = [max(lane.pid, 0) for lane, _ in events.rows]
    for thread, (lane, _) in enumerate(events.rows, 1):
        yield _name("thread_name", pids[thread - 1], thread, lane.name)
    if events.submission.any():
        yield _name("thread_name", 0, len(pids) + 1, "submitted")
    yield from _spans(trace, events, pids)
    yield from _arrows(trace, events, pids)
    for name, counter in trace.counters.items():
        text = json.dumps(printable(name))
        pairs = zip(counter["time"].tolist(), counter["value"].tolist(), strict=True)
        for time, value in pairs:
            number = json.dumps(value) if np.isfinite(value) else "null"
            yield (
                f'{{"ph":"C","pid":0,"ts":{_micro(time)},"name":{text},'
                f'"args":{{"value":{number}}}}}'
            )


def _name(what: str, pid: int, thread: int, name: str) -> str:
    text = json.dumps(printable(name))
    return (
        f'{{"ph":"M","pid":{pid},"tid":{thread},"name":"{what}",'
        f'"args":{{"name":{text}}}}}'
    )


def _spans(trace: Trace, events: Events, pids: list[int]) -> Iterator[str]:
    """Yield slices and instants in order of time, the outer ones first."""
    start, end = times_of(trace)
    heads: dict[tuple[int, int, int], str] = {}
    some = np.flatnonzero((events.kind == BEGIN) | (events.kind == INSTANT))
    span = events.span[some]
    rows = trace.spans[span]
    columns = (
        events.submission[some].tolist(),
        events.time[some].tolist(),
        (end - start)[span].tolist(),
        events.track[span].tolist(),
        rows["label"].tolist(),
        rows["kind"].tolist(),
        rows["state"].tolist(),
        rows["item"].tolist(),
        (events.kind[some] == INSTANT).tolist(),
    )
    for submitted, time, length, track, label, kind, state, item, instant in zip(
        *columns, strict=True
    ):
        head = heads.get((label, kind, state))
        if head is None:
            name = json.dumps(name_of(trace, label, kind))
            head = f'"name":{name},"cat":"{category(kind, state)}"'
            heads[label, kind, state] = head
        args = f',"args":{{"item":{item}}}' if item >= 0 else ""
        if submitted:
            place = f'"ph":"i","s":"t","pid":0,"tid":{len(pids) + 1}'
        elif instant:
            place = f'"ph":"i","s":"t","pid":{pids[track]},"tid":{track + 1}'
        else:
            place = (
                f'"ph":"X","dur":{_micro(length)},"pid":{pids[track]},"tid":{track + 1}'
            )
        yield f'{{{place},"ts":{_micro(time)},{head}{args}}}'


def _arrows(trace: Trace, events: Events, pids: list[int]) -> Iterator[str]:
    start, _ = times_of(trace)
    leave, enter = events.arrows[:, 0], events.arrows[:, 1]
    columns = (
        leave.tolist(),
        enter.tolist(),
        np.where(leave == enter, trace.spans["ready"][leave], start[leave]).tolist(),
        start[enter].tolist(),
        events.track[leave].tolist(),
        events.track[enter].tolist(),
    )
    for number, (before, after, out, into, one, other) in enumerate(
        zip(*columns, strict=True), 1
    ):
        here = (pids[one], one + 1) if before != after else (0, len(pids) + 1)
        head = f'"cat":"flow","name":"leads to","id":{number}'
        yield (
            f'{{"ph":"s",{head},"pid":{here[0]},"tid":{here[1]},"ts":{_micro(out)}}}'
        )
        yield (
            f'{{"ph":"f","bp":"e",{head},"pid":{pids[other]},"tid":{other + 1},'
            f'"ts":{_micro(into)}}}'
        )


def _micro(ns: int) -> str:
    """Return nanoseconds as microseconds, exactly."""
    return f"{ns // 1000}.{ns % 1000:03d}"
