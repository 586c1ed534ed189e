"""What engines do for tasks that do not simply return: they become jobs.

The native graph (`_core.CallRun`) knows which task is next and calls what the engine
has given it for each; a task that has to wait for anything (another attempt, a
coroutine, another executor) is deferred there, and lives on as a `TaskJob` until it is
settled.

Threads: a job ends in whichever thread its last event happens in.  What becomes of a
task is written down under the host's lock, unless the run has been closed before: so
nothing changes in a run that is over.  No function of the user's runs under that lock.
A job that is made while the others are being stopped is stopped by whoever made it: it
looks whether the run stops after the job is known to those who stop them.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, NamedTuple, Protocol

from fastflow import _core
from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.base.log_ids import Ids
from fastflow.base.timers import Clock
from fastflow.engines.base import UNFINISHED, Run
from fastflow.engines.items import Items
from fastflow.errors import Cancelled, TaskTimeout
from fastflow.run.attempts import Attempts
from fastflow.run.cache import reusable
from fastflow.run.events import Events
from fastflow.run.job import Backend
from fastflow.run.kept import Kept
from fastflow.run.results import COMPLETED
from fastflow.run.task import Task
from fastflow.run.task_job import JobWithKept, TaskJob

__all__ = ["Host", "Ran"]


class Ran(NamedTuple):
    """When and where a call was made, and in how many attempts."""

    began: float
    ended: float
    worker: int | str | None
    attempts: int


def _ran(job: TaskJob) -> Ran | None:
    if job.dropped:
        return None
    return Ran(job.began, job.ended, job.worker, job.attempts.count)


class UnderWay(Protocol):
    """What a host keeps of a task that has been deferred: a `TaskJob`, mostly."""

    began: float
    """By ``time.perf_counter``; 0: it hasn't."""

    def stop(self) -> object:
        """Begin nothing more."""

    def cancel(self) -> object:
        """Want nothing of it any more."""


class GraphRun(Protocol):
    """What a host wants of `_core.CallRun`."""

    @property
    def finished(self) -> bool:
        """Whether nothing comes any more."""

    def settle(self, node: int, ok: bool, /) -> None:
        """Note the end of a deferred node."""

    def post(self, unit: int, /) -> None:
        """Have a unit called."""

    def lose(self, number: int, /) -> None:
        """Wait no longer for a call."""

    def cancel(self) -> None:
        """Begin nothing more."""

    def finish(self) -> None:
        """End the run as it is."""


class _Over:
    """A graph that is run no longer: whoever is late finds nobody there."""

    finished = True

    def settle(self, node: int, ok: bool, /) -> None:
        pass

    def post(self, unit: int, /) -> None:
        pass

    lose = post

    def cancel(self) -> None:
        pass

    finish = cancel


class Host:
    """The jobs of one run.

    Parameters
    ----------
    run : Run
    backend : Backend
        Where attempts are made, but for those that a worker of the graph makes itself.
    clock : Clock
    context : contextvars.Context
        Of which each attempt has a copy.

    Attributes
    ----------
    graph : GraphRun
        To be set before it is run.
    over : BaseException or None
        What ends the program.
    """

    graph: GraphRun

    def __init__(
        self, run: Run, backend: Backend, clock: Clock, context: contextvars.Context
    ) -> None:
        self.run = run
        self.backend = backend
        self.clock = clock
        self.over: BaseException | None = None
        self.stopping = self.closed = False
        self.lock = threading.Lock()
        self._context = context
        self._events = run.options.events
        self._job_events = run.job_events
        # By the task's number, or that and the item's index.
        self._open: dict[Any, UnderWay] = {}
        self._groups: dict[int, Items] = {}

    # Tasks begin.

    def begin(self, number: int) -> object:
        """Let a task become a job; returns what the graph is to be told."""
        node = self.run.plan.nodes[number]
        try:
            if node.each >= 0:
                return self.begin_items(number)
            args, kwargs = self.run.arguments(number, as_kept=True)
        except BaseException as error:
            self.mark_instant(number)
            if self._events is not None:
                self._events.job_ended(self.run.key(number), 0, error)
            return self.refuse(number, error)
        self.start(self.new_job(number, node.task, args, kwargs))
        return _core.DEFERRED

    def refuse(self, number: int, error: BaseException) -> object:
        """Note that a task fails without a job; returns what the graph is told."""
        if isinstance(error, ENDS_PROGRAM):
            self.end_program(error)
            return _core.FAILED
        with self.lock:
            if not self.closed:
                self.run.fail(number, error)
        self.stop_if_asked()
        return _core.FAILED

    def mark_instant(self, number: int) -> None:
        """Note that a task took no time, and no attempt."""
        track = self.run.track
        track.starts[number] = track.ends[number] = time.perf_counter()
        track.attempts[number] = 0

    def new_job(
        self,
        tag: Any,
        task: Task,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        attempts: Attempts | None = None,
        context: contextvars.Context | None = None,
    ) -> TaskJob:
        """Return a job that is known to those who stop or close the run."""
        make = JobWithKept if self.run.track.kept else TaskJob
        job = make(
            task, args, kwargs, self._ended, tag,
            backend=self.backend, clock=self.clock, context=context or self._context,
            attempts=attempts,
        )  # fmt: skip
        # What is run item by item, or stored, is needed here.
        job.keeps = task.cache is None and tag not in self.run.plan.spread_out
        if self._job_events is not None:
            self._observe(job, tag)
        self.keep(tag, job)
        return job

    def _observe(self, job: TaskJob, tag: Any) -> None:
        """Have a job tell of itself; an item does to those who record only."""
        if not isinstance(tag, tuple):
            job.events, job.key = self._job_events, self.run.key(tag)
        elif self.run.spans is not None:
            job.events = self.run.spans.events()
            job.key = self.run.item_key(*tag)

    def ids_of(self, tag: Any, attempt: int) -> Ids:
        """Return what log records of a job, or a coroutine, belong to."""
        return self.run.ids(tag[0] if isinstance(tag, tuple) else tag, attempt)

    def keep(self, tag: Any, under_way: UnderWay) -> None:
        """Let those who stop or close the run know of what is under way.

        Of what they don't know, as the run is over, nothing is written down.
        """
        with self.lock:
            if not self.closed:
                self._open[tag] = under_way

    def start(self, job: TaskJob) -> None:
        """Let a job begin."""
        job.start()
        self.stop_late(job)

    def stop_late(self, job: UnderWay) -> None:
        """Stop a job that may have been made while the others were stopped."""
        if self.stopping:
            job.stop()

    def begin_items(self, number: int) -> object:
        """Begin a task that is run item by item."""
        items = self.run.items(number)
        if not items:
            self.mark_instant(number)
            self.run.complete(number, [])
            return None
        if self._events is not None:
            self._events.job_started(self.run.key(number), 1)
        group = Items(self, number, items, self._context_of_items(number))
        self.run.open_items[number] = group.values, len(items)
        with self.lock:
            self._groups[number] = group
            if self.stopping:
                group.stop()
        if group.left:
            group.pump()
        else:
            self._end_items(group)
        return _core.DEFERRED

    def _context_of_items(self, number: int) -> contextvars.Context:
        """Return the context variables of items: what is around their task is there."""
        events = self._events
        if events is None or not events.goes_around:
            return self._context
        key = self.run.key(number)

        def take() -> contextvars.Context:
            with events.around_job(key, 1):
                return contextvars.copy_context()

        return self._context.copy().run(take)

    def begin_item(self, group: Items, index: int, item: Any) -> None:
        """Begin one of them; called by the group."""
        number = group.number
        try:
            args, kwargs = self.run.arguments(number, item, as_kept=True)
        except BaseException as error:
            self.item_ended(group, index, error, None)
            return
        task = self.run.plan.nodes[number].task
        job = self.new_job((number, index), task, args, kwargs, context=group.context)
        self.start(job)

    # Tasks end.

    def _ended(self, job: TaskJob) -> None:
        error, value = job.outcome()
        if error is None and job.tag in self.run.plan.spread_out:
            try:
                value = reusable(value)
            except BaseException as raised:
                error = raised
        if isinstance(job.tag, tuple):
            number, index = job.tag
            group = self._groups.get(number)
            if group is not None:  # else the run was closed
                value = UNFINISHED if job.dropped else value
                self.item_ended(group, index, error, value, _ran(job))
        else:
            self.end_task(job.tag, error, value, _ran(job))

    def end_task(
        self, number: int, error: BaseException | None, value: Any, ran: Ran | None
    ) -> None:
        """Write down how a deferred task has ended; `ran` None: it was dropped."""
        if isinstance(error, ENDS_PROGRAM):
            self.end_program(error)
            return
        with self.lock:
            if self._open.pop(number, None) is None:
                return  # the run was closed
            if ran is not None:
                self._note(number, ran, item=False)
            if error is not None:
                self.run.fail(number, error)
            elif ran is not None:
                if type(value) is Kept:
                    self.run.note_kept(number, value)
                self.run.track.results[number] = value
                self.run.track.states[number] = COMPLETED
        self.graph.settle(number, error is None and ran is not None)
        if error is not None:
            self.stop_if_asked()

    def item_ended(
        self,
        group: Items,
        index: int,
        error: BaseException | None,
        value: Any,
        ran: Ran | None = None,
    ) -> None:
        """Write down how an item has ended, and go on with the next."""
        if isinstance(error, ENDS_PROGRAM):
            self.end_program(error)
            return
        with self.lock:
            if self.closed:
                return
            self._open.pop((group.number, index), None)
            if ran is not None:
                self._note(group.number, ran, item=True)
            if type(value) is Kept:
                self.run.note_kept(group.number, value)
            group.note(index, error, value)
        if error is not None:
            self.stop_if_asked()
        if group.left:
            group.pump()
        else:
            self._end_items(group)

    def _end_items(self, group: Items) -> None:
        number = group.number
        with self.lock:
            if self._groups.pop(number, None) is None:
                return  # somebody else has seen the end, or the run was closed
            complete = not group.errors and not group.dropped
            if complete:
                self.run.complete(number, group.values)
            else:
                self.run.fail_items(number, group.errors, group.values)
        if self._events is not None:
            self._tell_items(self._events, group)
        self.graph.settle(number, complete)

    def _tell_items(self, events: Events, group: Items) -> None:
        error: BaseException | None = None
        if group.errors:
            error = group.errors[min(group.errors)]
        elif group.dropped:
            error = Cancelled("not all of its items have begun")
        attempts = self.run.track.attempts.get(group.number, 1)
        events.job_ended(self.run.key(group.number), attempts, error)

    def _note(self, number: int, ran: Ran, *, item: bool) -> None:
        """Write down when and where it ran; for items, the earliest and latest."""
        track = self.run.track
        if not track.starts[number] or ran.began < track.starts[number]:
            track.starts[number] = ran.began
        track.ends[number] = max(track.ends[number], ran.ended)
        track.workers[number] = ran.worker
        track.note_attempts(number, ran.attempts, item=item)

    # The run ends.

    def stop_if_asked(self) -> None:
        """After a failure: begin nothing more; attempts that run are the last."""
        with self.lock:
            if self.run.options.keep_going or self.stopping:
                return
            self.stopping = True
            jobs = list(self._open.values())
            groups = list(self._groups.values())
            for group in groups:
                group.stop()
        self.graph.cancel()
        for job in jobs:
            job.stop()
        for group in groups:
            if not group.left:
                self._end_items(group)

    def leave_graph(self) -> None:
        """Forget the graph, which is over, and refers to this."""
        self.graph = _Over()

    def end_program(self, error: BaseException) -> None:
        """End the run with what is to come out of it as it is."""
        self.over = self.over or error
        self.close()

    def close(self) -> None:
        """End the run as it is, waiting for nothing."""
        with self.lock:
            self.closed = self.stopping = True
            jobs = list(self._open.values())
            self._open.clear()
            self._groups.clear()
        self.graph.finish()
        for job in jobs:
            job.cancel()

    def expire(self) -> None:
        """End the run as its time is over: what runs has failed."""
        with self.lock:
            if self.closed or self.graph.finished:
                return
            self.closed = self.stopping = self.run.timed_out = True
            self._fail_what_runs()
        self.close()

    def _fail_what_runs(self) -> None:
        track, now = self.run.track, time.perf_counter()
        running = []
        for tag, job in self._open.items():
            if job.began and not isinstance(tag, tuple):
                track.starts[tag] = job.began
                running.append(tag)
        for number, group in self._groups.items():
            self.run.keep_items(number, group.values)
            track.starts[number] = track.starts[number] or now
            running.append(number)
        for number in running:
            track.ends[number] = now
            name = self.run.plan.names[number]
            self.run.fail(
                number, TaskTimeout(f"the run's time was over while {name!r} ran")
            )
