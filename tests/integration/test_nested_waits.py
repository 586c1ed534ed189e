"""Tasks that wait for tasks of the same executor: never a deadlock."""

from __future__ import annotations

import concurrent.futures as cf
import threading

import pytest

import fastflow
from fastflow import Executor


@pytest.fixture
def single():
    with Executor(1) as made:
        yield made


def test_depth_500(single):
    def nest(depth):
        return 0 if depth == 0 else single.submit(nest, depth - 1).result() + 1

    assert single.submit(nest, 500).result(60) == 500


def test_depth_with_a_timeout_which_rules_out_running_inline(single):
    def nest(depth):
        return 0 if depth == 0 else single.submit(nest, depth - 1).result(60) + 1

    assert single.submit(nest, 40).result(60) == 40


def test_recursive_fan_out(single):
    def fib(n):
        if n < 2:
            return n
        a, b = single.submit(fib, n - 1), single.submit(fib, n - 2)
        return a.result() + b.result()

    assert single.submit(fib, 15).result(60) == 610


def test_a_waiter_that_holds_a_lock_which_others_want(single):
    lock = threading.Lock()

    def wants():
        with lock:
            return "got it"

    def holder():
        with lock:
            others = [single.submit(wants) for _ in range(10)]
            # Runs inline or elsewhere, but none of `others` does on our stack.
            return others, single.submit(pow, 2, 5).result()

    others, result = single.submit(holder).result(60)
    assert result == 32
    assert [f.result(60) for f in others] == ["got it"] * 10


def test_a_waiter_that_holds_a_lock_and_waits_for_a_running_task():
    lock = threading.Lock()
    with Executor(2) as executor:
        holding, finish = threading.Event(), threading.Event()

        def wants():
            with lock:
                return True

        slow = executor.submit(finish.wait, 60)

        def holder():
            with lock:
                holding.set()
                return slow.result()

        waiter = executor.submit(holder)
        assert holding.wait(60)
        others = [executor.submit(wants) for _ in range(20)]
        finish.set()
        assert waiter.result(60)
        assert all(f.result(60) for f in others)


def test_every_kind_of_wait(single):
    def numbers():
        return [single.submit(pow, 2, i) for i in range(6)]

    def standard_wait():
        done, _ = cf.wait(numbers(), timeout=60)
        return sorted(f.result() for f in done)

    def standard_as_completed():
        return sorted(f.result() for f in cf.as_completed(numbers(), timeout=60))

    def own_wait():
        done, _ = fastflow.wait(numbers(), timeout=60)
        return sorted(f.result() for f in done)

    def own_as_completed():
        return sorted(f.result() for f in fastflow.as_completed(numbers(), timeout=60))

    def standard_map():
        return list(single.map(pow, [2] * 6, range(6)))

    def own_map():
        return fastflow.map(pow, [2] * 6, range(6), executor=single)

    def own_imap():
        return list(fastflow.imap(pow, [2] * 6, range(6), executor=single))

    def group():
        with fastflow.TaskGroup(single) as tasks:
            futures = [tasks.create_task(pow, 2, i) for i in range(6)]
        return [f.result() for f in futures]

    for way in (
        standard_wait,
        standard_as_completed,
        own_wait,
        own_as_completed,
        standard_map,
        own_map,
        own_imap,
        group,
    ):
        assert single.submit(way).result(60) == [1, 2, 4, 8, 16, 32], way.__name__


def test_two_executors_that_wait_for_each_other():
    with Executor(1) as a, Executor(1) as b:

        def bounce(n):
            if n == 0:
                return 0
            return (a if n % 2 else b).submit(bounce, n - 1).result() + 1

        assert a.submit(bounce, 30).result(60) == 30


def test_the_limit_holds_again_after_waits():
    lock = threading.Lock()
    now = most = 0

    def leaf():
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        sum(range(3000))
        with lock:
            now -= 1

    with Executor(2) as executor:

        def parent():
            for future in [executor.submit(leaf) for _ in range(10)]:
                future.result(60)

        for future in [executor.submit(parent) for _ in range(30)]:
            future.result(60)
        before, most = most, 0
        for future in [executor.submit(leaf) for _ in range(300)]:
            future.result(60)
    assert most <= 2
    assert before >= 1
