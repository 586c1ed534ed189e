"""Branches, loops, subflows, on_error, hooks."""

from __future__ import annotations

import asyncio

import pytest

import fastflow
from fastflow import TaskError


@pytest.fixture
def wf():
    return fastflow.workflow("control")


def value(x):
    return lambda ctx: x


def payload_is(x):
    return lambda ctx: ctx.payload == x


def as_async(fn):
    async def call(ctx):
        await asyncio.sleep(0)
        return fn(ctx)

    return call


# if_


@pytest.mark.parametrize("wrap", [lambda fn: fn, as_async])
@pytest.mark.parametrize(("payload", "expected"), [(1, "one"), (2, "two"), (3, "more")])
def test_exactly_one_branch_runs(wf, wrap, payload, expected):
    wf.if_("1?", wrap(payload_is(1))).step("one", value("one"))
    wf.elif_("2?", wrap(payload_is(2))).step("two", value("two"))
    wf.else_().step("more", value("more")).end_if().step("end", lambda ctx: ctx.last)
    run = wf.run(payload)
    assert run.last == expected
    ran = [name for name in ("one", "two", "more") if name in run.steps]
    assert ran == [expected]
    assert run.steps["1?"].output is (payload == 1)
    assert run.steps["2?"].status == ("SKIPPED" if payload == 1 else "COMPLETED")


def test_last_stays_if_no_branch_runs(wf):
    wf.step("a", value([])).if_("no", value(False)).step("b", value(1)).end_if()
    assert wf.run().last == []


def test_any_value_decides_by_its_truth(wf):
    wf.if_("x", lambda ctx: ctx.payload).step("a", value("true")).end_if()
    for payload in ([], 0, None, "", {}):
        run = wf.run(payload)
        assert run.last is payload
        assert run.steps["x"].output is False
    assert wf.run([0]).last == "true"


def test_branches_nest(wf):
    wf.if_("a", lambda ctx: ctx.payload[0])
    wf.if_("b", lambda ctx: ctx.payload[1]).step("ab", value("ab"))
    wf.else_().step("a-", value("a-")).end_if()
    wf.else_()
    wf.if_("c", lambda ctx: ctx.payload[1]).step("-b", value("-b"))
    wf.else_().step("--", value("--")).end_if()
    wf.end_if()
    outcomes = [wf.run((a, b)).last for a in (0, 1) for b in (0, 1)]
    assert outcomes == ["--", "-b", "a-", "ab"]


def test_empty_branches(wf):
    wf.if_("a", value(True)).else_().end_if().if_("b", value(False)).end_if()
    assert wf.run("x").last == "x"


def test_a_thousand_nested_branches(wf):
    for n in range(1000):
        wf.if_(f"c{n}", value(True))
    wf.step("inside", value("in"))
    for _ in range(1000):
        wf.end_if()
    assert wf.run().last == "in"


def test_a_failing_predicate(wf):
    wf.if_("c", lambda ctx: 1 / 0).step("a", value(1)).end_if()
    with pytest.raises(TaskError) as caught:
        wf.run()
    assert caught.value.task == "c"
    assert caught.value.result.steps["c"].status == "FAILED"


# while_


@pytest.mark.parametrize("wrap", [lambda fn: fn, as_async])
def test_while(wf, wrap):
    wf.while_("w", wrap(lambda ctx: ctx.last < 10), wrap(lambda ctx: ctx.last + 3))
    run = wf.run(0)
    assert run.last == 12
    assert (run.steps["w"].output, run.steps["w"].attempts) == (12, 4)


def test_a_loop_that_never_begins(wf):
    run = wf.step("a", value(5)).while_("w", value(False), value(1)).run()
    assert (run.last, run.steps["w"].attempts) == (5, 0)


def test_a_loop_with_steps(wf):
    wf.while_(
        "w",
        lambda ctx: ctx.last < 5,
        build=lambda flow: (
            flow.step("double", lambda ctx: ctx.last * 2)
            .if_("odd", lambda ctx: ctx.last % 2)
            .step("never", value(0))
            .else_()
            .parallel([lambda ctx: ctx.last + 1, lambda ctx: 0])
            .step("first", lambda ctx: ctx.last[0])
            .end_if()
        ),
    )
    run = wf.run(1)
    assert run.last == 7
    assert run.steps["double"].output == 6
    assert run.steps["never"].status == "SKIPPED"


def test_loops_nest_and_start_anew(wf):
    counts = []

    def inner(flow):
        flow.step("reset", value(0))
        flow.while_("inner", lambda ctx: ctx.last < 3, lambda ctx: ctx.last + 1)
        flow.step("note", lambda ctx: counts.append(ctx.steps["inner"].attempts))

    wf.while_("outer", lambda ctx: len(counts) < 3, build=inner, max_iterations=3)
    wf.run(0)
    assert counts == [3, 3, 3]


def test_too_many_iterations(wf):
    seen = []
    wf.while_("w", value(True), lambda ctx: seen.append(1), max_iterations=5)
    with pytest.raises(TaskError, match="'w' wants to go on after 5 iterations"):
        wf.run()
    assert len(seen) == 5


def test_exactly_as_many_iterations_as_allowed(wf):
    wf.while_("w", lambda ctx: ctx.last < 5, lambda ctx: ctx.last + 1, max_iterations=5)
    assert wf.run(0).last == 5


def test_a_failing_body(wf):
    def body(flow):
        flow.step("fail", lambda ctx: 1 / 0)

    with pytest.raises(TaskError) as caught:
        wf.while_("w", value(True), build=body).run()
    assert caught.value.task == "fail"
    assert caught.value.result.steps["w"].status == "FAILED"


def test_a_hundred_thousand_iterations(wf):
    wf.while_(
        "w", lambda ctx: ctx.last < 100_000, lambda ctx: ctx.last + 1,
        max_iterations=100_000,
    )  # fmt: skip
    assert wf.run(0).last == 100_000


# subflow


def test_a_subflow_gets_last_or_what_payload_makes(wf):
    inner = fastflow.workflow("inner").step("x", lambda ctx: ("in", ctx.payload))
    wf.step("a", value(5)).subflow("first", inner)
    wf.subflow("second", inner, lambda ctx: ctx.payload)
    wf.subflow("third", inner, as_async(value(None)))
    run = wf.run("p")
    assert run.steps["first"].output == ("in", 5)
    assert run.steps["second"].output == ("in", "p")
    assert run.last == ("in", None)
    assert inner.runs == []


def test_a_failing_subflow(wf):
    inner = fastflow.workflow("inner").step("x", lambda ctx: 1 / 0)
    with pytest.raises(TaskError) as caught:
        wf.subflow("sub", inner).run()
    outer, middle = caught.value, caught.value.__cause__
    assert (outer.task, middle.task) == ("sub", "x")
    assert middle.result.workflow == "inner"
    assert isinstance(middle.__cause__, ZeroDivisionError)
    assert (
        wf.on_error(lambda ctx: repr(ctx.error.__cause__)).run().last.startswith("Zero")
    )


def test_a_workflow_may_contain_itself(wf):
    wf.if_("more", lambda ctx: ctx.payload > 0)
    wf.subflow("again", wf, lambda ctx: ctx.payload - 1)
    wf.else_().step("bottom", value("bottom")).end_if()
    assert wf.run(2000).last == "bottom"


def test_subflows_side_by_side(wf):
    inner = (
        fastflow.workflow("inner").sleep(0.001).step("x", lambda ctx: ctx.payload**2)
    )
    wf.for_each(
        "f",
        range(20),
        build=lambda flow: flow.subflow("s", inner, lambda ctx: ctx.item),
    )
    assert wf.run().last == [n * n for n in range(20)]


def test_time_limit_of_a_subflow(wf):
    inner = fastflow.workflow("inner", timeout=0.01).wait_for_event("never")
    wf.subflow("sub", inner).on_error(lambda ctx: type(ctx.error).__name__)
    assert wf.run().last == "TaskTimeout"


# on_error


def test_on_error_does_nothing_without_an_error(wf):
    run = wf.step("a", value(1)).on_error(value("handled")).run()
    assert run.last == 1
    assert run.steps["on_error-1"].status == "SKIPPED"


@pytest.mark.parametrize("wrap", [lambda fn: fn, as_async])
def test_on_error_gives_the_value_to_go_on_with(wf, wrap):
    def handle(ctx):
        return (type(ctx.error), ctx.failed_step, ctx.last)

    wf.step("a", value(1)).step("b", lambda ctx: 1 / 0).step("c", value(3))
    wf.on_error(wrap(handle), name="rescue")
    wf.step("d", lambda ctx: (ctx.last, ctx.error, ctx.failed_step))
    run = wf.run()
    assert run.last == ((ZeroDivisionError, "b", 1), None, None)
    assert run.status == "COMPLETED"
    assert run.steps["b"].status == "FAILED"
    assert run.steps["c"].status == "SKIPPED"
    assert run.steps["rescue"].status == "COMPLETED"


def test_on_error_covers_what_is_before_it_only(wf):
    wf.on_error(value("too early")).step("a", lambda ctx: 1 / 0)
    with pytest.raises(TaskError):
        wf.run()


def test_the_next_handler_comes_first(wf):
    wf.step("a", lambda ctx: 1 / 0).on_error(value("first")).step(
        "b", lambda ctx: [][0]
    )
    wf.on_error(lambda ctx: (ctx.last, ctx.failed_step))
    assert wf.run().last == ("first", "b")


def test_what_a_handler_raises_goes_to_the_next(wf):
    def translate(ctx):
        raise OSError("translated") from ctx.error

    wf.step("a", lambda ctx: 1 / 0).on_error(translate, name="first")
    wf.step("b", value("b"))
    wf.on_error(lambda ctx: (str(ctx.error), ctx.failed_step))
    assert wf.run().last == ("translated", "first")


def test_raising_the_same_error_keeps_its_step(wf):
    def decline(ctx):
        raise ctx.error

    wf.step("a", lambda ctx: 1 / 0).on_error(decline)
    with pytest.raises(TaskError) as caught:
        wf.run()
    assert caught.value.task == "a"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_handlers_in_branches_come_before_those_outside(wf):
    wf.if_("c", lambda ctx: ctx.payload).step("a", lambda ctx: 1 / 0)
    wf.on_error(value("inner")).step("after", lambda ctx: f"{ctx.last}, went on")
    wf.else_().step("b", lambda ctx: [][0]).step("never", value(0)).end_if()
    wf.step("end", lambda ctx: ctx.last).on_error(value("outer"))
    assert wf.run(True).last == "inner, went on"
    assert wf.run(False).last == "outer"


def test_a_handler_in_a_loop(wf):
    def body(flow):
        flow.step("a", lambda ctx: 6 // (3 - ctx.last)).step("b", lambda ctx: 9)
        flow.on_error(value(9))

    assert wf.while_("w", lambda ctx: ctx.last < 9, build=body).run(3).last == 9


def test_a_loop_left_by_an_error_starts_anew(wf):
    calls, errors = [], []

    def fail_every_second_time(ctx):
        calls.append(1)
        if len(calls) % 2 == 0:
            raise OSError

    def body(flow):
        flow.while_("inner", value(True), fail_every_second_time, max_iterations=2)
        flow.on_error(lambda ctx: errors.append(type(ctx.error)))

    wf.while_("outer", lambda ctx: len(errors) < 3, build=body).run()
    assert errors == [OSError] * 3


@pytest.mark.parametrize(
    "construct", ["parallel", "race", "for_each", "sub-flow", "event"]
)
def test_every_construct_s_failure_is_handled(wf, construct):
    def fail(ctx, *item):
        raise ValueError(construct)

    {
        "parallel": lambda: wf.parallel([fail], name="x"),
        "race": lambda: wf.race([fail], name="x", win="settled"),
        "for_each": lambda: wf.for_each("x", [1], fail),
        "sub-flow": lambda: wf.for_each("x", [1], build=lambda f: f.step("s", fail)),
        "event": lambda: wf.wait_for_event("x", timeout=0),
    }[construct]()
    wf.on_error(lambda ctx: (type(ctx.error).__name__, ctx.failed_step))
    error = "TaskTimeout" if construct == "event" else "ValueError"
    assert wf.run().last == (error, "x")


# Hooks


def hooked(log, **options):
    return fastflow.workflow(
        "hooked",
        on_success=lambda ctx: log.append(("success", ctx.last, ctx.error)),
        on_failure=lambda ctx: log.append(
            ("failure", type(ctx.error).__name__, ctx.failed_step)
        ),
        **options,
    )


def test_hooks():
    log = []
    wf = hooked(log).step("a", lambda ctx: 1 / ctx.payload)
    wf.run(1)
    with pytest.raises(TaskError):
        wf.run(0)
    assert log == [("success", 1.0, None), ("failure", "ZeroDivisionError", "a")]


def test_hooks_and_time_limits():
    log = []
    with pytest.raises(fastflow.TaskTimeout):
        hooked(log, timeout=0.01).wait_for_event("never").run()
    assert log == [("failure", "TaskTimeout", None)]


def test_async_hooks_end_before_the_result_is_there():
    log = []

    async def hook(ctx):
        await asyncio.sleep(0.001)
        log.append(ctx.last)

    wf = fastflow.workflow("hooked", on_success=hook).step("a", value(1))
    wf.run()
    assert log == [1]
    wf.start().result(60)
    assert log == [1, 1]


@pytest.mark.parametrize("wrap", [lambda fn: fn, as_async])
def test_a_failing_hook_is_logged(wrap, caplog):
    hook = wrap(lambda ctx: 1 / 0)
    wf = fastflow.workflow("hooked", on_success=hook).step("a", value(1))
    assert wf.run().last == 1
    assert "a hook of run hooked-" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_loop_that_was_left_by_a_handled_error_has_failed(wf):
    wf.while_("w", value(True), build=lambda f: f.step("a", lambda ctx: 1 / 0))
    wf.on_error(value("handled"))
    run = wf.run()
    assert (run.last, run.steps["w"].status) == ("handled", "FAILED")


def test_an_exception_that_is_raised_again_later_belongs_to_the_later_step(wf):
    error = ValueError("shared")

    def fail(ctx):
        raise error

    wf.step("a", fail).on_error(value("handled")).step("b", fail)
    with pytest.raises(TaskError) as caught:
        wf.run()
    assert caught.value.task == "b"
