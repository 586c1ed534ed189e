"""Everything at once, for the sanitizers and for schedules nobody thought of.

The seed is printed; FASTFLOW_STRESS_SEED repeats it, FASTFLOW_STRESS_TASKS scales it.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import os
import random
import threading

import pytest

import fastflow
from fastflow import Executor

SEED = int(os.environ.get("FASTFLOW_STRESS_SEED") or random.randrange(2**32))
TASKS = int(os.environ.get("FASTFLOW_STRESS_TASKS", "3000"))


@pytest.fixture(autouse=True)
def seed():
    print(f"FASTFLOW_STRESS_SEED={SEED}")
    return random.Random(SEED)


def busy(rng):
    """Take a random while, with and without the interpreter lock."""
    kind = rng.randrange(4)
    if kind == 0:
        return sum(range(rng.randrange(200)))
    if kind == 1:
        return fastflow.kernels.spin(rng.randrange(20_000))(0)
    if kind == 2:
        return threading.Event().wait(rng.random() / 5000)
    return None


@pytest.mark.parametrize("workers", [1, 2, 5, 16])
def test_each_task_exactly_once(workers, seed):
    hits = [0] * TASKS
    seeds = [seed.random() for _ in range(TASKS)]

    def task(i):
        busy(random.Random(seeds[i]))
        hits[i] += 1
        return i

    with Executor(workers) as executor:
        feeders = []
        futures: list[cf.Future[int] | None] = [None] * TASKS

        def feed(part):
            for i in part:
                futures[i] = executor.submit(task, i)

        for k in range(4):
            feeders.append(threading.Thread(target=feed, args=(range(k, TASKS, 4),)))
            feeders[-1].start()
        for feeder in feeders:
            feeder.join()
        for i, future in enumerate(futures):
            assert future is not None
            assert future.result() == i
    assert hits == [1] * TASKS


def test_cancels_callbacks_and_waiters_race(seed):
    ended = []

    def task(i):
        busy(random.Random(i))
        return i

    with Executor(3) as executor:
        futures = [executor.submit(task, i) for i in range(TASKS)]

        def cancel():
            for f in seed.sample(futures, TASKS // 4):
                f.cancel()

        def watch():
            for f in random.Random(1).sample(futures, TASKS // 4):
                f.add_done_callback(ended.append)

        def wait():
            for f in random.Random(2).sample(futures, TASKS // 8):
                with contextlib.suppress(cf.CancelledError):
                    f.result()
            cf.wait(random.Random(3).sample(futures, TASKS // 8))

        threads = [threading.Thread(target=t) for t in (cancel, watch, wait, wait)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(ended) == TASKS // 4
    assert all(f.done() for f in futures)
    assert all(f.cancelled() or f.result() == i for i, f in enumerate(futures))


def test_nested_everything(seed):
    def tree(executor, depth):
        if depth == 0:
            return 1
        kind = depth % 4
        if kind == 0:
            fs = [executor.submit(tree, executor, depth - 1) for _ in range(2)]
            return sum(f.result() for f in fs)
        if kind == 1:
            return sum(fastflow.map(lambda _: tree(executor, depth - 1), range(2),
                                    executor=executor))  # fmt: skip
        if kind == 2:
            with fastflow.TaskGroup(executor) as group:
                fs = [group.create_task(tree, executor, depth - 1) for _ in range(2)]
            return sum(f.result() for f in fs)
        fs = [executor.submit(tree, executor, depth - 1) for _ in range(2)]
        return sum(f.result() for f in cf.as_completed(fs))

    for workers in (1, 2, 4):
        with Executor(workers) as executor:
            assert executor.submit(tree, executor, 7).result() == 2**7


def test_streams_and_kernels_from_many_threads(seed):
    with Executor(4) as executor:

        def consume(k):
            rng = random.Random(k)
            stream = fastflow.imap(
                lambda x: (busy(random.Random(x)), x)[1],
                range(TASKS // 10),
                executor=executor,
                ordered=bool(k % 2),
                buffersize=rng.randrange(1, 20),
            )
            assert sorted(stream) == list(range(TASKS // 10))
            fastflow.for_each(
                fastflow.kernels.noop, range(rng.randrange(100_000)), executor=executor
            )
            futures = [executor.submit(fastflow.kernels.noop, i) for i in range(300)]
            for future in futures:
                assert future.result() is None

        for future in [executor.submit(consume, k) for k in range(8)]:
            future.result()


def test_executors_come_and_go(seed):
    def use(k):
        rng = random.Random(k)
        for _ in range(20):
            executor = Executor(rng.randrange(1, 5))
            futures = [executor.submit(busy, rng) for _ in range(rng.randrange(30))]
            if rng.random() < 0.5:
                executor.shutdown(
                    wait=rng.random() < 0.5, cancel_futures=rng.random() < 0.5
                )
            del executor
            cf.wait([f for f in futures if not f.cancelled()])

    threads = [threading.Thread(target=use, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def feed(executor, accepted, start):
    start.wait()
    try:
        for i in range(500):
            accepted.append(executor.submit(pow, i, 2))
    except RuntimeError:
        pass


def test_shutdown_loses_no_accepted_task(seed):
    for k in range(30):
        executor = Executor(3)
        accepted: list[cf.Future[int]] = []
        start = threading.Barrier(4)
        feeders = [
            threading.Thread(target=feed, args=(executor, accepted, start))
            for _ in range(3)
        ]
        for feeder in feeders:
            feeder.start()
        start.wait()
        busy(random.Random(k))
        executor.shutdown()
        for feeder in feeders:
            feeder.join()
        assert all(f.done() for f in accepted)
