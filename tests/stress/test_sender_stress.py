"""Many threads launch, cancel and await calls that an executor makes, drops or fails.

The executor holds its lock while it sets errors, as one of processes that breaks does
from Python 3.12 on, and while it cancels, as pools of threads do.
"""

from __future__ import annotations

import concurrent.futures as cf
import queue
import random
import threading
from concurrent.futures.process import BrokenProcessPool

import pytest

from fastflow import workflow
from fastflow.backends.choose import backend_of
from fastflow.base.timers import system_clock
from senders import Work, cube, square

SECONDS = 60  # a watchdog


class Locked(cf.ProcessPoolExecutor):
    """Makes its calls on threads, and can die."""

    def __init__(self, workers, seed=0, *, deaths=0.0, drops=0.0):
        super().__init__(workers)
        self.lock = threading.Lock()
        self.work = queue.SimpleQueue()
        self.random = random.Random(seed)
        self.deaths, self.drops = deaths, drops
        self.broken = False
        self.pending, self.running = set(), set()
        self.asked = 0
        self.threads = [
            threading.Thread(target=self.serve, daemon=True) for _ in range(workers)
        ]

    def begin(self):
        for thread in self.threads:
            thread.start()

    def submit(self, fn, /, *args):
        with self.lock:
            self.asked += 1
            if self.broken:
                raise BrokenProcessPool("dead")
            future = cf.Future()
            self.pending.add(future)
            self.work.put((future, fn, args))
            return future

    def serve(self):
        while (work := self.work.get()) is not None:
            future, fn, args = work
            with self.lock:
                if self.random.random() < self.drops:
                    future.cancel()
                if self.broken or not future.set_running_or_notify_cancel():
                    self.pending.discard(future)
                    continue
                self.pending.discard(future)
                self.running.add(future)
            if self.random.random() < self.deaths:
                self.die()
                continue
            result = fn(*args)
            with self.lock:
                self.running.discard(future)
                if self.broken:
                    continue
            future.set_result(result)

    def die(self):
        with self.lock:
            self.broken = True
            for future in (*self.running, *self.pending):
                if not future.done():
                    future.set_exception(BrokenProcessPool("dead"))
            self.running.clear()
            self.pending.clear()

    def end(self):
        for _ in self.threads:
            self.work.put(None)
        for thread in self.threads:
            thread.join(SECONDS)
            assert not thread.is_alive()


def quick(ctx, item):
    return item


def test_a_pool_that_dies_under_a_fan_with_items_left():
    """Each item that fails makes room for another one, whose call must not be sent."""
    executor = Locked(2)  # serves nobody
    fan = workflow("w").for_each(
        "f", range(10), quick, max_concurrency=2, on_error="settle"
    )
    run = fan.start(executor=executor)
    for _ in range(2):
        executor.work.get(timeout=SECONDS)
    killer = threading.Thread(target=executor.die, daemon=True)
    killer.start()
    killer.join(SECONDS)
    assert not killer.is_alive()
    found = run.result(SECONDS).last
    assert [type(error) for error in found] == [BrokenProcessPool] * 10
    assert executor.asked <= 4


class Run:
    """What jobs need; their ends are put into a queue."""

    def __init__(self, backend, told):
        self.backend = backend
        self.clock = system_clock
        self.told = told


class Told(Work):
    """Puts itself into the queue in the end."""

    __slots__ = ()

    def __init__(self, run, fn, args, timeout):
        super().__init__(run, fn, args, timeout)
        self.done = run.told.put


def drive(run, seed, results):
    chance = random.Random(seed)
    kept = []
    for number in range(1_000):
        limit = chance.choice([None, None, 30.0])
        job = Told(run, chance.choice([square, cube]), (number,), limit)
        job.start()
        if chance.random() < 0.05:
            if job.cancel():
                continue
        elif chance.random() < 0.05:
            job.stop()
        kept.append(job)
    results.put(kept)


@pytest.mark.parametrize(
    ("deaths", "drops"), [(0, 0), (0, 0.05), (0.0005, 0), (0.01, 0.05)]
)
@pytest.mark.parametrize("seed", range(3))
def test_every_call_ends_once(seed, deaths, drops):
    executor = Locked(3, seed, deaths=deaths, drops=drops)
    executor.begin()
    told, results = queue.SimpleQueue(), queue.SimpleQueue()
    drivers = [
        threading.Thread(
            target=drive, args=(Run(backend_of(executor), told), 10 * seed + n, results)
        )
        for n in range(4)
    ]
    for thread in drivers:
        thread.start()
    for thread in drivers:
        thread.join(SECONDS)
        assert not thread.is_alive()
    kept = {job for _ in drivers for job in results.get(timeout=SECONDS)}
    ended = [told.get(timeout=SECONDS) for _ in kept]
    assert told.empty()
    assert len(ended) == len(set(ended))
    assert set(ended) == kept
    for job in ended:
        if job.attempts.succeeded:
            assert job.attempts.value == job.fn(*job.args)
    executor.end()
