"""Steps: a function that is called once, in as many attempts as its strategy allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastflow.durable.attempts import call
from fastflow.durable.config import StepConfig, StepSemantics, to_seconds
from fastflow.durable.exceptions import StepError, StepInterruptedError
from fastflow.durable.failures import (
    is_fatal,
    leaves_unfinished,
    operation_error,
    to_failure,
)
from fastflow.durable.operation import Operation
from fastflow.durable.payloads import through
from fastflow.durable.records import BEGUN, FAILED, RETRYING, SUCCEEDED, Record
from fastflow.durable.types import StepContext
from fastflow.durable.waiting import rest_until

if TYPE_CHECKING:
    from fastflow.durable.context import DurableContext
    from fastflow.durable.engine import RetryStrategy

__all__ = ["Step"]


class Step(Operation):
    """``context.step()``."""

    __slots__ = ("_at_most_once", "_fn", "_strategy", "_timeout")

    kind = "STEP"
    error_kind = StepError

    def __init__(
        self,
        context: DurableContext,
        fn: Callable[[StepContext], Any],
        name: str | None,
        config: StepConfig | None,
    ) -> None:
        self._fn = fn
        if config is None:
            super().__init__(context, "Step", name)
            self._strategy: RetryStrategy | None = None
            self._at_most_once = False
            self._timeout: float | None = None
            return
        super().__init__(context, config.sub_type or "Step", name, config.serdes)
        self._strategy = config.retry_strategy
        self._at_most_once = (
            config.step_semantics is StepSemantics.AT_MOST_ONCE_PER_RETRY
        )
        self._timeout = None if config.timeout is None else to_seconds(config.timeout)

    def advance(self, record: Record | None) -> Any:
        """Make attempts until one succeeds or the strategy gives up."""
        attempt = 1
        value: Any = None
        error: BaseException | None = None
        if record is not None:
            attempt = record.attempt
            if record.action == RETRYING:
                rest_until(self, record)
                attempt += 1
            elif self.id not in self.context._line.pending:
                # Begun by a process that died before it could say how it ended.
                error = StepInterruptedError(
                    f"attempt {attempt} of {self.describe_now()} was interrupted; "
                    "whether it took effect is not known"
                )
        while True:
            if error is None:
                value, error = self._attempt(attempt)
            if error is None:
                return self._succeed(value, attempt)
            self._fail(error, attempt)  # returns if there is to be another attempt
            attempt += 1
            error = None

    def _attempt(self, attempt: int) -> tuple[Any, BaseException | None]:
        context = self.context
        line = context._line
        if self.id not in line.pending:
            self.started = line.execution.engine.now_us()
            if self._at_most_once:
                self.commit(self.add(BEGUN, attempt=attempt))
        given = StepContext(context, self, attempt)
        return call(self, self._timeout, self._fn, given)

    def _succeed(self, value: Any, attempt: int) -> Any:
        data, value = through(value, self.serdes, self.serdes_context)
        self.commit(self.add(SUCCEEDED, data, attempt=attempt))
        return value

    def _fail(self, error: BaseException, attempt: int) -> None:
        if is_fatal(error):
            raise error
        assert isinstance(error, Exception)
        delay, error = self._decide(error, attempt)
        failure = to_failure(error)
        if delay is None:
            if leaves_unfinished(error):
                raise error
            self.commit(self.add(FAILED, error=failure, attempt=attempt))
            raise operation_error(StepError, failure)
        due = self.context._line.execution.engine.now_us() + round(delay * 1e6)
        self.add(RETRYING, error=failure, attempt=attempt, due=due)
        rest_until(self, due=due)

    def _decide(self, error: Exception, attempt: int) -> tuple[float | None, Exception]:
        """Return in how many seconds to try again, or None; and what has failed.

        That is the strategy, if it raises: what it did must be the same in a replay.
        """
        strategy = self._strategy or self.context._line.execution.engine.default_retry
        if strategy is None:
            return None, error
        try:
            decision = strategy(error, attempt)
            again = decision is not None and decision.should_retry
            return (to_seconds(decision.delay) if again else None), error
        except Exception as raised:
            return None, raised
