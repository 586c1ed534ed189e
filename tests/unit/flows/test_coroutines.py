"""First attempts at async tasks of flows on our own workers: all that may happen."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import traceback
import warnings

import pytest

import fastflow
from fastflow import Flow, TaskError, TaskTimeout
from fastflow.base import aio
from fastflow.engines.workers import WorkerHost
from fastflow.run.task_job import TaskJob

SHAPES = {"a task": "    ten -> work", "items": "    ten -> work[*]"}


@pytest.fixture(autouse=True)
def no_coroutine_is_forgotten():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(w.message) for w in caught if "never awaited" in str(w.message)] == []


@pytest.fixture
def jobs(monkeypatch):
    made = []

    def start(self, *args, **kwargs):
        made.append(self)
        init(self, *args, **kwargs)

    init = TaskJob.__init__
    monkeypatch.setattr(TaskJob, "__init__", start)
    return made


def flow_of(shape, work, **more):
    registry = {"ten": lambda: [10, 20, 30], "work": work, **more}
    return Flow("flow F:\n" + SHAPES[shape], registry=registry)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_returns_needs_no_job(shape, jobs):
    async def work(value):
        await asyncio.sleep(0)
        return value

    result = flow_of(shape, work).run()
    assert result["work"] == [10, 20, 30]
    record = result.tasks["work"]
    assert record.attempts == 1
    assert record.worker == "fastflow-asyncio"
    assert 0 <= record.start <= record.end
    assert jobs == []


@pytest.mark.parametrize("shape", SHAPES)
def test_what_fails_is_tried_again_by_a_job(shape, jobs):
    calls = []

    @fastflow.task(retries=5, retry_delay=0)
    async def work(value):
        calls.append(value)
        if len(calls) < 3:
            raise OSError("not yet")
        return value

    result = flow_of(shape, work).run()
    assert result["work"] == [10, 20, 30]
    attempts = result.tasks["work"].attempts
    assert attempts == 3 if shape == "a task" else attempts > 1
    assert jobs


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fallback_takes_the_place_of_a_failure(shape):
    @fastflow.task(fallback=lambda error, inputs: str(error))
    async def work(value):
        raise OSError("gone")

    expected = "gone" if shape == "a task" else ["gone"] * 3
    assert flow_of(shape, work).run()["work"] == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_a_failure_is_the_task_s(shape):
    async def work(value):
        raise OSError("gone")

    with pytest.raises(TaskError, match="work"):
        flow_of(shape, work).run()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_validator_is_asked(shape):
    @fastflow.task(validate_output=lambda value: value is None)
    async def work(value):
        return value

    with pytest.raises(TaskError) as caught:
        flow_of(shape, work).run()
    assert "not valid" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_has_a_context_of_its_own(shape):
    variable = contextvars.ContextVar("variable", default=0)

    async def work(value):
        before = variable.get()
        variable.set(before + 1)
        await asyncio.sleep(0)
        return before, variable.get()

    variable.set(5)
    expected = (5, 6) if shape == "a task" else [(5, 6)] * 3
    assert flow_of(shape, work).run()["work"] == expected
    assert variable.get() == 5


def test_one_that_cancels_itself_has_failed():
    async def work(value):
        asyncio.current_task().cancel()
        await asyncio.sleep(60)

    with pytest.raises(TaskError) as caught:
        flow_of("a task", work).run()
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


def test_the_end_of_the_run_s_time_cancels_what_runs():
    ended = threading.Event()

    async def work(value):
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with pytest.raises(TaskTimeout, match="work"):
        flow_of("a task", work).run(timeout=0.05)
    assert ended.wait(60)


def test_one_that_ends_the_program_ends_it():
    async def work(value):
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        flow_of("a task", work).run()


def test_after_a_failure_nothing_begins_that_has_not(monkeypatch):
    ran, hosts, failed = [], [], threading.Event()

    async def work():
        ran.append(1)

    def fail():
        while len(hosts[0]._open) < 20:
            pass
        raise OSError("enough")

    call_of, stop = WorkerHost.call_of, WorkerHost.stop_if_asked

    def noted(self, node):
        hosts.append(self)
        return call_of(self, node)

    def stop_and_go_on(self):
        stop(self)
        failed.set()

    monkeypatch.setattr(WorkerHost, "call_of", noted)
    monkeypatch.setattr(WorkerHost, "stop_if_asked", stop_and_go_on)
    names = [f"t{i}" for i in range(20)]
    text = "flow F:\n" + "\n".join(f"    {name}" for name in (*names, "fail"))
    flow = Flow(text, registry={**dict.fromkeys(names, work), "fail": fail})
    aio.call_soon(lambda: failed.wait(60))  # the loop is busy: all coroutines wait
    with fastflow.Executor(2) as executor, pytest.raises(TaskError, match="enough"):
        flow.run(executor=executor)
    assert ran == []
