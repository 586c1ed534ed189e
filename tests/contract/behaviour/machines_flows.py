"""Flows of a text, and flow functions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import fastflow
from contract.behaviour import calls
from contract.behaviour.machines import (
    CANCEL,
    CLOCK,
    COLUMNS,
    FULL,
    NESTED,
    RECORDS,
    STATUS,
    Function,
    Machine,
    Outcome,
    behind,
    bound,
    handled,
)
from fastflow import Flow, TaskRegistry

ALL = ("serial", "own", "threads", "processes", "cluster")
_CLOCK = "a flow has no clock of its own: its waits are real"
_HANDLE = "a run blocks: there is nothing to cancel it by"
_COLUMNS = "its tasks take results of others, not items of iterables"


def recover(error: BaseException, _inputs: Any) -> str:
    """Be a fallback."""
    return handled(error)


def _block(name: str, options: dict[str, Any]) -> str:
    """Write the options of a task down."""
    lines = [f"    task {name}:\n"]
    if "retries" in options:
        lines.append(f"        retries: {options['retries']}\n")
        lines.append("        retry_delay: 0\n")
    if "timeout" in options:
        lines.append(f"        timeout: {options['timeout']}\n")
    if options.get("fallback"):
        lines.append("        fallback: contract.behaviour.machines_flows:recover\n")
    return "".join(lines)


class FlowTasks(Machine):
    """A text with a task for each call."""

    family = "flow tasks"
    cannot = {CLOCK: _CLOCK, CANCEL: _HANDLE, COLUMNS: _COLUMNS}
    limit: float | None = None
    """Of the whole run: has the run watched, by another engine."""

    def _flow(
        self, fn: Function, items: Sequence[Any], options: dict[str, Any]
    ) -> Flow:
        if fn is calls.retried_task:
            return Flow("flow F:\n    task t0:\n", registry={"t0": fn})
        text = "".join(_block(f"t{number}", options) for number in range(len(items)))
        registry = {f"t{number}": bound(fn, item) for number, item in enumerate(items)}
        return Flow(
            f"flow F:\n{text}",
            registry=registry,
            allow_import=["contract.behaviour.machines_flows"],
        )

    def run(self, fn: Function, items: Sequence[Any], **options: Any) -> list[Any]:
        done = self._flow(fn, items, options).run(
            items[0] if items else None, executor=self.executor, timeout=self.limit
        )
        return [done[f"t{number}"] for number in range(len(items))]

    def settle(
        self, fn: Function, items: Sequence[Any], **options: Any
    ) -> list[Outcome]:
        flow = self._flow(fn, items, options)
        raised: BaseException | None = None
        try:
            done = flow.run(
                items[0],
                executor=self.executor,
                timeout=self.limit,
                on_error="continue",
            )
        except fastflow.TaskError as error:
            raised, done = error, error.result
        except BaseException as error:
            return [Outcome(error=error, raised=error) for _ in items]
        return [_of_record(done, f"t{number}", raised) for number in range(len(items))]

    def unwrapped(self, error: BaseException) -> BaseException:
        return behind(error)


def _of_record(done: Any, name: str, raised: BaseException | None) -> Outcome:
    record = done.tasks[name]
    error = record.error
    return Outcome(
        done.get(name),
        error,
        None if error is None else raised,
        record.attempts,
        record.status,
    )


class WatchedFlow(FlowTasks):
    """Tasks that the native engine could run, but the run has a limit."""

    family = "flow tasks, watched"
    limit = 60.0


def _pairs(input_data: Any) -> Any:
    return input_data


def _call(pair: Any) -> Any:
    return pair[0](pair[1])


async def _call_async(pair: Any) -> Any:
    return await pair[0](pair[1])


class FlowItems(FlowTasks):
    """A text with a task that runs once per item."""

    family = "flow items"

    def _flow(
        self, fn: Function, items: Sequence[Any], options: dict[str, Any]
    ) -> Flow:
        call = _call_async if fn is calls.awaited else _call
        if fn is calls.retried_task:
            call = fn
        return Flow(
            f"flow F:\n{_block('work', options)}    pairs -> work[*]",
            registry={"pairs": _pairs, "work": call},
            allow_import=["contract.behaviour.machines_flows"],
        )

    def _given(self, fn: Function, items: Sequence[Any]) -> list[Any]:
        return [item if fn is calls.retried_task else (fn, item) for item in items]

    def run(self, fn: Function, items: Sequence[Any], **options: Any) -> list[Any]:
        flow = self._flow(fn, items, options)
        given = self._given(fn, items)
        return list(flow.run(given, executor=self.executor)["work"])

    def settle(
        self, fn: Function, items: Sequence[Any], **options: Any
    ) -> list[Outcome]:
        flow = self._flow(fn, items, options)
        given = self._given(fn, items)
        raised: BaseException | None = None
        try:
            done = flow.run(given, executor=self.executor, on_error="continue")
        except fastflow.TaskError as error:
            raised, done = error, error.result
        except BaseException as error:
            return [Outcome(error=error, raised=error) for _ in items]
        record = done.tasks["work"]
        found = [Outcome(attempts=record.attempts, status=record.status) for _ in items]
        values = record.partial
        if "work" in done:
            values = dict(enumerate(done["work"]))
        for number, value in values.items():
            found[number].value = value
        for error in done.errors:
            for number in range(len(items)) if error.item is None else [error.item]:
                found[number].error = error.__cause__
                found[number].raised = raised
        return found


def _variants() -> dict[Any, Any]:
    """Return a decorated function for each set of options that rows use.

    Other processes find them by name, so all are made when this is imported.
    """
    made = {}
    choices = itertools.product(
        (False, True), (None, 1, 2), (None, "100ms", "150ms", "1m"), (False, True)
    )
    for number, (is_async, retries, timeout, fallback) in enumerate(choices):
        options: dict[str, Any] = {"timeout": timeout}
        if retries is not None:
            options |= {"retries": retries, "retry_delay": 0}
        if fallback:
            options["fallback"] = recover
        task = _variant(f"variant_{number}", is_async, options)
        globals()[f"variant_{number}"] = task
        made[is_async, retries, timeout, fallback] = task
    return made


def _variant(name: str, is_async: bool, options: dict[str, Any]) -> Any:
    if is_async:

        async def call(pair: Any) -> Any:
            return await pair[0](pair[1])
    else:

        def call(pair: Any) -> Any:  # type: ignore[misc]
            return pair[0](pair[1])

    call.__name__ = call.__qualname__ = name
    return TaskRegistry().task(**options)(call)


VARIANTS = _variants()


class FlowFunction(Machine):
    """``@flow``."""

    family = "@flow"
    cannot = {
        CLOCK: _CLOCK,
        CANCEL: _HANDLE,
        COLUMNS: _COLUMNS,
        RECORDS: "a call returns the bare value; records only come with an error",
        STATUS: "a call returns the bare value; records only come with an error",
    }

    def _task(self, fn: Function, options: dict[str, Any]) -> Any:
        return VARIANTS[
            fn is calls.awaited,
            options.get("retries"),
            options.get("timeout"),
            bool(options.get("fallback")),
        ]

    def run(self, fn: Function, items: Sequence[Any], **options: Any) -> list[Any]:
        task = self._task(fn, options)

        @fastflow.flow
        def flow() -> list[Any]:
            return [task((fn, item)) for item in items]

        return flow.with_options(executor=self.executor)()

    def settle(
        self, fn: Function, items: Sequence[Any], **options: Any
    ) -> list[Outcome]:
        task = self._task(fn, options)
        found: list[Outcome] = []

        def look(handle: Any) -> Outcome:
            try:
                return Outcome(handle.result())
            except Exception as error:
                return Outcome(error=behind(error), raised=error)

        @fastflow.flow
        def flow() -> None:
            handles = [task((fn, item)) for item in items]
            found.extend(look(handle) for handle in handles)

        try:
            flow.with_options(executor=self.executor)()
        except BaseException as error:
            return [Outcome(error=error, raised=error) for _ in items]
        return found

    def unwrapped(self, error: BaseException) -> BaseException:
        return behind(error)


FLOWS = [
    *(FlowTasks(backend) for backend in ALL),
    WatchedFlow("serial"),
    WatchedFlow("own"),
    *(FlowItems(backend) for backend in ALL),
    *(FlowFunction(backend) for backend in ALL),
]
for _machine in FLOWS:
    if _machine.backend == "threads":
        _machine.cannot[NESTED] = FULL
