"""Calls of tasks that are as short as their kind allows.

Engines that run a task in one go look up the call by the task's number and make it; the
arguments are gathered on the way. Which call it is, is decided once per run and kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastflow.base.topology import Neighbours
from fastflow.engines.base import Run
from fastflow.engines.observed import Call, observed
from fastflow.run.cache import reusable
from fastflow.run.inline import Tries, run_blocking
from fastflow.run.params import BoundRecipe
from fastflow.run.plan import FlowPlan, Node

__all__ = ["Call", "RunItems", "attempt_call", "item_call", "make_calls"]

RunItems = Callable[[Run, int], Any]
"""Runs a task item by item and returns the list of results."""


def make_calls(
    run: Run,
    run_items: RunItems,
    call_of: Callable[[Node], Call] | None = None,
) -> Sequence[Call]:
    """Return the calls of all tasks, by number; they may be shared.

    Parameters
    ----------
    call_of : callable, optional
        Returns those of tasks that are not direct; they tell of themselves.
    """
    plan, events = run.plan, run.options.events
    independent = run.recipes is plan.unbound and not plan.spread_out
    if independent and events is None and (call_of is None or plan.is_direct):
        return _all_calls(plan)
    kinds = _independent_calls(plan).copy()
    kept = plan.names_executors  # there may be results that are elsewhere
    for node in plan.kinds:
        recipe = run.recipes[id(node.recipe)]
        if call_of is not None and not node.task.is_direct:
            kinds[id(node)] = call_of(node)
        elif node.each >= 0:
            kinds[id(node)] = run_items
        elif recipe is not plan.unbound.get(id(node.recipe)):
            kinds[id(node)] = _call_of(plan, node, recipe)
    if kept:
        for node in plan.kinds:
            if node.task.is_direct and node.each < 0:
                call = kinds[id(node)]
                kinds[id(node)] = _unless_kept(call, _by_the_rules(node))
    if events is not None:
        for node in plan.kinds:
            if call_of is None or node.task.is_direct:
                kinds[id(node)] = observed(kinds[id(node)], events)
    calls = [kinds[id(node)] for node in plan.nodes]
    for number in plan.spread_out:
        calls[number] = _reusable(calls[number])  # DEFERRED and LOST are no iterators
    return calls


def _reusable(call: Call) -> Call:
    return lambda run, number: reusable(call(run, number))


def _independent_calls(plan: FlowPlan) -> dict[int, Call]:
    """Return the calls that are the same for any input; made once for a plan."""
    known: dict[int, Call] | None = plan.made.get(make_calls)
    if known is None:
        known = plan.made[make_calls] = {
            id(node): _call_of(plan, node, plan.unbound[id(node.recipe)])
            for node in plan.kinds
            if node.each < 0 and id(node.recipe) in plan.unbound
        }
    return known


def _all_calls(plan: FlowPlan) -> Sequence[Call]:
    """Return the calls of all tasks, none of which depends on the input or on a run."""
    calls: tuple[Call, ...] | None = plan.made.get(_all_calls)
    if calls is None:
        kinds = _independent_calls(plan)
        calls = plan.made[_all_calls] = tuple([kinds[id(n)] for n in plan.nodes])
    return calls


def _call_of(plan: FlowPlan, node: Node, recipe: BoundRecipe) -> Call:
    if not node.task.is_bare:
        return _by_the_rules(node)
    return _call_with(plan, node, recipe, node.task.fn)


def attempt_call(run: Run, node: Node) -> Call:
    """Return the call that is one attempt at the tasks of a kind.

    If these are async, it leads to a coroutine.
    """
    task = node.task
    recipe = run.recipes[id(node.recipe)]
    careful: Call
    if task.is_async:
        careful = lambda run, number: task.coroutine(*run.arguments(number))  # noqa: E731
    else:
        careful = lambda run, number: task.attempt(*run.arguments(number))  # noqa: E731
    if task.validate_input is not None or task.validate_output is not None:
        return careful
    call = _call_with(run.plan, node, recipe, task.fn)
    return _unless_kept(call, careful) if run.plan.names_executors else call


def _unless_kept(call: Call, careful: Call) -> Call:
    """Return a call, and another one where results may have to be fetched."""

    def either(run: Run, number: int) -> Any:
        return (careful if run.track.kept else call)(run, number)

    return either


def _by_the_rules(node: Node) -> Call:
    if node.task.is_bare:
        return _any(node.task.fn)
    return lambda run, number: call_task(run, number, *run.arguments(number))


def _call_with(
    plan: FlowPlan, node: Node, recipe: BoundRecipe, fn: Callable[..., Any]
) -> Call:
    count = node.recipe.parents
    if recipe.plain and count > 1:
        return _some_parents(plan.parents, fn)
    places = recipe.template.flat if recipe.template else None
    if places is None:
        return _any(fn)
    open_ = recipe.layout.open
    first = len(recipe.constants)  # place of the first parent's result
    if not places and not open_:
        return lambda _run, _number: fn()
    if len(places) == 1 and places[0] >= first and (count == 1 or not open_):
        return _one_parent(plan.parents, fn, places[0] - first, open_=open_)
    return _by_places(plan.parents, fn, recipe, places)


def _one_parent(
    parents: Neighbours, fn: Callable[..., Any], nth: int, *, open_: bool
) -> Call:
    starts, items = parents.starts, parents.items

    def call(run: Run, number: int) -> Any:
        return fn(run.results[items[starts[number] + nth]])

    def careful(run: Run, number: int) -> Any:
        value = run.results[items[starts[number]]]
        if isinstance(value, dict):  # its keys may be meant
            args, kwargs = run.arguments(number)
            return fn(*args, **kwargs)
        return fn(value)

    return careful if open_ else call


def _some_parents(parents: Neighbours, fn: Callable[..., Any]) -> Call:
    starts, items = parents.starts, parents.items

    def call(run: Run, number: int) -> Any:
        above = items[starts[number] : starts[number + 1]]
        results = run.results
        values = [results[parent] for parent in above]
        for value in values:
            if isinstance(value, dict):
                args, kwargs = run.arguments(number)
                return fn(*args, **kwargs)
        return fn(*values)

    return call


def _by_places(
    parents: Neighbours, fn: Callable[..., Any], recipe: BoundRecipe, places: list[int]
) -> Call:
    starts, items = parents.starts, parents.items
    constants, open_ = recipe.constants, recipe.layout.open

    def call(run: Run, number: int) -> Any:
        above = items[starts[number] : starts[number + 1]]
        results = run.results
        pool = [*constants, *[results[parent] for parent in above]]
        if open_:
            for value in pool:
                if isinstance(value, dict):
                    args, kwargs = run.arguments(number)
                    return fn(*args, **kwargs)
        return fn(*[pool[place] for place in places])

    return call


def _any(fn: Callable[..., Any]) -> Call:
    def call(run: Run, number: int) -> Any:
        args, kwargs = run.arguments(number)
        return fn(*args, **kwargs)

    return call


def item_call(run: Run, number: int) -> Callable[[Any], Any]:
    """Return what runs a task for one item and returns the result."""
    node = run.plan.nodes[number]
    task, fn = node.task, node.task.fn
    if not task.is_bare:
        return lambda item: call_task(run, number, *run.arguments(number, item))

    def by_the_rules(item: Any) -> Any:
        args, kwargs = run.arguments(number, item)
        return fn(*args, **kwargs)

    plain = run.recipes[id(node.recipe)].plain and node.recipe.parents == 1
    if not plain or run.track.kept:
        return by_the_rules
    return lambda item: by_the_rules(item) if isinstance(item, dict) else fn(item)


def call_task(
    run: Run, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a task with its options, here and now, and write down the attempts."""
    node = run.plan.nodes[number]
    events = run.job_events
    tries, failed = Tries(), None
    if node.task.is_async or node.task.timeout is not None:
        tries.whose = run.ids, number
    if events is not None and node.each < 0:
        tries.tell(events, run.key(number))
    try:
        return run_blocking(node.task, args, kwargs, tries)
    except BaseException as error:
        failed = error
        raise
    finally:
        spans = run.spans
        if spans is not None and tries.count > 1 and node.each < 0:
            spans.job_ended(run.key(number), tries.count, 0.0, failed)
        del failed
        run.track.note_attempts(number, tries.count, item=node.each >= 0)
