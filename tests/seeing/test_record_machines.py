"""What recordings see of flows, workflows, durable functions and other executors."""

from __future__ import annotations

import concurrent.futures as cf

import pytest

import fastflow
from fastflow.durable import DurableRunner, StepConfig, durable_execution
from fastflow.seeing import machine
from fastflow.seeing.explain import explain
from fastflow.seeing.explain.words import ns_text
from fastflow.seeing.trace import Kind, State
from seeing.recorded_calls import (
    FLOW,
    NODES,
    REGISTRY,
    Flaky,
    calls_by_name,
    fails_at_three,
    recorded,
    square,
)

EXPECTED = {"load": 1, "check": 1, "fetch": 1, "sum_up": 1, "double": 3}


@pytest.fixture(scope="module")
def processes():
    with fastflow.ProcessExecutor(2) as made:
        made.submit(square, 1).result()
        yield made


@pytest.fixture(params=["threads", "serial", "stdlib", "own", "limited"])
def executor(request):
    if request.param == "stdlib":
        with cf.ThreadPoolExecutor(2) as made:
            yield {"executor": made}
    elif request.param == "own":
        with fastflow.Executor(1) as made:
            yield {"executor": made}
    elif request.param == "limited":
        yield {"max_workers": 1}
    else:
        yield {"executor": request.param}


def states(trace, name):
    calls = trace.calls
    mine = calls[calls["label"] == trace.labels.index(name)]
    return [
        (State(state).name, int(n))
        for state, n in zip(mine["state"], mine["attempt"], strict=True)
    ]


def test_flows(executor):
    flow = fastflow.Flow(FLOW, registry=REGISTRY)
    results = []
    trace = recorded(lambda: results.append(flow.run(**executor)))
    assert calls_by_name(trace) == EXPECTED
    assert sum(EXPECTED.values()) == NODES
    assert results[0].recording.data is trace
    assert [run[:2] for run in trace.runs if run.kind == "flow"] == [("Shop", "flow")]
    dag = next(run.dag for run in trace.runs if run.kind == "flow")
    assert [trace.labels[label] for label in dag.labels] == [
        name.removesuffix("[*]") for name in dag.names
    ]
    nodes = trace.calls[trace.calls["label"] != trace.labels.index("double")]
    assert sorted(nodes["item"].tolist()) == [0, 1, 2, 3]


def test_a_flow_with_retries(executor):
    flaky = fastflow.TaskRegistry().task(retries=3, retry_delay=0.001, name="flaky")(
        Flaky(2)
    )
    flow = fastflow.Flow(
        "flow Retried:\n    load -> flaky", registry={**REGISTRY, "flaky": flaky}
    )
    trace = recorded(lambda: flow.run(**executor))
    assert states(trace, "flaky") == [("RETRIED", 1), ("RETRIED", 2), ("DONE", 3)]
    assert len(trace.of_kind(Kind.PAUSE)) == 2
    assert [failure.message for failure in trace.failures] == ["1 left", "0 left"]
    assert trace.totals[trace.labels.index("flaky")][:2] == (3, 2)


def test_a_flow_that_fails(executor):
    flow = fastflow.Flow(
        "flow Fails:\n    load -> three -> check",
        registry={**REGISTRY, "three": fails_at_three},
    )
    results = []
    trace = recorded(lambda: results.append(flow.run(on_error="return", **executor)))
    assert calls_by_name(trace) == {"load": 1, "three": 1}
    assert states(trace, "three") == [("FAILED", 1)]
    assert trace.failures[0].type == "ValueError"
    (run,) = trace.runs
    assert run.error.startswith("TaskError")
    assert results[0].recording is not None


@pytest.mark.parametrize("executor_", [None, "serial"])
def test_flow_functions(executor_):
    flaky = fastflow.TaskRegistry().task(retries=1, retry_delay=0.001, name="flaky")(
        Flaky(1)
    )
    plain = fastflow.TaskRegistry().task(name="plain")(square)

    @fastflow.flow
    def shop():
        return [plain(i) for i in range(5)], flaky()

    body = shop.with_options(executor=executor_) if executor_ else shop
    trace = recorded(body)
    assert calls_by_name(trace) == {"plain": 5, "flaky": 2}
    assert states(trace, "flaky") == [("RETRIED", 1), ("DONE", 2)]
    assert [run[:2] for run in trace.runs] == [("shop", "flow")]
    assert len(trace.of_kind(Kind.PAUSE)) == 1


def test_workflows():
    made = (
        fastflow.workflow("orders")
        .step("first", lambda ctx: 1)
        .step("flaky", Flaky(1), retries=2, retry_delay=0.001)
        .parallel([square_of_nothing, square_of_nothing], name="both")
        .sleep("10ms", name="rest")
        .for_each("each", [1, 2, 3], lambda ctx, item: item)
    )
    results = []
    trace = recorded(lambda: results.append(made.run()))
    assert calls_by_name(trace) == {
        "first": 1, "flaky": 2, "square_of_nothing": 2, "each": 3,
    }  # fmt: skip
    assert states(trace, "flaky") == [("RETRIED", 1), ("DONE", 2)]
    pauses = [
        trace.labels[label] for label in trace.of_kind(Kind.PAUSE)["label"].tolist()
    ]
    assert sorted(pauses) == ["flaky", "rest"]
    assert [run[:2] for run in trace.runs] == [("orders", "workflow")]
    assert results[0].recording.data is trace


def square_of_nothing(ctx):
    return 0


def test_a_workflow_that_fails():
    def breaks(ctx):
        raise KeyError("gone")

    def body():
        with pytest.raises(fastflow.TaskError):
            fastflow.workflow("w").step("breaks", breaks).run()

    trace = recorded(body)
    assert states(trace, "breaks") == [("FAILED", 1)]
    assert trace.runs[0].error is not None
    assert trace.failures[0].type == "KeyError"


def test_durable_functions():
    flaky = Flaky(1)
    again = StepConfig(
        retry_strategy=lambda error, attempt: fastflow.RetryDecision(attempt < 3, 0.01)
    )
    batches = []

    @durable_execution
    def order(event, context):
        context.step(lambda _: flaky(), name="flaky", config=again)
        context.wait(1, name="rest")
        batch = context.map(
            [1, 2, 3], lambda ctx, item, *_: ctx.step(lambda _: item, name="one")
        )
        batches.append(batch)
        return 1

    def body():
        with DurableRunner(":memory:") as runner:
            assert runner.run(order, {}, execution_name="o-1") == 1

    trace = recorded(body)
    assert calls_by_name(trace) == {"flaky": 2, "one": 3}
    assert states(trace, "flaky") == [("RETRIED", 1), ("DONE", 2)]
    pauses = trace.of_kind(Kind.PAUSE)
    assert {trace.labels[n] for n in pauses["label"].tolist()} == {"flaky", "rest"}
    assert (pauses["end"] - pauses["start"]).max() > 500_000_000
    assert [run[:2] for run in trace.runs] == [("o-1", "durable")]
    assert batches[0].recording.data is trace


def test_calls_in_processes(processes):
    def body():
        futures = [processes.submit(fails_at_three, i) for i in range(6)]
        assert [f.exception() is not None for f in futures].count(True) == 1
        assert futures[5].result() == 5
        assert list(processes.map(square, range(100))) == [i * i for i in range(100)]

    trace = recorded(body)
    calls = trace.calls
    single = calls[calls["run"] < 0]
    assert len(single) == 6
    assert (single["state"] == State.FAILED).sum() == 1
    assert trace.failures[0].message == "no three, please"
    chunks = calls[calls["run"] == 0]
    assert chunks["item"].min() == 0
    assert len(set(chunks["item"].tolist())) == len(chunks)
    assert {trace.lanes[n].kind for n in calls["lane"].tolist()} == {"process"}
    assert len(trace.of_kind(Kind.SEND)) == len(calls)


def test_the_error_of_a_recorded_call_is_as_it_was(processes):
    with fastflow.record(counters=False):
        error = processes.submit(fails_at_three, 3).exception()
    assert isinstance(error, ValueError)
    assert "fails_at_three" in str(error.__cause__)


def test_a_flow_in_processes(processes):
    flow = fastflow.Flow(FLOW, registry=REGISTRY)
    trace = recorded(lambda: flow.run(executor=processes))
    assert calls_by_name(trace) == EXPECTED
    kinds = {
        trace.labels[call["label"]]: trace.lanes[call["lane"]].kind
        for call in trace.calls
    }
    assert kinds["fetch"] == "loop"
    assert kinds["load"] == kinds["double"] == "process"


@pytest.mark.parametrize("kind", [cf.ThreadPoolExecutor, cf.ProcessPoolExecutor])
def test_fans_on_the_standard_librarys_executors(kind):
    with kind(2) as executor:
        executor.submit(square, 1).result()

        def body():
            fastflow.map(square, range(50), executor=executor)
            list(fastflow.imap(square, range(10), executor=executor))
            with pytest.raises(ValueError, match="three"):
                fastflow.map(fails_at_three, range(50), executor=executor)

        trace = recorded(body)
    assert [run.kind for run in trace.runs] == ["map"] * 3
    assert trace.runs[2].error is not None
    kinds = {trace.lanes[n].kind for n in trace.calls["lane"].tolist()}
    assert kinds == {"thread" if kind is cf.ThreadPoolExecutor else "process"}
    assert {failure.type for failure in trace.failures} == {"ValueError"}


@pytest.fixture
def nothing_measured(monkeypatch):
    monkeypatch.setattr(machine, "_overhead", {})


@pytest.mark.usefixtures("nothing_measured")
def test_what_a_call_in_a_process_costs_is_measured_where_there_are_some():
    assert "process" not in recorded(lambda: square(1)).machine["overhead"]
    with fastflow.ProcessExecutor(1) as executor:
        trace = recorded(lambda: executor.submit(square, 2).result())
    cost = trace.machine["overhead"]
    assert set(cost) == {"submit", "map", "process"}
    assert cost["process"] > cost["submit"] > 0
    assert calls_by_name(trace) == {"square": 1}


@pytest.mark.usefixtures("nothing_measured")
def test_no_process_is_started_to_measure_what_a_call_costs():
    with fastflow.ProcessExecutor(8) as executor:
        recorded(lambda: executor.submit(square, 2).result())
        assert not executor.stands_by
        assert len(executor._desk.workers) == 1


def test_small_calls_in_processes_have_a_break_even(processes):
    def body():
        for future in [processes.submit(square, i) for i in range(300)]:
            future.result()

    trace = recorded(body)
    (cause,) = [c for c in explain(trace).causes if "too small" in c.name]
    measured = trace.machine["overhead"]["process"]
    assert ns_text(measured) in cause.evidence
