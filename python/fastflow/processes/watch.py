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
futures, changes under one lock. And answers may be taken in by a thread that has not
the watch (one that submits does so now and then): such a thread sets the futures, then
looks whether the watcher sleeps, and rings; the watcher says that it sleeps, then looks
at its future. So either finds what the other has done.
"""

from __future__ import annotations

import contextlib
import os
import select
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

__all__ = ["Watch"]

_TICK = 0.01  # seconds
_CALLBACKS = 1.0  # seconds, after which callbacks may have to wait for a tick
_UNEVEN = 0.005  # seconds, after which one looks again whether to take calls back


class Watch:
    """The watch over the workers of a desk, and the helper."""

    def __init__(self, desk: Desk, idle_timeout: float | None) -> None:
        self._desk = desk
        # A signal handler that submits may have interrupted who has it.
        self._lock = threading.RLock()
        self._watcher: int | None = None
        self._sleepers = 0
        self._came = 0  # waits that began while the helper had the watch
        self._served_until = 0.0  # the helper is to watch for callbacks
        self._idle_timeout = idle_timeout
        self._bell = _Bell()
        self._helper_bell = _Bell()
        self._helper: threading.Thread | None = None
        self.helper_sleeps = True
        self._closing = False
        self._ended = threading.Event()
        self._asleep = False  # who has the watch
        desk.on_change = self._bell.ring
        desk.on_settled = self._wake_watcher
        desk.on_held = self._wake_watcher

    # --- waits -------------------------------------------------------------------

    def wait_for(self, future: Future[Any], seconds: float | None) -> None:
        """Wait until a future is done, or the time is over."""
        deadline = None if seconds is None else time.monotonic() + seconds
        me = threading.get_ident()
        done = Future.done
        while True:
            self._desk.burst = 0
            self._desk.drain()
            if done(future):
                return
            if self._desk.forked:
                raise RuntimeError(
                    "this future is of the process that has forked this one; here "
                    "nobody ends it"
                )
            if self._desk.is_entered():
                raise RuntimeError(
                    "an item of a map that is being pickled must not wait for a call "
                    "of the same executor"
                )
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            with self._lock:
                nested = self._watcher == me
                mine = nested or self._watcher is None
                if mine:
                    self._watcher = me
                else:
                    self._sleepers += 1
                    self._came += 1
            if mine:
                try:
                    self._watch(lambda: done(future), deadline)
                finally:
                    if not nested:
                        self._leave()
                return
            try:
                with contextlib.suppress(CancelledError, TimeoutError):
                    Future.exception(future, left)
            finally:
                with self._lock:
                    self._sleepers -= 1
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

    def _leave(self) -> None:
        with self._lock:
            self._watcher = None
            needed = self._sleepers or self._closing or self._wants_service()
        if needed:
            self._helper_bell.ring()

    def _wake_watcher(self) -> None:
        """Wake who has the watch.

        This thread may have ended what it waits for, or there is a call that only waits
        for company.
        """
        if self._asleep:  # so it is another thread
            self._bell.ring()

    def _sleep(self, seconds: float | None, done: Callable[[], bool]) -> None:
        self._asleep = True
        try:
            if not (done() or self._desk.holds):
                self._sleep_until_rung(seconds)
        finally:
            self._asleep = False

    def _sleep_until_rung(self, seconds: float | None) -> None:
        desk = self._desk
        uneven = desk.is_uneven
        if uneven:
            seconds = _UNEVEN if seconds is None else min(seconds, _UNEVEN)
        workers = list(desk.workers)
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
        return self._desk.cancel(call)

    def is_running(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.running`."""
        self._desk.drain()
        return self._desk.is_running(call)

    def terminate(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.terminate`."""
        return self._desk.terminate(call)

    # --- the helper ----------------------------------------------------------------

    def serve_callbacks(self) -> None:
        """See to it that futures end soon though nobody waits for them."""
        with self._lock:
            self._served_until = time.monotonic() + _CALLBACKS
            watched = self._watcher is not None
        if not watched:
            self._helper_bell.ring()

    def _wants_service(self) -> bool:
        return self._served_until > time.monotonic()

    def wake_helper(self) -> None:
        """Tell the helper that there are calls; start it."""
        with self._lock:
            self.helper_sleeps = False
            if self._helper is None:
                helper = threading.Thread(
                    target=self._help, name="fastflow-processes", daemon=True
                )
                self._helper = helper
                try:
                    helper.start()
                except RuntimeError as error:  # there are too many threads
                    self._helper = None
                    self._desk.break_("its helper thread could not be started", error)
                    raise
                return
        self._helper_bell.ring()

    def _help(self) -> None:
        desk = self._desk
        seen = -1
        try:
            while True:
                active = bool(desk.unsettled > 0 or desk.settling)
                if not active and self._closing:
                    return
                with self._lock:
                    stale = desk.drains == seen
                    due = (
                        stale
                        or self._sleepers
                        or self._closing
                        or self._wants_service()
                    )
                    mine = bool(active and due and self._watcher is None)
                    if mine:
                        self._watcher = threading.get_ident()
                        self._came = 0
                    rest = not active and stale
                    self.helper_sleeps = rest
                if mine:
                    self._serve()
                    seen = desk.drains
                    continue
                seen = desk.drains
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
        desk = self._desk
        while True:
            desk.drain()
            with self._lock:
                others = self._came and not self._sleepers and not self._closing
                if not desk.unsettled or (others and not self._wants_service()):
                    self._watcher = None
                    return
            self._sleep(None, lambda: not desk.unsettled)

    # --- the end -------------------------------------------------------------------

    def close(self, why: str = "after shutdown") -> None:
        """Take no more calls, and have the helper end when all have."""
        self._desk.close(why)
        with self._lock:
            self._closing = True
            started = self._helper is not None
        self._helper_bell.ring()
        self._bell.ring()
        if not started:
            self._ended.set()

    def forget(self) -> None:
        """Begin anew in a forked child, where the workers are somebody else's."""
        self._lock = threading.RLock()
        self._helper = None
        self.helper_sleeps = False
        self._desk.forget()

    def join(self) -> None:
        """Wait until all calls have ended; in a callback: do not wait."""
        helper = self._helper
        if threading.get_ident() in self._desk.settling:
            return
        if helper is not None and helper is not threading.current_thread():
            with _core.Blocking():
                # A join that Ctrl-C ends takes the thread for ended (Python 3.11).
                self._ended.wait()
                helper.join()


class _Bell:
    """Wakes a thread that sleeps on descriptors; ringing takes no lock."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def __del__(self) -> None:
        try:
            os.close(self._read)
            os.close(self._write)
        except (OSError, AttributeError):  # also while the interpreter ends
            return

    def fileno(self) -> int:
        return self._read

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b".")

    def silence(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def wait(self, seconds: float | None) -> bool:
        """Sleep; return whether it has rung."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        rung = poll.poll(None if seconds is None else seconds * 1000)
        self.silence()
        return bool(rung)
