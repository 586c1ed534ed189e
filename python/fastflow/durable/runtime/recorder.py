"""The recorder of a replay's calls: what it says goes into the journal.

See `fastflow.run.recorder.Recorder`.  The key of a call is its operation, which knows
under which id, and as what, it is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

from fastflow.base.log_ids import Ids
from fastflow.durable.exceptions import DurableOperationError
from fastflow.durable.runtime.failures import operation_error, to_failure
from fastflow.journal.payloads import through
from fastflow.journal.records import (
    BEGUN,
    FAILED,
    RETRYING,
    SUCCEEDED,
    Failure,
    Record,
)
from fastflow.journal.serdes import SerDes, SerDesContext

if TYPE_CHECKING:
    from fastflow.durable.runtime.execution_state import Execution
    from fastflow.run.recorder import Recorder

__all__ = ["JournalRecorder", "Recorded"]


class Recorded(Protocol):
    """What is known of an operation here: the kinds are in ``durable/operations``."""

    id: bytes
    name: str | None
    subtype: str
    kind: ClassVar[str]
    error_kind: ClassVar[type[DurableOperationError]]
    serdes: SerDes[Any] | None
    attempt: int

    @property
    def context(self) -> Any:
        """Where it is: a `fastflow.durable.operations.position.Position`."""

    def serdes_context(self) -> SerDesContext:
        """Return what a serdes may know of it."""

    def ids(self) -> Ids:
        """Return what log records of its function belong to."""

    def describe_now(self) -> str:
        """Return what it is, for messages."""

    def add(
        self,
        action: int,
        payload: bytes | None = None,
        error: Failure | None = None,
        *,
        attempt: int = 0,
        due: int = 0,
    ) -> int:
        """Queue a record of it; return its number."""

    def refuse(self, record: Record) -> NoReturn:
        """Raise, as the record that was found is that of another operation."""


class JournalRecorder:
    """Records what becomes of operations, and knows what was recorded.

    Attributes
    ----------
    execution : Execution
        Whose journal it is.
    local : dict or None
        What this process recorded here; None if nobody will ask.
    """

    __slots__ = ("execution", "local")

    execution: Execution
    local: dict[bytes, Record] | None

    def find(self, key: bytes) -> Record | None:
        """Return the last record of an operation with an id."""
        if self.local:
            record = self.local.get(key)
            if record is not None:
                return record
        return self.execution.loaded.get(key)

    def keep(self, record: Record) -> None:
        """Remember a record for when this replay runs again."""
        if self.local is not None:
            self.local[record.id] = record

    def recall(self, operation: Recorded, /) -> Record | None:
        """Return the last record of an operation.

        Raises
        ------
        NonDeterministicExecutionError
            If it is that of another one.
        """
        local, key = self.local, operation.id  # as `find` does; replays are short
        record = local.get(key) if local else None
        if record is None:
            record = self.execution.loaded.get(key)
        if record is not None and (
            record.name != operation.name
            or record.subtype != operation.subtype
            or record.kind != operation.kind
        ):
            operation.refuse(record)
        return record

    def began(self, operation: Recorded, attempt: int, /) -> None:
        """Record that an attempt begins, and wait for the journal."""
        self.execution.commit(operation.add(BEGUN, attempt=attempt))

    def retrying(
        self, operation: Recorded, attempt: int, error: BaseException, due: int, /
    ) -> None:
        """Record that an attempt failed, with the next commit."""
        failure = to_failure(error)
        operation.add(RETRYING, error=failure, attempt=attempt, due=due)

    def ended(
        self,
        operation: Recorded,
        attempt: int,
        value: Any,
        error: Exception | None = None,
        /,
    ) -> Any:
        """Record how an operation ended, and wait for the journal.

        Call it outside of any ``except`` block: what it raises for an error has in its
        context what a replay has, too.
        """
        if error is None:
            data, value = through(value, operation.serdes, operation.serdes_context)
            self.execution.commit(operation.add(SUCCEEDED, data, attempt=attempt))
            return value
        failure = to_failure(error)
        self.execution.commit(operation.add(FAILED, error=failure, attempt=attempt))
        raise operation_error(operation.error_kind, failure)


if TYPE_CHECKING:
    _: type[Recorder[Recorded, Record]] = JournalRecorder
