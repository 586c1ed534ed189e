"""Exceptions on their way into the journal and back, and which of them get there.

Only what the program itself returns or raises ends an execution, a branch or an
operation.  An exception that tells of the surroundings (`leaves_unfinished`) is never
an outcome: the execution stays as it is, with that as the reason, and can be resumed.
What such an exception is is told by its class, whoever raises it, so that the rule is
the same in a handler, a step, a branch or a child context.

An error that is an outcome is kept as message, type name, data, notes, causes and the
text of its traceback; never as a pickle.  What is raised is made from that record in
the first run as well, so that a program sees the same in a replay.
"""

from __future__ import annotations

import ast
import builtins
import concurrent.futures as cf
from collections.abc import Callable

from fastflow.durable.exceptions import (
    DurableOperationError,
    ExecutionConflictError,
    ExecutionError,
    ExecutionInProgress,
    InvalidStateError,
    JournalError,
    SerDesError,
    StepInterruptedError,
    UnrecoverableError,
    ValidationError,
    operation_error_class,
    qualified_name,
)
from fastflow.durable.lambda_service import ErrorObject
from fastflow.errors import TaskTimeout, text_of
from fastflow.journal.records import Failure

__all__ = [
    "as_error_object",
    "from_error_object",
    "is_fatal",
    "leaves_unfinished",
    "operation_error",
    "rebuild",
    "to_failure",
]

# Of threading and concurrent.futures, which have no class for it.
_NO_THREAD = (
    "can't start new thread",
    "can't create new thread",
    "cannot schedule new futures after interpreter shutdown",
)


def is_fatal(error: BaseException) -> bool:
    """Whether an error ends this run at once: nothing may retry or handle it."""
    return isinstance(error, UnrecoverableError | JournalError) or not isinstance(
        error, Exception
    )


def leaves_unfinished(error: BaseException) -> bool:
    """Whether an error tells of the surroundings: no outcome of anything.

    These are all that are fatal, and those which a retry strategy may see first: a
    value that can't be stored or read back, an execution that runs elsewhere, no
    memory, no thread, a call that was cancelled.
    """
    return (
        is_fatal(error)
        or isinstance(
            error, SerDesError | ExecutionInProgress | MemoryError | cf.CancelledError
        )
        or (isinstance(error, RuntimeError) and text_of(error).startswith(_NO_THREAD))
    )


def to_failure(error: BaseException) -> Failure:
    """Return what is kept of an exception."""
    return from_error_object(ErrorObject.from_exception(error))


def from_error_object(found: ErrorObject) -> Failure:
    """Return what is kept of an error that is told as the SDK does."""
    cause = None if found.cause is None else from_error_object(found.cause)
    return Failure(
        found.message,
        found.type,
        found.data,
        found.stack_trace,
        found.notes,
        cause,
        found.error_type,
    )


def as_error_object(failure: Failure | None) -> ErrorObject | None:
    """Return what users see of a recorded error."""
    if failure is None:
        return None
    return ErrorObject(
        failure.message,
        failure.type,
        failure.data,
        failure.stack_trace,
        failure.notes,
        as_error_object(failure.cause),
        failure.error_type,
    )


def operation_error(
    kind: type[DurableOperationError], failure: Failure | None
) -> DurableOperationError:
    """Return the exception that an operation raises for a recorded error.

    Raise it outside of any ``except`` block: its context would be the live error, which
    a replay doesn't have.
    """
    failure = failure or Failure("it failed; nothing more was recorded")
    error = _made(kind, failure, failure.type)
    error.__cause__ = rebuild(failure)
    return error


def _made(
    kind: type[DurableOperationError], failure: Failure, error_type: str | None
) -> DurableOperationError:
    trace = failure.stack_trace
    return kind(
        message=failure.message,
        error_type=error_type,
        data=failure.data,
        stack_trace=None if trace is None else list(trace),
    )


_PLAIN: dict[str, Callable[[str], Exception]] = {
    qualified_name(kind): kind
    for kind in (
        ExecutionConflictError,
        ExecutionError,
        ExecutionInProgress,
        InvalidStateError,
        SerDesError,
        StepInterruptedError,
        TaskTimeout,
        ValidationError,
        cf.CancelledError,
    )
}
"""Errors that are made of nothing but a message."""


def rebuild(failure: Failure) -> Exception:
    """Return an exception as near to the recorded one as is safe.

    Those of this package and the plain ones of Python come back as what they were, with
    their notes and causes; all others as a `DurableOperationError` with their text and,
    as its `error_type`, the name of their class.
    """
    error = _bare(failure)
    for note in failure.notes or ():
        error.add_note(note)
    if failure.cause is not None:
        error.__cause__ = rebuild(failure.cause)
    return error


def _bare(failure: Failure) -> Exception:
    name = failure.type or ""
    message = failure.message or ""
    ours = operation_error_class(name)
    if ours is not None:
        return _made(ours, failure, failure.error_type or failure.type)
    if name in _PLAIN:
        return _PLAIN[name](message)
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(*(_keys(message) if issubclass(kind, KeyError) else [message]))
        except TypeError:  # UnicodeDecodeError and the like want more
            pass
    return _made(DurableOperationError, failure, failure.type)


def _keys(message: str) -> list[object]:
    """Return what a KeyError was made of: its text is how its key is written."""
    if not message:
        return []
    try:
        key: object = ast.literal_eval(message)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [message]
    return [key if repr(key) == message else message]
