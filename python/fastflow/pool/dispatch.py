"""Calls on their way to the threads of an executor, and what helps when these hang.

A thread can't be stopped, so a call whose time is over, or whose result nobody waits
for any more, keeps its thread for as long as it likes.  Were nothing done about that, a
few such calls would keep all others from beginning, and what follows a time limit (a
handler, a fallback, the next step) would wait for the very threads that hang.  Whoever
runs functions of the user on threads therefore sends them by way of this module: flows,
workflows and durable executions alike.

Three things are done.

* A call that is given up while it runs does not count against the size of its pool from
  then on.  Our own pool lends its place to whatever is queued there, also to what
  others have submitted (`Pool::blocked`).  Of a pool of the standard library nobody can
  change the size, so one of the calls that wait for it, oldest first, may run on a
  spare thread for each call that hangs.
* What a time limit leads to (`after_limit`) gets a thread of its own if no worker has
  taken it up after `_PATIENCE` seconds, even if all workers are busy with calls that
  are all right.
* A call says when it begins, so that a limit is the time of the call and not of the
  queue: whoever sets the limit starts its timer in the call itself.

Why nothing is lost and nothing is run twice: a call is claimed, under its own lock, by
whoever comes first, a worker, a spare thread, or one that gives it up; the others find
it claimed and do nothing.  A call that hangs is counted under that lock, too, and only
while it runs, and its end takes the count back; so the count is that of the threads
which hang, and a worker's place is lent while it is inside of the call only.  Lock
order: a call's, then the shared one; never two calls'.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from fastflow import _core
from fastflow.base import lifetime
from fastflow.base.timers import call_later
from fastflow.pool.executor import Executor

__all__ = [
    "Dispatch",
    "Dispatcher",
    "after_limit",
    "current_dispatch",
    "expire",
    "given_up",
    "is_after_limit",
]

_LOGGER = logging.getLogger("fastflow")

_MOST = 1_000
"""Threads beside those of the pool, at most."""
_PATIENCE = 0.01  # seconds
_GIVEN_UP = "the executor gave up the call before it began; was it shut down?"

_WAITING, _RUNNING, _HANGING, _OVER = range(4)
_WORKER, _SPARE, _APART = range(3)  # whose thread it is


class _Here(threading.local):
    dispatch: Dispatch | None = None
    urgent = False


_here = _Here()


@contextlib.contextmanager
def after_limit() -> Iterator[None]:
    """Say that what is sent in this block follows a time limit."""
    before, _here.urgent = _here.urgent, True
    try:
        yield
    finally:
        _here.urgent = before


def expire(fn: Callable[..., object], *args: Any) -> None:
    """Call a function that says that a time limit is over; for timers."""
    with after_limit():
        fn(*args)


def is_after_limit() -> bool:
    """Whether this thread is in an `after_limit` block."""
    return _here.urgent


def current_dispatch() -> Dispatch | None:
    """Return the innermost `known` call that runs in this thread, if any."""
    return _here.dispatch


def given_up() -> concurrent.futures.CancelledError:
    """Return the error of a call that an executor has dropped."""
    return concurrent.futures.CancelledError(_GIVEN_UP)


class Dispatch:
    """One call: waiting for a thread, running, or over.

    It is like a future of which only the end can be asked.

    Parameters
    ----------
    call : callable
        Called without arguments, once at most.
    done : callable, optional
        Called with this once, when the call has ended or will not be made.
    quiet : bool
        Call `done` only if it will not be made, or has raised.
    known : bool
        Whether `current_dispatch` tells of it.
    """

    __slots__ = (
        "_call", "_cancelled", "_done", "_error", "_future", "_known", "_lock",
        "_place", "_quiet", "_shared", "_state", "_value", "made",
    )  # fmt: skip

    def __init__(
        self,
        call: Callable[[], Any],
        done: Callable[[Dispatch], object] | None = None,
        *,
        quiet: bool = False,
        known: bool = False,
    ) -> None:
        self._quiet = quiet
        self._known = known
        self.made = False
        """Whether it has begun."""
        self._call: Callable[[], Any] | None = call
        self._done = done
        self._lock = threading.Lock()
        self._state = _WAITING
        self._place = 0
        self._shared: _Shared | None = None
        self._future: concurrent.futures.Future[Any] | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._cancelled = False

    # How it ended; for `done`.

    def cancelled(self) -> bool:
        """Whether it never began."""
        return self._cancelled

    def exception(self) -> BaseException | None:
        """Return what it raised."""
        return self._error

    def result(self) -> Any:
        """Return what it returned."""
        return self._value

    # For those who want it no longer.

    def cancel(self) -> bool:
        """Give it up if it hasn't begun; whether that was so."""
        with self._lock:
            if self._state != _WAITING:
                return self._state == _OVER and self._cancelled
            self._state = _OVER
            self._cancelled = True
        self._drop()
        self._tell()
        return True

    def give_up(self) -> None:
        """Wait for it no longer: if it runs, it is counted as hanging until its end."""
        if self.cancel():
            return
        with self._lock:
            if self._state != _RUNNING:
                return
            self._state = _HANGING
            if self._place:
                _core.lend(self._place)
            elif self._shared is not None:
                self._shared.count(1)
        if self._shared is not None:
            self._shared.fill()

    # For the threads.

    def run(self, where: int = _WORKER) -> None:
        """Make the call, unless somebody else has or it was given up."""
        with self._lock:
            if self._state != _WAITING:
                return
            self._state = _RUNNING
            shared, future, self._future = self._shared, self._future, None
            if where == _WORKER:
                self._place = _core.place()
            elif where == _APART:
                self._shared = None  # no pool misses this thread if it hangs
            call, self._call = self._call, None
        self.made = True
        if shared is not None:
            shared.forget(self)
        if where != _WORKER and future is not None:
            future.cancel()
        assert call is not None
        try:
            self._value = self._make_known(call) if self._known else call()
        except BaseException as error:
            self._error = error
        del call
        with self._lock:
            hung = self._state == _HANGING
            self._state = _OVER
            if hung and self._place:
                _core.take_back(self._place)
            elif hung and self._shared is not None:
                self._shared.count(-1)
        if self._quiet and self._error is None:
            self._done = None  # it may refer to whoever holds this
        else:
            self._tell()

    def _make_known(self, call: Callable[[], Any]) -> Any:
        before, _here.dispatch = _here.dispatch, self
        try:
            return call()
        finally:
            _here.dispatch = before

    def overtake(self) -> None:
        """Make the call on a thread of its own if no worker has taken it up."""
        if self._state == _WAITING and not _start_apart(self):
            call_later(_PATIENCE, self.overtake)

    # On its way.

    def _sent(self, future: concurrent.futures.Future[Any]) -> None:
        """Note the executor's future; it is looked at if the call was not made."""
        with self._lock:
            if self._state == _WAITING:
                self._future = future
            unwanted = self._cancelled
        if unwanted:
            future.cancel()
        else:
            future.add_done_callback(self._settled)

    def _settled(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            if self._state != _WAITING:
                return
            self._state = _OVER
            self._cancelled = future.cancelled()
            if not self._cancelled:
                self._error = future.exception()  # the pool is broken
        self._drop()
        self._tell()

    def _drop(self) -> None:
        """Forget what it refers to: the call won't be made."""
        self._call = None
        future, self._future = self._future, None
        if self._shared is not None:
            self._shared.forget(self)
        if future is not None:
            future.cancel()

    def _tell(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            try:
                done(self)
            except BaseException:
                _LOGGER.exception("exception at the end of a call")


class _Shared:
    """What all who send calls to one pool of the standard library have in common."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Dispatch, None] = {}
        self._hanging = 0
        self._spare = 0

    def enlist(self, dispatch: Dispatch) -> None:
        """Note a call that is about to wait."""
        with self._lock:
            self._waiting[dispatch] = None

    def forget(self, dispatch: Dispatch) -> None:
        """Note that it waits no longer."""
        with self._lock:
            self._waiting.pop(dispatch, None)

    def count(self, more: int) -> None:
        """Note calls that hang, or have ended."""
        with self._lock:
            self._hanging += more

    def fill(self) -> None:
        """Start threads in the place of those that hang, if there is work for them."""
        while True:
            with self._lock:
                if not self._waiting or self._spare >= min(self._hanging, _MOST):
                    return
                self._spare += 1
            started = False
            try:
                started = _start(self._serve)
            finally:
                if not started:
                    with self._lock:
                        self._spare -= 1
            if not started:
                return

    def _serve(self) -> None:
        while (dispatch := self._next()) is not None:
            dispatch.run(_SPARE)
            del dispatch

    def _next(self) -> Dispatch | None:
        with self._lock:
            if self._spare <= self._hanging and self._waiting:
                dispatch = next(iter(self._waiting))
                del self._waiting[dispatch]
                return dispatch
            self._spare -= 1
            return None


_all: WeakKeyDictionary[concurrent.futures.Executor, _Shared] = WeakKeyDictionary()
_lock = threading.Lock()
_apart = 0  # threads that run one call each


def _start(body: Callable[[], object]) -> bool:
    """Start a thread that nobody waits for; False if there can't be another one."""
    thread = threading.Thread(target=body, name="fastflow-spare", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _start_apart(dispatch: Dispatch) -> bool:
    def body() -> None:
        try:
            dispatch.run(_APART)
        finally:
            _count_apart(-1)

    if not _count_apart(1):
        return False
    started = False
    try:
        started = _start(body)
    finally:
        if not started:
            _count_apart(-1)
    return started


def _count_apart(more: int) -> bool:
    global _apart
    with _lock:
        if _apart + more > _MOST:
            return False
        _apart += more
        return True


def _start_over() -> None:
    global _lock, _apart
    _lock, _apart = threading.Lock(), 0


lifetime.in_forked_child(lifetime.WORKERS, _start_over)


class Dispatcher:
    """Sends calls to the threads of one executor.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Of threads of this process.
    """

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self.executor = executor
        self._submit = executor.submit
        self._shared: _Shared | None = None
        self._bounded = False
        if isinstance(executor, Executor):
            self._bounded = executor._is_bounded
            return
        with _lock:
            self._shared = _all.get(executor)
            if self._shared is None:
                self._shared = _all[executor] = _Shared()

    def send(self, dispatch: Dispatch) -> None:
        """Have a call made.

        Raises
        ------
        RuntimeError
            If the executor is shut down; or what else it refuses with.
        """
        urgent, shared = _here.urgent, self._shared
        # submit() might wait for room, in the thread that sees to all time limits.
        if urgent and self._bounded and _start_apart(dispatch):
            return
        if shared is not None:
            dispatch._shared = shared
            shared.enlist(dispatch)
        try:
            future = self._submit(dispatch.run)
        except BaseException:
            dispatch._done = None
            dispatch.cancel()
            raise
        dispatch._sent(future)
        if shared is not None:
            shared.fill()
        if urgent:
            call_later(_PATIENCE, dispatch.overtake)

    def submit(
        self,
        call: Callable[[], Any],
        done: Callable[[Dispatch], object] | None = None,
        *,
        quiet: bool = False,
        known: bool = False,
    ) -> Dispatch:
        """Have ``call()`` made; see `Dispatch` and `send`."""
        dispatch = Dispatch(call, done, quiet=quiet, known=known)
        self.send(dispatch)
        return dispatch
