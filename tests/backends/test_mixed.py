"""One flow on several executors at a time, with workers that die in the middle."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest

import fastflow
from backends import tasks
from backends.places import PLACES, is_there
from fastflow import Flow

TEXT = """
flow Mixed:
    given -> by_threads[*]
    given -> by_processes[*]
    given -> by_cluster[*]
    by_threads -> total_1
    by_processes -> total_2
    by_cluster -> total_3
    total_1 -> joined
    total_2 -> joined
    total_3 -> joined
"""


def joined(a, b, c):
    return a, b, c


def registry(places):
    made = fastflow.TaskRegistry()
    work = {
        f"by_{name}": made.task(name=f"by_{name}", executor=place, retries=10,
                                retry_delay=0)(tasks.add_one)
        for name, place in places.items()
    }  # fmt: skip
    totals = {f"total_{n}": tasks.total for n in (1, 2, 3)}
    return {"given": tasks.given, "joined": joined, **work, **totals}


@pytest.mark.parametrize("cluster", ["stdlib processes", "dask"])
def test_mixed_executors_give_what_the_serial_engine_gives(cluster):
    if not is_there(PLACES[cluster]):
        pytest.skip(f"{PLACES[cluster].needs} is not installed, see [test-cluster]")
    items = {"items": list(range(10_000))}
    with (
        fastflow.ProcessExecutor(2) as pool,
        PLACES[cluster].make() as far,
        fastflow.Executor(2) as threads,
    ):
        places = {"threads": "threads", "processes": pool, "cluster": far}
        flow = Flow(TEXT, registry=registry(places))
        expected = flow.run(items, executor="serial")
        pool.submit(tasks.square, 2).result()
        stop = threading.Event()
        killer = threading.Thread(target=kill_workers, args=(pool, stop))
        killer.start()
        try:
            found = flow.run(items, executor=threads)
        finally:
            stop.set()
            killer.join()
    assert found["joined"] == expected["joined"]
    for name in ("by_threads", "by_processes", "by_cluster"):
        assert found[name] == expected[name]


def kill_workers(pool, stop):
    """Kill three workers, one after another, each in the middle of its work."""
    killed = set()
    while len(killed) < 3 and not stop.wait(0.001):
        for worker in list(pool._desk.workers):
            pid = worker.process.pid
            if worker.made > 100 and pid not in killed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                break
