"""What for_each and batch draw their items from, and where."""

from __future__ import annotations

import collections
import concurrent.futures as cf
import contextvars
import itertools
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from types import CoroutineType
from typing import Any

from fastflow import _core
from fastflow.base import lifetime
from fastflow.errors import shown
from fastflow.workflows.context import Context
from fastflow.workflows.dispatch import OwnThread, Places

__all__ = ["END", "Getting", "Items", "ItemsThread"]

END: Any = object()
"""Comes after the last item."""

_LOGGER = logging.getLogger("fastflow")

_COLLECTIONS = frozenset(
    {
        bytes, collections.deque, dict, frozenset, list, range, set, str, tuple,
        type({}.items()), type({}.keys()), type({}.values()),
    }
)  # fmt: skip


class Getting:
    """A call of the function that returns the items, where they are to be drawn."""

    def __init__(self, fn: Callable[[Context], Any], ctx: Context, places: Places):
        self._fn = fn
        self._ctx = ctx
        self._places = places
        self._future: cf.Future[Any] | None = None
        self._cancelled = False

    def call(self) -> Any:
        """Return the items; a coroutine is waited for."""
        returned = self._fn(self._ctx)
        if type(returned) is not CoroutineType:
            return returned
        future = self._future = self._places.run_coroutine(_nothing, returned)
        if self._cancelled:
            future.cancel()
        return future.result()

    def cancel(self) -> None:
        """Cancel the coroutine, if it is one."""
        self._cancelled = True
        if self._future is not None:
            self._future.cancel()


def _nothing(_: object) -> None:
    pass


class Items:
    """Items that are drawn one after another.

    Parameters
    ----------
    source : iterable or Getting
        What they come from; not touched before the first one is drawn.
    size : int, optional
        Draw lists of so many.

    Attributes
    ----------
    anywhere : bool
        Whether they may be drawn on any thread.  A generator or a database cursor, as
        any code of the user, belongs to one thread.
    """

    def __init__(
        self, source: Iterable[Any] | Getting, size: int | None = None
    ) -> None:
        self.anywhere = type(source) in _COLLECTIONS
        self._source: Any = source
        self._size = size
        self._drawn: Iterator[Any] | None = None

    def draw(self) -> Any:
        """Return the next one, or `END`; what the source raises is raised.

        A StopIteration of the function that returns the items is a failure like others:
        only that of an iterator is the end.
        """
        if self._drawn is None:
            self._drawn = self._begin()
        return next(self._drawn, END)

    def _begin(self) -> Iterator[Any]:
        source, size = self._source, self._size
        if isinstance(source, Getting):
            source = source.call()
            self.anywhere = type(source) in _COLLECTIONS
        drawn: Iterator[Any] = iter(source)
        self._source = drawn
        if size is None:
            return drawn
        return iter(lambda: list(itertools.islice(drawn, size)), [])

    @property
    def closes(self) -> bool:
        """Whether there is something to close."""
        return isinstance(self._source, Generator)

    def close(self) -> None:
        """Let a generator clean up; it is not drawn from any more."""
        if isinstance(self._source, Generator):
            try:
                self._source.close()
            except Exception as error:
                _LOGGER.exception("closing a generator of items: %s", shown(error))


class ItemsThread:
    """The thread on which one fan gets its items, draws and closes them.

    For fibers that go on here and there, on the threads of a pool.  Threads are used
    again; there are a few at most, and only the fans beyond these share one.
    """

    def __init__(self, places: Places) -> None:
        self._activity = places.activity
        self._context = _core.task_context()
        self._lock = threading.Lock()
        self._thread: OwnThread | None = _crew.join()

    def post(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have ``fn(*args)`` called by the thread."""
        with self._lock:
            if self._thread is None:
                return
            if self._activity is not None:
                self._activity.enter()
            thread = self._thread
        thread.post(self._call, fn, args)

    def _call(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            _core.task_context(self._context).run(fn, *args)
        finally:
            if self._activity is not None:
                self._activity.leave()

    def leave(self) -> None:
        """Note that the thread isn't needed any more, apart from what is posted."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            _crew.leave(thread)


class _Crew:
    """The threads for items, each with the number of fans that use it."""

    most = 32

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Begin without threads; in a forked child they are the parent's."""
        self._lock = threading.Lock()
        self._users: dict[OwnThread, int] = {}

    def join(self) -> OwnThread:
        with self._lock:
            thread = min(self._users, key=self._users.__getitem__, default=None)
            full = len(self._users) >= self.most
            if thread is None or (self._users[thread] and not full):
                # What its calls see are the variables of whoever posts them.
                thread = contextvars.Context().run(OwnThread)
                self._users[thread] = 0
            self._users[thread] += 1
            return thread

    def leave(self, thread: OwnThread) -> None:
        with self._lock:
            if thread in self._users:  # else this is a forked child
                self._users[thread] -= 1


_crew = _Crew()
lifetime.in_forked_child(lifetime.RUNS, _crew.start_over)
