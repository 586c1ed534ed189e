"""Arguments that run Python code, which calls the very object that they are for."""

from __future__ import annotations

import threading

import pytest

import fastflow
from fastflow import Executor, Graph


def value(x):
    return x


class Index:
    """An index that does something when it is asked for its number."""

    def __init__(self, number, action):
        self.number = number
        self.action = action

    def __index__(self):
        self.action()
        return self.number


class Seconds:
    def __init__(self, action):
        self.action = action

    def __float__(self):
        self.action()
        return 10.0


def test_nodes_added_by_the_iterable_of_after_are_nodes_of_their_own():
    graph = Graph()
    inner = []

    def before():
        for i in range(3):
            inner.append(graph.add(value, i))
            yield inner[-1]

    outer = graph.add(value, "outer", after=before())
    assert [node.index for node in inner] == [0, 1, 2]
    assert outer.index == 3
    assert len(graph) == 4
    assert [graph.successors(i) for i in range(4)] == [(3,), (3,), (3,), ()]
    result = graph.run()
    assert [result[node] for node in [*inner, outer]] == [0, 1, 2, "outer"]


def test_an_iterable_that_fails_leaves_the_nodes_that_it_added():
    graph = Graph()

    def before():
        yield graph.add(value, 1)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        graph.add(value, 2, after=before())
    last = graph.add(value, 3)
    assert last.index == 1
    assert len(graph) == 2
    assert graph.run()[last] == 3


def test_names_and_edges_of_a_graph_within_a_graph():
    graph = Graph()
    first = graph.add(value, 0, name="first")

    def before():
        second = graph.add(value, first, name="second", after=first)
        graph.connect(first, second)
        yield second

    third = graph.add(value, [first], name="third", after=before())
    assert [graph.node(i).name for i in range(3)] == ["first", "second", "third"]
    assert graph.n_edges == 5
    assert graph.run()[third] == [0]


def test_a_number_that_adds_nodes_is_read_before_the_graph_is_looked_at():
    graph = Graph()
    nodes = [graph.add(value, 0)]

    def more():
        nodes.append(graph.add(value, nodes[-1]))

    assert graph.successors(Index(0, more)) == (1,)
    assert graph.node(Index(2, more)) == nodes[2]
    assert graph.label(Index(3, more)) == "3"
    with pytest.raises(IndexError):
        graph.node(Index(9, more))


def test_a_graph_that_starts_to_run_while_arguments_are_read_does_not_change():
    graph = Graph()
    inside, go_on = threading.Event(), threading.Event()

    def task():
        inside.set()
        assert go_on.wait(30)

    graph.add(task)
    runner = threading.Thread(target=graph.run)

    def before():
        runner.start()
        assert inside.wait(30)
        return iter(())

    class Lazy:
        def __iter__(self):
            return before()

    with pytest.raises(RuntimeError, match="running"):
        graph.add(value, 1, after=Lazy())
    go_on.set()
    runner.join()
    assert len(graph) == 1


def test_an_index_that_submits_does_so_before_room_is_taken():
    noop = fastflow.kernels.noop
    with Executor(1, max_pending=1, on_full="raise") as executor:
        inner = []
        outer = executor.submit(
            noop, Index(0, lambda: inner.append(executor.submit(value, 7).result()))
        )
        assert outer.result() is None
        assert inner == [7]


def test_an_index_that_shuts_the_executor_down_is_refused():
    noop = fastflow.kernels.noop
    executor = Executor(1)
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(noop, Index(0, executor.shutdown))


def test_a_timeout_that_waits_for_the_same_future():
    with Executor(1) as executor:
        go_on = threading.Event()
        future = executor.submit(go_on.wait, 30)

        def wait():
            go_on.set()
            future.result()

        assert future.result(timeout=Seconds(wait)) is True


def test_an_input_that_maps_and_an_input_that_asks_for_its_own_stream():
    def items():
        yield from fastflow.map(value, range(3))

    assert fastflow.map(value, items()) == [0, 1, 2]

    def greedy():
        yield 0
        yield next(stream)

    stream = fastflow.imap(value, greedy())
    with pytest.raises(ValueError, match="in use"):
        list(stream)
