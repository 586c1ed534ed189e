"""Steps and their options: values by reference, retries, time limits, delay, cache."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import pickle
import threading
import time
import weakref

import pytest

import fastflow
from fastflow import Cancelled, Executor, RetryPolicy, TaskError, TaskTimeout
from fastflow.base import aio
from fastflow.base.timers import VirtualClock


@pytest.fixture
def wf():
    return fastflow.workflow("steps")


@pytest.fixture
def clock():
    return VirtualClock()


def let_pass(clock, run):
    """Advance from timer to timer until the run has ended."""
    while not run.done():
        if clock.wait_for_timer(0.01):
            clock.advance_to_next()


def test_values_are_passed_by_reference(wf):
    payload, output = object(), object()
    seen = []

    def first(ctx):
        seen.append(ctx.payload)
        return output

    wf.step("first", first).step("second", lambda ctx: seen.append(ctx.last))
    run = wf.run(payload)
    assert seen == [payload, output]
    assert run.steps["first"].output is output
    assert run.last is None


@pytest.mark.parametrize("falsy", [None, 0, "", False, [], {}])
def test_falsy_payloads_and_results(wf, falsy):
    wf.step("a", lambda ctx: ctx.payload).parallel([lambda ctx: ctx.last])
    wf.race([lambda ctx: ctx.last[0]]).step("b", lambda ctx: (ctx.payload, ctx.last))
    assert wf.run(falsy).last == (falsy, falsy)


def test_an_empty_workflow_returns_the_payload(wf):
    run = wf.run({"x": 1})
    assert (run.status, run.last) == ("COMPLETED", {"x": 1})


def test_records(wf):
    run = wf.step("a", lambda ctx: 5).run()
    record = run.steps["a"]
    assert (record.name, record.status, record.output) == ("a", "COMPLETED", 5)
    assert (record.attempts, record.error) == (1, None)
    assert record.duration == record.end - record.start >= 0
    assert run.duration >= record.duration
    assert list(run.steps) == ["a"]
    with pytest.raises(KeyError, match=r"no step 'b'"):
        run.steps["b"]
    assert run.id.startswith("steps-")
    assert "COMPLETED" in repr(run)
    assert "COMPLETED" in repr(record)


def test_ctx_knows_the_run_and_the_steps(wf):
    def look(ctx):
        assert ctx.steps["b"].status == "RUNNING"
        assert ctx.steps["later"].status == "PENDING"
        return ctx.run.id, ctx.run.workflow, ctx.run.status, ctx.steps["a"].output

    wf.step("a", lambda ctx: 1).step("b", look).step("later", lambda ctx: ctx.last)
    run = wf.run()
    assert run.last == (run.id, "steps", "RUNNING", 1)


def test_plain_steps_run_on_the_calling_thread_and_async_ones_on_one_other(wf):
    async def where(ctx):
        return threading.current_thread()

    wf.step("a", lambda ctx: threading.current_thread())
    wf.step("b", where).step("c", where)
    wf.step("d", lambda ctx: threading.current_thread())
    steps = wf.run().steps
    here = threading.current_thread()
    assert steps["a"].output is steps["d"].output is here
    assert steps["b"].output is steps["c"].output is not here


def test_a_callable_object_with_an_async_call(wf):
    class Worker:
        async def __call__(self, ctx):
            await asyncio.sleep(0)
            return ctx.payload + 1

    assert wf.step("a", Worker()).parallel([Worker()]).run(1).last == [2]


def test_a_failure_names_the_step_and_has_what_did_finish(wf):
    wf.step("a", lambda ctx: 1).step("b", lambda ctx: 1 / 0).step("c", lambda ctx: 3)
    with pytest.raises(
        TaskError, match="step 'b' of workflow 'steps' failed"
    ) as caught:
        wf.run()
    error = caught.value
    assert error.task == "b"
    assert isinstance(error.__cause__, ZeroDivisionError)
    run = error.result
    assert (run.status, run.error, run.last) == ("FAILED", error, 1)
    assert run.steps["a"].output == 1
    assert run.steps["b"].status == "FAILED"
    assert run.steps["b"].error is error.__cause__
    assert run.steps["c"].status == "SKIPPED"


def test_an_async_failure(wf):
    async def fail(ctx):
        raise KeyError("x")

    with pytest.raises(TaskError) as caught:
        wf.step("a", fail).run()
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_program_is_not_wrapped(wf, error):
    def stop(ctx):
        raise error

    wf.step("a", stop).on_error(lambda ctx: "handled")
    with pytest.raises(error):
        wf.run()
    assert wf.runs == []


# Retries


def fails(times, error=ConnectionError):
    left = [times]

    def fn(ctx):
        if left[0]:
            left[0] -= 1
            raise error(f"{left[0]} left")
        return "done"

    return fn


def as_async(fn):
    async def call(ctx):
        await asyncio.sleep(0)
        return fn(ctx)

    return call


@pytest.mark.parametrize(
    "wrap", [lambda fn: fn, as_async, lambda f: lambda c: as_async(f)(c)]
)
@pytest.mark.parametrize("timeout", [None, "1h"])
def test_retries(wf, wrap, timeout):
    wf.step("a", wrap(fails(2)), retries=2, retry_delay=0, timeout=timeout)
    run = wf.run()
    assert (run.last, run.steps["a"].attempts) == ("done", 3)


def test_too_few_retries(wf):
    with pytest.raises(TaskError, match="0 left") as caught:
        wf.step("a", fails(3), retries=2, retry_delay=0).run()
    assert caught.value.result.steps["a"].attempts == 3


def test_retry_on(wf):
    wf.step("a", fails(1, KeyError), retries=5, retry_delay=0, retry_on=OSError)
    with pytest.raises(TaskError) as caught:
        wf.run()
    assert caught.value.result.steps["a"].attempts == 1


def test_a_policy_as_retries(wf):
    policy = RetryPolicy(3, delay=0, retry_on=ConnectionError)
    assert wf.step("a", fails(3), retries=policy).run().last == "done"


def test_delays_follow_the_clock(clock):
    times = []

    def fn(ctx):
        times.append(clock.now())
        if len(times) < 4:
            raise OSError

    wf = fastflow.workflow("delays", clock=clock)
    wf.step(
        "a", fn, delay="10s", retries=3, retry_delay=1, backoff=3, max_delay=5, jitter=0
    )
    run = wf.start()
    let_pass(clock, run)
    assert times == [10, 11, 14, 19]
    assert run.result().steps["a"].duration == 19
    assert run.result().duration == 19


# Time limits


def test_a_thread_that_is_late(wf):
    late, ended = threading.Event(), threading.Event()

    def fn(ctx):
        while not ctx.cancelled:
            late.wait(0.001)
        ended.set()
        return "too late"

    wf.step("a", fn, timeout=0.01).step("b", lambda ctx: 1)
    with pytest.raises(TaskError, match=r"did not finish within 0\.01 s") as caught:
        wf.run()
    assert isinstance(caught.value.__cause__, TaskTimeout)
    assert ended.wait(60)  # it saw that it's not wanted any more
    assert caught.value.result.steps["a"].output is None


def test_a_coroutine_that_is_late_is_cancelled(wf):
    ended = threading.Event()

    async def fn(ctx):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TaskError, match="did not finish"):
        wf.step("a", fn, timeout=0.01).run()
    assert ended.wait(60)


def test_each_attempt_has_its_own_limit_and_flag(wf):
    flags = []

    async def fn(ctx):
        flags.append(ctx.cancelled)
        if len(flags) < 3:
            await asyncio.Event().wait()
        return "in time"

    wf.step("a", fn, timeout=0.01, retries=5, retry_delay=0)
    assert wf.run().last == "in time"
    assert flags == [False] * 3


def test_in_time(wf):
    wf.step("a", lambda ctx: threading.current_thread(), timeout="1h")
    assert wf.run().last is not threading.current_thread()


def test_a_limit_for_the_whole_run(clock):
    wf = fastflow.workflow("late", timeout="1m", clock=clock)
    wf.sleep("30s").sleep("40s").step("never", lambda ctx: 1)
    run = wf.start()
    for _ in range(2):
        # One timer is the sleep's, one is the limit's.
        assert clock.wait_for_timer(60, count=2)
        clock.advance_to_next()
    with pytest.raises(TaskTimeout, match="did not finish within 60 s") as caught:
        run.result(60)
    assert caught.value.result.steps["sleep-1"].status == "COMPLETED"
    assert clock.now() == 60
    assert (run.status, run.steps["sleep-2"].status) == ("FAILED", "CANCELLED")
    assert run.steps["never"].status == "SKIPPED"


def test_the_shorter_limit_holds(clock):
    wf = fastflow.workflow("late", timeout="1m", clock=clock).sleep("30s")
    for timeout, status in ((20, "FAILED"), (40, "COMPLETED"), (None, "COMPLETED")):
        run = wf.start(timeout=timeout)
        assert clock.wait_for_timer(60, count=2)
        clock.advance_to_next()
        if status == "FAILED":
            with pytest.raises(TaskTimeout):
                run.result(60)
        else:
            run.result(60)
        assert run.status == status


def test_a_run_that_blocks_its_thread_reports_afterwards(wf):
    def fn(ctx):
        while not ctx.cancelled:
            pass
        return "seen"

    wf.step("a", fn).step("b", lambda ctx: 1)
    with pytest.raises(TaskTimeout):
        wf.run(timeout=0.01)


# Cache


def test_cache(clock):
    calls = []

    def fn(ctx):
        calls.append(ctx.payload)
        return [ctx.payload]

    wf = fastflow.workflow("cached", clock=clock)
    wf.step("a", fn, cache=lambda ctx: ctx.payload % 2, cache_ttl="1m")
    first, other, again = wf.run(1), wf.run(2), wf.run(3)
    assert calls == [1, 2]
    assert again.last is first.last is not other.last
    assert (first.steps["a"].attempts, again.steps["a"].attempts) == (1, 0)
    clock.advance(60)
    assert wf.run(3).last == [3]


def test_the_least_recently_used_output_is_dropped(wf):
    calls = []
    wf.step(
        "a", lambda ctx: calls.append(ctx.payload), cache=lambda ctx: ctx.payload,
        cache_size=2,
    )  # fmt: skip
    for payload in (1, 2, 1, 3, 1, 2):
        wf.run(payload)
    assert calls == [1, 2, 3, 2]


def test_failures_are_not_cached_and_falsy_outputs_are(wf):
    fn = fails(1)
    wf.step("a", lambda ctx: fn(ctx) and None, cache=lambda ctx: "key")
    with pytest.raises(TaskError):
        wf.run()
    assert wf.run().steps["a"].attempts == 1
    assert wf.run().steps["a"].attempts == 0


def test_a_key_that_is_none(wf):
    with pytest.raises(TaskError, match="unhashable"):
        wf.step("a", lambda ctx: 1, cache=lambda ctx: []).run()


# Logs and actions


def test_log(wf, caplog):
    wf.step("a", lambda ctx: {"n": 3})
    wf.log("{last[n]} of {payload}, {steps[a].status}", level="warning")
    wf.log(lambda ctx: f"called with {ctx.last}", level="error")
    with caplog.at_level("WARNING", "fastflow"):
        run = wf.run("x")
    assert run.last == {"n": 3}
    assert [r.levelname for r in caplog.records] == ["WARNING", "ERROR"]
    assert caplog.records[0].getMessage() == f"run {run.id}: 3 of x, COMPLETED"
    assert caplog.records[0].run == run.id
    assert "called with {'n': 3}" in caplog.text


def test_a_log_that_cannot_be_formatted_fails_nothing(wf, caplog):
    run = wf.log("{last.missing}", level="error").step("a", lambda ctx: 1).run()
    assert run.last == 1
    assert "can't be formatted" in caplog.text


def test_actions_run_in_the_background(wf):
    gate = threading.Event()
    wf.step("a", lambda ctx: 1).action("notify", lambda ctx: gate.wait(60) and ctx.last)
    wf.step("b", lambda ctx: ctx.last + 1)
    run = wf.run()
    assert run.last == 2
    assert run.steps["notify"].status == "RUNNING"
    assert wf.close(timeout=0) == ["action 'notify'"]
    gate.set()
    assert wf.close(timeout=60) == []
    assert run.steps["notify"].status == "COMPLETED"
    assert run.steps["notify"].output == 1


def test_a_failed_action_is_reported_and_fails_nothing(wf, caplog):
    async def fail(ctx):
        raise OSError("no post today")

    with wf:
        run = wf.action("notify", fail).step("a", lambda ctx: 1).run()
    assert run.status == "COMPLETED"
    assert run.steps["notify"].status == "FAILED"
    assert isinstance(run.steps["notify"].error, OSError)
    assert "action 'notify'" in caplog.text
    assert "no post today" in caplog.text


# Executors


def test_branches_and_limited_steps_use_the_executor(wf):
    def where(ctx, *item):
        return threading.current_thread().name.rsplit("_", 1)[0]

    wf.step("a", where, timeout="1h").parallel([where], name="b").race([where], "c")
    wf.for_each("d", [1], where).batch("e", [1], 5, where)
    wf.for_each("f", [1], build=lambda flow: flow.step("x", where))
    with Executor(2, thread_name_prefix="mine") as executor:
        run = wf.run(executor=executor)
        started = wf.start(executor=executor)
        assert started.result(60).status == "COMPLETED"
    outputs = [run.steps[name].output for name in "abcdef"]
    assert outputs == ["mine", ["mine"], "mine", ["mine"], ["mine"], ["mine"]]


def test_a_cancelled_signal_raised_by_a_step_cancels_the_run(wf):
    def stop(ctx):
        raise Cancelled

    run = wf.step("a", stop).start()
    with pytest.raises(concurrent.futures.CancelledError):
        run.result(60)
    assert run.status == "CANCELLED"


def test_a_shut_down_executor_is_an_error(wf):
    executor = Executor(1)
    executor.shutdown()
    wf.parallel([lambda ctx: 1])
    with pytest.raises(TaskError) as caught:
        wf.run(executor=executor)
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("executor", ["nobody", "serial", 4, object()])
def test_no_executor(wf, executor):
    with pytest.raises((TypeError, ValueError), match="executor must be"):
        wf.run(executor=executor)


def test_progress_is_told(wf):
    seen = []
    wf.step("a", lambda ctx: 1).step("b", lambda ctx: 2)
    wf.run(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)


def test_ten_thousand_steps(wf):
    for n in range(10_000):
        wf.step(f"s{n}", lambda ctx: ctx.last + 1)
    assert wf.run(0).last == 10_000


def test_async_steps_from_inside_the_event_loop_are_refused(wf):
    async def nested(ctx):
        inner = fastflow.workflow("inner").step("x", lambda ctx: 1)
        inner.run()

    with pytest.raises(TaskError, match="would block the event loop"):
        wf.step("a", nested).run()


def test_context_variables_of_the_caller_are_seen_everywhere(wf):
    import contextvars

    name = contextvars.ContextVar("name", default="nobody")

    async def read_async(ctx):
        return name.get()

    def read(ctx, *item):
        return name.get()

    wf.step("a", read).step("b", read_async).step("c", read, timeout="1h")
    wf.parallel([read, read_async, lambda ctx: read_async(ctx)])
    wf.for_each("d", [1], read, max_concurrency=1)
    wf.for_each("e", [1], build=lambda f: f.step("x", read_async).step("y", read))
    wf.step("z", lambda ctx: [record.output for record in ctx.steps.values()])

    def check():
        name.set("me")
        expected = ["me", "me", "me", ["me"] * 3, ["me"], ["me"]]
        assert wf.run().last[:6] == expected
        assert wf.start().result(60).last[:6] == expected

    contextvars.copy_context().run(check)


def test_results_and_errors_can_be_pickled(wf):
    wf.step("a", lambda ctx: 1).race([lambda ctx: 2], "r").step("b", lambda ctx: 1 / 0)
    with pytest.raises(TaskError) as caught:
        wf.run()
    error = pickle.loads(pickle.dumps(caught.value))
    assert (str(error), error.task) == (str(caught.value), "b")
    assert error.result.error is error
    assert error.result.steps["r"].output == 2
    assert error.result.steps["r"].winner == 0
    assert isinstance(error.result.steps["b"].error, ZeroDivisionError)


def test_a_finished_run_is_freed_without_the_garbage_collector(wf):
    class Payload:
        pass

    async def later(ctx):
        return 1

    wf.step("a", lambda ctx: 1).step("b", later).parallel([later, lambda ctx: 2])
    wf.for_each("f", [1], build=lambda flow: flow.step("x", later))
    gc.disable()
    try:
        payload = Payload()
        ghost = weakref.ref(payload)
        wf.run(payload)
        del payload
        # The event loop's thread may be on its way out of the call that ended the run.
        # On free-threaded builds, it and the workers count what others drop of their
        # own when they next run.
        end = time.monotonic() + 60
        while ghost() is not None and time.monotonic() < end:
            aio.submit(asyncio.sleep(0)).result(60)
            fastflow.default_executor().submit(int).result(60)
        assert ghost() is None
    finally:
        gc.enable()
