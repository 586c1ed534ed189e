"""Worker threads: started on demand, joined at exit, forgotten by a forked child.

The threads are ``threading.Thread`` objects, so they appear in
``threading.enumerate()`` and get the functions of ``threading.settrace`` and
``threading.setprofile``; what they run is native (``Engine.run_worker``).
"""

from __future__ import annotations

import contextvars
import functools
import itertools
import logging
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

from fastflow import _core
from fastflow.base import lifetime

__all__ = ["Crew", "counts", "steals", "track"]

_START_LIMIT = 20.0  # seconds: far beyond what a start takes on a busy machine

_LOGGER = logging.getLogger("concurrent.futures")

# All threads that may still run tasks, and their engines.
_working: dict[threading.Thread, _core.Engine] = {}
_engines: weakref.WeakSet[_core.Engine] = weakref.WeakSet()


class Crew:
    """Makes the threads of one engine; the engine calls it when it wants one more."""

    def __init__(
        self,
        prefix: str,
        initializer: Callable[..., Any] | None,
        initargs: tuple[Any, ...],
    ) -> None:
        _check_unpatched()
        self.threads: set[threading.Thread] = set()
        self._prefix = prefix
        self._numbers = itertools.count()
        self._initializer = initializer
        self._initargs = initargs

    def __call__(self, engine: _core.Engine) -> None:
        """Start a thread.

        An exception may come from a signal handler while the thread is starting: then
        either we or the thread take the one ticket.  If we do, the thread won't work.
        """
        _check_unpatched()
        ticket = [None]
        thread = _new_thread(f"{self._prefix}_{next(self._numbers)}")
        begin = None
        if self._initializer is not None:
            begin = functools.partial(self._initialize, engine)
        end = functools.partial(self._forget, thread)
        try:
            # No function of Python's is between the thread's start and its work: a
            # trace function that raises would end it, and the engine count on it.
            thread.run = functools.partial(  # type: ignore[method-assign]
                engine.run_worker, ticket=ticket, begin=begin, end=end
            )
            self.threads.add(thread)
            _working[thread] = engine
            thread.start()
        except BaseException:
            if _taken(ticket):
                self._forget(thread)
            else:
                engine.keep_reservation()  # the thread works: nothing has failed
            raise

    def _initialize(self, engine: _core.Engine) -> None:
        try:
            assert self._initializer is not None
            self._initializer(*self._initargs)
        except BaseException:
            _LOGGER.critical("Exception in initializer:", exc_info=True)
            engine.set_broken()
            # This thread goes on, to fail what is queued, and leaves.
            engine.stop(False)

    def _forget(self, thread: threading.Thread) -> None:
        self.threads.discard(thread)
        _working.pop(thread, None)
        thread.__dict__.pop("run", None)  # which refers to the thread

    def join(self, engine: _core.Engine) -> None:
        """Wait until the engine, which was stopped, has run all and its threads ended.

        Raises
        ------
        RuntimeError
            If called by one of the threads.
        """
        if threading.current_thread() in self.threads:
            raise RuntimeError("cannot join current thread")
        while True:
            for thread in list(self.threads):
                if thread.ident is not None:
                    _join(thread)
            if engine.wait_stopped(0.01):
                return


def _check_unpatched() -> None:
    """Refuse threads that are none.

    Under gevent's and eventlet's monkey patching a "thread" is a greenlet of its
    starter's thread: a worker, which waits natively, would stop both for ever.

    Raises
    ------
    RuntimeError
        With the usual fix.
    """
    start = getattr(threading, "_start_joinable_thread", None)  # from Python 3.13 on
    start = start or getattr(threading, "_start_new_thread", None)
    if isinstance(start, types.BuiltinFunctionType):
        return
    by = next(
        (x for x in ("gevent", "eventlet") if x in sys.modules), "another package"
    )
    raise RuntimeError(
        "fastflow needs threads of the system, but threading is monkey-patched by "
        f"{by}; leave threads unpatched (gevent.monkey.patch_all(thread=False), "
        "eventlet.monkey_patch(thread=False)) or use fastflow in another process"
    )


class _Started(threading.Event):
    """Ends the wait of ``Thread.start()`` for a thread that has died at its start.

    Without memory for its first steps a thread is gone before it can say that it has
    started, and ``start()`` would wait for ever.
    """

    def wait(self, timeout: float | None = None) -> bool:
        if super().wait(_START_LIMIT if timeout is None else timeout):
            return True
        raise RuntimeError(
            "can't start new thread: it does not come up; out of memory?"
        )


def _new_thread(name: str) -> threading.Thread:
    thread = threading.Thread(name=name, daemon=False)
    if sys.version_info >= (3, 14):
        # A worker lives longer than what its starter has in context variables: it gets
        # none of them, also where threads inherit them (free-threaded builds).  What is
        # no built-in function is no event for a profile function that raises.
        run = functools.partial(contextvars.Context().run)
        thread._context = types.SimpleNamespace(run=run)
    thread._started = _Started()  # type: ignore[attr-defined]
    return thread


def _join(thread: threading.Thread) -> None:
    # Not one that is being started at this moment, perhaps by the very frame that a
    # signal interrupted to come here: wait_stopped() covers it.
    if thread.is_alive():
        thread.join()


def _taken(ticket: list[None]) -> bool:
    """Take the one ticket; True for the one thread that gets it (pop is atomic)."""
    try:
        ticket.pop()
    except IndexError:
        return False
    return True


def track(engine: _core.Engine) -> None:
    """Let a forked child know of the engine."""
    _engines.add(engine)


def counts() -> tuple[int, int]:
    """Return how many tasks are ready and how many run, in all pools of threads."""
    ready = running = 0
    for engine in list(_engines):
        if engine.forked:
            continue
        submitted, completed, failed, cancelled = engine.stats()[:4]
        pending = max(submitted - completed - failed - cancelled, 0)
        active = min(pending, engine.active)
        ready += pending - active
        running += active
    return ready, running


def steals() -> dict[_core.Engine, int]:
    """Return for each pool of threads how many tasks a worker took from another."""
    return {engine: engine.stats()[4] for engine in list(_engines) if not engine.forked}


def _at_exit() -> None:
    # Before the interpreter finalizes, while threads can still attach and start.
    _core.set_interpreter_exiting()
    while _working:
        for thread, engine in list(_working.items()):
            engine.stop(False)
            if thread.ident is not None:
                _join(thread)
        for engine in set(_working.values()):
            engine.wait_stopped(0.01)


def _after_fork_in_child() -> None:
    _core.reset_after_fork()
    for engine in list(_engines):
        engine.mark_forked()
    _working.clear()


lifetime.at_exit(lifetime.WORKERS, _at_exit)
lifetime.in_forked_child(lifetime.WORKERS, _after_fork_in_child)
