"""Short attempts go to other processes several at a time, in one parcel.

Sending a call to another process and taking its result back costs some tenths of a
millisecond on both sides. How long calls of a task take is seen from those that have
come back, in this run or an earlier one; the others leave in parcels of about
`_SECONDS`, and in smaller ones towards the end, so that all processes end at about the
same time. Only a few parcels are under way; the rest stays here, where it can be given
up. A parcel that takes much longer than planned, or whose results grow large, comes
back early, and what was not run in it is held here again.

Each call is packed by itself: one that can't be pickled, either way, or that fails,
leaves its neighbours alone. All this happens in the driver's thread.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from fastflow.engines.remote import Unpacked, pack, run_parcel, threads_of
from fastflow.tasks import Task

if TYPE_CHECKING:
    from fastflow.engines.driver import Job

__all__ = ["Outcome", "Parcels", "held", "parcels_for"]

_SECONDS = 0.1
_OVERDUE = 2 * _SECONDS  # then a parcel comes back
_BYTES = 1 << 20  # of arguments, or of results, in one parcel, about
_MANY = 4096  # calls in one parcel

_usual: WeakKeyDictionary[Task, float] = WeakKeyDictionary()
"""What a call took, by task; for the next run."""


class Outcome(Protocol):
    """How an attempt ended: a future that is done, or what is like one."""

    def cancelled(self) -> bool:
        """Whether it never began."""

    def exception(self) -> BaseException | None:
        """What it raised."""

    def result(self) -> Any:
        """What `run_remotely` returned."""


class _NeverBegan:
    """What came of a call that is given up."""

    def cancelled(self) -> bool:
        return True

    def exception(self) -> None:
        return None

    def result(self) -> None:
        return None


class _Lane:
    """The attempts of one function that have not left."""

    __slots__ = ("fn", "held", "queued", "seconds", "task")

    def __init__(self, fn: Callable[..., Any], task: Task) -> None:
        self.fn = fn
        self.task = task
        self.held: deque[tuple[Job, int]] = deque()
        self.queued = False
        self.seconds = _usual.get(task, 0.0)
        """What a call takes; 0 as long as that is not known."""

    def note(self, seconds: float) -> None:
        """Learn from calls that came back; quickly that they are long."""
        seconds = max(seconds, 1e-7)
        usual = (self.seconds + seconds) / 2 if self.seconds else seconds
        self.seconds = _usual[self.task] = max(usual, seconds)

    def full(self) -> int:
        """Return how many calls should leave together as long as there are many."""
        if not self.seconds:
            return 1
        return max(min(int(_SECONDS / self.seconds), _MANY), 1)

    def fills(self, workers: int) -> bool:
        """Whether more calls would not make the next parcel larger."""
        full = self.full()
        return full == 1 or len(self.held) >= full * workers

    def count(self, workers: int) -> int:
        """Return how many calls should leave together now."""
        return max(min(len(self.held) // workers, self.full()), 1)


class Parcels:
    """Attempts on their way to other processes.

    Parameters
    ----------
    executor : concurrent.futures.ProcessPoolExecutor
    post : callable
        Has a function called in the driver's thread, later.
    ended : callable
        Called with job, attempt and `Outcome`.
    failed : callable
        Called with job, attempt and the error that kept it from leaving.
    """

    def __init__(
        self,
        executor: concurrent.futures.ProcessPoolExecutor,
        post: Callable[..., object],
        ended: Callable[[Job, int, Outcome], object],
        failed: Callable[[Job, int, BaseException], object],
    ) -> None:
        self._submit = executor.submit
        self._threads = threads_of(executor)
        self._post = post
        self._ended = ended
        self._failed = failed
        self._workers: int = getattr(executor, "_max_workers", None) or 1
        self._reserved = 0
        self._ahead = 2  # one that runs, one that is there next
        self._lanes: dict[int, _Lane] = {}
        self._ready: deque[_Lane] = deque()
        self._under_way: set[concurrent.futures.Future[Any]] = set()
        self._stopping = False

    def add(self, job: Job, attempt: int) -> None:
        """Hold an attempt until `ship`; unless a process is idle and waiting no use."""
        fn = job.task.reference or job.task.fn
        lane = self._lanes.get(id(fn))
        if lane is None:
            lane = self._lanes[id(fn)] = _Lane(fn, job.task)
        lane.held.append((job, attempt))
        self._hold(lane, job)
        idle = self._workers - self._reserved - len(self._under_way)
        if idle > 0 and lane.fills(self._workers):
            self._send_next()

    def _hold(self, lane: _Lane, job: Job) -> None:
        job.submitted = 0.0
        job.cancel = held
        if not lane.queued:
            lane.queued = True
            self._ready.append(lane)

    def ship(self) -> None:
        """Send what may leave now."""
        most = self._ahead * self._workers - self._reserved
        while self._ready and len(self._under_way) < most:
            self._send_next()

    @property
    def under_way(self) -> int:
        """How many parcels have not come back."""
        return len(self._under_way)

    def reserve(self, processes: int, *, urgent: bool) -> None:
        """Leave so many processes to others; `urgent` if these wait for one."""
        self._reserved = processes
        self._ahead = 1 if urgent else 2

    def stop(self) -> None:
        """From now on give up what comes back without having been run."""
        self._stopping = True

    def abandon(self) -> None:
        """Forget what has not left, and stop what has not begun."""
        self._lanes.clear()
        self._ready.clear()
        for future in list(self._under_way):
            future.cancel()

    def _send_next(self) -> None:
        lane = self._ready.popleft()
        self._send(lane, lane.count(self._workers))
        lane.queued = bool(lane.held)
        if lane.queued:
            self._ready.append(lane)

    def _send(self, lane: _Lane, count: int) -> None:
        together: list[tuple[Job, int]] = []
        packed: list[bytes] = []
        size = 0
        while lane.held and len(together) < count and size < _BYTES:
            job, attempt = lane.held.popleft()
            if job.live != attempt:
                continue  # given up meanwhile
            job.submitted = time.perf_counter()
            job.cancel = None
            try:
                packed.append(pack(job.args, job.kwargs))
            except Exception as error:
                self._post(self._failed, job, attempt, error)
                continue
            size += len(packed[-1])
            together.append((job, attempt))
        if not together:
            return
        future: concurrent.futures.Future[Any]
        try:
            future = self._submit(
                run_parcel, lane.fn, packed, _OVERDUE, _BYTES, self._threads
            )
        except Exception as error:  # the executor is shut down or broken
            for job, attempt in together:
                self._post(self._failed, job, attempt, error)
            return
        self._under_way.add(future)
        for job, _ in together:
            job.cancel = future.cancel
        future.add_done_callback(lambda f: self._post(self._arrived, lane, together, f))

    def _arrived(
        self,
        lane: _Lane,
        together: list[tuple[Job, int]],
        future: concurrent.futures.Future[Any],
    ) -> None:
        self._under_way.discard(future)
        outcomes: list[Any] = [future] * len(together)
        if not future.cancelled() and future.exception() is None:
            result = future.result()
            lane.note(result.seconds / len(result.packed))
            self._put_back(lane, together[len(result.packed) :])
            outcomes = [Unpacked(packed) for packed in result.packed]
        for (job, attempt), outcome in zip(together, outcomes, strict=False):
            self._ended(job, attempt, outcome)

    def _put_back(self, lane: _Lane, rest: list[tuple[Job, int]]) -> None:
        """Hold what has come back too early, first in the line."""
        for job, attempt in reversed(rest):
            if self._stopping:
                self._ended(job, attempt, _NeverBegan())
            elif job.live == attempt:
                lane.held.appendleft((job, attempt))
                self._hold(lane, job)


def held() -> bool:
    """Give up an attempt that has not left; whoever sends looks whether it is live."""
    return True


def parcels_for(
    executor: concurrent.futures.Executor,
    post: Callable[..., object],
    ended: Callable[[Job, int, Outcome], object],
    failed: Callable[[Job, int, BaseException], object],
) -> Parcels | None:
    """Return the parcels of an executor, None where calls go one by one."""
    if not isinstance(executor, concurrent.futures.ProcessPoolExecutor):
        return None
    if getattr(executor, "_max_tasks_per_child", None) is not None:
        return None  # it counts what is submitted
    return Parcels(executor, post, ended, failed)
