"""What every machine has in common, under one small interface."""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fastflow
from contract.behaviour import calls
from contract.behaviour.backends import BACKENDS, BY_VALUE

Function = Callable[[Any], Any]

SIDE_BY_SIDE = "side by side"
IN_ORDER = "in order"
SETTLE = "settle"
RETRIES = "retries"
TIMEOUT = "timeout"
FALLBACK = "fallback"
RECORDS = "records"
STATUS = "status"
CANCEL = "cancel"
CLOCK = "clock"
NESTED = "nested"
COLUMNS = "columns"
TRAVELS = "travels"
WRAPS = "wraps"
BY_REFERENCE = "by reference"
EVENTS = "events"

FULL = "a pool of the standard library stands still when all its threads wait for it"
SECONDS = 60  # a watchdog


@dataclass
class Outcome:
    """What became of one call."""

    value: Any = None
    error: BaseException | None = None
    """The exception of the user's function, as far as the machine hands it on."""
    raised: BaseException | None = None
    """What the machine raised."""
    attempts: int | None = None
    """As the machine has recorded them."""
    status: str | None = None
    """Likewise."""

    @property
    def kind(self) -> str | None:
        """The name of the class of the user's exception."""
        if self.error is None:
            return None
        # A durable journal keeps the names of classes that it can't rebuild.
        name = getattr(self.error, "error_type", None) or type(self.error).__name__
        return str(name).rpartition(".")[2]

    @property
    def short(self) -> Any:
        """The value, or the name of the exception."""
        return self.value if self.error is None else self.kind


class Machine:
    """A way to have functions called, on one backend.

    Attributes
    ----------
    name : str
        ``"machine: backend"``.
    cannot : dict of str to str
        What it can't express, with the reason.
    refused : str
        Why the backend is refused, if it is.
    """

    family = ""
    cannot: dict[str, str] = {}
    refused = ""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.name = f"{self.family}: {backend}"
        self.executor: Any = None
        self.cannot = dict(type(self).cannot)
        if backend not in BY_VALUE:
            self.cannot[TRAVELS] = "calls share this process's memory: none travels"
        elif NESTED not in self.cannot:
            self.cannot[NESTED] = "an executor can't travel to its own workers"
        if backend == "cluster":
            self.cannot[BY_REFERENCE] = "the cluster keeps results, for equal calls"
        if backend == "serial":
            self.cannot[SIDE_BY_SIDE] = "one call after another is what serial is for"

    @property
    def by_value(self) -> bool:
        """Whether calls are pickled."""
        return self.backend in BY_VALUE

    @contextmanager
    def opened(self) -> Iterator[Machine]:
        """Have an executor of two workers."""
        with BACKENDS[self.backend]() as self.executor:
            yield self

    def wait_for_workers(self) -> None:
        """Wait until what the workers have taken, or will take, has ended."""
        if self.backend == "processes":  # all machines share them
            side_by_side(8, lambda _: self.executor.submit(int).result())
        else:
            self.executor.shutdown()

    def run(self, fn: Function, items: Sequence[Any], **options: Any) -> list[Any]:
        """Return the results of all calls, or raise what the machine raises."""
        raise NotImplementedError

    def settle(
        self, fn: Function, items: Sequence[Any], **options: Any
    ) -> list[Outcome]:
        """Return what became of each call."""
        raise NotImplementedError

    def one(self, fn: Function, item: Any, **options: Any) -> Outcome:
        """Return what became of the only call."""
        if SETTLE not in self.cannot:
            return self.settle(fn, [item], **options)[0]
        try:
            return Outcome(self.run(fn, [item], **options)[0])
        except BaseException as error:
            return Outcome(error=self.unwrapped(error), raised=error)

    def unwrapped(self, error: BaseException) -> BaseException:
        """Return the user's exception behind one of the machine's."""
        return error

    def settled_by_run(self, fn: Function, item: Any, **options: Any) -> Outcome:
        """Return what became of a run with a call of its own."""
        try:
            return Outcome(self.run(fn, [item], **options)[0])
        except BaseException as error:
            return Outcome(error=self.unwrapped(error), raised=error)

    def __repr__(self) -> str:
        return self.name


def behind(error: BaseException) -> BaseException:
    """Return what a `TaskError` is about."""
    while isinstance(error, fastflow.TaskError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def side_by_side(count: int, fn: Callable[[int], Any]) -> list[Any]:
    """Return ``fn(n)`` for n below count, called by as many threads."""
    if count == 1:
        return [fn(0)]
    with cf.ThreadPoolExecutor(max(count, 1)) as callers:
        runs = [contextvars.copy_context().run for _ in range(count)]
        return list(callers.map(lambda number: runs[number](fn, number), range(count)))


class Bound:
    """A function and its argument, as one thing that can travel; takes what comes."""

    def __init__(self, fn: Function, item: Any) -> None:
        self.fn = fn
        self.item = item

    def __call__(self, *_: Any) -> Any:
        return self.fn(self.item)


class BoundAsync(Bound):
    """Likewise, of a coroutine function."""

    async def __call__(self, *_: Any) -> Any:
        return await self.fn(self.item)


def bound(fn: Function, item: Any) -> Bound:
    """Return a function and its argument as one callable; of a task, a task."""
    if fn is calls.retried_task:
        return calls.retried(Bound(calls.fail_once, item))  # type: ignore[no-any-return]
    return (BoundAsync if fn is calls.awaited else Bound)(fn, item)


def handled(error: BaseException | None) -> str:
    """Return what takes the place of a result."""
    return f"handled {type(error).__name__}"
