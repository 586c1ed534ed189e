"""The hooks of runs whose time is up, and what comes out of hooks."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

import fastflow
from fastflow import TaskTimeout
from fastflow.base.timers import VirtualClock
from fastflow.workflows import hooks
from fastflow.workflows.hooks import HookCall

VARIABLE = contextvars.ContextVar("variable", default="lost")


@pytest.fixture
def clock():
    return VirtualClock()


def elsewhere(clock, seconds):
    """Let time pass as the timer thread does, which has no context variables."""
    contextvars.Context().run(clock.advance, seconds)


@pytest.mark.parametrize("way", ["run", "start", "subflow"])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_hook_of_a_run_whose_time_is_up_sees_the_context(clock, way, kind):
    seen = []

    def plain(ctx):
        seen.append((type(ctx.error), VARIABLE.get()))

    async def awaits(ctx):
        await asyncio.sleep(0)
        plain(ctx)

    hook = plain if kind == "plain" else awaits
    wf = fastflow.workflow("w", timeout=10, on_failure=hook, clock=clock)
    wf.step("s", lambda ctx: elsewhere(clock, 10))
    if way == "subflow":
        wf = fastflow.workflow("outer", clock=clock).subflow("sub", wf)
    token = VARIABLE.set("request 17")
    try:
        with pytest.raises((TaskTimeout, fastflow.TaskError)):
            wf.start().result(60) if way == "start" else wf.run()
    finally:
        VARIABLE.reset(token)
    assert seen == [(TaskTimeout, "request 17")]


class Hanging:
    """A hook that goes on until it is stopped."""

    def __init__(self):
        self.called, self.stopped = threading.Event(), threading.Event()
        self.asked = []

    async def awaits(self, ctx):
        self.asked.append(ctx.cancelled)
        self.called.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()

    def blocks(self, ctx):
        self.asked.append(ctx.cancelled)
        self.called.set()
        while not ctx.cancelled:
            pass
        self.stopped.set()


@pytest.mark.parametrize("kind", ["awaits", "blocks"])
@pytest.mark.parametrize(("limit", "more"), [(10, 10), (0.25, 1)])
@pytest.mark.parametrize("end", ["limit", "cancel"])
def test_a_hook_has_its_own_time_when_that_of_the_run_is_up(
    clock, kind, limit, more, end, caplog
):
    hanging = Hanging()
    hook = getattr(hanging, kind)
    wf = fastflow.workflow("w", timeout=limit, on_failure=hook, clock=clock)
    run = wf.wait_for_event("never").start()
    clock.advance(limit)
    assert hanging.called.wait(60)
    clock.advance(more - 0.125)
    assert not run.done()
    if end == "limit":
        clock.advance(0.125)
    else:
        assert not run.cancel()
    with pytest.raises(TaskTimeout):
        run.result(60)
    assert hanging.stopped.wait(60)
    assert hanging.asked == [False]
    assert caplog.text.count("not waited for any longer") == 1
    assert wf.runs == []
    assert clock.pending == 0


def test_a_hook_that_ends_in_its_time_is_not_stopped(clock, caplog):
    wf = fastflow.workflow("w", timeout=10, on_failure=lambda ctx: 1, clock=clock)
    run = wf.wait_for_event("never").start()
    clock.advance(10)
    with pytest.raises(TaskTimeout):
        run.result(60)
    assert clock.pending == 0
    clock.advance(10)
    assert "a hook of run" not in caplog.text


def test_a_hook_that_is_stopped_as_its_coroutine_begins(clock, monkeypatch):
    hanging, hold = Hanging(), HookCall._hold
    stopping, held = threading.Event(), threading.Event()

    def holds(self, future):
        assert stopping.wait(60)
        hold(self, future)
        held.set()

    def warning(*_, **__):
        stopping.set()
        assert held.wait(60)

    monkeypatch.setattr(HookCall, "_hold", holds)
    monkeypatch.setattr(hooks._LOGGER, "warning", warning)
    wf = fastflow.workflow("w", on_success=hanging.awaits, clock=clock)
    run = wf.step("s", lambda ctx: "done").start()
    assert hanging.called.wait(60)
    assert not run.cancel()
    assert run.result(60).last == "done"
    assert hanging.stopped.wait(60)


def test_a_test_run_ends_though_the_hook_hangs():
    hanging = Hanging()
    wf = fastflow.workflow("w", timeout=10, on_failure=hanging.blocks)
    test = wf.wait_for_event("never").test(patience="10ms")
    test.expect_failure(TaskTimeout).run()
    assert hanging.stopped.wait(60)


def ends(ctx):
    raise SystemExit(3)


@pytest.mark.parametrize("hook", ["on_success", "on_failure"])
def test_what_ends_the_program_is_known_before_the_end_of_the_run(
    clock, hook, monkeypatch
):
    make, returned = HookCall.make, threading.Event()

    def makes(self):
        try:
            make(self)
        finally:
            assert returned.wait(60)  # run() goes on before this thread does

    monkeypatch.setattr(HookCall, "make", makes)
    wf = fastflow.workflow("w", timeout=10, clock=clock, **{hook: ends})
    wf.step("s", lambda ctx: hook == "on_success" or clock.advance(10))
    try:
        with pytest.raises(SystemExit):
            wf.run()
    finally:
        returned.set()
    assert wf.runs == []
