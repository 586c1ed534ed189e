"""What holds for explanations of all traces, and of odd ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastflow.seeing.explain import explain
from fastflow.seeing.trace import COUNTER, SPAN, Dag, Kind, Lane, Run, State, Trace
from seeing import explain_traces
from seeing.explain_traces import PLANTED, Simulation, Task, machine

TIMES = st.one_of(
    st.integers(-5, 50), st.integers(0, 10**6), st.integers(-(2**63), 2**63 - 1)
)
SMALL = st.integers(-2, 6)


@st.composite
def odd_traces(draw):
    """Traces that no recording makes."""
    count = draw(st.integers(0, 12))
    spans = np.zeros(count, SPAN)
    for row in spans:
        for name in ("start", "end", "ready", "cpu"):
            row[name] = draw(TIMES)
        for name in ("item", "lane", "label", "run", "attempt"):
            row[name] = draw(SMALL)
        row["kind"] = draw(st.sampled_from(Kind))
        row["state"] = draw(st.sampled_from(State))
    kinds = st.sampled_from(["worker", "thread", "process", "loop", "remote", "waits"])
    lanes = tuple(Lane("lane", kind) for kind in draw(st.lists(kinds, max_size=4)))
    counters = {}
    for name in draw(st.sets(st.sampled_from(["cpu", "lock", "ready"]))):
        counters[name] = np.zeros(draw(st.integers(0, 3)), COUNTER)
        for row in counters[name]:
            row["time"], row["value"] = draw(TIMES), draw(st.floats())
    edges = draw(st.lists(st.tuples(SMALL, SMALL), max_size=6))
    dag = Dag(("a", "b", "c"), np.array(edges).reshape(-1, 2), (), (0, 1, 2))
    run = Run("r", draw(st.sampled_from(["graph", "flow", "map"])), dag=dag)
    return Trace(
        spans,
        ("a", "b", "c"),
        lanes,
        (run._replace(start=draw(TIMES), end=draw(TIMES)),),
        counters=counters,
        length=draw(TIMES),
        dropped=draw(st.integers(-1, 10)),
        machine=draw(
            st.sampled_from(
                [
                    {},
                    {"cpus": 2, "blas": [2, "x"], "overhead": {"submit": 5}},
                    {"cpus": None, "blas": {"a": None}, "overhead": 7, "workers": "2"},
                ]
            )
        ),
    )


@settings(deadline=None)
@given(odd_traces())
def test_odd_traces_are_explained_and_the_account_adds_up(trace):
    before = trace.spans.copy()
    found = explain(trace)
    assert (trace.spans == before).all()
    total = found.workers * found.wall
    assert sum(found.account.values()) == pytest.approx(total, rel=1e-6, abs=1e-9)
    assert min(found.account.values()) >= -1e-9 * max(total, 1)
    assert max(map(len, found.text().splitlines())) <= 100
    assert found._repr_html_().startswith("<div>")
    assert all(0 < cause.lost <= found.wall * 1.000001 for cause in found.causes)


@st.composite
def simulations(draw):
    tasks = []
    for n in range(draw(st.integers(1, 30))):
        after = draw(st.sets(st.integers(0, n - 1), max_size=2)) if n else set()
        tasks.append(
            Task(
                draw(st.sampled_from("abc")),
                draw(st.integers(1, 500)),
                cpu=draw(st.sampled_from([0.0, 0.5, 1.0])),
                after=tuple(after),
                send=draw(st.sampled_from([0, 0, 10])),
            )
        )
    return Simulation(
        tasks,
        draw(st.integers(1, 5)),
        capacity=draw(st.sampled_from([1, 3, 1e9])),
        overhead=draw(st.sampled_from([0, 5])),
        kind=draw(st.sampled_from(["worker", "process"])),
        machine=machine(draw(st.integers(1, 8))),
    )


@settings(deadline=None)
@given(simulations())
def test_the_account_of_a_simulated_run(simulation):
    trace = simulation.run()
    found = explain(trace)
    assert found.workers == simulation.workers
    assert found.tasks == len(simulation.tasks)
    total = found.workers * found.wall
    assert sum(found.account.values()) == pytest.approx(total, rel=1e-9)
    calls = trace.spans[trace.spans["kind"] == Kind.CALL]
    longest = (calls["end"] - calls["start"]).max()
    assert longest <= found.critical_path.length <= found.wall * 1e9 + 1
    assert found.work <= (calls["end"] - calls["start"]).sum() / 1e9 + 1e-12


def scaled(trace, factor):
    spans = trace.spans.copy()
    for name in ("start", "end", "ready", "cpu"):
        spans[name] = np.where(spans[name] < 0, -1, spans[name] * factor)
    overhead = trace.machine["overhead"]
    counters = {}
    for name, counter in trace.counters.items():
        counters[name] = counter.copy()
        counters[name]["time"] *= factor
    return replace(
        trace,
        spans=spans,
        length=trace.length * factor,
        runs=tuple(
            run._replace(start=run.start * factor, end=run.end * factor)
            for run in trace.runs
        ),
        counters=counters,
        machine={
            **trace.machine,
            "overhead": {name: ns * factor for name, ns in overhead.items()},
        },
    )


def reordered(trace, order):
    """The same trace with its lanes in another order."""
    spans = trace.spans.copy()
    spans["lane"] = np.argsort(order)[spans["lane"]]
    return replace(trace, spans=spans, lanes=tuple(trace.lanes[n] for n in order))


def same(one, other, factor=1):
    assert [cause.page for cause in one.causes] == [c.page for c in other.causes]
    assert one.critical_path.steps == other.critical_path.steps
    for name, seconds in one.account.items():
        assert other.account[name] == pytest.approx(seconds * factor, abs=1e-12)


TRACES = {page: make() for page, make in PLANTED.items()}
TRACES["healthy"] = explain_traces.healthy()


@pytest.mark.parametrize("page", TRACES)
@settings(deadline=None, max_examples=10)
@given(factor=st.integers(2, 10_000))
def test_a_slower_machine_changes_no_cause(page, factor):
    trace = TRACES[page]
    same(explain(trace), explain(scaled(trace, factor)), factor)


@pytest.mark.parametrize("page", TRACES)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_the_order_of_the_lanes_does_not_matter(page, data):
    trace = TRACES[page]
    order = data.draw(st.permutations(range(len(trace.lanes))))
    same(explain(trace), explain(reordered(trace, order)))


@settings(deadline=None)
@given(simulation=simulations(), data=st.data())
def test_neither_matters_for_simulated_runs(simulation, data):
    trace = simulation.run()
    order = data.draw(st.permutations(range(len(trace.lanes))))
    same(explain(trace), explain(reordered(trace, order)))
    same(explain(trace), explain(scaled(trace, 7)), 7)
