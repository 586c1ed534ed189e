"""What recordings see of calls that are made elsewhere, by processes and clusters."""

from __future__ import annotations

import contextlib
import os

import numpy as np
import pytest

import fastflow
from backends import tasks
from backends.places import PLACES, is_there
from fastflow.seeing.explain import explain
from fastflow.seeing.trace import Kind, State

ELSEWHERE = tuple(name for name, place in PLACES.items() if place.processes)


@pytest.fixture(scope="module", params=ELSEWHERE)
def pool(request):
    place = PLACES[request.param]
    if not is_there(place):
        pytest.skip(f"{place.needs} is not installed, see [test-cluster]")
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(place.make())
        made.submit(tasks.square, 1).result()
        yield made


def recorded(body):
    with fastflow.record(counters=False) as recording:
        body()
    return recording.data


def calls_of(trace, name):
    return trace.calls[trace.calls["label"] == trace.labels.index(name)]


def check_lanes(trace, calls):
    """Each lane is that of a worker, which makes one call after the other."""
    for lane in np.unique(calls["lane"]).tolist():
        assert trace.lanes[lane].kind in ("process", "remote")
        assert trace.lanes[lane].pid not in (0, os.getpid())
        mine = np.sort(calls[calls["lane"] == lane], order="start")
        assert (mine["start"][1:] >= mine["end"][:-1]).all()


def check_times(trace, calls, run):
    """Calls lie within their run, and are as long as they were there."""
    assert (calls["start"] >= trace.runs[run].start).all()
    assert (calls["end"] <= trace.runs[run].end).all()
    assert (calls["end"] >= calls["start"]).all()


def test_a_map(pool):
    trace = recorded(lambda: fastflow.map(tasks.where, range(20), executor=pool))
    chunks = calls_of(trace, "where")
    check_lanes(trace, chunks)
    check_times(trace, chunks, 0)
    assert (chunks["end"] - chunks["start"]).sum() >= 20 * 20_000_000  # its sleeps


def test_a_flow(pool):
    registry = {"given": tasks.given, "where": tasks.where, "total": len}
    flow = fastflow.Flow(
        "flow F:\n    given -> where[*]\n    where -> total\n", registry=registry
    )
    results = []
    trace = recorded(
        lambda: results.append(flow.run({"items": [*range(20)]}, executor=pool))
    )
    calls = calls_of(trace, "where")
    assert len(calls) == 20
    check_lanes(trace, trace.calls)
    check_times(trace, trace.calls, 0)
    assert ((calls["end"] - calls["start"]) >= 20_000_000).all()
    assert {trace.lanes[n].pid for n in calls["lane"]} == set(results[0]["where"])
    assert trace.runs[0].kind == "flow"


def test_single_calls_of_a_flow_that_fail(pool):
    flow = fastflow.Flow("flow F:\n    work\n", registry={"work": tasks.raise_odd})

    def body():
        with pytest.raises(fastflow.TaskError):
            flow.run(executor=pool)

    trace = recorded(body)
    (call,) = trace.calls
    assert call["state"] == State.FAILED
    assert [failure.type for failure in trace.failures] == ["OddError"]
    check_lanes(trace, trace.calls)


def test_failed_items_show_in_their_chunk(pool):
    def body():
        found = fastflow.map(
            tasks.raise_odd, range(3), executor=pool, return_exceptions=True
        )
        assert [type(each) for each in found] == [tasks.OddError] * 3
        fastflow.map(tasks.square, range(3), executor=pool, return_exceptions=True)

    trace = recorded(body)
    assert (calls_of(trace, "raise_odd")["state"] == State.FAILED).all()
    assert (calls_of(trace, "square")["state"] == State.DONE).all()
    assert {failure.type for failure in trace.failures} == {"OddError"}
    total = trace.totals[trace.labels.index("raise_odd")]
    assert total.failed == total.count > 0
    assert trace.totals[trace.labels.index("square")].failed == 0


def test_what_is_given_up_is_on_no_workers_lane(pool, tmp_path):
    flow = fastflow.Flow("flow F:\n    work\n", registry={"work": tasks.limited})
    go = tmp_path / "go"

    def body():
        with pytest.raises(fastflow.TaskError):
            flow.run(str(go), executor=pool)

    try:
        trace = recorded(body)
    finally:
        go.touch()
    (call,) = trace.of_kind(Kind.CALL)
    assert call["state"] == State.FAILED
    assert trace.lanes[call["lane"]].kind == "waits"


def test_an_answer_to_where_the_time_went(pool):
    trace = recorded(lambda: fastflow.map(tasks.where, range(40), executor=pool))
    answer = explain(trace)
    assert answer.workers in (1, 2)
    assert answer.work <= answer.workers * answer.wall
    total = sum(answer.account.values())
    assert total == pytest.approx(answer.workers * answer.wall, rel=1e-6)
