"""Short attempts go to other processes together, and stay apart in everything else."""

from __future__ import annotations

import collections
import concurrent.futures as cf
import multiprocessing
import pickle
import threading
from concurrent.futures.process import BrokenProcessPool

import pytest

import fastflow
import flow_tasks
from fastflow import Flow
from fastflow.engines import remote
from fastflow.engines.driver import Driver, Job
from fastflow.engines.parcels import Parcels
from fastflow.engines.pools import pool_for
from fastflow.engines.remote import Returned, run_parcel
from fastflow.retry import RetryPolicy
from fastflow.tasks import Task, task_of


class Counting(cf.ProcessPoolExecutor):
    """Counts what is submitted."""

    submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        return super().submit(fn, *args, **kwargs)


class Here(cf.ProcessPoolExecutor):
    """Runs calls on a thread of this process."""

    def __init__(self):
        super().__init__(2)
        self.thread = cf.ThreadPoolExecutor(1)

    def submit(self, fn, /, *args, **kwargs):
        return self.thread.submit(fn, *args, **kwargs)


class Held(cf.ProcessPoolExecutor):
    """Runs nothing: the test says what came of a call."""

    def __init__(self):
        super().__init__(2)
        self.calls = []

    def submit(self, _fn, reference, *args):
        future = cf.Future()
        self.calls.append((future, reference, args))
        return future

    def sizes(self):
        """Return how many calls each parcel holds."""
        return [len(args[0]) for _, _, args in self.calls]


def flow(*lines):
    text = "flow F:\n" + "".join(f"    {line}\n" for line in lines)
    return Flow(text, registry=flow_tasks.registry)


def run_jobs(executor, task, items):
    driver = Driver(pool_for(executor))
    left = len(items)

    def done(_job):
        nonlocal left
        left -= 1

    jobs = [Job(task, (item,), {}, done, None) for item in items]
    for job in jobs:
        driver.launch(job)
    driver.run(lambda: not left)
    return jobs


def test_a_fan_out_goes_in_few_parcels_and_comes_back_in_order():
    with Counting(2) as executor:
        result = flow("numbers -> square[*] -> total").run(5_000, executor=executor)
    assert result["square"] == [n * n for n in range(5_000)]
    assert result["total"] == sum(n * n for n in range(5_000))
    assert executor.submitted < 500
    assert result.tasks["square"].worker.startswith("process ")


def test_a_failed_call_leaves_its_neighbours_alone():
    with Counting(2) as executor:
        with pytest.raises(fastflow.TaskErrorGroup) as caught:
            flow("numbers -> picky[*]").run(
                1_000, executor=executor, on_error="continue"
            )
        # And the pool is as good as before.
        assert flow("numbers -> total").run(3, executor=executor)["total"] == 3
    assert executor.submitted < 300
    causes = collections.Counter(
        type(error.__cause__) for error in caught.value.exceptions
    )
    assert sum(causes.values()) == 300
    assert causes[ValueError] == 100
    for error in caught.value.exceptions:
        if isinstance(error.__cause__, ValueError):
            assert "in picky" in str(error.__cause__.__cause__)


def test_only_failed_calls_are_tried_again():
    calls = collections.Counter()

    def flaky(n):
        calls[n] += 1
        if n % 3 == 0 and calls[n] == 1:
            raise OSError("once")
        return n

    task = Task(flaky, "flaky", retry=RetryPolicy(2, delay=0))
    jobs = run_jobs(Here(), task, range(60))
    assert [job.value for job in jobs] == list(range(60))
    assert calls == {n: 2 if n % 3 == 0 else 1 for n in range(60)}


class ApiError(Exception):
    """Can be pickled, but not made again."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


@fastflow.TaskRegistry().task
def call_api(n):
    if n % 50 == 49:
        raise ApiError(404, f"no {n}")
    return n


@pytest.mark.parametrize("count", [1, 300])
def test_errors_that_cannot_be_pickled(count):
    with Counting(2) as executor:
        jobs = run_jobs(executor, task_of(call_api), range(49, 49 + count))
        again = run_jobs(executor, task_of(call_api), [1])
    assert again[0].value == 1  # the pool is as good as before
    for n, job in enumerate(jobs, 49):
        if n % 50 == 49:
            assert isinstance(job.error, fastflow.errors.RemoteError)
            assert f"404: no {n}" in str(job.error)
            assert "ApiError" in str(job.error)
            assert "__reduce__" in str(job.error)
            assert "in call_api" in job.error.__notes__[0]
        else:
            assert job.value == n


@pytest.mark.parametrize("fn", [lambda n: n, flow_tasks.generate])
def test_what_cannot_be_pickled_is_explained(fn):
    with Counting(1) as executor:
        (job,) = run_jobs(executor, a_task(fn), [1])
    assert "must be functions of a module" in "".join(job.error.__notes__)


def test_arguments_that_cannot_be_pickled():
    with Counting(2) as executor:
        items = [threading.Lock() if n % 100 == 99 else n for n in range(1_000)]
        jobs = run_jobs(executor, task_of(flow_tasks.square), items)
    for n, job in enumerate(jobs):
        if n % 100 == 99:
            assert isinstance(job.error, TypeError | pickle.PicklingError)
        else:
            assert job.value == n * n
    assert executor.submitted < 500


def test_a_process_that_dies():
    with cf.ProcessPoolExecutor(2) as executor:
        with pytest.raises(fastflow.TaskError) as caught:
            flow("numbers -> die_at_fifty[*]").run(
                1_000, executor=executor, on_error="continue"
            )
    errors = getattr(caught.value, "exceptions", [caught.value])
    assert all(isinstance(error.__cause__, BrokenProcessPool) for error in errors)


def test_processes_that_are_replaced_after_some_tasks_get_them_one_by_one():
    spawn = multiprocessing.get_context("spawn")
    with Counting(1, max_tasks_per_child=50, mp_context=spawn) as executor:
        result = flow("numbers -> square[*]").run(30, executor=executor)
        assert result["square"] == [n * n for n in range(30)]
    assert executor.submitted == 31


# Without processes: what leaves, and when.


RESULTS = [pickle.dumps((None, None, ""))] * 4096


class Driven:
    """Parcels, and a driver that does what they ask for when the test says so."""

    def __init__(self):
        self.executor = Held()
        self.posted = []
        self.ended = []
        self.failed = []
        self.parcels = Parcels(
            self.executor,
            lambda fn, *args: self.posted.append((fn, args)),
            lambda job, _attempt, outcome: self.ended.append((job, outcome)),
            lambda job, _attempt, error: self.failed.append((job, error)),
        )

    def hold(self, task, count):
        jobs = [Job(task, (n,), {}, None, None) for n in range(count)]
        for job in jobs:
            job.machine.start()
            self.parcels.add(job, 1)
        return jobs

    def add(self, task, count):
        jobs = self.hold(task, count)
        self.parcels.ship()
        return jobs

    def answer(self, seconds):
        """Have all calls that have left come back, each after so many seconds."""
        calls, self.executor.calls = self.executor.calls, []
        for future, _, args in calls:
            count = len(args[0])
            future.set_result(Returned(RESULTS[:count], seconds * count))
        self.handle()

    def handle(self):
        posted, self.posted = self.posted, []
        for fn, args in posted:
            fn(*args)
        self.parcels.ship()


def a_task(fn=flow_tasks.square):
    """Return a task of which nothing is known yet."""
    return task_of(fn).changed()


def test_short_calls_leave_together_and_fewer_towards_the_end():
    driven = Driven()
    driven.add(a_task(), 100)
    assert driven.executor.sizes() == [1, 1, 1, 1]  # two for each process
    driven.answer(seconds=0.009)
    assert driven.executor.sizes() == [11, 11, 11, 11]
    driven.answer(seconds=0.009)
    assert driven.executor.sizes() == [11, 11, 11, 9]
    driven.answer(seconds=0.009)
    assert driven.executor.sizes() == [5, 2, 1, 1]
    driven.answer(seconds=0.009)
    assert driven.executor.sizes() == [1]
    driven.answer(seconds=0.009)
    assert not driven.executor.calls
    assert len(driven.ended) == 100


def test_idle_processes_get_calls_at_once():
    driven = Driven()
    driven.hold(a_task(), 5)
    assert driven.executor.sizes() == [1, 1]


def test_what_is_known_of_a_task_lasts():
    task = a_task()
    first = Driven()
    first.add(task, 4)
    first.answer(seconds=0.009)
    second = Driven()
    second.hold(task, 21)
    assert not second.executor.calls  # more may come, and the parcel be full
    second.hold(task, 21)
    assert second.executor.sizes() == [11, 11]
    second.parcels.ship()
    assert second.executor.sizes() == [11, 11, 10, 5]
    third = Driven()
    third.add(task.changed(), 4)
    assert third.executor.sizes() == [1, 1, 1, 1]


def test_what_comes_back_too_early_is_sent_again_before_the_others():
    driven = Driven()
    jobs = driven.add(a_task(), 104)
    driven.answer(seconds=0.009)
    assert driven.executor.sizes() == [11, 11, 11, 11]
    first, *others = driven.executor.calls
    driven.executor.calls = []
    first[0].set_result(Returned(RESULTS[:3], 0.3))  # 4, 5 and 6 of 4 to 14
    driven.handle()
    ((_, _, ((packed,), *_)),) = driven.executor.calls
    assert pickle.loads(packed) == ((7,), {})
    assert not any(job.submitted for job in jobs[8:15])
    for future, _, (packed, *_) in others:
        future.set_result(Returned(RESULTS[: len(packed)], 0.1))
    driven.handle()
    while driven.executor.calls:
        driven.answer(seconds=0.009)
    assert sorted(job.args for job, _ in driven.ended) == [(n,) for n in range(104)]


def test_what_comes_back_too_early_is_given_up_by_a_run_that_ends():
    driven = Driven()
    jobs = driven.add(a_task(), 104)
    driven.answer(seconds=0.009)
    driven.parcels.stop()
    driven.executor.calls[0][0].set_result(Returned(RESULTS[:3], 0.3))
    del driven.executor.calls[:]
    driven.handle()
    given_up = [job for job, outcome in driven.ended if outcome.cancelled()]
    assert sorted(given_up, key=lambda job: job.args) == jobs[7:15]


def test_a_parcel_comes_back_when_its_time_is_over(monkeypatch):
    now = 0.0

    def slow(n):
        nonlocal now
        now += 0.04 if n < 4 else 1.0
        return n

    monkeypatch.setattr(remote.time, "perf_counter", lambda: now)
    packed = [pickle.dumps(((n,), {})) for n in range(10)]
    returned = run_parcel(slow, packed, seconds=1.0, size=1000)
    values = [pickle.loads(result)[0][0] for result in returned.packed]
    assert values == [0, 1, 2, 3, 4]
    assert returned.seconds == pytest.approx(1.16)


def test_a_parcel_comes_back_when_its_results_are_large():
    packed = [pickle.dumps(((n,), {})) for n in range(100)]
    returned = run_parcel(flow_tasks.large, packed, seconds=60, size=1_000_000)
    assert len(returned.packed) == 3  # of 400 kB each


def test_large_results_all_arrive():
    with Counting(2) as executor:
        result = flow("numbers -> large[*]").run(300, executor=executor)
    assert [len(value) for value in result["large"]] == [400_000] * 300
    assert [value[0] for value in result["large"]] == [n % 256 for n in range(300)]


def test_long_calls_leave_one_by_one():
    driven = Driven()
    driven.add(a_task(), 12)
    for _ in range(3):
        assert driven.executor.sizes() == [1, 1, 1, 1]
        driven.answer(seconds=0.06)
    assert len(driven.ended) == 12


def test_calls_that_grow_long_leave_one_by_one_at_once():
    driven = Driven()
    driven.add(a_task(), 100)
    driven.answer(seconds=1e-5)
    assert sum(driven.executor.sizes()) > 50
    driven.add(a_task(), 100)
    driven.answer(seconds=1.0)
    assert driven.executor.sizes() == [1, 1, 1, 1]


def test_functions_do_not_share_a_parcel():
    driven = Driven()
    driven.add(a_task(), 20)
    driven.add(a_task(flow_tasks.fail), 20)
    seen = set()
    while driven.executor.calls:
        seen |= {reference for _, reference, _ in driven.executor.calls}
        driven.answer(seconds=1e-5)
    assert seen == {flow_tasks.square, flow_tasks.fail}
    assert len(driven.ended) == 40


def test_what_has_not_left_can_be_given_up():
    driven = Driven()
    jobs = driven.add(a_task(), 20)
    assert [bool(job.submitted) for job in jobs] == [True] * 4 + [False] * 16
    assert all(job.cancel() for job in jobs[4:])
    for job in jobs[4:]:
        job.machine.cancel()
    driven.answer(seconds=1e-5)
    assert not driven.executor.calls
    assert [job for job, _ in driven.ended] == jobs[:4]


def test_abandoned_calls_are_cancelled():
    driven = Driven()
    driven.add(a_task(), 20)
    calls = list(driven.executor.calls)
    driven.parcels.abandon()
    assert all(future.cancelled() for future, _, _ in calls)
    driven.parcels.ship()
    assert len(driven.executor.calls) == 4


def test_an_executor_that_was_shut_down():
    with cf.ProcessPoolExecutor(1) as executor:
        pass
    jobs = run_jobs(executor, a_task(), range(20))
    assert all(isinstance(job.error, RuntimeError) for job in jobs)
