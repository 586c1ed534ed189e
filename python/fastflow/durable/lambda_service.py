"""The words of the AWS service for operations and their states, and `ErrorObject`."""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Any, NoReturn

import msgspec

from fastflow.durable.exceptions import (
    DurableOperationError,
    operation_error_class,
    qualified_name,
)
from fastflow.errors import text_of
from fastflow.journal.statuses import WithFlowStatus

__all__ = [
    "ErrorObject",
    "InvocationStatus",
    "OperationAction",
    "OperationStatus",
    "OperationSubType",
    "OperationType",
]

_CAUSES = 10  # of an error, one behind the other
_FRAMES = 40  # of a traceback, at the end where it happened


class OperationType(Enum):
    """Kinds of operations."""

    EXECUTION = "EXECUTION"
    CONTEXT = "CONTEXT"
    STEP = "STEP"
    WAIT = "WAIT"
    CALLBACK = "CALLBACK"
    CHAINED_INVOKE = "CHAINED_INVOKE"


class OperationStatus(WithFlowStatus):
    """States of an operation."""

    STARTED = "STARTED"
    PENDING = "PENDING"
    READY = "READY"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    STOPPED = "STOPPED"


class OperationAction(Enum):
    """What happens to an operation."""

    START = "START"
    SUCCEED = "SUCCEED"
    FAIL = "FAIL"
    RETRY = "RETRY"
    CANCEL = "CANCEL"


class OperationSubType(StrEnum):
    """Sub-types that this package gives to its own operations."""

    STEP = "Step"
    WAIT = "Wait"
    CALLBACK = "Callback"
    RUN_IN_CHILD_CONTEXT = "RunInChildContext"
    MAP = "Map"
    MAP_ITERATION = "MapIteration"
    PARALLEL = "Parallel"
    PARALLEL_BRANCH = "ParallelBranch"
    RACE = "Race"
    RACE_BRANCH = "RaceBranch"
    WAIT_FOR_CALLBACK = "WaitForCallback"
    WAIT_FOR_CONDITION = "WaitForCondition"
    CHAINED_INVOKE = "ChainedInvoke"


class InvocationStatus(WithFlowStatus):
    """How a run of a durable function ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    PENDING = "PENDING"
    RETRY = "RETRY"


class ErrorObject(msgspec.Struct, frozen=True, gc=False):
    """What is kept of an exception.

    Attributes
    ----------
    message, type, data : str or None
        `type` is its name: ``ValueError``, or module and name of other classes.
    stack_trace : tuple of str or None
        The end of its traceback, a frame each.
    notes : tuple of str or None
    cause : ErrorObject or None
        Of its ``__cause__``.
    error_type : str or None
        That of an error that has one of its own, as of a step that failed.
    """

    message: str | None = None
    type: str | None = None
    data: str | None = None
    stack_trace: tuple[str, ...] | None = None
    notes: tuple[str, ...] | None = None
    cause: ErrorObject | None = None
    error_type: str | None = None

    @classmethod
    def from_exception(
        cls, exception: BaseException, causes: int = _CAUSES
    ) -> ErrorObject:
        """Return what is kept of an exception, and of so many causes behind it."""
        own = None
        if isinstance(exception, DurableOperationError):
            data = exception.data
            trace = exception.stack_trace
            own = exception.error_type
        else:
            data = None
            trace = traceback.format_tb(exception.__traceback__)[-_FRAMES:]
        message = text_of(exception)
        name = qualified_name(type(exception))
        cause = exception.__cause__
        return cls(
            message,
            name,
            data,
            tuple(trace) if trace else None,
            _notes(exception),
            None
            if cause is None or causes == 0
            else cls.from_exception(cause, causes - 1),
            own,
        )

    @classmethod
    def from_message(cls, message: str) -> ErrorObject:
        """Return an error of which only the text is known."""
        return cls(message)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ErrorObject:
        """Return what `to_dict` was called on."""
        trace = data.get("StackTrace")
        return cls(
            data.get("ErrorMessage"),
            data.get("ErrorType"),
            data.get("ErrorData"),
            None if trace is None else tuple(trace),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, under the service's names."""
        found: dict[str, Any] = {
            "ErrorMessage": self.message,
            "ErrorType": self.type,
            "ErrorData": self.data,
            "StackTrace": None if self.stack_trace is None else list(self.stack_trace),
        }
        return {key: value for key, value in found.items() if value is not None}

    def to_durable_operation_error(self) -> DurableOperationError:
        """Return an exception for it: one of this package's, if it was one."""
        kind = operation_error_class(self.type or "")
        if kind is None:
            error = self._as(DurableOperationError, self.type)
        else:
            error = self._as(kind, self.error_type or self.type)
        for note in self.notes or ():
            error.add_note(note)
        if self.cause is not None:
            error.__cause__ = self.cause.to_durable_operation_error()
        return error

    def raise_as_operation_error(
        self, kind: builtins.type[DurableOperationError]
    ) -> NoReturn:
        """Raise it as an error of some kind of operation."""
        error = self._as(kind, self.type)
        raise error from self.to_durable_operation_error()

    def _as(
        self, kind: builtins.type[DurableOperationError], error_type: str | None
    ) -> DurableOperationError:
        trace = None if self.stack_trace is None else list(self.stack_trace)
        return kind(
            message=self.message,
            error_type=error_type,
            data=self.data,
            stack_trace=trace,
        )


def _notes(error: BaseException) -> tuple[str, ...] | None:
    try:
        notes: Any = error.__notes__
    except Exception:  # there are none, or it doesn't tell
        return None
    if not isinstance(notes, list | tuple):
        return None
    found = [
        str.encode(note, "utf-8", "backslashreplace").decode("utf-8")
        for note in notes
        if isinstance(note, str)
    ]
    return tuple(found) or None
