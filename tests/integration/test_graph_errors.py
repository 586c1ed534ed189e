"""What graphs refuse, and how they say it."""

from __future__ import annotations

import pickle
import sys
from itertools import pairwise

import numpy as np
import pytest

import fastflow
from fastflow import CycleError, Graph, GraphError
from support import run_script


def ints(*values, dtype=np.int64):
    return np.array(values, dtype=dtype)


#: n, src, dst, type of the error, what the message names
BAD_EDGES = {
    "source too large": (3, ints(0, 3), ints(1, 1), GraphError, "3"),
    "target too large": (3, ints(0, 1), ints(1, 7), GraphError, "7"),
    "source negative": (3, ints(-1), ints(1), GraphError, "-1"),
    "target negative": (3, ints(0), ints(-2), GraphError, "-2"),
    "no node at all": (0, ints(0), ints(0), GraphError, "0"),
    "beyond 32 bits": (3, ints(2**40), ints(1), GraphError, str(2**40)),
    "self-edge": (3, ints(0, 2), ints(1, 2), GraphError, "2"),
    "lengths differ": (3, ints(0, 1), ints(1), GraphError, "2.*1"),
    "two dimensions": (3, ints([0, 1]), ints([1, 2]), (TypeError, GraphError), "dim"),
    "no dimension": (3, np.int64(0), np.int64(1), (TypeError, GraphError), "dim|array"),
    "floats": (3, np.array([0.0]), np.array([1.0]), (TypeError, GraphError), "float"),
    "complex": (3, np.array([0j]), np.array([1j]), (TypeError, GraphError), "complex"),
    "text": (3, np.array(["0"]), np.array(["1"]), (TypeError, GraphError), "int"),
    "bools": (3, np.array([False]), np.array([True]), (TypeError, GraphError), "bool"),
    "objects": (
        3,
        np.array([0], dtype=object),
        np.array([1], dtype=object),
        (TypeError, GraphError),
        "object",
    ),
    "nothing": (3, None, None, (TypeError, GraphError), "dim|array"),
    "n negative": (-1, ints(), ints(), ValueError, "n|negative"),
    "n too large": (2**62, ints(), ints(), (ValueError, OverflowError), "n|large"),
    "n a float": (3.0, ints(), ints(), TypeError, "float|int"),
    "n a text": ("3", ints(), ints(), TypeError, "str|int"),
}


@pytest.mark.parametrize("case", BAD_EDGES)
def test_bad_edges_are_refused(case):
    n, src, dst, error, words = BAD_EDGES[case]
    with pytest.raises(error, match=words):
        Graph.from_edges(n, src, dst)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32]
)
def test_integers_of_every_width_are_taken(dtype):
    graph = Graph.from_edges(3, ints(0, 1, dtype=dtype), ints(1, 2, dtype=dtype))
    assert (graph.n_nodes, graph.n_edges) == (3, 2)
    order = []
    graph.run(order.append)
    assert order == [0, 1, 2]


def test_arrays_of_any_memory_layout_are_taken():
    table = np.array([[0, 1], [1, 2], [2, 3]])
    swapped = table.astype(table.dtype.newbyteorder())
    read_only = table.copy()
    read_only.flags.writeable = False
    for edges in (table, table[::-1], np.asfortranarray(table), swapped, read_only):
        order = []
        graph = Graph.from_edges(4, edges[:, 0], edges[:, 1])
        graph.run(order.append)
        assert order == [0, 1, 2, 3]


def test_the_arrays_are_not_needed_any_more():
    src, dst = ints(0, 1), ints(1, 2)
    graph = Graph.from_edges(3, src, dst)
    src[:], dst[:] = 2, 0
    order = []
    graph.run(order.append)
    assert order == [0, 1, 2]


def test_an_empty_graph_runs():
    for graph in (Graph(), Graph.from_edges(0, ints(), ints())):
        assert (graph.n_nodes, graph.n_edges) == (0, 0)
    assert Graph().run().status == "COMPLETED"
    result = Graph.from_edges(0, ints(), ints()).run(fastflow.kernels.noop)
    assert result.status == "COMPLETED"


def test_doubled_edges_count_once_or_twice_but_work():
    graph = Graph.from_edges(2, ints(0, 0, 0), ints(1, 1, 1))
    order = []
    graph.run(order.append)
    assert order == [0, 1]
    graph = Graph()
    node = graph.add(int, "7")
    total = graph.add(lambda a, b: a + b, node, node, after=[node, node])
    graph.connect(node, total)
    assert graph.run().results[total] == 14


EDGES_OF_CYCLES = [
    [(0, 1), (1, 0)],
    [(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)],
    [(5, 0), (0, 5), (1, 2), (2, 1)],
    [(i, (i + 1) % 1000) for i in range(1000)],
]


@pytest.mark.parametrize("edges", EDGES_OF_CYCLES, ids=len)
def test_a_cycle_of_numbers_is_named(edges):
    src, dst = np.array(edges).T
    with pytest.raises(CycleError) as caught:
        Graph.from_edges(int(max(src.max(), dst.max())) + 1, src, dst)
    cycle = caught.value.cycle
    assert cycle[0] == cycle[-1]
    assert set(pairwise(cycle)) <= set(edges)
    assert len(set(cycle)) == len(cycle) - 1 >= 2


def test_a_cycle_of_named_nodes_tells_the_names():
    graph = Graph()
    ran = []
    load = graph.add(ran.append, 1, name="load")
    clean = graph.add(ran.append, load, name="clean")
    save = graph.add(ran.append, clean, name="save")
    graph.connect(save, load)
    with pytest.raises(
        CycleError, match=r"load.*clean|clean.*save|save.*load"
    ) as caught:
        graph.run()
    names = list(caught.value.cycle)
    assert sorted(names[1:]) == ["clean", "load", "save"]
    assert set(pairwise(names)) == {
        ("load", "clean"),
        ("clean", "save"),
        ("save", "load"),
    }
    assert ran == []
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.cycle == caught.value.cycle
    assert str(copy) == str(caught.value)


def test_a_node_of_another_graph_is_refused():
    graph, other = Graph(), Graph()
    own, foreign = graph.add(int), other.add(int, name="stranger")
    with pytest.raises(GraphError, match="another graph"):
        graph.add(abs, foreign)
    with pytest.raises(GraphError, match="another graph"):
        graph.add(dict, value=foreign)
    with pytest.raises(GraphError, match="another graph"):
        graph.add(abs, 1, after=[foreign])
    for pair in ((own, foreign), (foreign, own)):
        with pytest.raises(GraphError, match="another graph"):
            graph.connect(*pair)
    # What was refused left no trace.
    assert (graph.n_nodes, graph.n_edges) == (1, 0)
    assert graph.run().results[own] == 0


def test_a_node_that_waits_for_itself_is_a_cycle():
    graph = Graph()
    ran = []
    node = graph.add(ran.append, 1, name="lonely")
    with pytest.raises(CycleError, match="lonely -> lonely") as caught:
        graph.connect(node, node)
        graph.run()
    assert caught.value.cycle == ("lonely", "lonely")
    assert ran == []


@pytest.mark.parametrize("fn", [None, 3, "abs", [abs]])
def test_what_is_not_callable_is_refused(fn):
    graph = Graph()
    with pytest.raises(TypeError, match="callable"):
        graph.add(fn)
    assert graph.n_nodes == 0
    numbers = Graph.from_edges(2, ints(0), ints(1))
    with pytest.raises(TypeError, match=r"callable|function|kernel"):
        numbers.run(fn)


@pytest.mark.parametrize("wrong", [0, "load", None])
def test_order_is_told_by_nodes_only(wrong):
    graph = Graph()
    node = graph.add(int)
    with pytest.raises(TypeError):
        graph.connect(wrong, node)
    with pytest.raises(TypeError):
        graph.connect(node, wrong)
    with pytest.raises(TypeError):
        graph.add(int, after=[wrong])
    assert (graph.n_nodes, graph.n_edges) == (1, 0)


def test_a_body_belongs_to_a_graph_of_numbers_only():
    graph = Graph()
    graph.add(int)
    with pytest.raises(TypeError, match="takes no function"):
        graph.run(print)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_error": "ignore"}, ValueError),
        ({"on_error": None}, (TypeError, ValueError)),
        ({"keep": "some"}, ValueError),
        ({"keep": True}, (TypeError, ValueError)),
        ({"max_workers": 0}, ValueError),
        ({"max_workers": -1}, ValueError),
        ({"max_workers": "2"}, TypeError),
        ({"executor": 2}, TypeError),
        ({"executor": fastflow.Graph()}, TypeError),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, error):
    ran = []
    graph = Graph()
    graph.add(ran.append, 1)
    numbers = Graph.from_edges(2, ints(0), ints(1))
    with pytest.raises(error):
        graph.run(**options)
    with pytest.raises(error):
        numbers.run(ran.append, **options)
    assert ran == []


def test_an_executor_that_was_shut_down_is_told():
    executor = fastflow.Executor(1)
    executor.shutdown()
    graph = Graph()
    graph.add(int)
    with pytest.raises(RuntimeError):
        graph.run(executor=executor)
    numbers = Graph.from_edges(3, ints(0), ints(1))
    with pytest.raises(RuntimeError):
        numbers.run(abs, executor=executor)
    with pytest.raises(RuntimeError):
        numbers.run(fastflow.kernels.noop, executor=executor)


def test_unknown_nodes_are_refused_by_a_result():
    graph = Graph()
    node = graph.add(int)
    result = graph.run()
    stranger = Graph().add(int)
    with pytest.raises((KeyError, GraphError)):
        result.results[stranger]
    with pytest.raises((KeyError, GraphError)):
        result.state(stranger)
    assert result.state(node) == "COMPLETED"
    numbers = Graph.from_edges(2, ints(0), ints(1)).run(abs)
    for wrong in (2, -3):
        with pytest.raises((KeyError, IndexError, GraphError)):
            numbers.state(wrong)
        with pytest.raises((KeyError, IndexError, GraphError)):
            numbers.results[wrong]


def failing_graph():
    graph = Graph()
    good = graph.add(int, "7", name="good")
    bad = graph.add(int, "seven", name="bad", after=[good])
    late = graph.add(abs, bad, name="late")
    return graph, good, bad, late


@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_a_failure_tells_the_node_the_cause_and_what_was_done(on_error):
    graph, good, bad, late = failing_graph()
    with pytest.raises(fastflow.TaskError, match="bad") as caught:
        graph.run(on_error=on_error)
    error = caught.value
    assert error.task == "bad"
    assert isinstance(error.__cause__, ValueError)
    assert "seven" in str(error.__cause__)
    result = error.result
    assert result.status == "FAILED"
    assert result.results[good] == 7
    assert [result.state(x) for x in (good, bad, late)] == [
        "COMPLETED",
        "FAILED",
        "SKIPPED",
    ]
    assert result.errors[bad] is error.__cause__


def test_the_traceback_of_a_failure_leads_into_the_body():
    def broken():
        raise LookupError("here")

    graph = Graph()
    graph.add(broken)
    with pytest.raises(fastflow.TaskError) as caught:
        graph.run()
    cause = caught.value.__cause__
    entries = []
    traceback = cause.__traceback__
    while traceback:
        entries.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert "broken" in entries


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_without_memory_for_the_result_a_run_ends_with_memory_error():
    """It never came back: the interpreter looked for a number's worth of memory."""
    script = """
import resource, numpy, fastflow
none = numpy.array([], int)
graph = fastflow.Graph.from_edges(2_000_000, none, none)
executor = fastflow.Executor(2)
executor.submit(int).result()
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + (60 << 20)
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
try:
    graph.run(int, executor=executor)
except MemoryError:
    pass
except fastflow.TaskError as error:  # a node had no memory for its number
    assert isinstance(error.__cause__, MemoryError)
resource.setrlimit(resource.RLIMIT_AS, before)
print(executor.submit(pow, 2, 3).result())
"""
    assert run_script(script).stdout.split() == ["8"]
