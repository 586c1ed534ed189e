"""Attempts on the event loop: whatever happens to one, its job is told."""

from __future__ import annotations

import asyncio

import pytest

from fastflow.base import aio
from fastflow.base.timers import system_clock
from fastflow.run.attempts import Attempts
from fastflow.run.job import Backend, Job
from fastflow.run.loop import Loop


async def well():
    return 1


class Made(Backend):
    """Runs a coroutine that was made before."""

    def __init__(self, coroutine, loop):
        self.coroutine, self.loop = coroutine, loop

    def launch(self, job, ticket):
        self.loop.launch(job, ticket, self.coroutine)


class Activity:
    active = 0

    def enter(self):
        self.active += 1

    def leave(self):
        self.active -= 1


@pytest.fixture
def made():
    coroutine = well()
    yield coroutine
    assert coroutine.cr_frame is None  # ended, or closed: nobody warns of it


@pytest.fixture
def activity():
    counts = Activity()
    yield counts
    assert counts.active == 0


def job_of(coroutine, activity):
    ends = []
    backend = Made(coroutine, Loop(activity))
    job = Job(Attempts(), backend, system_clock, ends.append)
    return job, ends


def test_a_loop_that_takes_nothing(made, activity, monkeypatch):
    def refuse(fn):
        raise RuntimeError("no thread for it")

    monkeypatch.setattr(aio, "call_soon", refuse)
    job, ends = job_of(made, activity)
    job.start()
    assert ends == [job]
    assert str(job.attempts.error) == "no thread for it"


def here(monkeypatch):
    """Let this thread's loop be the runtime's."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(aio, "call_soon", loop.call_soon)
    return loop


def test_an_attempt_that_is_begun(made, activity, monkeypatch):
    async def main():
        here(monkeypatch)
        job, ends = job_of(made, activity)
        job.start()
        while not ends:
            await asyncio.sleep(0)
        assert job.attempts.value == 1
        await asyncio.sleep(0)  # until the task's callbacks have been called

    asyncio.run(main())


def test_a_task_that_is_cancelled_before_its_first_line(made, activity, monkeypatch):
    """As at the exit of the interpreter."""

    async def main():
        loop = here(monkeypatch)
        known = asyncio.all_tasks()
        job, ends = job_of(made, activity)
        job.start()
        # After the loop has made the task, before it runs.
        loop.call_soon(lambda: [each.cancel() for each in asyncio.all_tasks() - known])
        while not ends:
            await asyncio.sleep(0)
        assert isinstance(job.attempts.error, asyncio.CancelledError)
        await asyncio.sleep(0)

    asyncio.run(main())


def test_one_that_nobody_wants_when_it_could_begin(made, activity, monkeypatch):
    async def main():
        here(monkeypatch)
        job, ends = job_of(made, activity)
        job.start()
        assert job.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert ends == []

    asyncio.run(main())
