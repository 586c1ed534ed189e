"""What is measured now and then while somebody records, in a thread of its own."""

from __future__ import annotations

import collections
import multiprocessing.process
import os
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import numpy as np

from fastflow import _core
from fastflow.pool.workers import counts
from fastflow.seeing.tape import thread_names
from fastflow.seeing.trace import COUNTER

__all__ = ["Sampler"]

_EVERY = 0.05  # seconds
_PAUSE = 0.0002  # seconds without the interpreter lock, before a look at it
_WINDOW = 10  # looks at the lock, of which a share is told
_THREADS = 200  # of which the waits for a core are looked at
_TASKS = "/proc/self/task"
_STATS = Path("/proc/self/schedstat")
_MOST = 20_000  # then every second one goes, and they come half as often


class _Row(NamedTuple):
    time: int
    cpu: float
    starved: float
    lock: float
    ready: int
    running: int


class Sampler:
    """Measures some 20 times a second, until it is ended.

    A look at the interpreter lock is an attempt to get it: who holds it gives it up
    once, as it does for any other thread.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._rows: list[_Row] = []
        self._every = _EVERY
        self._over = Event()
        self._thread = Thread(target=self._run, name="fastflow-record", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End; what was measured stays."""
        self._over.set()
        self._thread.join()

    def counters(self, began: int) -> dict[str, np.ndarray]:
        """Return what was measured, as `Trace.counters`."""
        left_out = {"time"}
        if _is_free_threaded():
            left_out.add("lock")
        if not _STATS.exists():
            left_out.add("starved")
        return {
            name: _column(self._rows, name, began)
            for name in _Row._fields
            if name not in left_out
        }

    def _run(self) -> None:
        looks: collections.deque[bool] = collections.deque(maxlen=_WINDOW)
        before = time.monotonic_ns(), _cpu_seconds(), _starved_seconds()
        while not self._over.wait(self._every):
            self.names.update(thread_names())
            # Long enough for somebody else to have it, if somebody wants it.
            looks.append(_core.lock_wait(_PAUSE) > 0)
            now = time.monotonic_ns(), _cpu_seconds(), _starved_seconds()
            seconds = max(now[0] - before[0], 1) / 1e9
            self._rows.append(
                _Row(
                    now[0],
                    max(now[1] - before[1], 0.0) / seconds,
                    max(now[2] - before[2], 0.0) / seconds,
                    sum(looks) / len(looks),
                    *counts(),
                )
            )
            before = now
            if len(self._rows) >= _MOST:
                del self._rows[1::2]
                self._every *= 2


def _is_free_threaded() -> bool:
    return hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled()


def _column(rows: list[_Row], name: str, began: int) -> np.ndarray:
    column = np.zeros(len(rows), COUNTER)
    column["time"] = [max(row.time - began, 0) for row in rows]
    column["value"] = [getattr(row, name) for row in rows]
    return column


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those that it has started."""
    times = os.times()
    total = time.process_time() + times.children_user + times.children_system
    for child in tuple(multiprocessing.process._children):  # type: ignore[attr-defined]
        total += _cpu_of(child.pid)
    return total


def _cpu_of(pid: int | None) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):  # it has ended, or this is no Linux
        return 0.0


def _starved_seconds() -> float:
    """Return how long all threads together have waited for a core, where it is known.

    Those that have ended are missing.
    """
    total = 0
    try:
        threads = os.listdir(_TASKS)  # noqa: PTH208  (half the time)
    except OSError:  # this is no Linux
        return 0.0
    for thread in threads[:_THREADS]:
        try:
            with open(f"{_TASKS}/{thread}/schedstat", "rb") as file:  # noqa: PTH123
                total += int(file.read().split()[1])
        except (OSError, ValueError, IndexError):  # it has ended
            continue
    return total / 1e9
