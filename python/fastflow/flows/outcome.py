"""What a run ends with: a result, or an error that has it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastflow.engines.base import Run
from fastflow.errors import ParameterError, TaskError, TaskErrorGroup, TaskTimeout
from fastflow.results import FlowResult

__all__ = ["error_of", "result_of", "task_error", "timeout_of"]


def result_of(run: Run, started: float) -> FlowResult:
    """Return the result of a run that has ended."""
    run.skip_the_rest()
    failed = bool(run.track.errors) or run.timed_out
    result = FlowResult(
        run.plan.name,
        run.plan.index,
        run.track,
        "FAILED" if failed else "COMPLETED",
        started,
        time.perf_counter() - run.track.origin,
    )
    # In the order in which they happened.
    numbers = sorted(run.track.errors, key=run.track.ends.__getitem__)
    result.errors = tuple(
        task_error(run.plan.names[number], error, result)
        for number in numbers
        for error in run.track.errors[number]
    )
    return result


def task_error(name: str, error: BaseException, result: object) -> TaskError:
    """Return the error that says which task has failed."""
    if isinstance(error, ParameterError):
        error.task, error.result = name, result
        error.args = (error.args[0], name, result)
        return error
    wrapped = TaskError(
        f"task {name!r} failed: {type(error).__name__}: {error}", name, result
    )
    wrapped.__cause__ = error
    return wrapped


def error_of(
    flow: str, errors: Sequence[TaskError], result: FlowResult | None
) -> TaskError:
    """Return what is raised for the failures of a run: one, or a group."""
    if len(errors) == 1:
        return errors[0]
    first = errors[0]
    group = TaskErrorGroup(
        f"{len(errors)} tasks of flow {flow!r} failed", errors, first.task, result
    )
    group.__cause__ = first.__cause__
    return group


def timeout_of(flow: str, seconds: float, result: FlowResult) -> TaskTimeout:
    """Return what is raised when the time of a run is over."""
    open_ = [error.task for error in result.errors][:10]
    running = f"; these ran: {', '.join(open_)}" if open_ else ""
    return TaskTimeout(
        f"flow {flow!r} did not finish within {seconds:g} s{running}", result
    )
