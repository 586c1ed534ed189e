"""Instructions for single calls: step, action, log, on_error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow.errors import shown
from fastflow.run.scope import Scope
from fastflow.workflows.fiber import SUSPENDED
from fastflow.workflows.options import LOG_FIELDS, CallOptions
from fastflow.workflows.program import Instruction
from fastflow.workflows.records import COMPLETED, FAILED, StepRecord

if TYPE_CHECKING:
    from fastflow.workflows.fiber import Line

__all__ = ["Action", "GuardedStep", "Log", "OnError", "Step"]

Function = Callable[..., Any]

_LOGGER = logging.getLogger("fastflow")


class Step(Instruction):
    """Calls a function on the line's own thread."""

    __slots__ = ("fn",)

    def __init__(self, name: str, fn: Function) -> None:
        super().__init__(name)
        self.fn = fn

    def execute(self, line: Line) -> int:
        """Call it; the value is the output."""
        record = line.begin(self.name)
        value = line.run.apart(self.fn, line.ctx)
        if type(value) is CoroutineType:
            return line.wait_for(value, lambda value: line.complete(record, value))
        return line.complete(record, value)


class GuardedStep(Instruction):
    """A step with retries, time limit, delay or cache.

    With a time limit, a function that isn't async is called on the run's executor: so
    the line can go on when the time is up.
    """

    __slots__ = ("fn", "options")

    def __init__(self, name: str, fn: Function, options: CallOptions) -> None:
        super().__init__(name)
        self.fn = fn
        self.options = options

    def execute(self, line: Line) -> int:
        """Look into the cache, else call."""
        record = line.begin(self.name)
        record.attempts = 0  # if the output is in the cache
        cache = self.options.cache
        if cache is None:
            return self._call(line, record, None)
        kept = cache

        def look(key: Any) -> int:
            found = kept.find(key, line.run.clock)
            if found is not None:
                return line.complete(record, found[0])
            return self._call(line, record, lambda value: kept.keep(
                key, value, line.run.clock
            ))  # fmt: skip

        return line.call(cache.key, look)

    def _call(
        self, line: Line, record: StepRecord, keep: Callable[[Any], None] | None
    ) -> int:
        def done(error: BaseException | None, value: Any) -> None:
            record.attempts = call.attempts.count
            line.resume(lambda: complete(error, value))

        def complete(error: BaseException | None, value: Any) -> int:
            if error is not None:
                raise error
            if keep is not None:
                keep(value)
            return line.complete(record, value)

        home = line.home if self.options.timeout is None else None
        call = line.run.make_call(
            f"step {self.name!r}", self.fn, line.ctx.branch(Scope(line.ctx._token)),
            (), done, self.options, home,
        )  # fmt: skip
        if line.run.events is not None:
            call.tell_retries(line.run.events, line.run.key(record))
        line.suspend(call)
        call.start()
        return SUSPENDED


class Action(Instruction):
    """Calls a function in the background."""

    __slots__ = ("fn",)

    def __init__(self, name: str, fn: Function) -> None:
        super().__init__(name)
        self.fn = fn

    def execute(self, line: Line) -> int:
        """Start it and go on."""
        record = line.begin(self.name)
        run = line.run

        def done(error: BaseException | None, value: Any) -> None:
            record.output = value
            status = COMPLETED if error is None else FAILED
            record.close(status, error, run.clock.now())
            if error is not None:
                _LOGGER.error(
                    "action %r of %s failed", self.name, run.label, exc_info=error
                )
            run.actions.remove(call)

        ctx = line.ctx.branch(Scope(line.ctx._token))
        call = run.make_call(f"action {self.name!r}", self.fn, ctx, (), done)
        run.actions.add(call, record)
        call.start()
        return line.pc + 1


class Log(Instruction):
    """Writes a line to the log."""

    __slots__ = ("level", "text")

    def __init__(self, text: str | Function, level: int) -> None:
        super().__init__(None)
        self.text = text
        self.level = level

    def execute(self, line: Line) -> int:
        """Format and write it; a mistake in the text does not fail the run."""
        if not _LOGGER.isEnabledFor(self.level):
            return line.pc + 1
        message = self._message(line)
        if type(message) is CoroutineType:
            return line.wait_for(
                self._awaited(message), lambda text: self._write(line, text)
            )
        return self._write(line, message)

    def _message(self, line: Line) -> Any:
        try:
            if not isinstance(self.text, str):
                return self.text(line.ctx)
            fields = {name: getattr(line.ctx, name) for name in LOG_FIELDS}
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

    def _write(self, line: Line, message: Any) -> int:
        try:
            text = str(message)
        except Exception as error:
            text = self._mistake(error)
        _LOGGER.log(
            self.level, "%s: %s", line.run.label, text,
            extra={"run": line.run.id, "workflow": line.run.workflow},
        )  # fmt: skip
        return line.pc + 1


class OnError(Instruction):
    """Gets the exceptions of what is before it; without one, does nothing."""

    __slots__ = ("fn",)

    def __init__(self, name: str, fn: Function) -> None:
        super().__init__(name)
        self.fn = fn

    def execute(self, line: Line) -> int:
        """Call the handler; the run goes on with what it returns."""
        error, line.failure = line.failure, None
        if error is None:
            return line.pc + 1
        record = line.begin(self.name)
        ctx = line.ctx
        ctx.error = error
        ctx.failed_step = line.origin[1] if line.origin is not None else None

        def handled(value: Any) -> int:
            ctx.error = ctx.failed_step = None
            line.origin = None
            return line.complete(record, value)

        return line.call(self.fn, handled)
