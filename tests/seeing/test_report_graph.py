"""The graph in a report: drawn where there is one, coloured by its calls."""

from __future__ import annotations

import numpy as np

from fastflow.seeing.report.graph import graph_of, picture_of
from fastflow.seeing.trace import Dag, Lane, Run, State, Trace
from seeing import report_traces as traces

DAG = Dag(("load", "parse[*]", "store"), np.array([[0, 1], [1, 2]]))


def trace_with(dag, **change):
    rows = [
        {"start": 0, "end": 2 * traces.MS},
        {"start": 2 * traces.MS, "end": 9 * traces.MS, "label": 1, **change},
    ]
    return Trace(
        traces.spans_of(rows),
        labels=("load", "parse"),
        lanes=(Lane("worker 0", "worker"),),
        runs=(Run("etl", "flow"), Run("etl", "flow", dag=dag)),
    )


def test_without_a_graph_there_is_no_picture():
    assert graph_of(trace_with(None)) is None
    assert picture_of(trace_with(None)) is None
    assert picture_of(traces.empty()) is None


def test_nodes_are_known_by_name_or_by_label():
    for dag in (DAG, DAG._replace(labels=(0, 1, -1))):
        picture = picture_of(trace_with(dag))
        assert "7 ms</" in picture
        assert "2 ms</" in picture


def test_after_a_failure_the_states_are_shown():
    picture = picture_of(trace_with(DAG, state=State.FAILED))
    assert "failed" in picture
    assert "ms</" not in picture


def test_a_graph_of_other_names_is_plain():
    other = DAG._replace(names=("a", "b", "c"))
    assert "ms</" not in picture_of(trace_with(other))
