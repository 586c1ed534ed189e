"""gevent and eventlet replace threads by greenlets: fastflow says it can't work so.

A worker waits natively, so as a greenlet it would stop the whole thread for ever.
"""

from __future__ import annotations

import importlib.util
import textwrap

import pytest

from support import run_script

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all({})",
    "eventlet": "import eventlet; eventlet.monkey_patch({})",
}

ENTRIES = {
    "Executor": "fastflow.Executor(2)",
    "map": "fastflow.map(abs, range(100))",
    "imap": "list(fastflow.imap(abs, range(100)))",
    "for_each": "fastflow.for_each(abs, range(100))",
    "TaskGroup": "fastflow.TaskGroup().__enter__().create_task(abs, 1)",
}


def run(package, text):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    result = run_script(textwrap.dedent(text), "-W", "ignore")
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("package", PATCHES)
@pytest.mark.parametrize("entry", ENTRIES)
def test_patched_threads_are_refused(package, entry):
    out = run(
        package,
        f"""
        {PATCHES[package].format("")}
        import fastflow
        try:
            {ENTRIES[entry]}
        except RuntimeError as error:
            print(error)
        """,
    )
    assert "needs threads of the system" in out
    assert package in out


@pytest.mark.parametrize("package", PATCHES)
def test_an_executor_that_was_there_before_says_so_at_its_first_thread(package):
    out = run(
        package,
        f"""
        import fastflow
        executor = fastflow.Executor(2)
        {PATCHES[package].format("")}
        for call in (lambda: executor.submit(abs, -1), executor.shutdown):
            try:
                call()
            except RuntimeError as error:
                print(error)
        """,
    )
    assert out.count("needs threads of the system") == 2


@pytest.mark.parametrize("package", PATCHES)
def test_with_unpatched_threads_all_works(package):
    out = run(
        package,
        f"""
        {PATCHES[package].format("thread=False")}
        import concurrent.futures, fastflow
        with fastflow.Executor(2) as executor:
            futures = [executor.submit(abs, -i) for i in range(9)]
            assert not concurrent.futures.wait(futures).not_done
            print(sum(f.result() for f in futures), fastflow.map(abs, [-1]))
        """,
    )
    assert out.split() == ["36", "[1]"]


@pytest.mark.parametrize("package", PATCHES)
def test_an_executor_that_was_in_use_before_ends_with_the_program(package):
    out = run(
        package,
        f"""
        import fastflow
        executor = fastflow.Executor(2)
        print(executor.submit(pow, 2, 3).result())
        {PATCHES[package].format("")}
        print(executor.submit(pow, 2, 4).result())
        """,
    )
    assert out.split() == ["8", "16"]
