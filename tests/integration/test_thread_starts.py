"""Threads that can't be started, or are hindered at their start.

Whatever counts on a thread says so only once it is there: after the trouble, the same
object works.
"""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import fastflow
from fastflow import _core
from fastflow.base.progress import Monitor
from fastflow.base.timers import SystemClock
from fastflow.durable import DurableRunner, durable_execution
from fastflow.journal.sqlite import SqliteJournal


class Refusal:
    """Lets threads be refused whose names begin with a text."""

    def __init__(self, monkeypatch):
        self.prefix = None
        self.refused = 0
        real = threading.Thread.start

        def start(thread):
            if self.prefix is not None and thread.name.startswith(self.prefix):
                self.refused += 1
                raise RuntimeError("can't start new thread")
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)


@pytest.fixture
def refusal(monkeypatch):
    return Refusal(monkeypatch)


def python_value(x):
    return x


HOOKS = ["settrace", "setprofile"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_trace_function_that_raises_ends_no_worker(hook, workers):
    # In a process of its own: the functions are set for all threads to come.
    script = textwrap.dedent(f"""
        import threading, time
        import fastflow

        raised = []
        def hinder(frame, event, arg):
            raised.append(threading.current_thread().name)
            raise OSError("no trace")

        def value(x):
            return x

        executor = fastflow.Executor({workers}, thread_name_prefix="w")
        threading.{hook}(hinder)
        assert executor.submit(pow, 2, 5).result(60) == 32
        def errors():
            futures = [executor.submit(value, n) for n in range(200)]
            found = [f.exception(60) for f in futures]
            assert all(f.result() == n for n, f in enumerate(futures) if not found[n])
            return [error for error in found if error is not None]

        # A task's own frame may be what is hindered, once for each thread.
        odd = errors()
        threads = {{t for t in threading.enumerate() if t.name.startswith("w")}}
        assert len(threads) == executor.stats().workers > 0
        threading.{hook}(None)
        odd += errors()
        assert all(isinstance(error, OSError) for error in odd), odd
        assert len(odd) <= {workers}
        executor.shutdown()
        for thread in threads:  # in its last instructions, perhaps
            thread.join(60)
        assert not [t for t in threads if t.is_alive()]
        assert executor.stats().workers == 0
        print("good")
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True,
                          text=True, timeout=100, check=False)  # fmt: skip
    assert done.stdout == "good\n", done.stderr


@pytest.mark.parametrize("hook", HOOKS)
def test_an_initializer_that_is_hindered_has_failed(hook):
    script = textwrap.dedent(f"""
        import threading
        from concurrent.futures import BrokenExecutor
        import fastflow

        def hinder(frame, event, arg):
            raise OSError("no trace")

        def initialize():
            pass

        threading.{hook}(hinder)
        executor = fastflow.Executor(2, initializer=initialize)
        future = executor.submit(pow, 2, 5)
        assert isinstance(future.exception(60), BrokenExecutor), future
        executor.shutdown()
        print("good")
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True,
                          text=True, timeout=100, check=False)  # fmt: skip
    assert done.stdout == "good\n", done.stderr


def test_an_executor_without_threads_says_so_and_goes_on_later(refusal):
    executor = fastflow.Executor(2, thread_name_prefix="w")
    refusal.prefix = "w"
    for _ in range(3):
        with pytest.raises(RuntimeError, match="can't start new thread"):
            executor.submit(python_value, 1)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        executor.shutdown()  # what was queued can't be run
    refusal.prefix = None
    executor.shutdown()
    assert executor.stats().workers == 0


def test_a_place_that_is_lent_when_there_are_no_threads_is_lent(refusal):
    with fastflow.Executor(1, thread_name_prefix="w") as executor:
        begun, go_on = threading.Event(), threading.Event()
        places = []

        def hang():
            places.append(_core.place())
            begun.set()
            go_on.wait(60)

        hanging = executor.submit(hang)
        begun.wait(60)
        queued = executor.submit(python_value, 1)
        refusal.prefix = "w"
        _core.lend(places[0])  # its place wants another thread
        assert refusal.refused == 1
        refusal.prefix = None
        assert executor.submit(python_value, 2).result(60) == 2
        assert queued.result(60) == 1
        _core.take_back(places[0])
        go_on.set()
        hanging.result(60)


def test_a_timer_without_a_thread_is_none(refusal):
    clock = SystemClock()
    called = []
    refusal.prefix = "fastflow-timers"
    with pytest.raises(RuntimeError, match="can't start new thread"):
        clock.call_later(0, called.append, "refused")
    refusal.prefix = None
    done = threading.Event()
    clock.call_later(0, called.append, "made")
    clock.call_later(0.001, done.set)
    assert done.wait(60)
    assert called == ["made"]


def test_a_flow_function_whose_worker_can_not_start(refusal):
    @fastflow.task
    def one():
        return 1

    @fastflow.flow
    def whole():
        outcomes = []
        for _ in range(2):
            try:
                outcomes.append(one().result())
            except fastflow.TaskError as error:
                outcomes.append(str(error.__cause__))
                refusal.prefix = None
        return outcomes

    refusal.prefix = "unwilling"
    with fastflow.Executor(1, "unwilling") as executor:
        found = whole.with_options(executor=executor)()
    assert found == ["can't start new thread", 1]


def test_a_progress_bar_that_can_not_be_shown_is_put_away(refusal, monkeypatch):
    class Work:
        done = 0

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    refusal.prefix = "fastflow-progress"
    monitor = Monitor(True, Work(), 10, "x")
    with pytest.raises(RuntimeError, match="can't start new thread"), monitor:
        pass
    assert not monitor._bar.rich.live.is_started


@durable_execution(name="tests.thread-starts")
def program(event, context):
    return context.step(lambda _: event, name="s")


@pytest.mark.parametrize("how", ["run", "start"])
def test_an_execution_whose_lease_nobody_can_renew_is_not_begun(tmp_path, refusal, how):
    path = tmp_path / "runs.db"

    def go(runner):
        if how == "run":
            return runner.run(program, 1, "it")
        return runner.start(program, 1, "it").result(60)

    refusal.prefix = "fastflow-lease"
    with DurableRunner(path) as runner:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                go(runner)
        assert not runner.journal.find("it").owned  # others can go on with it
        refusal.prefix = None
        assert go(runner) == 1  # and so can this one
        thread = runner._keeper._thread
        assert thread is not None
        assert thread.is_alive()
    assert not thread.is_alive()


def test_a_runner_whose_lease_thread_never_started_can_be_closed(tmp_path, refusal):
    refusal.prefix = "fastflow-lease"
    runner = DurableRunner(tmp_path / "runs.db")
    with pytest.raises(RuntimeError):
        runner.run(program, 1, "it")
    runner.close()
    with DurableRunner(tmp_path / "runs.db") as other:
        refusal.prefix = None
        assert other.run(program, 1, "it") == 1


def test_what_can_not_be_loaded_is_nobodys(tmp_path, monkeypatch):
    from fastflow.durable.runtime import execution_state as running

    path = tmp_path / "runs.db"
    journal = SqliteJournal(path)
    with DurableRunner(path) as runner:
        with monkeypatch.context() as patch:
            patch.setattr(running, "Scope", _no_memory)
            with pytest.raises(MemoryError):
                runner.run(program, 1, "it")
        assert not journal.find("it").owned
        assert runner.run(program, 1, "it") == 1
    journal.close()


def _no_memory(*_):
    raise MemoryError


def test_a_message_that_can_not_be_delivered_does_not_end_the_lease(tmp_path, caplog):
    @durable_execution(name="tests.thread-starts-waits")
    def waits(event, context):
        return context.wait_for_callback(lambda key, _: keys.append(key), "cb")

    keys: list[str] = []
    with DurableRunner(tmp_path / "runs.db", lease=0.2) as runner:
        handle = runner.start(waits, 1, "it")
        execution = runner._keeper.executions()[0]
        real, failed = execution.deliver, threading.Event()

        def deliver(message):
            if not failed.is_set():
                failed.set()
                raise LookupError("bad message")
            real(message)

        execution.deliver = deliver
        runner.journal.post(execution.number, "heartbeat", bytes(16))
        assert failed.wait(60)
        while not keys:
            time.sleep(0.001)
        assert runner._keeper._thread.is_alive()
        runner.send_callback_success(keys[0], "yes")
        assert handle.result(60) == "yes"
    assert "could not be delivered" in caplog.text
