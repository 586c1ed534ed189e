"""What stores raise, and what values that can't be stored do.

Users find these in `fastflow.durable.exceptions`, and so do pickles and journals: that
name is recorded with every error, so it is the one that the classes go by.
"""

from __future__ import annotations

from fastflow.errors import FastflowError

__all__ = [
    "DescribedError",
    "DurableExecutionsError",
    "ExecutionConflictError",
    "ExecutionInProgress",
    "JournalDamagedError",
    "JournalError",
    "JournalFullError",
    "JournalIOError",
    "JournalLockedError",
    "JournalReadOnlyError",
    "JournalVersionError",
    "LeaseLostError",
    "RetryableSerDesError",
    "SerDesError",
    "ValidationError",
    "qualified_name",
]

_PUBLIC = "fastflow.durable.exceptions"


def qualified_name(kind: type) -> str:
    """Return what an exception's type is recorded as: ``ValueError``, ``mod.Name``."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


class DurableExecutionsError(FastflowError):
    """Root of the errors of durable executions."""


class ValidationError(DurableExecutionsError, ValueError):
    """An argument that can't be used; nothing has been recorded."""


class ExecutionInProgress(DurableExecutionsError):  # noqa: N818  (the specified name)
    """The execution is running, here or in another process."""


class ExecutionConflictError(DurableExecutionsError, ValueError):
    """The name belongs to an execution of another function, or with another input."""


class DescribedError(DurableExecutionsError):
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


class SerDesError(DescribedError):
    """A value can't be stored, or what was stored can't be read back.

    The execution remains unfinished, and goes on once that is mended.
    """


class RetryableSerDesError(SerDesError):
    """A serdes failed for now, as when it keeps its data elsewhere."""


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


for _kind in (
    DurableExecutionsError,
    ValidationError,
    ExecutionInProgress,
    ExecutionConflictError,
    DescribedError,
    SerDesError,
    RetryableSerDesError,
    JournalError,
    JournalVersionError,
    JournalDamagedError,
    JournalReadOnlyError,
    JournalFullError,
    JournalIOError,
    JournalLockedError,
    LeaseLostError,
):
    _kind.__module__ = _PUBLIC
