"""Callbacks: results that somebody else sends, perhaps much later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from fastflow.base.timers import Timer
from fastflow.durable.config import CallbackConfig, to_seconds
from fastflow.durable.exceptions import (
    CallbackError,
    CallbackExternalError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    ChildContextError,
    JournalError,
    StepError,
    ValidationError,
)
from fastflow.durable.operations.child import Child
from fastflow.durable.operations.operation import Operation
from fastflow.durable.runtime.failures import operation_error
from fastflow.durable.runtime.replay import Pending
from fastflow.errors import Cancelled
from fastflow.journal.identity import ID_BYTES
from fastflow.journal.journal import EXPIRED, HEARTBEAT, Message, journal_errors
from fastflow.journal.payloads import reread
from fastflow.journal.records import (
    BEGUN,
    FAILED,
    SUCCEEDED,
    TIMED_OUT,
    Failure,
    Record,
)
from fastflow.pool.dispatch import after_limit, expire

if TYPE_CHECKING:
    from fastflow.durable.operations.position import Position

__all__ = [
    "Arrival",
    "Callback",
    "CreateCallback",
    "parse_callback_id",
    "wait_for_callback",
]


def make_callback_id(execution: int, operation: bytes) -> str:
    return f"cb-{execution}-{operation.hex()}"


def parse_callback_id(callback_id: str) -> tuple[int, bytes]:
    """Return the execution's number and the operation's id.

    Raises
    ------
    ValidationError
        If it isn't an id of a callback.
    """
    try:
        prefix, number, operation = callback_id.split("-")
        key = bytes.fromhex(operation)
        if prefix == "cb" and len(key) == ID_BYTES and 0 < int(number) < 1 << 31:
            return int(number), key
    except (AttributeError, ValueError):
        pass
    raise ValidationError(
        f"not the id of a callback: {callback_id!r}; give the callback_id of "
        "create_callback() or wait_for_callback()"
    )


class Arrival(Pending):
    """Waits for what comes of a callback, from its creation on, and records that.

    That is the first message which the journal has taken: an answer, or that a limit
    has passed, which is posted here as by anybody else.  So it is the same for all who
    send at the same moment, and after a crash.
    """

    __slots__ = (
        "_counted",
        "_limit",
        "_lock",
        "_operation",
        "_quiet",
        "_silence",
        "problem",
        "record",
        "ticket",
    )

    def __init__(self, operation: CreateCallback) -> None:
        super().__init__(operation.context._replay)
        self._operation = operation
        self.record: Record | None = None
        """How it ended; None while it hasn't, or if nobody waits for that any more."""
        self.ticket = 0
        """Number of that record."""
        self.problem: str | None = None
        """Why it takes no answer any more."""
        self._limit: Timer | None = None
        self._quiet: Timer | None = None
        self._silence: float | None = None
        self._counted = False
        self._lock = threading.Lock()

    def start(self, due: int, most: float, silence: float | None) -> None:
        """Listen for messages, and begin the limits."""
        execution, key = self.replay.execution, self._operation.id
        self._silence = silence
        execution.callbacks[key] = self
        message = execution.inbox.get(key)
        if message is not None:
            self.hear(message)
            return
        if due:
            self._limit = execution.runtime.call_at(
                due, most, expire, self._expire, "timeout"
            )
        if silence is not None:
            runtime = execution.runtime
            since = max(self._operation.started, execution.heard.get(key, 0))
            due = since + round(silence * 1e6)
            self._quiet = runtime.call_at(
                due, silence, expire, self._expire, "heartbeat"
            )

    def count(self) -> None:
        """Say that a replay waits for it, so that a virtual clock may have to."""
        with self._lock:
            if self._counted or self.problem is not None:
                return
            self._counted = True
        self.replay.execution.runtime.count_listeners(1)

    def hear(self, message: Message) -> None:
        """Take a message for this callback."""
        with self._lock:
            if self.problem is not None:
                return
            if message.kind == HEARTBEAT:
                self._be_patient()
                return
            self.problem = (
                "its time limit has passed"
                if message.kind == EXPIRED
                else "it has been answered"
            )
        action = SUCCEEDED if message.error is None else FAILED
        if message.kind == EXPIRED:
            action = TIMED_OUT
        operation = self._operation
        try:
            self.ticket = operation.add(action, message.payload, message.error)
        except BaseException as error:
            # Decided without it, or broken: the replay finds that out.
            broken = self.replay.execution.stream.broken
            if error is not broken and not isinstance(error, Cancelled):
                raise
        else:
            self.record = Record(
                operation.id, b"", operation.kind, operation.subtype, operation.name,
                action, 0, payload=message.payload, error=message.error,
            )  # fmt: skip
        self.cancel()
        self.settle()

    def _be_patient(self) -> None:
        """Let the silence begin anew.  REQUIRES: the lock."""
        if self._silence is not None and self._quiet is not None:
            self._quiet.cancel()
            clock = self.replay.execution.runtime.clock
            self._quiet = clock.call_later(
                self._silence, expire, self._expire, "heartbeat"
            )

    def _expire(self, what: str) -> None:
        """Have the journal told that a limit has passed; on the timers' thread."""
        if self.problem is None:
            self.replay.execution.aside(
                partial(self._post_end, what), "a callback's limit could not be kept"
            )

    def _post_end(self, what: str) -> None:
        operation, execution = self._operation, self.replay.execution
        failure = Failure(
            f"{operation.describe_now()} got no answer in time ({what})",
            f"Callback.{what.title()}",
        )
        runtime = execution.runtime
        try:
            # If an answer was first, that is what comes now.
            with journal_errors():
                runtime.journal.post(
                    execution.number, EXPIRED, operation.id, None, failure
                )
            assert runtime.bring is not None
            with after_limit():
                runtime.bring()
        except JournalError as error:
            execution.abort(error)

    def cancel(self) -> None:
        """Drop the timers; what comes from now on is for nobody."""
        with self._lock:
            if self.problem is None:
                self.problem = "what waited for it has ended"
            counted, self._counted = self._counted, False
        if counted:
            self.replay.execution.runtime.count_listeners(-1)
        for timer in (self._limit, self._quiet):
            if timer is not None:
                timer.cancel()


class Callback:
    """Something that others complete, under an id.

    Attributes
    ----------
    callback_id : str
        For `DurableRunner.send_callback_success` and its relatives.
    """

    __slots__ = ("_operation", "callback_id")

    def __init__(self, operation: CreateCallback) -> None:
        self._operation = operation
        execution = operation.context._replay.execution
        self.callback_id = make_callback_id(execution.number, operation.id)

    def result(self) -> Any:
        """Return what was sent; wait for it if need be.

        Raises
        ------
        CallbackExternalError
            If a failure was sent.
        CallbackTimeoutError
            If nothing was sent in time.
        """
        return self._operation.result()

    def __repr__(self) -> str:
        return f"<Callback {self.callback_id}>"


class CreateCallback(Operation):
    """``context.create_callback()``: done when the id is known; ended by the result."""

    __slots__ = ("_config", "_record")

    kind = "CALLBACK"
    error_kind = CallbackError

    def __init__(
        self, context: Position, name: str | None, config: CallbackConfig | None
    ) -> None:
        config = config or CallbackConfig()
        super().__init__(context, config.sub_type or "Callback", name, config.serdes)
        self._config = config
        self._record: Record | None = None

    def replayed(self, record: Record) -> Callback:
        """Return the callback; how it ended is told by ``result()``."""
        self._record = record
        return Callback(self)

    def advance(self, record: Record | None) -> Callback:
        """Make the callback known, and listen for its answer from now on."""
        limit = self._limit(self._config.timeout)
        due = 0 if record is None else record.due
        if record is None:
            self.started = self.context._replay.execution.runtime.now_us()
            if limit is not None:
                due = self.started + round(limit * 1e6)
            self.commit(self.add(BEGUN, due=due))
        replay = self.context._replay
        if self.id not in replay.pending:
            arrival = Arrival(self)
            replay.begin(self.id, arrival)
            silence = self._limit(self._config.heartbeat_timeout)
            arrival.start(due, limit or 0.0, silence)
        return Callback(self)

    @staticmethod
    def _limit(value: Any) -> float | None:
        seconds = None if value is None else to_seconds(value)
        return seconds or None  # as in the SDK, zero means: no limit

    def result(self) -> Any:
        """Wait for the end, and return or raise it once it is in the journal."""
        try:
            return self._result()
        except BaseException as error:
            self.leave(error)
            raise

    def _result(self) -> Any:
        replay = self.context._replay
        arrival = replay.pending.get(self.id)
        if arrival is not None:
            assert isinstance(arrival, Arrival)
            if replay.thread != get_ident():
                self._refuse_thread()
            if self.context._scope.over:
                self._stop()
            arrival.count()
            replay.wait_for(arrival)
            replay.pending.pop(self.id, None)
            if arrival.record is None:
                self._stop()
            self.commit(arrival.ticket)
            self._record = arrival.record
        assert self._record is not None
        return self._outcome(self._record)

    def _outcome(self, record: Record) -> Any:
        if record.action == SUCCEEDED:
            data = self.context._replay.execution.payload(record)
            if data is None:
                return None
            return reread(data, self.serdes, self.serdes_context)
        kind = CallbackTimeoutError if record.action == TIMED_OUT else (
            CallbackExternalError
        )  # fmt: skip
        raise operation_error(kind, record.error)


def wait_for_callback(
    context: Position,
    submitter: Callable[..., Any],
    name: str | None,
    config: Any,
) -> Any:
    """Have a step send a callback's id somewhere, then wait for the callback."""

    def body(child: Any) -> Any:
        label = f"{name} create callback id" if name else None
        callback = child.create_callback(label, config)

        def submit(step: Any) -> Any:
            return submitter(callback.callback_id, step)

        retry = getattr(config, "retry_strategy", None)
        child.step(submit, f"{name} submitter" if name else None, _retrying(retry))
        return callback.result()

    try:
        return Child(context, body, name, None, "WaitForCallback").perform()
    except ChildContextError as error:
        inner = error.__cause__
        if not isinstance(inner, CallbackError | StepError):
            raise
    if isinstance(inner, CallbackError):
        raise inner
    raise CallbackSubmitterError(
        inner.message, inner.error_type, inner.data, inner.stack_trace
    ) from inner


def _retrying(strategy: Any) -> Any:
    from fastflow.durable.config import StepConfig

    return None if strategy is None else StepConfig(retry_strategy=strategy)
