"""Calls of tasks that are as short as their kind allows.

Engines that run a task in one go look up the call by the task's number and make it; the
arguments are gathered on the way. Which call it is, is decided once per run and kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastflow.calling import Attempts, run_blocking
from fastflow.engines.base import Run
from fastflow.plan import Node

__all__ = ["Call", "RunItems", "call_task", "make_calls"]

Call = Callable[[int], Any]
"""Runs the task of that number and returns its result."""

RunItems = Callable[[Run, int], Any]
"""Runs a task item by item and returns the list of results."""


def make_calls(run: Run, run_items: RunItems) -> list[Call]:
    """Return the calls of all tasks, by number."""
    kinds = {id(node): _call_of(run, node, run_items) for node in run.plan.kinds}
    return [kinds[id(node)] for node in run.plan.nodes]


def _call_of(run: Run, node: Node, run_items: RunItems) -> Call:
    if node.each >= 0:
        return lambda number: run_items(run, number)
    task, recipe = node.task, run.recipes[id(node.recipe)]
    if not task.is_bare:
        return lambda number: call_task(run, number, *run.arguments(number))
    if recipe.plain and node.recipe.parents == 0:
        fn = task.fn
        return lambda _: fn()
    if recipe.plain and node.recipe.parents == 1:
        return _one_parent(run, task.fn)
    if recipe.plain:
        return _some_parents(run, task.fn)
    return _any(run, task.fn)


def _one_parent(run: Run, fn: Callable[..., Any]) -> Call:
    results = run.track.results
    starts, items = run.plan.parents.starts, run.plan.parents.items

    def call(number: int) -> Any:
        value = results[items[starts[number]]]
        if isinstance(value, dict):  # its keys may be meant
            args, kwargs = run.arguments(number)
            return fn(*args, **kwargs)
        return fn(value)

    return call


def _some_parents(run: Run, fn: Callable[..., Any]) -> Call:
    results = run.track.results
    starts, items = run.plan.parents.starts, run.plan.parents.items

    def call(number: int) -> Any:
        above = items[starts[number] : starts[number + 1]]
        values = [results[parent] for parent in above]
        for value in values:
            if isinstance(value, dict):
                args, kwargs = run.arguments(number)
                return fn(*args, **kwargs)
        return fn(*values)

    return call


def _any(run: Run, fn: Callable[..., Any]) -> Call:
    def call(number: int) -> Any:
        args, kwargs = run.arguments(number)
        return fn(*args, **kwargs)

    return call


def call_task(
    run: Run, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a task with its options, here and now, and write down the attempts."""
    task = run.plan.nodes[number].task
    if task.is_bare:
        return task.fn(*args, **kwargs)
    attempts = Attempts()
    try:
        return run_blocking(task, args, kwargs, attempts)
    finally:
        if attempts.count != 1:
            run.track.attempts[number] = attempts.count
