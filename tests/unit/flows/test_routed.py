"""Tasks with an executor of their own: one flow on several executors."""

from __future__ import annotations

import concurrent.futures as cf
import os
import threading

import pytest

import fastflow
from fastflow import DslError, Flow
from fastflow.pool.named import check_executor, executor_of, register


@pytest.fixture
def apart():
    with cf.ThreadPoolExecutor(2, thread_name_prefix="apart") as pool:
        yield pool


def thread(*_):
    return threading.current_thread().name


def tasks_on(pool):
    here = fastflow.TaskRegistry().task(name="here")(thread)
    there = fastflow.TaskRegistry().task(name="there", executor=pool)(thread)
    return {"here": here, "there": there}


TEXT = "flow F:\n    here -> there\n    there -> last\n"


@pytest.mark.parametrize("max_workers", [None, 1])
@pytest.mark.parametrize("foreign", [False, True])
def test_each_task_runs_where_it_says(apart, max_workers, foreign):
    registry = tasks_on(apart)
    flow = Flow(TEXT, registry={**registry, "last": registry["here"]})
    with (
        cf.ThreadPoolExecutor(2, thread_name_prefix="foreign")
        if foreign
        else fastflow.Executor(2, thread_name_prefix="ours")
    ) as pool:
        result = flow.run(executor=pool, max_workers=max_workers)
    assert result["there"].startswith("apart")
    assert result.tasks["there"].worker.startswith("apart")
    for name in ("here", "last"):
        assert not result[name].startswith("apart")


def test_items_run_there_too(apart):
    registry = {"items": lambda: list(range(50)), "there": tasks_on(apart)["there"]}
    result = Flow("flow F:\n    items -> there[*]", registry=registry).run()
    assert len(result["there"]) == 50
    assert all(name.startswith("apart") for name in result["there"])


def test_serial_means_all_tasks(apart):
    registry = tasks_on(apart)
    flow = Flow(TEXT, registry={**registry, "last": registry["here"]})
    assert flow.run(executor="serial")["there"] == thread()


def test_sequential_runs_respect_it(apart):
    registry = tasks_on(apart)
    result = fastflow.run_flow_from_dsl(
        TEXT, registry={**registry, "last": registry["here"]}
    )
    assert result["there"].startswith("apart")


def test_retries_and_limits_hold_there(apart):
    calls = []

    @fastflow.TaskRegistry().task(executor=apart, retries=3, retry_delay=0, timeout=60)
    def flaky():
        calls.append(thread())
        if len(calls) < 3:
            raise OSError("not yet")
        return "at last"

    result = Flow("flow F:\n    flaky", registry={"flaky": flaky}).run()
    assert result["flaky"] == "at last"
    assert result.tasks["flaky"].attempts == 3
    assert all(name.startswith("apart") for name in calls)


def test_flow_functions_respect_it(apart):
    registry = tasks_on(apart)

    @fastflow.flow
    def body():
        return registry["there"](), registry["here"]()

    there, here = body()
    assert there.startswith("apart")
    assert not here.startswith("apart")


def pid(_=None):
    return os.getpid()


def test_a_text_names_it():
    made = []

    def make(_):
        made.append(cf.ProcessPoolExecutor(1))
        return made[0]

    register("one process", make)
    try:
        text = (
            "flow F:\n    task pid:\n        executor: one process\n    pid -> here\n"
        )
        flow = Flow(text, registry={"pid": pid, "here": lambda _: os.getpid()})
        again = Flow(flow.spec.to_dsl(), registry={"pid": pid, "here": pid})
        for each in (flow, again):
            result = each.run()
            assert result["pid"] != os.getpid() == result["here"]
        with pytest.raises(DslError, match="name of an executor"):
            Flow("flow F:\n    task pid:\n        executor: nobody\n", registry={})
    finally:
        from fastflow.pool import named

        del named._makers["one process"]
        for pool in made:
            pool.shutdown()


def test_what_is_none_is_refused():
    for wrong, error in (("nobody", ValueError), (3, TypeError)):
        for check in (check_executor, executor_of):
            with pytest.raises(error, match="executor must be None"):
                check(wrong)
        with pytest.raises(error, match="executor must be None"):
            fastflow.TaskRegistry().task(executor=wrong)(thread)
        with pytest.raises(error, match="executor must be None"):
            fastflow.workflow("w").step("s", thread).run(executor=wrong)
    with pytest.raises(ValueError, match="'serial'"):
        fastflow.TaskRegistry().task(executor="serial")(thread)
    assert executor_of("threads") is fastflow.default_executor()
    assert executor_of("serial") == "serial"
