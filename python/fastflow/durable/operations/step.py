"""Steps: a function that is called once, in as many attempts as its strategy allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastflow.durable.config import StepConfig, StepSemantics, to_seconds
from fastflow.durable.exceptions import StepError
from fastflow.durable.operations.attempted import Attempted, Outcome
from fastflow.durable.operations.calls import make_attempt
from fastflow.durable.retries import StepPolicy
from fastflow.durable.types import StepContext

if TYPE_CHECKING:
    from fastflow.durable.operations.position import Position
    from fastflow.durable.runtime.runtime import RetryStrategy

__all__ = ["Step"]


class Step(Attempted):
    """``context.step()``."""

    __slots__ = ("_fn", "_strategy", "_timeout", "at_most_once")

    kind = "STEP"
    error_kind = StepError

    def __init__(
        self,
        context: Position,
        fn: Callable[[StepContext], Any],
        name: str | None,
        config: StepConfig | None,
    ) -> None:
        self._fn = fn
        if config is None:
            super().__init__(context, "Step", name)
            self._strategy: RetryStrategy | None = None
            self.at_most_once = False
            self._timeout: float | None = None
            return
        super().__init__(context, config.sub_type or "Step", name, config.serdes)
        self._strategy = config.retry_strategy
        self.at_most_once = (
            config.step_semantics is StepSemantics.AT_MOST_ONCE_PER_RETRY
        )
        self._timeout = None if config.timeout is None else to_seconds(config.timeout)

    def retry(self) -> StepPolicy | None:
        """See `Attempted`."""
        strategy = (
            self._strategy or self.context._replay.execution.runtime.default_retry
        )
        return None if strategy is None else StepPolicy(strategy)

    def attempt_now(self, attempt: int) -> Outcome:
        """See `Attempted`."""
        given = StepContext(self.context, self, attempt)
        return make_attempt(self, self._timeout, self._fn, given)
