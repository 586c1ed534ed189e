"""Which backend serves an executor, and what it says it can do."""

from __future__ import annotations

import concurrent.futures as cf
import multiprocessing
import os
import threading

import pytest

import fastflow
import flow_tasks
from contract.behaviour.backends import Cluster
from fastflow.backends.choose import backend_of
from fastflow.base.timers import system_clock
from fastflow.run.attempts import State
from fastflow.run.remote import attempt_task
from senders import Work, square

SPAWN = multiprocessing.get_context("spawn")


class Foreign(cf.Executor):
    """Says how many it has."""

    _max_workers = 7


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fastflow.Executor(3), (False, True, True, False, True, 3)),
        (lambda: cf.ThreadPoolExecutor(3), (False, True, True, False, False, 3)),
        (lambda: cf.ProcessPoolExecutor(3), (True, True, False, True, False, 3)),
        (Foreign, (True, False, False, True, False, 7)),
        (Cluster, (True, False, False, True, False, None)),
    ],
)
def test_what_backends_declare(make, said):
    with make() as executor:
        backend = backend_of(executor)
        assert (
            backend.remote,
            backend.local,
            backend.sees_start,
            backend.by_value,
            backend.nested,
            backend.capacity(),
        ) == said
        assert not backend.can_kill


class Rig:
    """Jobs on a real executor."""

    def __init__(self, executor):
        self.backend = backend_of(executor)
        self.clock = system_clock
        self.ended = self
        self.all_ended = threading.Semaphore(0)

    def append(self, _job):
        self.all_ended.release()

    def run(self, jobs):
        for job in jobs:
            job.start()
        for _ in jobs:
            assert self.all_ended.acquire(timeout=60)
        return [job.attempts.value for job in jobs]


class TaskWork(Work):
    """A task, as flows call it."""

    __slots__ = ()

    def remote_function(self):
        return attempt_task, flow_tasks.square

    def remote_arguments(self):
        return self.args, {}


@pytest.mark.parametrize("count", [None, 50])
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_processes(count, timeout):
    with cf.ProcessPoolExecutor(
        2, mp_context=SPAWN, max_tasks_per_child=count
    ) as executor:
        rig = Rig(executor)
        jobs = [TaskWork(rig, square, (n,), timeout) for n in range(40)]
        assert rig.run(jobs) == [n * n for n in range(40)]
        where = {job.ran_at[2] for job in jobs}
        assert len(where) <= 2 or count
        assert f"process {os.getpid()}" not in where


def test_a_cluster_makes_equal_calls_once_each():
    with Cluster() as executor:
        rig = Rig(executor)
        jobs = [TaskWork(rig, square, (3,)) for _ in range(10)]
        assert rig.run(jobs) == [9] * 10
        assert len(executor._known) == 10


class Recovering(Work):
    """Has a fallback, which needs no process."""

    __slots__ = ()

    def fallback(self):
        return os.getpid(), threading.current_thread().name


def fail(_):
    raise ValueError("no")


def test_fallbacks_are_called_in_this_process():
    with cf.ProcessPoolExecutor(1, mp_context=SPAWN) as executor:
        rig = Rig(executor)
        job = Recovering(rig, fail, (1,))
        job.attempts._fallback = True
        ((process, thread),) = rig.run([job])
    assert job.attempts.state is State.SUCCEEDED
    assert process == os.getpid()
    assert thread.startswith("fastflow")


def test_coroutine_functions_run_on_the_loop_of_this_process():
    class Async(Work):
        __slots__ = ()
        is_async = True

        async def coroutine(self, ticket):
            return os.getpid()

    with cf.ProcessPoolExecutor(1, mp_context=SPAWN) as executor:
        rig = Rig(executor)
        assert rig.run([Async(rig, square, ())]) == [os.getpid()]
