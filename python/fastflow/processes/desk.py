"""Who has which call: one order of waiting calls, and a window of calls per worker.

**Company.** Short calls wait for each other, so that many are sent for one wake-up:
until they are `_TOGETHER` of work, or somebody takes in answers. Not so the first few
after a wait for a future: these are sent at once to workers that idle.

**Windows.** A worker has been sent what it makes and what it needs next: by measured
time about `_AHEAD` seconds of work, two calls at least. All else waits here. Windows
are filled again when they are half empty, so that many calls travel at a time.

**Returns.** When a worker has nothing to do and nothing waits, what another worker has
not begun is taken back and given to it: the later half of the longest window. So no
estimate has to be right.

**Answers** come from each worker in the order in which it took its calls, so the first
of its window is meant. Whoever waits for a future takes them in (`drain`), see `watch`.

**Locks.** All state is changed under one lock, in which nothing blocks. Values are
unpickled, futures set and processes started outside of it. Pickling the items of a map
and the collector may call foreign code inside, in this thread; the lock can be taken
again by it, and what it finds is that somebody is at work (`_inside`): then it adds its
call to the order and leaves the rest to them.

**Deaths.** What a dead worker had begun, one call, fails or is made again (`retry`).
The others of its window go back to the head of the order.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from fastflow.errors import (
    BrokenProcessesError,
    WorkerDiedError,
)
from fastflow.pool.future import Future
from fastflow.processes import messages, place
from fastflow.processes.answers import settle
from fastflow.processes.chunks import MapRun
from fastflow.processes.future import ProcessFuture
from fastflow.processes.messages import PICKLE, read_note
from fastflow.processes.packing import Packer
from fastflow.processes.workers import Crew, Worker, call_undisturbed, ending_of

__all__ = ["Desk"]

_AHEAD = 0.004  # seconds of work in a window
_TOGETHER = 0.0001  # seconds of work
_MOST_TOGETHER = 64  # calls
_ALONE = 4  # calls
_SHORTEST_NAP = 0.0001  # seconds
_LONGEST_NAP = 0.001
_MOST_AHEAD = 2048  # calls in a window
_DRAIN_EVERY = 64  # calls submitted
# Deaths in a row before a worker was ready, which break the pool: by itself, or by a
# signal, which may be somebody else's.
_EXITS = 3
_KILLS = 15
_PAUSE = 1.0  # seconds
_TRIES = 3  # of a call whose workers die

_UNGUARDED = (
    "a worker imports the script that is run, and this starts workers again; put what "
    "is to run once under: if __name__ == '__main__':"
)
_FORKED = (
    "this executor is of the process that has forked this one; make another one here"
)
_CANCELLED = object()


class Desk:
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
        self.lock = threading.RLock()
        self.packer = packer
        self.max_workers = max_workers
        self.workers: list[Worker] = []
        self.waiting: deque[Any] = deque()
        """Futures, chunks that were sent back, and maps that have more chunks."""
        self.unsettled = 0
        """Futures and chunks that have no answer, and maps that wait."""
        self.settling: list[int] = []
        """Threads that are about to set futures."""
        self.refusal: Callable[[], Exception] | None = None
        """Why no more calls are taken."""
        self.drains = 0
        self.forked = False
        self.on_change: Callable[[], None] = lambda: None
        """Called when there are other workers than before."""
        self.on_settled: Callable[[], None] = lambda: None
        """Called when calls have been ended."""
        self.on_held: Callable[[], None] = lambda: None
        """Called when a call waits for company though a worker idles."""
        self.killed = False
        self._crew = crew
        self._max_tasks = max_tasks
        self._retry = retry
        self._inside = False
        self._idle: dict[Worker, None] = {}  # in order; windows are empty
        self._room = True
        self._turn = 0
        self._starting = 0
        self._growing = True  # there may be more workers
        self._start_again = 0.0  # when, after the system has refused one
        self._seconds: float | None = None  # that a call takes
        self._limit = 2
        self._together = 1
        self._hold = 1  # calls that wait for company
        self.look_closer = False
        """Whether a worker has idled for some time while others had calls."""
        self.burst = 0
        """Calls that came since somebody waited."""
        self._early_deaths = 0
        self._bells: list[Future[None]] = []

    # --- calls come --------------------------------------------------------------

    def add(self, call: Any) -> None:
        """Take a call, or a map."""
        with self.lock:
            if self.refusal is not None:
                raise self.refusal()
            self.waiting.append(call)
            self.unsettled += 1
            self.burst = burst = self.burst + 1
            if (
                burst % _DRAIN_EVERY
                and len(self.waiting) < self._hold
                and (burst > _ALONE or not self._idle)
                and not self._growing
            ) or self._inside:
                held = bool(self._idle) and len(self.waiting) == 1
                if held:
                    self.on_held()
                return
            start = self._wants_worker()
            if self._room and not start:
                self._work(self._dispatch)
        if start:
            self.start_workers()
        if burst % _DRAIN_EVERY == 0:
            self.drain()

    @property
    def holds(self) -> bool:
        """Whether calls wait that could be given to a worker."""
        return bool(self.waiting and self._idle and self._room)

    def is_entered(self) -> bool:
        """Return whether this thread is at work here, and was called from within."""
        with self.lock:
            return self._inside

    def _work(self, action: Callable[..., None], *args: Any) -> None:
        """Do something under the lock, which no foreign code may disturb."""
        self._inside = True
        try:
            action(*args)
        finally:
            self._inside = False

    def _dispatch(self) -> None:
        """Give what waits to those that have room."""
        waiting = self.waiting
        if not self.workers:
            return
        while waiting:
            worker = self._next_worker()
            if worker is None:
                self._room = False
                return
            first = waiting[0]
            if type(first) is MapRun:
                self._give_chunks(worker, first)
            else:
                self._give_calls(worker)
        self._room = True
        # Who has twice as much to do can wait for them.
        least = min(len(worker.window) for worker in self.workers)
        self._hold = min(max(self._together, least // 2), _MOST_TOGETHER)

    def _next_worker(self) -> Worker | None:
        """Return a worker that has nothing to do, or else one with room."""
        while self._idle:
            worker, _ = self._idle.popitem()
            if not worker.retiring:
                return worker
        workers = self.workers
        count = len(workers)
        low = self._limit // 2
        if self.waiting and type(self.waiting[0]) is MapRun:
            ahead = self.waiting[0].ahead
            low = ahead - self.waiting[0].together
        for _ in range(count):
            turn = self._turn = (self._turn + 1) % count
            worker = workers[turn]
            if len(worker.window) <= low and not (worker.full or worker.retiring):
                return worker
        return None

    def _give_calls(self, worker: Worker) -> None:
        waiting = self.waiting
        count = self._limit - len(worker.window)
        if self._max_tasks is not None:
            count = min(count, self._max_tasks - worker.assigned)
        share = max(len(waiting) // len(self.workers), self._together)
        count = max(1, min(count, share))
        calls: list[Any] = []
        for _ in range(min(count, len(waiting))):
            call = waiting.popleft()
            if type(call) is MapRun:
                waiting.appendleft(call)
                break
            if call._worker is None:  # else it was cancelled
                calls.append(call)
        self._give(worker, calls)

    def _give_chunks(self, worker: Worker, run: MapRun) -> None:
        chunks: list[Any] = []
        for _ in range(max(1, min(run.together, run.ahead - len(worker.window)))):
            chunk = None if run.is_exhausted else run.next_chunk()
            if chunk is not None:
                chunks.append(chunk)
            if run.is_exhausted:
                self.waiting.popleft()
                self.unsettled -= 1
                break
        self.unsettled += len(chunks)
        self._give(worker, chunks)

    def _give(self, worker: Worker, calls: list[Any]) -> None:
        graveyard = self.packer.shares.graveyard
        if graveyard:
            dead = [graveyard.popleft() for _ in range(len(graveyard))]
            for each in self.workers:
                each.forget(dead)
        given = worker.give(calls, self.packer.pickled) if calls else 0
        if given:
            self._idle.pop(worker, None)
        self.waiting.extendleft(reversed(calls[given:]))
        if not worker.window and not worker.full:
            self._idle[worker] = None
        if self._max_tasks is not None and worker.assigned >= self._max_tasks:
            worker.stop()

    # --- answers come ------------------------------------------------------------

    def drain(self) -> int:
        """Take in what the workers have answered; return how many answers."""
        settled: list[tuple[Any, bytes]] = []
        told: list[tuple[Any, bytes]] = []
        dead: list[Worker] = []
        me = threading.get_ident()
        with self.lock:
            if self._inside:
                return 0
            self._work(self._take_in, settled, told, dead)
            self.drains += 1
            self.settling.append(me)
        try:
            for worker in dead:
                self._bury(worker)
            settle(settled, told, self.break_)
        finally:
            with self.lock:
                self.settling.remove(me)
                bells, self._bells = (
                    (self._bells, []) if settled or told else ([], self._bells)
                )
        for bell in bells:
            bell.set_result(None)
        if settled or told or dead:
            self.on_settled()
        if self._wants_worker():
            self.start_workers()
        return len(settled)

    def _take_in(
        self,
        settled: list[tuple[Any, bytes]],
        told: list[tuple[Any, bytes]],
        dead: list[Worker],
    ) -> None:
        for worker in self.workers:
            received = worker.channel.receive_many(512)
            if received:
                self._match(worker, received, settled, told)
            elif worker.gone or worker.channel.closed_by_peer:
                dead.append(worker)
            if worker.full and not worker.window:  # what had no room may have it now
                worker.full = False
                self._idle[worker] = None
                self._room = True
        for worker in dead:
            self.workers.remove(worker)
            self._idle.pop(worker, None)
        if self.waiting:
            if self._room:
                self._dispatch()
        elif self._idle:
            self._rebalance()

    def _match(
        self,
        worker: Worker,
        received: list[bytes],
        settled: list[tuple[Any, bytes]],
        told: list[tuple[Any, bytes]],
    ) -> None:
        window = worker.window
        count = 0
        for message in received:
            kind = message[0]
            if kind == PICKLE:
                settled.append((window.popleft(), message))
                count += 1
            elif kind in (messages.FAILED, messages.SHARED):
                told.append((window.popleft(), message))
                count += 1
            else:
                self._note(worker, kind, message, told)
        worker.made += count
        self.unsettled -= count
        worker.full = False
        self._room = True
        if not window and not worker.retiring:
            self._idle[worker] = None

    def _note(
        self, worker: Worker, kind: int, message: bytes, told: list[tuple[Any, bytes]]
    ) -> None:
        if kind == messages.TIMES:
            count, seconds = read_note(message)
            self._learn(seconds / count)
        elif kind == messages.READY:
            worker.ready = True
            self._early_deaths = 0
        elif kind == messages.GIVEN_BACK:
            (count,) = read_note(message)
            with contextlib.suppress(Exception):
                self.waiting.appendleft(worker.window[0].give_back(count))
                self.unsettled += 1
        elif kind == messages.RETIRES:
            self._retire(worker)
        elif kind == messages.STARTED:
            told.append((worker.window[0], message))
        else:
            told.append((worker, message))

    def _learn(self, seconds: float) -> None:
        before = self._seconds
        self._seconds = seconds if before is None else (before + seconds) / 2
        self._limit = min(max(int(_AHEAD / self._seconds), 2), _MOST_AHEAD)
        self._together = min(max(int(_TOGETHER / self._seconds), 1), _MOST_TOGETHER)

    # --- calls go elsewhere --------------------------------------------------------

    def _rebalance(self) -> None:
        """Take back for the idle what others have not begun.

        Not if it should be done in no time; unless it isn't done some time later.
        """
        least = 2
        if self._seconds is not None and not self.look_closer:
            least = max(least, int(_TOGETHER / self._seconds))
        self.look_closer = False
        while self._idle:
            victim = max(self.workers, key=lambda worker: len(worker.window))
            most = len(victim.window)
            if most < least:
                return
            taken = self._recall(victim, most // 2)
            if not taken:
                return
            self.waiting.extendleft(taken)
            self._dispatch()
            if self.waiting:
                return

    def _recall(self, worker: Worker, count: int) -> list[Any]:
        """Take back the last calls of a window; the last comes first."""
        taken: list[Any] = []
        window, recall = worker.window, worker.channel.recall
        while len(taken) < count and recall(window[-1]._ticket):
            call = window.pop()
            call._worker = None
            taken.append(call)
        worker.assigned -= len(taken)
        return taken

    @property
    def is_uneven(self) -> bool:
        """Whether a worker idles while others may have more than they make."""
        return bool(self._idle) and any(len(w.window) > 1 for w in self.workers)

    def _retire(self, worker: Worker) -> None:
        self.waiting.extendleft(self._recall(worker, len(worker.window)))
        worker.stop()

    # --- workers come and go -----------------------------------------------------

    def _wants_worker(self) -> bool:
        self._growing = len(self.workers) + self._starting < self.max_workers
        if not self._growing or self._idle or self.forked or self.killed:
            return False
        if self.workers and time.monotonic() < self._start_again:
            return False
        # Those behind a call that may be long wait, too: `_rebalance` takes them back.
        return bool(self.waiting) or any(len(w.window) > 1 for w in self.workers)

    def start_workers(self) -> None:
        """Start one more process, or all if they are forked.

        Not in the main thread, where Ctrl-C may come in the middle; unless they are
        forked, for which there should be few threads.
        """
        if self._crew.is_forking:
            self._start_workers()
        else:
            call_undisturbed(self._start_workers)

    def _start_workers(self) -> None:
        while True:
            with self.lock:
                if not self._wants_worker():
                    return
                self._starting += 1
            try:
                worker = self._crew.start()
            except BaseException as error:
                with self.lock:
                    self._starting -= 1
                    alone = not self.workers and not self._starting
                if alone:
                    self.break_("no worker could be started", error)
                elif isinstance(error, Exception):  # the others go on without it
                    self._start_again = time.monotonic() + _PAUSE
                    return
                raise
            with self.lock:
                self._starting -= 1
                self.workers.append(worker)
                self._idle[worker] = None
                self._room = True
                if self.killed:
                    worker.kill()
                elif not self._inside:
                    self._work(self._dispatch)
            self.on_change()
            if not self._crew.is_forking:
                return

    def _bury(self, worker: Worker) -> None:
        """Settle what becomes of the calls of a worker that has ended."""
        begun: list[Any] = []
        with self.lock:
            window = worker.window
            count = sum(worker.begun(call) for call in window)  # the first ones
            begun.extend(window.popleft() for _ in range(count))
            if self._retry and not self.killed:
                for call in begun:
                    call._tries += 1
                back = [call for call in begun if call._tries < _TRIES]
                begun = [call for call in begun if call not in back]
                window.extendleft(reversed(back))
            for call in window:
                call._worker = None
            self.waiting.extendleft(reversed(window))
            window.clear()
            self.unsettled -= len(begun)
            self._room = True
        pid = worker.process.pid
        code, ending = ending_of(worker.process)
        worker.close()
        if not (worker.ready or worker.killed or worker.retiring):
            self._early_deaths += _KILLS if code >= 0 else _EXITS
        for call in begun:
            call._packed = None
            what = self.packer.name_of(call._number)
            text = f"the process {pid} that ran {what} {ending}"
            text += f"; it had made {worker.made} calls"
            call.set_exception(WorkerDiedError(text))
        if self.killed:
            self.cancel_waiting()
        if code == place.NO_GUARD:
            self.break_(_UNGUARDED, None)
        elif self._early_deaths >= _EXITS * _KILLS:
            self.break_(f"workers end before they are ready: the last {ending}", None)
        self.on_change()

    def break_(self, why: str, error: BaseException | None) -> None:
        """Refuse all calls from now on, and those that have not ended."""

        def broken() -> Exception:
            made = BrokenProcessesError(why)
            made.__cause__ = error
            return made

        with self.lock:
            self.refusal = broken
            calls = list(self.waiting)
            self.waiting.clear()
            for worker in self.workers:
                calls.extend(worker.window)
                worker.window.clear()
                worker.kill()
            self.unsettled = 0
        for call in calls:
            if type(call) is MapRun:
                call.fail(broken())
            elif call._worker is not _CANCELLED:
                call.set_exception(broken())
        self.on_change()

    def forget(self) -> None:
        """Let go, in a forked child, of what is the program's.

        Its end of a worker's socket must be open nowhere else: the worker knows by that
        whether the program is there.
        """
        self.lock = threading.RLock()
        self.forked = True
        self.refusal = lambda: BrokenProcessesError(_FORKED)
        workers, self.workers = self.workers, []
        for worker in workers:
            worker.disown()

    # --- what is asked of a call ---------------------------------------------------

    def is_running(self, call: Any) -> bool:
        """Return whether a worker has begun the call."""
        with self.lock:
            worker = call._worker
            if worker is None or worker is _CANCELLED or call.done():
                return False
            return bool(worker.window) and worker.begun(call)

    def cancel(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.cancel`."""
        with self.lock:
            worker = call._worker
            if worker is _CANCELLED:
                return True
            if worker is not None:
                if call not in worker.window or not worker.channel.recall(call._ticket):
                    return False
                worker.window.remove(call)
                worker.assigned -= 1
            call._worker = _CANCELLED
            call._packed = None
            self.unsettled -= 1
        Future.cancel(call)
        Future.set_running_or_notify_cancel(call)
        return True

    def cancel_waiting(self) -> None:
        """Cancel all but what workers make, or are to make next."""
        with self.lock:
            calls = list(self.waiting)
            for worker in self.workers:
                calls.extend(self._recall(worker, len(worker.window) - 1))
            self.waiting.clear()
            calls = [call for call in calls if call._worker is not _CANCELLED]
            self.unsettled -= len(calls)
            for call in calls:
                if type(call) is not MapRun:
                    call._worker = _CANCELLED
        for call in calls:
            if isinstance(call, ProcessFuture):
                Future.cancel(call)
                Future.set_running_or_notify_cancel(call)
            else:
                call.cancel()

    def terminate(self, call: ProcessFuture[Any]) -> bool:
        """See `ProcessFuture.terminate`."""
        if self.cancel(call):
            return True
        self.drain()
        with self.lock:
            worker = call._worker
            if call.done() or worker is None or not worker.window:
                return False
            if worker.window[0] is not call:
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
        with self.lock:
            self.killed = True
            for worker in self.workers:
                worker.kill()

    def next_end(self) -> Future[None]:
        """Return a future that is done when some call has ended."""
        bell: Future[None] = Future()
        with self.lock:
            self._bells.append(bell)
            if not self.unsettled:
                self._bells.remove(bell)
                bell.set_result(None)
        return bell

    def stop_workers(self) -> None:
        """Have the workers end that have nothing to do, and wait for that."""
        with self.lock:
            if self.unsettled:
                return
            workers, self.workers = self.workers, []
            self._idle.clear()
            for worker in workers:
                worker.stop()
        for worker in workers:
            flush = getattr(worker.channel, "flush", None)
            if flush is not None:
                flush()
        for worker in workers:
            worker.process.join()
            worker.close()

    def nap(self) -> float:
        """Return for how long there is enough to do that nobody need ring.

        0 if it is better to sleep until a worker rings.
        """
        seconds = self._seconds
        if seconds is None or self.unsettled <= 8 * len(self.workers):
            return 0.0
        # Until a quarter of a window is done: it is filled again when half is.
        return min(max(seconds * self._limit / 4, _SHORTEST_NAP), _LONGEST_NAP)
