"""Ctrl-C and SystemExit in what the main thread runs for an executor are not lost."""

from __future__ import annotations

import concurrent.futures
import logging
import signal
import threading

import pytest

import fastflow
from fastflow import Executor


def ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


def leave(*_):
    raise SystemExit(3)


ENDS = {"Ctrl-C": (ctrl_c, KeyboardInterrupt), "exit": (leave, SystemExit)}


def late_callback(callback):
    with Executor(1) as executor:
        future = executor.submit(int)
        future.result()
        future.add_done_callback(callback)


def set_result(callback):
    future = fastflow.Future()
    future.add_done_callback(callback)
    future.set_result(1)


def set_exception(callback):
    future = fastflow.Future()
    future.add_done_callback(callback)
    future.set_exception(ValueError())
    future.exception()


def cancel(callback):
    go = threading.Event()
    with Executor(1) as executor:
        try:
            executor.submit(go.wait, 60)
            future = executor.submit(int)
            future.add_done_callback(callback)
            future.cancel()
        finally:
            go.set()


def shutdown(callback):
    go = threading.Event()
    executor = Executor(1)
    executor.submit(go.wait, 60)
    future = executor.submit(int)
    future.add_done_callback(callback)
    try:
        executor.shutdown(wait=False, cancel_futures=True)
        assert future.cancelled()
    finally:
        go.set()
        executor.shutdown()


@pytest.mark.parametrize("way", [late_callback, set_result, set_exception, cancel,
                                 shutdown])  # fmt: skip
@pytest.mark.parametrize("end", ENDS)
def test_in_a_callback_that_the_main_thread_runs(way, end):
    callback, error = ENDS[end]
    ran = []
    with pytest.raises(error):
        way(lambda future: (ran.append(future.done()), callback()))
    assert ran == [True]


@pytest.mark.parametrize("end", ENDS)
def test_the_other_callbacks_are_called_as_well(end):
    callback, error = ENDS[end]
    ran = []
    future = fastflow.Future()
    future.add_done_callback(callback)
    future.add_done_callback(ran.append)
    with pytest.raises(error):
        future.set_result(1)
    assert (ran, future.result()) == ([future], 1)


def test_ctrl_c_while_the_caller_runs_a_task():
    go, made = threading.Event(), []
    with Executor(1, max_pending=1, on_full="caller_runs") as executor:
        try:
            began = threading.Event()
            made.append(executor.submit(lambda: began.set() or go.wait(60)))
            assert began.wait(60)
            made.append(executor.submit(int))
            with pytest.raises(KeyboardInterrupt):
                executor.submit(ctrl_c)
        finally:
            go.set()
        assert [future.result() for future in made] == [True, 0]


def test_ctrl_c_in_a_callback_of_a_task_that_the_caller_runs():
    go = threading.Event()
    with Executor(1, max_pending=1, on_full="caller_runs") as executor:
        try:
            began = threading.Event()
            executor.submit(lambda: began.set() or go.wait(60))
            assert began.wait(60)
            executor.submit(int)

            def task():
                future = fastflow.Future()
                future.add_done_callback(ctrl_c)
                future.set_result(1)

            with pytest.raises(KeyboardInterrupt):
                executor.submit(task)
        finally:
            go.set()


def test_a_worker_survives_the_exit_of_a_callback(caplog):
    go = threading.Event()
    with caplog.at_level(logging.ERROR), Executor(1) as executor:
        future = executor.submit(go.wait, 60)
        future.add_done_callback(leave)
        go.set()
        assert executor.submit(threading.current_thread).result().is_alive()
    assert isinstance(caplog.records[0].exc_info[1], SystemExit)


def test_wait_of_the_standard_library(tmp_path):
    """Its waits in the main thread see the end of a future whose callback exits."""
    future = fastflow.Future()
    future.add_done_callback(leave)
    with pytest.raises(SystemExit):
        future.set_result(1)
    assert concurrent.futures.wait([future], 60).done == {future}
