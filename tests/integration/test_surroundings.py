"""What a task does to its surroundings stays in the task, whatever calls it."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import threading

import numpy as np
import pytest

import fastflow
from entry_points import ENTRY_POINTS

ITEMS = range(12)
NAME = contextvars.ContextVar("name", default="nobody")
OTHER = contextvars.ContextVar("other", default="nothing")


@pytest.fixture(params=ENTRY_POINTS, ids=str)
def call(request):
    return ENTRY_POINTS[request.param]


def apart(test):
    """Run a test in a context of its own, on a thread of its own."""
    failures = []

    def run():
        try:
            test()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=contextvars.Context().run, args=(run,))
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def overwrite(item):
    """See what the last one left behind, and leave something else."""
    before = NAME.get(), OTHER.get()
    NAME.set(f"task {item}")
    if item % 3 == 0:
        OTHER.set("set, too")
    return before


def set_and_reset(item):
    before = NAME.get()
    NAME.reset(NAME.set("for a while"))
    return before


def test_a_task_begins_with_no_variables_where_its_caller_has_none(call):
    def test():
        assert call(overwrite, ITEMS) == [("nobody", "nothing")] * len(ITEMS)
        assert NAME.get() == "nobody"

    apart(test)


def test_a_task_begins_with_its_callers_variables(call):
    def test():
        NAME.set("caller")
        assert call(overwrite, ITEMS) == [("caller", "nothing")] * len(ITEMS)
        assert (NAME.get(), OTHER.get()) == ("caller", "nothing")
        assert call(set_and_reset, ITEMS) == ["caller"] * len(ITEMS)

    apart(test)


def test_so_it_does_with_many_variables(call):
    more = [contextvars.ContextVar(f"v{i}", default=-1) for i in range(20)]

    def look_and_set(item):
        seen = [variable.get() for variable in more]
        more[item].set("changed")
        return seen

    def test():
        for i, variable in enumerate(more):
            variable.set(i)
        assert call(look_and_set, ITEMS) == [list(range(20))] * len(ITEMS)

    apart(test)


def change_precision(item):
    context = decimal.getcontext()
    before = context.prec, context.flags[decimal.Inexact]
    context.prec = 3 + item
    decimal.Decimal(1) / 3  # sets flags
    return before


def test_a_task_has_a_copy_of_the_callers_decimal_context(call):
    def test():
        decimal.getcontext().prec = 40
        decimal.getcontext().clear_flags()
        assert call(change_precision, ITEMS) == [(40, False)] * len(ITEMS)
        mine = decimal.getcontext()
        assert (mine.prec, mine.flags[decimal.Inexact]) == (40, False)

    apart(test)


def test_a_task_has_a_decimal_context_where_its_caller_has_none(call):
    def test():
        usual = decimal.DefaultContext.prec
        assert call(change_precision, ITEMS) == [(usual, False)] * len(ITEMS)

    apart(test)


@pytest.mark.skipif(
    int(np.__version__.split(".")[0]) < 2, reason="numpy 1 keeps errstate per thread"
)
def test_numpys_error_state_stays_in_the_task(call):
    def change(item):
        before = np.geterr()["divide"]
        np.seterr(divide="raise" if item % 2 else "ignore")
        return before

    def test():
        with np.errstate(divide="print"):
            assert call(change, ITEMS) == ["print"] * len(ITEMS)
            assert np.geterr()["divide"] == "print"

    apart(test)


def test_what_an_item_has_set_is_dropped_with_it():
    """Not kept until the end of the run."""

    class Held:
        alive = 0

        def __init__(self):
            Held.alive += 1

        def __del__(self):
            Held.alive -= 1

    def hold(_):
        NAME.set(Held())
        return Held.alive

    assert max(fastflow.map(hold, range(50), max_workers=1)) <= 2


async def change_later(item):
    before = decimal.getcontext().prec, NAME.get()
    await asyncio.sleep(0)
    decimal.getcontext().prec = 3 + item
    NAME.set(f"coroutine {item}")
    return before


def _one_by_one(add):
    """A workflow whose steps `add` adds, one per item."""

    def call(items):
        seen = {}
        workflow = fastflow.workflow("w")
        for item in items:

            async def look(*_, item=item):
                seen[item] = await change_later(item)
                return [item]

            add(workflow, f"s{item}", look)
        workflow.run(None)
        workflow.close()  # actions have ended, too
        return [seen[item] for item in items]

    return call


def _hooks(items):
    seen = []

    async def look(_):
        seen.append(await change_later(len(seen)))

    for _ in items:
        fastflow.workflow("w", on_success=look).step("s", bool).run(None)
    return seen


def _flow_function(items):
    task = fastflow.TaskRegistry().task(change_later)
    return fastflow.flow(lambda: [task(item) for item in items])()


def _text(executor):
    def call(items):
        return fastflow.run_parallel_flow_from_dsl(
            "flow f:\n    source -> work[*]",
            list(items),
            registry={"source": lambda input_data: input_data, "work": change_later},
            executor=executor,
        )["work"]

    return call


ASYNC = {
    "step": _one_by_one(lambda wf, name, fn: wf.step(name, fn)),
    "function that returns a coroutine": _one_by_one(
        lambda wf, name, fn: wf.step(name, lambda ctx: fn(ctx))
    ),
    "step with a limit": _one_by_one(
        lambda wf, name, fn: wf.step(name, fn, timeout="1h")
    ),
    "parallel": _one_by_one(lambda wf, name, fn: wf.parallel([fn], name=name)),
    "for_each": _one_by_one(
        lambda wf, name, fn: wf.for_each(name, lambda ctx: [0], fn)
    ),
    "items": _one_by_one(
        lambda wf, name, fn: wf.for_each(name, fn, lambda ctx, item: None)
    ),
    "predicate": _one_by_one(
        lambda wf, name, fn: wf.if_(name, fn).step(f"in {name}", bool).end_if()
    ),
    "action": _one_by_one(lambda wf, name, fn: wf.action(name, fn)),
    "hook": _hooks,
    "@flow": _flow_function,
    "text": _text(None),
    "text, serial": _text("serial"),
}


@pytest.mark.parametrize("name", ASYNC)
def test_coroutines_have_copies_of_the_callers_values_too(name):
    def test():
        decimal.getcontext().prec = 40
        NAME.set("caller")
        assert ASYNC[name](range(3)) == [(40, "caller")] * 3
        assert (decimal.getcontext().prec, NAME.get()) == (40, "caller")

    apart(test)
