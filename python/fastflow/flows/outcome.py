"""What a run ends with: a result, or an error that has it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastflow.engines.base import Run
from fastflow.errors import ParameterError, TaskError, TaskTimeout, group_of
from fastflow.errors import task_error as failed
from fastflow.run.results import FlowResult
from fastflow.run.status import Status

__all__ = ["error_of", "result_of", "task_error", "timeout_of"]


def result_of(run: Run, started: float, *, failed: bool = False) -> FlowResult:
    """Return the result of a run that has ended; `failed` if it was broken off."""
    run.skip_the_rest()
    failed = failed or bool(run.track.errors) or run.timed_out
    result = FlowResult(
        run.plan.name,
        run.plan.index,
        run.track,
        Status.FAILED if failed else Status.COMPLETED,
        started,
        time.perf_counter() - run.track.origin,
        run.plan.shape,
    )
    # In the order in which they happened.
    numbers = sorted(run.track.errors, key=run.track.ends.__getitem__)
    result.errors = tuple(
        error for number in numbers for error in _errors_of(run, number, result)
    )
    return result


def _errors_of(run: Run, number: int, result: FlowResult) -> list[TaskError]:
    name, errors = run.plan.names[number], run.track.errors[number]
    items = run.track.failed_items.get(number)
    if items is None:
        return [task_error(name, error, result) for error in errors]
    return [
        task_error(name, error, result, item)
        for item, error in zip(items, errors, strict=True)
    ]


def task_error(
    name: str, error: BaseException, result: object, item: int | None = None
) -> TaskError:
    """Return the error that says which task has failed, and for which item."""
    if isinstance(error, ParameterError):
        error.task, error.result, error.item = name, result, item
        error.args = (error.args[0], name, result)
        return error
    which = "" if item is None else f" for item {item}"
    wrapped = failed(f"task {name!r}", error, name, result, which)
    wrapped.item = item
    return wrapped


def error_of(
    flow: str, errors: Sequence[TaskError], result: FlowResult | None
) -> TaskError:
    """Return what is raised for the failures of a run: one, or a group."""
    first = errors[0]
    tasks = {error.task for error in errors}
    items = sum(error.item is not None for error in errors)
    what = f"{len(tasks)} tasks"
    if len(tasks) == 1:
        what = f"{items} items of task {first.task!r}"
    elif items:
        what += f" ({items} items)"
    return group_of(f"{what} of flow {flow!r}", errors, result)


def timeout_of(flow: str, seconds: float, result: FlowResult) -> TaskTimeout:
    """Return what is raised when the time of a run is over."""
    open_ = [error.task for error in result.errors][:10]
    running = f"; these ran: {', '.join(open_)}" if open_ else ""
    return TaskTimeout(
        f"flow {flow!r} did not finish within {seconds:g} s{running}", result
    )
