"""The desk of an executor: its calls, and the workers that make them.

Who has which call is native (`_core.Dispatcher`, whose header argues why nothing is
lost when a signal handler raises). Here stands what is to be done besides: starting
workers, burying them, what is asked of calls, the end.

**Signal handlers.** Each method here may be cut off between any two steps in the main
thread. What it has not come to then is seen by the next `drain`, as all is derived from
the native state: that a worker is wanted (`wants_worker`), that one has ended
(`has_dead`), that there is something for another thread (`has_left`). The helper thread
drains every now and then while there are calls (see `watch`). What takes several steps
that belong together is done by `call_undisturbed`. The count of workers that are being
started is held by an object that gives it back when it is dropped.

**Without shared memory** the channels are written in Python (`pipe`). Then only the
helper thread uses them, and everybody else rings for it.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

from fastflow import _core
from fastflow.errors import BrokenProcessesError
from fastflow.pool.future import Future
from fastflow.processes import deaths, transport
from fastflow.processes.answers import tell
from fastflow.processes.bell import Bell
from fastflow.processes.buffers import Packed
from fastflow.processes.future import ProcessFuture
from fastflow.processes.packing import Packer
from fastflow.processes.undisturbed import call_undisturbed
from fastflow.processes.workers import STOPPING, Crew, Worker

__all__ = ["Desk"]

_SHORTEST_NAP = 0.0001  # seconds
_LONGEST_NAP = 0.001
_PAUSE = 1.0  # seconds, after the system has refused a worker
# What `add` says is due.
_TAKE = 1
_START = 2

_FORKED = (
    "this executor is of the process that has forked this one; make another one here"
)


class Desk(_core.Dispatcher):
    """The calls of one executor, and its workers.

    Parameters
    ----------
    crew : Crew
    packer : Packer
    max_workers : int
    max_tasks : int, optional
        Calls that a worker makes before it is replaced.
    retry : bool
        Whether a call is made again whose worker has died.
    """

    def __init__(
        self,
        crew: Crew,
        packer: Packer,
        max_workers: int,
        max_tasks: int | None,
        *,
        retry: bool,
    ) -> None:
        self.bell = Bell()
        """Of who has the watch."""
        self.helper_bell = Bell()
        super().__init__(
            loads=pickle.loads,
            dumps=pickle.dumps,
            definitions=packer.definitions,
            graveyard=packer.shares.graveyard,
            stop=STOPPING,
            max_workers=max_workers,
            max_tasks=max_tasks or 0,
            retry=retry,
            watcher_bell=self.bell.writable,
            helper_bell=self.helper_bell.writable,
            main_thread=threading.main_thread().ident or 0,
            piped=not transport.is_native(),
        )
        self.packer = packer
        self.helper: int | None = None
        """The thread that uses channels if they are `piped`."""
        self._crew = crew
        self._start_again = 0.0  # when, after the system has refused one

    # --- calls -------------------------------------------------------------------

    def attend(self, due: int) -> None:
        """Do what `add` has said is due."""
        if due & _START:
            self.start_workers()
        if due & _TAKE:
            self.drain()

    def drain(self) -> int:
        """Take in what the workers have answered; return how many answers."""
        if self.piped and threading.get_ident() != self.helper:
            self.hurry()
            return 0
        found = self.take()
        if self.has_dead:
            call_undisturbed(self._bury)
        if self.wants_worker:
            self.start_workers()
        return found

    def hurry(self) -> None:
        """Have the helper take in answers and give what waits."""
        self.bell.ring()
        self.helper_bell.ring()

    def sealed(self, packed: Packed) -> tuple[bytes, list[tuple[int, int]]]:
        """Return a message as it can be sent, and what it refers to."""
        packed.seal(self.packer.shares)
        shares = [(share.inode, share.segment.fd) for share in packed.shares]
        return packed.message, shares

    def told(self, target: Any, message: bytes, worker: Worker) -> None:
        """Take what a worker has said besides plain values: not in the main thread."""
        tell(target, message, worker, self.break_)

    # --- workers come and go -----------------------------------------------------

    def start_workers(self) -> None:
        """Start one more process, or all if they are forked.

        Not in the main thread, where Ctrl-C may come in the middle; unless they are
        forked, which should be done where the program is: then signals are blocked
        meanwhile.
        """
        if time.monotonic() < self._start_again and self.workers:
            return
        if self._crew.is_forking:
            while self._start_worker():
                pass
        else:
            call_undisturbed(self._start_worker)

    def _start_worker(self) -> bool:
        with self.claim_start() as claim:
            if not claim.granted:
                return False
            stray: Exception | None = None
            try:
                worker = self._crew.start()
            except Exception as error:
                again = self._start_after(error)
                if again is None:
                    return False
                worker, stray = again, error
            self.attach(worker)
        if self.killed:
            worker.kill()
        if self.piped:
            self.hurry()
        else:
            self.give()
            self.bell.ring()
        if stray is not None:
            raise stray
        return True

    def _start_after(self, error: Exception) -> Worker | None:
        """Start a worker, unless the last one has failed for a reason that stays."""
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(Exception):  # it may be a signal handler's
                return self._crew.start()
        if not self.workers and self.starting == 1:
            self.break_("no worker could be started", error)
            raise error
        self._start_again = time.monotonic() + _PAUSE  # the others go on without it
        return None

    def _bury(self) -> None:
        while (found := self.take_dead()) is not None:
            deaths.bury(self, *found)

    def break_(self, why: str, error: BaseException | None) -> None:
        """Refuse all calls from now on, and those that have not ended."""
        call_undisturbed(lambda: deaths.break_(self, why, error))

    def forget(self) -> None:
        """Let go, in a forked child, of what is the program's.

        Its end of a worker's socket must be open nowhere else: the worker knows by that
        whether the program is there.
        """
        self.refusal = lambda: BrokenProcessesError(_FORKED)
        for worker in self.disown():
            worker.disown()

    # --- what is asked of calls ----------------------------------------------------

    def cancel_waiting(self) -> None:
        """Cancel all but what workers make, or are to make next."""
        call_undisturbed(self._cancel_waiting)

    def _cancel_waiting(self) -> None:
        for call in self.take_waiting():
            if isinstance(call, ProcessFuture):
                Future.cancel(call)
            else:
                call.cancel()

    def terminate(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.terminate`."""
        if self.cancel_call(call):
            return True
        self.drain()
        worker = self.worker_of(call)
        if worker is None or call.done():
            return False
        worker.kill()
        return True

    # --- the end -----------------------------------------------------------------

    def close(self, why: str) -> None:
        """Take no more calls."""
        # No lock: the collector may call this.
        if self.refusal is None:
            self.refusal = lambda: RuntimeError(f"cannot schedule new futures {why}")

    def kill(self) -> None:
        """End the workers at once; there will be no others."""
        self.killed = True
        for worker in self.workers:
            worker.kill()

    def next_end(self) -> Future[None]:
        """Return a future that is done when some call has ended."""
        bell: Future[None] = Future()
        self.add_bell(bell)
        return bell

    def stop_workers(self) -> None:
        """Have the workers end that have nothing to do, and wait for that."""
        workers = self.retire()
        for worker in workers:
            flush: Callable[[], None] | None = getattr(worker.channel, "flush", None)
            if flush is not None:
                flush()
        for worker in workers:
            worker.process.join()
            worker.close()

    def nap(self) -> float:
        """Return for how long there is enough to do that nobody need ring.

        0 if it is better to sleep until a worker rings.
        """
        seconds = self.seconds
        if seconds is None or self.unsettled <= 8 * len(self.workers):
            return 0.0
        # Until a quarter of a window is done: it is filled again when half is.
        return min(max(seconds * self.limit / 4, _SHORTEST_NAP), _LONGEST_NAP)
