"""What is measured now and then while somebody records, in a thread of its own."""

from __future__ import annotations

import collections
import contextlib
import multiprocessing.process
import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread, get_native_id

import numpy as np

from fastflow import _core
from fastflow.pool.workers import counts
from fastflow.seeing.tape import thread_names
from fastflow.seeing.trace import COUNTER

__all__ = ["Sampler"]

_EVERY = 0.05  # seconds
_HELD = 20_000  # ns: who waits longer for the interpreter lock, has met somebody
_WINDOW = 10  # looks at the lock, of which a share is told
_MOST = 20_000  # then every second one goes, and they come half as often


_Row = tuple[int, float, float, int, int, float]


class Sampler:
    """Measures some 20 times a second, until it is ended.

    A look at the interpreter lock is an attempt to get it: who holds it gives it up
    once, as it does for any other thread.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._rows: list[_Row] = []
        self._lacked: dict[str, int] = {}
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
        rows = self._rows
        found = {"cpu": 1, "ready": 3, "running": 4}
        if self._lacked:
            found["starved"] = 5
        if not _is_free_threaded():
            found["lock"] = 2
        return {name: _column(rows, place, began) for name, place in found.items()}

    def _run(self) -> None:
        looks: collections.deque[bool] = collections.deque(maxlen=_WINDOW)
        self._starved()
        before, used = time.monotonic_ns(), _cpu_seconds()
        while not self._over.is_set():
            self.names.update(thread_names())
            looks.append(_core.lock_wait(self._every) > _HELD)
            now, cpu = time.monotonic_ns(), _cpu_seconds()
            ready, running = counts()
            cores = max(cpu - used, 0.0) / max((now - before) / 1e9, 1e-9)
            starved = self._starved() / max(now - before, 1)
            self._rows.append(
                (now, cores, sum(looks) / len(looks), ready, running, starved)
            )
            before, used = now, cpu
            if len(self._rows) >= _MOST:
                del self._rows[1::2]
                self._every *= 2

    def _starved(self) -> int:
        """Return for how many ns threads have lacked a core since the last look."""
        before = self._lacked
        self._lacked = dict(_lacks())
        self._lacked.pop(f"/proc/self/task/{get_native_id()}/schedstat", None)
        return sum(
            max(ns - before.get(thread, 0), 0) for thread, ns in self._lacked.items()
        )


def _lacks() -> Iterator[tuple[str, int]]:
    """Yield this program's threads, and how many ns each could go on without a core."""
    children = tuple(multiprocessing.process._children)  # type: ignore[attr-defined]
    for pid in ("self", *(child.pid for child in children)):
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                yield str(path), int(path.read_text().split()[1])


def _is_free_threaded() -> bool:
    import sys

    return hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled()


def _column(rows: list[_Row], place: int, began: int) -> np.ndarray:
    column = np.zeros(len(rows), COUNTER)
    column["time"] = [max(row[0] - began, 0) for row in rows]
    column["value"] = [row[place] for row in rows]
    return column


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those that it has started."""
    times = os.times()
    total = times.user + times.system + times.children_user + times.children_system
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
