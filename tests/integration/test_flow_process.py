"""Flows and the process around them: Ctrl-C, what is imported, other processes."""

from __future__ import annotations

import signal
import sys

import pytest

from support import run_script


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
@pytest.mark.parametrize(
    "executor",
    ["None", "'serial'", "fastflow.Executor(2)", "futures.ThreadPoolExecutor(2)"],
)
def test_ctrl_c_ends_a_run(executor):
    done = run_script(
        f"""
        import concurrent.futures as futures, threading
        import fastflow

        release, ran = threading.Event(), []

        def wait(*_):
            print("runs", flush=True)
            while not release.wait(0.05):
                pass

        names = [f"t{{i}}" for i in range(50)]
        flow = fastflow.Flow(
            "flow F:\\n    wait -> [" + ", ".join(names) + "]",
            registry={{"wait": wait, **dict.fromkeys(names, ran.append)}},
        )
        executor = {executor}
        if hasattr(executor, "submit"):
            # A signal inside of Thread.start() makes the standard library lose threads.
            together = threading.Barrier(2)
            for future in [executor.submit(together.wait) for _ in range(2)]:
                future.result()
        try:
            flow.run({{}}, executor=executor)
        except KeyboardInterrupt:
            print("interrupted", len(ran))
        release.set()
        """,
        stimulus=lambda process: process.send_signal(signal.SIGINT),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["runs", "interrupted 0"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
@pytest.mark.parametrize("where", ["task.result()", "None"])
def test_ctrl_c_ends_a_flow_function(where):
    done = run_script(
        f"""
        import threading
        import fastflow

        tasks, release = fastflow.TaskRegistry(), threading.Event()

        @tasks.task
        def wait():
            print("runs", flush=True)
            release.wait()

        @tasks.task
        def after(_):
            print("wrong")

        @fastflow.flow
        def body():
            task = wait()
            after(task)
            {where}

        try:
            body()
        except KeyboardInterrupt:
            print("interrupted")
        release.set()
        """,
        stimulus=lambda process: process.send_signal(signal.SIGINT),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["runs", "interrupted"]


def test_a_small_flow_needs_no_numpy_and_no_event_loop():
    done = run_script(
        """
        import sys
        import fastflow

        text = "flow F:\\n    a -> w[*] -> b\\n    a -> c"
        tasks = {"a": lambda: [1, 2], "w": lambda x: x + 1, "b": sum, "c": len}
        result = fastflow.run_parallel_flow_from_dsl(text, registry=tasks)
        print(dict(result))
        print(sorted({"numpy", "asyncio", "rich", "click"} & set(sys.modules)))
        """
    )
    assert done.stdout.splitlines() == [
        "{'a': [1, 2], 'w': [2, 3], 'b': 5, 'c': 2}",
        "[]",
    ], done.stderr


def test_the_same_flow_with_and_without_numpy():
    done = run_script(
        """
        import fastflow
        flow = fastflow.Flow(
            "flow F:\\n    a -> [b, c] -> d",
            registry={"a": lambda n: n, "b": lambda n: n + 1, "c": lambda n: n * 2,
                      "d": lambda *all: all},
        )
        first = dict(flow.run(3))
        import numpy
        assert dict(flow.run(3)) == first == dict(flow.run(3))
        print(first["d"])
        """
    )
    assert done.stdout == "(4, 6)\n", done.stderr


def test_a_run_at_the_end_of_the_program_ends():
    # As with the standard library's executors: what comes too late is refused.
    done = run_script(
        """
        import threading
        import fastflow

        def work():
            flow = fastflow.Flow("flow F:\\n    a -> b",
                                 registry={"a": lambda: 1, "b": lambda x: x})
            try:
                for _ in range(100):
                    assert flow.run()["b"] == 1
            except RuntimeError as error:
                assert "shutdown" in str(error)
            assert flow.run(executor="serial")["b"] == 1
            print("done")

        threading.Thread(target=work).start()
        """
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_a_forked_child_runs_flows():
    done = run_script(
        """
        import os, warnings
        import fastflow
        warnings.simplefilter("ignore")

        async def c(x):
            return x

        tasks = fastflow.TaskRegistry()

        @tasks.task(retries=1, retry_delay=0)
        def b(x, tried=[]):
            tried.append(1)
            if len(tried) % 2:
                raise OSError
            return x

        flow = fastflow.Flow("flow F:\\n    a -> b -> c",
                             registry={"a": lambda: 1, "b": tasks["b"], "c": c})
        assert flow.run()["c"] == 1
        child = os.fork()
        if child == 0:
            os._exit(0 if flow.run()["c"] == 1 else 1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flow.run()["c"])
        """
    )
    assert done.stdout == "0 1\n", done.stderr
