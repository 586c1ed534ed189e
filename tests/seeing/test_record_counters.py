"""What is measured while somebody records: by whom, how often, and until when."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastflow
from fastflow import _core
from fastflow.seeing.counters import _ROW, Sampler

WORDS = 5  # in a row


def rows_of(sampler):
    return np.frombuffer(sampler.rows(), _ROW)


def run_until_rows(sampler, count):
    while len(rows_of(sampler)) < count:
        assert sampler.run(0.01, (os.getpid(),)) >= 0
    return rows_of(sampler)


def test_rows_follow_each_other():
    rows = run_until_rows(_core.Sampler(every=1_000, most=100), 5)
    assert rows.itemsize == 8 * WORDS
    assert (np.diff(rows["time"]) > 0).all()
    assert (rows["cpu"] >= 0).all()
    assert ((rows["starved"] >= 0) | (rows["starved"] == -1)).all()


def test_memory_is_bounded_and_what_is_kept_is_spread_evenly():
    sampler = _core.Sampler(every=1_000, most=4)
    first = run_until_rows(sampler, 4)["time"]
    while rows_of(sampler)["time"][-1] == first[-1]:
        sampler.run(0.01, ())
    times = rows_of(sampler)["time"]
    assert len(times) <= 4
    assert times[0] == first[0]
    assert first[1] not in times


def test_the_end_ends_whoever_measures():
    sampler = _core.Sampler(every=10**12, most=2)
    found = []
    thread = threading.Thread(target=lambda: found.append(sampler.run(3600, ())))
    thread.start()
    sampler.end()
    thread.join()
    assert found == [-1]
    assert sampler.run(3600, ()) == -1
    assert sampler.rows() == b""


def test_one_thread_measures():
    sampler = _core.Sampler(every=10**12, most=2)
    thread = threading.Thread(target=sampler.run, args=(3600, ()))
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="another thread"):
            while True:  # until it is there
                sampler.run(0, ())
    finally:
        sampler.end()
        thread.join()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"every": 0, "most": 2}, ValueError),
        ({"every": 1, "most": 1}, ValueError),
        ({"every": 1}, TypeError),
    ],
)
def test_wrong_samplers(options, error):
    with pytest.raises(error):
        _core.Sampler(**options)


@pytest.mark.parametrize(
    "arguments",
    [(), (1,), (1, [2]), (-1, ()), (float("nan"), ()), ("1", ()), (1, ("",))],
)
def test_wrong_runs(arguments):
    with pytest.raises((TypeError, ValueError)):
        _core.Sampler(every=1, most=2).run(*arguments)


def test_tasks_that_run_and_that_are_ready():
    may_end, begun = threading.Event(), threading.Event()

    def waits():
        begun.set()
        may_end.wait()

    sampler = _core.Sampler(every=1_000, most=100)
    with fastflow.Executor(1) as executor:
        futures = [executor.submit(waits) for _ in range(5)]
        begun.wait()
        seen = run_until_rows(sampler, 3)[-1]
        may_end.set()
        for future in futures:
            future.result()
    # Other executors of this process may have something to do, too.
    assert seen["running"] >= 1
    assert seen["ready"] >= 4


def test_names_of_threads_that_came_later():
    sampler = Sampler()
    sampler.start()
    try:
        over = threading.Event()
        thread = threading.Thread(target=over.wait, name="late")
        thread.start()
        while "late" not in sampler.names.values():
            pass
        over.set()
        thread.join()
    finally:
        sampler.end()
    assert set(sampler.counters(0)) >= {"cpu", "ready", "running"}


def run_program(text):
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60
    )


def test_a_program_that_ends_while_it_records():
    done = run_program(
        "import fastflow\n"
        "recording = fastflow.record()\n"
        "recording.__enter__()\n"
        "fastflow.map(abs, range(1000))\n"
        "print('over')\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_while_it_records():
    done = run_program(
        "import os, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "import fastflow\n"
        "with fastflow.record() as recording:\n"
        "    fastflow.map(abs, range(1000))\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        with fastflow.record() as inner:\n"
        "            fastflow.map(abs, range(10))\n"
        "        assert inner.data.totals[0].count == 10\n"
        "if child == 0:\n"
        "    assert not len(recording.data.counters['cpu'])\n"
        "    sys.exit(3)\n"
        "status = os.waitpid(child, 0)[1]\n"
        "print(os.waitstatus_to_exitcode(status), recording.data.totals[0].count)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 1000\n", "")
