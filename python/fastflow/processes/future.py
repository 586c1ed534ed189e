"""The future of a call in another process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fastflow.base.durations import Time, wait_of
from fastflow.base.log_ids import HasIds
from fastflow.pool.future import Future

__all__ = ["Keeper", "ProcessFuture"]

T = TypeVar("T")


class Keeper(Protocol):
    """Who has the calls of an executor."""

    def wait_for(self, future: Future[Any], seconds: float | None) -> None:
        """Wait until a future is done, or the time is over."""

    def cancel(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.cancel`."""

    def is_running(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.running`."""

    def terminate(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.terminate`."""

    def serve_callbacks(self) -> None:
        """See to it that the future ends soon though nobody waits in `wait_for`."""


def _HAS_BEGUN() -> None:  # noqa: N802
    """Stand for the fact, in the place of who wants to hear of it."""


_hearing = threading.Lock()  # few calls tell


class ProcessFuture(Future[T]):
    """A ``concurrent.futures.Future`` of a call in another process.

    Whoever waits for it takes in the answers of the workers meanwhile.
    """

    __slots__ = ("_keeper", "_on_begun", "about")

    _keeper: Keeper
    _on_begun: Callable[[], object]
    """Who wants to hear of it; most have none."""
    about: HasIds
    """Whose call it is, for log records of the worker; most have none."""

    def result(self, timeout: Time | None = None) -> T:
        """See `concurrent.futures.Future`."""
        if self.done():
            return Future.result(self, 0)
        seconds = None if timeout is None else wait_of(timeout)
        self._keeper.wait_for(self, seconds)
        return Future.result(self, 0)

    def exception(self, timeout: Time | None = None) -> BaseException | None:
        """See `concurrent.futures.Future`."""
        if not self.done():
            self._keeper.wait_for(self, None if timeout is None else wait_of(timeout))
        return Future.exception(self, 0)

    def cancel(self) -> bool:
        """Cancel the call if no worker has begun it; return whether it is cancelled."""
        if self.done():
            return Future.cancel(self)
        return self._keeper.cancel(self)

    def running(self) -> bool:
        """Return whether a worker makes the call."""
        return not self.done() and self._keeper.is_running(self)

    def tell_begun(self, hear: Callable[[], object]) -> None:
        """Have it told, once, when a worker begins the call.

        The call must say so, by `fastflow.processes.place.tell_begun`.
        """
        with _hearing:
            late = getattr(self, "_on_begun", None) is _HAS_BEGUN
            if not late:
                self._on_begun = hear
        if late:
            hear()
        elif not self.done():
            self._keeper.serve_callbacks()

    def begun(self) -> None:
        """Tell that a worker has begun the call."""
        with _hearing:
            hear = getattr(self, "_on_begun", None)
            self._on_begun = _HAS_BEGUN
        if hear is not None:
            hear()

    def terminate(self) -> bool:
        """End the call: cancel it, or kill the worker that makes it.

        Then the future has a `WorkerDiedError`, and another worker takes the place.

        Returns
        -------
        bool
            False if the call was over.
        """
        return self._keeper.terminate(self)

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        """See `concurrent.futures.Future`."""
        Future.add_done_callback(self, fn)
        if not self.done():
            self._keeper.serve_callbacks()

    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]  # what concurrent.futures.wait looks at
        if not self.done():
            self._keeper.serve_callbacks()
        return Future._waiters.__get__(self)  # type: ignore[attr-defined, no-any-return]
