"""What functions of users are given: step contexts, loggers, callbacks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastflow.durable.logs import DurableLogFilter, ReplayLogger

if TYPE_CHECKING:
    from fastflow.durable.operations.operation import Operation
    from fastflow.durable.operations.position import Position

__all__ = [
    "DurableLogFilter",
    "ExecutionContext",
    "ReplayLogger",
    "StepContext",
    "WaitForCallbackContext",
    "WaitForConditionCheckContext",
]


class ExecutionContext:
    """What is known of the whole execution.

    Attributes
    ----------
    durable_execution_arn : str
        The name of the execution, which is unique in its store.
    function_name : str
    """

    __slots__ = ("durable_execution_arn", "function_name")

    def __init__(self, name: str, function: str) -> None:
        self.durable_execution_arn = name
        self.function_name = function

    def __repr__(self) -> str:
        return (
            f"<ExecutionContext {self.durable_execution_arn!r} of {self.function_name}>"
        )


class StepContext:
    """What the function of a step is given.

    Attributes
    ----------
    attempt : int
        From 1.
    """

    __slots__ = ("_context", "_operation", "attempt")

    def __init__(self, context: Position, operation: Operation, attempt: int) -> None:
        self._context = context
        self._operation = operation
        self.attempt = attempt

    @property
    def logger(self) -> ReplayLogger:
        """A logger whose records carry the ids of execution, operation and attempt."""
        return ReplayLogger(self._context, self._context.plain_logger, self._operation)

    @property
    def operation_id(self) -> str:
        """The id of the step, in hexadecimal digits."""
        return self._operation.id.hex()

    @property
    def execution_context(self) -> ExecutionContext:
        """The execution that the step belongs to."""
        execution = self._context._replay.execution
        return ExecutionContext(execution.name, execution.function)

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the result any more: the batch has been decided."""
        return self._context._scope.over


class WaitForConditionCheckContext(StepContext):
    """What the function of ``wait_for_condition`` is given with the state."""

    __slots__ = ()


class WaitForCallbackContext(StepContext):
    """What the submitter of ``wait_for_callback`` is given with the callback's id."""

    __slots__ = ()


#: Names that the AWS SDK has in its module of this name, and where they are.
_ELSEWHERE = {
    "BatchResult": "results",
    "Callback": "callback",
    "DurableContext": "context",
}


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        module = importlib.import_module(f"fastflow.durable.{_ELSEWHERE[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
