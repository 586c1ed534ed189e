"""Durable functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from contract.behaviour.machines import (
    BY_REFERENCE,
    COLUMNS,
    EVENTS,
    FALLBACK,
    FULL,
    NESTED,
    RECORDS,
    RETRIES,
    SECONDS,
    TIMEOUT,
    Function,
    Machine,
    Outcome,
    bound,
    handled,
)
from fastflow.durable import (
    Cancelled,
    CompletionConfig,
    DurableRunner,
    MapConfig,
    RetryStrategyConfig,
    StepConfig,
    durable_execution,
)
from fastflow.durable.config import JitterStrategy
from fastflow.durable.exceptions import DurableOperationError
from fastflow.durable.history import operations
from fastflow.testing import DurableFunctionTestRunner

_names = itertools.count()
_stores: list[Callable[[], str]] = []
"""Makes the path of a new file."""


def use_files(make: Callable[[], str]) -> None:
    """Say where journals are to be."""
    _stores[:] = [make]


_TO_THE_END = MapConfig(completion_config=CompletionConfig.all_completed())


def _config(options: dict[str, Any]) -> StepConfig | None:
    given: dict[str, Any] = {}
    if "retries" in options:
        given["retry_strategy"] = RetryStrategyConfig(
            max_attempts=options["retries"] + 1,
            initial_delay=options.get("retry_delay", 0),
            jitter_strategy=JitterStrategy.NONE,
        )
    if "timeout" in options:
        given["timeout"] = options["timeout"]
    return StepConfig(**given) if given else None


class Durable(Machine):
    """What all durable machines have in common: a runner, and its journal."""

    cannot = {
        COLUMNS: "its operations take a function, not items of iterables",
        BY_REFERENCE: "results come back from the journal, as plain data",
    }

    def __init__(self, backend: str, file: bool) -> None:
        super().__init__(backend)
        self.file = file
        self.name = f"{self.family}: {backend}, {'file' if file else 'memory'}"
        self.runner: Any = None
        self.begun: set[str] = set()
        """Names of executions."""

    @contextmanager
    def opened(self) -> Iterator[Machine]:
        store = _stores[0]() if self.file else ":memory:"
        with (
            super().opened(),
            DurableRunner(store, executor=self.executor) as self.runner,
        ):
            yield self

    def unwrapped(self, error: BaseException) -> BaseException:
        cause = error.__cause__
        if isinstance(error, DurableOperationError) and cause is not None:
            return cause
        return error

    def _step(
        self, context: Any, fn: Function, item: Any, options: dict[str, Any]
    ) -> Any:
        """Make a step, and deal with its failure if that is wanted."""
        try:
            return context.step(bound(fn, item), name="call", config=_config(options))
        except DurableOperationError as error:
            if options.get("fallback"):
                return handled(self.unwrapped(error))
            raise

    def _record(self, name: str) -> Any:
        entry = self.runner.journal.find(name)
        found = operations(self.runner.journal, entry)
        return next((each for each in found if each.name == "call"), None)

    def virtual(
        self, fn: Function, item: Any, **options: Any
    ) -> tuple[Any, Any, float]:
        """Return value, recorded attempts and seconds passed on a virtual clock."""

        @durable_execution
        def handler(_event: Any, context: Any) -> Any:
            return self._step(context, fn, item, options)

        with DurableFunctionTestRunner(handler) as runner:
            result = runner.run(None)
            step = result.get_step("call")
            return result.result, step.attempt, step.ended - step.started


class DurableSteps(Durable):
    """An execution with a step for each call, started side by side."""

    family = "durable step, start"

    def _handles(
        self, fn: Function, items: Sequence[Any], options: dict[str, Any]
    ) -> list[Any]:
        @durable_execution
        def handler(number: int, context: Any) -> Any:
            self.begun.add(context.execution_context.durable_execution_arn)
            return self._step(context, fn, items[number], options)

        return [
            self.runner.start(handler, number, execution_name=f"e{next(_names)}")
            for number in range(len(items))
        ]

    def run(self, fn: Function, items: Sequence[Any], **options: Any) -> list[Any]:
        handles = self._handles(fn, items, options)
        return [handle.result(SECONDS) for handle in handles]

    def settle(
        self, fn: Function, items: Sequence[Any], **options: Any
    ) -> list[Outcome]:
        return [self._outcome(each) for each in self._handles(fn, items, options)]

    def _outcome(self, handle: Any) -> Outcome:
        try:
            found = Outcome(handle.result(SECONDS))
        except BaseException as error:
            found = Outcome(error=self.unwrapped(error), raised=error)
        record = self._record(handle.name)
        found.attempts = record and record.attempt
        found.status = handle.status
        return found

    def started(self, fn: Function, items: Sequence[Any]) -> Any:
        """Start calls that `cancelled` can cancel."""
        first = self._handles(fn, items[:1], {})  # else the newest are run first
        first[0].result(SECONDS)
        return first + self._handles(fn, items[1:], {})

    def cancelled(self, handle: Any) -> str:
        """Cancel them; return what is told to whoever waits for results."""
        waiting = [each for each in handle if each.name not in self.begun]
        for each in (*waiting, *handle):  # else they take turns
            each.cancel()
        return str(self._outcome(waiting[-1]).kind)


class DurableMap(Durable):
    """One execution with a branch for each call, and a step in each branch."""

    family = "durable map of steps"
    cannot = {**Durable.cannot, "cancel": "run() blocks: start() is to be cancelled"}
    steps = True

    def _call(
        self, context: Any, fn: Function, item: Any, options: dict[str, Any]
    ) -> Any:
        return self._step(context, fn, item, options)

    def _batch(
        self, fn: Function, items: Sequence[Any], options: dict[str, Any]
    ) -> tuple[list[Outcome], Any]:
        found = [Outcome() for _ in items]
        batches = []

        def branch(context: Any, item: Any, number: int, _: Any) -> Any:
            try:
                return self._call(context, fn, item, options)
            except (Exception, Cancelled) as error:
                found[number].error = self.unwrapped(error)
                found[number].raised = error
                raise

        @durable_execution
        def handler(_event: Any, context: Any) -> None:
            batches.append(context.map(list(items), branch, config=_TO_THE_END))

        self.runner.run(handler, None, execution_name=f"e{next(_names)}")
        for each in batches[-1].all:
            found[each.index].value = each.result
        return found, batches[-1]

    def run(self, fn: Function, items: Sequence[Any], **options: Any) -> list[Any]:
        found, batch = self._batch(fn, items, options)
        batch.throw_if_error()
        return [each.value for each in found]

    def settle(
        self, fn: Function, items: Sequence[Any], **options: Any
    ) -> list[Outcome]:
        try:
            found, batch = self._batch(fn, items, options)
        except BaseException as error:
            return [Outcome(error=self.unwrapped(error), raised=error) for _ in items]
        for each in batch.all:
            found[each.index].status = each.status.value
        return found


class DurableBranch(DurableMap):
    """One execution with a branch for each call, without steps."""

    family = "durable branch"
    cannot = {
        **DurableMap.cannot,
        RETRIES: "branches have no policy of their own: steps do",
        TIMEOUT: "its limit is that of all branches together",
        FALLBACK: "branches have no policy of their own: steps do",
        RECORDS: "branches have no attempts",
        "clock": "branches have no delays of their own: steps do",
    }

    def _call(
        self, context: Any, fn: Function, item: Any, options: dict[str, Any]
    ) -> Any:
        return bound(fn, item)()


DurableMap.cannot[RECORDS] = "see durable step; here the batch's records are looked at"

DURABLE = [
    *(DurableSteps(backend, file)
      for backend in ("own", "threads") for file in (False, True)),
    *(kind("own", file)
      for kind in (DurableMap, DurableBranch) for file in (False, True)),
    DurableMap("threads", False),
    DurableSteps("processes", False), DurableSteps("cluster", False),
]  # fmt: skip
for _machine in DURABLE:
    if _machine.by_value:
        _machine.refused = "a durable runner takes executors of threads only"
    if _machine.backend == "threads":
        _machine.cannot[NESTED] = FULL
    _machine.cannot[EVENTS] = "told to subscribers of the runner: test_durable_events"
