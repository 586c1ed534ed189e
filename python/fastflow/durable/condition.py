"""``wait_for_condition``: a function that is called again until its state is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastflow.durable.attempts import call
from fastflow.durable.config import to_seconds
from fastflow.durable.exceptions import WaitForConditionError
from fastflow.durable.failures import leaves_unfinished, operation_error, to_failure
from fastflow.durable.operation import Operation
from fastflow.durable.payloads import load, through
from fastflow.durable.records import FAILED, RETRYING, SUCCEEDED, Record
from fastflow.durable.types import WaitForConditionCheckContext
from fastflow.durable.waiting import rest_until
from fastflow.durable.waits import WaitForConditionConfig

if TYPE_CHECKING:
    from fastflow.durable.context import DurableContext

__all__ = ["Condition"]


class Condition(Operation):
    """``context.wait_for_condition()``; each poll's state is recorded."""

    __slots__ = ("_check", "_config")

    kind = "STEP"
    error_kind = WaitForConditionError

    def __init__(
        self,
        context: DurableContext,
        check: Callable[[Any, WaitForConditionCheckContext], Any],
        config: WaitForConditionConfig[Any],
        name: str | None,
    ) -> None:
        super().__init__(context, "WaitForCondition", name, config.serdes)
        self._check = check
        self._config = config

    def advance(self, record: Record | None) -> Any:
        """Poll until the strategy says stop."""
        line = self.context._line
        if record is None:
            attempt = 1
            state = through(
                self._config.initial_state, self.serdes, self.serdes_context
            )[1]
        else:
            attempt = record.attempt + 1
            state = self.returned(record)
            rest_until(self, record)
        while True:
            if self.id not in line.pending:
                self.started = line.execution.engine.now_us()
            state, due = self._poll(state, attempt)
            if due is None:
                return state
            rest_until(self, due=due)
            attempt += 1

    def _poll(self, state: Any, attempt: int) -> tuple[Any, int | None]:
        """Call the function once; return the state and when to call it again."""
        line = self.context._line
        given = WaitForConditionCheckContext(self.context, self, attempt)
        value, error = call(self, None, self._check, state, given)
        if error is None:
            data, value = through(value, self.serdes, self.serdes_context)
            try:
                decision = self._config.wait_strategy(value, attempt)
                goes_on = decision.should_continue
                delay = to_seconds(decision.delay) if goes_on else 0.0
            except Exception as raised:
                error = raised
        if error is not None:
            if leaves_unfinished(error):
                raise error
            failure = to_failure(error)
            self.commit(self.add(FAILED, error=failure, attempt=attempt))
            raise operation_error(WaitForConditionError, failure)
        if not goes_on:
            self.commit(self.add(SUCCEEDED, data, attempt=attempt))
            return value, None
        due = line.execution.engine.now_us() + round(delay * 1e6)
        self.add(RETRYING, data, attempt=attempt, due=due)
        # As a replay will see it: a function may change what it was given.
        return load(data, self.serdes, self.serdes_context), due
