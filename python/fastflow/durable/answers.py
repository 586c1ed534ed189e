"""Answers to callbacks, from whoever has the store open.

What comes of a callback is what the journal has taken first: an answer, or that its
limit has passed.  `Journal.post` decides that, in one transaction; whoever comes later
is refused, in whatever process.  The process that runs the execution knows more, and is
asked before: that a limit has passed, or that nobody waits any more.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastflow.durable.callback import Arrival, parse_callback_id
from fastflow.durable.exceptions import (
    CallbackAlreadyCompletedError,
    JournalError,
    ValidationError,
)
from fastflow.durable.lambda_service import ErrorObject
from fastflow.durable.runtime.execution_state import Execution
from fastflow.durable.runtime.failures import from_error_object, to_failure
from fastflow.durable.runtime.lease_keeper import LeaseKeeper
from fastflow.durable.runtime.runtime import Runtime
from fastflow.journal.journal import ANSWER, HEARTBEAT, journal_errors
from fastflow.journal.payloads import dump
from fastflow.journal.records import Failure, Record, finished
from fastflow.journal.serdes import SerDesContext

__all__ = ["Answers"]


class Answers:
    """Sends answers to the callbacks of a store."""

    def __init__(self, runtime: Runtime, keeper: LeaseKeeper) -> None:
        self._runtime = runtime
        self._keeper = keeper

    def success(self, callback_id: str, result: Any) -> None:
        """Complete a callback with a result."""
        payload = dump(result, None, lambda: SerDesContext(callback_id, ""))
        self._send(ANSWER, callback_id, payload)

    def failure(self, callback_id: str, error: Any) -> None:
        """Complete a callback with an error, of any form."""
        self._send(ANSWER, callback_id, None, _failure(error))

    def heartbeat(self, callback_id: str) -> None:
        """Let the limit of silence begin anew."""
        self._send(HEARTBEAT, callback_id)

    def _send(
        self,
        kind: str,
        callback_id: str,
        payload: bytes | None = None,
        error: Failure | None = None,
    ) -> None:
        number, operation = parse_callback_id(callback_id)
        problem = self._problem(number, operation)
        if problem is None:
            journal = self._runtime.journal
            with journal_errors():
                posted = journal.post(number, kind, operation, payload, error)
            if posted is False:
                problem = "it has been answered, or its execution has ended"
        if problem is not None:
            raise CallbackAlreadyCompletedError(
                f"callback {callback_id!r} takes no answer any more: {problem}"
            )
        # It is in the journal: that it can't be brought at once is no error of the
        # sender's, who would send it again.
        with suppress(JournalError):
            self._keeper.bring()

    def _problem(self, number: int, operation: bytes) -> str | None:
        """Return why a callback can't be answered, None if it seems that it can.

        Raises
        ------
        ValidationError
            If there is no such callback.
        """
        execution = self._keeper.find(number)
        if execution is not None:
            arrival = execution.callbacks.get(operation)
            if isinstance(arrival, Arrival):
                return arrival.problem
            if (record := execution.loaded.get(operation)) is not None:
                return self._problem_of(record)
        return self._problem_of(self._recorded(number, operation, execution))

    def _recorded(
        self, number: int, operation: bytes, execution: Execution | None
    ) -> Record:
        found: Record | None = None
        try:
            for frame in self._runtime.journal.frames(number):
                for record in frame:
                    if record.id == operation:
                        found = record
        except LookupError:
            pass  # no execution has that number
        if found is None or found.kind != "CALLBACK":
            where = number if execution is None else repr(execution.name)
            raise ValidationError(
                f"there is no callback {operation.hex()} in execution {where} of this "
                "store"
            )
        return found

    def _problem_of(self, record: Record) -> str | None:
        if finished(record):
            return "it has its outcome"
        if record.due and record.due <= self._runtime.now_us():
            return "its time limit has passed"
        return None


def _failure(error: Any) -> Failure:
    if error is None:
        return Failure("failed")
    if isinstance(error, str):
        return Failure(error)
    if isinstance(error, BaseException):
        return to_failure(error)
    if isinstance(error, ErrorObject):
        return from_error_object(error)
    raise ValidationError(
        "the error of a callback is an exception, an ErrorObject or a text, not "
        f"{type(error).__name__}"
    )
