"""Attempts with a timeout in other processes.

Their time runs from when they are sent, as nobody here sees them begin. So one is sent
only when a process is free; parcels step back for those that wait. A call whose time is
over keeps its process busy, and counts for as long as it does. Should all processes
hang like that, the time of those that wait runs, too: else the run might never end.

All this happens in the driver's thread.
"""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastflow.engines.parcels import Outcome, Parcels, held
from fastflow.engines.remote import Unpacked, pack, run_parcel, threads_of

if TYPE_CHECKING:
    from fastflow.engines.driver import Job

__all__ = ["TimedCalls"]

_NO_LIMIT = 1 << 62


class TimedCalls:
    """Sends them one by one.

    Parameters
    ----------
    executor : concurrent.futures.ProcessPoolExecutor
    parcels : Parcels
        What else goes to these processes.
    post, ended, failed : callable
        As for `Parcels`.
    watch : callable
        Called with job and attempt, starts the attempt's time.
    """

    def __init__(
        self,
        executor: concurrent.futures.ProcessPoolExecutor,
        parcels: Parcels,
        post: Callable[..., object],
        ended: Callable[[Job, int, Outcome], object],
        failed: Callable[[Job, int, BaseException], object],
        watch: Callable[[Job, int], object],
    ) -> None:
        self._submit = executor.submit
        self._threads = threads_of(executor)
        self._workers: int = getattr(executor, "_max_workers", None) or 1
        self._parcels = parcels
        self._post = post
        self._ended = ended
        self._failed = failed
        self._watch = watch
        self._waiting: deque[tuple[Job, int]] = deque()
        self._under_way: set[concurrent.futures.Future[Any]] = set()
        self._hanging: set[concurrent.futures.Future[Any]] = set()

    def add(self, job: Job, attempt: int) -> None:
        """Hold an attempt until a process is free."""
        job.submitted = 0.0
        job.cancel = held
        self._waiting.append((job, attempt))
        if self._all_hang():
            self._watch(job, attempt)

    def ship(self) -> None:
        """Send what may leave now."""
        while self._waiting:
            busy = len(self._under_way) + self._parcels.under_way
            if busy >= self._workers:
                break
            job, attempt = self._waiting.popleft()
            if job.live == attempt:
                self._send(job, attempt)
        self._parcels.reserve(len(self._under_way), urgent=bool(self._waiting))

    def hangs(self, future: concurrent.futures.Future[Any]) -> None:
        """Note that a call goes on whose time is over."""
        if future in self._under_way:
            self._hanging.add(future)
            if self._all_hang():
                for waiting, attempt in self._waiting:
                    self._watch(waiting, attempt)

    def _all_hang(self) -> bool:
        return len(self._hanging) >= self._workers

    def _send(self, job: Job, attempt: int) -> None:
        if job.timer is not None:
            job.timer.cancel()
        fn = job.task.reference or job.task.fn
        try:
            packed = [pack(job.args, job.kwargs)]
            future = self._submit(
                run_parcel, fn, packed, _NO_LIMIT, _NO_LIMIT, self._threads
            )
        except Exception as error:  # of pickling; or the pool is shut down or broken
            self._post(self._failed, job, attempt, error)
            return
        job.begin_sent(future)
        self._under_way.add(future)
        self._watch(job, attempt)
        future.add_done_callback(lambda f: self._post(self._done, job, attempt, f))

    def _done(
        self, job: Job, attempt: int, future: concurrent.futures.Future[Any]
    ) -> None:
        self._under_way.discard(future)
        self._hanging.discard(future)
        outcome: Any = future
        if not future.cancelled() and future.exception() is None:
            outcome = Unpacked(future.result().packed[0])
        self._ended(job, attempt, outcome)
