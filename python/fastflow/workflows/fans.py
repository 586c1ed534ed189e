"""Instructions that fan out: parallel, race, for_each, batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastflow import _core
from fastflow.base.names import name_of
from fastflow.errors import add_note
from fastflow.run.completion import CompletionPolicy
from fastflow.run.scope import Scope
from fastflow.run.task import is_async
from fastflow.workflows.context import Context
from fastflow.workflows.dispatch import Home
from fastflow.workflows.fan import Branch, Fan
from fastflow.workflows.fiber import SUSPENDED, Line
from fastflow.workflows.items import Getting, Items
from fastflow.workflows.jobs import Done
from fastflow.workflows.options import FanOptions
from fastflow.workflows.policies import Outcomes, RaceOutcomes
from fastflow.workflows.program import Instruction, Program
from fastflow.workflows.records import StepRecord, Steps

if TYPE_CHECKING:
    from fastflow.workflows.run import Run
    from fastflow.workflows.shared_context import Parcel

__all__ = ["ForEach", "Parallel", "Race"]

Function = Callable[..., Any]


class Parallel(Instruction):
    """Calls functions side by side; the value is the list of theirs."""

    __slots__ = ("_functions", "_options")

    def __init__(
        self, name: str, functions: tuple[Function, ...], options: FanOptions
    ) -> None:
        super().__init__(name)
        self._functions = functions
        self._options = options

    def execute(self, line: Line) -> int:
        """Start the branches."""
        record = line.begin(self.name)
        outcomes = _outcomes(self._options, self._describe)
        return self._fan_out(line, record, outcomes)

    def _fan_out(self, line: Line, record: StepRecord, outcomes: Outcomes) -> int:
        parcel = _parcel(line)
        make = _calls(line, self._describe, lambda fn: (fn, ()), parcel)
        items = Items(self._functions)
        return _start(line, record, items, make, outcomes, self._options, parcel)

    def _describe(self, index: int) -> str:
        fn = self._functions[index]
        return f"branch {index} ({name_of(fn)}) of {self.name!r}"


class Race(Parallel):
    """Calls functions side by side; the first one decides."""

    __slots__ = ("_settled",)

    def __init__(
        self,
        name: str,
        functions: tuple[Function, ...],
        options: FanOptions,
        settled: bool,
    ) -> None:
        super().__init__(name, functions, options)
        self._settled = settled

    def execute(self, line: Line) -> int:
        """Start the branches."""
        record = line.begin(self.name)
        rules = CompletionPolicy
        policy = rules.first() if self._settled else rules.first_successful()
        outcomes = RaceOutcomes(policy, self._describe, record)
        return self._fan_out(line, record, outcomes)


class ForEach(Instruction):
    """Calls a function, or executes a sub-flow, for each of some items.

    Parameters
    ----------
    name : str
        Of the step.
    items : callable or iterable
        Takes ctx and returns the items.
    body : callable or Program
        ``fn(ctx, item)``, or the sub-flow.
    size : int, optional
        Give it lists of so many items.
    options : FanOptions
        Limits.
    """

    __slots__ = ("_body", "_items", "_options", "_size")

    def __init__(
        self,
        name: str,
        items: Function | Iterable[Any],
        body: Function | Program,
        size: int | None,
        options: FanOptions,
    ) -> None:
        super().__init__(name)
        self._items = items
        self._body = body
        self._size = size
        self._options = options

    @property
    def sub_program(self) -> Program | None:
        """The sub-flow, if it has one."""
        return self._body if isinstance(self._body, Program) else None

    def with_body(self, change: Callable[[Program], Program]) -> ForEach:
        """Return the same with another sub-flow."""
        if not isinstance(self._body, Program):
            return self
        body = change(self._body)
        return ForEach(str(self.name), self._items, body, self._size, self._options)

    def execute(self, line: Line) -> int:
        """Get the items, then start."""
        record = line.begin(self.name)
        if not callable(self._items):
            return self._fan_out(line, record, self._items)
        if line.home.one_thread or is_async(self._items):
            return line.call(
                self._items, lambda items: self._fan_out(line, record, items)
            )
        getting = Getting(self._items, line.ctx, line.run.places)
        return self._fan_out(line, record, getting)

    def _fan_out(
        self, line: Line, record: StepRecord, items: Iterable[Any] | Getting
    ) -> int:
        source = Items(items, self._size)
        outcomes = _outcomes(self._options, self._describe)
        parcel = None
        if isinstance(self._body, Program):
            make = _lines(line, self._body)
        else:
            body, parcel = self._body, _parcel(line)
            make = _calls(line, self._describe, lambda item: (body, (item,)), parcel)
        cancel = items.cancel if isinstance(items, Getting) else None
        return _start(
            line, record, source, make, outcomes, self._options, parcel, cancel
        )

    def _describe(self, index: int) -> str:
        return f"item {index} of {self.name!r}"


def _outcomes(options: FanOptions, describe: Callable[[int], str]) -> Outcomes:
    if options.on_error == "raise":
        return Outcomes(CompletionPolicy.fail_fast(), describe)
    raises = options.on_error == "continue"
    return Outcomes(CompletionPolicy.settle(), describe if raises else None)


def _calls(
    line: Line,
    describe: Callable[[int], str],
    call: Callable[[Any], tuple[Function, tuple[Any, ...]]],
    parcel: Parcel | None,
) -> Callable[[int, Any, Done], Branch]:
    """Branches that are calls; ``call(item)`` returns function and arguments."""
    context = _core.task_context()

    def make(index: int, item: Any, done: Done) -> Branch:
        fn, args = call(item)
        ctx = line.ctx.branch(Scope(line.ctx._token))
        ctx._parcel = parcel
        return line.run.make_call(describe(index), fn, ctx, args, done, context=context)

    return make


def _parcel(line: Line) -> Parcel | None:
    """Make the context of all branches a parcel, if they go to other processes."""
    backend = line.run.places.backend
    if not (backend.remote and backend.local):
        return None
    from fastflow.workflows.shared_context import Parcel

    return Parcel(line.ctx)


def _lines(line: Line, program: Program) -> Callable[[int, Any, Done], Branch]:
    """Branches that are lines of execution on the threads of a pool."""
    home = line.run.places.pool_home()

    def make(index: int, item: Any, done: Done) -> Branch:
        steps = Steps(program.names, line.steps)
        ctx = line.ctx.branch(Scope(line.ctx._token), steps)
        ctx.last = ctx.item = item
        ctx.index = index
        return _LineBranch(line.run, program, home, ctx, done)

    return make


class _LineBranch:
    """A line of execution as a branch."""

    __slots__ = ("_line",)

    def __init__(
        self, run: Run, program: Program, home: Home, ctx: Context, done: Done
    ) -> None:
        def ended(error: BaseException | None, value: Any) -> None:
            if error is not None and line.origin is not None:
                add_note(error, f"in step {line.origin[1]!r}")
            done(error, value)

        line = self._line = Line(run, program, home, ctx, ended)

    def start(self) -> None:
        self._line.home.post(self._line.advance)

    def cancel(self) -> None:
        self._line.cancel()


def _start(
    line: Line,
    record: StepRecord,
    items: Items,
    make: Callable[[int, Any, Done], Branch],
    outcomes: Outcomes,
    options: FanOptions,
    parcel: Parcel | None,
    cancel: Callable[[], None] | None = None,
) -> int:
    def finish(value: Any) -> int:
        return line.complete(record, value)

    def release() -> None:
        if parcel is not None:
            parcel.close()
        if cancel is not None:
            cancel()

    limit = options.max_concurrency
    fan = Fan(line, items, make, outcomes, limit, finish, release)
    line.suspend(fan)
    fan.start(options.timeout, f"step {record.name!r}")
    return SUSPENDED
