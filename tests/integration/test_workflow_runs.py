"""Runs in the background: handles, cancelling, limits, events, answers, exit."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import queue
import signal
import sys
import threading

import pytest

import fastflow
from fastflow import TaskError, TaskTimeout
from fastflow.base.timers import VirtualClock
from support import run_script


@pytest.fixture
def wf():
    return fastflow.workflow("runs")


@pytest.fixture
def clock():
    return VirtualClock()


# Handles


def test_a_started_run(wf):
    gate = threading.Event()
    wf.step("a", lambda ctx: gate.wait(60)).step("b", lambda ctx: ctx.payload)
    run = wf.start(5)
    assert not run.done()
    assert wf.runs == [run]
    assert run.status in ("PENDING", "RUNNING")
    with pytest.raises(TimeoutError, match="has not ended within 0 s; it goes on"):
        run.result(timeout=0)
    gate.set()
    result = run.result(60)
    assert (result.last, run.status, run.done()) == (5, "COMPLETED", True)
    assert run.result() is result
    assert run.steps["b"].output == 5
    assert not run.cancel()
    assert wf.runs == []


def test_a_failed_run_raises_each_time(wf):
    run = wf.step("a", lambda ctx: 1 / 0).start()
    for _ in range(2):
        with pytest.raises(TaskError) as caught:
            run.result(60)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert run.status == "FAILED"


def test_many_runs_overlap(wf):
    everybody = threading.Barrier(4)

    async def wait(ctx):
        await asyncio.to_thread(everybody.wait, 60)
        return ctx.payload

    wf.step("a", wait).step("b", lambda ctx: ctx.last * 10)
    runs = [wf.start(n) for n in range(4)]
    assert [run.result(60).last for run in runs] == [0, 10, 20, 30]
    assert len({run.id for run in runs}) == 4


def test_runs_inside_of_runs(wf):
    inner = fastflow.workflow("inner").parallel([lambda ctx: ctx.payload] * 3)
    wf.for_each("f", range(10), lambda ctx, n: sum(inner.run(n).last))
    assert wf.run().last == [3 * n for n in range(10)]


# Cancelling


def test_cancelling_a_wait(wf):
    wf.wait_for_event("never").step("a", lambda ctx: 1).on_error(lambda ctx: "handled")
    run = wf.start()
    assert run.cancel()
    with pytest.raises(concurrent.futures.CancelledError, match="was cancelled"):
        run.result(60)
    assert (run.status, run.steps["a"].status) == ("CANCELLED", "SKIPPED")
    assert not run.cancel()


def test_cancelling_reaches_coroutines_and_threads(wf):
    running = threading.Barrier(3)
    stopped, told = threading.Event(), threading.Event()

    async def waits(ctx):
        try:
            await asyncio.to_thread(running.wait, 60)
            await asyncio.Event().wait()
        finally:
            stopped.set()

    def loops(ctx):
        running.wait(60)
        while not ctx.cancelled:
            pass
        told.set()

    run = wf.parallel([waits, loops], "p").start()
    running.wait(60)
    assert run.cancel()
    assert stopped.wait(60)
    assert told.wait(60)
    with pytest.raises(concurrent.futures.CancelledError):
        run.result(60)
    assert run.steps["p"].status == "CANCELLED"


@pytest.mark.parametrize(
    "kind", ["step", "sleep", "delay", "retry", "sub-flow", "subflow"]
)
def test_cancelling_everything_that_waits(kind):
    clock = VirtualClock()
    wf = fastflow.workflow("waits", clock=clock)
    running, stopped = threading.Event(), threading.Event()

    async def waits(ctx):
        running.set()
        clock.call_later(1000, print)
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    def fails(ctx):
        raise OSError

    inner = fastflow.workflow("inner", clock=clock).step("w", waits)
    {
        "step": lambda: wf.step("x", waits),
        "sleep": lambda: wf.sleep("1h"),
        "delay": lambda: wf.step("x", waits, delay="1h"),
        "retry": lambda: wf.step("x", fails, retries=1, retry_delay="1h"),
        "sub-flow": lambda: wf.for_each("x", [1], build=lambda f: f.step("w", waits)),
        "subflow": lambda: wf.subflow("x", inner),
    }[kind]()
    wf.step("never", lambda ctx: 1)
    run = wf.start()
    assert clock.wait_for_timer(60)
    if kind in ("step", "sub-flow", "subflow"):
        assert running.wait(60)
    run.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        run.result(60)
    assert stopped.wait(60 if running.is_set() else 0) == running.is_set()
    assert run.steps["never"].status == "SKIPPED"
    if kind in ("sleep", "delay", "retry"):
        assert not clock.advance_to_next()  # nothing is left behind


def test_cancelling_an_action(wf):
    running, told = threading.Event(), threading.Event()

    def loops(ctx):
        running.set()
        while not ctx.cancelled:
            pass
        told.set()

    run = wf.action("a", loops).wait_for_event("never").start()
    assert running.wait(60)
    run.cancel()
    assert told.wait(60)
    assert run.steps["a"].status == "CANCELLED"
    assert wf.close(60) == []


def test_a_step_may_cancel_its_own_run(wf):
    wf.step("a", lambda ctx: ctx.run.cancel()).step("b", lambda ctx: 1)
    with pytest.raises(concurrent.futures.CancelledError):
        wf.run()
    assert wf.runs == []


def test_a_cancelled_run_calls_no_hook():
    log = []
    wf = fastflow.workflow("h", on_success=log.append, on_failure=log.append)
    run = wf.wait_for_event("never").start()
    run.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        run.result(60)
    assert log == []


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_ctrl_c_ends_the_wait_and_cancels_the_run():
    done = run_script(
        """
        import fastflow
        wf = fastflow.workflow("w")
        wf.step("ready", lambda ctx: print("ready", flush=True)).wait_for_event("never")
        try:
            wf.run()
        except KeyboardInterrupt:
            print("interrupted", wf.runs)
        """,
        stimulus=lambda process: process.send_signal(signal.SIGINT),
    )
    assert done.stdout.split("\n")[1] == "interrupted []", done.stderr


# Limits


def test_concurrency_holds_across_runs():
    wf = fastflow.workflow("limited", concurrency=2).wait_for_event("go")
    wf.step("a", lambda ctx: ctx.payload)
    runs = [wf.start(n) for n in range(4)]
    assert [run.status for run in runs] == ["RUNNING", "RUNNING", "PENDING", "PENDING"]
    runs[1].emit("go")
    assert runs[1].result(60).last == 1
    assert [run.status for run in runs[2:]] == ["RUNNING", "PENDING"]
    for run in runs:
        run.emit("go")  # kept for the one that has not begun
    assert [run.result(60).last for run in runs] == [0, 1, 2, 3]


def test_a_waiting_run_can_be_cancelled_and_leaves_no_hole():
    wf = fastflow.workflow("limited", concurrency=1).wait_for_event("go")
    runs = [wf.start() for _ in range(3)]
    runs[1].cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        runs[1].result(60)
    assert runs[2].status == "PENDING"
    runs[0].emit("go")
    runs[0].result(60)
    runs[2].emit("go")
    assert runs[2].result(60).status == "COMPLETED"


@pytest.mark.parametrize("how", ["fail", "cancel", "timeout"])
def test_a_run_that_does_not_complete_frees_its_place(how, clock):
    wf = fastflow.workflow("limited", concurrency=1, clock=clock)
    wf.wait_for_event("go").step("a", lambda ctx: 1 / ctx.last)
    first, second = wf.start(timeout="1m"), wf.start()
    assert clock.wait_for_timer(60)
    if how == "fail":
        first.emit("go", 0)
    elif how == "cancel":
        first.cancel()
    else:
        clock.advance(60)
    expected = {
        "fail": TaskError,
        "cancel": concurrent.futures.CancelledError,
        "timeout": TaskTimeout,
    }
    with pytest.raises(expected[how]):
        first.result(60)
    second.emit("go", 1)
    assert second.result(60).last == 1


def test_rate_limit_holds_across_runs(clock):
    wf = fastflow.workflow("limited", rate_limit="2/10s", clock=clock)
    wf.step("a", lambda ctx: ctx.payload)
    runs = [wf.start(n) for n in range(5)]
    admitted = [2, 2, 3, 3, 4, 5]  # after 0, 4, 5, 9, 10, 15 seconds
    for seconds, count in zip([0, 4, 1, 4, 1, 5], admitted, strict=True):
        clock.advance(seconds)
        assert [run.result(60).last for run in runs[:count]] == list(range(count))
        assert {run.status for run in runs[count:]} <= {"PENDING"}


def test_the_time_limit_counts_while_waiting_for_admission(clock):
    wf = fastflow.workflow("limited", concurrency=1, timeout="1m", clock=clock)
    wf.wait_for_event("go")
    first, second = wf.start(), wf.start()
    first.emit("go")
    first.result(60)
    third = wf.start()
    clock.advance(60)
    for run in (second, third):
        with pytest.raises(TaskTimeout):
            run.result(60)


def test_run_waits_for_admission_too():
    wf = fastflow.workflow("limited", concurrency=1)
    wf.if_("wait", lambda ctx: ctx.payload).wait_for_event("go").end_if()
    first = wf.start(True)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        second = thread.submit(wf.run, False)
        first.emit("go")
        assert second.result(60).status == "COMPLETED"


# State


def test_state_is_shared_by_the_runs_of_a_workflow_only(wf):
    other = fastflow.workflow("other")
    key = object()
    for each in (wf, other):
        each.step("a", lambda ctx: ctx.state.incr("n"))
        each.step("b", lambda ctx: (ctx.last, ctx.global_state.incr(key)))
    assert wf.run().last == (1, 1)
    assert wf.run().last == (2, 2)
    assert other.run().last == (1, 3)
    assert wf.state.get("n") == 2
    assert wf.global_state.get(key) == 3
    wf.global_state.delete(key)


def test_state_is_atomic_across_branches(wf):
    wf.for_each("f", range(2000), lambda ctx, n: ctx.state.incr("n"))
    assert sorted(wf.run().last) == list(range(1, 2001))


# Events


@pytest.mark.parametrize("payload", [{"n": 1}, None, 0, ""])
def test_an_event_before_or_after_the_wait(wf, payload):
    waiting = threading.Event()
    wf.wait_for_event("first").step("a", lambda ctx: waiting.set())
    wf.wait_for_event("second", name="again")
    run = wf.start()
    run.emit("second", payload)
    run.emit("first")
    assert run.result(60).last == payload
    assert run.steps["again"].output == payload
    assert run.steps["first"].status == "COMPLETED"


def test_each_event_is_consumed_once_and_in_order(wf):
    wf.wait_for_event("e", name="a").wait_for_event("e", name="b")
    run = wf.start()
    run.emit("e", 1)
    run.emit("e", 2)
    result = run.result(60)
    assert [result.steps[name].output for name in "ab"] == [1, 2]


def test_emit_reaches_all_runs(wf):
    wf.wait_for_event("go")
    runs = [wf.start() for _ in range(3)]
    assert wf.emit("go", 7) == 3
    assert [run.result(60).last for run in runs] == [7, 7, 7]
    assert wf.emit("go") == 0


def test_an_event_that_does_not_come(clock):
    wf = fastflow.workflow("waits", clock=clock).wait_for_event("paid", timeout="1h")
    run = wf.start()
    assert clock.wait_for_timer(60)
    clock.advance(3599)
    assert not run.done()
    clock.advance(1)
    with pytest.raises(TaskError, match="'paid' did not come within 3600") as caught:
        run.result(60)
    assert isinstance(caught.value.__cause__, TaskTimeout)
    run.emit("paid")


def test_events_reach_sub_flows_and_subflows(wf):
    inner = fastflow.workflow("inner").wait_for_event("go")
    wf.subflow("sub", inner)
    wf.for_each("f", [1, 2], build=lambda flow: flow.wait_for_event("item"))
    run = wf.start()
    run.emit("go", "inner")
    run.emit("item", "a")
    run.emit("item", "b")
    result = run.result(60)
    assert result.steps["sub"].output == "inner"
    assert sorted(result.last) == ["a", "b"]


# Answers


def test_a_human_in_the_loop(wf):
    asked = queue.Queue()
    wf.human_in_the_loop("approve", lambda ctx, token: asked.put(token))
    wf.step("after", lambda ctx: ctx.last)
    run = wf.start()
    token = asked.get(timeout=60)
    assert run.pauses == {token: "approve"}
    run.resume(token, False)
    assert run.result(60).last is False
    assert run.pauses == {}
    for resume in (run.resume, wf.resume):
        with pytest.raises(LookupError, match="unknown, was used already"):
            resume(token, True)


def test_an_answer_from_inside_of_on_pause(wf):
    async def ask(ctx, token):
        ctx.run.resume(token, "at once")

    assert wf.human_in_the_loop("approve", ask).run().last == "at once"


def test_the_workflow_finds_the_run(wf):
    asked = queue.Queue()
    wf.human_in_the_loop("a", lambda ctx, token: asked.put((ctx.payload, token)))
    runs = {n: wf.start(n) for n in range(3)}
    for _ in runs:
        n, token = asked.get(timeout=60)
        wf.resume(token, n * 10)
    assert [runs[n].result(60).last for n in runs] == [0, 10, 20]
    with pytest.raises(LookupError):
        wf.resume("nonsense")


def test_an_answer_that_does_not_come(clock):
    asked = queue.Queue()
    wf = fastflow.workflow("asks", clock=clock)
    wf.human_in_the_loop("a", lambda ctx, token: asked.put(token), timeout="2d")
    wf.on_error(lambda ctx: str(ctx.error))
    run = wf.start()
    token = asked.get(timeout=60)
    assert clock.wait_for_timer(60)
    clock.advance(2 * 86_400)
    assert "nobody answered 'a' within 172800" in run.result(60).last
    with pytest.raises(LookupError):
        run.resume(token)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_nobody_can_be_asked(wf, asynchronous):
    tokens = []

    def ask(ctx, token):
        tokens.append(token)
        raise OSError("no mail")

    async def ask_async(ctx, token):
        ask(ctx, token)

    wf.human_in_the_loop("a", ask_async if asynchronous else ask)
    wf.on_error(lambda ctx: (str(ctx.error), ctx.run.pauses))
    assert wf.run().last == ("no mail", {})


# The end of the program


def test_started_runs_are_finished_at_exit():
    done = run_script(
        """
        import asyncio, fastflow
        async def later(ctx):
            await asyncio.sleep(0.05)
            return "async"
        wf = fastflow.workflow("w").step("a", later).sleep(0.05)
        wf.parallel([later, later]).step("b", lambda ctx: print(ctx.last))
        wf.start()
        """,
        "-W",
        "error",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "['async', 'async']\n"


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="refuses the pool's threads at exit"
)
def test_branches_and_actions_are_finished_at_exit():
    done = run_script(
        """
        import time, fastflow
        wf = fastflow.workflow("w").sleep(0.05)
        wf.parallel([lambda ctx: 1, lambda ctx: 2])
        wf.action("b", lambda ctx: time.sleep(0.05) or print("action"))
        wf.step("c", lambda ctx: print(ctx.steps["parallel-1"].output))
        wf.start()
        """,
        "-W",
        "error",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split("\n")) == ["", "[1, 2]", "action"]


def test_a_run_that_waits_for_the_world_is_cancelled_at_exit():
    done = run_script(
        """
        import logging, fastflow
        logging.basicConfig()
        fastflow.workflow("w").wait_for_event("paid").start()
        """,
        "-W",
        "error",
    )
    assert done.returncode == 0
    assert "is cancelled at exit; it waits for: event 'paid'" in done.stderr


def test_a_forked_child_runs_workflows_of_its_own():
    done = run_script(
        """
        import asyncio, os, fastflow
        async def double(ctx):
            await asyncio.sleep(0.001)
            return 2 * ctx.last
        wf = fastflow.workflow("w").step("a", double).parallel([double] * 2)
        wf.sleep(0.001)
        limited = fastflow.workflow("x", concurrency=1)
        limited.if_("wait", lambda ctx: ctx.payload).wait_for_event("never").end_if()
        waiting = limited.start(True)
        assert wf.run(1).last == [4, 4]
        child = os.fork()
        if child == 0:
            ok = wf.run(2).last == [8, 8] and wf.start(3).result(30).last == [12, 12]
            ok = ok and limited.runs == [] and limited.run(False).last is False
            os._exit(0 if ok else 1)
        assert os.waitpid(child, 0)[1] == 0
        waiting.cancel()
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    assert (done.returncode, done.stderr) == (0, "")
