"""One task after another in the calling thread: what a debugger can follow."""

from __future__ import annotations

import threading
import time
from typing import Any

from fastflow import active
from fastflow.calling import Attempts, run_blocking
from fastflow.engines.base import Run
from fastflow.progress import Monitor
from fastflow.results import COMPLETED
from fastflow.tasks import Task

__all__ = ["run_serial"]


def run_serial(run: Run) -> None:
    """Run the tasks in topological order; see `fastflow.engines.base.Engine`."""
    before = active.set_current(None)
    try:
        with Monitor(run.options.progress, run, len(run.plan.names), run.plan.name):
            _loop(run)
    finally:
        active.set_current(before)


def _loop(run: Run) -> None:
    plan, track = run.plan, run.track
    parents, items = plan.parents.starts, plan.parents.items
    states, starts, ends = track.states, track.starts, track.ends
    worker = threading.get_ident()
    for number in plan.order:
        if track.errors:
            if not run.options.keep_going:
                break
            above = items[parents[number] : parents[number + 1]]
            if any(states[parent] != COMPLETED for parent in above):
                continue
        starts[number] = time.perf_counter()
        track.workers[number] = worker
        try:
            if plan.nodes[number].each >= 0:
                _run_items(run, number)
            else:
                args, kwargs = run.arguments(number)
                run.complete(number, _call(run, number, args, kwargs))
        except Exception as error:
            run.fail(number, error)
        except SystemExit as error:  # a task that ends the program, as on a pool
            run.fail(number, error)
        ends[number] = time.perf_counter()


def _call(run: Run, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    task: Task = run.plan.nodes[number].task
    if task.is_bare:
        return task.fn(*args, **kwargs)
    attempts = Attempts()
    try:
        return run_blocking(task, args, kwargs, attempts)
    finally:
        if attempts.count != 1:
            run.track.attempts[number] = attempts.count


def _run_items(run: Run, number: int) -> None:
    values, errors = [], []
    for item in run.items(number):
        args, kwargs = run.arguments(number, item)
        try:
            values.append(_call(run, number, args, kwargs))
        except Exception as error:
            errors.append(error)
            if not run.options.keep_going:
                break
    if errors:
        run.fail(number, *errors)
    else:
        run.complete(number, values)
