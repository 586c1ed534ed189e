"""Log lines of durable functions: each once, and with its ids."""

from __future__ import annotations

import asyncio
import logging

import pytest

from fastflow.base.timers import VirtualClock
from fastflow.durable import (
    ChildConfig,
    DurableLogFilter,
    DurableRunner,
    RetryStrategyConfig,
    StepConfig,
    WaitForConditionConfig,
    WaitForConditionDecision,
    durable_execution,
)
from fastflow.journal.memory import MemoryJournal
from fastflow.testing import DurableFunctionTestRunner, SimulatedCrash
from support import LIMIT

KEYS = ("executionArn", "operationId", "operationName", "parentId", "attempt")


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]


async def later(step):
    await asyncio.sleep(0)
    return 1


def flaky(step):
    if step.attempt < 3:
        raise ConnectionError("not yet")
    return step.attempt


POLL = WaitForConditionConfig(
    lambda state, _: (
        WaitForConditionDecision.stop_polling()
        if state >= 2
        else WaitForConditionDecision.continue_waiting(60)
    ),
    0,
)


def everything(context, number):
    """Log a line before and after each kind of operation; return their numbers."""
    log = []

    def note(text):
        log.append(text)
        context.logger.info("%d %s", number, text)

    virtual = ChildConfig(is_virtual=True)
    operations = {
        "step": lambda: context.step(lambda _: 1),
        "async step": lambda: context.step(later),
        "step with limit": lambda: context.step(
            lambda _: 1, config=StepConfig(timeout=60)
        ),
        "retries": lambda: context.step(
            flaky, config=StepConfig(RetryStrategyConfig(initial_delay=60))
        ),
        "wait": lambda: context.wait(60),
        "condition": lambda: context.wait_for_condition(lambda s, _: s + 1, POLL),
        "child": lambda: context.run_in_child_context(lambda c: c.wait(60)),
        "virtual child": lambda: context.run_in_child_context(
            lambda c: c.step(later), config=virtual
        ),
        "virtual grandchild": lambda: context.run_in_child_context(
            lambda c: c.run_in_child_context(lambda d: d.wait(5), config=virtual),
            config=virtual,
        ),
        "batch": lambda: context.parallel([lambda c: c.wait(60)] * 2),
        "race": lambda: context.race([lambda c: c.wait(60)] * 2),
    }
    for name, operate in operations.items():
        note(f"before {name}")
        operate()
    note("at the end")
    return log


LINES = 12


class TestOnce:
    def test_in_branches_that_run_again_and_again(self, lines):
        @durable_execution(name="logs.logs")
        def handler(event, context):
            def branch(number):
                return lambda c: everything(c, number)

            return context.parallel([branch(n) for n in range(3)]).get_results()

        runner = DurableFunctionTestRunner(handler)
        logs = runner.run(timeout=LIMIT).result
        runner.close()
        assert [len(log) for log in logs] == [LINES] * 3
        wanted = [f"{number} {text}" for number in range(3) for text in logs[0]]
        assert sorted(lines()) == sorted(wanted)

    def test_in_a_handler_in_the_background(self, lines):
        @durable_execution(name="logs.logs_behind")
        def handler(event, context):
            return everything(context, 0)

        with DurableRunner(":memory:", _clock=VirtualClock()) as runner:
            log = runner.start(handler).result(LIMIT)
        assert lines() == [f"0 {text}" for text in log]

    @pytest.mark.parametrize("number", range(1, 9))
    def test_after_a_crash(self, lines, number):
        # What is logged just before a record that is not written is logged again.
        @durable_execution(name="logs.logs_crash")
        def handler(event, context):
            for n in range(1, 9):
                context.logger.info("line %d", n)
                context.step(lambda _: None, name=f"step {n}")
            context.logger.info("line 9")

        runner = DurableFunctionTestRunner(handler)
        runner.crash_at(f"step {number}", "after_commit")
        with pytest.raises(SimulatedCrash):
            runner.run(timeout=LIMIT)
        runner.run(timeout=LIMIT)
        runner.close()
        assert lines() == [f"line {n}" for n in range(1, 10)]

    def test_finally_is_for_the_real_end(self, lines):
        @durable_execution(name="logs.logs_finally")
        def handler(event, context):
            def branch(c):
                try:
                    c.wait(60)
                    c.wait(60)
                finally:
                    c.logger.info("left")

            context.parallel([branch])

        runner = DurableFunctionTestRunner(handler)
        runner.run(timeout=LIMIT)
        runner.close()
        assert lines() == ["left"]


class TestIds:
    def test_of_contexts_and_steps(self, caplog):
        caplog.set_level(logging.INFO)
        found = {}

        @durable_execution(name="logs.logs_ids")
        def handler(event, context):
            context.logger.info("root", extra={"mine": 1})

            def group(child):
                child.logger.info("child")

                def work(step):
                    step.logger.info("step")
                    return flaky(step)

                retry = StepConfig(RetryStrategyConfig(initial_delay=60))
                return child.step(work, name="work", config=retry)

            context.run_in_child_context(group, name="group")

        runner = DurableFunctionTestRunner(handler)
        result = runner.run(timeout=LIMIT, execution_name="order-42")
        for record in caplog.records:
            if record.levelno == logging.INFO:
                ids = tuple(getattr(record, key) for key in KEYS)
                found.setdefault(record.getMessage(), []).append(ids)
        group = result.get_context("group").operation_id
        work = result.get_step("work").operation_id
        runner.close()
        assert found == {
            "root": [("order-42", None, None, None, None)],
            "child": [("order-42", None, None, group, None)],
            "step": [("order-42", work, "work", group, n) for n in (1, 2, 3)],
        }
        assert next(r.mine for r in caplog.records if r.getMessage() == "root") == 1

    @pytest.mark.parametrize("kind", ["plain", "limited", "async", "condition"])
    def test_of_ordinary_records_of_steps(self, kind):
        records = []

        class Keep(logging.Handler):
            def emit(self, record):
                records.append(record)

        other = logging.getLogger("tests.some.library")
        other.setLevel(logging.INFO)
        keep = Keep()
        keep.addFilter(DurableLogFilter())

        def work(*args):
            other.info("working")
            return 5

        async def work_later(step):
            await asyncio.sleep(0)
            other.info("working")

        @durable_execution(name="logs.logs_filter")
        def handler(event, context):
            other.info("outside")
            if kind == "condition":
                context.wait_for_condition(work, POLL, name="work")
            elif kind == "async":
                context.step(work_later, name="work")
            else:
                limit = StepConfig(timeout=60 if kind == "limited" else None)
                context.step(work, name="work", config=limit)

        other.addHandler(keep)
        try:
            runner = DurableFunctionTestRunner(handler, store=MemoryJournal())
            result = runner.run(timeout=LIMIT, execution_name="order-42")
            runner.close()
        finally:
            other.removeHandler(keep)
        work_id = result.get_step("work").operation_id
        found = [tuple(getattr(r, key) for key in KEYS) for r in records]
        assert found == [(None,) * 5, ("order-42", work_id, "work", None, 1)]

    def test_what_is_there_already_stays(self):
        record = logging.makeLogRecord({"attempt": "mine"})
        assert DurableLogFilter().filter(record)
        assert record.attempt == "mine"
        assert record.executionArn is None
        formatter = logging.Formatter("%(executionArn)s %(parentId)s")
        assert formatter.format(record) == "None None"
