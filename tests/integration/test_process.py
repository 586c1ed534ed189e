"""Signals, exit and fork: each case in a fresh interpreter."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from support import run_script

unix = pytest.mark.skipif(os.name != "posix", reason="signals and fork of POSIX")


def interrupt(process):
    process.send_signal(signal.SIGINT)


@unix
@pytest.mark.parametrize(
    "wait",
    [
        "futures[-1].result()",
        "fastflow.wait(futures)",
        "next(fastflow.as_completed([futures[-1]]))",
        "fastflow.map(time.sleep, [3600] * 10, executor=executor)",
        "list(executor.map(time.sleep, [3600] * 10))",
        "next(fastflow.imap(time.sleep, [3600] * 10, executor=executor))",
        "fastflow.for_each(fastflow.kernels.spin(10**6), range(10**6), "
        "executor=executor)",
        "fastflow.for_each(id, range(10**10), executor=executor)",
    ],
)
def test_ctrl_c_with_a_million_tasks_queued(wait):
    script = f"""
        import os, threading, time
        import fastflow
        executor = fastflow.Executor(2)
        gate = threading.Event()
        blocked = [executor.submit(gate.wait) for _ in range(2)]
        futures = [executor.submit(time.sleep, 0) for _ in range(1_000_000)]
        # Imported now: the interpreter may lose a Ctrl-C that comes in an import.
        fastflow.kernels, fastflow.map, fastflow.imap, fastflow.wait
        try:
            print("ready", flush=True)
            {wait}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        gate.set()
        executor.shutdown(wait=False, cancel_futures=True)
        os._exit(0)
    """
    ended = run_script(script, stimulus=interrupt)
    assert "interrupted" in ended.stdout
    assert ended.returncode == 0


@unix
def test_ctrl_c_in_a_task_group_cancels_it():
    script = """
        import threading
        import fastflow
        running = threading.Event()
        def task():
            running.set()
            while not fastflow.current_task().cancelled:
                pass
        executor = fastflow.Executor(2)
        try:
            with fastflow.TaskGroup(executor) as group:
                futures = [group.create_task(task) for _ in range(1000)]
                running.wait()
                print("ready", flush=True)
        except KeyboardInterrupt:
            print("interrupted", sum(f.cancelled() for f in futures))
        executor.shutdown()
    """
    ended = run_script(script, stimulus=interrupt)
    assert "interrupted 99" in ended.stdout
    assert ended.returncode == 0


def test_exit_finishes_pending_work():
    ended = run_script("""
        import atexit, fastflow
        done = []
        executor = fastflow.Executor(2)
        for i in range(50_000):
            executor.submit(done.append, i)
        atexit.register(lambda: print(len(done), flush=True))
    """)
    assert ended.stdout.strip() == "50000"
    assert ended.returncode == 0


def test_exit_status_and_pending_nested_work():
    ended = run_script("""
        import sys, fastflow
        executor = fastflow.Executor(1)
        def inner():
            print("inner", flush=True)
        def outer(future):
            future.result()
            print("outer", flush=True)
        future = executor.submit(inner)
        executor.submit(outer, future)
        sys.exit(3)
    """)
    assert ended.returncode == 3
    assert ended.stdout.split() == ["inner", "outer"]


def test_submitting_while_the_interpreter_exits_is_refused():
    ended = run_script("""
        import atexit, fastflow
        executor = fastflow.Executor(1)
        executor.submit(pow, 1, 1).result()
        def late():
            try:
                executor.submit(pow, 1, 1)
            except RuntimeError as error:
                print(error)
        atexit.register(late)
    """)
    assert "after interpreter shutdown" in ended.stdout


def test_an_executor_that_nobody_refers_to_finishes_its_work():
    ended = run_script("""
        import fastflow, gc, threading
        executor = fastflow.Executor(2)
        futures = [executor.submit(pow, 2, i) for i in range(100)]
        del executor
        gc.collect()
        print(sum(f.result(30) for f in futures) == 2**100 - 1)
        while len(threading.enumerate()) > 1:
            threading.enumerate()[-1].join(1)
        print("threads gone")
    """)
    assert ended.stdout.split("\n")[:2] == ["True", "threads gone"]


@unix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork():
    flags = ("-W", "ignore::DeprecationWarning")
    ended = run_script(
        """
        import concurrent.futures, os, threading, fastflow
        executor = fastflow.Executor(2)
        gate = threading.Event()
        running = executor.submit(gate.wait)
        futures = [executor.submit(gate.wait), executor.submit(pow, 2, 2)]
        pid = os.fork()
        if pid == 0:
            for future in [running, *futures]:
                try:
                    future.result(10)
                except concurrent.futures.BrokenExecutor as error:
                    assert "fork" in str(error)
                else:
                    os._exit(1)
            assert executor.submit(pow, 3, 3).result(10) == 27
            assert fastflow.map(abs, range(-5, 0)) == [5, 4, 3, 2, 1]
            assert list(executor.map(abs, [-1])) == [1]
            executor.shutdown()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        gate.set()
        assert futures[1].result(10) == 4
        executor.shutdown()
        print("both fine")
        """,
        *flags,
    )
    assert "both fine" in ended.stdout
    assert ended.returncode == 0


@unix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_threads_of_a_forked_child_come_to_the_same_executor_at_once():
    flags = ("-W", "ignore::DeprecationWarning")
    ended = run_script(
        """
        import concurrent.futures, os, threading, fastflow
        gate = threading.Event()
        for _ in range(10):
            executor = fastflow.Executor(2)
            left = [executor.submit(gate.wait, 60) for _ in range(50)]
            called = []
            for future in left:
                future.add_done_callback(called.append)
            pid = os.fork()
            if pid == 0:
                start, errors, engines = threading.Barrier(8), [], []
                def use():
                    start.wait(60)
                    engines.append(executor._engine)
                    assert executor.submit(pow, 3, 3).result(10) == 27
                    for future in left:
                        errors.append(future.exception(10))
                threads = [threading.Thread(target=use) for _ in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(60)
                broken = concurrent.futures.BrokenExecutor
                assert len(errors) == 400
                assert all(isinstance(error, broken) for error in errors)
                assert len(set(map(id, errors))) == 50, "one for each future"
                assert len(called) == len(set(called)) == 50
                assert len(set(engines)) == 1
                executor.shutdown()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            gate.set()
            executor.shutdown()
            gate.clear()
        print("fine")
        """,
        *flags,
    )
    assert "fine" in ended.stdout, ended.stderr
    assert ended.returncode == 0


@unix
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork_under_load_many_times():
    flags = ("-W", "ignore::DeprecationWarning")
    ended = run_script(
        """
        import os, threading, fastflow
        executor = fastflow.Executor(4)
        stop = threading.Event()
        def feed():
            while not stop.is_set():
                executor.submit(pow, 2, 2).result()
        feeders = [threading.Thread(target=feed) for _ in range(3)]
        for feeder in feeders:
            feeder.start()
        for _ in range(30):
            pid = os.fork()
            if pid == 0:
                assert executor.submit(pow, 2, 3).result(10) == 8
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        for feeder in feeders:
            feeder.join()
        executor.shutdown()
        print("fine")
        """,
        *flags,
    )
    assert "fine" in ended.stdout
    assert ended.returncode == 0


def test_development_mode_is_silent():
    ended = run_script(
        """
        import fastflow
        with fastflow.Executor(3) as executor:
            assert list(executor.map(abs, range(-300, 0))) == list(range(300, 0, -1))
        """,
        "-X",
        "dev",
        "-W",
        "error",
    )
    assert ended.returncode == 0
    assert ended.stderr == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_an_idle_pool_takes_no_cpu_time():
    ended = run_script("""
        import threading, time, fastflow
        executor = fastflow.Executor(8)
        barrier = threading.Barrier(8)
        list(executor.map(lambda _: barrier.wait(30), range(8)))
        while executor.stats().parked < 8:
            threading.Event().wait(0.01)
        threading.Event().wait(0.1)  # the pool's own after-work is over
        before = time.process_time_ns()
        threading.Event().wait(5)
        print(time.process_time_ns() - before)
    """)
    # CPU time, not elapsed time: what the main thread's own wait takes, and no more.
    assert int(ended.stdout) < 0.005 * 5e9
