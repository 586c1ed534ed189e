"""First attempts at tasks with options, made by the worker of the graph that has them.

A task whose first attempt succeeds in time is as direct a call as one without options;
what follows a failure, or the end of its time, is a job's.  Called with the run and the
task's number, a `Call` of here returns the result, ``DEFERRED`` if a job has taken
over, or ``LOST`` if the call's time was over before it has returned.
"""

from __future__ import annotations

import contextvars
import itertools
import threading
import time
from typing import Any, NamedTuple

from fastflow import _core
from fastflow.backends.local import ThreadBackend
from fastflow.backends.routed import routed
from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.base.timers import Clock
from fastflow.engines.base import UNFINISHED, Run
from fastflow.engines.calls import Call, attempt_call
from fastflow.engines.coroutines import FirstCoroutine
from fastflow.engines.host import Host, Ran
from fastflow.engines.items import Items
from fastflow.engines.limits import AllLimits, Limited, Limits
from fastflow.engines.observed import observed
from fastflow.run.cache import reusable
from fastflow.run.inline import attempts_of
from fastflow.run.plan import Node
from fastflow.run.task import Task
from fastflow.run.task_job import TaskJob

__all__ = ["WorkerHost"]


class _First(NamedTuple):
    """A first attempt that may be lost."""

    called: int
    """Of the graph: a task's number, or a unit."""
    number: int
    began: float
    worker: int | str | None
    group: Items | None = None
    place: int = 0
    item: Any = None


class WorkerHost(Host):
    """Lets the workers of a graph make the first attempts.

    Units of the graph, numbers from the count of tasks on, are items.
    """

    def __init__(
        self,
        run: Run,
        backend: ThreadBackend,
        clock: Clock,
        context: contextvars.Context,
    ) -> None:
        tasks = [node.task for node in run.plan.kinds]
        super().__init__(run, routed(backend, tasks), clock, context)
        self._loop = backend.loop
        self._units: dict[int, tuple[Items, int, Any]] = {}
        self._unused = itertools.count(len(run.plan.names))
        self.limits = AllLimits(clock, self._lost)

    def call_of(self, node: Node) -> Call:
        """Return what makes the first attempt at the tasks of a kind."""
        task = node.task
        limits = self.limits.of(task.timeout)
        events = self.run.options.events
        here = task.cache is None and task.executor is None and node.each < 0
        told = events or self.run.spans
        if not here or (task.is_async and (limits or told)):
            return lambda _run, number: self.begin(number)
        attempt = attempt_call(self.run, node)
        call: Call
        if task.is_async:
            return lambda run, number: self._await(run, number, attempt)
        if limits is None:
            call = lambda run, number: self._unlimited(run, number, attempt)  # noqa: E731
        else:
            call = lambda run, number: self._limited(run, number, attempt, limits)  # noqa: E731
        return call if events is None else observed(call, events)

    def _unlimited(self, run: Run, number: int, attempt: Call) -> Any:
        try:
            return attempt(run, number)
        except ENDS_PROGRAM:
            raise
        except BaseException as error:
            return self._go_on(number, error)

    def _limited(self, run: Run, number: int, attempt: Call, limits: Limits) -> Any:
        call = limits.begin(self._first(number))
        try:
            value = attempt(run, number)
        except BaseException as error:
            if not limits.end(call):
                return _core.LOST
            if isinstance(error, ENDS_PROGRAM):
                raise
            return self._go_on(number, error)
        return value if limits.end(call) else _core.LOST

    def _await(self, run: Run, number: int, attempt: Call) -> object:
        try:
            coroutine = attempt(run, number)
        except ENDS_PROGRAM:
            raise
        except BaseException as error:
            return self._go_on(number, error)
        self._start(FirstCoroutine(self, number, coroutine, self._context))
        return _core.DEFERRED

    def _go_on(self, number: int, error: BaseException) -> object:
        """Let a job decide what follows the first attempt."""
        # Should it be the arguments that have failed, they fail again.
        args, kwargs = self.run.arguments(number)
        self._tell(self._resumed(number, self._first(number), args, kwargs), error)
        return _core.DEFERRED

    def _first(self, number: int) -> _First:
        track = self.run.track
        return _First(number, number, track.starts[number], track.workers[number])

    def _resumed(
        self, tag: Any, first: _First, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> TaskJob:
        """Return a job whose first attempt is under way."""
        task = self.run.plan.nodes[first.number].task
        attempts = attempts_of(task, begun=True)
        context = first.group.context if first.group else None
        job = self.new_job(tag, task, args, kwargs, attempts, context)
        job.began, job.worker = first.began, first.worker
        return job

    def _tell(self, job: TaskJob, error: BaseException | None) -> None:
        """Tell a job what its attempt has raised; None: its time is over."""
        self.stop_late(job)
        if error is None:
            job.expired(job.attempts.live)
        else:
            job.raised(job.attempts.live, error)
        self.stop_late(job)  # meanwhile

    def _lost(self, call: Limited) -> None:
        """Go on without a call whose time is over, in the thread of the timers."""
        first: _First = call.what
        self.graph.lose(first.called)
        self._go_on_after(first, None)

    def _go_on_after(self, first: _First, error: BaseException | None) -> None:
        """Let a job decide what follows an attempt, whose arguments could be told."""
        tag: Any = first.number
        item: tuple[Any, ...] = ()
        if first.group:
            tag, item = (first.number, first.place), (first.item,)
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        try:
            args, kwargs = self.run.arguments(first.number, *item)
        except BaseException as raised:  # it has not failed before
            error = raised
        self._tell(self._resumed(tag, first, args, kwargs), error)

    # Coroutines; see `FirstCoroutine`.

    def _start(self, first: FirstCoroutine) -> None:
        self.keep(first.tag, first)
        try:
            self._loop.start(first)
        except Exception as error:  # at interpreter shutdown
            first.refuse(error)
        self.stop_late(first)

    def coroutine_returned(self, attempt: FirstCoroutine, value: Any) -> None:
        """Write down what a task has returned."""
        ran = Ran(attempt.began, time.perf_counter(), attempt.worker, 1)
        group = attempt.group
        if group is not None:
            self.item_ended(group, attempt.tag[1], None, value, ran)
            return
        error = None
        if attempt.tag in self.run.plan.spread_out:
            try:
                value = reusable(value)
            except BaseException as raised:
                error = raised
        self.end_task(attempt.tag, error, value, ran)

    def coroutine_raised(self, attempt: FirstCoroutine, error: BaseException) -> None:
        """Let a job decide what follows."""
        with self.lock:
            if self._open.get(attempt.tag) is not attempt:
                return  # it has been told, or the run was closed
        self._go_on_after(self._first_of(attempt), error)

    def _first_of(self, attempt: FirstCoroutine) -> _First:
        began, worker, group = attempt.began, attempt.worker, attempt.group
        if group is None:
            return _First(attempt.tag, attempt.tag, began, worker)
        number, place = attempt.tag
        return _First(number, number, began, worker, group, place, attempt.item)

    def coroutine_left(self, attempt: FirstCoroutine) -> None:
        """Write down that nothing comes of it, as the run stops."""
        if attempt.group is None:
            self.end_task(attempt.tag, None, None, None)
        else:
            self.item_ended(attempt.group, attempt.tag[1], None, UNFINISHED)

    # Items.

    def begin_item(self, group: Items, index: int, item: Any) -> None:
        """See `Host`."""
        task = self.run.plan.nodes[group.number].task
        limited = task.is_async and (task.timeout is not None or self.run.spans)
        if limited or task.cache is not None or task.executor is not None:
            super().begin_item(group, index, item)
            return
        if task.is_async:
            self._await_item(task, group, index, item)
            return
        unit = next(self._unused)
        self._units[unit] = group, index, item
        try:
            self.graph.post(unit)
        except BaseException as error:  # there is no memory
            del self._units[unit]
            self.item_ended(group, index, error, None)
            return
        if self.stopping:
            self._drop(unit)

    def _await_item(self, task: Task, group: Items, index: int, item: Any) -> None:
        tag = group.number, index
        try:
            args, kwargs = self.run.arguments(group.number, item)
        except BaseException as error:
            self.item_ended(group, index, error, None)
            return
        try:
            coroutine = task.coroutine(args, kwargs)
        except BaseException as error:
            now, here = time.perf_counter(), threading.get_ident()
            first = _First(group.number, group.number, now, here, group, index, item)
            self._go_on_after(first, error)
            return
        self._start(FirstCoroutine(self, tag, coroutine, group.context, group, item))

    def _drop(self, unit: int) -> None:
        found = self._units.pop(unit, None)
        if found is not None:
            group, index, _ = found
            self.item_ended(group, index, None, UNFINISHED)

    def stop_if_asked(self) -> None:
        """See `Host`."""
        super().stop_if_asked()
        if self.stopping:
            for unit in list(self._units):
                self._drop(unit)

    def call_unit(self, unit: int) -> object:
        """Make the first attempt at an item; returns what the graph is to be told."""
        found = self._units.pop(unit, None)
        if found is None:
            return None  # dropped
        group, index, item = found
        first = _First(
            unit, group.number, time.perf_counter(), threading.get_ident(),
            group, index, item,
        )  # fmt: skip
        try:
            args, kwargs = self.run.arguments(group.number, item)
        except BaseException as error:
            self.item_ended(group, index, error, None)
            return None
        return self._attempt_item(first, group, args, kwargs)

    def _attempt_item(
        self, first: _First, group: Items, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> object:
        task = self.run.plan.nodes[first.number].task
        limits = self.limits.of(task.timeout)
        call = error = value = None
        spans = self.run.spans
        if spans is not None:
            spans.job_started(self.run.item_key(first.number, first.place), 1, 0.0)
        try:
            call = limits and limits.begin(first)
            if self._events is None:
                value = task.attempt(args, kwargs)
            else:
                with self._events.around_job(self.run.key(first.number), 1):
                    value = task.attempt(args, kwargs)
        except BaseException as raised:
            error = raised
        if limits and call and not limits.end(call):
            return _core.LOST
        if error is None:
            ran = Ran(first.began, time.perf_counter(), first.worker, 1)
            if spans is not None:
                key = self.run.item_key(first.number, first.place)
                spans.job_ended(key, 1, 0.0, None)
            self.item_ended(group, first.place, None, value, ran)
        else:
            job = self._resumed((first.number, first.place), first, args, kwargs)
            self._tell(job, error)
        return None
