"""What a workflow refuses when it's written down."""

from __future__ import annotations

import pytest

import fastflow
from fastflow import FlowError


def identity(ctx):
    return ctx


def new():
    return fastflow.workflow("w")


WRONG = {
    "duplicate": (
        lambda w: w.step("a", identity).step("a", identity),
        "there is a step 'a' already",
    ),
    "duplicate in branches": (
        lambda w: w.if_("c", identity).step("a", identity).else_().step("a", identity),
        "there is a step 'a' already",
    ),
    "predicate called like a step": (
        lambda w: w.step("a", identity).if_("a", identity),
        "there is a step 'a' already",
    ),
    "taken default name": (
        lambda w: w.parallel([identity]).step("parallel-1", identity),
        "there is a step 'parallel-1' already",
    ),
    "else without if": (lambda w: w.else_(), r"else_\(\) without an open if_\(\)"),
    "elif without if": (lambda w: w.elif_("c", identity), r"elif_\(\) without"),
    "end without if": (lambda w: w.end_if(), r"end_if\(\) without"),
    "end twice": (
        lambda w: w.if_("c", identity).end_if().end_if(),
        r"end_if\(\) without",
    ),
    "else twice": (
        lambda w: w.if_("c", identity).else_().else_(),
        r"else_\(\) after else_\(\) in the if_ 'c'",
    ),
    "elif after else": (
        lambda w: w.if_("c", identity).else_().elif_("d", identity),
        r"elif_\(\) after else_\(\)",
    ),
    "no end_if": (lambda w: w.if_("c", identity).program(), "'c' has no end_if"),
    "inner no end_if": (
        lambda w: w.if_("c", identity).if_("d", identity).end_if().program(),
        "'c' has no end_if",
    ),
    "unknown option": (
        lambda w: w.step("a", identity, retrys=3),
        r"step\(\) has no option 'retrys'; did you mean 'retries'",
    ),
    "unknown option, nothing near": (
        lambda w: w.end_if(zzz=3),
        r"end_if\(\) has no option 'zzz'",
    ),
    "no function": (lambda w: w.step("a", 5), "fn of step 'a' must be a function"),
    "bad timeout": (
        lambda w: w.step("a", identity, timeout="soon"),
        "timeout of step 'a': not a duration",
    ),
    "bad delay": (
        lambda w: w.step("a", identity, delay=-1),
        "delay of step 'a': .*negative",
    ),
    "bad retries": (
        lambda w: w.step("a", identity, retries=-1),
        "step 'a': retries must not be negative",
    ),
    "bad retry_on": (
        lambda w: w.step("a", identity, retries=1, retry_on="OSError"),
        "step 'a': retry_on",
    ),
    "bad cache": (
        lambda w: w.step("a", identity, cache=True),
        "cache of step 'a' must be a function",
    ),
    "ttl without cache": (
        lambda w: w.step("a", identity, cache_ttl="1m"),
        "cache_ttl of step 'a' needs cache=",
    ),
    "bad cache_size": (
        lambda w: w.step("a", identity, cache=identity, cache_size=0),
        "cache_size of step 'a' must be greater than 0",
    ),
    "parallel of one function": (
        lambda w: w.parallel(identity),
        "needs a list of functions",
    ),
    "parallel of numbers": (
        lambda w: w.parallel([identity, 3], name="p"),
        "branch 1 of 'p' must be a function",
    ),
    "no concurrency": (
        lambda w: w.parallel([identity], max_concurrency=0),
        "max_concurrency of 'parallel-1' must be greater than 0",
    ),
    "bad concurrency": (
        lambda w: w.parallel([identity], max_concurrency="3"),
        "max_concurrency of 'parallel-1' must be an int",
    ),
    "bad on_error": (
        lambda w: w.parallel([identity], on_error="ignore"),
        "on_error of 'parallel-1' must be one of raise, continue, return",
    ),
    "race of nobody": (lambda w: w.race([]), "needs at least one function"),
    "bad win": (lambda w: w.race([identity], win="all"), "win must be one of"),
    "for_each without body": (
        lambda w: w.for_each("f", [1]),
        "fn of for_each 'f' must be a function",
    ),
    "for_each with two bodies": (
        lambda w: w.for_each("f", [1], identity, build=identity),
        "fn or build=, not both",
    ),
    "for_each over a number": (
        lambda w: w.for_each("f", 5, identity),
        "items of 'f' must be a function of ctx or an iterable",
    ),
    "for_each over an iterator": (
        lambda w: w.for_each("f", iter([1]), identity),
        "only one run could use",
    ),
    "unbalanced sub-flow": (
        lambda w: w.for_each("f", [1], build=lambda flow: flow.if_("c", identity)),
        "'c' has no end_if",
    ),
    "batch without fn": (lambda w: w.batch("b", [1]), "fn of batch 'b'"),
    "batch of nothing": (
        lambda w: w.batch("b", [1], 0, identity),
        "size of batch 'b' must be greater than 0",
    ),
    "while without body": (lambda w: w.while_("w", identity), "either fn or build="),
    "while with an open if": (
        lambda w: w.while_("w", identity, build=lambda f: f.if_("c", identity)),
        "the if_ 'c' in the body of 'w' has no end_if",
    ),
    "while closing the outer if": (
        lambda w: w.if_("c", identity).while_(
            "w", identity, build=lambda flow: flow.end_if()
        ),
        r"end_if\(\) without an open if_\(\)",
    ),
    "endless while": (
        lambda w: w.while_("w", identity, identity, max_iterations=None),
        "max_iterations of while_ 'w' must be an int",
    ),
    "bad sleep": (lambda w: w.sleep("a while"), "time of 'sleep-1': not a duration"),
    "sleep of nothing": (
        lambda w: w.sleep(None),
        "time of 'sleep-1': a duration can't be a NoneType",
    ),
    "bad field": (lambda w: w.log("{lst}"), "unknown field {lst}"),
    "positional field": (lambda w: w.log("{}"), "unknown field"),
    "bad template": (lambda w: w.log("{last"), "text of log"),
    "bad level": (lambda w: w.log("x", level="loud"), "level must be one of"),
    "no workflow": (lambda w: w.subflow("s", identity), "needs a workflow, not funct"),
    "bad payload": (
        lambda w: w.subflow("s", new(), payload=5),
        "payload of subflow 's' must be a function",
    ),
    "bad event": (lambda w: w.wait_for_event(5), "a name must be a str"),
    "bad on_pause": (
        lambda w: w.human_in_the_loop("h", on_pause=5),
        "on_pause of 'h' must be a function",
    ),
    "bad handler": (lambda w: w.on_error(None), "the handler of on_error"),
    "empty name": (lambda w: w.step("", identity), "a name can't be empty"),
    "long name": (lambda w: w.step("x" * 1025, identity), "1,024 are allowed"),
    "NUL": (lambda w: w.step("a\0b", identity), "can't contain control characters"),
    "surrogate": (lambda w: w.step("\ud800", identity), "half of a surrogate pair"),
    "name of another type": (lambda w: w.step(identity, identity), "must be a str"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_definitions(case):
    define, message = WRONG[case]
    with pytest.raises(FlowError, match=message):
        define(new())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": "soon"}, "timeout: not a duration"),
        ({"concurrency": 0}, "concurrency must be greater than 0"),
        ({"concurrency": 1.5}, "concurrency must be an int"),
        ({"rate_limit": "often"}, "not a rate limit"),
        ({"on_success": 5}, "on_success must be a function"),
        ({"description": 5}, "description must be a str"),
        ({"retries": 5}, r"workflow\(\) has no option 'retries'"),
    ],
)
def test_wrong_workflows(options, message):
    with pytest.raises(FlowError, match=message):
        fastflow.workflow("w", **options)


def test_a_mistake_is_found_before_anything_runs():
    seen = []
    wf = new().step("a", seen.append).if_("c", identity)
    with pytest.raises(FlowError, match="no end_if"):
        wf.run()
    assert seen == []


def test_a_coroutine_is_no_function():
    async def work(ctx):
        pass

    coroutine = work(None)
    with pytest.raises(FlowError, match="don't call it"):
        new().step("a", coroutine)
    coroutine.close()


def test_a_failed_verb_leaves_the_workflow_as_it_was():
    wf = new()
    for wrong in (
        lambda: wf.step("a", identity, timeout="soon"),
        lambda: wf.parallel([identity], name="a", max_concurrency=0),
        lambda: wf.race([], name="a"),
        lambda: wf.for_each("a", 5, identity),
        lambda: wf.while_("a", identity, 5),
        lambda: wf.sleep("soon", name="a"),
        lambda: wf.if_("a", 5),
        lambda: wf.on_error(5, name="a"),
    ):
        with pytest.raises(FlowError):
            wrong()
    assert wf.program().names == frozenset()
    assert wf.step("a", lambda ctx: 5).run().last == 5


def test_default_names_avoid_given_ones():
    wf = new().step("parallel-1", identity).parallel([lambda ctx: 1])
    assert wf.run().steps["parallel-2"].output == [1]


def test_steps_can_be_added_between_runs():
    wf = new().step("a", lambda ctx: 1)
    assert wf.run().last == 1
    wf.step("b", lambda ctx: ctx.last + 1)
    assert wf.run().last == 2


def test_a_sub_flow_may_use_the_names_of_the_outer_one():
    wf = new().step("a", lambda ctx: [1, 2])
    wf.for_each(
        "f", lambda ctx: ctx.last, build=lambda f: f.step("a", lambda ctx: ctx.item + 1)
    )
    run = wf.run()
    assert run.last == [2, 3]
    assert run.steps["a"].output == [1, 2]


def test_repr():
    assert repr(new().step("a", identity)) == "<workflow 'w', 1 instructions>"


def broken_body(flow):
    flow.step("a", identity).parallel([identity]).if_("i", identity)
    flow.while_("inner", identity, build=lambda f: f.step("b", identity))
    raise ValueError("broken")


def open_body(flow):
    flow.step("a", identity).parallel([identity]).if_("i", identity)


def body_with_a_mistake(flow):
    flow.step("a", identity).on_error(identity).step("a", identity)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (broken_body, ValueError, "broken"),
        (open_body, FlowError, "the if_ 'i' in the body of 'w' has no end_if"),
        (body_with_a_mistake, FlowError, "there is a step 'a' already"),
    ],
)
def test_a_body_that_raises_leaves_nothing_behind(build, error, message):
    wf = new().step("first", lambda ctx: 1).parallel([lambda ctx: 2])
    with pytest.raises(error, match=message):
        wf.while_("w", identity, build=build)
    assert wf.run().last == [2]
    # All names are free again, those that are made, too.
    wf.while_("w", lambda ctx: ctx.last != 3, build=lambda f: f.step("a", lambda c: 3))
    wf.parallel([lambda ctx: ctx.last])
    run = wf.run()
    assert (run.last, run.steps["w"].attempts) == ([3], 1)
    assert run.steps["parallel-2"].output == [3]


def test_a_body_that_raises_in_an_if():
    wf = new().if_("c", lambda ctx: True)
    with pytest.raises(ValueError, match="broken"):
        wf.while_("w", identity, build=broken_body)
    assert wf.step("a", lambda ctx: "a").end_if().run().last == "a"
