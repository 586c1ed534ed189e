"""Instructions for single calls: step, action, log, on_error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow.base.log_ids import extra
from fastflow.errors import shown
from fastflow.run.scope import Scope
from fastflow.workflows.fiber import SUSPENDED
from fastflow.workflows.options import LOG_FIELDS, CallOptions
from fastflow.workflows.program import Instruction
from fastflow.workflows.records import COMPLETED, FAILED, StepRecord

if TYPE_CHECKING:
    from fastflow.workflows.fiber import Fiber

__all__ = ["Action", "GuardedStep", "Log", "OnError", "Step"]

Function = Callable[..., Any]

_LOGGER = logging.getLogger("fastflow")


class Step(Instruction):
    """Calls a function on the fiber's own thread."""

    __slots__ = ("fn",)

    def __init__(self, name: str, fn: Function) -> None:
        super().__init__(name)
        self.fn = fn

    def execute(self, fiber: Fiber) -> int:
        """Call it; the value is the output."""
        record = fiber.begin(self.name)
        value = fiber.apart(self.fn, fiber.ctx)
        if type(value) is CoroutineType:
            return fiber.wait_for(value, lambda value: fiber.complete(record, value))
        return fiber.complete(record, value)


class GuardedStep(Instruction):
    """A step with retries, time limit, delay or cache.

    With a time limit, a function that isn't async is called on the run's executor: so
    the fiber can go on when the time is up.
    """

    __slots__ = ("fn", "options")

    def __init__(self, name: str, fn: Function, options: CallOptions) -> None:
        super().__init__(name)
        self.fn = fn
        self.options = options

    def execute(self, fiber: Fiber) -> int:
        """Look into the cache, else call."""
        record = fiber.begin(self.name)
        record.attempts = 0  # if the output is in the cache
        cache = self.options.cache
        if cache is None:
            return self._call(fiber, record, None)
        kept = cache

        def look(key: Any) -> int:
            found = kept.find(key, fiber.run.clock)
            if found is not None:
                return fiber.complete(record, found[0])
            return self._call(fiber, record, lambda value: kept.keep(
                key, value, fiber.run.clock
            ))  # fmt: skip

        return fiber.call(cache.key, look)

    def _call(
        self, fiber: Fiber, record: StepRecord, keep: Callable[[Any], None] | None
    ) -> int:
        def done(error: BaseException | None, value: Any) -> None:
            record.attempts = call.attempts.count
            fiber.resume(lambda: complete(error, value))

        def complete(error: BaseException | None, value: Any) -> int:
            if error is not None:
                raise error
            if keep is not None:
                keep(value)
            return fiber.complete(record, value)

        home = fiber.home if self.options.timeout is None else None
        call = fiber.run.make_call(
            f"step {self.name!r}", self.fn, fiber.ctx.branch(Scope(fiber.ctx._token)),
            (), done, self.options, home,
        )  # fmt: skip
        call.step = str(self.name)
        if fiber.run.job_events is not None:
            call.tell_retries(fiber.run.job_events, fiber.run.key(record))
            call.spans = fiber.run.spans
        fiber.suspend(call)
        call.start()
        return SUSPENDED


class Action(Instruction):
    """Calls a function in the background."""

    __slots__ = ("fn",)

    def __init__(self, name: str, fn: Function) -> None:
        super().__init__(name)
        self.fn = fn

    def execute(self, fiber: Fiber) -> int:
        """Start it and go on."""
        record = fiber.begin(self.name)
        run = fiber.run

        def done(error: BaseException | None, value: Any) -> None:
            record.output = value
            status = COMPLETED if error is None else FAILED
            record.close(status, error, run.clock.now())
            if error is not None:
                _LOGGER.error(
                    "action %r of %s failed", self.name, run.label, exc_info=error,
                    extra=extra(run.id, self.name, call.attempts.count),
                )  # fmt: skip
            run.actions.remove(call)

        ctx = fiber.ctx.branch(Scope(fiber.ctx._token))
        call = run.make_call(
            f"action {self.name!r}", self.fn, ctx, (), done,
            context=fiber.context(),
        )  # fmt: skip
        call.step = str(self.name)
        if run.spans is not None:
            call.note(run.spans, run.key(record))
        run.actions.add(call, record)
        call.start()
        return fiber.pc + 1


class Log(Instruction):
    """Writes a line to the log."""

    __slots__ = ("level", "text")

    def __init__(self, text: str | Function, level: int) -> None:
        super().__init__(None)
        self.text = text
        self.level = level

    def execute(self, fiber: Fiber) -> int:
        """Format and write it; a mistake in the text does not fail the run."""
        if not _LOGGER.isEnabledFor(self.level):
            return fiber.pc + 1
        message = self._message(fiber)
        if type(message) is CoroutineType:
            return fiber.wait_for(
                self._awaited(message), lambda text: self._write(fiber, text)
            )
        return self._write(fiber, message)

    def _message(self, fiber: Fiber) -> Any:
        try:
            if not isinstance(self.text, str):
                return self.text(fiber.ctx)
            fields = {name: getattr(fiber.ctx, name) for name in LOG_FIELDS}
            return self.text.format(**fields)
        except Exception as error:
            return self._mistake(error)

    async def _awaited(self, message: Any) -> Any:
        try:
            return await message
        except Exception as error:
            return self._mistake(error)

    def _mistake(self, error: Exception) -> str:
        return f"{self.text!r} can't be formatted: {shown(error)}"

    def _write(self, fiber: Fiber, message: Any) -> int:
        try:
            text = str(message)
        except Exception as error:
            text = self._mistake(error)
        _LOGGER.log(
            self.level, "%s: %s", fiber.run.label, text,
            extra={
                **extra(fiber.run.id), "run": fiber.run.id,
                "workflow": fiber.run.workflow,
            },
        )  # fmt: skip
        return fiber.pc + 1


class OnError(Instruction):
    """Gets the exceptions of what is before it; without one, does nothing."""

    __slots__ = ("fn",)

    def __init__(self, name: str, fn: Function) -> None:
        super().__init__(name)
        self.fn = fn

    def execute(self, fiber: Fiber) -> int:
        """Call the handler; the run goes on with what it returns."""
        error, fiber.failure = fiber.failure, None
        if error is None:
            return fiber.pc + 1
        record = fiber.begin(self.name)
        ctx = fiber.ctx
        ctx.error = error
        ctx.failed_step = fiber.origin[1] if fiber.origin is not None else None

        def handled(value: Any) -> int:
            ctx.error = ctx.failed_step = None
            fiber.origin = None
            return fiber.complete(record, value)

        return fiber.call(self.fn, handled)
