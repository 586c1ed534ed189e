"""Where the parts of a run are executed.

A run goes on in its `Home`: the thread that called ``run()``, or one of its own if it
has a time limit, or a pool of threads for runs that were started in the background and
for the sub-flows of ``for_each``.  The functions of branches go to the `Places` of the
run: its executor, or the event loop.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from fastflow import _core
from fastflow.backends.choose import backend_of
from fastflow.backends.local import ThreadBackend
from fastflow.base.interrupts import wait_until
from fastflow.pool.dispatch import Dispatch, Dispatcher
from fastflow.pool.executor import default_executor
from fastflow.pool.named import executor_of
from fastflow.run.loop import Loop

if TYPE_CHECKING:
    from fastflow.backends.processes import ProcessBackend
    from fastflow.backends.remote import RemoteBackend

__all__ = ["Activity", "CallerHome", "Home", "OwnThread", "Places", "PoolHome"]


_LOGGER = logging.getLogger("fastflow")

_Posted = tuple[Callable[..., object], tuple[Any, ...]]


class Activity:
    """Counts what is going on elsewhere, for whoever has to know when nothing is."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self._lock = threading.Lock()
        self._busy = 0
        self._changed = changed

    def watch(self, future: cf.Future[Any]) -> None:
        """Count a future until its other callbacks have been called."""
        self.enter()
        future.add_done_callback(lambda _: self.leave())

    def enter(self) -> None:
        """Count one thing more."""
        with self._lock:
            self._busy += 1

    def leave(self) -> None:
        """Count one thing less."""
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

    one_thread: bool
    """Whether a function that doesn't end keeps all other parts from being executed."""

    error: BaseException | None
    """What ends the program, such as Ctrl-C, and has come out of a part of the run."""

    def post(self, fn: Callable[..., object], /, *args: Any) -> Dispatch | None:
        """Have ``fn(*args)`` called; return what can be given up, if it can."""

    def run_ended(self) -> None:
        """Note that the run which this home was made for has its result."""


class CallerHome:
    """The thread that called ``run()`` and serves the run until it has ended."""

    one_thread = True

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[_Posted] = queue.SimpleQueue()
        self._ended = False
        self.error: BaseException | None = None  # raised by `serve`, too

    def post(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have ``fn(*args)`` called by this thread."""
        self._inbox.put((fn, args))

    def run_ended(self) -> None:
        """Let ``serve_run`` return."""
        self._inbox.put((self._end, ()))

    def _end(self) -> None:
        self._ended = True

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self._inbox.empty()

    def serve(self, timeout: float | None = None) -> bool:
        """Wait for the next call and make it; False if none comes in time."""
        call = self._take(timeout)
        if call is None:
            return False
        fn, args = call
        fn(*args)
        return True

    def serve_run(self) -> None:
        """Make all calls until the run has ended."""
        while not self._ended:
            self.serve()
        self.serve_rest()

    def serve_rest(self) -> None:
        """Make the calls that are there, such as those that clean up."""
        while not self._inbox.empty():
            self.serve()

    def _take(self, timeout: float | None) -> _Posted | None:
        if not self._inbox.empty():
            return self._inbox.get_nowait()  # nobody else takes from it
        found: list[_Posted] = []

        def wait(seconds: float | None) -> bool:
            with contextlib.suppress(queue.Empty):
                found.append(self._inbox.get(timeout=seconds))
            return bool(found)

        return found[0] if wait_until(wait, timeout) else None


class OwnThread:
    """A thread for one run, for as long as it goes on; started when it is needed.

    So whoever waits for the run does not have to wait for its functions.  They find the
    same thread and the same context variables one after another, as in `CallerHome`.
    """

    one_thread = True

    def __init__(self, activity: Activity | None = None) -> None:
        self._inbox: queue.SimpleQueue[_Posted | None] = queue.SimpleQueue()
        self._activity = activity
        self._context = _core.task_context()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = False
        self.error: BaseException | None = None
        """What a call has raised; that is none of the run's business."""

    def post(self, fn: Callable[..., object], /, *args: Any) -> None:
        """Have ``fn(*args)`` called by the thread; ignored when the run has ended."""
        with self._lock:
            if self._over:
                return
            if self._start():
                if self._activity is not None:
                    self._activity.enter()
                self._inbox.put((fn, args))
                return
        fn(*args)  # whoever waits for the run must not wait for ever

    def _start(self) -> bool:
        """Start the thread if need be; False if that's too late: the program ends."""
        if self._thread is None:
            # A daemon: whoever needs what it does waits for it, and a function that
            # goes on after the time limit must not keep the program from ending.
            thread = threading.Thread(
                target=self._context.run,
                args=(self._serve,),
                name="fastflow-run",
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def run_ended(self) -> None:
        """Let the thread end."""
        with self._lock:
            self._over = True
            self._inbox.put(None)

    def _serve(self) -> None:
        while (call := self._inbox.get()) is not None:
            fn, args = call
            try:
                fn(*args)
            except BaseException as error:
                self.error = error
            del call, fn, args
            if self._activity is not None:
                self._activity.leave()


class PoolHome:
    """The threads of an executor; each part sees the context it was made in."""

    one_thread = False

    def __init__(self, executor: cf.Executor, activity: Activity | None = None) -> None:
        self._dispatcher = Dispatcher(executor)
        self._context = _core.task_context()
        self._activity = activity
        self.error: BaseException | None = None

    def post(self, fn: Callable[..., object], /, *args: Any) -> Dispatch | None:
        """Have ``fn(*args)`` called by one of the threads."""
        run, activity = _core.task_context(self._context).run, self._activity

        def ended(dispatch: Dispatch) -> None:
            try:
                if not dispatch.made:
                    # Dropped by the executor.  Whoever waits for the run must not wait
                    # for ever.
                    run(fn, *args)
                elif dispatch.exception() is not None:
                    self._failed(dispatch.exception())
            finally:
                if activity is not None:
                    activity.leave()

        if activity is not None:
            activity.enter()
        try:
            return self._dispatcher.submit(
                lambda: run(fn, *args), ended, quiet=activity is None, known=True
            )
        except RuntimeError:
            if activity is not None:
                activity.leave()
            run(fn, *args)  # shut down meanwhile
            return None

    def _failed(self, error: BaseException | None) -> None:
        if error is not self.error:  # else it is known
            _LOGGER.error("a part of a run failed", exc_info=error)

    def run_ended(self) -> None:
        """Nothing to do: the threads are everybody's."""


class Places:
    """Where the functions of a run are called.

    Parameters
    ----------
    executor : concurrent.futures.Executor or str, optional
        Default: ``default_executor()``, taken when it is needed.
    activity : Activity, optional
        Told of every call.
    """

    def __init__(
        self,
        executor: cf.Executor | str | None = None,
        activity: Activity | None = None,
    ) -> None:
        self._executor: cf.Executor | None = executor_of(executor, serial=False)
        self._backend: ThreadBackend | RemoteBackend | ProcessBackend | None = None
        self.activity = activity
        self.loop = Loop(activity)

    @property
    def backend(self) -> ThreadBackend | RemoteBackend | ProcessBackend:
        """Where the attempts of the next call are made."""
        backend = self._backend
        if backend is not None and self._executor is not None:
            return backend
        executor = self._executor
        if executor is None:
            executor = default_executor()
        if backend is None or backend.executor is not executor:  # another default
            backend = self._backend = backend_of(executor, self.activity, self.loop)
        return backend

    def run_coroutine(
        self,
        done: Callable[[cf.Future[Any]], object],
        coroutine: Coroutine[Any, Any, Any],
    ) -> cf.Future[Any]:
        """Run a coroutine on the event loop, then call ``done``."""
        from fastflow.base import aio

        return self._watched(aio.submit(coroutine), done)

    def pool_home(self) -> PoolHome:
        """Return a home on threads: the executor's, or else the default ones."""
        backend = self.backend
        executor = default_executor() if backend.remote else backend.executor
        return PoolHome(executor, self.activity)

    def own_thread(self) -> OwnThread:
        """Return a home on a thread of its own."""
        return OwnThread(self.activity)

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
