"""Calls with a timeout in other processes: their time runs while they do."""

from __future__ import annotations

import concurrent.futures as cf
import pickle

import pytest

import fastflow
import flow_tasks
from fastflow import Flow
from fastflow.engines.driver import Job
from fastflow.engines.parcels import Parcels
from fastflow.engines.remote import Returned
from fastflow.engines.timed import TimedCalls
from fastflow.tasks import task_of

RESULT = pickle.dumps((None, None, ""))


class Held(cf.ProcessPoolExecutor):
    """Runs nothing: the test says what came of a call."""

    def __init__(self):
        super().__init__(2)
        self.calls = []

    def submit(self, _fn, reference, packed, *_limits):
        future = cf.Future()
        self.calls.append((future, reference, len(packed)))
        return future


class Driven:
    """Timed calls and parcels of two processes, and what comes of them."""

    def __init__(self):
        self.executor = Held()
        self.posted = []
        self.ended = []
        self.watched = []
        self.parcels = Parcels(self.executor, self.post, self.end, self.end)
        self.timed = TimedCalls(
            self.executor,
            self.parcels,
            self.post,
            self.end,
            self.end,
            lambda job, _attempt: self.watched.append(job),
        )

    def post(self, fn, *args):
        self.posted.append((fn, args))

    def end(self, job, _attempt, _outcome):
        self.ended.append(job)

    def add(self, where, count):
        task = task_of(flow_tasks.square).changed()
        jobs = [Job(task, (n,), {}, None, None) for n in range(count)]
        for job in jobs:
            job.machine.start()
            where.add(job, 1)
        self.ship()
        return jobs

    def ship(self):
        posted, self.posted = self.posted, []
        for fn, args in posted:
            fn(*args)
        self.timed.ship()
        self.parcels.ship()

    def answer(self, number=0):
        future, _, count = self.executor.calls.pop(number)
        future.set_result(Returned([RESULT] * count, 0.001))
        self.ship()


def test_no_more_are_sent_than_there_are_processes():
    driven = Driven()
    jobs = driven.add(driven.timed, 5)
    for left in (3, 2, 1):
        assert len(driven.executor.calls) == 2
        assert driven.watched == jobs[: 5 - left]
        assert [bool(job.submitted) for job in jobs].count(True) == 5 - left
        driven.answer()
    driven.answer()
    driven.answer()
    assert driven.ended == jobs


def test_parcels_step_back_for_those_that_wait():
    driven = Driven()
    driven.add(driven.parcels, 100)
    assert len(driven.executor.calls) == 4  # two for each process
    jobs = driven.add(driven.timed, 1)
    driven.answer()
    driven.answer()
    assert not driven.watched
    assert len(driven.executor.calls) == 2
    driven.answer()
    assert driven.watched == jobs
    assert len(driven.executor.calls) > 2  # parcels go on beside it


def test_a_call_that_hangs_keeps_its_process():
    driven = Driven()
    jobs = driven.add(driven.timed, 4)
    jobs[0].machine.cancel()
    driven.timed.hangs(jobs[0].future)
    driven.ship()
    assert len(driven.executor.calls) == 2
    assert driven.watched == jobs[:2]
    driven.answer(1)
    assert driven.watched == jobs[:3]


def test_where_all_processes_hang_the_time_of_the_others_runs():
    driven = Driven()
    jobs = driven.add(driven.timed, 4)
    for job in jobs[:2]:
        job.machine.cancel()
        driven.timed.hangs(job.future)
    assert driven.watched == jobs
    late = driven.add(driven.timed, 1)
    assert driven.watched == jobs + late
    driven.answer()
    assert driven.watched == [*jobs, *late, jobs[2]]  # anew, as it is sent


def test_what_was_given_up_is_not_sent():
    driven = Driven()
    jobs = driven.add(driven.timed, 4)
    assert jobs[3].cancel() is True
    jobs[3].machine.cancel()
    for _ in range(3):
        driven.answer()
    assert not driven.executor.calls
    assert driven.ended == jobs[:3]


def test_arguments_that_cannot_be_pickled():
    driven = Driven()
    task = task_of(flow_tasks.square).changed()
    job = Job(task, (lambda: 1,), {}, None, None)
    job.machine.start()
    driven.timed.add(job, 1)
    driven.ship()
    driven.ship()
    assert driven.ended == [job]
    assert not driven.executor.calls


@pytest.mark.parametrize("wait", [0, 1])
def test_processes(wait):
    """With and without neighbours that have no timeout."""
    text = "flow F:\n    numbers -> soon[*]\n" + "    numbers -> square[*]\n" * wait
    flow = Flow(text, registry=flow_tasks.registry)
    with cf.ProcessPoolExecutor(2) as executor:
        result = flow.run(20, executor=executor)
        assert result["soon"] == [n + 1 for n in range(20)]

        @fastflow.flow
        def body():
            return [flow_tasks.soon(n) for n in range(20)]

        assert body.with_options(executor=executor)() == [n + 1 for n in range(20)]
