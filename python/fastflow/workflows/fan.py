"""Many branches at a time: the operation behind parallel, race, for_each and batch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from fastflow.base.timers import Timer
from fastflow.errors import TaskTimeout
from fastflow.pool.dispatch import expire
from fastflow.workflows.items import END, Items, ItemsThread
from fastflow.workflows.jobs import Done
from fastflow.workflows.policies import Outcomes

if TYPE_CHECKING:
    from fastflow.workflows.fiber import Fiber

__all__ = ["Branch", "Fan", "Make"]

#: Branches in flight where no max_concurrency is given: enough for any pool and many
#: sockets, and a million items don't become a million objects.
WINDOW = 10_000


class Branch(Protocol):
    """A part of a run that ends with ``done(error, value)``, unless cancelled."""

    def start(self) -> None:
        """Begin."""

    def cancel(self) -> object:
        """Stop; ``done`` won't be called."""


Make = Callable[[int, Any, Done], Branch]


class Fan:
    """Starts branches as the limit allows, and resumes the fiber when it's decided.

    Branches are made from items one after another, in order; each time one ends there
    is room for the next.  Outcomes may come from any thread; items are drawn, and
    closed in the end, on one thread, unless they may be drawn anywhere: where the fiber
    goes on, or if that is no certain thread, on one for items.

    Parameters
    ----------
    fiber : Fiber
        Resumed with ``finish(value)``.
    items : Items
        What the branches are made of; may be endless if the limit is given.
    make : callable
        ``make(index, item, done)`` returns a branch.
    outcomes : Outcomes
        Decides.
    limit : int
        Branches at a time.
    finish : callable
        ``finish(value)`` returns the fiber's next instruction.
    release : callable, optional
        Called when no branch is wanted any more.
    """

    def __init__(
        self,
        fiber: Fiber,
        items: Items,
        make: Make,
        outcomes: Outcomes,
        limit: int | None,
        finish: Callable[[Any], int],
        release: Callable[[], object] | None = None,
    ) -> None:
        self._fiber = fiber
        self._items = items
        self._make = make
        self._outcomes = outcomes
        self._limit = limit or WINDOW
        self._finish = finish
        self._release = release
        self._thread: ItemsThread | None = None
        if not (items.anywhere or fiber.home.one_thread):
            self._thread = ItemsThread(fiber.run.places)
        self._lock = threading.Lock()
        self._branches: dict[int, Branch] = {}
        self._started = 0
        self._running = 0
        self._drawing = False  # somebody draws items, or will do so soon
        self._exhausted = False
        self._over = False
        self._left_drawing = False  # when it was over; whoever draws closes the items
        self._timer: Timer | None = None

    def start(self, timeout: float | None, what: str) -> None:
        """Begin, where the fiber goes on; it must be suspended already."""
        if timeout is not None:
            error = TaskTimeout(f"{what} did not finish within {timeout:g} s")
            timer = self._fiber.run.clock.call_later(timeout, expire, self._fail, error)
            with self._lock:
                self._timer = timer
        if self._claim():
            if self._thread is None:
                self._draw()
            else:
                self._thread.post(self._draw)

    def cancel(self) -> None:
        """Cancel the branches; the fiber won't be resumed."""
        if self._end():
            self._clean_up()
            self._shut(None)

    # Drawing: one thread at a time.

    def _claim(self) -> bool:
        """Whether there is room for another branch, and nobody else fills it."""
        with self._lock:
            if self._drawing or self._over or self._exhausted:
                return False
            self._drawing = self._running < self._limit
            return self._drawing

    def _draw(self) -> None:
        """Start branches while there is room; the caller has claimed it."""
        while self._has_room():
            try:
                item = self._items.draw()
            except BaseException as error:
                self._rest()
                self._fail(error)
                return
            if item is END:
                self._ended()
                return
            if self._thread is not None and self._items.anywhere:
                self._thread.leave()
            self._open(item)

    def _has_room(self) -> bool:
        with self._lock:
            if not self._over:
                self._drawing = self._running < self._limit
                self._running += self._drawing
                return self._drawing
        self._close()  # by this thread alone, as it still counts as drawing
        return False

    def _rest(self) -> None:
        """Draw no more; nothing is left to be closed."""
        with self._lock:
            self._drawing = False
            over = self._over
        if over:
            self._close()

    def _open(self, item: Any) -> None:
        index = self._started
        self._started += 1
        with self._lock:
            if self._over:
                return  # decided while it was being drawn
            self._outcomes.opened()
        try:
            branch = self._make(
                index, item, lambda error, value: self._closed(index, error, value)
            )
        except BaseException as error:
            self._fail(error)
            return
        with self._lock:
            self._branches[index] = branch
        branch.start()
        if self._is_over():
            branch.cancel()  # decided while it was being made

    def _is_over(self) -> bool:
        return self._over

    def _ended(self) -> None:
        """Note that there are no more items."""
        with self._lock:
            self._running -= 1
            self._exhausted = True
            all_done = self._running == 0
        self._rest()
        if all_done:
            self._decide()

    def _close(self) -> None:
        try:
            self._items.close()
        finally:
            if self._thread is not None:
                self._thread.leave()

    def _shut(self, complete: Callable[[], int] | None) -> None:
        """Have the items closed, then resume the fiber with `complete`, if given.

        If somebody is drawing, that thread closes them, and nobody waits for it.
        """
        if not self._left_drawing:
            if self._items.closes:
                home = self._thread or self._fiber.home
                home.post(self._close_and_resume, complete)
                return
            self._close()
        if complete is not None:
            self._fiber.resume(complete)

    def _close_and_resume(self, complete: Callable[[], int] | None) -> None:
        try:
            self._close()
        finally:
            if complete is not None:
                self._fiber.resume(complete)

    # Outcomes: from any thread.

    def _closed(self, index: int, error: BaseException | None, value: Any) -> None:
        try:
            with self._lock:
                if self._over:
                    return
                self._branches.pop(index, None)
                self._running -= 1
                enough = self._outcomes.closed(index, error, value)
                enough = enough or (self._exhausted and self._running == 0)
        except BaseException as mistake:
            self._fail(mistake)
            return
        if enough:
            self._decide()
        elif self._claim():
            if self._items.anywhere:
                self._draw()
            else:
                (self._thread or self._fiber.home).post(self._draw)

    def _end(self) -> bool:
        """Whether this is the call that ends it."""
        with self._lock:
            if self._over:
                return False
            self._over = True
            self._left_drawing = self._drawing
            return True

    def _clean_up(self) -> None:
        with self._lock:
            timer, self._timer = self._timer, None
            branches = list(self._branches.values())
            self._branches.clear()
        if timer is not None:
            timer.cancel()
        for branch in branches:
            branch.cancel()
        if self._release is not None:
            self._release()

    def _decide(self) -> None:
        self._resume(self._outcomes.outcome)

    def _fail(self, error: BaseException) -> None:
        def outcome() -> Any:
            raise error

        self._resume(outcome)

    def _resume(self, outcome: Callable[[], Any]) -> None:
        if not self._end():
            return
        self._clean_up()

        self._shut(lambda: self._finish(outcome()))
