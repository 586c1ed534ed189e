"""The native graph engine, for flows none of whose tasks waits for anything else.

The graph knows who is next; a worker that completes a task goes on with one that has
become ready, without a queue, a future or an event in between.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from fastflow import active
from fastflow.engines.base import UNFINISHED, ItemErrors, Run
from fastflow.engines.calls import Call, item_call, make_calls
from fastflow.errors import TaskError
from fastflow.executor import Executor
from fastflow.fanout import for_each
from fastflow.graph import Graph
from fastflow.interrupts import ENDS_PROGRAM
from fastflow.plan import FlowPlan
from fastflow.progress import Monitor
from fastflow.results import COMPLETED

__all__ = ["can_run", "run_native"]


_SMALL = 200  # tasks


class _Failed(Exception):  # noqa: N818
    """Tells the graph that a node has failed; the run has the reason."""


class _Ended(Exception):  # noqa: N818
    """Tells the graph not to begin a node, as something ends the program."""


def _begin_no_more(*_: object) -> None:
    raise _Ended


def can_run(plan: FlowPlan, max_workers: int | None, executor: Executor) -> bool:
    """Whether no task of the plan is retried, timed or awaited.

    Nor may `max_workers` hold for tasks that run item by item on a larger executor.
    """
    narrowed = max_workers is not None and executor._max_workers > max_workers
    return all(
        node.task.is_direct and not (narrowed and node.each >= 0) for node in plan.kinds
    )


def run_native(run: Run, executor: Executor) -> None:
    """Run the tasks as a graph; see `fastflow.engines.base.Engine`."""
    over: list[BaseException] = []
    body = _body(run, make_calls(run, _items_on(executor)), over)
    graph = _graph_of(run.plan, body)
    before = active.set_current(None)  # the calling thread takes part
    try:
        with Monitor(run.options.progress, run, len(run.plan.names), run.plan.name):
            graph.run(
                body if graph.is_numbered else None,
                executor=executor,
                max_workers=run.options.max_workers,
                on_error="continue" if run.options.keep_going else "stop",
                keep="none",
            )
    except TaskError as error:
        if not run.track.errors and not over:  # not one of a task
            raise (error.__cause__ or error) from None
    finally:
        active.set_current(before)
    if over:
        raise over[0]


def _graph_of(plan: FlowPlan, body: Callable[[int], None]) -> Graph:
    """Return the graph of a plan, made at its first run and kept with it.

    A small one is made anew each time if numpy is not loaded yet: to load it takes
    longer than such a flow.
    """
    graph: Graph | None = plan.made.get(Graph)
    if graph is None and len(plan.names) <= _SMALL and "numpy" not in sys.modules:
        return _small_graph(plan, body)
    if graph is None:
        import numpy as np

        children = plan.children
        sources = np.repeat(np.arange(len(plan.names)), np.diff(children.starts))
        targets = np.array(children.items, np.int64)
        graph = plan.made[Graph] = Graph.from_edges(len(plan.names), sources, targets)
    return graph


def _small_graph(plan: FlowPlan, body: Callable[[int], None]) -> Graph:
    graph = Graph()
    nodes: dict[int, Any] = {}
    for number in plan.order:
        parents = [nodes[parent] for parent in plan.parents.of(number)]
        nodes[number] = graph.add(body, number, after=parents)
    return graph


def _body(
    run: Run, calls: list[Call], over: list[BaseException]
) -> Callable[[int], None]:
    """Return what runs a task by its number; what ends the program goes into `over`."""
    track = run.track
    results, states, workers = track.results, track.states, track.workers
    starts, ends = track.starts, track.ends
    clock, ident = time.perf_counter, threading.get_ident

    def body(number: int) -> None:
        starts[number] = clock()
        workers[number] = ident()
        try:
            results[number] = calls[number](run, number)
            states[number] = COMPLETED
        except ENDS_PROGRAM as error:
            over.append(error)
            calls[:] = [_begin_no_more] * len(calls)
            raise _Failed from None
        except _Ended:
            raise _Failed from None
        except ItemErrors as several:
            run.fail_items(number, several.errors, several.values)
            raise _Failed from None
        except BaseException as error:
            run.fail(number, error)
            raise _Failed from None
        finally:
            ends[number] = clock()

    return body


def _items_on(executor: Executor) -> Callable[[Run, int], list[Any]]:
    def run_items(run: Run, number: int) -> list[Any]:
        items = run.items(number)
        values: list[Any] = [UNFINISHED] * len(items)
        errors: dict[int, BaseException] = {}
        keep_going = run.options.keep_going
        call = item_call(run, number)
        failed = run.track.errors  # also those of other tasks

        def one(index: int) -> None:
            if not keep_going and (errors or failed):
                return
            try:
                values[index] = call(items[index])
            except ENDS_PROGRAM:
                raise
            except BaseException as error:
                errors[index] = error

        most = run.plan.nodes[number].task.max_concurrency
        for_each(one, range(len(items)), executor=executor, max_workers=most)
        stopped = bool(failed) and any(value is UNFINISHED for value in values)
        if errors or stopped:
            raise ItemErrors(errors, values)
        return values

    return run_items
