"""``wf.test()``: mocks, virtual time, expectations and how they fail."""

from __future__ import annotations

import asyncio
import logging

import pytest

import fastflow
from fastflow import FlowError, TaskTimeout


def unreachable(ctx, *item):
    raise AssertionError("this must be mocked")


@pytest.fixture
def wf():
    return fastflow.workflow("tested")


def test_a_chain_as_in_the_reference(wf):
    wf.step("load", unreachable).step("double", lambda ctx: ctx.last * 2)
    run = (
        wf.test()
        .trigger({"n": 4})
        .mock_step("load", lambda ctx: ctx.payload["n"])
        .expect_step("load")
        .to_succeed()
        .expect_step("double")
        .to_return(8)
        .expect_last(8)
        .run()
    )
    assert (run.status, run.last) == ("COMPLETED", 8)


def test_the_workflow_itself_is_not_changed(wf):
    wf.step("a", lambda ctx: ctx.state.incr("n"), cache=lambda ctx: 0)
    assert wf.test().run().last == 1
    assert wf.test().mock_step("a", lambda ctx: 7).run().last == 7
    assert wf.state.get("n") is None
    assert wf.run().steps["a"].attempts == 1
    assert wf.run().steps["a"].attempts == 0
    assert wf.test().run().steps["a"].attempts == 1


@pytest.mark.parametrize("asynchronous", [True, False])
def test_every_kind_of_step_can_be_mocked(wf, asynchronous):
    inner = fastflow.workflow("inner").step("x", unreachable)
    wf.step("step", unreachable).step("limited", unreachable, timeout="1m")
    wf.parallel([unreachable], "parallel").race([unreachable], "race")
    wf.for_each("each", unreachable, unreachable).batch("batch", [1], 2, unreachable)
    wf.for_each("sub", [1], build=lambda f: f.step("y", unreachable))
    wf.while_("loop", unreachable, unreachable)
    wf.while_("loop 2", unreachable, build=lambda f: f.step("z", unreachable))
    wf.sleep("1d", name="sleep").subflow("subflow", inner)
    wf.wait_for_event("event").human_in_the_loop("human", unreachable)
    names = [name for name in wf.program().names if name != "z"]
    harness = wf.test()

    async def one_more(ctx):
        await asyncio.sleep(0)
        return ctx.last + 1

    for name in names:
        mock = one_more if asynchronous else lambda ctx: ctx.last + 1
        harness.mock_step(name, mock).expect_step(name).to_succeed()
    run = harness.trigger(0).run()
    assert run.last == len(names) == 13
    assert run.steps["z"].status == "SKIPPED"


def test_predicates_actions_and_handlers_can_be_mocked(wf):
    wf.if_("c", unreachable).step("yes", lambda ctx: "yes").end_if()
    wf.action("act", unreachable).step("fail", lambda ctx: 1 / 0)
    wf.on_error(unreachable, name="rescue")
    run = (
        wf.test()
        .mock_step("c", lambda ctx: True)
        .mock_step("act", lambda ctx: "done")
        .mock_step("rescue", lambda ctx: "rescued")
        .expect_step("yes")
        .to_succeed()
        .expect_step("fail")
        .to_fail(ZeroDivisionError)
        .expect_step("act")
        .to_return("done")
        .run()
    )
    assert run.last == "rescued"
    assert (
        wf.test()
        .mock_step("c", lambda ctx: False)
        .mock_step("act", lambda ctx: 0)
        .mock_step("fail", lambda ctx: 5)
        .expect_step("yes")
        .to_be_skipped()
        .run()
        .last
        == 5
    )


def test_steps_of_sub_flows_can_be_mocked(wf):
    wf.for_each("f", [1, 2], build=lambda flow: flow.step("x", unreachable))
    assert wf.test().mock_step("x", lambda ctx: -ctx.item).run().last == [-1, -2]
    with pytest.raises(FlowError, match="step of a sub-flow"):
        wf.test().expect_step("x")


def test_time_is_virtual(wf):
    times = []

    def fails(ctx):
        times.append(1)
        raise OSError

    wf.sleep("30d").step("a", fails, retries=3, retry_delay="1h", max_delay="1d")
    wf.on_error(lambda ctx: 0)
    wf.for_each("f", [1, 2, 3], build=lambda flow: flow.sleep("1d").sleep("1d"))
    run = wf.test().expect_step("a").to_take_attempts(4).run()
    assert run.last == [1, 2, 3]
    assert len(times) == 4
    assert run.steps["sleep-1"].duration == 30 * 86_400
    assert run.steps["f"].duration == 2 * 86_400


def test_time_does_not_pass_while_something_goes_on(wf):
    async def work(ctx):
        await asyncio.sleep(0.01)
        return "in time"

    wf.step("a", work, timeout=0.001).parallel([work], timeout=0.001)
    assert wf.test().run().last == ["in time"]


def test_time_limits_pass_at_once(wf):
    wf.wait_for_event("paid", timeout="1h").on_error(lambda ctx: type(ctx.error))
    run = wf.test().expect_step("paid").to_fail(TaskTimeout).run()
    assert run.last is TaskTimeout
    assert run.steps["paid"].duration == 3600


def test_the_limit_of_the_run():
    wf = fastflow.workflow("late", timeout="1m").sleep("1h")
    run = wf.test().expect_failure(TaskTimeout).run()
    assert run.duration == 60


def test_events_and_answers(wf):
    told = []
    wf.wait_for_event("paid").human_in_the_loop("ok", lambda ctx, t: told.append(t))
    wf.step("end", lambda ctx: (ctx.steps["paid"].output, ctx.last))
    run = wf.test().emit("paid", 5).answer("ok", "yes").run()
    assert run.last == (5, "yes")
    assert len(told) == 1


def test_limits_on_runs_do_not_apply():
    wf = fastflow.workflow("limited", rate_limit="1/1d", concurrency=1)
    wf.step("a", lambda ctx: 1)
    assert [wf.test().run().last for _ in range(3)] == [1, 1, 1]


def test_a_run_that_waits_for_ever(wf):
    wf.wait_for_event("paid")
    with pytest.raises(AssertionError, match=r"waits for ever: event 'paid'; give it"):
        wf.test().run()
    wf2 = fastflow.workflow("asks").human_in_the_loop("ok")
    with pytest.raises(AssertionError, match="waits for ever: answer to 'ok'"):
        wf2.test().run()


def test_an_unexpected_failure_is_an_error_with_its_cause(wf):
    with pytest.raises(AssertionError) as caught:
        wf.step("a", lambda ctx: 1 / 0).test().run()
    assert str(caught.value).splitlines() == [
        "workflow 'tested': 1 unmet expectation",
        "  run",
        "  - expected: COMPLETED",
        "  + actual:   FAILED (TaskError: step 'a' of workflow 'tested' failed: "
        "ZeroDivisionError: division by zero)",
    ]
    assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)


def test_an_expected_failure_is_returned(wf):
    wf.step("a", lambda ctx: 1 / 0)
    assert wf.test().expect_step("a").to_fail().run().status == "FAILED"
    assert wf.test().expect_failure(ZeroDivisionError).run().status == "FAILED"
    assert wf.test().expect_failure().run().status == "FAILED"


UNMET = {
    "to_succeed": (
        lambda test: test.expect_step("fails").to_succeed(),
        "step 'fails'",
        "COMPLETED",
        "FAILED (ValueError: boom)",
    ),
    "to_fail": (
        lambda test: test.expect_step("works").to_fail(),
        "step 'works'",
        "FAILED",
        "COMPLETED",
    ),
    "to_fail otherwise": (
        lambda test: test.expect_step("fails").to_fail(OSError),
        "step 'fails'",
        "FAILED (OSError)",
        "FAILED (ValueError: boom)",
    ),
    "to_be_skipped": (
        lambda test: test.expect_step("works").to_be_skipped(),
        "step 'works'",
        "SKIPPED",
        "COMPLETED",
    ),
    "to_succeed, skipped": (
        lambda test: test.expect_step("not run").to_succeed(),
        "step 'not run'",
        "COMPLETED",
        "SKIPPED",
    ),
    "to_return": (
        lambda test: test.expect_step("works").to_return(4),
        "step 'works'",
        "output 4",
        "output 5",
    ),
    "to_return, failed": (
        lambda test: test.expect_step("fails").to_return(4),
        "step 'fails'",
        "output 4",
        "FAILED (ValueError: boom)",
    ),
    "to_take_attempts": (
        lambda test: test.expect_step("works").to_take_attempts(2),
        "step 'works'",
        "2 attempts",
        "1 attempts",
    ),
    "expect_last": (lambda test: test.expect_last(1), "last value", "1", "'rescued'"),
    "expect_failure": (
        lambda test: test.expect_failure(OSError),
        "run",
        "FAILED (OSError)",
        "COMPLETED (no error)",
    ),
}


@pytest.mark.parametrize("case", UNMET)
def test_unmet_expectations_show_both_sides(wf, case):
    def boom(ctx):
        raise ValueError("boom")

    wf.step("works", lambda ctx: 5).step("fails", boom).step("not run", lambda ctx: 1)
    wf.on_error(lambda ctx: "rescued")
    expect, subject, expected, actual = UNMET[case]
    with pytest.raises(AssertionError) as caught:
        expect(wf.test()).run()
    assert str(caught.value).splitlines() == [
        "workflow 'tested': 1 unmet expectation",
        f"  {subject}",
        f"  - expected: {expected}",
        f"  + actual:   {actual}",
    ]


def test_all_unmet_expectations_are_shown(wf):
    wf.step("a", lambda ctx: 5)
    test = wf.test().expect_step("a").to_fail().expect_last(6).expect_last(7)
    with pytest.raises(AssertionError, match="3 unmet expectations"):
        test.run()


@pytest.mark.parametrize(
    "use",
    [
        lambda test: test.mock_step("lod", print),
        lambda test: test.expect_step("lod"),
        lambda test: test.answer("lod", 1),
    ],
)
def test_unknown_steps(wf, use):
    with pytest.raises(FlowError, match=r"no step 'lod'; did you mean 'load'\?"):
        use(wf.step("load", unreachable).test())


def test_a_mock_is_a_function(wf):
    with pytest.raises(FlowError, match="the mock of 'load' must be a function"):
        wf.step("load", unreachable).test().mock_step("load", 5)


def test_failed_actions_are_seen(wf, caplog):
    with caplog.at_level(logging.CRITICAL):
        run = (
            wf.action("act", lambda ctx: 1 / 0)
            .test()
            .expect_step("act")
            .to_fail()
            .run()
        )
    assert run.status == "COMPLETED"
