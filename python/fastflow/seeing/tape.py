"""What the native pool has written down, as columns."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from fastflow import _core
from fastflow.seeing.trace import SPAN, Kind, Lane, State

__all__ = ["Native", "names_of_labels", "read"]

_NATIVE = np.dtype(
    [
        ("start", "u8"), ("end", "u8"), ("ready", "u8"), ("item", "i8"),
        ("label", "u4"), ("run", "u4"), ("cpu", "u4"), ("failure", "u4"),
        ("attempt", "u2"), ("kind", "u1"), ("state", "u1"), ("padding", "u4"),
    ]
)  # fmt: skip
"""``Span`` of cpp/core/span_ring.hpp; times are stamps."""

_NONE = 0xFFFF_FFFF
_TOTAL = np.dtype([("count", "u8"), ("failed", "u8"), ("sum", "u8"), ("longest", "u8")])


class Native(NamedTuple):
    """What a tape holds; times are nanoseconds after its beginning."""

    spans: np.ndarray
    """Of type `SPAN`; labels and runs are still the process's numbers, 0: no run."""
    failures: np.ndarray
    """Of each span: the number of its error, or 0."""
    lanes: list[Lane]
    threads: list[int]
    """The number of the thread of each."""
    totals: dict[int, tuple[int, int, int, int]]
    """By label: how many calls, failed ones, nanoseconds, those of the longest."""
    made: int
    began: int
    length: int


def read(tape: _core.Tape, names: dict[int, str], busy: set[int]) -> Native:
    """Read a tape that is closed.

    Workers of pools that had nothing to do are left out.

    Parameters
    ----------
    names : dict
        Of threads, by number, for those that could not tell theirs.
    busy : set of int
        Threads that are known to have made calls.
    """
    first, began, last, ended = tape.clock
    scale = (ended - began) / max(last - first, 1)
    length = ended - began
    spans, failures = [], []
    lanes: list[Lane] = []
    threads: list[int] = []
    totals: dict[int, tuple[int, int, int, int]] = {}
    made = 0
    parts = tape.parts()
    pools = {part[2] for part in parts if part[8] or part[0] in busy}
    for part in parts:
        thread, worker, pool, name, calls, others, running, sums, n_calls, n_others = (
            part
        )
        if pool not in pools and not n_calls and not _has_calls(running):
            continue
        found = np.frombuffer(calls + others + running, _NATIVE)
        made += n_calls + n_others + len(running) // _NATIVE.itemsize
        if not len(found):
            continue
        spans.append(_converted(found, len(lanes), first, scale, length))
        failures.append(found["failure"])
        threads.append(thread)
        lanes.append(_lane(thread, worker, name or names.get(thread, "")))
        _add_totals(totals, np.frombuffer(sums, _TOTAL), scale)
    return Native(
        np.concatenate(spans) if spans else np.zeros(0, SPAN),
        np.concatenate(failures) if failures else np.zeros(0, "u4"),
        lanes, threads, totals, made, began, length,
    )  # fmt: skip


def _has_calls(running: bytes) -> bool:
    return bool((np.frombuffer(running, _NATIVE)["kind"] == Kind.CALL).any())


def _lane(thread: int, worker: int, name: str) -> Lane:
    if not name:
        name = f"worker {worker}" if worker >= 0 else f"thread {thread}"
    return Lane(name, "worker" if worker >= 0 else "thread", os.getpid())


def _converted(
    found: np.ndarray, lane: int, first: int, scale: float, length: int
) -> np.ndarray:
    spans = np.zeros(len(found), SPAN)

    def ns(stamps: np.ndarray) -> np.ndarray:
        """Not before the beginning, where calls go on that began earlier."""
        after = (stamps.astype("i8") - first) * scale
        return np.asarray(np.clip(np.rint(after).astype("i8"), 0, length))

    running = found["state"] == State.RUNNING
    spans["start"] = ns(found["start"])
    spans["end"] = np.where(running, length, ns(found["end"]))
    spans["ready"] = np.where(found["ready"] > 0, ns(found["ready"]), -1)
    spans["ready"] = np.minimum(spans["ready"], spans["start"])
    spans["cpu"] = np.where(found["cpu"] == _NONE, -1, found["cpu"].astype("i8") * 1000)
    spans["item"] = found["item"]
    spans["lane"] = lane
    spans["label"] = np.where(found["label"] == _NONE, -1, found["label"].astype("i8"))
    spans["run"] = found["run"]
    spans["attempt"] = found["attempt"]
    spans["kind"] = found["kind"]
    asleep = running & (found["kind"] != Kind.CALL)
    spans["state"] = np.where(asleep, State.DONE, found["state"])
    return spans


def _add_totals(
    totals: dict[int, tuple[int, int, int, int]], found: np.ndarray, scale: float
) -> None:
    for label in np.flatnonzero(found["count"]):
        count, failed, time, longest = found[label].tolist()
        before = totals.get(int(label), (0, 0, 0, 0))
        totals[int(label)] = (
            before[0] + count,
            before[1] + failed,
            before[2] + round(time * scale),
            max(before[3], round(longest * scale)),
        )


def names_of_labels(used: Collection[int]) -> list[str]:
    """Return the native labels as people know them, by number.

    That is where a function was defined, without the functions around it; with the
    module where others are called alike.

    Parameters
    ----------
    used : collection of int
        Labels of the recording: the process has those of other ones, too.
    """
    known = [
        (name.rpartition("<locals>.")[2], module)
        for name, module in _core.recording_labels()
    ]
    modules: dict[str, set[str | None]] = {}
    for number in used:
        name, module = known[number]
        modules.setdefault(name, set()).add(module)
    return [
        f"{module}.{name}" if module and len(modules.get(name, ())) > 1 else name
        for name, module in known
    ]


def thread_names() -> dict[int, str]:
    """Return the names of the threads that there are, by number."""
    return {
        thread.ident: thread.name
        for thread in threading.enumerate()
        if thread.ident is not None
    }
