"""Exceptions on their way into the journal and back.

An error is kept as message, type name, data and the text of its traceback; never as a
pickle.  What is raised is made from that record in the first run as well, so that a
program sees the same in a replay.
"""

from __future__ import annotations

import builtins

from fastflow.durable.exceptions import (
    DurableOperationError,
    ExecutionError,
    JournalError,
    SerDesError,
    UnrecoverableError,
    operation_error_class,
    qualified_name,
)
from fastflow.durable.lambda_service import ErrorObject
from fastflow.durable.records import Failure
from fastflow.errors import Cancelled, TaskTimeout

__all__ = ["as_error_object", "is_fatal", "operation_error", "rebuild", "to_failure"]


def is_fatal(error: BaseException) -> bool:
    """Whether an error ends the whole execution and is recorded nowhere."""
    return isinstance(
        error, UnrecoverableError | JournalError | Cancelled
    ) or not isinstance(error, Exception)


def to_failure(error: BaseException) -> Failure:
    """Return what is kept of an exception."""
    found = ErrorObject.from_exception(error)
    return Failure(found.message, found.type, found.data, found.stack_trace)


def as_error_object(failure: Failure | None) -> ErrorObject | None:
    """Return what users see of a recorded error."""
    if failure is None:
        return None
    return ErrorObject(failure.message, failure.type, failure.data, failure.stack_trace)


def operation_error(
    kind: type[DurableOperationError], failure: Failure | None
) -> Exception:
    """Return the exception that an operation raises for a recorded error."""
    failure = failure or Failure("it failed; nothing more was recorded")
    if failure.type == _SERDES:
        return SerDesError(failure.message)
    error = _made(kind, failure)
    error.__cause__ = rebuild(failure)
    return error


def _made(kind: type[DurableOperationError], failure: Failure) -> DurableOperationError:
    trace = failure.stack_trace
    return kind(
        message=failure.message,
        error_type=failure.type,
        data=failure.data,
        stack_trace=None if trace is None else list(trace),
    )


_SERDES = qualified_name(SerDesError)
_TIMEOUT = qualified_name(TaskTimeout)


def rebuild(failure: Failure) -> Exception:
    """Return an exception as near to the recorded one as is safe.

    Those of this package and the plain ones of Python come back as what they were; of
    all others, an `ExecutionError` or `DurableOperationError` with their text.
    """
    name = failure.type or ""
    message = failure.message or ""
    if name == _SERDES:
        return SerDesError(message)
    if name == _TIMEOUT:
        return TaskTimeout(message)
    known = operation_error_class(name)
    if known is not None:
        return _made(known, failure)
    plain = getattr(builtins, name, None)
    if isinstance(plain, type) and issubclass(plain, Exception):
        try:
            return plain(message)
        except TypeError:  # UnicodeDecodeError and the like want more
            pass
    if name.endswith(".ExecutionError"):
        return ExecutionError(message)
    return _made(DurableOperationError, failure)
