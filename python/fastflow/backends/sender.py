"""Sends calls to other processes: short ones together, those with a limit alone.

All who use an executor share its `Sender`, so that what is under way is counted right.

**Chunks.**  Sending a call to another process and taking its result back costs some
tenths of a millisecond on both sides.  How long calls of a function take is seen from
those that have come back, in this run or an earlier one; the others leave in chunks of
about a tenth of a second, and in smaller ones towards the end, so that all processes
end at about the same time.  Only a few chunks are under way; the rest is held here,
where it can be given up.  A chunk that takes much longer than planned, or whose results
grow large, comes back early, and what was not run in it is held here again.

**Limits.**  Nobody here sees a call begin, so its time runs from when it is sent.  That
is right if a process is free then: a call with a limit leaves, alone, while fewer
chunks of ours are under way than there are processes; where such calls wait, chunks
don't leave ahead of their time, and take turns with them.  A process may have to be
started first, and import what it needs, which is not to take the call's time: until
enough of them have answered, one that does nothing goes before it.  A call whose time
is over, as a chunk that nobody awaits any more, keeps its process busy and counts for
as long as it does.  Should all processes hang like that, the time of those that wait
runs, too: else their runs might never end.

Why nothing is lost and nothing ends twice.  A call is held, or a part of one chunk, or
over; which, changes under the sender's lock only.  A chunk is opened once, when its
future has ended, or has failed as it could not be sent; each of its calls is then told,
or held again.  What a job is told with a ticket that isn't live it drops.

Why nothing stands still.  Calls leave one after another, in the order in which they
came.  Who sends is a flag, not a lock that others wait for: a thread that finds it set
leaves its work to the one that has set it, and this one takes the flag back in the same
step, under the lock, in which it finds that nothing may leave.  What lets something
leave (a launch, the end of a chunk) is noted under that lock before the flag is looked
at.

Why nothing waits for itself.  An executor may hold its locks while it sets the outcomes
of futures: a `ProcessPoolExecutor` that breaks does, from Python 3.12 on, and so do
pools of threads that are shut down.  In a future's callback, therefore, nothing is sent
and no job is told: the chunk is handed to a thread of the sender's own, which is there
as long as anything is under way.  And an executor that is broken is given nothing any
more.  No foreign code is called under the lock.
"""

from __future__ import annotations

import concurrent.futures as cf
import logging
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from fastflow.backends.lanes import Call, Chunk, Lane, Submit
from fastflow.backends.travel import BYTES, Travel
from fastflow.base.lifetime import WORKERS, in_forked_child
from fastflow.run.clocks import Where
from fastflow.run.job import Job
from fastflow.run.remote import Outcome, Run

__all__ = ["Sender", "sender_of"]

_LOGGER = logging.getLogger("fastflow")

_IDLE = 5.0  # seconds; then the thread ends if nothing is under way
_LOOK = 1.0  # seconds between two looks at how large a cluster is


class Sender:
    """What all who send calls to one executor have in common.

    It does not refer to the executor, except while calls are on their way.

    Parameters
    ----------
    travel : Travel
        How calls travel.
    capacity : int, optional
        How many run at a time; None: not known, all that there is is sent.
    starts : bool
        Whether processes may be started when they are needed.
    ask : callable, optional
        Returns who can be asked, each second, how many run at a time by then; None:
        nobody any more.
    """

    def __init__(
        self,
        travel: Travel,
        capacity: int | None,
        *,
        starts: bool = False,
        ask: Callable[[], Callable[[], int] | None] | None = None,
    ) -> None:
        self._ask = ask
        self.capacity = capacity
        if ask is not None:  # a cluster without workers may get some
            self.capacity = max(capacity or 0, 1)
        self._travel = travel
        self._starts = starts
        self._lock = threading.Lock()
        self._lanes: dict[Any, Lane] = {}
        self._ready: deque[Lane] = deque()  # those that hold calls, in turn
        self._limited: OrderedDict[Call, None] = OrderedDict()  # held, with a limit
        self._under_way: set[Chunk] = set()
        self._hanging = 0
        self._lanes_turn = False  # where both wait for a process
        self._sending = False
        self._refusal: BaseException | None = None  # the executor is broken
        self._processes: set[int] = set()  # that have answered
        self._asking = 0  # whether a process is there
        self._there = 0  # answers that no call has made use of
        self._ended: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._has_thread = False

    def launch(
        self, key: Any, submit: Submit, run: Run, fn: Any, job: Job, ticket: int
    ) -> None:
        """Send an attempt as soon as it may leave; see `Lane`."""
        limited = job.attempts.timeout is not None
        with self._lock:
            refusal = self._refusal
            if refusal is None:
                lane = self._lanes.get(key)
                if lane is None:
                    lane = self._lanes[key] = Lane(
                        key, submit, run, fn, keeps=job.keeps
                    )
                lane.calls += 1
                call = Call(self, lane, job, ticket, limited=limited)
                self._hold(call)
            hopeless = self._all_hang
        if refusal is not None:
            job.raised(ticket, refusal)
            return
        job.keep(ticket, call)
        if limited and hopeless:
            job.limit(ticket, anew=False)
        self._send_all()

    def take_back(self, call: Call) -> bool:
        """Have a call not made if that can be; its job is told."""
        with self._lock:
            held = self._forget(call)
            future = None
            if not held and call.chunk is not None:
                call.taken_back = True
                future = call.chunk.unwanted()
        if held:
            call.left()
        return held or (future is not None and future.cancel())

    def give_up(self, call: Call) -> None:
        """Note that nobody waits for a call."""
        with self._lock:
            chunk = call.chunk
            if self._forget(call) or chunk is None:
                return
            call.given_up = True
            future = chunk.unwanted()
        if future is not None:
            self._drop(chunk, future)

    # Under the lock: what is held, and what is over.

    def _hold(self, call: Call, *, first: bool = False) -> None:
        lane = call.lane
        call.chunk = None
        held = self._limited if call.limited else lane.held
        if not lane.held and not call.limited:
            self._ready.append(lane)
        held[call] = None
        if first:
            held.move_to_end(call, last=False)

    def _forget(self, call: Call) -> bool:
        """Whether a call was held; it is over then."""
        lane = call.lane
        if call in self._limited:
            del self._limited[call]
        elif call in lane.held:
            del lane.held[call]
            if not lane.held:
                self._ready.remove(lane)
        else:
            return False
        self._note_over(call)
        return True

    def _note_over(self, call: Call) -> None:
        lane = call.lane
        call.chunk = None
        lane.calls -= 1
        if not lane.calls:
            del self._lanes[lane.key]

    def _put_back(self, calls: list[Call]) -> list[Call]:
        """Hold calls that were not made, first in the line; return those not wanted."""
        left = []
        for call in reversed(calls):
            if call.given_up or call.taken_back:
                left.append(call)
            else:
                self._hold(call, first=True)
        return left

    @property
    def _all_hang(self) -> bool:
        return self.capacity is not None and self._hanging >= self.capacity

    # Under the lock: what leaves next.

    def _next(self) -> Chunk | None:
        """Return what may leave now; if there is nothing, this thread sends no more."""
        with self._lock:
            if self._lanes_turn:
                chunk = self._next_of_lane() or self._next_limited()
            else:
                chunk = self._next_limited() or self._next_of_lane()
            if chunk is None:
                self._sending = False
            else:
                self._under_way.add(chunk)
            return chunk

    def _next_limited(self) -> Chunk | None:
        if not self._limited:
            return None
        busy, processes = len(self._under_way), len(self._processes)
        if self.capacity is not None and busy >= self.capacity:
            return None
        if self._starts and busy >= processes and not self._refusal:
            if not self._there:
                return self._question()
            self._there -= 1
        self._lanes_turn = True
        call = self._limited.popitem(last=False)[0]
        return Chunk(call.lane, [call], alone=True)

    def _question(self) -> Chunk | None:
        if self._asking >= len(self._limited):
            return None
        self._asking += 1
        return Chunk(next(iter(self._limited)).lane, [])

    def _next_of_lane(self) -> Chunk | None:
        if not self._ready:
            return None
        workers = self.capacity or 1
        # One that runs, and one that is there next.
        ahead = workers if self._limited else 2 * workers
        if self.capacity is not None and len(self._under_way) >= ahead:
            return None
        self._lanes_turn = False
        lane = self._ready.popleft()
        calls = lane.take(workers, self._travel.most)
        if lane.held:
            self._ready.append(lane)
        return Chunk(lane, calls)

    # Sending: one thread at a time.

    def _send_all(self) -> None:
        """Send what may leave, unless another thread does."""
        with self._lock:
            if self._sending:
                return
            self._sending = True
        try:
            while (chunk := self._next()) is not None:
                self._send(chunk)
        except BaseException:  # such as Ctrl-C, just here
            with self._lock:
                self._sending = False
            self._hand_over(None)
            self._have_thread()
            raise

    def _send(self, chunk: Chunk) -> None:
        if self._refusal is not None:
            self._fail(chunk, self._refusal)
            return
        try:
            parcels = self._pack(chunk)
            if parcels or chunk.asks:
                self._submit(chunk, parcels)
        except BaseException as error:
            self._fail(chunk, error)
            if not isinstance(error, Exception):
                raise

    def _pack(self, chunk: Chunk) -> list[Any]:
        """Pack calls until there is enough; what does not leave is over, or held."""
        parcels: list[Any] = []
        packed: list[Call] = []
        unwanted: list[Call] = []
        failed: list[tuple[Call, BaseException]] = []
        waiting, size = deque(chunk.calls), 0
        while waiting and size < BYTES:
            call = waiting.popleft()
            if not call.wanted or call.taken_back:
                unwanted.append(call)
                continue
            try:
                parcel = self._travel.pack(chunk.lane, call.job.remote_arguments())
            except BaseException as error:  # of the user's __reduce__
                failed.append((call, error))
                continue
            parcels.append(parcel)
            packed.append(call)
            size += len(parcel)
        with self._lock:
            chunk.calls = packed
            unwanted += self._put_back(list(waiting))
            for call in (*unwanted, *(call for call, _ in failed)):
                self._note_over(call)
            if not (packed or chunk.asks):
                self._under_way.discard(chunk)
        for call, reason in failed:
            call.failed(reason)
        for call in unwanted:
            call.left()
        return parcels

    def _submit(self, chunk: Chunk, parcels: list[Any]) -> None:
        self._have_thread()
        calls = chunk.calls
        chunk.sent = time.perf_counter()
        if chunk.asks:
            future = self._travel.ask(chunk.lane)
        else:
            future = self._travel.submit(chunk.lane, parcels, alone=chunk.alone)
        with self._lock:
            chunk.future = future
        for call in calls:  # nobody can have been told of their ends
            call.sent()
        future.add_done_callback(lambda _: self._hand_over(chunk))
        with self._lock:
            unwanted = chunk.unwanted() if calls else None
        if unwanted is not None:  # while nobody could cancel it
            self._drop(chunk, unwanted)

    def _drop(self, chunk: Chunk, future: cf.Future[Any]) -> None:
        """Cancel a chunk; if that is too late, it hangs until it comes back."""
        if future.cancel() or future.done():
            return
        with self._lock:
            if chunk in self._under_way and chunk.forgotten and not chunk.hangs:
                chunk.hangs = True
                self._hanging += 1
            waiting = list(self._limited) if self._all_hang else []
        for call in waiting:
            call.job.limit(call.ticket, anew=False)

    # What came of it.

    def _hand_over(self, chunk: Chunk | None) -> None:
        """Let the sender's own thread open a chunk, and send what may leave then.

        In whichever thread, under whichever locks: see above.
        """
        self._ended.put(chunk)

    def _have_thread(self) -> None:
        """Start the thread if need be; it stays while anything is under way."""
        with self._lock:
            if self._has_thread:
                return
            self._has_thread = True
        thread = threading.Thread(
            target=self._serve, name="fastflow-sender", daemon=True
        )
        try:
            thread.start()
        except BaseException:  # the program ends, or there are too many
            with self._lock:
                self._has_thread = False
            raise

    def _serve(self) -> None:
        while True:
            try:
                chunk = self._ended.get(timeout=_IDLE if self._ask is None else _LOOK)
            except queue.Empty:
                self._look_again()
                with self._lock:
                    if self._ended.empty() and not self._under_way:
                        self._has_thread = False
                        return
                continue
            self._handle(chunk)
            del chunk

    def _look_again(self) -> None:
        """Ask how many run at a time; more may leave then."""
        count = self._ask() if self._ask is not None else None
        if count is None:
            return
        try:
            capacity = max(count(), 1)
        except Exception as error:  # the cluster is gone: the calls will tell
            _LOGGER.debug("a cluster does not say how large it is", exc_info=error)
            return
        if capacity != self.capacity:
            self.capacity = capacity
            self._handle(None)

    def _handle(self, chunk: Chunk | None) -> None:
        try:
            if chunk is not None:
                self._open(chunk)
            self._send_all()
        except BaseException:
            _LOGGER.exception("exception while calls in other processes end")

    def _open(self, chunk: Chunk) -> None:
        future, chunk.future = chunk.future, None  # the future refers to the chunk
        assert future is not None
        if future.cancelled():
            calls = chunk.calls
            self._close(chunk, calls)
            for call in calls:
                call.left()
        elif (failed := future.exception()) is not None:
            self._fail(chunk, failed)
        elif chunk.asks:
            with self._lock:
                self._processes.add(future.result())
            self._close(chunk, [])
        else:
            try:
                outcomes, seconds, where = self._travel.opened(future.result())
            except Exception as error:
                self._fail(chunk, error)
                return
            self._tell(chunk, outcomes, seconds, where)

    def _fail(self, chunk: Chunk, error: BaseException) -> None:
        """Tell all calls of a chunk of an error of the executor."""
        if isinstance(error, cf.BrokenExecutor):
            # Kept for long, so without the frames that have seen it.
            self._refusal = error.with_traceback(None)
        calls = chunk.calls
        self._close(chunk, calls)
        for call in calls:
            call.failed(error)

    def _tell(
        self,
        chunk: Chunk,
        outcomes: list[Outcome],
        seconds: float,
        where: Where | None,
    ) -> None:
        with self._lock:
            if self._starts:
                self._processes.add(outcomes[0].process)
            if not chunk.alone:
                chunk.lane.note(seconds / len(outcomes))
        calls = chunk.calls
        self._close(chunk, calls[: len(outcomes)])
        for call, outcome in zip(calls, outcomes, strict=False):
            call.ended(outcome, chunk.sent, where)

    def _close(self, chunk: Chunk, over: list[Call]) -> None:
        """Note that a chunk is back; those of its calls that are not over are held."""
        with self._lock:
            self._under_way.discard(chunk)
            if chunk.asks:  # if nobody has answered, a call finds out why
                self._asking -= 1
                self._there += 1
            self._hanging -= chunk.hangs
            chunk.hangs = False
            left = self._put_back(chunk.calls[len(over) :])
            for call in (*over, *left):
                self._note_over(call)
            chunk.calls = []  # the executor may keep the future, and that the chunk
        for call in left:
            call.left()


_all: WeakKeyDictionary[cf.Executor, Sender] = WeakKeyDictionary()
_lock = threading.Lock()


def _start_over() -> None:
    global _all, _lock
    _all, _lock = WeakKeyDictionary(), threading.Lock()


in_forked_child(WORKERS, _start_over)


def sender_of(executor: cf.Executor, make: Callable[[], Sender]) -> Sender:
    """Return the sender of an executor; ``make()`` it for whoever asks first."""
    with _lock:
        try:
            found = _all.get(executor)
            if found is None:
                found = _all[executor] = make()
        except TypeError:  # it can't be a key: each run counts for itself
            found = make()
        return found
