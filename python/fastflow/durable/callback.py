"""Callbacks: results that somebody else sends, perhaps much later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from fastflow.dispatch import expire
from fastflow.durable.child import Child
from fastflow.durable.config import CallbackConfig, to_seconds
from fastflow.durable.exceptions import (
    CallbackError,
    CallbackExternalError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    ChildContextError,
    StepError,
    ValidationError,
)
from fastflow.durable.failures import operation_error
from fastflow.durable.identity import ID_BYTES
from fastflow.durable.journal import Message
from fastflow.durable.line import Line, Pending
from fastflow.durable.operation import Operation
from fastflow.durable.payloads import reread
from fastflow.durable.records import (
    BEGUN,
    FAILED,
    SUCCEEDED,
    TIMED_OUT,
    Failure,
    Record,
)
from fastflow.timers import Timer

if TYPE_CHECKING:
    from fastflow.durable.context import DurableContext

__all__ = ["Callback", "CreateCallback", "parse_callback_id", "wait_for_callback"]


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
        if prefix == "cb" and len(key) == ID_BYTES:
            return int(number), key
    except (AttributeError, ValueError):
        pass
    raise ValidationError(
        f"not the id of a callback: {callback_id!r}; give the callback_id of "
        "create_callback() or wait_for_callback()"
    )


class Arrival(Pending):
    """Waits for the message, the time limit, or silence for too long."""

    __slots__ = (
        "_limit",
        "_listening",
        "_lock",
        "_quiet",
        "_silence",
        "message",
        "timed_out",
    )

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.message: Message | None = None
        self.timed_out: str | None = None
        self._limit: Timer | None = None
        self._quiet: Timer | None = None
        self._silence: float | None = None
        self._listening = False
        self._lock = threading.Lock()

    def start(
        self, operation: bytes, due: int, most: float, silence: float | None
    ) -> None:
        """Listen for messages, and begin the limits."""
        execution = self.line.execution
        self._silence = silence
        execution.callbacks[operation] = self.hear
        execution.engine.count_listeners(1)
        self._listening = True
        message = execution.inbox.get(operation)
        if message is not None:
            self.hear(message)
            return
        if due:
            self._limit = execution.engine.call_at(
                due, most, expire, self._expire, "timeout"
            )
        self._listen()

    def _listen(self) -> None:
        if self._silence is not None:
            clock = self.line.execution.engine.clock
            self._quiet = clock.call_later(
                self._silence, expire, self._expire, "heartbeat"
            )

    def hear(self, message: Message) -> None:
        """Take a message for this callback."""
        with self._lock:
            if self.message is not None or self.timed_out is not None:
                return
            if message.kind == "heartbeat":
                if self._quiet is not None:
                    self._quiet.cancel()
                self._listen()
                return
            self.message = message
        self.cancel()
        self.settle()

    def _expire(self, what: str) -> None:
        with self._lock:
            if self.message is not None or self.timed_out is not None:
                return
            self.timed_out = what
        self.cancel()
        self.settle()

    def cancel(self) -> None:
        """Drop the timers."""
        with self._lock:
            listening, self._listening = self._listening, False
        if listening:
            self.line.execution.engine.count_listeners(-1)
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
        execution = operation.context._line.execution
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

    __slots__ = ("_config", "_due", "_record")

    kind = "CALLBACK"
    error_kind = CallbackError

    def __init__(
        self, context: DurableContext, name: str | None, config: CallbackConfig | None
    ) -> None:
        config = config or CallbackConfig()
        super().__init__(context, config.sub_type or "Callback", name, config.serdes)
        self._config = config
        self._due = 0
        self._record: Record | None = None

    def replayed(self, record: Record) -> Callback:
        """Return the callback; how it ended is told by ``result()``."""
        self._record = record
        return Callback(self)

    def advance(self, record: Record | None) -> Callback:
        """Make the callback known."""
        if record is not None:
            self._due = record.due
            return Callback(self)
        limit = self._limit(self._config.timeout)
        if limit is not None:
            now = self.context._line.execution.engine.now_us()
            self._due = now + round(limit * 1e6)
        self.commit(self.add(BEGUN, due=self._due))
        return Callback(self)

    @staticmethod
    def _limit(value: Any) -> float | None:
        seconds = None if value is None else to_seconds(value)
        return seconds or None  # as in the SDK, zero means: no limit

    def result(self) -> Any:
        """Wait for the end, record it, and return or raise it."""
        try:
            return self._result()
        except BaseException as error:
            self.leave(error)
            raise

    def _result(self) -> Any:
        if self._record is not None:
            return self._outcome(self._record)
        line = self.context._line
        if line.thread != get_ident():
            self._refuse_thread()
        if self.context._scope.over:
            self._stop()
        arrival = line.pending.get(self.id)
        if arrival is None:
            arrival = Arrival(line)
            line.begin(self.id, arrival)
            arrival.start(
                self.id,
                self._due,
                self._limit(self._config.timeout) or 0.0,
                self._limit(self._config.heartbeat_timeout),
            )
        assert isinstance(arrival, Arrival)
        line.wait_for(arrival)
        line.pending.pop(self.id, None)
        self._record = self._end(arrival)
        return self._outcome(self._record)

    def _end(self, arrival: Arrival) -> Record:
        payload: bytes | None = None
        error: Failure | None = None
        message = arrival.message
        if message is None:
            action = TIMED_OUT
            error = Failure(
                f"{self.describe_now()} got no answer in time ({arrival.timed_out})",
                f"Callback.{arrival.timed_out.title()}" if arrival.timed_out else None,
            )
        elif message.error is not None:
            action, error = FAILED, message.error
        else:
            action, payload = SUCCEEDED, message.payload
        self.commit(self.add(action, payload, error))
        return Record(
            self.id, b"", self.kind, self.subtype, self.name, action, 0,
            payload=payload, error=error,
        )  # fmt: skip

    def _outcome(self, record: Record) -> Any:
        if record.action == SUCCEEDED:
            data = self.context._line.execution.payload(record)
            if data is None:
                return None
            return reread(data, self.serdes, self.serdes_context)
        kind = CallbackTimeoutError if record.action == TIMED_OUT else (
            CallbackExternalError
        )  # fmt: skip
        raise operation_error(kind, record.error)


def wait_for_callback(
    context: DurableContext,
    submitter: Callable[..., Any],
    name: str | None,
    config: Any,
) -> Any:
    """Have a step send a callback's id somewhere, then wait for the callback."""

    def body(child: DurableContext) -> Any:
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
