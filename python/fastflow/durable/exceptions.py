"""The errors of durable executions.

All derive from `DurableExecutionsError`, but `SuspendExecution`, which is no error: it
lets go of the thread of a function that has to wait.
"""

from __future__ import annotations

from typing import Any

from fastflow.journal.errors import (
    DescribedError,
    DurableExecutionsError,
    ExecutionConflictError,
    ExecutionInProgress,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalIOError,
    JournalLockedError,
    JournalReadOnlyError,
    JournalVersionError,
    LeaseLostError,
    RetryableSerDesError,
    SerDesError,
    ValidationError,
    qualified_name,
)

__all__ = [
    "BatchCompletionError",
    "CallbackAlreadyCompletedError",
    "CallbackError",
    "CallbackExternalError",
    "CallbackSubmitterError",
    "CallbackTimeoutError",
    "ChildContextError",
    "DurableExecutionsError",
    "DurableOperationError",
    "ExecutionConflictError",
    "ExecutionError",
    "ExecutionInProgress",
    "FunctionNotFoundError",
    "InvalidStateError",
    "InvocationError",
    "InvokeError",
    "JournalDamagedError",
    "JournalError",
    "JournalFullError",
    "JournalIOError",
    "JournalLockedError",
    "JournalReadOnlyError",
    "JournalVersionError",
    "LeaseLostError",
    "NonDeterministicExecutionError",
    "RetryableSerDesError",
    "SerDesError",
    "StepError",
    "StepInterruptedError",
    "SuspendExecution",
    "UnrecoverableError",
    "ValidationError",
    "WaitForConditionError",
    "operation_error_class",
    "qualified_name",
]


class InvalidStateError(DurableExecutionsError):
    """Something is used at a time when it can't be, as a context inside of a step."""


class CallbackAlreadyCompletedError(InvalidStateError):
    """An answer comes for a callback that has its outcome; nothing has been changed."""


class UnrecoverableError(DurableExecutionsError):
    """Ends the run, whatever the program says; the execution remains unfinished."""


class ExecutionError(DurableExecutionsError):
    """An execution failed, or a function says so by raising this."""


class InvocationError(UnrecoverableError):
    """An attempt to run the execution has failed; it remains unfinished."""


class FunctionNotFoundError(InvocationError, ValidationError):
    """No durable function of that name is known here; its module isn't imported."""


class NonDeterministicExecutionError(ExecutionError, UnrecoverableError):
    """A program met other operations than when it ran before.

    Attributes
    ----------
    step_id : str or None
        The id of the operation, in hexadecimal digits.
    position : str or None
        Where it is: ``2[3].1`` is the first operation of branch 3 of the second one.
    recorded, current : str or None
        What was met there before, and now.
    """

    def __init__(
        self,
        message: str,
        step_id: str | None = None,
        position: str | None = None,
        recorded: str | None = None,
        current: str | None = None,
    ) -> None:
        super().__init__(message, step_id, position, recorded, current)
        self.step_id = step_id
        self.position = position
        self.recorded = recorded
        self.current = current

    def __str__(self) -> str:
        return str(self.args[0])


class DurableOperationError(DescribedError):
    """An operation failed; the subclass tells which kind of operation.

    Attributes
    ----------
    message : str or None
    error_type : str
        Type name of the error that ended the operation, as in ``"ValueError"``.
    data : str or None
    stack_trace : list of str or None
        Of that error.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # The cause is made from the record, too: it is part of what is told.
        state = dict(self.__dict__)
        if self.__cause__ is not None:
            state["__cause__"] = self.__cause__
        return type(self), self.args, state


class StepError(DurableOperationError):
    """The last attempt of a step failed."""


class InvokeError(DurableOperationError):
    """An invoked function failed, or took too long."""


class ChildContextError(DurableOperationError):
    """The function of a child context or of a branch raised."""


class WaitForConditionError(DurableOperationError):
    """A poll raised, or its strategy gave up."""


class CallbackError(DurableOperationError):
    """A callback did not bring a result."""


class CallbackExternalError(CallbackError):
    """A failure was sent."""


class CallbackTimeoutError(CallbackError):
    """Nothing was sent in time."""


class CallbackSubmitterError(CallbackError):
    """The step that sends the callback's id failed."""


class BatchCompletionError(DurableOperationError):
    """A batch is complete, but not as it was to be.

    Attributes
    ----------
    completion_reason : CompletionReason
    """

    def __init__(
        self,
        completion_reason: Any = None,
        message: str | None = None,
        error_type: str | None = None,
        data: str | None = None,
        stack_trace: list[str] | None = None,
    ) -> None:
        value = getattr(completion_reason, "value", completion_reason)
        text = message or "the batch is complete, but has failed" + (
            "" if value is None else f": {value}"
        )
        super().__init__(text, error_type, data, stack_trace)
        self.args = (completion_reason, text, error_type, data, stack_trace)
        self.completion_reason = completion_reason


class StepInterruptedError(DurableExecutionsError):
    """An at-most-once attempt began, and nobody knows how it ended."""


class SuspendExecution(BaseException):
    """Control flow: the function has to wait and gives its thread up.

    Derives from BaseException so that ``except Exception`` lets it pass.
    """


_REBUILT: dict[str, type[DurableOperationError]] = {
    qualified_name(kind): kind
    for kind in (
        DurableOperationError,
        StepError,
        InvokeError,
        ChildContextError,
        WaitForConditionError,
        CallbackError,
        CallbackExternalError,
        CallbackTimeoutError,
        CallbackSubmitterError,
        BatchCompletionError,
    )
}


def operation_error_class(name: str) -> type[DurableOperationError] | None:
    """Return the class that is recorded under a name, if it is one of ours."""
    return _REBUILT.get(name)
