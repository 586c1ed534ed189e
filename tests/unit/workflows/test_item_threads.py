"""Started runs and sub-flows: a fan gets, draws and closes its items on one thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading

import pytest

import fastflow
from cursors import Cursor
from fastflow import TaskError, TaskTimeout
from fastflow.base.timers import VirtualClock
from fastflow.workflows import items as module

VARIABLE = contextvars.ContextVar("variable", default="lost")


@pytest.fixture
def wf():
    return fastflow.workflow("w")


class Scattered(concurrent.futures.ThreadPoolExecutor):
    """Makes each call on another thread; they are there until the end."""

    def __init__(self):
        super().__init__()
        self._pools = []

    def submit(self, fn, /, *args, **kwargs):
        self._pools.append(concurrent.futures.ThreadPoolExecutor(1))
        return self._pools[-1].submit(fn, *args, **kwargs)

    def shutdown(self, wait=True, *, cancel_futures=False):
        for pool in self._pools:
            pool.shutdown(wait)


@pytest.fixture
def pool():
    with Scattered() as executor:
        yield executor


class Crew(module._Crew):
    """The threads for items; tells when nobody uses them any more."""

    def __init__(self):
        super().__init__()
        self._left = threading.Condition()

    def leave(self, thread):
        super().leave(thread)
        with self._left:
            self._left.notify_all()

    def unused(self):
        with self._left:
            return self._left.wait_for(lambda: not any(self._users.values()), 60)


@pytest.fixture
def crew(monkeypatch):
    crew = Crew()
    monkeypatch.setattr(module, "_crew", crew)
    return crew


async def awaits(ctx, item):
    await asyncio.sleep(0)
    return item


def returns(ctx, item):
    return item


def rows(ctx):
    return Cursor()


def rows_later(ctx):
    async def rows():
        return iter(range(20))

    return rows()


class Rows:
    """A cursor when it's iterated over."""

    def __iter__(self):
        return rows(None)


async def rows_awaited(ctx):
    await asyncio.sleep(0)
    return (n for n in range(20))


SOURCES = {
    "cursor": rows,
    "iterable": Rows(),
    "coroutine": rows_later,
    "async": rows_awaited,
    "list": lambda ctx: list(range(20)),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fn", [awaits, returns])
@pytest.mark.parametrize("way", ["start", "sub-flow", "test"])
def test_any_source_gives_items_to_a_started_run(wf, pool, crew, source, fn, way):
    def body(flow):
        return flow.for_each("f", SOURCES[source], fn, max_concurrency=3)

    if way == "start":
        last = body(wf).start(executor=pool).result(60).last
    else:
        wf.for_each("outer", [1], build=body)
        run = wf.run(executor=pool) if way == "sub-flow" else wf.test().run()
        last = run.last[0]
    assert [item[0] if isinstance(item, tuple) else item for item in last] == [
        *range(20)
    ]
    assert crew.unused()


def test_batch_draws_from_a_cursor_in_a_started_run(wf, pool):
    wf.batch("f", rows, 3, awaits, max_concurrency=2)
    chunks = wf.start(executor=pool).result(60).last
    assert [len(chunk) for chunk in chunks] == [3] * 6 + [2]


class Source:
    """A generator that tells on which threads it was called, drawn from and closed."""

    def __init__(self):
        self.threads: set[int] = set()
        self.closed = threading.Event()

    def __call__(self, ctx):
        self._note()
        return self._items()

    def _items(self):
        n = 0
        try:
            while True:
                self._note()
                yield (n := n + 1)
        finally:
            self._note()
            self.closed.set()

    def _note(self):
        self.threads.add(threading.get_ident())


def test_a_failure_closes_the_generator_on_its_thread(wf, pool, crew):
    source = Source()

    def fails(ctx, item):
        if item == 50:
            raise ValueError

    wf.for_each("f", source, fails, max_concurrency=2)
    wf.on_error(lambda ctx: "handled")
    assert wf.start(executor=pool).result(60).last == "handled"
    assert source.closed.wait(60)
    assert len(source.threads) == 1
    assert crew.unused()


@pytest.mark.parametrize("end", ["cancel", "limit", "limit of the step"])
def test_what_stops_a_started_run_closes_the_generator_on_its_thread(end, pool, crew):
    source, clock, far = Source(), VirtualClock(), threading.Event()

    async def awaits(ctx, item):
        if item == 50:
            far.set()
            await asyncio.Event().wait()

    wf = fastflow.workflow("w", clock=clock)
    step = {"timeout": 10} if end == "limit of the step" else {}
    wf.for_each("f", source, awaits, max_concurrency=2, **step)
    run = wf.start(timeout=10 if end == "limit" else None, executor=pool)
    assert far.wait(60)
    if end == "cancel":
        run.cancel()
    else:
        clock.advance(10)
    with pytest.raises((TaskError, TaskTimeout, concurrent.futures.CancelledError)):
        run.result(60)
    assert source.closed.wait(60)
    assert len(source.threads) == 1
    assert crew.unused()


def test_what_the_items_function_raises_fails_the_step(wf, pool, crew):
    def fails(ctx):
        raise ValueError("no items")

    wf.for_each("f", fails, returns)
    with pytest.raises(TaskError, match=r"step 'f' .*no items"):
        wf.start(executor=pool).result(60)
    assert crew.unused()


def test_cancelling_reaches_the_coroutine_that_gets_the_items(wf, pool, crew):
    running, cancelled = threading.Event(), threading.Event()

    async def get():
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    run = wf.for_each("f", lambda ctx: get(), returns).start(executor=pool)
    assert running.wait(60)
    assert run.cancel()
    assert cancelled.wait(60)
    assert crew.unused()


def test_items_see_the_context_variables_of_the_start(wf, pool):
    def items(ctx):
        yield VARIABLE.get()
        yield VARIABLE.get()

    token = VARIABLE.set("request 17")
    try:
        run = wf.for_each("f", items, returns, max_concurrency=1).start(executor=pool)
    finally:
        VARIABLE.reset(token)
    assert run.result(60).last == ["request 17"] * 2


def test_many_fans_share_few_threads(wf, crew, monkeypatch):
    monkeypatch.setattr(crew, "most", 2)
    threads = set()

    def items(ctx):
        for n in range(3):
            threads.add(threading.current_thread())
            yield n

    def body(flow):
        return flow.for_each("f", items, awaits, max_concurrency=1)

    wf.for_each("outer", range(50), build=body)
    assert wf.run().last == [[0, 1, 2]] * 50
    assert len(threads) <= 2
    assert crew.unused()


def test_one_fan_after_the_other_uses_the_same_thread(wf, pool, crew):
    threads = set()

    def items(ctx):
        threads.add(threading.current_thread())
        return [1]

    for n in range(3):
        wf.for_each(f"f{n}", items, returns)
    wf.start(executor=pool).result(60)
    assert len(threads) == 1
