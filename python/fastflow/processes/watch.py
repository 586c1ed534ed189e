"""Who sleeps until a worker answers.

One thread at a time has the *watch*: it sleeps until a worker rings, takes in what
there is, and so on. Whoever waits for a future takes the watch if nobody has it, else
sleeps until the future is set. Who leaves with the watch while others sleep like that
wakes the helper, a thread of the executor.

The helper takes the watch when nobody waits: for callbacks and asyncio at once, else
when it sees that nothing was taken in since it looked last. It looks only while there
are calls; then it sleeps until the first call that finds it asleep. When it has the
watch it keeps it, as two can't sleep on one bell, until there is nothing to do, or
until a thread that came to wait meanwhile has got its future: such threads come again.

Nobody who waits is forgotten. Whether the watch is free, and how many sleep on their
futures, is one native state (`_core.Seats`). A thread that takes a seat while somebody
has the watch counts as a sleeper from then on; who leaves looks for sleepers after the
watch is free. And answers may be taken in by a thread that has not the watch (one that
submits does so now and then): such a thread sets the futures, then looks whether the
watcher sleeps, and rings; the watcher says that it sleeps, then looks at its future. So
either finds what the other has done.

**Signal handlers** that raise can't keep a seat taken: it is a `_core.Hold`, which
gives it back when it is dropped. Nor can they silence the bells of the above, which the
dispatcher rings natively. What is skipped else (to wake the helper when one leaves) the
helper makes up for: while there are calls it looks 100 times a second. Whether it
sleeps longer is written by nobody else: a call that finds it so rings, and the next one
again, until it is awake. What the main thread has left to it, and workers that have
died, it sees to though somebody else has the watch.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from fastflow import _core
from fastflow.pool.future import Future
from fastflow.processes.desk import Desk
from fastflow.processes.future import ProcessFuture
from fastflow.processes.transport import wait_channels
from fastflow.processes.undisturbed import call_undisturbed

__all__ = ["Watch"]

_TICK = 0.01  # seconds
_CALLBACKS = 1.0  # seconds, after which callbacks may have to wait for a tick
_UNEVEN = 0.005  # seconds, after which one looks again whether to take calls back


class Watch:
    """The watch over the workers of a desk, and the helper."""

    def __init__(self, desk: Desk, idle_timeout: float | None) -> None:
        self._desk = desk
        self._bell = desk.bell
        self._helper_bell = desk.helper_bell
        self._seats = _core.Seats()
        self._came = 0  # waits that began while the helper had the watch
        self._served_until = 0.0  # the helper is to watch for callbacks
        self._idle_timeout = idle_timeout
        self._begin()

    def _begin(self) -> None:
        self._starting = threading.Lock()
        self._helper: threading.Thread | None = None
        self.helper_sleeps = True
        """Whether it is to be woken for the next call. Only the helper writes this."""
        self._closing = False
        self._ended = threading.Event()

    # --- waits -------------------------------------------------------------------

    def wait_for(self, future: Future[Any], seconds: float | None) -> None:
        """Wait until a future is done, or the time is over."""
        desk = self._desk
        deadline = None if seconds is None else time.monotonic() + seconds
        done = Future.done
        while True:
            desk.burst = 0
            desk.drain()
            if done(future):
                return
            if desk.forked:
                raise RuntimeError(
                    "this future is of the process that has forked this one; here "
                    "nobody ends it"
                )
            if desk.is_entered():
                raise RuntimeError(
                    "an item of a map that is being pickled must not wait for a call "
                    "of the same executor"
                )
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            with self._seats.take(not desk.piped, True) as seat:
                watched = seat.granted
                if watched:
                    self._watch(lambda: done(future), deadline)
                else:
                    self._came += 1
                    _sleep_on(future, left)
            if watched:
                self._has_left()
                return
            if done(future):
                return

    def _watch(self, done: Callable[[], bool], deadline: float | None) -> None:
        found = 1
        while not done():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            # Not again if nothing came of it: who has died is seen by a sleep only.
            nap = self._desk.nap() if found else 0.0
            if nap:
                with _core.Blocking():
                    time.sleep(nap)
            else:
                self._sleep(left, done)
            found = self._desk.drain()
            self._desk.burst = 0

    def _has_left(self) -> None:
        """Have somebody take the watch if it is needed."""
        if self._seats.watched:
            # This was a wait of a signal handler, within another one, whose future it
            # may have ended; or somebody was quick.
            self._bell.ring()
        elif self._seats.sleepers or self._closing or self._wants_service():
            self._helper_bell.ring()

    def _sleep(self, seconds: float | None, done: Callable[[], bool]) -> None:
        self._desk.asleep = True
        try:
            if not (done() or self._desk.holds):
                self._sleep_until_rung(seconds)
        finally:
            self._desk.asleep = False  # if this is skipped, some ring in vain

    def _sleep_until_rung(self, seconds: float | None) -> None:
        desk = self._desk
        uneven = desk.is_uneven
        if uneven:
            seconds = _UNEVEN if seconds is None else min(seconds, _UNEVEN)
        workers = desk.workers
        known = [worker for worker in workers if worker.pidfd >= 0]
        extra = [self._bell.fileno(), *(worker.pidfd for worker in known)]
        # A worker may be gone since its channel was looked up: one looks again.
        with _core.Blocking(), contextlib.suppress(OSError):
            ready = wait_channels([w.channel for w in workers], extra, seconds)
            for index in ready:
                if index > len(workers):
                    known[index - len(workers) - 1].gone = True
            if uneven and not ready:
                desk.look_closer = True
        self._bell.silence()

    # --- what futures ask the desk ---------------------------------------------------

    def cancel(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.cancel`."""
        return self._desk.cancel_call(call)

    def is_running(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.running`."""
        self._desk.drain()
        return not call.done() and self._desk.is_running(call)

    def terminate(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.terminate`."""
        return self._desk.terminate(call)

    # --- the helper ----------------------------------------------------------------

    def serve_callbacks(self) -> None:
        """See to it that futures end soon though nobody waits for them."""
        self._served_until = time.monotonic() + _CALLBACKS
        if not self._seats.watched:
            self._helper_bell.ring()

    def _wants_service(self) -> bool:
        return self._served_until > time.monotonic()

    def wake_helper(self) -> None:
        """Tell the helper that there are calls; start it."""
        if self._helper is None:
            call_undisturbed(self._start_helper)
        self._helper_bell.ring()

    def _start_helper(self) -> None:
        with self._starting:
            if self._helper is not None:
                return
            helper = threading.Thread(
                target=self._help, name="fastflow-processes", daemon=True
            )
            try:
                helper.start()
            except RuntimeError as error:  # there are too many threads
                self._desk.break_("its helper thread could not be started", error)
                raise
            self._helper = helper

    def _help(self) -> None:
        desk, seats = self._desk, self._seats
        desk.helper = threading.get_ident()
        seen = -1
        try:
            while True:
                if desk.has_left or desk.has_dead:
                    desk.drain()
                active = desk.unsettled > 0 or desk.settles
                if not active and self._closing:
                    return
                stale = desk.takes == seen
                rest = not active and stale
                self.helper_sleeps = rest
                if active and (
                    stale or seats.sleepers or self._closing or self._wants_service()
                ):
                    with seats.take(True, False) as seat:
                        served = seat.granted
                        if served:
                            self._came = 0
                            self._serve()
                    if served:
                        seen = desk.takes
                        continue
                seen = desk.takes
                if rest and desk.unsettled:  # a call came before the flag was set
                    continue
                rung = self._helper_bell.wait(self._idle_timeout if rest else _TICK)
                if rest and not rung:
                    desk.stop_workers()
        except BaseException as error:  # nobody else would end what is pending
            desk.break_("its helper thread failed", error)
            raise
        finally:
            desk.stop_workers()
            self._ended.set()

    def _serve(self) -> None:
        """Have the watch until there is nothing to do, or somebody else may have it."""
        desk, seats = self._desk, self._seats
        while True:
            desk.drain()
            others = self._came and not seats.sleepers and not self._closing
            if not desk.unsettled or (others and not self._wants_service()):
                return
            self._sleep(None, lambda: not desk.unsettled or desk.has_left)

    # --- the end -------------------------------------------------------------------

    def close(self, why: str = "after shutdown") -> None:
        """Take no more calls, and have the helper end when all have."""
        desk = self._desk
        desk.close(why)
        self._closing = True
        if self._helper is None and not desk.forked:
            if desk.unsettled or desk.workers or desk.starting:
                # A signal handler has kept `submit` from that; or it can't be.
                with contextlib.suppress(RuntimeError):
                    self.wake_helper()
            if self._helper is None:
                self._ended.set()
        self._helper_bell.ring()
        self._bell.ring()

    def forget(self) -> None:
        """Begin anew in a forked child, where the workers are somebody else's."""
        self._begin()
        self._seats = _core.Seats()
        self.helper_sleeps = False
        self._desk.forget()

    def join(self) -> None:
        """Wait until all calls have ended; in a callback: do not wait."""
        helper = self._helper
        if self._desk.is_settling():
            return
        if helper is not None and helper is not threading.current_thread():
            with _core.Blocking():
                # A join that Ctrl-C ends takes the thread for ended (Python 3.11).
                self._ended.wait()
                helper.join()


def _sleep_on(future: Future[Any], seconds: float | None) -> None:
    """Sleep until the future is set, or the time is over."""
    end = None if seconds is None else time.monotonic() + seconds
    try:
        Future.exception(future, seconds)
    except CancelledError:
        if not future.done():  # it is a signal handler's
            raise
    except TimeoutError:
        if end is None or time.monotonic() < end:
            raise
