"""Where the parts of a run are executed.

A run goes on in its `Home`: the thread that called ``run()``, or a pool of threads for
runs that were started in the background and for the sub-flows of ``for_each``.  The
functions of branches go to the `Places` of the run: its executor, or the event loop.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from fastflow import _core
from fastflow.executor import default_executor

__all__ = ["Activity", "CallerHome", "Home", "Places", "PoolHome"]


class Activity:
    """Counts what is going on elsewhere, for whoever has to know when nothing is."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self._lock = threading.Lock()
        self._busy = 0
        self._changed = changed

    def watch(self, future: cf.Future[Any]) -> None:
        """Count a future until its other callbacks have been called."""
        with self._lock:
            self._busy += 1
        future.add_done_callback(self._leave)

    def _leave(self, _: object) -> None:
        with self._lock:
            self._busy -= 1
        self._changed()

    @property
    def idle(self) -> bool:
        """Whether nothing is going on."""
        with self._lock:
            return self._busy == 0


class Home(Protocol):
    """Executes the next part of a run, soon."""

    def post(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have ``fn(*args)`` called."""


class CallerHome:
    """The thread that called ``run()`` and serves the run until it has ended."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]]
        self._inbox = queue.SimpleQueue()

    def post(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have ``fn(*args)`` called by this thread."""
        self._inbox.put((fn, args))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self._inbox.empty()

    def serve(self) -> None:
        """Wait for the next call and make it."""
        try:
            fn, args = self._inbox.get_nowait()
        except queue.Empty:
            # On a worker, others may take this one's place meanwhile.
            with _core.Blocking():
                fn, args = self._inbox.get()
        fn(*args)


class PoolHome:
    """The threads of an executor; each part sees the context it was made in."""

    def __init__(self, executor: cf.Executor, activity: Activity | None = None) -> None:
        self._executor = executor
        self._context = contextvars.copy_context()
        self._activity = activity

    def post(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have ``fn(*args)`` called by one of the threads."""
        call = self._context.copy().run
        try:
            future = self._executor.submit(call, fn, *args)
        except RuntimeError:
            # Shut down meanwhile.  Whoever waits for the run must not wait for ever.
            call(fn, *args)
            return
        if self._activity is not None:
            self._activity.watch(future)


class Places:
    """Where the functions of a run are called.

    Parameters
    ----------
    executor : concurrent.futures.Executor, optional
        Default: ``default_executor()``, taken when it is needed.
    activity : Activity, optional
        Told of every call.
    """

    def __init__(
        self, executor: cf.Executor | None = None, activity: Activity | None = None
    ) -> None:
        if executor is not None and not isinstance(executor, cf.Executor):
            raise TypeError(
                "executor must be a concurrent.futures.Executor or None, not "
                f"{type(executor).__name__}"
            )
        self._executor = executor
        self.activity = activity
        self.threads = executor is None or isinstance(executor, cf.ThreadPoolExecutor)
        """Whether calls share this process's memory; else they are sent elsewhere."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> cf.Future[Any]:
        """Call ``fn(*args)`` on the executor."""
        executor = self._executor or default_executor()
        return self._watched(executor.submit(fn, *args), None)

    def send(
        self,
        done: Callable[[cf.Future[Any]], object],
        fn: Callable[..., Any],
        *args: Any,
    ) -> cf.Future[Any]:
        """Call ``fn(*args)`` on an executor that may be elsewhere, then ``done``."""
        assert self._executor is not None
        return self._watched(self._executor.submit(fn, *args), done)

    def run_coroutine(
        self,
        done: Callable[[cf.Future[Any]], object],
        coroutine: Coroutine[Any, Any, Any],
    ) -> cf.Future[Any]:
        """Run a coroutine on the event loop, then call ``done``."""
        from fastflow import aio

        return self._watched(aio.submit(coroutine), done)

    def pool_home(self) -> PoolHome:
        """Return a home on threads: the executor's, or else the default ones."""
        if self._executor is not None and self.threads:
            return PoolHome(self._executor, self.activity)
        return PoolHome(default_executor(), self.activity)

    def _watched(
        self,
        future: cf.Future[Any],
        done: Callable[[cf.Future[Any]], object] | None,
    ) -> cf.Future[Any]:
        if done is not None:
            future.add_done_callback(done)
        if self.activity is not None:
            self.activity.watch(future)  # last: callbacks are called in their order
        return future
