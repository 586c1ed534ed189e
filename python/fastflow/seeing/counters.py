"""What is measured now and then while somebody records, in a thread of its own."""

from __future__ import annotations

import collections
import multiprocessing.process
import sys
import time
import weakref
from threading import Thread

import numpy as np

from fastflow import _core
from fastflow.base import lifetime
from fastflow.seeing.tape import thread_names
from fastflow.seeing.trace import COUNTER

__all__ = ["Sampler"]

_EVERY = 0.05  # seconds
_MOST = 20_000  # measurements; then every second one goes, and they come half as often
_RAREST = 0.25  # seconds between two looks at the interpreter lock, once it has gone on
_PART = 0.1  # of the time so far: until then
_WINDOW = 5  # looks at the lock, of which a share is told

_ROW = np.dtype(
    [
        ("time", "i8"),
        ("cpu", "f8"),
        ("starved", "f8"),
        ("ready", "u8"),
        ("running", "u8"),
    ]
)
"""``Row`` of cpp/bindings/sampler.cpp."""

_open: weakref.WeakSet[Sampler] = weakref.WeakSet()


class Sampler:
    """Measures some 20 times a second, until it is ended.

    That is done natively, and takes a few microseconds. What needs the interpreter is
    looked at as often at first, and four times a second later: a look at the lock is an
    attempt to get it, and who holds it gives it up once, as it does for any other
    thread. With it come the names of threads, and which processes there are.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._native = _core.Sampler(every=round(_EVERY * 1e9), most=_MOST)
        self._looks: list[tuple[int, float]] = []
        self._thread = Thread(target=self._run, name="fastflow-record", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        _open.add(self)

    def end(self) -> None:
        """End; what was measured stays."""
        _open.discard(self)
        self._native.end()
        self._thread.join()

    def counters(self, began: int) -> dict[str, np.ndarray]:
        """Return what was measured, as `Trace.counters`."""
        rows = np.frombuffer(self._native.rows(), _ROW)
        found = {
            name: _column(rows["time"], rows[name], began)
            for name in ("cpu", "ready", "running")
        }
        if (rows["starved"] >= 0).any():
            found["starved"] = _column(
                rows["time"], np.maximum(rows["starved"], 0), began
            )
        if not _is_free_threaded():
            times = np.array([time for time, _ in self._looks], "i8")
            shares = np.array([share for _, share in self._looks], "f8")
            found["lock"] = _column(times, shares, began)
        return found

    def _run(self) -> None:
        looks: collections.deque[bool] = collections.deque(maxlen=_WINDOW)
        began = time.monotonic()
        while True:
            wait = min(max(_PART * (time.monotonic() - began), _EVERY), _RAREST)
            # Long enough for somebody else to have the lock, if somebody wants it.
            waited = self._native.run(wait, _processes())
            if waited < 0:
                return
            looks.append(waited > 0)
            self._looks.append((time.monotonic_ns(), sum(looks) / len(looks)))
            self.names.update(thread_names())


def _end_all() -> None:
    for sampler in list(_open):
        sampler.end()


lifetime.at_exit(lifetime.RUNS, _end_all)
lifetime.in_forked_child(lifetime.RUNS, _open.clear)  # their threads are not there


def _is_free_threaded() -> bool:
    return hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled()


def _column(times: np.ndarray, values: np.ndarray, began: int) -> np.ndarray:
    column = np.zeros(len(times), COUNTER)
    column["time"] = np.maximum(times.astype("i8") - began, 0)
    column["value"] = values
    return column


def _processes() -> tuple[int, ...]:
    """Return the processes that multiprocessing has started here."""
    children = multiprocessing.process._children  # type: ignore[attr-defined]
    return tuple(child.pid for child in tuple(children) if child.pid)
