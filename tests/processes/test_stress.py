"""Everything at once: nothing is lost, nothing ends twice, nothing hangs."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import os
import random
import signal
import threading

import pytest

import fastflow
import process_calls as calls
from fastflow import ProcessExecutor, WorkerDiedError
from support import figure


@pytest.mark.parametrize("seed", range(figure(2, 20)))
def test_calls_maps_and_cancels_of_many_threads(seed):
    with ProcessExecutor(2) as executor, cf.ThreadPoolExecutor(6) as threads:

        def submit(n):
            choose = random.Random((seed << 8) + n)
            futures = []
            for i in range(choose.randrange(50, 400)):
                futures.append((i, executor.submit(calls.same, i)))
                if choose.random() < 0.05:
                    choose.choice(futures)[1].cancel()
                if choose.random() < 0.02:
                    with contextlib.suppress(cf.CancelledError):
                        choose.choice(futures)[1].exception()
            for i, future in futures:
                with contextlib.suppress(cf.CancelledError):
                    assert future.result() == i
            return all(future.done() for _, future in futures)

        def map_(n):
            return list(executor.map(calls.same, range(n, n + 3000))) == list(
                range(n, n + 3000)
            )

        def completed(n):
            futures = [executor.submit(calls.same, i) for i in range(200)]
            found = {future.result() for future in fastflow.as_completed(futures)}
            return found == set(range(200)) and n >= 0

        jobs = [
            threads.submit(fn, n) for n in range(4) for fn in (submit, map_, completed)
        ]
        assert all(job.result() for job in jobs)
        assert executor._desk.unsettled == 0


def test_workers_that_are_killed_all_the_time():
    count = figure(3000, 30_000)
    with ProcessExecutor(2) as executor:
        assert list(executor.map(calls.same, range(100))) == list(range(100))
        over = threading.Event()
        killed = 0

        def kill():
            nonlocal killed
            while not over.wait(0.05):
                # If none of them ever got to a call, there would be no end.
                for worker in [w for w in executor._desk.workers if w.made][:1]:
                    with contextlib.suppress(ProcessLookupError, ValueError):
                        os.kill(worker.process.pid, signal.SIGKILL)
                        killed += 1

        killer = threading.Thread(target=kill)
        killer.start()
        died = 0
        try:
            while True:
                futures = [executor.submit(calls.same, n) for n in range(count)]
                for n, future in enumerate(futures):
                    try:
                        assert future.result() == n
                    except WorkerDiedError:
                        died += 1
                if killed >= 3:
                    break
        finally:
            over.set()
            killer.join()
        assert died <= killed
        assert list(executor.map(calls.same, range(100))) == list(range(100))
