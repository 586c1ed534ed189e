"""The errors of durable executions.

All derive from `DurableExecutionsError`, but `SuspendExecution`, which is no error: it
lets go of the thread of a function that has to wait.
"""

from __future__ import annotations

from typing import Any

from fastflow.errors import FastflowError

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


def qualified_name(kind: type) -> str:
    """Return what an exception's type is recorded as: ``ValueError``, ``mod.Name``."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


class DurableExecutionsError(FastflowError):
    """Root of the errors of durable executions."""


class ValidationError(DurableExecutionsError, ValueError):
    """An argument that can't be used; nothing has been recorded."""


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


class _DescribedError(DurableExecutionsError):
    """An error with the fields that are recorded of it."""

    def __init__(
        self,
        message: str | None = None,
        error_type: str | None = None,
        data: str | None = None,
        stack_trace: list[str] | None = None,
    ) -> None:
        super().__init__(message, error_type, data, stack_trace)
        self.message = message
        self.error_type = error_type or qualified_name(type(self))
        self.data = data
        self.stack_trace = stack_trace

    def __str__(self) -> str:
        return "" if self.message is None else str(self.message)


class SerDesError(_DescribedError):
    """A value can't be stored, or what was stored can't be read back.

    The execution remains unfinished, and goes on once that is mended.
    """


class RetryableSerDesError(SerDesError):
    """A serdes failed for now, as when it keeps its data elsewhere."""


class DurableOperationError(_DescribedError):
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


class ExecutionInProgress(DurableExecutionsError):  # noqa: N818  (the specified name)
    """The execution is running, here or in another process."""


class ExecutionConflictError(DurableExecutionsError, ValueError):
    """The name belongs to an execution of another function, or with another input."""


class JournalError(DurableExecutionsError):
    """The store can't be used; what was acknowledged is safe."""


class JournalVersionError(JournalError):
    """The store was written by another version of this program."""


class JournalDamagedError(JournalError):
    """The store is not what was written."""


class JournalReadOnlyError(JournalError):
    """The store can't be written."""


class JournalFullError(JournalError):
    """No space is left; the same store goes on once there is some."""


class JournalIOError(JournalError):
    """Reading or writing failed; the store has to be opened anew."""


class JournalLockedError(JournalError):
    """Another process holds the store for too long."""


class LeaseLostError(JournalError):
    """Another process has taken over the execution."""


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
