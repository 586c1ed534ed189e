"""parallel, race, for_each, batch: order, limits, failures, cancelling."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import pytest

import fastflow
from fastflow import Cancelled, Executor, TaskError, TaskTimeout


@pytest.fixture
def wf():
    return fastflow.workflow("fans")


async def never(ctx, *item):
    await asyncio.Event().wait()


def failing(error):
    def fail(ctx, *item):
        raise error

    async def fail_async(ctx, *item):
        raise error

    return [fail, fail_async, lambda ctx, *item: fail_async(ctx)]


class Gauge:
    """How many calls there are at a time, at most; each waits for the limit."""

    def __init__(self, expected):
        self._changed = threading.Condition()
        self._expected = expected
        self.now = self.most = 0

    def enter(self):
        with self._changed:
            self.now += 1
            self.most = max(self.most, self.now)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.most >= self._expected, 60)

    def leave(self):
        with self._changed:
            self.now -= 1

    def __call__(self, ctx, *item):
        self.enter()
        self.leave()
        return item[0] if item else None


# parallel


def test_values_are_in_the_order_of_the_functions(wf):
    second = threading.Event()

    def first(ctx):
        assert second.wait(60)
        return 1

    def then(ctx):
        second.set()
        return 2

    async def third(ctx):
        return 3

    run = wf.parallel([first, then, third], "p").run()
    assert run.last == [1, 2, 3]
    assert run.steps["p"].output is run.last


def test_no_branches(wf):
    assert wf.parallel([]).run(5).last == []


def test_all_branches_see_the_same_last(wf):
    wf.step("a", lambda ctx: 7).parallel([lambda ctx: ctx.last] * 3)
    assert wf.run().last == [7, 7, 7]


def test_max_concurrency_is_reached_and_kept(wf):
    gauge = Gauge(3)
    wf.parallel([gauge] * 12, max_concurrency=3)
    with Executor(8) as executor:
        wf.run(executor=executor)
    assert gauge.most == 3


def test_one_at_a_time_is_in_order(wf):
    seen = []
    functions = [lambda ctx, n=n: seen.append(n) for n in range(20)]
    wf.parallel(functions, max_concurrency=1).run()
    assert seen == list(range(20))


@pytest.mark.parametrize("kind", range(3))
def test_the_first_failure_cancels_the_others(wf, kind):
    started, stopped = threading.Event(), threading.Event()
    error = ValueError("boom")

    async def waits(ctx):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    def fails(ctx):
        assert started.wait(60)
        return failing(error)[kind](ctx)

    with pytest.raises(TaskError) as caught:
        wf.parallel([waits, fails], "p").run()
    assert caught.value.task == "p"
    assert caught.value.__cause__ is error
    assert "branch 1 (fails) of 'p'" in error.__notes__[0]
    assert stopped.wait(60)


def test_running_threads_are_told_and_waiting_ones_never_start(wf):
    running, told = threading.Event(), threading.Event()
    seen = []

    def loop(ctx):
        running.set()
        while not ctx.cancelled:
            pass
        told.set()
        ctx.check()

    def fails(ctx):
        assert running.wait(60)
        raise ValueError

    wf.parallel([loop, fails, lambda ctx: seen.append(1)], max_concurrency=2)
    with Executor(4) as executor, pytest.raises(TaskError):
        wf.run(executor=executor)
    assert told.wait(60)
    assert seen == []


def test_settle(wf):
    error = ValueError("boom")
    functions = [lambda ctx: 1, *failing(error), lambda ctx: 2]
    run = wf.parallel(functions, on_error="settle").run()
    assert run.last == [1, error, error, error, 2]
    assert run.status == "COMPLETED"


def test_continue_raises_when_all_have_ended(wf):
    first, second = OSError("first"), LookupError("second")
    ended = []
    functions = [
        failing(first)[0],
        lambda ctx: ended.append(1),
        failing(second)[1],
        lambda ctx: ended.append(2),
    ]
    wf.parallel(functions, "p", on_error="continue", max_concurrency=1)
    with pytest.raises(TaskError) as raised:
        wf.run()
    assert ended == [1, 2]
    group = raised.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert str(group) == "2 of 4 branches failed (2 sub-exceptions)"
    assert group.exceptions == (first, second)
    assert first.__notes__ == ["in branch 0 (fail) of 'p'"]


def test_continue_raises_a_single_failure_as_it_is(wf):
    error = OSError("it")
    wf.for_each("e", range(3), lambda ctx, n: 1 // n, on_error="continue")
    with pytest.raises(TaskError) as raised:
        wf.run()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    other = fastflow.workflow("w").parallel([failing(error)[0]], on_error="continue")
    other.on_error(lambda ctx: ctx.error)
    assert other.run().last is error


def test_settle_lets_signals_through(wf):
    def stop(ctx):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wf.parallel([stop, never], on_error="settle").run()


def test_time_limit_of_a_parallel(wf):
    stopped = threading.Event()

    async def waits(ctx):
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    wf.parallel([waits, lambda ctx: 1], "p", timeout=0.02)
    with pytest.raises(TaskError, match="step 'p' did not finish within") as caught:
        wf.run()
    assert isinstance(caught.value.__cause__, TaskTimeout)
    assert stopped.wait(60)


def test_a_branch_may_be_cancelled_by_itself(wf):
    def stop(ctx):
        raise Cancelled("enough")

    with pytest.raises(concurrent.futures.CancelledError):
        wf.parallel([stop, never]).run()


# race


def test_losers_on_threads_are_told(wf):
    running, told = threading.Event(), threading.Event()

    def slow(ctx):
        running.set()
        while not ctx.cancelled:
            pass
        told.set()
        return "late"

    def quick(ctx):
        assert running.wait(60)
        return "quick"

    with Executor(2) as executor:
        run = wf.race([slow, quick], "r").run(executor=executor)
    assert (run.last, run.steps["r"].winner) == ("quick", 1)
    assert told.wait(60)


def test_a_falsy_value_wins(wf):
    assert wf.race([never, lambda ctx: None]).run(1).last is None


@pytest.mark.parametrize("kind", range(3))
def test_failures_do_not_win(wf, kind):
    failed = threading.Event()
    fail = failing(OSError("x"))[kind]

    def notes(ctx):
        value = fail(ctx)
        failed.set()
        return value

    run = wf.race([fail, lambda ctx: "ok"], "r").run()
    assert (run.last, run.steps["r"].winner) == ("ok", 1)


def test_if_all_fail_all_are_reported(wf):
    errors = [OSError("a"), ValueError("b")]
    functions = [failing(errors[0])[0], failing(errors[1])[1]]
    with pytest.raises(TaskError, match="all branches of 'r' failed") as caught:
        wf.race(functions, "r").run()
    assert list(caught.value.__cause__.exceptions) == errors
    assert caught.value.result.steps["r"].winner is None


def test_the_first_to_end_wins_even_with_a_failure(wf):
    wf.race([never, failing(OSError("first"))[1]], "r", win="settled")
    with pytest.raises(TaskError, match="first") as caught:
        wf.run()
    assert caught.value.result.steps["r"].winner == 1


def test_the_first_to_end_wins_with_a_value(wf):
    run = wf.race([never, lambda ctx: 5], win="settled").run()
    assert run.last == 5


def test_time_limit_of_a_race(wf):
    with pytest.raises(TaskError, match="did not finish within"):
        wf.race([never], timeout=0.01).run()


# for_each and batch


def test_for_each(wf):
    wf.for_each("f", lambda ctx: range(100), lambda ctx, item: item * ctx.payload)
    assert wf.run(2).last == [2 * n for n in range(100)]


@pytest.mark.parametrize(
    "items", [[1, 2, 3], (1, 2, 3), range(1, 4), {1: 0, 2: 0, 3: 0}]
)
def test_items_may_be_given_directly_and_used_again(wf, items):
    wf.for_each("f", items, lambda ctx, item: item)
    assert wf.run().last == wf.run().last == [1, 2, 3]


def test_items_may_be_made_by_an_async_function(wf):
    async def items(ctx):
        await asyncio.sleep(0)
        return (n for n in range(3))

    async def double(ctx, item):
        return 2 * item

    assert wf.for_each("f", items, double).run().last == [0, 2, 4]


def test_no_items(wf):
    wf.for_each("f", [], lambda ctx, item: 1).batch("b", [], 3, lambda ctx, item: 1)
    run = wf.run()
    assert run.steps["f"].output == run.steps["b"].output == []


def test_items_are_drawn_as_there_is_room(wf):
    drawn, ended = [], []

    def items(ctx):
        for n in range(50):
            drawn.append(n)
            assert len(drawn) - len(ended) <= 2
            yield n

    wf.for_each("f", items, lambda ctx, n: ended.append(n), max_concurrency=2)
    assert len(wf.run().last) == 50


def test_an_endless_input_ends_with_a_failure(wf):
    def items(ctx):
        n = 0
        while True:
            yield (n := n + 1)

    def fn(ctx, item):
        if item == 100:
            raise ValueError("enough")

    wf.for_each("f", items, fn, max_concurrency=4)
    with pytest.raises(TaskError, match="enough") as caught:
        wf.run()
    assert caught.value.__cause__.__notes__ == ["in item 99 of 'f'"]


def test_items_that_fail(wf):
    def items(ctx):
        yield 1
        raise OSError("no more")

    with pytest.raises(TaskError, match="no more"):
        wf.for_each("f", items, lambda ctx, item: item).run()


@pytest.mark.parametrize("wrong", [5, None])
def test_what_is_not_iterable(wf, wrong):
    with pytest.raises(TaskError, match="not iterable"):
        wf.for_each("f", lambda ctx: wrong, lambda ctx, item: item).run()


def test_for_each_settles(wf):
    wf.for_each("f", [1, 0], lambda ctx, n: 1 / n, on_error="settle")
    good, bad = wf.run().last
    assert good == 1
    assert isinstance(bad, ZeroDivisionError)


def test_many_items(wf):
    wf.for_each("f", lambda ctx: range(30_000), lambda ctx, n: n)
    assert wf.run().last == list(range(30_000))


def test_many_async_items(wf):
    async def fn(ctx, n):
        await asyncio.sleep(0)
        return n

    wf.for_each("f", lambda ctx: range(2_000), fn, max_concurrency=100)
    assert wf.run().last == list(range(2_000))


def test_batches(wf):
    wf.batch("b", lambda ctx: iter(range(7)), size=3, fn=lambda ctx, chunk: chunk)
    assert wf.run().last == [[0, 1, 2], [3, 4, 5], [6]]


def test_batches_of_the_default_size_and_positional(wf):
    wf.batch("a", range(250), fn=lambda ctx, chunk: len(chunk))
    wf.batch("b", range(5), 2, lambda ctx, chunk: len(chunk), max_concurrency=1)
    run = wf.run()
    assert run.steps["a"].output == [100, 100, 50]
    assert run.last == [2, 2, 1]


def test_for_each_limits(wf):
    gauge = Gauge(2)
    wf.for_each("f", range(8), gauge, max_concurrency=2)
    with Executor(6) as executor:
        assert wf.run(executor=executor).last == list(range(8))
    assert gauge.most == 2


# Sub-flows


def test_a_sub_flow_per_item(wf):
    async def double(ctx):
        return 2 * ctx.last

    def build(flow):
        flow.step("start", lambda ctx: (ctx.last, ctx.item, ctx.index))
        flow.step("item", lambda ctx: ctx.item).sleep(0).step("double", double)
        flow.if_("even", lambda ctx: ctx.index % 2 == 0)
        flow.parallel([lambda ctx: ctx.last, lambda ctx: -ctx.last])
        flow.else_().step("odd", lambda ctx: f"{ctx.last} {ctx.steps['outer'].output}")
        flow.end_if()

    wf.step("outer", lambda ctx: "seen").for_each("f", [5, 6, 7], build=build)
    assert wf.run().last == [[10, -10], "12 seen", [14, -14]]


def test_an_empty_sub_flow_gives_the_items(wf):
    assert wf.for_each("f", "ab", build=lambda flow: None).run().last == ["a", "b"]


def test_sub_flows_nest(wf):
    wf.for_each(
        "outer",
        [1, 2],
        build=lambda flow: flow.step("x", lambda ctx: ctx.item).for_each(
            "inner",
            lambda ctx: range(ctx.last),
            build=lambda deep: deep.step(
                "y", lambda ctx: (ctx.item, ctx.steps["x"].output)
            ),
        ),
    )
    assert wf.run().last == [[(0, 1)], [(0, 2), (1, 2)]]


def test_a_failing_sub_flow_names_item_and_step(wf):
    def build(flow):
        flow.step("divide", lambda ctx: 1 / ctx.item)

    with pytest.raises(TaskError) as caught:
        wf.for_each("f", [1, 0], build=build).run()
    assert caught.value.task == "f"
    assert caught.value.__cause__.__notes__ == ["in step 'divide'", "in item 1 of 'f'"]


def test_a_sub_flow_may_handle_its_errors(wf):
    def build(flow):
        flow.step("divide", lambda ctx: 1 / ctx.item).on_error(lambda ctx: "none")

    assert wf.for_each("f", [1, 0], build=build).run().last == [1, "none"]


def test_a_thousand_sub_flows_wait_without_threads(wf):
    threads = []

    async def look(ctx):
        threads.append(threading.active_count())

    wf.for_each(
        "f", range(1000), build=lambda flow: flow.sleep(0.01).step("look", look)
    )
    before = threading.active_count()
    run = wf.run()
    assert len(run.last) == 1000
    assert max(threads) <= before + 64  # the pool's workers, the timers, the loop


def test_failure_stops_the_other_sub_flows(wf):
    waiting, stopped = threading.Event(), threading.Event()
    seen = []

    async def waits(ctx):
        if ctx.item == 0:
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

    def fails(ctx):
        assert waiting.wait(60)
        raise ValueError

    def build(flow):
        flow.step("wait", waits).if_("last", lambda ctx: ctx.item == 1)
        flow.step("fail", fails).end_if().step("after", lambda ctx: seen.append(1))

    with pytest.raises(TaskError):
        wf.for_each("f", [0, 1], build=build).run()
    assert stopped.wait(60)
    assert seen == []


# Executors of all kinds


def square(ctx, item):
    return item * item + ctx.last + ctx.payload["add"] + len(ctx.steps["a"].output)


async def square_async(ctx, item):
    return item * item


def describe(ctx):
    return (
        ctx.payload,
        ctx.last,
        ctx.run.workflow,
        ctx.cancelled,
        ctx.steps["b"].status,
    )


def touch_state(ctx):
    ctx.state.incr("x")


def forty(ctx):
    return [4] * 40


@pytest.mark.parametrize(
    "make",
    [
        lambda: concurrent.futures.ThreadPoolExecutor(3),
        lambda: Executor(3),
        lambda: Executor(1),
    ],
)
def test_thread_executors(wf, make):
    wf.step("a", forty).step("b", lambda ctx: 1)
    wf.for_each("f", range(20), square).for_each("g", range(3), square_async)
    wf.for_each("h", range(3), build=lambda flow: flow.step("x", lambda ctx: ctx.item))
    wf.race([never, lambda ctx: 3]).step("c", lambda ctx: 1, timeout="1h")
    with make() as executor:
        run = wf.run({"add": 2}, executor=executor)
    assert run.steps["f"].output == [n * n + 43 for n in range(20)]
    assert run.steps["g"].output == [0, 1, 4]
    assert run.steps["h"].output == [0, 1, 2]


def test_processes():
    import multiprocessing

    wf = fastflow.workflow("processes")
    wf.step("a", forty).step("b", lambda ctx: 1).for_each("f", range(5), square)
    wf.step("c", lambda ctx: "c").parallel([describe, describe], "p")
    wf.for_each("g", range(3), build=lambda flow: flow.step("x", lambda ctx: ctx.item))
    wf.parallel([touch_state], "q").on_error(lambda ctx: str(ctx.error))
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        run = wf.run({"add": 2}, executor=executor)
    assert run.steps["f"].output == [n * n + 43 for n in range(5)]
    seen = ({"add": 2}, "c", "processes", False, "COMPLETED")
    assert run.steps["p"].output == [seen, seen]
    assert run.steps["g"].output == [0, 1, 2]
    assert "ctx.state lives in the process of the run" in run.last
