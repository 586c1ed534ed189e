"""A run ends, whatever its functions and hooks do, and its outcome stays."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import os
import signal
import threading

import pytest
from tests.support import run_script

import fastflow
from fastflow import TaskError, TaskTimeout
from fastflow.base.timers import VirtualClock
from fastflow.run.events import LISTENING, Events
from fastflow.workflows import jobs
from fastflow.workflows.fiber import Fiber
from fastflow.workflows.records import Steps


class Unprintable(Exception):  # noqa: N818
    """Its message can't be shown."""

    def __str__(self):
        return self.args[0]


@dataclasses.dataclass(frozen=True)
class NotFound(Exception):  # noqa: N818
    """It takes no attributes, hence no notes."""

    code: int


def raising(error):
    def fail(ctx, *args):
        raise error

    return fail


@pytest.fixture
def wf():
    return fastflow.workflow("w")


FAILING = {
    "step": lambda wf, fail: wf.step("s", fail),
    "predicate": lambda wf, fail: wf.if_("i", fail).end_if(),
    "parallel": lambda wf, fail: wf.parallel([fail]),
    "race": lambda wf, fail: wf.race([fail], win="settled"),
    "for_each": lambda wf, fail: wf.for_each("f", [1, 2], fail),
    "build": lambda wf, fail: wf.for_each("f", [1], build=lambda f: f.step("s", fail)),
    "subflow": lambda wf, fail: wf.subflow(
        "sub", fastflow.workflow("inner").step("s", fail)
    ),
}


def cause(error):
    while isinstance(error, TaskError):
        error = error.__cause__
    return error


@pytest.mark.parametrize("error", [Unprintable(), NotFound(7)], ids=["str", "frozen"])
@pytest.mark.parametrize("where", FAILING)
def test_any_exception_fails_the_run(wf, where, error):
    FAILING[where](wf, raising(error))
    run = wf.start()
    with pytest.raises(TaskError) as caught:
        run.result(60)
    assert cause(caught.value) is error
    assert run.status == "FAILED"
    with pytest.raises(TaskError):
        wf.run()
    assert wf.runs == []


@pytest.mark.parametrize("error", [Unprintable(), NotFound(7)], ids=["str", "frozen"])
@pytest.mark.parametrize("where", FAILING)
def test_any_exception_is_handled(wf, where, error):
    FAILING[where](wf, raising(error)).on_error(lambda ctx: ctx.error)
    assert cause(wf.start().result(60).last) is error


def test_what_can_t_be_shown_is_named(wf):
    with pytest.raises(
        TaskError, match=r"Unprintable \(its message can't be shown: Ind"
    ):
        wf.step("s", raising(Unprintable())).run()


def test_an_exception_that_is_used_again_collects_no_notes(wf):
    error = ValueError("shared")
    wf.for_each("f", [1], build=lambda flow: flow.step("s", raising(error)))
    for _ in range(3):
        with pytest.raises(TaskError):
            wf.run()
    assert error.__notes__ == ["in step 's'", "in item 0 of 'f'"]


def test_a_policy_that_can_t_describe_its_branch(wf):
    class Nameless:
        @property
        def __name__(self):
            raise RuntimeError("no name")

        def __call__(self, ctx):
            raise ValueError("fails")

    run = wf.parallel([Nameless()]).start()
    with pytest.raises(TaskError, match="no name"):
        run.result(60)


@pytest.mark.parametrize("signal_", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("limit", [None, "1h"])
def test_a_message_that_ends_the_program_does_not(wf, signal_, limit):
    class Bad(Exception):  # noqa: N818
        def __str__(self):
            raise signal_

    wf.step("s", raising(Bad()))
    with pytest.raises(TaskError, match=f"can't be shown: {signal_.__name__}"):
        wf.run(timeout=limit)
    assert wf.close(0) == []
    assert isinstance(wf.on_error(lambda ctx: ctx.error).run().last, Bad)


@pytest.mark.parametrize("limit", [None, "1h"])
@pytest.mark.parametrize("way", ["run", "start"])
def test_ctrl_c_while_the_result_is_put_together(wf, limit, way, monkeypatch):
    def interrupted(self):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Steps, "finish", interrupted)
    wf.step("s", lambda ctx: 1)
    if way == "run":
        with pytest.raises(KeyboardInterrupt):
            wf.run(timeout=limit)
    else:
        run = wf.start(timeout=limit)
        assert run.result(60).last == 1
        assert run.done()
    assert wf.close(0) == []


# Hooks


@pytest.mark.parametrize("signal_", [SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("limit", [None, "1h"])
def test_a_hook_that_ends_the_program(signal_, limit, caplog):
    wf = fastflow.workflow("w", on_success=raising(signal_), timeout=limit)
    wf.step("s", lambda ctx: 1)
    with pytest.raises(type(signal_)):
        wf.run()
    assert wf.runs == []
    assert "a hook of run w-" in caplog.text
    assert wf.start().result(60).last == 1


def test_a_subflow_s_hook_that_ends_the_program(wf):
    inner = fastflow.workflow("inner", on_success=raising(SystemExit(3)))
    wf.subflow("sub", inner.step("s", lambda ctx: 1))
    with pytest.raises(SystemExit):
        wf.run()
    assert wf.runs == inner.runs == []
    assert wf.start().result(60).last == 1


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_ctrl_c_in_a_hook():
    done = run_script(
        """
        import threading
        import fastflow

        def hook(ctx):
            print("ready", flush=True)
            # Not one endless wait: CPython sleeps through a signal that comes just
            # before the thread goes to sleep, with or without fastflow.
            while True:
                threading.Event().wait(0.1)

        wf = fastflow.workflow("w", on_success=hook).step("s", lambda ctx: 1)
        try:
            wf.run()
        except KeyboardInterrupt:
            print("interrupted", wf.runs)
        """,
        stimulus=lambda process: process.send_signal(signal.SIGINT),
    )
    assert done.stdout.split("\n")[1] == "interrupted []", done.stderr


class Hanging:
    """A hook that never ends; `called` and `stopped` tell what became of it."""

    def __init__(self):
        self.called, self.stopped = threading.Event(), threading.Event()

    async def awaits(self, ctx):
        self.called.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()

    def blocks(self, ctx):
        self.called.set()
        while not ctx.cancelled:
            pass
        self.stopped.set()


@pytest.mark.parametrize("kind", ["awaits", "blocks"])
@pytest.mark.parametrize("end", ["limit", "cancel"])
def test_a_hook_that_hangs(kind, end, caplog):
    hanging, clock = Hanging(), VirtualClock()
    hook = getattr(hanging, kind)
    wf = fastflow.workflow("w", timeout=10, on_success=hook, clock=clock)
    run = wf.step("s", lambda ctx: "done").start()
    assert hanging.called.wait(60)
    assert run.status == "RUNNING"
    if end == "limit":
        clock.advance(10)
    else:
        assert not run.cancel()
    assert run.result(60).last == "done"
    assert run.status == "COMPLETED"
    assert hanging.stopped.wait(60)
    assert "not waited for any longer" in caplog.text
    assert wf.runs == []


# Time limits and cancelling


def test_the_limit_of_run_holds_during_a_plain_function():
    clock, release = VirtualClock(), threading.Event()

    def blocks(ctx):
        clock.advance(10)
        release.wait(60)

    wf = fastflow.workflow("w", timeout=10, clock=clock).step("s", blocks)
    with pytest.raises(TaskTimeout):
        wf.run()
    assert not release.is_set()
    release.set()


def test_the_limit_of_a_subflow_holds_during_a_plain_function(wf):
    clock, release = VirtualClock(), threading.Event()

    def blocks(ctx):
        clock.advance(10)
        release.wait(60)

    inner = fastflow.workflow("inner", timeout=10, clock=clock).step("s", blocks)
    outer = fastflow.workflow("outer", clock=clock).subflow("sub", inner)
    outer.on_error(lambda ctx: ctx.error)
    assert isinstance(outer.run().last, TaskTimeout)
    assert not release.is_set()
    release.set()


def test_with_a_limit_all_steps_find_the_same_thread():
    caller, threads = threading.get_ident(), []
    wf = fastflow.workflow("w", timeout="1h")
    for name in "abc":
        wf.step(name, lambda ctx: threads.append(threading.get_ident()))
    inner = fastflow.workflow("inner").step("d", lambda ctx: None)
    wf.subflow("sub", inner).step(
        "e", lambda ctx: threads.append(threading.get_ident())
    )
    wf.run()
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert caller not in threads
    wf = fastflow.workflow("w").step("a", lambda ctx: threading.get_ident())
    assert wf.run().last == caller


class Full:
    """An executor of one thread that is taken until the block ends."""

    def __enter__(self):
        self._release, taken = threading.Event(), threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._pool.submit(lambda: (taken.set(), self._release.wait(60)))
        assert taken.wait(60)
        return self._pool

    def __exit__(self, *_):
        assert not self._release.is_set()
        self._release.set()
        self._pool.shutdown()


@pytest.mark.parametrize("hook", [None, lambda ctx: None])
def test_ending_needs_no_free_thread(hook):
    clock = VirtualClock()
    wf = fastflow.workflow("w", clock=clock, on_failure=hook).step("s", lambda ctx: 1)
    with Full() as executor:
        run = wf.start(timeout=10, executor=executor)
        clock.advance(10)
        with pytest.raises(TaskTimeout):
            run.result(60)
        run = wf.start(executor=executor)
        assert run.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            run.result(60)


def test_a_function_that_stops_when_its_time_is_up_is_late(monkeypatch):
    clock, running = VirtualClock(), threading.Event()

    def loops(ctx):
        running.set()
        while not ctx.cancelled:
            pass
        return "late"

    with concurrent.futures.ThreadPoolExecutor(1) as executor:

        class Slow(jobs.Scope):
            def close(self):
                super().close()
                executor.submit(int).result()  # the function has returned by now

        monkeypatch.setattr(jobs, "Scope", Slow)
        wf = fastflow.workflow("w", clock=clock).step("s", loops, timeout=10)
        run = wf.on_error(lambda ctx: "handled").start(executor=executor)
        assert running.wait(60)
        clock.advance(10)
        assert run.result(60).steps["s"].status == "FAILED"
        assert run.result(60).last == "handled"


@pytest.mark.parametrize("how", ["value", "failure"])
@pytest.mark.parametrize("end", ["limit", "cancel"])
def test_the_records_of_an_ended_run_stay(how, end):
    clock = VirtualClock()
    running, release = threading.Event(), threading.Event()

    def late(ctx):
        running.set()
        release.wait(60)
        if how == "failure":
            raise ValueError("late")
        return "late"

    wf = fastflow.workflow("w", clock=clock).step("s", late).step("t", late)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        run = wf.start(timeout=10, executor=executor)
        assert running.wait(60)
        clock.advance(1)
        if end == "limit":
            clock.advance(9)
        else:
            run.cancel()
        with pytest.raises((TaskTimeout, concurrent.futures.CancelledError)):
            run.result(60)
        before = [(r.status, r.output, r.error, r.duration) for r in run.steps.values()]
        release.set()
    after = [(r.status, r.output, r.error, r.duration) for r in run.steps.values()]
    assert before == after == [("CANCELLED", None, None, clock.now())]
    assert run.steps["t"].status == "SKIPPED"


@pytest.mark.parametrize("second", ["limit", "cancel"])
def test_the_records_of_a_run_that_is_stopped_twice_at_once(second, monkeypatch):
    clock, waits, plain = VirtualClock(), threading.Event(), Fiber.cancel

    def cancel(line):
        monkeypatch.undo()
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            stop = run.cancel if second == "cancel" else lambda: clock.advance(10)
            executor.submit(stop).result(60)
        plain(line)

    wf = fastflow.workflow("w", clock=clock).step("s", lambda ctx: waits.set())
    run = wf.wait_for_event("never").start(timeout=10)
    assert waits.wait(60)
    while "never" not in run.steps:
        pass
    monkeypatch.setattr(Fiber, "cancel", cancel)
    assert run.cancel()
    record = run.steps["never"]
    assert (record.status, record.end) == ("CANCELLED", clock.now())


@pytest.mark.parametrize("nested", [False, True])
def test_a_loop_that_is_left_by_an_error_has_failed_then(nested):
    clock = VirtualClock()
    seen = []

    def body(flow):
        return flow.step("a", lambda ctx: 1 / 0)

    def outer(flow):
        return flow.while_("inner", lambda ctx: True, build=body)

    def look(ctx):
        record = ctx.steps["w"]
        seen.append((record.status, type(record.error), record.duration))
        clock.advance(10)

    wf = fastflow.workflow("w", clock=clock)
    wf.while_("w", lambda ctx: True, build=outer if nested else body)
    run = wf.on_error(look).step("z", look).run()
    assert seen == [("FAILED", ZeroDivisionError, 0.0)] * 2
    assert run.steps["w"].duration == 0


def test_a_loop_whose_body_handles_the_error_goes_on(wf):
    def body(flow):
        flow.step("a", lambda ctx: 1 / 0)
        flow.on_error(lambda ctx: ctx.steps["w"].status)

    wf.while_("w", lambda ctx: ctx.last != "RUNNING", build=body)
    run = wf.run()
    assert (run.last, run.steps["w"].status) == ("RUNNING", "COMPLETED")


@pytest.mark.parametrize("verb", ["step", "if_"])
def test_what_is_called_last_ends_once_if_it_is_overdue(verb):
    ended, threads, gate = [], [], threading.Event()

    class Told:
        def job_ended(self, key, attempt, time, error):
            ended.append((key.name, type(error)))

    def late(ctx):
        threads.append(threading.current_thread())
        gate.wait()

    wf = fastflow.workflow("w")
    getattr(wf, verb)("s", late)
    if verb == "if_":
        wf.end_if()
    token = LISTENING.set(Events.of([Told()]))
    try:
        with pytest.raises(TaskTimeout):
            wf.run(timeout="50ms")
    finally:
        LISTENING.reset(token)
        gate.set()
    threads[0].join(60)
    assert ended == [("s", TaskTimeout)]
