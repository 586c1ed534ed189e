"""``wait_for_condition``: a function that is called again until its state is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastflow.durable.config import to_seconds
from fastflow.durable.exceptions import WaitForConditionError
from fastflow.durable.operations.attempted import Attempted, Outcome
from fastflow.durable.operations.calls import make_attempt
from fastflow.durable.types import WaitForConditionCheckContext
from fastflow.durable.waits import WaitForConditionConfig
from fastflow.journal.payloads import load, through
from fastflow.journal.records import RETRYING, SUCCEEDED, Record
from fastflow.run.attempts import Attempts

if TYPE_CHECKING:
    from fastflow.durable.operations.position import Position

__all__ = ["Condition"]


class _NotYetError(Exception):
    """What a poll has found is not right yet: no failure, but another one is wanted."""

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__("the condition is not met yet")
        self.data = data
        self.seconds = seconds


class _Polls:
    """Polls again after what is not right yet, when the wait strategy has said."""

    def decide(self, error: BaseException, _: int, /) -> float | None:
        """See `fastflow.run.attempts.Retry`."""
        return error.seconds if isinstance(error, _NotYetError) else None


_POLLS = _Polls()


class Condition(Attempted):
    """``context.wait_for_condition()``; each poll's state is recorded."""

    __slots__ = ("_check", "_config", "_state")

    kind = "STEP"
    error_kind = WaitForConditionError

    def __init__(
        self,
        context: Position,
        check: Callable[[Any, WaitForConditionCheckContext], Any],
        config: WaitForConditionConfig[Any],
        name: str | None,
    ) -> None:
        super().__init__(context, "WaitForCondition", name, config.serdes)
        self._check = check
        self._config = config
        self._state: Any = None

    def advance(self, record: Record | None) -> Any:
        """Poll until the strategy says stop."""
        if record is None:
            first = self._config.initial_state
            self._state = through(first, self.serdes, self.serdes_context)[1]
        else:
            self._state = self.returned(record)
        return super().advance(record)

    def retry(self) -> _Polls:
        """See `Attempted`."""
        return _POLLS

    def attempt_now(self, attempt: int) -> Outcome:
        """Call the function once; its value is what is to be stored, and the state."""
        given = WaitForConditionCheckContext(self.context, self, attempt)
        value, error = make_attempt(self, None, self._check, self._state, given)
        if error is not None:
            return None, error
        data, value = through(value, self.serdes, self.serdes_context)
        try:
            decision = self._config.wait_strategy(value, attempt)
            if decision.should_continue:
                return None, _NotYetError(data, to_seconds(decision.delay))
        except Exception as raised:
            return None, raised
        return (data, value), None

    def keep_retrying(self, attempts: Attempts, due: int) -> None:
        """See `Attempted`; what is kept is the state."""
        assert isinstance(attempts.error, _NotYetError)
        data = attempts.error.data
        self.add(RETRYING, data, attempt=attempts.count, due=due)
        # As a replay will see it: a function may change what it was given.
        self._state = load(data, self.serdes, self.serdes_context)

    def succeed(self, value: Any, attempt: int) -> Any:
        """See `Attempted`."""
        data, state = value
        self.commit(self.add(SUCCEEDED, data, attempt=attempt))
        self.tell_ended(attempt, None)
        return state
