"""What recordings see of the native pool."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastflow
from fastflow.seeing.trace import Kind, State
from seeing.recorded_calls import calls_by_name, fails_at_three, recorded, square


def items_of(trace, name):
    label = trace.labels.index(name)
    calls = trace.calls
    return sorted(calls["item"][calls["label"] == label].tolist())


@pytest.fixture(params=[1, 2, 4])
def executor(request):
    with fastflow.Executor(request.param) as made:
        yield made


def test_submitted_tasks(executor):
    def body():
        futures = [executor.submit(square, i) for i in range(200)]
        assert sum(future.result() for future in futures) == sum(
            i * i for i in range(200)
        )

    trace = recorded(body)
    assert calls_by_name(trace) == {"square": 200}
    calls = trace.calls
    assert (calls["state"] == State.DONE).all()
    assert (calls["ready"] >= 0).all()
    kinds = {trace.lanes[lane].kind for lane in calls["lane"].tolist()}
    assert kinds == {"worker"}
    assert {lane.name for lane in trace.lanes if lane.kind == "worker"} <= {
        f"{executor._prefix}_{i}" for i in range(4)
    }


def test_failures_of_tasks(executor):
    def body():
        futures = [executor.submit(fails_at_three, i) for i in range(6)]
        assert [future.exception() is not None for future in futures].count(True) == 1

    trace = recorded(body)
    assert (trace.calls["state"] == State.FAILED).sum() == 1
    (failure,) = trace.failures
    assert failure[1:3] == ("ValueError", "no three, please")
    assert "fails_at_three" in failure.traceback
    assert trace.totals[trace.labels.index("fails_at_three")][:2] == (6, 1)


def test_a_cancelled_task():
    def gives_up():
        raise fastflow.Cancelled

    def body():
        with fastflow.Executor(1) as executor:
            executor.submit(gives_up)

    trace = recorded(body)
    assert trace.calls["state"].tolist() == [State.CANCELLED]
    assert not trace.failures


def test_tasks_that_wait_for_tasks(executor):
    def fork(depth):
        if depth == 0:
            return 1
        halves = [executor.submit(fork, depth - 1) for _ in range(2)]
        return sum(half.result() for half in halves)

    trace = recorded(lambda: executor.submit(fork, 5).result())
    assert calls_by_name(trace) == {"fork": 63}


def test_a_task_that_blocks():
    may_end = threading.Event()

    def waits(executor, other):
        executor.submit(may_end.set)
        return other.result()

    def body():
        with fastflow.Executor(2) as executor:
            other = executor.submit(may_end.wait)
            executor.submit(waits, executor, other).result()

    trace = recorded(body)
    blocked = trace.of_kind(Kind.BLOCKED)
    names = {trace.labels[label] for label in blocked["label"].tolist() if label >= 0}
    assert names <= {"waits"}


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    "fan", [fastflow.map, fastflow.imap, fastflow.starmap, fastflow.Executor.map]
)
def test_fans(executor, fan, fails):
    fn = fails_at_three if fails else square
    items = [(i,) for i in range(100)] if fan is fastflow.starmap else range(100)

    def body():
        if fan is fastflow.Executor.map:
            results = executor.map(fn, items)
            if fails:
                with pytest.raises(ValueError, match="three"):
                    list(results)
            else:
                list(results)
        else:
            list(fan(fn, items, executor=executor, return_exceptions=True))

    trace = recorded(body)
    name = fn.__name__
    if not fails or fan is not fastflow.Executor.map:
        assert calls_by_name(trace) == {name: 100}
        assert items_of(trace, name) == list(range(100))
    (run,) = trace.runs
    assert run[:2] == (name, "map")
    assert (trace.calls["run"] == 0).all()
    assert len(trace.failures) == (1 if fails else 0)


def test_a_map_that_raises_says_so():
    def body():
        with pytest.raises(ValueError, match="three"):
            fastflow.map(fails_at_three, range(100))

    (run,) = recorded(body).runs
    assert run.error == "ValueError: no three, please"


def test_for_each_and_map_array(executor):
    def body():
        fastflow.for_each(square, range(10), executor=executor)
        fastflow.map_array(np.sqrt, np.ones(1000), chunks=100, executor=executor)

    trace = recorded(body)
    assert calls_by_name(trace) == {"square": 10, "sqrt": 10}


def test_kernels(executor):
    kernel = fastflow.kernels.spin(1000)

    def body():
        fastflow.for_each(kernel, range(5000), executor=executor)
        for future in [executor.submit(kernel, i) for i in range(20)]:
            future.result()

    trace = recorded(body)
    calls = trace.calls
    assert set(calls_by_name(trace)) == {"spin(1000)"}
    single = calls[calls["run"] < 0]
    assert sorted(single["item"].tolist()) == list(range(20))
    pieces = np.sort(calls["item"][calls["run"] == 0])
    assert pieces[0] == 0
    assert (np.diff(pieces) > 0).all()


def test_graphs(executor):
    graph = fastflow.Graph()
    before = graph.add(square, 2)
    for _ in range(20):
        before = graph.add(square, before) if False else graph.add(max, before, 1)
    numbered = fastflow.Graph.from_edges(30, range(29), range(1, 30))
    results = []

    def body():
        results.append(graph.run(executor=executor))
        results.append(numbered.run(square, executor=executor))
        results.append(numbered.run(fastflow.kernels.noop, executor=executor))

    trace = recorded(body)
    assert calls_by_name(trace) == {"square": 31, "max": 20, "noop": 30}
    assert items_of(trace, "noop") == list(range(30))
    assert [run.kind for run in trace.runs] == ["graph"] * 3
    assert all(result.recording.data is trace for result in results)
    assert graph.run(executor=executor).recording is None


def test_a_node_that_fails():
    graph = fastflow.Graph()
    graph.add(fails_at_three, 3)

    def body():
        with pytest.raises(fastflow.TaskError):
            graph.run()

    trace = recorded(body)
    assert trace.calls["state"].tolist() == [State.FAILED]
    assert trace.failures[0].type == "ValueError"
    assert trace.runs[0].error is not None


def test_names_of_callables():
    class Call:
        def __call__(self):
            return None

        def method(self):
            return None

    def wrapped():
        return None

    import functools

    partial = functools.partial(pow, 2)
    names = ["<lambda>", "Call", "Call.method", "len", "partial of"]
    callables = [lambda: None, Call(), Call().method, functools.partial(len, "")]

    def body():
        with fastflow.Executor(1) as executor:
            for each in callables:
                executor.submit(each).result()
            executor.submit(partial, 3).result()
            executor.submit(functools.lru_cache(wrapped)).result()

    found = set(calls_by_name(recorded(body)))
    assert found == {*names[:4], "pow", "wrapped"}


def test_functions_of_one_name_are_told_apart():
    code = "def twin(): return 1"
    spaces = [{"__name__": "left"}, {"__name__": "right"}]
    for space in spaces:
        exec(code, space)

    def body():
        with fastflow.Executor(1) as executor:
            for space in spaces:
                executor.submit(space["twin"]).result()

    assert set(calls_by_name(recorded(body))) == {"left.twin", "right.twin"}


def test_names_don_t_depend_on_what_was_recorded_before():
    first = {"__name__": "first"}
    second = {"__name__": "second"}
    for scope in (first, second):
        exec("def alike(x): return x", scope)

    def names(*functions):
        def body():
            for function in functions:
                fastflow.map(function, range(3))

        return set(calls_by_name(recorded(body)))

    assert names(first["alike"], second["alike"]) == {"first.alike", "second.alike"}
    assert names(first["alike"]) == {"alike"}
