"""What all engines have in common: the order, and what happens after a failure."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastflow.base import aio
from fastflow.base.bars import Stage
from fastflow.base.log_ids import Ids, id_of
from fastflow.base.progress import Progress
from fastflow.run.cache import reusable
from fastflow.run.events import Events, JobKey
from fastflow.run.job_spans import JobSpans, Lane, joined, lane_of
from fastflow.run.kept import Kept, here
from fastflow.run.params import BoundRecipe, Unfilled
from fastflow.run.plan import FlowPlan, Inputs
from fastflow.run.results import COMPLETED, FAILED, PENDING, SKIPPED, Track
from fastflow.run.task import Task

__all__ = ["UNFINISHED", "Engine", "ItemErrors", "Run", "RunOptions", "check_loop"]

_MOST_STAGED = 100_000  # tasks


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a plan is run.

    Attributes
    ----------
    keep_going : bool
        After a failure, run all that does not depend on it.
    max_workers : int, optional
        Tasks at a time.
    timeout : float, optional
        Seconds for the whole run.
    progress : bool or callable, optional
    events : Events, optional
        Told of the run and its tasks.
    """

    keep_going: bool = False
    max_workers: int | None = None
    timeout: float | None = None
    progress: Progress = None
    events: Events | None = None


UNFINISHED: Any = object()
"""Stands for the result of an item that has none."""


class ItemErrors(Exception):  # noqa: N818  (control flow inside of the engines)
    """Some items of a task have failed, or will not be run.

    Attributes
    ----------
    errors : dict of int to exception
        By the item's index.
    values : sequence
        Results by index; `UNFINISHED` where there is none.
    """

    def __init__(
        self, errors: Mapping[int, BaseException], values: Sequence[Any]
    ) -> None:
        super().__init__(errors)
        self.errors = errors
        self.values = values


class Run:
    """A run of a plan: what its engine works on."""

    def __init__(
        self, plan: FlowPlan, input_data: Any, options: RunOptions, *, bind: bool = True
    ) -> None:
        self.plan = plan
        self.input_data = input_data
        self.options = options
        self.recipes: Mapping[int, BoundRecipe] = plan.bind(input_data) if bind else {}
        self.track = Track(plan.names, time.perf_counter())
        self.results = self.track.results
        self.open_items: dict[int, tuple[Sequence[Any], int]] = {}
        """Of tasks that run item by item: what has come so far, of how many; for
        progress."""
        self.timed_out = False
        self.spans: JobSpans | None = None
        """Told of jobs, if somebody records."""

    @property
    def id(self) -> str:
        """Its own name."""
        return id_of(self, self.plan.name)

    @property
    def job_events(self) -> Events | None:
        """What is told of jobs: whoever listens, and whoever records."""
        return joined(self.options.events, self.spans)

    def item_key(self, number: int, index: int) -> JobKey:
        """Return what an item of a task is called by those who record."""
        return JobKey(self.id, f"{number}.{index}", self.plan.names[number])

    def first_attempt(self, key: JobKey) -> tuple[int, Lane] | None:
        """Return when and where a task was begun that is no job yet."""
        number = key.id.partition(".")[0]
        start = self.track.starts[int(number)]
        worker = self.track.workers[int(number)]
        if "." in key.id or not start:
            return None
        return round(start * 1e9), lane_of(worker)

    def ids(self, number: int, attempt: int) -> Ids:
        """Return what log records of a task belong to."""
        return Ids(self.id, self.plan.names[number], attempt)

    def key(self, number: int) -> JobKey:
        """Return what a task is called in events."""
        return JobKey(self.id, str(number), self.plan.names[number])

    @property
    def done(self) -> int:
        """Tasks that have ended; for progress."""
        states = self.track.states
        return len(states) - states.count(PENDING)

    def stages(self) -> list[Stage]:
        """Return what is under way, tasks whose names differ by a number as one.

        Nothing if there are so many names that it takes long to find these.
        """
        if len(self.plan.names) > _MOST_STAGED:
            return []
        import numpy as np

        names, stage_of = self.plan.stages
        states = np.frombuffer(bytes(self.track.states), np.uint8)
        pending = states == PENDING
        begun = np.array(self.track.starts) > 0
        open_ = np.unique(stage_of[begun & pending]).tolist()
        totals = np.bincount(stage_of, minlength=len(names))
        done = np.bincount(stage_of[~pending], minlength=len(names))
        found = [Stage(names[n], int(done[n]), int(totals[n])) for n in open_]
        for number, (values, count) in list(self.open_items.items()):
            if pending[number]:
                stage = Stage(names[stage_of[number]], _so_far(values), count)
                found = [stage if s.name == stage.name else s for s in found]
        return found

    def arguments(
        self, number: int, item: Any = None, *, as_kept: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a task whose parents have completed.

        `item` takes the place of the result that the task is run over. With `as_kept`,
        what is kept elsewhere is not fetched: see `fastflow.run.kept`.

        Raises
        ------
        ParameterError
            If that can't be told.
        """
        plan, results = self.plan, self.results
        node = plan.nodes[number]
        values: Sequence[Any] = [results[parent] for parent in plan.parents.of(number)]
        if node.each >= 0:
            values = [*values[: node.each], item, *values[node.each + 1 :]]
        kept = self.track.kept
        if kept:
            names = {p.name for p in node.recipe.signature.parameters}
            values = [_if_it_fills(value, names) for value in values]
        try:
            found = self.recipes[id(node.recipe)].arguments(
                values, results, lambda: Inputs(plan, results, number)
            )
        except Unfilled as error:
            raise plan.parameter_error(number, error) from None
        return here(found) if kept and not as_kept else found

    def items(self, number: int) -> list[Any]:
        """Return what a task is run over, item by item.

        Raises
        ------
        TypeError
            If that is not iterable.
        """
        parent = self.plan.parents.of(number)[self.plan.nodes[number].each]
        value = self.track.results[parent]
        if type(value) is Kept:
            value = value.fetch()
        if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
            raise TypeError(
                f"{self.plan.names[number]}[*] runs once per item of the result of "
                f"{self.plan.names[parent]!r}, which must be a list or another "
                f"iterable, not {type(value).__name__}"
            )
        items = list(value)
        if not items:
            self.track.attempts[number] = 0
        return items

    def note_kept(self, number: int, kept: Kept) -> None:
        """Note that a result of a task, or of an item, is kept elsewhere."""
        kept.task = self.plan.names[number]
        self.track.kept.add(number)

    def complete(self, number: int, value: Any) -> None:
        """Write down a result."""
        if number in self.plan.spread_out:
            value = reusable(value)
        self.track.results[number] = value
        self.track.states[number] = COMPLETED

    def fail(self, number: int, *errors: BaseException) -> None:
        """Write down a failure."""
        self.track.errors[number] = list(errors)
        self.track.states[number] = FAILED

    def fail_items(
        self, number: int, errors: Mapping[int, BaseException], values: Sequence[Any]
    ) -> None:
        """Write down which items have failed, and what has come of the others.

        If none has, the run has stopped before all have begun.
        """
        self.keep_items(number, values)
        if not errors:
            return
        indexes = sorted(errors)
        self.fail(number, *[errors[index] for index in indexes])
        self.track.failed_items[number] = indexes

    def keep_items(self, number: int, values: Sequence[Any]) -> None:
        """Write down the items that have finished, of a task that has not."""
        self.track.partial[number] = {
            index: value
            for index, value in enumerate(values)
            if value is not UNFINISHED
        }

    def skip_the_rest(self) -> None:
        """Mark what has not run, and remember the names of the threads."""
        states = self.track.states
        states[:] = states.replace(bytes([PENDING]), bytes([SKIPPED]))
        self.track.note_threads()

    def spread(self, number: int, missing: list[int]) -> list[int]:
        """Return the tasks that can run now that `number` has completed."""
        ready = []
        for child in self.plan.children.of(number):
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
        return ready


def _if_it_fills(value: Any, names: set[str]) -> Any:
    """Return a value; a dict that is elsewhere, if its keys may fill parameters."""
    if type(value) is Kept and value.keys is not None and value.keys & names:
        return value.fetch()
    return value


def _so_far(values: Sequence[Any]) -> int:
    """Return about how many items have ended: they begin in their order."""
    places = range(len(values))
    return bisect_left(places, True, key=lambda place: values[place] is UNFINISHED)


Engine = Callable[[Run], None]
"""Runs all tasks of a run, and leaves results and errors in it."""


def check_loop(flow: str, tasks: Iterable[Task]) -> None:
    """Refuse to wait in the event loop for what only the loop could run.

    Raises
    ------
    RuntimeError
        With the name of the task.
    """
    if aio.is_loop_thread():
        for task in tasks:
            if task.is_async:
                raise RuntimeError(
                    f"flow {flow!r} was called in fastflow's event loop and would wait "
                    f"for task {task.name!r}, which needs the same loop; call it with "
                    "await asyncio.to_thread(...), or from a task that is not async"
                )
