"""A worker's second thread: divides slow chunks.

Why no item of a divided chunk is lost or made twice. The worker's thread iterates over
a list of arguments; an iterator over a list ends where the list does. It puts a value
into `values` before it takes the next item, so while ``len(values) == n`` it has taken
n + 1 items at most. The guard cuts the list behind item n, and looks again: if there
are still n values (or fewer), the item n + 1 was not taken before the cut, and can't be
taken after it. Only then the rest is given back. Else it leaves the rest to the
worker's thread, which looks for that, under the lock, when it comes to the end of its
list.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from fastflow.processes.messages import GIVEN_BACK, note

__all__ = ["Guard"]

_TICK = 0.01  # seconds
_OVERDUE = 0.02  # seconds, of a chunk
_COUNTS_BY_LENGTH = getattr(sys, "_is_gil_enabled", lambda: True)()


class Guard:
    """The thread, and the chunk that it looks after.

    Parameters
    ----------
    send : callable
        Sends a message, from any thread.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._rows: list[Any] | None = None
        self._values: list[Any] = []
        self._rest: list[Any] | None = None
        self._began = 0.0
        self._first = 0  # values that were there before these rows
        self._asleep = False
        self._chunks = 0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="fastflow-guard", daemon=True).start()

    def make(
        self, fn: Callable[..., Any], columns: tuple[Any, ...], values: list[Any]
    ) -> None:
        """Append ``fn(*row)`` to `values` for each row, or for the first of them."""
        star = len(columns) > 1
        rows = list(zip(*columns, strict=True)) if star else list(columns[0])
        if len(rows) == 1:
            values.append(fn(*rows[0]) if star else fn(rows[0]))
            return
        with self._lock:
            self._rows, self._values, self._rest = rows, values, None
            self._first = 0
            self._chunks += 1
            self._began = time.monotonic()
            asleep, self._asleep = self._asleep, False
        if asleep:
            os.write(self._wake_write, b".")
        try:
            self._make_all(fn, rows, values, star=star)
        finally:
            with self._lock:
                self._rows = None

    def _make_all(
        self, fn: Callable[..., Any], rows: list[Any], values: list[Any], *, star: bool
    ) -> None:
        while True:
            if star:
                for row in rows:
                    values.append(fn(*row))
            elif _COUNTS_BY_LENGTH:
                values.extend(map(fn, rows))
            else:
                for row in rows:
                    values.append(fn(row))
            with self._lock:
                if self._rest is None:
                    self._rows = None
                    return
                # Cut off, but not given back.
                done = len(values) - self._first
                rows = (rows + self._rest)[done:]
                self._rest = None
                self._rows, self._first = rows, len(values)

    def _divide(self) -> None:
        """Give back what the worker's thread has not come to."""
        with self._lock:
            rows, values = self._rows, self._values
            if rows is None or time.monotonic() - self._began < _OVERDUE:
                return
            cut = len(values) - self._first + 1
            rest = rows[cut:]
            if not rest:
                return
            del rows[cut:]
            if len(values) - self._first < cut:
                self._rows = None
                given = len(rest)
            else:
                self._rest = rest
                given = 0
            if given:
                self._send(note(GIVEN_BACK, given))

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        sleep: float | None = None
        seen = 0
        while True:
            if poll.poll(sleep):
                try:
                    os.read(self._wake_read, 4096)
                except OSError:  # the call has closed what it has not opened
                    os._exit(1)
            self._divide()
            with self._lock:
                # A thread that is woken for every chunk would disturb it.
                busy = self._rows is not None or self._chunks != seen
                self._asleep = not busy
                seen = self._chunks
            sleep = _TICK * 1000 if busy else None
