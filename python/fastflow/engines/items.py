"""A task that is run item by item, each item a call of its own."""

from __future__ import annotations

import contextvars
import threading
from typing import Any, Protocol

from fastflow.engines.base import UNFINISHED, Run

__all__ = ["Items"]

_WINDOW = 10_000  # items that are under way at most


class Begins(Protocol):
    """What items need of their `fastflow.engines.host.Host`."""

    run: Run
    lock: threading.Lock

    def begin_item(self, group: Items, index: int, item: Any) -> None:
        """Begin an item, which may end before this returns."""


class Items:
    """The items of one task, in one run; all but `pump` under the host's lock.

    Whoever lets an item begin may find that it has ended at once.  So that this needs
    no stack, one thread at a time begins them, and whoever else ends one meanwhile
    leaves the next one to it.
    """

    def __init__(
        self,
        host: Begins,
        number: int,
        items: list[Any],
        context: contextvars.Context,
    ) -> None:
        self._host = host
        self.number = number
        self.context = context
        """Of which each attempt has a copy."""
        self.items = items
        self.values: list[Any] = [UNFINISHED] * len(items)
        self.errors: dict[int, BaseException] = {}
        self.left = len(items)
        self.dropped = 0
        """Items that nothing has come of, as the run stops."""
        node = host.run.plan.nodes[number]
        self._free = node.task.max_concurrency or _WINDOW
        self._next = 0
        self._pumping = False

    def pump(self) -> None:
        """Begin as many items as may be under way."""
        lock = self._host.lock
        with lock:
            if self._pumping:
                return
            self._pumping = True
        while True:
            with lock:
                if not self._free or self._next == len(self.items):
                    self._pumping = False
                    return
                self._free -= 1
                index = self._next
                self._next += 1
                item, self.items[index] = self.items[index], None
            self._host.begin_item(self, index, item)

    def note(self, index: int, error: BaseException | None, value: Any) -> None:
        """Write down how an item has ended; `UNFINISHED`: that it was dropped."""
        self.left -= 1
        self._free += 1
        if error is not None:
            self.errors[index] = error
        elif value is UNFINISHED:
            self.dropped += 1
        else:
            self.values[index] = value

    def stop(self) -> None:
        """Begin no more of them."""
        rest = len(self.items) - self._next
        self.left -= rest
        self.dropped += rest
        self._next = len(self.items)
