"""A trace, made of what the native pool has written down and of what was told."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from fastflow import _core
from fastflow.base.recorders import Noted
from fastflow.seeing.columns import spans_of
from fastflow.seeing.notes import Notes
from fastflow.seeing.tape import Native, names_of_labels, read
from fastflow.seeing.trace import SPAN, Failure, Kind, Lane, Run, State, Total, Trace

__all__ = ["trace_of"]


def trace_of(
    tape: _core.Tape,
    notes: Notes,
    names: dict[int, str],
    counters: dict[str, np.ndarray],
    began: float,
    machine: dict[str, Any],
) -> Trace:
    """Return the trace of a recording that is over."""
    told = notes.spans
    threads = {note.lane for note in told if isinstance(note.lane, int)}
    native = read(tape, names, threads)
    lanes = _Lanes(native, names)
    labels = _Labels()
    spans = np.zeros(len(told), SPAN)
    for row, note in zip(spans, told, strict=True):
        _fill(row, note, native.began, native.length, lanes, labels)
    _rename(native.spans["label"], native.totals, labels)
    failures = np.array([note.failure for note in told], "u4")
    parts = [(native.spans, native.failures), (spans, failures)]
    totals = _totals(native, notes, labels)
    made = native.made + notes.made
    for columns in notes.columns:
        found = spans_of(
            columns, native.began, native.length, lanes.__getitem__, labels.__getitem__
        )
        made += len(found[0])
        _add_totals(totals, found[0], labels)
        parts.append(_sampled(*found, notes.size))
    spans = np.concatenate([part[0] for part in parts])
    failures = np.concatenate([part[1] for part in parts])
    order = np.lexsort((-spans["end"], spans["start"]))
    spans, failures = spans[order], failures[order]
    runs, places = _runs(notes, spans, native, labels.names)
    spans["run"] = [places.get(run, -1) for run in spans["run"].tolist()]
    return Trace(
        spans,
        labels.names,
        tuple(lanes.all),
        runs,
        _failures(notes, failures),
        counters,
        began,
        native.length,
        made - len(spans),
        tuple(Total(*totals.get(name, (0, 0, 0, 0))) for name in labels.names),
        machine,
    )


class _Labels:
    """Names, and their numbers in the trace."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._numbers)


class _Lanes:
    """Those of the native pool, and others by what was told of them."""

    def __init__(self, native: Native, names: dict[int, str]) -> None:
        self.all = list(native.lanes)
        self._names = names
        self._known: dict[Any, int] = {
            thread: number for number, thread in enumerate(native.threads)
        }

    def __getitem__(self, told: tuple[str, str, int] | int | None) -> int:
        number = self._known.get(told)
        if number is None:
            number = self._known[told] = self._add(told)
        return number

    def _add(self, told: tuple[str, str, int] | int | None) -> int:
        if isinstance(told, tuple):
            lane = Lane(*told)
        else:
            name = self._names.get(told or 0, f"thread {told}")
            lane = Lane(name, "thread", os.getpid())
        self.all.append(lane)
        return len(self.all) - 1


def _fill(
    row: Any, note: Noted, began: int, length: int, lanes: _Lanes, labels: _Labels
) -> None:
    def after(time: int) -> int:
        return min(max(time - began, 0), length)

    row["start"], row["end"] = after(note.start), after(max(note.end, note.start))
    row["ready"] = -1 if note.ready < 0 else after(min(note.ready, note.start))
    row["cpu"], row["item"] = note.cpu, note.item
    row["lane"] = lanes[note.lane]
    row["label"] = -1 if note.label is None else labels[note.label]
    row["run"], row["attempt"] = note.run, note.attempt
    row["kind"], row["state"] = note.kind, note.state


def _rename(column: np.ndarray, used: Collection[int], labels: _Labels) -> None:
    """Put the trace's numbers in place of the process's."""
    names = names_of_labels(used)
    numbers = np.full(len(names) + 1, -1)  # the last one is that of none
    for number in np.unique(column[column >= 0]).tolist():
        numbers[number] = labels[names[number]]
    column[:] = numbers[column]


def _runs(
    notes: Notes, spans: np.ndarray, native: Native, labels: Sequence[str]
) -> tuple[tuple[Run, ...], dict[int, int]]:
    """Return the runs, and the place of each by its number."""
    numbers = sorted(notes.runs)
    places = {number: place for place, number in enumerate(numbers)}
    last: dict[int, int] = {}
    calls = spans[spans["kind"] == Kind.CALL]
    ends = np.zeros(max([*numbers, 0]) + 1, "i8")
    known = calls[(calls["run"] > 0) & (calls["run"] < len(ends))]
    np.maximum.at(ends, known["run"], known["end"])
    last = {number: int(ends[number]) for number in numbers}
    return tuple(
        notes.runs[number].run(
            native.began,
            last[number],
            places.get(notes.runs[number].parent, -1),
            str(number),
            labels,
        )
        for number in numbers
    ), places


def _failures(notes: Notes, numbers: np.ndarray) -> tuple[Failure, ...]:
    found = []
    for span in np.flatnonzero(numbers).tolist():
        told = notes.failures.get(int(numbers[span]))
        if told is not None:
            found.append(Failure(span, told.type, told.message, told.traceback))
    return tuple(found)


def _sampled(
    spans: np.ndarray, failures: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return so many of them, evenly spread, and all that have failed."""
    step = -(-len(spans) // size)
    if step <= 1:
        return spans, failures
    kept = failures > 0
    kept[::step] = True
    return spans[kept], failures[kept]


def _add_totals(
    totals: dict[str, tuple[int, ...]], spans: np.ndarray, labels: _Labels
) -> None:
    names, took, of = labels.names, spans["end"] - spans["start"], spans["label"]
    failed, time, longest = (np.zeros(len(names), "i8") for _ in range(3))
    np.add.at(failed, of, spans["state"] == State.FAILED)
    np.add.at(time, of, took)
    np.maximum.at(longest, of, took)
    counts = np.bincount(of, minlength=len(names))
    for label in np.flatnonzero(counts).tolist():
        before = totals.get(names[label], (0, 0, 0, 0))
        totals[names[label]] = (
            before[0] + int(counts[label]), before[1] + int(failed[label]),
            before[2] + int(time[label]), max(before[3], int(longest[label])),
        )  # fmt: skip


def _totals(
    native: Native, notes: Notes, labels: _Labels
) -> dict[str, tuple[int, ...]]:
    names = names_of_labels(native.totals)
    sums: dict[str, tuple[int, ...]] = {}
    told = [(names[number], total) for number, total in native.totals.items()]
    for name, total in [*told, *((n, tuple(t)) for n, t in notes.totals.items())]:
        before = sums.get(name, (0, 0, 0, 0))
        sums[name] = (
            *(a + b for a, b in zip(before[:3], total[:3], strict=True)),
            max(before[3], total[3]),
        )
        labels[name]  # also those of which no span was kept
    return sums
