"""``wf.test()``: subflows, time limits of what hangs, differences of large values."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

import fastflow
from fastflow import FlowError, TaskTimeout


@pytest.fixture
def wf():
    return fastflow.workflow("outer")


@pytest.fixture
def inner():
    return fastflow.workflow("inner")


def unreachable(ctx):
    raise AssertionError("the real thing")


# Subflows


def test_the_state_of_subflows_begins_empty(wf, inner):
    inner.step("s", lambda ctx: (ctx.state.incr("n"), ctx.global_state.incr("m")))
    wf.subflow("one", inner).subflow("two", inner)
    wf.step("own", lambda ctx: (ctx.state.get("n"), ctx.global_state.incr("m")))
    for _ in range(2):
        run = wf.test().expect_step("two").to_return((2, 2)).run()
        assert run.last == (None, 3)
    assert inner.state.get("n") is None
    assert fastflow.workflow("x").global_state.get("m") is None


def test_caches_of_subflows_begin_empty(wf, inner):
    calls = []
    inner.step("s", lambda ctx: calls.append(1) or len(calls), cache=lambda ctx: 1)
    wf.subflow("one", inner).subflow("two", inner)
    assert wf.test().run().last == 1
    assert wf.test().run().last == 2
    assert inner.run().last == 3


def test_limits_of_subflows_do_not_apply(wf):
    inner = fastflow.workflow("inner", rate_limit="1/1d", concurrency=1)
    inner.step("s", lambda ctx: 1)
    wf.subflow("one", inner).subflow("two", inner)
    assert wf.test().run().duration == 0
    assert inner.run().last == 1


def test_hooks_and_limits_of_time_of_subflows_apply(wf):
    log = []
    inner = fastflow.workflow("inner", timeout="1h", on_failure=log.append)
    wf.subflow("sub", inner.sleep("1d")).on_error(lambda ctx: type(ctx.error))
    run = wf.test().expect_step("sub").to_fail(TaskTimeout).run()
    assert (run.last, run.duration, len(log)) == (TaskTimeout, 3600, 1)


def test_steps_of_subflows_can_be_mocked(wf, inner):
    inner.step("a", unreachable).step("b", lambda ctx: ctx.last + 1)
    wf.step("a", lambda ctx: "own").subflow("one", inner)
    wf.for_each("f", [1], build=lambda flow: flow.subflow("two", inner))
    test = wf.test().mock_step("one/a", lambda ctx: 1)
    run = test.mock_step("two/a", lambda ctx: 2).run()
    assert run.steps["a"].output == "own"
    assert run.steps["one"].output == 2
    assert run.last == [3]


def test_questions_of_subflows_can_be_answered(wf, inner):
    told = []
    inner.human_in_the_loop("ok", lambda ctx, token: told.append(token))
    outer = fastflow.workflow("outermost").subflow("sub", wf.subflow("sub", inner))
    assert outer.test().answer("sub/sub/ok", "yes").run().last == "yes"
    assert len(told) == 1


def test_a_workflow_that_contains_itself(wf):
    wf.step("n", lambda ctx: ctx.payload - 1)
    wf.if_("more", lambda ctx: ctx.last > 0).subflow("again", wf).end_if()
    assert wf.test().trigger(5).run().last == 0
    test = wf.test().trigger(5).mock_step("again/again/n", lambda ctx: -7)
    assert test.run().last == -7
    with pytest.raises(FlowError, match="no step 'again/m'; did you mean 'again/n'"):
        wf.test().mock_step("again/m", unreachable)


def test_unknown_steps_of_subflows(wf, inner):
    wf.subflow("sub", inner.step("charge", unreachable).step("z", unreachable))
    for wrong, right in {"sub/chrge": "sub/charge", "z": "sub/z"}.items():
        with pytest.raises(FlowError, match=f"did you mean '{right}'"):
            wf.test().answer(wrong, 1)
    with pytest.raises(FlowError, match="'sub/charge' is a step of a sub-flow or sub"):
        wf.test().expect_step("sub/charge")


def test_failures_of_subflows_are_seen_through(wf, inner):
    middle = fastflow.workflow("middle")
    middle.subflow("sub", inner.step("s", lambda ctx: 1 / 0))
    wf.subflow("sub", middle)
    wf.test().expect_failure(ZeroDivisionError).run()
    wf.test().expect_step("sub").to_fail(ZeroDivisionError).run()
    wf.test().expect_failure(fastflow.TaskError).run()
    with pytest.raises(AssertionError, match=r"FAILED \(ZeroDivisionError: division"):
        wf.test().expect_failure(OSError).run()


# Time limits of what hangs


async def hangs(ctx, *_):
    await asyncio.Event().wait()


def loops(ctx, *_):
    while not ctx.cancelled:
        pass


LIMITED = {
    "step": lambda wf, fn: wf.step("s", fn, timeout="1h"),
    "parallel": lambda wf, fn: wf.parallel([fn], "s", timeout="1h"),
    "race": lambda wf, fn: wf.race([fn], "s", timeout="1h"),
    "for_each": lambda wf, fn: wf.for_each("s", [1], fn, timeout="1h"),
    "subflow": lambda wf, fn: wf.subflow(
        "s", fastflow.workflow("inner", timeout="1h").step("s", fn)
    ),
}


@pytest.mark.parametrize("fn", [hangs, loops])
@pytest.mark.parametrize("where", LIMITED)
def test_what_hangs_is_out_of_time(wf, where, fn):
    LIMITED[where](wf, fn).on_error(lambda ctx: "fallback")
    test = wf.test(patience=0.01).expect_last("fallback")
    run = test.expect_step("s").to_fail(TaskTimeout).run()
    assert run.duration == 3600


@pytest.mark.parametrize("fn", [hangs, loops])
def test_a_mock_that_hangs(wf, fn):
    wf.step("s", unreachable, timeout="1h").on_error(lambda ctx: "fallback")
    test = wf.test(patience="10ms").mock_step("s", fn)
    assert test.run().last == "fallback"


@pytest.mark.parametrize("fn", [hangs, loops])
def test_a_run_that_hangs(fn):
    log = []
    wf = fastflow.workflow("late", timeout="1h", on_failure=log.append).step("s", fn)
    test = wf.test(patience="10ms").expect_failure(TaskTimeout)
    assert test.run().duration == 3600
    assert len(log) == 1


def test_what_can_t_be_stopped_is_not_waited_for(wf):
    release = threading.Event()
    wf.step("s", lambda ctx: release.wait(60), timeout="1h")
    wf.on_error(lambda ctx: "fallback")
    assert wf.test(patience="10ms").run().last == "fallback"
    assert not release.is_set()
    release.set()


def test_actions_are_waited_for(wf):
    ended, release = threading.Event(), threading.Event()
    wf.action("a", lambda ctx: (release.wait(60), ended.set()))
    wf.wait_for_event("never", timeout="1h").on_error(lambda ctx: release.set())
    wf.test(patience="1s").expect_step("a").to_succeed().run()
    assert ended.is_set()


@pytest.mark.parametrize("wrong", [None, -1, "soon"])
def test_patience_is_a_time(wf, wrong):
    with pytest.raises(FlowError, match="patience"):
        wf.test(patience=wrong)


# Large values


def test_large_values_show_where_they_differ(wf):
    wf.step("s", lambda ctx: [0] * 1000)
    test = wf.test().expect_step("s").to_return([0] * 999 + [1])
    with pytest.raises(AssertionError) as caught:
        test.expect_last({"key": ["x" * 300]}).run()
    lines = str(caught.value).splitlines()
    assert lines[0] == "workflow 'outer': 2 unmet expectations"
    assert lines[4:9] == ["    @@ -998,3 +998,3 @@"] + [
        f"    {line}" for line in ("  0,", "  0,", "- 1]", "+ 0]")
    ]
    assert lines[2].startswith("  - expected: output [0, 0,")
    assert lines[2].endswith("... (3,000 characters)")
    assert lines[-1] == "    ... and 962 lines more"
    assert max(map(len, lines)) < 260


def test_values_that_are_too_large_for_that(wf):
    wf.step("s", lambda ctx: [0] * 100_000)
    with pytest.raises(AssertionError) as caught:
        wf.test().expect_last([0] * 99_999).run()
    assert len(str(caught.value)) < 1_000


def test_actions_that_hang(wf):
    cancelled = threading.Event()

    async def hang(ctx):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    wf.action("background", hang).step("s", lambda ctx: 1)
    with pytest.raises(AssertionError, match=r"'background'.*patience"):
        wf.test(patience=0.05).expect_last(1).run()
    assert cancelled.wait(60)


def test_time_that_has_passed_meanwhile_is_told(wf):
    go = threading.Event()
    wf.step("crunch", lambda ctx: go.wait(60), timeout="10m")
    with pytest.raises(AssertionError, match=r"nothing had come of it.*patience"):
        wf.test(patience=0.05).expect_last(1).run()
    go.set()


def test_arrays_are_compared_as_a_whole(wf):
    wf.step("s", lambda ctx: np.arange(3))
    wf.test().expect_last(np.arange(3)).expect_step("s").to_return(np.arange(3)).run()
    for other in (np.arange(4), np.array([0, 1, 3]), np.arange(3).reshape(3, 1)):
        with pytest.raises(AssertionError, match="unmet"):
            wf.test().expect_last(other).run()
