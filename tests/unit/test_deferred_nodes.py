"""Runs of a graph some of whose nodes end elsewhere, or whose calls are given up."""

from __future__ import annotations

import threading
from array import array

import pytest

import fastflow
from fastflow import _core

WAITS, HELPS, NEVER, ALONE = range(4)
CALLERS = pytest.mark.parametrize("caller", [WAITS, HELPS, NEVER, ALONE])
CHAIN = [(0, 1), (1, 2)]


@pytest.fixture
def executor():
    with fastflow.Executor(3) as made:
        yield made


def graph_of(n, edges):
    graph = fastflow.Graph()
    graph.set_edges(
        n=n,
        src=array("q", [s for s, _ in edges]),
        dst=array("q", [t for _, t in edges]),
    )
    return graph


def run_of(executor, n, edges, body, *, stop=True, most=3):
    graph = graph_of(n, edges)
    return _core.CallRun(
        engine=executor._engine,
        graph=graph,
        fn=body,
        most=most,
        stop_on_error=stop,
        keep=2,
        timings=None,
    )


@CALLERS
def test_a_deferred_node_holds_up_what_waits_for_it(executor, caller):
    called = []
    began = threading.Event()

    def body(number):
        called.append(number)
        if number != 1:
            return None
        began.set()
        return _core.DEFERRED

    run = run_of(executor, 3, CHAIN, body)

    def settle():
        assert began.wait(60)
        assert called == [0, 1]
        assert not run.finished
        run.settle(1, True)

    other = threading.Thread(target=settle)
    other.start()
    run.run(caller)
    other.join()
    assert called == [0, 1, 2]
    assert run.states() == bytes([1, 1, 1])
    assert run.done == 3


@CALLERS
def test_a_node_may_be_settled_before_its_call_has_returned(executor, caller):
    called = []

    def body(number):
        called.append(number)
        run.settle(number, True)
        return _core.DEFERRED

    run = run_of(executor, 3, CHAIN, body)
    run.run(caller)
    assert called == [0, 1, 2]
    assert run.done == 3


@CALLERS
@pytest.mark.parametrize("quietly", [False, True])
@pytest.mark.parametrize("stop", [False, True])
def test_nothing_behind_a_node_that_fails_is_called(executor, caller, quietly, stop):
    called = []

    def body(number):
        called.append(number)
        if number != 1:
            return None
        if quietly:
            return _core.FAILED
        run.settle(1, False)
        return _core.DEFERRED

    run = run_of(executor, 5, [(0, 1), (1, 2), (1, 3), (0, 4)], body, stop=stop)
    run.run(caller)
    assert {2, 3}.isdisjoint(called)
    if not stop:
        assert sorted(called) == [0, 1, 4]
        assert run.states() == bytes([1, 0, 0, 0, 1])
    assert run.failures() == []
    assert run.stopped == stop


@CALLERS
def test_units_are_called_beside_the_nodes(executor, caller):
    called = []

    def body(number):
        called.append(number)
        if number == 0:
            for unit in range(10, 20):
                run.post(unit)
            return _core.DEFERRED
        if number == 19:
            run.settle(0, True)
        return None

    run = run_of(executor, 2, [(0, 1)], body)
    run.run(caller)
    assert sorted(called) == [0, 1, *range(10, 20)]
    assert run.done == 2


@CALLERS
def test_a_unit_that_raises_ends_the_run(executor, caller):
    def body(number):
        if number == 0:
            run.post(7)
            return
        raise ArithmeticError

    run = run_of(executor, 1, [], body)
    with pytest.raises(ArithmeticError):
        run.run(caller)


@CALLERS
def test_units_do_not_begin_once_the_run_has_stopped(executor, caller):
    called = []

    def body(number):
        called.append(number)
        run.cancel()
        run.post(7)
        return

    run = run_of(executor, 1, [], body)
    run.run(caller)
    assert called == [0]


@pytest.mark.parametrize("caller", [WAITS, NEVER])
@pytest.mark.parametrize("unit", [False, True])
def test_a_run_goes_on_without_a_call_that_is_lost(executor, caller, unit):
    hangs, go, back = threading.Event(), threading.Event(), threading.Event()

    def hang():
        hangs.set()
        assert go.wait(60)
        back.set()
        return _core.LOST

    def body(number):
        if number == 0 and unit:
            run.post(7)
            return _core.DEFERRED
        return hang() if number in (0, 7) else None

    run = run_of(executor, 2, [(0, 1)], body, most=1)

    def lose():
        assert hangs.wait(60)
        run.lose(7 if unit else 0)
        run.settle(0, True)

    other = threading.Thread(target=lose)
    other.start()
    run.run(caller)  # ends, though the call goes on
    assert not back.is_set()
    assert run.done == 2
    go.set()
    other.join()
    assert back.wait(60)


def test_a_call_may_come_back_before_it_is_lost(executor):
    """Whoever loses it has decided so, and the call's thread may be the quicker one."""

    def body(number):
        if number == 0:
            came_back.set()
            return _core.LOST
        return None

    came_back = threading.Event()
    run = run_of(executor, 2, [(0, 1)], body, most=1)

    def lose():
        assert came_back.wait(60)
        run.lose(0)
        run.settle(0, True)

    other = threading.Thread(target=lose)
    other.start()
    run.run(NEVER)
    other.join()
    assert run.done == 2


@CALLERS
def test_a_run_that_is_finished_leaves_deferred_nodes_alone(executor, caller):
    began = threading.Event()

    def body(_number):
        began.set()
        return _core.DEFERRED

    run = run_of(executor, 2, [(0, 1)], body)

    def finish():
        assert began.wait(60)
        run.finish()

    other = threading.Thread(target=finish)
    other.start()
    run.run(caller)
    other.join()
    assert run.finished
    run.settle(0, True)  # too late
    assert run.done == 1


def test_the_caller_alone_makes_all_calls(executor):
    threads = set()

    def body(number):
        threads.add(threading.get_ident())
        if number % 3:
            return None
        threading.Thread(target=run.settle, args=(number, True)).start()
        return _core.DEFERRED

    run = run_of(executor, 30, [(n, n + 1) for n in range(29)], body)
    run.run(ALONE)
    assert threads == {threading.get_ident()}
    assert run.done == 30


def test_a_nested_run_whose_caller_never_helps(executor):
    """Its worker's place is lent meanwhile, or the inner calls had no worker."""

    def inner():
        run = run_of(pool, 3, CHAIN, lambda _: None)
        run.run(NEVER)
        return run.done

    with fastflow.Executor(1) as pool:
        assert pool.submit(inner).result(60) == 3


def test_what_can_not_be(executor):
    run = run_of(executor, 2, [], lambda _: None)
    with pytest.raises(KeyError):
        run.settle(2, True)
    with pytest.raises(TypeError):
        run.settle(1)
    with pytest.raises(OverflowError):
        run.post(-1)
    run.run(HELPS)
