"""Flows and workflows on a `ProcessExecutor`: a call that is given up is ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import fastflow
from backends import tasks
from fastflow import Flow, TaskError, TaskTimeout, WorkerDiedError


@pytest.fixture(scope="module")
def pool():
    with fastflow.ProcessExecutor(2) as made:
        yield made


def items(values):
    return {"items": list(values)}


def test_a_dead_worker_costs_its_own_item_only(pool, tmp_path):
    pairs = [(str(tmp_path), n) for n in range(200)]
    registry = {"given": tasks.given, "work": tasks.die_once_of_many}
    flow = Flow("flow F:\n    given -> work[*]\n", registry=registry)
    result = flow.run(items(pairs), executor=pool, on_error="return")
    (error,) = result.errors
    assert isinstance(error.__cause__, WorkerDiedError)
    assert "SIGKILL" in str(error.__cause__)
    assert sorted(result.tasks["work"].partial) == [n for n in range(200) if n != 50]


def test_a_retry_is_made_elsewhere(pool, tmp_path):
    flow = Flow("flow F:\n    die\n", registry={"die": tasks.die_once_retried})
    result = flow.run(str(tmp_path), executor=pool)
    assert result["die"] == "alive"
    assert result.tasks["die"].attempts == 2


def test_the_end_of_its_time_ends_a_call(pool, tmp_path):
    flow = Flow("flow F:\n    limited\n", registry={"limited": tasks.limited_pid})
    with pytest.raises(TaskError) as caught:
        flow.run(str(tmp_path), executor=pool)
    assert isinstance(caught.value.__cause__, TaskTimeout)
    pid = int((tmp_path / "pid").read_text())
    assert pool.submit(tasks.square, 2).result(60) == 4
    assert is_gone(pid)


def test_the_end_of_a_run_ends_its_calls(pool, tmp_path):
    flow = Flow("flow F:\n    hang\n", registry={"hang": tasks.hang_pid})
    with pytest.raises(TaskTimeout):
        flow.run(str(tmp_path), executor=pool, timeout=0.5)
    pid = int((tmp_path / "pid").read_text())
    assert pool.submit(tasks.square, 2).result(60) == 4
    assert is_gone(pid)


def is_gone(pid):
    """Wait until a process, which was killed, has been waited for by its parent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if (
                Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                == "Z"
            ):
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_a_limit_begins_when_the_call_does(pool):
    """More limited calls than workers, which together take longer than the limit."""
    registry = {"given": tasks.given, "work": tasks.limited_nap}
    flow = Flow("flow F:\n    given -> work[*]\n", registry=registry)
    assert flow.run(items(range(12)), executor=pool)["work"] == list(range(12))


def test_a_fan_of_a_workflow(pool):
    workflow = fastflow.workflow("w")
    workflow.for_each("each", lambda ctx: range(50), tasks.pid_of)
    found = workflow.run(executor=pool).last
    assert os.getpid() not in found
    assert len(found) == 50


def test_processes_by_name():
    flow = Flow("flow F:\n    where\n", registry={"where": tasks.where})
    assert flow.run(executor="processes")["where"] != os.getpid()

    @fastflow.flow
    def body():
        return tasks.where_task()

    assert body.with_options(executor="processes")() != os.getpid()
    mixed = Flow(
        "flow F:\n    task where:\n        executor: processes\n    where -> here\n",
        registry={"where": tasks.where, "here": lambda pid: (pid, os.getpid())},
    )
    there, here = mixed.run()["here"]
    assert there != here == os.getpid()
