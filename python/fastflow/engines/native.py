"""The native graph engine: workers make the calls, and go on with what becomes ready.

The graph knows who is next; a worker that completes a task goes on with one that has
become ready, without a queue, a future or an event in between.  Tasks that wait for
anything are deferred; see `fastflow.engines.host`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from fastflow import _core
from fastflow.backends.local import ThreadBackend
from fastflow.base import recorders
from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.base.progress import Monitor
from fastflow.base.timers import Clock, system_clock
from fastflow.engines.base import UNFINISHED, ItemErrors, Run, check_loop
from fastflow.engines.calls import Call, item_call, make_calls
from fastflow.engines.graph import Graph
from fastflow.engines.host import Host
from fastflow.engines.workers import WorkerHost
from fastflow.pool.executor import Executor
from fastflow.pool.fanout import for_each
from fastflow.pool.named import engine_of
from fastflow.run import active
from fastflow.run.plan import FlowPlan
from fastflow.run.results import COMPLETED

__all__ = ["ALONE", "can_run", "drive", "run_native"]

_LARGE = 50_000  # edges

# What the thread that runs a graph does; see call_run.cpp.
_WAITS, _HELPS, _NEVER_HELPS, ALONE = range(4)
_KEEP_NONE = 2  # of the results: the run has them

Body = Callable[[int], object]
"""What the graph calls for each task, with its number."""


def can_run(plan: FlowPlan, max_workers: int | None, executor: Executor) -> bool:
    """Whether `max_workers` leaves all workers to the run, or is about direct calls.

    Of these as many are made as take part; but tasks that run item by item, or in
    several attempts, would need more places.
    """
    if max_workers is None or engine_of(executor, None)[1] <= max_workers:
        return True
    return plan.is_direct and not plan.spread_out


def run_native(run: Run, executor: Executor, *, clock: Clock = system_clock) -> None:
    """Run the tasks as a graph; see `fastflow.engines.base.Engine`."""
    items = _items_on(executor)
    if run.plan.is_direct:
        _run_direct(run, executor, make_calls(run, items))
        return
    check_loop(run.plan.name, [node.task for node in run.plan.kinds])
    host = WorkerHost(run, ThreadBackend(executor), clock, executor._context())
    body = _mixed_body(host, make_calls(run, items, host.call_of))
    limited = any(node.task.timeout is not None for node in run.plan.kinds)
    try:
        drive(host, executor, body, _NEVER_HELPS if limited else _caller(executor))
    finally:
        host.limits.close()


def _caller(executor: Executor) -> int:
    return _HELPS if executor._engine.caller_may_run else _WAITS


def drive(host: Host, executor: Executor, body: Body, caller: int) -> None:
    """Run the graph of a host's plan to its end."""
    run = host.run
    host.graph = graph = _new_run(run, executor, body, caller)
    try:
        _drive(run, graph, caller)
    except BaseException:
        host.close()  # Ctrl-C: what is queued must not start
        raise
    finally:
        host.leave_graph()
    if host.over is not None:
        raise host.over


def _new_run(run: Run, executor: Executor, body: Body, caller: int) -> _core.CallRun:
    most_workers = None if caller == ALONE else run.options.max_workers
    engine, most = engine_of(executor, most_workers)
    graph = _graph_of(run.plan)
    stop = not run.options.keep_going
    return _core.CallRun(
        engine=engine,
        graph=graph,
        fn=body,
        most=most,
        stop_on_error=stop,
        keep=_KEEP_NONE,
        timings=None,
    )


def _drive(run: Run, graph: _core.CallRun, caller: int) -> None:
    before = active.set_current(None)  # the calling thread takes part
    try:
        with Monitor(run.options.progress, run, len(run.plan.names), run.plan.name):
            graph.run(caller)
    finally:
        active.set_current(before)
    for number, error in graph.failures():  # not the task's: there was no memory, say
        if number not in run.track.errors:
            run.fail(number, error)


def _graph_of(plan: FlowPlan) -> Graph:
    """Return the graph of a plan, made at its first run and kept with it."""
    graph: Graph | None = plan.made.get(Graph)
    if graph is None:
        children = plan.children
        sources: Any
        targets: Any
        if len(children.items) < _LARGE:
            sources, targets = array("q"), array("q", children.items)
            for number, (first, end) in enumerate(pairwise(children.starts)):
                sources.extend([number] * (end - first))
        else:  # faster, but to load it takes longer than a small flow
            import numpy as np

            sources = np.repeat(np.arange(len(plan.names)), np.diff(children.starts))
            targets = np.array(children.items, np.int64)
        graph = Graph()
        graph.set_edges(n=len(plan.names), src=sources, dst=targets)
        plan.made[Graph] = graph  # complete: others may run it at the same time
    return graph


# All tasks are direct.


def _run_direct(run: Run, executor: Executor, calls: Sequence[Call]) -> None:
    over: list[BaseException] = []
    graphs: list[_core.CallRun] = []

    def end(error: BaseException) -> None:
        over.append(error)
        for graph in graphs:
            graph.cancel()

    caller = _caller(executor)
    graphs.append(_new_run(run, executor, _direct_body(run, calls, end), caller))
    try:
        _drive(run, graphs[0], caller)
    finally:
        graphs.clear()  # it refers to the body, and that to this
    if over:
        raise over[0]


def _direct_body(
    run: Run, calls: Sequence[Call], end: Callable[[BaseException], object]
) -> Body:
    """Return what runs a task by its number; `end` gets what ends the program."""
    track = run.track
    results, states, workers = track.results, track.states, track.workers
    starts, ends = track.starts, track.ends
    clock, ident = time.perf_counter, threading.get_ident
    failed = _core.FAILED

    def body(number: int) -> object:
        starts[number] = clock()
        workers[number] = ident()
        try:
            results[number] = calls[number](run, number)
            states[number] = COMPLETED
        except ENDS_PROGRAM as error:
            end(error)
            return failed
        except ItemErrors as several:
            run.fail_items(number, several.errors, several.values)
            return failed
        except BaseException as error:
            run.fail(number, error)
            return failed
        finally:
            ends[number] = clock()
        return None

    return body


# Some are not.


def _mixed_body(host: WorkerHost, calls: Sequence[Call]) -> Body:
    """Return what runs a task, or an item, by its number."""
    run = host.run
    track = run.track
    results, states, workers = track.results, track.states, track.workers
    starts, ends = track.starts, track.ends
    clock, ident = time.perf_counter, threading.get_ident
    count = len(calls)
    deferred, lost = _core.DEFERRED, _core.LOST

    def body(number: int) -> object:
        if number >= count:
            return host.call_unit(number)
        starts[number] = clock()
        workers[number] = ident()
        try:
            value = calls[number](run, number)
        except BaseException as error:
            ends[number] = clock()
            return _refused(host, number, error)
        if value is deferred or value is lost or host.closed:
            return value
        results[number] = value
        states[number] = COMPLETED
        ends[number] = clock()
        return None

    return body


def _refused(host: WorkerHost, number: int, error: BaseException) -> object:
    if isinstance(error, ItemErrors):
        host.run.fail_items(number, error.errors, error.values)
        host.stop_if_asked()
        return _core.FAILED
    return host.refuse(number, error)


def _items_on(executor: Executor) -> Callable[[Run, int], list[Any]]:
    def run_items(run: Run, number: int) -> list[Any]:
        items = run.items(number)
        values: list[Any] = [UNFINISHED] * len(items)
        run.open_items[number] = values, len(items)
        errors: dict[int, BaseException] = {}
        keep_going = run.options.keep_going
        call = item_call(run, number)
        failed = run.track.errors  # also those of other tasks

        # The second is for those who look whose log records these are.
        def one(index: int, task: tuple[Run, int] = (run, number)) -> None:  # noqa: ARG001
            if not keep_going and (errors or failed):
                return
            try:
                values[index] = call(items[index])
            except ENDS_PROGRAM:
                raise
            except BaseException as error:
                errors[index] = error

        most = run.plan.nodes[number].task.max_concurrency
        within: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if run.spans is not None:
            one.__qualname__ = run.plan.names[number]
            within = recorders.within(run.spans.run)
        with within:
            for_each(one, range(len(items)), executor=executor, max_workers=most)
        stopped = bool(failed) and any(value is UNFINISHED for value in values)
        if errors or stopped:
            raise ItemErrors(errors, values)
        return values

    return run_items
