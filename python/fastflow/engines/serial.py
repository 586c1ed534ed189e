"""One task after another in the calling thread: what a debugger can follow."""

from __future__ import annotations

import threading
import time
from typing import Any

from fastflow import _core
from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.base.progress import Monitor
from fastflow.engines.base import UNFINISHED, ItemErrors, Run
from fastflow.engines.calls import item_call, make_calls
from fastflow.engines.observed import noted_item
from fastflow.run import active
from fastflow.run.results import COMPLETED

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
    track = run.track
    calls = make_calls(run, _run_items)
    results, states, errors = track.results, track.states, track.errors
    starts, ends = track.starts, track.ends
    clock = time.perf_counter
    apart = _core.ContextPerCall().run
    track.workers = [threading.get_ident()] * len(calls)
    now = clock()
    for number in run.plan.order:
        if errors:
            if not run.options.keep_going:
                break
            if any(
                states[parent] != COMPLETED for parent in run.plan.parents.of(number)
            ):
                continue
            now = clock()
        starts[number] = now
        try:
            results[number] = apart(calls[number], run, number)
            states[number] = COMPLETED
        except ItemErrors as several:
            run.fail_items(number, several.errors, several.values)
        except ENDS_PROGRAM:
            raise
        except BaseException as error:
            run.fail(number, error)
        ends[number] = now = clock()


def _run_items(run: Run, number: int) -> list[Any]:
    values: list[Any] = []
    errors: dict[int, BaseException] = {}
    call = item_call(run, number)
    if run.spans is not None:
        call = noted_item(run, run.spans, number, call)
    apart = _core.ContextPerCall().run
    items = run.items(number)
    run.open_items[number] = values, len(items)
    for index, item in enumerate(items):
        try:
            values.append(apart(call, item))
        except ENDS_PROGRAM:
            raise
        except BaseException as error:
            errors[index] = error
            values.append(UNFINISHED)
            if not run.options.keep_going:
                break
    if errors:
        raise ItemErrors(errors, values)
    return values
