"""Any executor, and everything that waits: a run driven by events."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

from fastflow.engines.base import UNFINISHED, Run, check_loop
from fastflow.engines.driver import Driver, Job
from fastflow.engines.pools import pool_for
from fastflow.errors import TaskTimeout
from fastflow.interrupts import ENDS_PROGRAM
from fastflow.progress import Monitor
from fastflow.timers import Clock, system_clock

__all__ = ["run_events"]

_WINDOW = 10_000  # items of one task that are under way at most


def run_events(
    run: Run,
    executor: concurrent.futures.Executor,
    *,
    one_at_a_time: bool = False,
    clock: Clock = system_clock,
) -> None:
    """Run the tasks on an executor; see `fastflow.engines.base.Engine`."""
    check_loop(run.plan.name, (node.task for node in run.plan.kinds))
    pool = pool_for(executor, limited=run.options.timeout is not None)
    limit = 1 if one_at_a_time else run.options.max_workers
    driver = Driver(pool, limit, limit_async=one_at_a_time, clock=clock)
    if driver.sends_at_once and any(node.task.timeout for node in run.plan.kinds):
        # The time of a task begins when it is submitted: so submit no more than run.
        workers = getattr(executor, "_max_workers", None) or 1
        driver.limit = min(limit or workers, workers)
    timer = None
    flow = _Flow(run, driver, sees_starts=not pool.remote)
    if run.options.timeout is not None:
        timer = clock.call_later(run.options.timeout, driver.post, flow.expire)
    try:
        with Monitor(run.options.progress, run, len(run.plan.names), run.plan.name):
            flow.start()
            driver.run(flow.finished)
    except BaseException:
        driver.abandon()  # Ctrl-C: what is queued must not start
        raise
    finally:
        if timer is not None:
            timer.cancel()


class _Items:
    """A task that is run item by item."""

    __slots__ = ("errors", "items", "left", "next", "stopped", "values")

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.values: list[Any] = [UNFINISHED] * len(items)
        self.errors: dict[int, BaseException] = {}
        self.next = 0
        self.left = len(items)
        self.stopped = False


class _Flow:
    """Which tasks are ready; all in the driver's thread."""

    def __init__(self, run: Run, driver: Driver, *, sees_starts: bool) -> None:
        self.run = run
        self.driver = driver
        self.sees_starts = sees_starts
        self.missing = run.plan.parents.sizes()
        self.open: dict[int, Job | _Items] = {}  # tasks that have begun and not ended
        self.stopping = False

    def finished(self) -> bool:
        return not self.open

    def start(self) -> None:
        self.begin([i for i, count in enumerate(self.missing) if not count])

    def begin(self, ready: list[int]) -> None:
        """Begin tasks, and what becomes ready because some have nothing to do."""
        for number in ready:  # grows while it is read
            if self.stopping:
                return
            try:
                if self.run.plan.nodes[number].each >= 0:
                    if self.begin_items(number):
                        ready += self.run.spread(number, self.missing)
                else:
                    args, kwargs = self.run.arguments(number)
                    task = self.run.plan.nodes[number].task
                    job = Job(task, args, kwargs, self.ended, number)
                    self.open[number] = job
                    self.driver.launch(job)
            except ENDS_PROGRAM:
                raise
            except BaseException as error:
                self.mark_instant(number)
                self.failed(number, error)

    def mark_instant(self, number: int) -> None:
        track = self.run.track
        track.starts[number] = track.ends[number] = time.perf_counter()
        track.attempts[number] = 0

    def ended(self, job: Job) -> None:
        """Take the result of a task."""
        number = job.tag
        del self.open[number]
        if job.dropped:
            return
        self.note(number, job)
        error = job.error
        if error is None:
            try:
                self.run.complete(number, job.value)
            except ENDS_PROGRAM:
                raise
            except BaseException as raised:  # by an iterator
                error = raised
        if error is not None:
            self.failed(number, error)
        else:
            self.begin(self.run.spread(number, self.missing))

    def note(self, number: int, job: Job) -> None:
        """Write down when and where a job ran; for items, the earliest and latest."""
        track = self.run.track
        if not track.starts[number] or job.start < track.starts[number]:
            track.starts[number] = job.start
        track.ends[number] = max(track.ends[number], job.end)
        track.workers[number] = job.worker
        item = self.run.plan.nodes[number].each >= 0
        track.note_attempts(number, job.attempts, item=item)

    def failed(self, number: int, error: BaseException) -> None:
        self.run.fail(number, error)
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        if not self.run.options.keep_going and not self.stopping:
            self.stopping = True
            self.driver.cancel_queued()

    # Tasks that are run item by item.

    def begin_items(self, number: int) -> bool:
        """Begin such a task; True if there is nothing to do."""
        items = self.run.items(number)
        if not items:
            self.mark_instant(number)
            self.run.complete(number, [])
            return True
        group = self.open[number] = _Items(items)
        most = self.run.plan.nodes[number].task.max_concurrency or _WINDOW
        for _ in range(min(most, len(items))):
            self.next_item(number, group)
        return False

    def next_item(self, number: int, group: _Items) -> None:
        if group.stopped or group.next == len(group.items):
            return
        index = group.next
        group.next += 1
        item, group.items[index] = group.items[index], None
        job = Job(
            self.run.plan.nodes[number].task, (), {}, self.item_ended, (number, index)
        )
        try:
            job.args, job.kwargs = self.run.arguments(number, item)
        except ENDS_PROGRAM:
            raise
        except BaseException as error:
            job.error = error
            self.driver.post(self.item_ended, job)
            return
        self.driver.launch(job)

    def item_ended(self, job: Job) -> None:
        number, index = job.tag
        group = self.open[number]
        assert isinstance(group, _Items)
        group.left -= 1
        if job.error is None and not job.dropped:
            group.values[index] = job.value
        if job.start and not job.dropped:
            self.note(number, job)
        if job.error is not None:
            group.errors[index] = job.error
            self.stop_if_asked()
        if self.stopping and not group.stopped:
            group.stopped = True
            group.left -= len(group.items) - group.next
        self.next_item(number, group)
        if not group.left:
            self.items_ended(number, group)

    def items_ended(self, number: int, group: _Items) -> None:
        del self.open[number]
        if group.errors:
            self.run.fail_items(number, group.errors, group.values)
            self.stop_if_asked()
        elif group.stopped and any(value is UNFINISHED for value in group.values):
            self.run.keep_items(number, group.values)
        else:
            self.run.complete(number, group.values)
            self.begin(self.run.spread(number, self.missing))

    def expire(self) -> None:
        """End the run: its time is over. What runs has failed, the rest is skipped."""
        if not self.open:
            return
        self.run.timed_out = True
        self.stopping = True
        self.driver.abandon()
        now = time.perf_counter()
        for number, job in self.open.items():
            start = self.run.track.starts[number]
            if isinstance(job, Job):
                start = job.start or (0.0 if self.sees_starts else job.submitted)
            else:
                start = start or now
                self.run.keep_items(number, job.values)
            if start:
                self.run.track.starts[number] = start
                self.run.track.ends[number] = now
                name = self.run.plan.names[number]
                self.run.fail(
                    number, TaskTimeout(f"the run's time was over while {name!r} ran")
                )
        self.open.clear()
