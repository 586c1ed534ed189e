"""The workflow builder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastflow
from contract.behaviour import calls
from contract.behaviour.machines import (
    CANCEL,
    CLOCK,
    COLUMNS,
    FALLBACK,
    FULL,
    IN_ORDER,
    NESTED,
    RECORDS,
    RETRIES,
    SECONDS,
    STATUS,
    TIMEOUT,
    Bound,
    Function,
    Machine,
    Outcome,
    behind,
    bound,
    handled,
    side_by_side,
)

ALL = ("own", "threads", "processes", "cluster")


class Steps(Machine):
    """A run with one step for each call; runs are side by side."""

    cannot = {COLUMNS: "its functions take ctx, not items of iterables"}

    def _workflow(
        self, fn: Function, item: Any, options: dict[str, Any]
    ) -> fastflow.Workflow:
        given = {key: value for key, value in options.items() if key != "fallback"}
        if self.by_value:
            given.setdefault("timeout", "1m")  # else it is called in this process
        if "retries" in given:
            given.setdefault("retry_delay", 0)
            given.setdefault("jitter", 0)
        call = bound(fn, item)
        if self.by_value and fn is calls.retried_task:
            call = Bound(fn, item)  # one that other processes find
        workflow = fastflow.workflow("w").step("call", call, **given)
        if options.get("fallback"):
            workflow.on_error(lambda ctx: handled(ctx.error))
        return workflow

    def results(self, workflows: list[fastflow.Workflow]) -> list[Any]:
        """Return a result or an exception for each."""
        raise NotImplementedError

    def run(self, fn: Function, items: Sequence[Any], **options: Any) -> list[Any]:
        found = self.results([self._workflow(fn, item, options) for item in items])
        for result in found:
            if isinstance(result, BaseException):
                raise result
        return [result.last for result in found]

    def settle(
        self, fn: Function, items: Sequence[Any], **options: Any
    ) -> list[Outcome]:
        found = self.results([self._workflow(fn, item, options) for item in items])
        return [self._outcome(result) for result in found]

    def _outcome(self, result: Any) -> Outcome:
        if not isinstance(result, BaseException):
            record = result.steps["call"]
            return Outcome(result.last, attempts=record.attempts, status=record.status)
        done = getattr(result, "result", None)
        record = None if done is None else done.steps["call"]
        return Outcome(
            error=behind(result),
            raised=result,
            attempts=record and record.attempts,
            status=record and record.status,
        )

    def unwrapped(self, error: BaseException) -> BaseException:
        return behind(error)

    def virtual(
        self, fn: Function, item: Any, **options: Any
    ) -> tuple[Any, Any, float]:
        """Return value, recorded attempts and seconds passed on a virtual clock."""
        result = self._workflow(fn, item, options).test().run()
        return result.last, result.steps["call"].attempts, result.duration


class RunSteps(Steps):
    """``run()``."""

    family = "builder step, run"
    cannot = {
        **Steps.cannot,
        CANCEL: "run() blocks: start() is to be cancelled",
        IN_ORDER: "runs are begun by threads of the test, in any order",
    }

    def results(self, workflows: list[fastflow.Workflow]) -> list[Any]:
        def run(number: int) -> Any:
            try:
                return workflows[number].run(executor=self.executor)
            except BaseException as error:
                return error

        return side_by_side(len(workflows), run)


class StartSteps(Steps):
    """``start()``."""

    family = "builder step, start"
    cannot = {**Steps.cannot, IN_ORDER: "runs begin in any order"}

    def results(self, workflows: list[fastflow.Workflow]) -> list[Any]:
        runs = [workflow.start(executor=self.executor) for workflow in workflows]
        return [_result(run) for run in runs]

    def started(self, fn: Function, items: Sequence[Any]) -> Any:
        """Start calls that `cancelled` can cancel."""
        runs = [
            self._workflow(fn, item, {}).start(executor=self.executor) for item in items
        ]
        runs[0].result(SECONDS)
        return runs

    def cancelled(self, handle: Any) -> str:
        """Cancel them; return what is told to whoever waits for results."""
        for run in reversed(handle):  # those that wait first, else they take turns
            run.cancel()
        return str(self._outcome(_result(handle[-1])).kind)


def _result(run: Any) -> Any:
    try:
        return run.result(SECONDS)
    except BaseException as error:
        return error


def _each(_ctx: Any, pair: Any) -> Any:
    return pair[0](pair[1])


async def _each_async(_ctx: Any, pair: Any) -> Any:
    return await pair[0](pair[1])


class ForEach(Machine):
    """``for_each()``."""

    family = "builder for_each"
    cannot = {
        COLUMNS: "its functions take ctx, not items of iterables",
        CANCEL: "run() blocks: start() is to be cancelled",
        RETRIES: "items have no policy of their own: build= a step",
        TIMEOUT: "its limit is that of all items together",
        FALLBACK: "items have no policy of their own: build= a step",
        RECORDS: "the record is that of the step, not of its items",
        STATUS: "the record is that of the step, not of its items",
    }

    def _workflow(
        self, fn: Function, items: Sequence[Any], on_error: str
    ) -> fastflow.Workflow:
        each = _each_async if fn is calls.awaited else _each
        pairs = [(fn, item) for item in items]
        return fastflow.workflow("w").for_each("each", pairs, each, on_error=on_error)

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        workflow = self._workflow(fn, items, "fail_fast")
        return list(workflow.run(executor=self.executor).last)

    def settle(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Outcome]:
        workflow = self._workflow(fn, items, "settle")
        try:
            done = workflow.run(executor=self.executor)
        except BaseException as error:
            return [Outcome(error=behind(error), raised=error) for _ in items]
        return [
            Outcome(error=value, raised=value)
            if isinstance(value, BaseException)
            else Outcome(value, status=done.steps["each"].status)
            for value in done.last
        ]

    def one(self, fn: Function, item: Any, **options: Any) -> Outcome:
        """Return what became of the only call: settled, nothing would be raised."""
        return self.settled_by_run(fn, item, **options)

    def unwrapped(self, error: BaseException) -> BaseException:
        return behind(error)

    def virtual(self, fn: Function, item: Any, **_: Any) -> tuple[Any, Any, float]:
        """Return value, recorded attempts and seconds passed on a virtual clock."""
        result = self._workflow(fn, [item], "fail_fast").test().run()
        return result.last[0], None, result.duration


BUILDER = [kind(backend) for kind in (RunSteps, StartSteps, ForEach) for backend in ALL]
for _machine in BUILDER:
    if _machine.backend != "own":
        # wf.test() takes no executor.
        _machine.cannot[CLOCK] = "a test run has threads of its own, no executor"
    if _machine.backend == "threads" and not isinstance(_machine, RunSteps):
        _machine.cannot[NESTED] = FULL
