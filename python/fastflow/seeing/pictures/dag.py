"""The graph of anything that has one: flows, graphs, and what they ended with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastflow.base.topology import Structure
from fastflow.dsl.spec import FlowSpec
from fastflow.engines.graph import Graph, GraphResult
from fastflow.flows.flow import Flow
from fastflow.flows.function import FlowFunction
from fastflow.run.plan import FlowPlan
from fastflow.run.results import FlowResult, TaskRecord
from fastflow.run.status import Status
from fastflow.seeing.pictures.groups import MOST
from fastflow.seeing.pictures.views import View, small_view
from fastflow.seeing.trace import Dag
from fastflow.workflows.records import RunResult

__all__ = ["dag_of", "view_of"]

_STATES = np.array(tuple(Status))
_EACH = "[*]"


def dag_of(
    x: Any, *, most: int | None = MOST, labels: Sequence[str] | None = None
) -> Dag:
    r"""Return the graph of something.

    Parameters
    ----------
    x : Flow, FlowSpec, FlowResult, Graph, GraphResult, RunResult or Dag
        The steps of a `RunResult` are in the order in which they ran. A ``[*]`` stage
        is one node; how often it was called is known from a result.
    most : int, optional
        Of more nodes those that are alike become one. None: never.
    labels : sequence of str, optional
        Those of a trace: nodes get the position of their name in it, -1 if it is not
        there. Nodes that become one have the label of the first of them.

    Raises
    ------
    TypeError
        If it has no graph, or none that is known.

    Examples
    --------
    >>> from fastflow.dsl.reader import parse_dsl
    >>> dag_of(parse_dsl("flow Tiny:\n    load -> report")).names
    ('load', 'report')
    """
    view = view_of(x)
    if labels is not None:
        places = {label: number for number, label in enumerate(labels)}
        found = tuple(places.get(n.removesuffix(_EACH), -1) for n in view.dag.names)
        view = view._replace(dag=view.dag._replace(labels=found))
    return view.dag if most is None else small_view(view, most).dag


def view_of(x: Any) -> View:
    """Return the whole graph of something, with what became of its nodes.

    Raises
    ------
    TypeError
        If it has no graph, or none that is known.
    """
    for kind, view in _VIEWS:
        if isinstance(x, kind):
            return view(x)  # type: ignore[no-any-return]
    raise TypeError(
        f"a {type(x).__name__} has no graph; give a Flow, FlowSpec, FlowResult, Graph, "
        "GraphResult, RunResult or Dag"
    )


def _of_dag(dag: Dag) -> View:
    return View(dag, "Graph")


def _of_function(function: FlowFunction[..., Any]) -> View:
    raise TypeError(
        f"which tasks @flow function {function.name!r} calls is known once it has run: "
        "record a run, with fastflow.record() as rec, and draw rec"
    )


def _of_spec(spec: FlowSpec) -> View:
    names, sources, targets = spec.columns
    details = spec.details
    if any(task.each is not None for task in details.values()):
        each = {name for name, task in details.items() if task.each is not None}
        names = [name + _EACH if name in each else name for name in names]
    return View(Dag(tuple(names), _pairs(sources, targets)), f"Flow {spec.name}")


def _of_flow(flow: Flow) -> View:
    return _of_spec(flow.spec)


def _of_plan(plan: FlowPlan) -> View:
    each = set(plan.per_item)
    names = [
        name + _EACH if number in each else name
        for number, name in enumerate(plan.names)
    ]
    dag = Dag(tuple(names), _edges_of(plan.structure))
    return View(dag, f"Flow {plan.name}")


def _edges_of(structure: Structure) -> np.ndarray:
    children = structure.children
    starts = np.array(children.starts, np.int64)
    sizes = starts[1:] - starts[:-1]
    sources = np.repeat(np.arange(len(sizes)), sizes)
    return _pairs(sources, children.items)


def _pairs(sources: Any, targets: Any) -> np.ndarray:
    columns = (np.asarray(sources, np.int64), np.asarray(targets, np.int64))
    return np.stack(columns, axis=1)


def _of_flow_result(result: FlowResult) -> View:
    track, shape = result._track, result._shape
    if shape is None:
        raise TypeError(
            f"{result!r} does not know what its tasks waited for; it was made by an "
            "earlier version"
        )
    names = list(track.names)
    counts = [1] * len(names)
    for number in shape.per_item:
        names[number] += _EACH
        counts[number] = max(_items(track, number), 1)
    starts = np.frombuffer(track.starts)
    ends = np.frombuffer(track.ends)
    states = np.frombuffer(track.states, np.uint8)
    seconds = np.where((starts > 0) & (ends > 0), ends - starts, 0.0)
    return View(
        Dag(tuple(names), _edges_of(shape.structure), tuple(counts)),
        f"Flow {result.flow}",
        tuple(_STATES[states].tolist()),
        tuple(seconds.tolist()),
    )


def _items(track: Any, number: int) -> int:
    """How many items a task was called for, as far as that is known."""
    found = track.results[number]
    if isinstance(found, list):
        return len(found)
    return len(track.partial.get(number, ())) + len(track.failed_items.get(number, ()))


def _of_graph(graph: Graph) -> View:
    count = graph.n_nodes
    successors = [graph.successors(node) for node in range(count)]
    sizes = np.fromiter(map(len, successors), np.int64, count)
    targets = np.fromiter(
        (node for found in successors for node in found), np.int64, int(sizes.sum())
    )
    names = tuple(graph.label(node) for node in range(count))
    return View(
        Dag(names, _pairs(np.repeat(np.arange(count), sizes), targets)), "Graph"
    )


def _of_graph_result(result: GraphResult) -> View:
    graph = result._graph
    if not isinstance(graph, Graph):
        raise TypeError(
            "this result came from another process, without its graph; draw the graph"
        )
    words = np.array(
        [Status.CANCELLED, Status.COMPLETED, Status.FAILED, Status.SKIPPED]
    )
    states = words[np.frombuffer(bytes(result.states), np.uint8)]
    seconds: tuple[float, ...] = ()
    if result.timings is not None:
        took = (result.timings.end - result.timings.start) / 1e9
        seconds = tuple(took.tolist())
    return View(_of_graph(graph).dag, "Graph", tuple(states.tolist()), seconds)


def _of_run(result: RunResult) -> View:
    """Draw steps in the order of time: what ended before another one began.

    Only the last of those: the others follow from it.
    """
    records = [record for record in result.steps.values() if record.began is not None]
    records.sort(key=lambda record: record.began or 0.0)
    edges = _followers(records)
    return View(
        Dag(tuple(record.name for record in records), edges),
        f"Workflow {result.workflow}",
        tuple(str(record.status) for record in records),
        tuple(record.duration or 0.0 for record in records),
    )


def _followers(records: Sequence[TaskRecord]) -> np.ndarray:
    """Return pairs (a, b): a ended before b began, and nothing lies between."""
    begins = np.array([record.began for record in records], float)
    ends = np.array(
        [np.inf if record.ended is None else record.ended for record in records], float
    )
    by_end = np.argsort(ends, kind="stable")
    sorted_ends = ends[by_end]
    latest = np.maximum.accumulate(begins[by_end]) if len(records) else begins
    pairs = []
    for number, begin in enumerate(begins.tolist()):
        before = int(np.searchsorted(sorted_ends, begin, side="right"))
        if before:
            first = int(np.searchsorted(sorted_ends, latest[before - 1], side="right"))
            found = by_end[first:before]
            pairs += [(other, number) for other in found.tolist() if other != number]
    return np.array(pairs, np.int64).reshape(-1, 2)


_VIEWS: tuple[tuple[type, Any], ...] = (
    (Dag, _of_dag),
    (Flow, _of_flow),
    (FlowSpec, _of_spec),
    (FlowPlan, _of_plan),
    (FlowResult, _of_flow_result),
    (FlowFunction, _of_function),
    (Graph, _of_graph),
    (GraphResult, _of_graph_result),
    (RunResult, _of_run),
)
