"""Random graphs against a serial reference: results, order, states, errors."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastflow
from graph_model import (
    DEPTHS,
    AddGraph,
    BoomError,
    DepthsData,
    Model,
    NumberGraph,
    models,
)
from native import kernel

ENDED = {"COMPLETED", "FAILED", "SKIPPED", "CANCELLED"}
KINDS = {"add": AddGraph, "from_edges": NumberGraph}

relaxed = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module", params=(1, 2, 4, 8), ids=lambda n: f"{n} workers")
def executor(request):
    with fastflow.Executor(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def depths(tmp_path_factory):
    """A native function that notices wrong orders by itself."""
    return kernel(DEPTHS, "depths", tmp_path_factory.mktemp("kernel"))


def check_complete(model, outcome):
    """Everything ran once, in a valid order, with the reference's results."""
    expected = model.results()
    outcome.recorder.check(model)
    assert sorted(outcome.recorder.ran()) == list(range(model.n))
    assert outcome.error is None
    assert outcome.result.status == "COMPLETED"
    assert outcome.results() == expected
    assert set(outcome.states().values()) <= {"COMPLETED"}
    assert outcome.failures() == {}
    assert outcome.result.duration >= 0


@pytest.mark.parametrize("kind", KINDS)
@relaxed
@given(data=st.data())
def test_a_graph_gives_what_a_loop_gives(kind, executor, data):
    model = data.draw(KINDS[kind].models())
    graph = KINDS[kind](model)
    check_complete(model, graph.run(executor=executor))
    check_complete(model, graph.run(executor=executor))  # not used up


@pytest.mark.parametrize("kind", KINDS)
@relaxed
@given(data=st.data(), workers=st.sampled_from([1, 2, 4, 8]))
def test_the_default_executor_serves_as_well(kind, data, workers):
    model = data.draw(KINDS[kind].models(most=12))
    check_complete(model, KINDS[kind](model).run(max_workers=workers))


@pytest.mark.parametrize("kind", KINDS)
@relaxed
@given(data=st.data())
def test_independent_nodes_go_on_after_failures(kind, executor, data):
    model = data.draw(KINDS[kind].models(failures=True))
    graph = KINDS[kind](model)
    for _ in range(2):
        outcome = graph.run(executor=executor, on_error="continue")
        states = model.states()
        failed = {i for i, state in states.items() if state == "FAILED"}
        outcome.recorder.check(model)
        assert outcome.states() == states
        assert set(outcome.recorder.ran()) == {
            i for i, state in states.items() if state in ("COMPLETED", "FAILED")
        }
        assert outcome.results() == model.results()
        check_failures(model, outcome, failed)


def check_failures(model, outcome, failed):
    """The error tells of exactly the nodes that ``failed``."""
    assert outcome.failures() == {i: (i,) for i in failed}
    assert outcome.result.status == ("FAILED" if failed else "COMPLETED")
    error = outcome.error
    if not failed:
        assert error is None
        return
    assert error.result is outcome.result
    assert isinstance(error.__cause__, BoomError)
    assert isinstance(error, fastflow.TaskErrorGroup) == (len(failed) > 1)
    parts = error.exceptions if len(failed) > 1 else [error]
    assert {part.task for part in parts} == {outcome.name(i) for i in failed}
    for part in parts:
        assert isinstance(part, fastflow.TaskError)
        assert outcome.name(*part.__cause__.args) == part.task


@pytest.mark.parametrize("kind", KINDS)
@relaxed
@given(data=st.data())
def test_a_failure_ends_a_run_and_never_runs_a_descendant(kind, executor, data):
    model = data.draw(KINDS[kind].models(failures=True))
    outcome = KINDS[kind](model).run(executor=executor)
    outcome.recorder.check(model)
    states, eventually = outcome.states(), model.states()
    failed = {i for i, state in states.items() if state == "FAILED"}
    # Which failures come first depends on the schedule; that there is one does not.
    assert bool(failed) == ("FAILED" in eventually.values())
    assert failed <= {i for i, state in eventually.items() if state == "FAILED"}
    assert set(states.values()) <= ENDED
    complete = {i for i, state in states.items() if state == "COMPLETED"}
    assert sorted(outcome.recorder.ran()) == sorted(complete | failed)
    for source, target in model.edges:
        if target in complete | failed:
            assert source in complete
    assert outcome.results() == {i: model.results()[i] for i in complete}
    check_failures(model, outcome, failed)


@pytest.mark.parametrize("kind", KINDS)
@relaxed
@given(data=st.data())
def test_only_the_results_that_are_kept_are_there(kind, executor, data):
    model = data.draw(KINDS[kind].models())
    graph = KINDS[kind](model)
    expected = model.results()
    sinks = graph.run(executor=executor, keep="sinks")
    assert sinks.results() == {i: expected[i] for i in model.sinks}
    nothing = graph.run(executor=executor, keep="none")
    assert nothing.results() == {}
    for outcome in (sinks, nothing):
        assert set(outcome.states().values()) <= {"COMPLETED"}


@pytest.mark.parametrize("kind", KINDS)
@relaxed
@given(data=st.data())
def test_timings_are_those_of_the_nodes_that_ran(kind, executor, data):
    model = data.draw(KINDS[kind].models(failures=True))
    outcome = KINDS[kind](model).run(
        executor=executor, on_error="continue", timings=True
    )
    check_timings(model, outcome.result, outcome.nodes, outcome.recorder.ran())


def check_timings(model, result, nodes, ran):
    """Predecessors end before their successors start; others have no times."""
    times = result.timings
    assert len(times.start) == len(times.end) == len(times.worker) == model.n
    place = {i: getattr(node, "index", node) for i, node in nodes.items()}
    for i, k in place.items():
        if i in ran:
            assert 0 < times.start[k] <= times.end[k]
            assert times.worker[k] >= 0
        else:
            assert (times.start[k], times.end[k], times.worker[k]) == (0, 0, -1)
    for source, target in model.edges:
        if target in ran:
            assert times.end[place[source]] <= times.start[place[target]]


@pytest.mark.parametrize("kind", KINDS)
@relaxed
@given(data=st.data())
def test_runs_of_one_graph_may_overlap(kind, executor, data):
    model = data.draw(KINDS[kind].models(failures=True))
    graph = KINDS[kind](model)
    start = threading.Barrier(3)
    outcomes = []

    def run():
        start.wait()
        outcomes.append(graph.run(executor=executor, on_error="continue"))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 3
    for outcome in outcomes:
        assert outcome.states() == model.states()
        assert outcome.results() == model.results()


@relaxed
@given(model=models(data_edges=False, most=60))
@example(model=Model(((),) * 300, ((), *[(0,)] * 298, tuple(range(299))), range(300)))
@example(model=Model(((),) * 300, ((), *[(i,) for i in range(299)]), range(300)))
def test_kernels_come_after_their_predecessors(depths, executor, model):
    src, dst = model.arrays
    graph = fastflow.Graph.from_edges(model.n, src, dst)
    for _ in range(3):
        data = DepthsData(model.n, src, dst)
        result = graph.run(fastflow.Kernel(depths, data), executor=executor)
        assert result.status == "COMPLETED"
        assert dict(enumerate(data.arrays["depth"].tolist())) == model.depths()
        assert data.arrays["calls"].tolist() == [1] * model.n
        assert {result.state(i) for i in range(model.n)} <= {"COMPLETED"}
    timed = graph.run(fastflow.Kernel(depths, data), executor=executor, timings=True)
    numbers = {i: i for i in range(model.n)}
    check_timings(model, timed, numbers, list(numbers))


@relaxed
@given(model=models(data_edges=False, most=40))
def test_kernel_runs_of_one_graph_may_overlap(depths, executor, model):
    src, dst = model.arrays
    graph = fastflow.Graph.from_edges(model.n, src, dst)
    start = threading.Barrier(2)
    runs = [DepthsData(model.n, src, dst) for _ in range(2)]

    def run(data):
        start.wait()
        graph.run(fastflow.Kernel(depths, data), executor=executor)

    threads = [threading.Thread(target=run, args=(data,)) for data in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for data in runs:
        assert dict(enumerate(data.arrays["depth"].tolist())) == model.depths()
        assert data.arrays["calls"].tolist() == [1] * model.n


@relaxed
@given(model=models(data_edges=False), extra=st.data())
def test_the_cycle_in_the_error_is_one_of_the_graph(executor, model, extra):
    """Edges against the order of a path through the graph close a cycle."""
    if not model.edges:
        return
    back = extra.draw(st.sampled_from(model.edges))
    ends = {back[1]}  # everything that comes after the edge's target
    for i in model.order:
        if ends & {*model.inputs[i], *model.after[i]}:
            ends.add(i)
    end = extra.draw(st.sampled_from(sorted(ends)))
    edges = {*model.edges, (end, back[0])}
    with pytest.raises(fastflow.CycleError) as caught:
        fastflow.Graph.from_edges(model.n, *Model.arrays_of(edges))
    check_cycle(caught.value.cycle, edges)

    named = AddGraph(model)
    named.graph.connect(named.nodes[end], named.nodes[back[0]])
    with pytest.raises(fastflow.CycleError) as caught:
        named.run(executor=executor)
    names = {named.name(i): i for i in range(model.n)}
    check_cycle([names[name] for name in caught.value.cycle], edges)
    assert named.recorder.events == []  # found before anything runs
    for name in caught.value.cycle:
        assert name in str(caught.value)


def check_cycle(cycle, edges):
    """A closed walk along edges that visits no node twice."""
    assert len(cycle) > 2
    assert cycle[0] == cycle[-1]
    assert len(set(cycle)) == len(cycle) - 1
    assert set(itertools.pairwise(cycle)) <= edges
