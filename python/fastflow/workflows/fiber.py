"""Programs, and fibers: one program counter each, going through a program."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, NamedTuple, Protocol

from fastflow import _core
from fastflow.base.log_ids import CURRENT, Ids
from fastflow.base.timers import Clock
from fastflow.errors import Cancelled
from fastflow.pool.dispatch import Dispatch, current_dispatch
from fastflow.run.events import Events, JobKey
from fastflow.run.job_spans import JobSpans
from fastflow.run.status import Status
from fastflow.workflows.actions import Actions
from fastflow.workflows.context import Context
from fastflow.workflows.dispatch import Home, Places
from fastflow.workflows.inbox import Inbox
from fastflow.workflows.jobs import Done, StepJob
from fastflow.workflows.options import CallOptions
from fastflow.workflows.records import (
    CANCELLED,
    COMPLETED,
    FAILED,
    RUNNING,
    StepRecord,
    Steps,
)

__all__ = [
    "SUSPENDED",
    "Fiber",
    "Instruction",
    "Loop",
    "Operation",
    "Program",
    "RunOfFiber",
    "fiber_of",
]

SUSPENDED = -1
"""In place of the next instruction: somebody will call ``resume``."""

_ENDED = -2
"""In place of the next instruction: there is none, the fiber has its outcome."""


class Operation(Protocol):
    """What a suspended fiber waits for."""

    def cancel(self) -> object:
        """Stop it; the fiber won't be resumed."""


class Instruction:
    """One instruction; subclasses implement ``execute``.

    Attributes
    ----------
    name : str or None
        Under which the run keeps a record of it.
    is_seen_as : str
        By those who record: "call", "wait", or "parts", which are seen instead of it.
    """

    __slots__ = ("name",)
    is_seen_as = "call"

    def __init__(self, name: str | None) -> None:
        self.name = name

    def execute(self, fiber: Fiber) -> int:
        """Do it, and return the number of the next instruction, or SUSPENDED."""
        raise NotImplementedError

    def retarget(self, target: int) -> None:
        """Set where to go instead of straight on; only while it's being assembled."""
        raise NotImplementedError

    @property
    def sub_program(self) -> Program | None:
        """The sub-flow, if it has one."""
        return None


class Loop(NamedTuple):
    """A loop of a program: the name of its step, the numbers of its instructions."""

    name: str
    body: range


@dataclass(frozen=True)
class Program:
    """What a fiber executes; may be shared by any number of fibers.

    Attributes
    ----------
    code : tuple of Instruction
        The last one is `Finish`.
    handlers : tuple of int or None
        For each instruction, that of the on_error which gets its exceptions.
    names : frozenset of str
        Names of the steps.
    loops : tuple of Loop
        The ``while_`` steps.
    """

    code: tuple[Instruction, ...]
    handlers: tuple[int | None, ...]
    names: frozenset[str]
    loops: tuple[Loop, ...] = ()

    def all_names(self) -> frozenset[str]:
        """Return the names of all steps, those of sub-flows included."""
        found, programs = set(self.names), [self]
        while programs:
            for instruction in programs.pop().code:
                inner = instruction.sub_program
                if inner is not None:
                    found |= inner.names
                    programs.append(inner)
        return frozenset(found)


class RunOfFiber(Protocol):
    """What a fiber, and the instructions that it executes, need of their run."""

    id: str
    workflow: str
    clock: Clock
    since: float
    events: Events | None
    spans: JobSpans | None
    places: Places
    inbox: Inbox
    actions: Actions
    apart: Callable[..., Any]

    @property
    def job_events(self) -> Events | None:
        """What is told of jobs."""

    @property
    def label(self) -> str:
        """What it is called in messages."""

    def begin(self) -> None:
        """Start it, if it is a part of another run."""

    def cancel(self) -> object:
        """Stop it."""

    def make_call(
        self,
        name: str,
        fn: Callable[..., Any],
        ctx: Context,
        args: tuple[Any, ...],
        done: Done,
        options: CallOptions = ...,
        home: Home | None = None,
        context: contextvars.Context | None = None,
    ) -> StepJob:
        """Return a call that belongs to this run."""

    def tell_started(self, record: StepRecord, seen_as: str) -> None:
        """Tell who listens that a step begins; see `Instruction.is_seen_as`."""

    def tell_ended(self, record: StepRecord, error: BaseException | None) -> None:
        """Tell who listens that a step has ended."""

    def key(self, record: StepRecord) -> JobKey:
        """Return what a step is called in events."""

    def child(
        self, workflow: Any, payload: Any, fiber: Fiber, done: Done
    ) -> RunOfFiber:
        """Return a run of another workflow as a part of this one."""


class Fiber:
    """Executes a program, one instruction after the other.

    An instruction returns the number of the next one, or SUSPENDED after it has seen to
    it that ``resume`` will be called.  No thread belongs to a suspended fiber.

    Parameters
    ----------
    run : Run
        What the fiber is a part of.
    program : Program
        What to execute.
    home : Home
        Where to go on after having been suspended.
    ctx : Context
        Given to the functions; its token is the fiber's.
    done : callable
        Called with (error, None) or (None, last) at the end, unless it was cancelled.
    """

    __slots__ = (
        "_dispatch", "_done", "_operation", "_outcome", "_records", "_stopped", "apart",
        "ctx", "failure", "home", "loops", "now", "origin", "pc", "program", "run",
        "since", "steps",
    )  # fmt: skip

    def __init__(
        self, run: RunOfFiber, program: Program, home: Home, ctx: Context, done: Done
    ) -> None:
        self.run = run
        self.program = program
        self.home = home
        self.ctx = ctx
        self.steps: Steps = ctx.steps
        self._records = ctx.steps.opened
        self.now = run.clock.now
        self.apart = run.apart
        """Calls a function with context variables of its own."""
        self.since = run.since
        self.pc = 0
        self.loops: dict[int, int] = {}
        self.failure: Exception | None = None
        self.origin: tuple[BaseException, str] | None = None
        self._done = done
        self._dispatch: Dispatch | None = None
        """What the fiber goes on in; the last one, while it is suspended."""
        self._operation: Operation | None = None
        self._outcome: tuple[BaseException | None, Any] = (None, None)
        self._stopped = False

    def advance(self, resume: Callable[[], int] | None = None) -> None:
        """Execute instructions until the fiber ends or is suspended.

        `resume` completes the instruction that suspended it.
        """
        code = self.program.code
        pc = self.pc
        if not self.home.one_thread:
            self._dispatch = current_dispatch()
        while pc >= 0:
            if self._stopped:
                return
            self.pc = pc
            try:
                if resume is None:
                    pc = code[pc].execute(self)
                else:
                    complete, resume = resume, None
                    pc = complete()
            except BaseException as error:
                pc = self._failed(error)
        if pc == _ENDED:
            # Not in the try: what goes wrong from here on is no failure of a step.
            self._end()

    def ids(self) -> Ids:
        """Return what log records of a function that it calls belong to."""
        return Ids(self.run.id, self.program.code[self.pc].name, 1)

    def context(self) -> contextvars.Context:
        """Return the context variables for calls that belong to the step."""
        return _core.task_context()

    def suspend(self, operation: Operation) -> int:
        """Note what the fiber waits for; call it before that can come."""
        self._operation = operation
        if self._stopped:
            operation.cancel()
        return SUSPENDED

    def resume(self, complete: Callable[[], int]) -> None:
        """Go on: ``complete()`` returns the next instruction, or raises."""
        self._operation = None
        self.home.post(self.advance, complete)

    def stop(self) -> None:
        """Stop before the next instruction; `cancel` is to follow."""
        self.ctx._token.close()
        self._stopped = True

    def cancel(self) -> None:
        """Stop before the next instruction, and whatever the fiber waits for."""
        self.stop()
        operation = self._operation
        if operation is not None:
            operation.cancel()
        elif self._dispatch is not None:
            self._dispatch.give_up()  # a function that runs on needs no worker

    @property
    def stopped(self) -> bool:
        """Whether it was cancelled, or will be at once."""
        return self._stopped

    def finish(self) -> int:
        """End the fiber with its last value."""
        self._outcome = (None, self.ctx.last)
        return _ENDED

    def begin(self, name: str | None) -> StepRecord:
        """Open the record of a step that is called, for the first time."""
        name = name or ""
        record = StepRecord(name, RUNNING, self.now(), self.since, 1)
        self._records[name] = record
        return record

    def close(
        self, record: StepRecord, status: Status, error: BaseException | None = None
    ) -> None:
        """Close the record of a step."""
        record.close(status, error, self.now())

    def complete(self, record: StepRecord, value: Any) -> int:
        """Close the record of a step with its value, and go to the next one."""
        if self._stopped:
            return SUSPENDED  # the record is closed already
        self.ctx.last = record.output = value
        record.status = COMPLETED
        record.ended = self.now()
        return self.pc + 1

    def call(self, fn: Callable[..., Any], then: Callable[[Any], int]) -> int:
        """Call ``fn(ctx)`` here, await what it returns if it's async, then go on."""
        value = self.apart(fn, self.ctx)
        if type(value) is CoroutineType:
            return self.wait_for(value, then)
        return then(value)

    def wait_for(self, coroutine: Any, then: Callable[[Any], int]) -> int:
        """Suspend until the coroutine has ended; ``then(value)`` is what follows."""
        waiting = _Awaiting(self, then)
        self.suspend(waiting)
        waiting.start(coroutine)
        return SUSPENDED

    def _failed(self, error: BaseException) -> int:
        """Close the record of the failed instruction; find who handles the error."""
        if self._stopped:
            return SUSPENDED  # the records are closed already
        name = self.program.code[self.pc].name
        status = CANCELLED if isinstance(error, Cancelled) else FAILED
        if name is not None:
            record = self.steps[name]
            if record.status != RUNNING:
                record = self.begin(name)
            self.close(record, status, error)
        if self.origin is not None and self.origin[0] is error:
            name = self.origin[1]  # passed on by on_error
        self.origin = (error, name or "?")
        handler = self.program.handlers[self.pc]
        if not isinstance(error, Exception):
            handler = None
        self._leave_loops(handler, status, error)
        if handler is not None:
            self.failure = error  # type: ignore[assignment]
            return handler
        self._outcome = (error, None)
        return _ENDED

    def _leave_loops(
        self, handler: int | None, status: Status, error: BaseException
    ) -> None:
        """Close the records of the loops that an error goes out of."""
        target = SUSPENDED if handler is None else handler
        for loop in self.program.loops:
            if self.pc in loop.body and target not in loop.body:
                record = self.steps[loop.name]
                if record.status == RUNNING:
                    self.close(record, status, error)

    def _end(self) -> None:
        # The callback refers to this fiber; finished runs are freed at once.
        done, self._done = self._done, _nobody
        (error, value), self._outcome = self._outcome, (None, None)
        done(error, value)


class ToldFiber(Fiber):
    """A fiber of a run that somebody listens to."""

    __slots__ = ("__weakref__", "_key")

    def __init__(
        self, run: RunOfFiber, program: Program, home: Home, ctx: Context, done: Done
    ) -> None:
        super().__init__(run, program, home, ctx, done)
        self._key: JobKey | None = None
        """Of the step that has begun last."""
        if run.events is not None and run.events.goes_around:
            self.apart = _Around(self, run.events, run.apart).call

    def begin(self, name: str | None) -> StepRecord:
        """See `Fiber`."""
        record = super().begin(name)
        self._key = self.run.key(record)
        self.run.tell_started(record, self.program.code[self.pc].is_seen_as)
        return record

    def context(self) -> contextvars.Context:
        """See `Fiber`; with what subscribers have around the step."""
        events = self.run.events
        if events is None or self._key is None:
            return super().context()
        with events.around_job(self._key, 1):
            return super().context()

    def close(
        self, record: StepRecord, status: Status, error: BaseException | None = None
    ) -> None:
        """See `Fiber`."""
        super().close(record, status, error)
        self.run.tell_ended(record, error)

    def complete(self, record: StepRecord, value: Any) -> int:
        """See `Fiber`."""
        following = super().complete(record, value)
        if following != SUSPENDED:
            self.run.tell_ended(record, None)
        return following


class _Around:
    """Calls functions of steps within what subscribers have around them."""

    def __init__(self, fiber: ToldFiber, events: Events, apart: Any) -> None:
        # Weakly: finished runs are freed at once.
        self._fiber = weakref.ref(fiber)
        self._events = events
        self._apart = apart

    def call(self, fn: Callable[..., Any], ctx: Context) -> Any:
        """Call a function of the step that has begun last."""
        return self._apart(self._within, fn, ctx)

    def _within(self, fn: Callable[..., Any], ctx: Context) -> Any:
        fiber = self._fiber()
        if fiber is None or fiber._key is None:
            return fn(ctx)
        with self._events.around_job(fiber._key, 1):
            return fn(ctx)


def fiber_of(
    run: RunOfFiber, program: Program, home: Home, ctx: Context, done: Done
) -> Fiber:
    """Return a fiber; one that tells of itself, if anybody listens."""
    kind = Fiber if run.events is None and run.spans is None else ToldFiber
    return kind(run, program, home, ctx, done)


def _nobody(_: BaseException | None, __: Any) -> None:
    pass


class _Awaiting:
    """A coroutine that a fiber waits for."""

    __slots__ = ("_cancelled", "_fiber", "_future", "_then")

    def __init__(self, fiber: Fiber, then: Callable[[Any], int]) -> None:
        self._fiber = fiber
        self._then = then
        self._future: Any = None
        self._cancelled = False

    def start(self, coroutine: Any) -> None:
        fiber = self._fiber
        context = fiber.context()
        context.run(CURRENT.set, fiber)
        future = context.run(fiber.run.places.run_coroutine, self._arrived, coroutine)
        self._future = future
        if future.done():  # it may have arrived before that
            self._future = None
        if self._cancelled:
            future.cancel()

    def cancel(self) -> None:
        self._cancelled = True
        future = self._future
        if future is not None:
            future.cancel()

    def _arrived(self, future: Any) -> None:
        self._future = None  # it refers to this as its callback
        if self._cancelled:
            return
        then = self._then
        # result() raises inside of advance(), as if the function had raised there.
        self._fiber.resume(lambda: then(future.result()))
