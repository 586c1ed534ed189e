"""The `_condition` of a future: what the standard library's functions do with it."""

from __future__ import annotations

import concurrent.futures as cf
import threading

import pytest

import fastflow


@pytest.fixture
def future():
    return fastflow.Future()


def test_it_is_one_reentrant_lock(future):
    condition = future._condition
    assert condition is future._condition
    with condition:
        assert condition.acquire()
        condition.release()
        taken = []
        other = threading.Thread(
            target=lambda: taken.append(condition.acquire(blocking=False))
        )
        other.start()
        other.join()
        assert taken == [False]
    assert condition.acquire(timeout=1)
    condition.release()
    with pytest.raises(RuntimeError):
        condition.release()


def test_notifying_needs_the_lock(future):
    for notify in (future._condition.notify, future._condition.notify_all):
        with pytest.raises(RuntimeError, match="un-acquired"):
            notify()
    with future._condition:
        future._condition.notify()
        future._condition.notify(2)
        future._condition.notify_all()


def test_who_waits_on_it_is_told_of_the_end(future):
    seen = []
    ready = threading.Event()

    def wait():
        with future._condition:
            ready.set()
            seen.append(future._condition.wait_for(future.done, 60))

    waiter = threading.Thread(target=wait)
    waiter.start()
    ready.wait()
    future.set_result(1)
    waiter.join()
    assert seen == [True]


def test_a_wait_with_nobody_to_notify_times_out(future):
    with future._condition:
        assert not future._condition.wait(0)


def test_the_standard_librarys_functions_work_on_thousands():
    gate = threading.Event()
    with fastflow.Executor(2) as executor:
        blocked = [executor.submit(gate.wait) for _ in range(2)]
        futures = [executor.submit(abs, -n) for n in range(5000)]
        opener = threading.Timer(0.01, gate.set)
        opener.start()
        done, not_done = cf.wait(futures, timeout=60)
        assert (len(done), len(not_done)) == (5000, 0)
        assert len(set(cf.as_completed(blocked + futures, timeout=60))) == 5002
        opener.join()
