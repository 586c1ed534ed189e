"""The call of ``on_success`` or ``on_failure`` at the end of a run."""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
import logging
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from fastflow import _core
from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.base.log_ids import extra
from fastflow.base.timers import Clock, Timer
from fastflow.workflows.context import Context
from fastflow.workflows.dispatch import Home, Places

__all__ = ["HookCall"]

_LOGGER = logging.getLogger("fastflow")


class HookCall:
    """A hook that is called once; what it raises is logged.

    Parameters
    ----------
    fn : callable
        The hook.
    ctx : Context
        What it is given; its token is the hook's own.
    label : str
        The run in messages.
    places : Places
        Where it goes on if it's async.
    home : Home
        Of the run; told of what ends the program.
    done : callable
        Called when it has ended, and when it is stopped.
    """

    def __init__(
        self,
        fn: Callable[[Context], Any],
        ctx: Context,
        label: str,
        places: Places,
        home: Home,
        done: Callable[[], object],
    ) -> None:
        self._fn = fn
        self._ctx = ctx
        self._label = label
        self._places = places
        self._home = home
        self._done = done
        self._lock = threading.Lock()
        self._over = False
        self._timer: Timer | None = None
        self._future: cf.Future[Any] | None = None

    def make(self) -> None:
        """Call it here; if it's async, it goes on after this."""
        try:
            returned = self._fn(self._ctx)
            if type(returned) is CoroutineType:
                self._hold(self._places.run_coroutine(self._ended, returned))
                return
        except BaseException as error:
            _LOGGER.exception("a hook of %s failed", self._label, extra=self._ids())
            if not isinstance(error, ENDS_PROGRAM):
                self._finish()
                return
            self._home.error = error  # who waits for the end is to find it
            self._finish()
            raise
        else:
            self._finish()

    def make_apart(
        self, context: contextvars.Context, clock: Clock, seconds: float
    ) -> None:
        """Call it on a thread of its own, and stop it after so many seconds."""
        thread = _core.task_context(context).run(self._places.own_thread)
        timer = clock.call_later(seconds, self.stop)
        with self._lock:
            self._timer = timer
            over = self._over
        if over:
            timer.cancel()
        thread.post(self.make)
        thread.run_ended()

    def stop(self) -> None:
        """Wait for it no longer, if it has not ended."""
        with self._lock:
            over, future = self._over, self._future
            self._over = True  # at once: a coroutine that comes now is cancelled, too
        if not over:
            _LOGGER.warning(
                "a hook of %s is not waited for any longer", self._label,
                extra=self._ids(),
            )  # fmt: skip
            self._ctx._token.close()
            if future is not None:
                future.cancel()
        self._finish()

    def _ids(self) -> dict[str, Any]:
        return extra(self._ctx.run.id)

    def _finish(self) -> None:
        with self._lock:
            self._over = True
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._done()

    def _hold(self, future: cf.Future[Any]) -> None:
        with self._lock:
            self._future = future
            over = self._over
        if over:
            future.cancel()

    def _ended(self, future: cf.Future[Any]) -> None:
        if not future.cancelled() and future.exception() is not None:
            _LOGGER.error(
                "a hook of %s failed", self._label, exc_info=future.exception(),
                extra=self._ids(),
            )  # fmt: skip
        self._finish()
