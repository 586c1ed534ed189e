"""Where items are drawn, and when a generator of them is closed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import pytest

import fastflow
from cursors import Cursor
from fastflow import TaskError, TaskTimeout
from fastflow.base import aio
from fastflow.base.timers import VirtualClock


@pytest.fixture
def wf():
    return fastflow.workflow("w")


async def awaits(ctx, item):
    await asyncio.sleep(0)
    return item


def returns(ctx, item):
    return item


@pytest.mark.parametrize("fn", [awaits, returns])
def test_items_are_drawn_on_the_caller_s_thread(wf, fn):
    threads = set()

    def items(ctx):
        for n in range(20):
            threads.add(threading.get_ident())
            yield n

    wf.for_each("f", items, fn, max_concurrency=2)
    assert wf.run().last == list(range(20))
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("executor", [None, "one thread"])
def test_items_are_never_drawn_on_the_event_loop(wf, executor):
    on_loop = []

    def items(ctx):
        for n in range(20):
            on_loop.append(aio.is_loop_thread())
            yield n

    wf.for_each("f", items, awaits, max_concurrency=2)
    pool = concurrent.futures.ThreadPoolExecutor(1) if executor else None
    assert wf.start(executor=pool).result(60).last == list(range(20))
    assert on_loop == [False] * 20
    if pool is not None:
        pool.shutdown()


@pytest.mark.parametrize("limit", [None, "1h"])
def test_a_database_cursor_gives_items(limit):
    def rows(ctx):
        return Cursor()

    wf = fastflow.workflow("w", timeout=limit)
    wf.for_each("f", rows, awaits, max_concurrency=2)
    assert wf.run().last == [(n,) for n in range(20)]
    wf = fastflow.workflow("w", timeout=limit)
    wf.batch("f", rows, 3, awaits, max_concurrency=2)
    assert [len(chunk) for chunk in wf.run().last] == [3] * 6 + [2]


def test_a_generator_may_run_coroutines_and_workflows(wf):
    inner = fastflow.workflow("inner").step("s", lambda ctx: -ctx.payload)

    def items(ctx):
        for n in range(6):
            yield asyncio.run(awaits(ctx, n)), inner.run(n).last

    wf.for_each("f", items, awaits, max_concurrency=2)
    assert wf.run().last == [(n, -n) for n in range(6)]


class Source:
    """A generator that tells where it was closed."""

    def __init__(self, wait=None):
        self.closed: list[int] = []
        self.done = threading.Event()
        self._wait = wait

    def __call__(self, ctx):
        n = 0
        try:
            while True:
                yield (n := n + 1)
                if self._wait is not None and n == 5:
                    self._wait()
        finally:
            self.closed.append(threading.get_ident())
            self.done.set()


def test_a_failure_closes_the_generator(wf):
    source = Source()

    def fails(ctx, item):
        if item == 5:
            raise ValueError

    closed = []
    wf.for_each("f", source, fails, max_concurrency=2)
    wf.on_error(lambda ctx: closed.extend(source.closed))
    wf.run()
    assert closed == source.closed == [threading.get_ident()]


@pytest.mark.parametrize("end", ["limit", "cancel"])
def test_a_run_that_is_stopped_closes_the_generator(end):
    source, clock, running = Source(), VirtualClock(), threading.Event()

    async def never(ctx, item):
        running.set()
        await asyncio.Event().wait()

    wf = fastflow.workflow("w", clock=clock, timeout=10)
    run = wf.for_each("f", source, never, max_concurrency=2).start()
    assert running.wait(60)
    if end == "limit":
        clock.advance(10)
    else:
        run.cancel()
    assert source.done.wait(60)
    with pytest.raises((TaskTimeout, concurrent.futures.CancelledError)):
        run.result(60)


def test_a_generator_that_is_being_drawn_from_is_closed_afterwards():
    drawing, release = threading.Event(), threading.Event()

    def wait():
        drawing.set()
        release.wait(60)

    source = Source(wait)
    wf = fastflow.workflow("w")
    run = wf.for_each("f", source, returns, max_concurrency=2).start()
    assert drawing.wait(60)
    run.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        run.result(60)
    assert not source.done.is_set()
    release.set()
    assert source.done.wait(60)


def test_cancelling_run_closes_the_generator_on_its_thread(wf):
    source = Source()

    def stops(ctx, item):
        if item == 5:
            ctx.run.cancel()

    wf.for_each("f", source, stops, max_concurrency=2)
    with pytest.raises(concurrent.futures.CancelledError):
        wf.run()
    assert source.closed == [threading.get_ident()]


def test_a_generator_that_fails_when_closed_hides_nothing(wf, caplog):
    def items(ctx):
        try:
            yield 1
            yield 2
        finally:
            raise OSError("broken")

    def fails(ctx, item):
        raise ValueError("the failure")

    wf.for_each("f", items, fails, max_concurrency=1)
    with pytest.raises(TaskError, match="the failure"):
        wf.run()
    assert "OSError: broken" in caplog.text
