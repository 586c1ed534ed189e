"""The single road of every operation: look up and return, or run, commit, and return.

`Operation.perform` is that road.  A kind of operation says how it runs (`advance`) and
what its end means (`returned`, `error_kind`); it never looks anything up or writes by
itself.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from fastflow.base.log_ids import Ids
from fastflow.durable.exceptions import (
    DurableOperationError,
    InvalidStateError,
    SuspendExecution,
)
from fastflow.durable.runtime.failures import leaves_unfinished, operation_error
from fastflow.durable.runtime.recorder import Recorded
from fastflow.errors import Cancelled
from fastflow.journal.identity import ROOT, child_id
from fastflow.journal.payloads import load
from fastflow.journal.records import BEGUN, RETRYING, SUCCEEDED, Failure, Record
from fastflow.journal.serdes import SerDes, SerDesContext
from fastflow.run.events import JobKey

if TYPE_CHECKING:
    from fastflow.durable.operations.position import Position
    from fastflow.run.scope import Scope

__all__ = ["Operation"]


class Operation:
    """One operation of a context, for one pass through the program."""

    __slots__ = (
        "attempt", "context", "id", "name", "number", "serdes", "started", "subtype",
    )  # fmt: skip

    is_job: ClassVar[bool] = False
    """Whether it is a call, with attempts, of which subscribers are told."""
    is_scope: ClassVar[bool] = False
    """Whether it has others in it, or waits for an answer; subscribers are told."""
    kind: ClassVar[str]
    error_kind: ClassVar[type[DurableOperationError]] = DurableOperationError

    def __init__(
        self,
        context: Position,
        subtype: str,
        name: str | None,
        serdes: SerDes[Any] | None = None,
    ) -> None:
        self.context = context
        self.subtype = subtype
        self.name = name
        self.serdes = serdes
        self.started = 0
        self.attempt = 0
        """Which one is being made, from 1."""
        self.id = b""
        self.number = 0

    def perform(self) -> Any:
        """Return what the operation returned before, or run it, commit, and return."""
        context = self.context
        try:
            replay = context._replay
            if replay.thread != get_ident():
                self._refuse_thread()
            if replay.busy is not None:
                self._refuse_nesting(replay.busy)
            if replay.leaving:
                raise SuspendExecution("waiting")
            context._count = self.number = context._count + 1
            self.id = child_id(context._id, self.number)
            record = replay.recall(self)
            if record is not None:
                if record.action != BEGUN and record.action != RETRYING:
                    if self.is_job and replay.execution.runtime.events is not None:
                        self._tell_recalled(record)
                    if self.is_scope and replay.execution.runtime.events is not None:
                        self._tell_found(record)
                    return self.replayed(record)
                self.started = record.started or record.at
            if context._scope.over:
                self._stop()
            if self.is_scope and replay.execution.runtime.events is not None:
                return self._advance_told(record)
            return self.advance(record)
        except BaseException as error:
            self.leave(error)
            raise

    def leave(self, error: BaseException) -> None:
        """Be left by an error: nothing goes on after one of the surroundings.

        Were it caught, the program would go on as it never does in a replay.
        """
        if isinstance(error, SuspendExecution | Cancelled):
            return
        if leaves_unfinished(error):
            self.context._replay.execution.interrupt(error)

    def _refuse_nesting(self, busy: Recorded) -> None:
        raise InvalidStateError(
            f"{self.describe_now()} begins inside of the function of "
            f"{busy.describe_now()}: operations can't be nested in a step; "
            "use run_in_child_context() in place of step()"
        )

    def _refuse_thread(self) -> None:
        raise InvalidStateError(
            f"{self.describe_now()} uses the context of a function that does not "
            "run in this thread: a branch, and the function of a child context, "
            "must use the context that it is given"
        )

    def advance(self, record: Record | None) -> Any:
        """Run from where `record`, the last one there is, says that it is."""
        raise NotImplementedError

    def replayed(self, record: Record) -> Any:
        """Return or raise what a finished operation did."""
        if record.action != SUCCEEDED:
            raise operation_error(self.error_kind, record.error)
        return self.returned(record)

    def returned(self, record: Record) -> Any:
        """Return the value of an operation that succeeded."""
        data = self.context._replay.execution.payload(record)
        return None if data is None else load(data, self.serdes, self.serdes_context)

    # For the kinds

    def add(
        self,
        action: int,
        payload: bytes | None = None,
        error: Failure | None = None,
        *,
        attempt: int = 0,
        due: int = 0,
        since: int = 0,
        closing: Scope | None = None,
    ) -> int:
        """Queue a record of this operation; return its number for `commit`."""
        replay = self.context._replay
        execution = replay.execution
        now = execution.runtime.now_us()
        record = Record(
            self.id, self.context._reported_parent, self.kind, self.subtype, self.name,
            action, now, self.started or now, attempt, due, payload, error,
            None, since,
        )  # fmt: skip
        number = execution.add(record, self.context._scope, closing)
        replay.keep(record)
        return number

    def commit(self, number: int) -> None:
        """Return once a record is in the journal."""
        self.context._replay.execution.commit(number)

    def serdes_context(self) -> SerDesContext:
        """Return what a serdes may know of this operation."""
        return SerDesContext(
            operation_id=self.id.hex(),
            durable_execution_arn=self.context._replay.execution.name,
            name=self.describe_now(),
        )

    def _stop(self) -> None:
        """Raise what ends a replay whose results nobody wants any more."""
        broken = self.context._replay.execution.stream.broken
        if broken is not None:
            raise broken
        raise Cancelled("what this belongs to has ended meanwhile")

    # Replay has to meet the same program.

    def ids(self) -> Ids:
        """Return what log records of its function belong to."""
        execution = self.context._replay.execution
        return Ids(execution.name, self.name or self.subtype, self.attempt or None)

    def describe_now(self) -> str:
        """Return what it is, for messages."""
        return _describe(self.subtype, self.name)

    def refuse(self, record: Record) -> NoReturn:
        """Raise, as the record that was found here is that of another operation."""
        error = self.context._non_deterministic(
            recorded=_describe(record.subtype, record.name),
            current=self.describe_now(),
            operation_id=self.id,
        )
        self.context._replay.execution.abort(error)
        raise error

    # For subscribers

    def job_key(self) -> JobKey:
        """Return what subscribers know it by."""
        context = self.context
        parent = context._reported_parent
        return JobKey(
            context._replay.execution.name,
            self.id.hex(),
            self.name,
            self.kind,
            None if parent == ROOT else parent.hex(),
            context._fan(),
        )

    def _tell_found(self, record: Record) -> None:
        """Tell subscribers that it has ended while this did not run."""
        events = self.context._replay.execution.runtime.events
        if events is not None:
            error: BaseException | None = None
            if record.action != SUCCEEDED:
                error = operation_error(self.error_kind, record.error)
            events.scope_ended(self.job_key(), error)

    def _advance_told(self, record: Record | None) -> Any:
        """Run from where `record` says that it is, and tell subscribers."""
        runtime, key = self.context._replay.execution.runtime, self.job_key()
        if runtime.events is not None:
            runtime.events.scope_started(key, self.subtype)
        failed: BaseException | None = None
        try:
            return self.advance(record)
        except BaseException as error:
            failed = error
            raise
        finally:
            over = not isinstance(failed, SuspendExecution)
            if over and runtime.events is not None:
                runtime.events.scope_ended(key, failed)
            del failed

    def _tell_recalled(self, record: Record) -> None:
        """Tell subscribers what another process has done, once."""
        replay = self.context._replay
        events = replay.execution.runtime.events
        if events is None or (replay.local is not None and self.id in replay.local):
            return
        replay.keep(record)  # the replay may run again, from its top
        events.job_recalled(self.job_key(), record.attempt)


def _describe(subtype: str, name: str | None) -> str:
    return f"{subtype} {name!r}" if name is not None else f"{subtype} without a name"
