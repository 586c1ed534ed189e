"""Ctrl-C and SystemExit in what the main thread runs for an executor are not lost."""

from __future__ import annotations

import concurrent.futures
import logging
import signal
import threading

import pytest

import fastflow
from fastflow import Executor
from support import run_script


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


def test_ctrl_c_at_the_very_end_of_a_group_is_no_way_around_it():
    """A signal's handler may run at the first instruction of ``__exit__``."""
    ended = run_script("""
        import ctypes, threading, weakref, fastflow
        interrupt = ctypes.pythonapi.PyErr_SetInterrupt
        interrupt.argtypes, interrupt.restype = [ctypes.py_object], None
        class Ghost:
            pass
        ghost = Ghost()
        callback = weakref.ref(ghost, interrupt)
        running = threading.Event()
        def task():
            running.set()
            while not fastflow.current_task().cancelled:
                pass
        executor = fastflow.Executor(2)
        try:
            with fastflow.TaskGroup(executor) as group:
                futures = [group.create_task(task) for _ in range(10)]
                running.wait()
                del ghost  # no instruction that looks for signals follows
        except KeyboardInterrupt:
            print(all(f.done() for f in futures), any(f.cancelled() for f in futures))
        executor.shutdown()
    """)
    assert ended.stdout.split() == ["True", "True"], ended.stderr


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
