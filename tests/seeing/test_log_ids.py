"""Whose log records are whose: those of users' functions, and those of fastflow."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import importlib
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import fastflow
from fastflow.base import log_ids
from fastflow.base.log_ids import NAMES
from fastflow.durable import (
    DurableRunner,
    RetryPresets,
    StepConfig,
    durable_execution,
)
from support import becomes_true

LOGGER = logging.getLogger("tests.log_ids")
FLOW = """flow Ids:
    part1 -> flaky
    part2 -> flaky
    flaky -> each[*]
    part1 -> waits
    part2 -> limited
"""


class Kept(logging.Handler):
    """Keeps the records that it is given, as the filter has left them."""

    def __init__(self):
        super().__init__()
        self.records = []
        self.addFilter(fastflow.LogFilter())

    def emit(self, record):
        self.records.append(record)

    @property
    def ids(self):
        """(message, task, attempt) of the records, sorted."""
        return sorted(
            (r.getMessage(), r.fastflow_task, r.fastflow_attempt) for r in self.records
        )

    @property
    def runs(self):
        return {r.fastflow_run for r in self.records}


@pytest.fixture
def kept():
    handler = Kept()
    for name in ("tests.log_ids", "fastflow"):
        logging.getLogger(name).addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    yield handler
    for name in ("tests.log_ids", "fastflow"):
        logging.getLogger(name).removeHandler(handler)


def task(*args, **options):
    """``fastflow.task``, in a registry of its own."""
    return fastflow.TaskRegistry().task(*args, **options)


def note(message):
    LOGGER.warning(message)
    return message


@pytest.fixture
def tasks():
    failures = []

    @task(retries=1, retry_delay=0)
    def flaky(part1, part2):
        note("flaky")
        if not failures:
            failures.append(1)
            raise OSError("not yet")
        return ["x", "y"]

    @task
    async def waits(part1):
        await asyncio.sleep(0)
        note("waits")

    @task(timeout=60)
    def limited(part2):
        note("limited")

    parts = {f"part{n}": lambda n=n: note(f"part{n}") for n in (1, 2)}
    return {
        "flaky": flaky, "waits": waits, "limited": limited, "each": note, **parts,
    }  # fmt: skip


@pytest.mark.parametrize("place", ["native", "serial", "one", "stdlib"])
def test_tasks_of_a_flow(kept, tasks, place):
    flow = fastflow.Flow(FLOW, registry=tasks)
    with cf.ThreadPoolExecutor(2) as pool:
        executor = {"serial": "serial", "stdlib": pool}.get(place)
        flow.run(executor=executor, max_workers=1 if place == "one" else None)
    assert kept.ids == [
        ("flaky", "flaky", 1),
        ("flaky", "flaky", 2),
        ("limited", "limited", 1),
        ("part1", "part1", 1),
        ("part2", "part2", 1),
        ("waits", "waits", 1),
        ("x", "each", 1),
        ("y", "each", 1),
    ]
    (run,) = kept.runs
    assert run.startswith("Ids-")


@pytest.mark.parametrize("kind", ["plain", "retries", "async"])
@pytest.mark.parametrize("executor", [None, "serial"])
def test_items_of_a_stage(kept, executor, kind):
    async def waits(item):
        await asyncio.sleep(0)
        note(item)

    each = {
        "plain": note,
        "retries": task(retries=2)(lambda item: note(item)),
        "async": task(waits),
    }[kind]
    items = [f"item {n}" for n in range(5)]
    text = "flow Items:\n    make -> each[*]"
    flow = fastflow.Flow(text, registry={"make": lambda: items, "each": each})
    flow.run(executor=executor)
    assert kept.ids == [(item, "each", 1) for item in items]
    assert len(kept.runs) == 1


def test_two_runs_have_two_ids(kept):
    flow = fastflow.Flow("flow F:\n    one", registry={"one": lambda: note("one")})
    flow.run()
    flow.run()
    assert len(kept.runs) == 2


@pytest.mark.parametrize("executor", [None, "serial"])
def test_calls_of_a_flow_function(kept, executor):
    @task
    def twice(n):
        note(f"{n}")
        return 2 * n

    @task
    async def waits(n):
        await asyncio.sleep(0)
        note("waits")

    @fastflow.flow
    def both():
        note("body")
        return [twice(twice(1)), waits(3)]

    both.with_options(executor=executor)()
    assert kept.ids == [
        ("1", "twice", 1),
        ("2", "twice#2", 1),
        ("body", None, None),
        ("waits", "waits", 1),
    ]
    assert len(kept.runs) == 1


def test_a_flow_inside_of_a_task_has_its_own(kept):
    inner = fastflow.Flow("flow Inner:\n    low", registry={"low": lambda: note("low")})

    def high():
        note("before")
        inner.run(executor="serial")
        note("after")

    fastflow.Flow("flow Outer:\n    high", registry={"high": high}).run()
    found = {r.getMessage(): r for r in kept.records}
    assert found["before"].fastflow_run == found["after"].fastflow_run
    assert found["before"].fastflow_run.startswith("Outer-")
    assert found["low"].fastflow_run.startswith("Inner-")
    assert [task for _, task, _ in kept.ids] == ["high", "high", "low"]


def test_steps_of_a_workflow(kept):
    failures = []

    def plain(ctx):
        note("plain")

    async def waits(ctx):
        await asyncio.sleep(0)
        note("waits")

    def flaky(ctx):
        note("flaky")
        if not failures:
            failures.append(1)
            raise OSError("not yet")

    wf = (
        fastflow.workflow("W", on_success=lambda ctx: note("hook"))
        .step("a", plain)
        .step("b", waits)
        .step("c", flaky, retries=1, retry_delay=0)
        .for_each("d", ["i"], lambda ctx, item: note(item))
        .parallel([plain, waits], "e")
        .action("f", plain)
        .log("said")
    )
    result = wf.run()
    wf.close()
    text = f"run {result.id}: said"
    assert kept.ids == sorted(
        [
            ("plain", "a", 1), ("waits", "b", 1), ("flaky", "c", 1), ("flaky", "c", 2),
            ("i", "d", 1), ("plain", "e", 1), ("waits", "e", 1), ("plain", "f", 1),
            ("hook", None, None),
        ]
    )  # fmt: skip
    assert text not in [r.getMessage() for r in kept.records]  # INFO: not asked for
    assert kept.runs == {result.id}


def test_what_fastflow_writes_has_its_ids(kept, tmp_path):
    fastflow.workflow("W").log("said", level="warning").run()
    (said,) = kept.records
    assert said.fastflow_run == said.run
    kept.records.clear()

    wf = fastflow.workflow("W").action("background", lambda ctx: 1 / 0)
    run = wf.start()
    run.result()
    wf.close()
    assert becomes_true(lambda: kept.records)
    (failed,) = kept.records
    assert (failed.fastflow_run, failed.fastflow_task) == (run.id, "background")
    kept.records.clear()

    flow = fastflow.Flow("flow F:\n    one", registry={"one": lambda: note("one")})
    history = tmp_path / "history"

    def breaks():
        history.rmdir()
        history.write_text("in the way")
        note("one")

    flow = fastflow.Flow("flow F:\n    one", registry={"one": breaks})
    flow.run(history=history)
    one, written = kept.records
    assert written.name == "fastflow"
    assert written.fastflow_run == one.fastflow_run


def test_a_subscriber_that_raises_is_logged_with_ids(kept):
    class Broken:
        def job_started(self, key, attempt, time):
            raise ArithmeticError

    from fastflow.run.events import LISTENING, Events

    flow = fastflow.Flow("flow F:\n    one", registry={"one": lambda: note("one")})
    token = LISTENING.set(Events.of([Broken()]))
    try:
        flow.run()
    finally:
        LISTENING.reset(token)
    by_us = [r for r in kept.records if r.name == "fastflow"]
    assert [(r.fastflow_run, r.fastflow_task) for r in by_us] == [
        (next(iter(kept.runs)), "one")
    ]


async def _later(step):
    await asyncio.sleep(0)
    note("later")


def test_durable_functions(kept):
    def flaky(step):
        note("flaky")
        if step.attempt == 1:
            raise OSError("not yet")

    def own(step):
        step.logger.warning("own")

    @durable_execution(name="tests.log_ids")
    def program(_, context):
        note("handler")
        context.step(flaky, "a", StepConfig(RetryPresets.fixed("1ms")))
        context.step(_later, "b")
        context.step(lambda _: note("limited"), "c", StepConfig(timeout=60))
        context.step(own, "d")
        context.map([1], lambda c, n, i, _: c.step(lambda _: note("branch"), "e"))

    with DurableRunner(":memory:") as runner:
        runner.run(program, None, "order")
    assert kept.runs == {"order"}
    assert kept.ids == [
        ("branch", "e", 1),
        ("flaky", "a", 1),
        ("flaky", "a", 2),
        ("handler", None, None),
        ("later", "b", 1),
        ("limited", "c", 1),
        ("own", "d", 1),
    ]


def test_outside_of_runs_there_are_none(kept):
    note("alone")
    fastflow.map(note, ["a"])
    with fastflow.Executor(1) as executor:
        executor.submit(note, "b").result()
    thread = threading.Thread(target=note, args=("c",))
    thread.start()
    thread.join()
    assert [(task, attempt) for _, task, attempt in kept.ids] == [(None, None)] * 4
    assert kept.runs == {None}


def test_ids_that_a_record_has_are_kept(kept):
    def tells():
        LOGGER.warning("told", extra=log_ids.extra("mine", "my task"))

    fastflow.Flow("flow F:\n    one", registry={"one": tells}).run()
    assert kept.ids == [("told", "my task", None)]
    assert kept.runs == {"mine"}


SCRIPT = """
import logging, sys
import fastflow

def work(n):
    logging.getLogger("there").warning("work %d", n)
    return n

@fastflow.task(timeout=60)
def late(n):
    logging.getLogger("there").warning("late")

def step(ctx):
    logging.getLogger("there").warning("step")

if __name__ == "__main__":
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(fastflow.LogFilter())
    handler.setFormatter(logging.Formatter(
        "%(message)s|%(fastflow_run).2s|%(fastflow_task)s|%(fastflow_attempt)s"))
    logging.getLogger().addHandler(handler)
    flow = fastflow.Flow("flow F:\\n    one -> work[*]\\n    one -> late",
                         registry={"one": lambda: [1, 2, 3], "work": work,
                                   "late": late})
    with fastflow.ProcessExecutor(1) as executor:
        executor.submit(work, 0).result()
        flow.run(executor=executor)
        fastflow.workflow("W").parallel([step], "p").run(executor=executor)
"""


def test_records_of_other_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == [
        "late|F-|late|1",
        "step|W-|p|1",
        "work 0|No|None|None",
        "work 1|F-|work|1",
        "work 2|F-|work|1",
        "work 3|F-|work|1",
    ]


def test_loggers_are_left_alone():
    code = (
        "import logging\n"
        "factory, root = logging.getLogRecordFactory(), logging.getLogger()\n"
        "import fastflow, fastflow.durable\n"
        "fastflow.map(abs, [1]); fastflow.LogFilter\n"
        "assert logging.getLogRecordFactory() is factory\n"
        "assert root.handlers == root.filters == [] and root.level == logging.WARNING\n"
        "ours = logging.getLogger('fastflow')\n"
        "assert [type(h) for h in ours.handlers] == [logging.NullHandler]\n"
        "assert ours.propagate and ours.level == logging.NOTSET\n"
        "logging.getLogger('fastflow.durable').error('not to be seen')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def codes_of(code):
    yield code
    for constant in code.co_consts:
        if hasattr(constant, "co_consts"):
            yield from codes_of(constant)


@pytest.mark.parametrize("name", log_ids._FRAMES)
def test_the_functions_that_are_looked_for_exist(name):
    module = importlib.import_module(log_ids._FRAMES[name][0])
    source = compile(Path(module.__file__).read_text("utf-8"), module.__file__, "exec")
    assert name in {code.co_qualname for code in codes_of(source)}


def test_names_of_attributes_have_one_owner():
    assert NAMES == ("fastflow_run", "fastflow_task", "fastflow_attempt")
