"""Instructions that fan out: parallel, race, for_each, batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastflow.base import recorders
from fastflow.base.names import name_of
from fastflow.errors import add_note
from fastflow.run.completion import CompletionPolicy
from fastflow.run.events import JobKey
from fastflow.run.scope import Scope
from fastflow.run.task import is_async
from fastflow.workflows.context import Context
from fastflow.workflows.dispatch import Home
from fastflow.workflows.fan import Branch, Fan
from fastflow.workflows.fiber import SUSPENDED, Fiber, RunOfFiber, fiber_of
from fastflow.workflows.items import Getting, Items
from fastflow.workflows.jobs import Done
from fastflow.workflows.options import FanOptions
from fastflow.workflows.policies import Outcomes, RaceOutcomes
from fastflow.workflows.program import Instruction, Program
from fastflow.workflows.records import StepRecord, Steps

if TYPE_CHECKING:
    from fastflow.workflows.shared_context import SharedContext

__all__ = ["ForEach", "Parallel", "Race"]

Function = Callable[..., Any]


class Parallel(Instruction):
    """Calls functions side by side; the value is the list of theirs."""

    __slots__ = ("_functions", "_options")
    is_seen_as = "parts"

    def __init__(
        self, name: str, functions: tuple[Function, ...], options: FanOptions
    ) -> None:
        super().__init__(name)
        self._functions = functions
        self._options = options

    def execute(self, fiber: Fiber) -> int:
        """Start the branches."""
        record = fiber.begin(self.name)
        outcomes = _outcomes(self._options, self._describe)
        return self._fan_out(fiber, record, outcomes)

    def _fan_out(self, fiber: Fiber, record: StepRecord, outcomes: Outcomes) -> int:
        shared_context = _shared_context(fiber)
        make = _calls(fiber, self._describe, lambda fn: (fn, ()), shared_context, None)
        items = Items(self._functions)
        return _start(
            fiber, record, items, make, outcomes, self._options, shared_context
        )

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

    def execute(self, fiber: Fiber) -> int:
        """Start the branches."""
        record = fiber.begin(self.name)
        rules = CompletionPolicy
        policy = rules.first() if self._settled else rules.first_successful()
        outcomes = RaceOutcomes(policy, self._describe, record)
        return self._fan_out(fiber, record, outcomes)


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
    is_seen_as = "parts"

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

    def execute(self, fiber: Fiber) -> int:
        """Get the items, then start."""
        record = fiber.begin(self.name)
        if not callable(self._items):
            return self._fan_out(fiber, record, self._items)
        if fiber.home.one_thread or is_async(self._items):
            return fiber.call(
                self._items, lambda items: self._fan_out(fiber, record, items)
            )
        getting = Getting(self._items, fiber.ctx, fiber.run.places)
        return self._fan_out(fiber, record, getting)

    def _fan_out(
        self, fiber: Fiber, record: StepRecord, items: Iterable[Any] | Getting
    ) -> int:
        source = Items(items, self._size)
        outcomes = _outcomes(self._options, self._describe)
        shared_context = None
        if isinstance(self._body, Program):
            make = _lines(fiber, self._body)
        else:
            body, shared_context = self._body, _shared_context(fiber)
            make = _calls(
                fiber, self._describe, lambda item: (body, (item,)), shared_context,
                self.name,
            )  # fmt: skip
        cancel = items.cancel if isinstance(items, Getting) else None
        return _start(
            fiber, record, source, make, outcomes, self._options, shared_context, cancel
        )

    def _describe(self, index: int) -> str:
        return f"item {index} of {self.name!r}"


def _outcomes(options: FanOptions, describe: Callable[[int], str]) -> Outcomes:
    if options.on_error == "raise":
        return Outcomes(CompletionPolicy.fail_fast(), describe)
    raises = options.on_error == "continue"
    return Outcomes(CompletionPolicy.settle(), describe if raises else None)


def _calls(
    fiber: Fiber,
    describe: Callable[[int], str],
    call: Callable[[Any], tuple[Function, tuple[Any, ...]]],
    shared_context: SharedContext | None,
    name: str | None,
) -> Callable[[int, Any, Done], Branch]:
    """Branches that are calls; ``call(item)`` returns function and arguments.

    To those who record they have the name, or those of the functions.
    """
    context = fiber.context()
    step = name or fiber.program.code[fiber.pc].name

    def make(index: int, item: Any, done: Done) -> Branch:
        fn, args = call(item)
        ctx = fiber.ctx.branch(Scope(fiber.ctx._token))
        ctx._shared_context = shared_context
        run = fiber.run
        made = run.make_call(describe(index), fn, ctx, args, done, context=context)
        if step is not None:
            made.step = step
        if run.spans is not None:
            shown = name or recorders.name_of(fn)
            # Of no other fan of this run that goes on at the same time.
            made.note(run.spans, JobKey(run.id, f"{id(context)}\0{index}", shown))
        return made

    return make


def _shared_context(fiber: Fiber) -> SharedContext | None:
    """Have the context sent once for all branches, if they go to other processes."""
    backend = fiber.run.places.backend
    if not (backend.remote and backend.local):
        return None
    from fastflow.workflows.shared_context import SharedContext

    return SharedContext(fiber.ctx)


def _lines(fiber: Fiber, program: Program) -> Callable[[int, Any, Done], Branch]:
    """Branches that are fibers on the threads of a pool."""
    home = fiber.run.places.pool_home()

    def make(index: int, item: Any, done: Done) -> Branch:
        steps = Steps(program.names, fiber.steps)
        ctx = fiber.ctx.branch(Scope(fiber.ctx._token), steps)
        ctx.last = ctx.item = item
        ctx.index = index
        return _LineBranch(fiber.run, program, home, ctx, done)

    return make


class _LineBranch:
    """A fiber as a branch."""

    __slots__ = ("_fiber",)

    def __init__(
        self, run: RunOfFiber, program: Program, home: Home, ctx: Context, done: Done
    ) -> None:
        def ended(error: BaseException | None, value: Any) -> None:
            if error is not None and fiber.origin is not None:
                add_note(error, f"in step {fiber.origin[1]!r}")
            done(error, value)

        fiber = self._fiber = fiber_of(run, program, home, ctx, ended)

    def start(self) -> None:
        self._fiber.home.post(self._fiber.advance)

    def cancel(self) -> None:
        self._fiber.cancel()


def _start(
    fiber: Fiber,
    record: StepRecord,
    items: Items,
    make: Callable[[int, Any, Done], Branch],
    outcomes: Outcomes,
    options: FanOptions,
    shared_context: SharedContext | None,
    cancel: Callable[[], None] | None = None,
) -> int:
    def finish(value: Any) -> int:
        return fiber.complete(record, value)

    def release() -> None:
        if shared_context is not None:
            shared_context.close()
        if cancel is not None:
            cancel()

    limit = options.max_concurrency
    fan = Fan(fiber, items, make, outcomes, limit, finish, release)
    fiber.suspend(fan)
    fan.start(options.timeout, f"step {record.name!r}")
    return SUSPENDED
