"""Steps with a time limit on a pool of processes: the queue does not count."""

from __future__ import annotations

import concurrent.futures as cf
import threading
import time
from pathlib import Path

import pytest

import flow_tasks
from fastflow import TaskTimeout, workflow
from fastflow.base.timers import call_later

SECONDS = 60  # a watchdog


@pytest.fixture
def go(tmp_path):
    """A file that calls wait for; it is there at the end in any case."""
    path = tmp_path / "go"
    yield path
    path.touch()


@pytest.fixture
def pool(go):
    with cf.ProcessPoolExecutor(2) as made:
        assert made.submit(int).result(SECONDS) == 0  # processes are there
        yield made
        go.touch()


def step(fn, limit):
    return (
        workflow("w")
        .step("s", fn, timeout=limit)
        .on_error(lambda ctx: type(ctx.error))
        .step("next", lambda ctx: ctx.last)
    )


def test_time_in_the_queue_does_not_count(pool, go):
    busy = workflow("busy").parallel([flow_tasks.wait_for_the_payload] * 2)
    long = busy.start(str(go), executor=pool)
    quick = step(flow_tasks.in_time, 2)
    runs = [quick.start(executor=pool) for _ in range(6)]
    opened = threading.Event()
    call_later(2.5, lambda: (go.touch(), opened.set()))
    assert [run.result(SECONDS).last for run in runs] == ["in time"] * 6
    assert opened.is_set()
    assert long.result(SECONDS).last == ["late"] * 2


@pytest.mark.parametrize("count", [1, 2, 6])
def test_hung_calls(pool, go, count):
    runs = [
        step(flow_tasks.wait_for_the_payload, 0.1).start(str(go), executor=pool)
        for _ in range(count)
    ]
    assert [run.result(SECONDS).last for run in runs] == [TaskTimeout] * count
    plain = workflow("plain").step("s", lambda ctx: 1)
    assert plain.start(executor=pool).result(SECONDS).last == 1
    assert not go.exists()
    go.touch()
    # The processes are back, and nothing has been counted twice.
    quick = step(flow_tasks.in_time, 30)
    again = [quick.start(executor=pool) for _ in range(6)]
    assert [run.result(SECONDS).last for run in again] == ["in time"] * 6


def test_one_that_waits_for_its_turn_is_cancelled(pool, go):
    busy = workflow("busy").parallel([flow_tasks.wait_for_the_payload] * 2)
    long = busy.start(str(go), executor=pool)
    waiting = step(flow_tasks.in_time, 30).start(executor=pool)
    waiting.cancel()
    with pytest.raises(cf.CancelledError):
        waiting.result(SECONDS)
    go.touch()
    assert long.result(SECONDS).last == ["late"] * 2
    assert step(flow_tasks.in_time, 30).run(executor=pool).last == "in time"


def wait_for(path):
    """Be an initializer that takes a while."""
    while not Path(path).exists():
        time.sleep(0.005)


def test_the_start_of_a_process_does_not_count(go):
    quick = step(flow_tasks.in_time, 1)
    with cf.ProcessPoolExecutor(2, initializer=wait_for, initargs=(go,)) as pool:
        runs = [quick.start(executor=pool) for _ in range(4)]
        opened = threading.Event()
        call_later(1.5, lambda: (opened.set(), go.touch()))
        assert [run.result(SECONDS).last for run in runs] == ["in time"] * 4
        assert opened.is_set()
