"""Runs inside of runs: what each sees of the end of the other."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest

import fastflow
from fastflow.base.timers import VirtualClock


@pytest.fixture
def wf():
    return fastflow.workflow("outer")


@pytest.mark.parametrize("way", ["subflow", "settled sub-flow"])
@pytest.mark.parametrize("who", ["itself", "outside"])
def test_cancelling_a_subflow_cancels_the_outer_run(wf, who, way):
    inner, waits = fastflow.workflow("inner"), threading.Event()
    if who == "itself":
        inner.step("s", lambda ctx: ctx.run.cancel())
    else:
        inner.step("s", lambda ctx: waits.set()).wait_for_event("never")
    if way == "subflow":
        wf.subflow("sub", inner)
    else:
        wf.for_each(
            "f", [1], build=lambda flow: flow.subflow("sub", inner), on_error="settle"
        )
    run = wf.on_error(lambda ctx: "handled").start()
    if who == "outside":
        assert waits.wait(60)
        assert inner.runs[0].cancel()
    with pytest.raises(concurrent.futures.CancelledError, match="run inner-"):
        run.result(60)
    assert run.status == "CANCELLED"
    assert run.steps["sub" if way == "subflow" else "f"].status == "CANCELLED"
    assert wf.runs == inner.runs == []


def test_cancelling_the_outer_run_cancels_the_subflow(wf):
    waits = threading.Event()
    inner = fastflow.workflow("inner").step("s", lambda ctx: waits.set())
    run = wf.subflow("sub", inner.wait_for_event("never")).start()
    assert waits.wait(60)
    inside = inner.runs[0]
    assert run.cancel()
    assert inside.status == "CANCELLED"
    with pytest.raises(concurrent.futures.CancelledError, match="run outer-"):
        run.result(60)


def test_close_waits_for_the_actions_of_subflows(wf):
    release = threading.Event()
    inner = fastflow.workflow("inner").action(
        "background", lambda ctx: release.wait(60)
    )
    wf.subflow("sub", inner).run()
    assert wf.close(0) == ["action 'background'"]
    assert inner.close(0) == ["action 'background'"]
    release.set()
    assert wf.close(60) == []
    assert inner.close(60) == []


def test_cancelling_reaches_the_actions_of_ended_subflows(wf):
    told = threading.Event()

    def loops(ctx):
        while not ctx.cancelled:
            pass
        told.set()

    inner = fastflow.workflow("inner").action("background", loops)
    waits = threading.Event()
    wf.subflow("sub", inner).step("s", lambda ctx: waits.set()).wait_for_event("never")
    run = wf.start()
    assert waits.wait(60)
    run.cancel()
    assert told.wait(60)
    assert wf.close(60) == inner.close(60) == []


LIMITS = {
    "none": {},
    "timeout": {"timeout": "1h"},
    "concurrency": {"concurrency": 1},
    "rate": {"rate_limit": "1/1h"},
}


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("end", ["cancel", "limit"])
def test_a_subflow_of_a_stopped_run_never_begins(end, limits):
    clock, called = VirtualClock(), []
    inner = fastflow.workflow("inner", clock=clock, **LIMITS[limits])
    inner.step("s", called.append)

    def stops(ctx):
        if end == "cancel":
            ctx.run.cancel()
        else:
            clock.advance(10)

    outer = fastflow.workflow("outer", clock=clock, timeout=10)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        run = outer.subflow("sub", inner, stops).start(executor=executor)
    with pytest.raises((concurrent.futures.CancelledError, fastflow.TaskTimeout)):
        run.result(60)
    assert inner.close(0) == []
    assert called == []
    # It has taken nobody's place, and no token.
    assert inner.start().result(60).status == "COMPLETED"
    assert len(called) == 1


def test_a_subflow_of_a_stopped_run_lets_nobody_else_in():
    clock, inside, release = VirtualClock(), [], threading.Event()

    def works(ctx):
        inside.append(ctx.payload)
        release.wait(60)

    inner = fastflow.workflow("inner", concurrency=1, clock=clock).step("s", works)
    runs = [inner.start(n) for n in range(2)]
    outer = fastflow.workflow("outer").subflow(
        "sub", inner, lambda ctx: ctx.run.cancel()
    )
    with pytest.raises(concurrent.futures.CancelledError):
        outer.run()
    assert [run.status for run in runs] == ["RUNNING", "PENDING"]
    release.set()
    for run in runs:
        run.result(60)
    assert inside == [0, 1]


@pytest.mark.parametrize("limits", LIMITS)
def test_a_run_that_is_cancelled_while_it_enters_leaves(limits, monkeypatch):
    wf = fastflow.workflow("w", **LIMITS[limits]).step("s", lambda ctx: 1)
    shared, enter = wf.shared, wf.shared.enter

    def enters(run):
        enter(run)
        monkeypatch.undo()
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            assert executor.submit(run.cancel).result(60)

    monkeypatch.setattr(shared, "enter", enters)
    run = wf.start()
    with pytest.raises(concurrent.futures.CancelledError):
        run.result(60)
    assert wf.close(0) == []
    if shared.gate is not None:
        assert shared.gate._inside == 0
