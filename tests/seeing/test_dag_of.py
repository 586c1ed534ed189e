"""The graphs of flows, native graphs and results, and how notebooks show them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import fastflow
from fastflow.durable.results import BatchItem, BatchResult, CompletionReason
from fastflow.seeing.pictures.dag import dag_of, view_of
from fastflow.seeing.task_rows import task_rows
from fastflow.seeing.trace import Dag

TEXT = "flow F:\n    load -> double[*] -> total\n    load -> total"


@pytest.fixture
def tasks():
    registry = fastflow.TaskRegistry()

    @registry.task
    def load(n):
        return list(range(n))

    @registry.task
    def double(x):
        return 2 * x

    @registry.task
    def total(double_result, load_result):
        if not load_result:
            raise ValueError("nothing <b>there</b>")
        return sum(double_result)

    return registry


def pairs(graph):
    return sorted((graph.names[a], graph.names[b]) for a, b in graph.edges.tolist())


EXPECTED = [("double[*]", "total"), ("load", "double[*]"), ("load", "total")]


def test_flows_and_what_they_are_made_of(tasks):
    flow = fastflow.Flow(TEXT, registry=tasks)
    for thing in (flow, flow.spec, fastflow.parse_dsl(TEXT), flow._plan):
        assert pairs(dag_of(thing)) == EXPECTED
    assert view_of(flow).title == "Flow F"


@pytest.mark.parametrize("executor", [None, "serial", "threads"])
def test_results_know_counts_and_states(tasks, executor):
    flow = fastflow.Flow(TEXT, registry=tasks)
    result = flow.run(70, executor=executor)
    graph = dag_of(result)
    assert pairs(graph) == EXPECTED
    assert dict(zip(graph.names, graph.counts, strict=True)) == {
        "load": 1, "double[*]": 70, "total": 1,
    }  # fmt: skip
    view = view_of(result)
    assert view.states == ("COMPLETED",) * 3
    assert all(second > 0 for second in view.seconds)
    assert pairs(dag_of(pickle.loads(pickle.dumps(result)))) == EXPECTED


def test_nodes_find_their_labels_in_a_trace(tasks):
    flow = fastflow.Flow(TEXT, registry=tasks)
    graph = dag_of(flow, labels=("other", "double", "load"))
    assert dict(zip(graph.names, graph.labels, strict=True)) == {
        "load": 2, "double[*]": 1, "total": -1,
    }  # fmt: skip


def test_a_failed_run_shows_what_failed(tasks):
    result = fastflow.Flow(TEXT, registry=tasks).run(0, on_error="return")
    view = view_of(result)
    states = dict(zip(view.dag.names, view.states, strict=True))
    assert states["total"] == "FAILED"
    assert "✗ total" in result._repr_svg_()
    html = result._repr_html_()
    assert "&lt;b&gt;there" in html
    assert "<b>" not in html


def test_a_result_of_before_is_said_to_know_nothing(tasks):
    result = fastflow.Flow(TEXT, registry=tasks).run(3)
    del result.__dict__["_shape"]
    with pytest.raises(TypeError, match="what its tasks waited for"):
        dag_of(result)
    assert result._repr_svg_() is None
    assert "<details>" in result._repr_html_()


def test_flow_functions_tell_when_they_have_failed():
    registry = fastflow.TaskRegistry()

    @registry.task
    def one(x):
        return x

    @registry.task
    def bad(x, y):
        raise ValueError(x + y)

    @fastflow.flow
    def steps():
        first = one(1)
        return one(bad(first, [one(first)]))

    with pytest.raises(TypeError, match="known once it has run"):
        dag_of(steps)
    with pytest.raises(fastflow.TaskError) as caught:
        steps()
    view = view_of(caught.value.result)
    assert pairs(view.dag) == [
        ("bad", "one#3"), ("one", "bad"), ("one", "one#2"), ("one#2", "bad"),
    ]  # fmt: skip
    assert view.states == ("COMPLETED", "COMPLETED", "FAILED", "SKIPPED")


def test_native_graphs():
    graph = fastflow.Graph()
    low = graph.add(min, [3, 1], name="low")
    high = graph.add(max, [3, 1], name="high")
    graph.add(lambda a, b: b - a, low, high, name="span")
    assert pairs(dag_of(graph)) == [("high", "span"), ("low", "span")]
    result = graph.run(timings=True)
    view = view_of(result)
    assert view.dag.names == ("low", "high", "span")
    assert view.states == ("COMPLETED",) * 3
    assert len(view.seconds) == 3
    assert "<svg" in graph._repr_html_()
    assert "<svg" in result._repr_html_()
    with pytest.raises(TypeError, match="draw the graph"):
        dag_of(pickle.loads(pickle.dumps(result)))


def test_numbered_graphs_of_many_nodes():
    n = 100_000
    graph = fastflow.Graph.from_edges(n, np.zeros(n - 1, int), np.arange(1, n))
    found = dag_of(graph)
    assert found.names == ("0", "node")
    assert found.counts == (1, n - 1)
    assert len(dag_of(graph, most=None).names) == n
    assert "× 99,999" in graph._repr_svg_()


def test_what_takes_too_long_to_be_drawn_is_not(monkeypatch):
    from fastflow.seeing import notebook

    monkeypatch.setattr(notebook, "_LARGEST", 10)
    graph = fastflow.Graph.from_edges(11, [0], [1])
    assert graph._repr_svg_() is None
    assert graph._repr_html_() is None, "its repr will do"
    result = graph.run(abs)
    assert result._repr_svg_() is None
    assert "11 tasks" in result._repr_html_()


def test_workflows_in_the_order_of_time():
    workflow = (
        fastflow.workflow("w")
        .step("first", lambda ctx: 1)
        .parallel([lambda ctx: 1, lambda ctx: 2], name="both")
        .step("last", lambda ctx: 3)
    )
    result = workflow.run()
    graph = dag_of(result)
    assert pairs(graph) == [("both", "last"), ("first", "both")]
    assert "<svg" in result._repr_html_()
    assert "first" in result._repr_svg_()


def test_a_batch_shows_how_many_did_what():
    items = [
        BatchItem(0, _status("SUCCEEDED"), 1),
        BatchItem(1, _status("FAILED"), None, _error("E<1>", "why & what")),
        BatchItem(2, _status("STARTED")),
    ]
    html = BatchResult(items, CompletionReason.ALL_COMPLETED)._repr_html_()
    for words in (
        "1 succeeded",
        "1 failed",
        "1 started",
        "E&lt;1&gt;",
        "why &amp; what",
    ):
        assert words in html
    svg = html[html.index("<svg") : html.index("</svg>") + 6]
    assert len(list(ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect"))) == 3
    empty = BatchResult([], CompletionReason.ALL_COMPLETED)
    assert "no branches" in empty._repr_html_()
    assert empty._repr_svg_() is None


def _status(word):
    from fastflow.durable.completion import BatchItemStatus

    return BatchItemStatus[word]


def _error(kind, message):
    from fastflow.durable.lambda_service import ErrorObject

    return ErrorObject(type=kind, message=message)


def test_what_has_no_graph_is_refused():
    for thing in (3, "flow F:\n  a -> b", fastflow):
        with pytest.raises(TypeError, match="has no graph; give a Flow"):
            dag_of(thing)


def test_a_graph_is_its_own():
    graph = Dag(("a", "b"), np.array([[0, 1]]))
    assert pairs(dag_of(graph)) == [("a", "b")]


def test_tables_have_failures_and_the_longest_first():
    text = "flow Many:\n" + "\n".join(f"    load -> w{n}" for n in range(50))
    registry = {"load": lambda: 1, **{f"w{n}": (lambda x: x) for n in range(49)}}
    registry["w49"] = lambda x: 1 / 0
    flow = fastflow.Flow(text, registry=registry)
    result = flow.run(executor="serial", on_error="return")  # w49 comes last
    rows, total = task_rows(result, 10)
    assert total == 51
    assert len(rows) == 10
    assert [row.name for row in rows if row.status == "FAILED"] == ["w49"]
    assert "ZeroDivisionError" in rows[-1].error
    assert all(row.share.endswith("%") for row in rows)


def test_pictures_are_drawn_by_what_is_loaded_at_the_first_one():
    code = (
        "import sys, fastflow; g = fastflow.Graph(); g.add(print); "
        "assert not [m for m in sys.modules if m.startswith('fastflow.seeing')]; "
        "assert '<svg' in g._repr_html_(); "
        "assert 'fastflow.seeing.pictures.svg' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
