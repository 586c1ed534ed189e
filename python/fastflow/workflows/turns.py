"""Calls to other processes: one with a time limit leaves when a process is free.

Nobody here sees a call begin in another process, so the time of a call runs from when
it is sent.  That is right if a process is free then: calls with a limit are held here
until fewer calls of ours are under way than there are processes.  A call whose time is
over keeps its process busy, and counts for as long as it does.  Should all processes
hang like that, the time of those that wait runs, too: else their runs might never end.
"""

from __future__ import annotations

import concurrent.futures as cf
import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from fastflow.timers import call_later

__all__ = ["Turns", "turns_of"]


class Turns:
    """What all who send calls to one pool of processes share."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._under_way = 0
        self._hanging: set[cf.Future[Any]] = set()
        self._waiting: deque[tuple[Callable[[], object], Callable[[], object]]]
        self._waiting = deque()

    def wait(self, go: Callable[[], object], all_hang: Callable[[], object]) -> None:
        """Call ``go()`` when it's this call's turn, soon, or here and now.

        What it sends is to be noted by `sent`; if nothing, by `leave`.  Until then,
        ``all_hang()`` is called when no process may ever be free.
        """
        with self._lock:
            now = self._under_way < self._workers and not self._waiting
            if now:
                self._under_way += 1
            else:
                self._waiting.append((go, all_hang))
            hopeless = not now and len(self._hanging) >= self._workers
        if now:
            go()
        elif hopeless:
            all_hang()

    def enter(self) -> None:
        """Note a call that has no limit, and leaves at once."""
        with self._lock:
            self._under_way += 1

    def sent(self, future: cf.Future[Any]) -> None:
        """Note what has been sent."""
        future.add_done_callback(self._ended)

    def _ended(self, future: cf.Future[Any]) -> None:
        with self._lock:
            self._hanging.discard(future)
        self.leave()

    def leave(self) -> None:
        """Note that a call is under way no longer."""
        with self._lock:
            self._under_way -= 1
            if not self._waiting or self._under_way >= self._workers:
                return
            self._under_way += 1
            go, _ = self._waiting.popleft()
        # Not here: this may be the thread that manages the processes, with its locks.
        call_later(0, go)

    def hangs(self, future: cf.Future[Any]) -> None:
        """Note that a call goes on whose time is over."""
        with self._lock:
            if not future.done():
                self._hanging.add(future)
            if len(self._hanging) < self._workers:
                return
            waiting = list(self._waiting)
        for _, all_hang in waiting:
            all_hang()


_all: WeakKeyDictionary[cf.Executor, Turns] = WeakKeyDictionary()
_lock = threading.Lock()


def turns_of(executor: cf.Executor) -> Turns:
    """Return the turns of a pool of processes."""
    with _lock:
        found = _all.get(executor)
        if found is None:
            workers = getattr(executor, "_max_workers", None) or 1
            found = _all[executor] = Turns(workers)
        return found
