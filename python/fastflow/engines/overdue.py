"""Workers that hang in attempts whose time is over, and threads in their place.

A thread can't be stopped, so an attempt that has timed out keeps its worker for as long
as it likes. Without help, a few of them would keep every other attempt from beginning,
in all flows of that executor. So as many attempts as there are such workers may run on
threads of their own; only attempts with a timeout, which end in any case.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Overdue", "overdue_of"]


_MOST = 1_000  # threads in the place of workers


class Overdue:
    """Counts the workers of one executor that hang, and the threads in their place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hanging = 0
        self._spare = 0

    def add(self, future: concurrent.futures.Future[Any]) -> None:
        """Count a worker as hanging until this attempt of its ends."""
        with self._lock:
            self._hanging += 1
        future.add_done_callback(self._end)

    def _end(self, _: object) -> None:
        with self._lock:
            self._hanging -= 1

    def has_room(self) -> bool:
        """Whether a call could start in a worker's place."""
        return self._spare < min(self._hanging, _MOST)

    def start(
        self, name: str, call: Callable[[], Any]
    ) -> concurrent.futures.Future[Any] | None:
        """Make a call on a thread in a worker's place; None if no worker hangs."""
        with self._lock:
            if not self.has_room():
                return None
            self._spare += 1
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        future.add_done_callback(self._leave)

        def body() -> None:
            try:
                value = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(value)

        thread = threading.Thread(target=body, name=f"fastflow-{name}", daemon=True)
        try:
            thread.start()
        except BaseException:
            self._leave(future)
            raise
        return future

    def _leave(self, _: object) -> None:
        with self._lock:
            self._spare -= 1


_all: WeakKeyDictionary[concurrent.futures.Executor, Overdue] = WeakKeyDictionary()
_lock = threading.Lock()


def overdue_of(executor: concurrent.futures.Executor) -> Overdue:
    """Return what all flows on this executor share."""
    with _lock:
        found = _all.get(executor)
        if found is None:
            found = _all[executor] = Overdue()
        return found
