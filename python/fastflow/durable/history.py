"""What a journal tells of an execution: its operations, and its events in order.

An operation of which the journal has only the end (most steps) began when that record
says; its beginning is put where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastflow.durable.exceptions import JournalDamagedError, SerDesError
from fastflow.durable.lambda_service import ErrorObject, OperationStatus, OperationType
from fastflow.durable.runtime.failures import as_error_object
from fastflow.durable.serdes import decode
from fastflow.journal.identity import ROOT
from fastflow.journal.journal import RUNNING, Entry, Journal
from fastflow.journal.records import (
    BEGUN,
    CANCELLED,
    FAILED,
    RETRYING,
    SUCCEEDED,
    TIMED_OUT,
    Record,
)

__all__ = ["Event", "Operation", "events", "operations"]

T = TypeVar("T")

_STATUS = {
    BEGUN: OperationStatus.STARTED,
    SUCCEEDED: OperationStatus.SUCCEEDED,
    FAILED: OperationStatus.FAILED,
    RETRYING: OperationStatus.PENDING,
    CANCELLED: OperationStatus.CANCELLED,
    TIMED_OUT: OperationStatus.TIMED_OUT,
}
_KIND = {
    "EXECUTION": "Execution",
    "CONTEXT": "Context",
    "STEP": "Step",
    "WAIT": "Wait",
    "CALLBACK": "Callback",
    "CHAINED_INVOKE": "ChainedInvoke",
}
_INTERRUPTED = "InvocationCompleted"  # the service's name; with the reason
_ENDING = {
    SUCCEEDED: "Succeeded",
    FAILED: "Failed",
    RETRYING: "Failed",  # the attempt
    CANCELLED: "Cancelled",
    TIMED_OUT: "TimedOut",
}


@dataclass(frozen=True)
class Operation:
    """An operation, as it is now.  Times: seconds since 1970."""

    operation_id: str
    parent_id: str | None
    operation_type: OperationType
    sub_type: str
    name: str | None
    status: OperationStatus
    attempt: int
    """Of steps: the last one, from 1."""
    started: float
    ended: float | None
    raw_result: bytes | None
    error: ErrorObject | None

    @property
    def result(self) -> Any:
        """The result, read by the default serdes; None if that can't read it."""
        if self.raw_result is None:
            return None
        try:
            return decode(self.raw_result)
        except SerDesError:
            return None


@dataclass(frozen=True)
class Event:
    """One thing that happened.  `time`: seconds since 1970."""

    number: int
    time: float
    event_type: str
    """``"StepStarted"``, ``"ContextSucceeded"``, ..."""
    operation_id: str | None
    parent_id: str | None
    sub_type: str | None
    name: str | None
    attempt: int
    error: ErrorObject | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, under the AWS service's names."""
        found = {
            "EventId": self.number,
            "EventTimestamp": self.time,
            "EventType": self.event_type,
            "Id": self.operation_id,
            "ParentId": self.parent_id,
            "SubType": self.sub_type,
            "Name": self.name,
            "Attempt": self.attempt or None,
            "Error": None if self.error is None else self.error.to_dict(),
        }
        return {key: value for key, value in found.items() if value is not None}


def _records(journal: Journal, entry: Entry) -> Iterable[Record]:
    for frame in journal.frames(entry.number):
        for record in frame:
            if record.kind not in _KIND or record.action not in _STATUS:
                raise JournalDamagedError(
                    f"execution {entry.name!r} has an operation of a kind "
                    f"{record.kind!r} and state {record.action} that this program "
                    "does not know; upgrade fastflow, or restore the file from a copy"
                )
            yield record


def _known(names: Mapping[Any, T], record: Record, value: Any) -> T:
    """Return the name of something in a record, which may be a stranger's."""
    found = names.get(value)
    if found is None:
        raise JournalDamagedError(
            f"a record of operation {record.id.hex()} has {value!r}, which means "
            "nothing; restore the file from a copy"
        )
    return found


def _type(record: Record) -> OperationType:
    return _known(OperationType.__members__, record, record.kind)


def _parent(record: Record) -> str | None:
    return None if record.parent == ROOT else record.parent.hex()


def _attempt(record: Record) -> int:
    return record.attempt if record.kind == "STEP" else 0


def operations(journal: Journal, entry: Entry) -> list[Operation]:
    """Return the operations of an execution in the order of their recording."""
    last: dict[bytes, Record] = {}
    first: dict[bytes, int] = {}
    for record in _records(journal, entry):
        first.setdefault(record.id, record.started or record.at)
        last[record.id] = record
    found = []
    for key, record in last.items():
        payload = record.payload
        if record.blob is not None:
            payload = journal.blob(record.blob)
        under_way = record.action in (BEGUN, RETRYING)
        found.append(
            Operation(
                operation_id=key.hex(),
                parent_id=_parent(record),
                operation_type=_type(record),
                sub_type=record.subtype,
                name=record.name,
                status=_known(_STATUS, record, record.action),
                attempt=_attempt(record),
                started=first[key] / 1e6,
                ended=None if under_way else record.at / 1e6,
                raw_result=payload,
                error=as_error_object(record.error),
            )
        )
    return found


def events(journal: Journal, entry: Entry) -> list[Event]:
    """Return what happened in an execution, in order."""
    found: list[tuple[float, int, str, Record | None]] = []

    def add(at: int, what: str, record: Record | None) -> None:
        found.append((at / 1e6, len(found), what, record))

    begun: set[tuple[bytes, int]] = set()
    for record in _records(journal, entry):
        kind = _known(_KIND, record, record.kind)
        attempt = (record.id, _attempt(record))
        if attempt not in begun:
            begun.add(attempt)
            add(record.started or record.at, f"{kind}Started", record)
        if record.action != BEGUN:
            add(record.at, kind + _known(_ENDING, record, record.action), record)
    found.sort(key=lambda event: event[:2])
    # On a virtual clock, its times need not fit between these.
    found.insert(0, (entry.created / 1e6, 0, "ExecutionStarted", None))
    if entry.status != RUNNING:
        add(entry.updated, f"Execution{entry.status.title()}", None)
    elif entry.error is not None:
        add(entry.updated, _INTERRUPTED, None)  # the last time that it was given up
    return [
        _event(number, at, what, record, entry)
        for number, (at, _, what, record) in enumerate(found, 1)
    ]


def _event(
    number: int, at: float, what: str, record: Record | None, entry: Entry
) -> Event:
    if record is None:
        told = what in ("ExecutionFailed", _INTERRUPTED)
        error = as_error_object(entry.error) if told else None
        return Event(number, at, what, None, None, None, entry.name, 0, error)
    return Event(
        number,
        at,
        what,
        record.id.hex(),
        _parent(record),
        record.subtype,
        record.name,
        _attempt(record),
        None if what.endswith("Started") else as_error_object(record.error),
    )
