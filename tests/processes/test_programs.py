"""Whole programs with processes: how they begin and end, and what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support import run_script

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
STUCK = """
    import os, signal, sys, time
    from fastflow import ProcessExecutor

    def spin():
        while True:
            pass

    def sleep():
        time.sleep(1000)

    if __name__ == "__main__":
        executor = ProcessExecutor(3, start_method=sys.argv[1])
        futures = [executor.submit(spin), executor.submit(sleep)]
        executor.submit(os.getpid).result()
        while not all(future.running() for future in futures):
            time.sleep(0.01)
        pids = [worker.process.pid for worker in executor._desk.workers]
"""

KILLED = """
        print(*pids, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""
INTERRUPTED = """
        try:
            print(*pids, flush=True)
            futures[0].result()
        except KeyboardInterrupt:
            print("interrupted")
            executor.shutdown()
            print(*(type(future.exception()).__name__ for future in futures))
"""


def program(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    return path


def run(path, *args):
    return subprocess.run(
        [sys.executable, str(path), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def is_alive(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def wait_for_end(pids):
    """Wait until processes have ended; the test's own limit ends it otherwise."""
    for pid in pids:
        while is_alive(pid):
            os.sched_yield()


@LINUX
@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_workers_end_with_a_killed_program(tmp_path, method):
    path = program(tmp_path, STUCK + KILLED)
    ended = run(path, method)
    assert ended.returncode == -signal.SIGKILL
    wait_for_end(map(int, ended.stdout.split()))


@LINUX
@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_ctrl_c_is_raised_in_the_program_and_ends_what_runs(tmp_path, method):
    process = subprocess.Popen(
        [sys.executable, str(program(tmp_path, STUCK + INTERRUPTED)), method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out.split() == ["interrupted", "KeyboardInterrupt", "KeyboardInterrupt"], err
    assert err == ""
    wait_for_end(pids)


def test_a_script_without_a_guard_says_so_once(tmp_path):
    path = program(
        tmp_path,
        """
        from fastflow import ProcessExecutor

        def same(value):
            return value

        with ProcessExecutor(2) as executor:
            print(executor.submit(same, 1).result())
        """,
    )
    ended = run(path)
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1
    assert "if __name__ == '__main__':" in ended.stderr


def test_the_end_of_the_program_waits_for_its_calls(tmp_path):
    path = program(
        tmp_path,
        """
        import time
        from fastflow import ProcessExecutor

        def late(text):
            time.sleep(0.2)
            print(text, flush=True)

        if __name__ == "__main__":
            executor = ProcessExecutor(1)
            executor.submit(late, "one")
            executor.submit(late, "two")
        """,
    )
    ended = run(path)
    assert ended.stdout.split() == ["one", "two"]
    assert ended.stderr == ""


def test_functions_of_a_console_travel_by_value():
    pytest.importorskip("cloudpickle")
    ended = run_script(
        """
        from fastflow import ProcessExecutor

        class Thing:
            def __init__(self, value):
                self.value = value

        def add(thing, value=1):
            return thing.value + value

        if __name__ == "__main__":
            with ProcessExecutor(1) as executor:
                print(executor.submit(add, Thing(1)).result())
                print(list(executor.map(lambda x: x * 2, [1, 2])))
                print(executor.submit(lambda: Thing(5)).result().value)
        """
    )
    assert ended.stdout.split("\n")[:3] == ["2", "[2, 4]", "5"]


def test_without_cloudpickle_the_error_says_what_to_do(tmp_path):
    (tmp_path / "cloudpickle.py").write_text("raise ImportError('not here')\n")
    ended = run_script(
        f"""
        import importlib.util, sys
        real = importlib.util.find_spec
        importlib.util.find_spec = (
            lambda name, *a: None if name == "cloudpickle" else real(name, *a)
        )
        from fastflow import ProcessExecutor

        def same(value):
            return value

        with ProcessExecutor(1) as executor:
            for fn in (same, lambda value: value):
                error = executor.submit(fn, 1).exception()
                print(type(error).__name__, error.__notes__)
        # {tmp_path}
        """
    )
    lines = ended.stdout.splitlines()
    assert len(lines) == 2
    assert all("pip install 'fastflow[processes]'" in line for line in lines)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_is_told_that_it_has_no_workers(tmp_path):
    path = program(
        tmp_path,
        """
        import os, warnings
        from fastflow import BrokenProcessesError, ProcessExecutor

        warnings.simplefilter("ignore")

        if __name__ == "__main__":
            with ProcessExecutor(1) as executor:
                executor.submit(pow, 2, 3).result()
                child = os.fork()
                if child == 0:
                    try:
                        executor.submit(pow, 2, 3)
                    except BrokenProcessesError as error:
                        print(error, flush=True)
                    with ProcessExecutor(1) as other:
                        print(other.submit(pow, 2, 4).result(), flush=True)
                    os._exit(0)
                os.waitpid(child, 0)
                print(executor.submit(pow, 2, 5).result())
        """,
    )
    ended = run(path)
    told, new, old = ended.stdout.splitlines()
    assert "forked" in told
    assert (new, old) == ("16", "32"), ended.stderr


def test_importing_fastflow_imports_nothing_of_this():
    ended = run_script(
        """
        import sys
        import fastflow
        print([name for name in sys.modules if name.startswith("fastflow.processes")],
              "concurrent.futures.process" in sys.modules)
        """
    )
    assert ended.stdout.strip() == "[] False"
