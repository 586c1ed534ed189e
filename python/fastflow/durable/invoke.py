"""``invoke``: another durable function, as an execution of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastflow.dispatch import expire
from fastflow.durable.config import InvokeConfig, to_seconds
from fastflow.durable.exceptions import InvokeError
from fastflow.durable.failures import operation_error, to_failure
from fastflow.durable.identity import invoked_name
from fastflow.durable.line import Line, Pending
from fastflow.durable.operation import Operation
from fastflow.durable.payloads import dump, load
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

__all__ = ["Invoke"]


class Invoked(Pending):
    """Waits for another execution."""

    __slots__ = ("_timer", "child", "handle", "timed_out")

    def __init__(self, line: Line, child: str) -> None:
        super().__init__(line)
        self.child = child
        """The name of the execution."""
        self.handle: Any = None
        self.timed_out = False
        self._timer: Timer | None = None

    def start(self, handle: Any, due: int, most: float) -> None:
        """Settle when the execution has ended, or at `due`."""
        self.handle = handle
        if due:
            self._timer = self.line.execution.engine.call_at(
                due, most, expire, self._expire
            )
        handle.add_done_callback(self._ended)

    def _ended(self, _: object) -> None:
        self.cancel()
        if not self.done:
            self.settle()

    def _expire(self) -> None:
        if not self.done:
            self.timed_out = True
            self.settle()

    def cancel(self) -> None:
        """Drop the timer; the other execution ends if nobody wants it any more."""
        if self._timer is not None:
            self._timer.cancel()
        if not self.done and self.line.scope.over:
            self.line.execution.disown(self.child)


class Invoke(Operation):
    """``context.invoke()``."""

    __slots__ = ("_config", "_function", "_payload")

    kind = "CHAINED_INVOKE"
    error_kind = InvokeError

    def __init__(
        self,
        context: DurableContext,
        function: str,
        payload: Any,
        name: str | None,
        config: InvokeConfig[Any, Any] | None,
    ) -> None:
        config = config or InvokeConfig()
        super().__init__(context, "ChainedInvoke", name, None)
        self._function = function
        self._payload = payload
        self._config = config

    def advance(self, record: Record | None) -> Any:
        """Start the execution under a name made from this one's, and wait for it."""
        line = self.context._line
        engine = line.execution.engine
        limit = None if self._config.timeout is None else to_seconds(
            self._config.timeout
        )  # fmt: skip
        due = record.due if record is not None else 0
        if record is None:
            if limit:
                due = engine.now_us() + round(limit * 1e6)
            self.commit(self.add(BEGUN, due=due))
        invoked = line.pending.get(self.id)
        if invoked is None:
            invoked = Invoked(line, invoked_name(line.execution.name, self.id))
            assert engine.start_function is not None
            data = dump(self._payload, None, self.serdes_context)
            line.execution.may_have_invoked = True
            handle = engine.start_function(self._function, invoked.child, data)
            line.begin(self.id, invoked)
            invoked.start(handle, due, limit or 0.0)
        assert isinstance(invoked, Invoked)
        line.wait_for(invoked)
        line.pending.pop(self.id, None)
        return self._end(invoked)

    def _end(self, invoked: Invoked) -> Any:
        if invoked.timed_out:
            failure = Failure(f"{self.describe_now()} took too long", "TimeoutError")
            self.commit(self.add(TIMED_OUT, error=failure))
            self.context._line.execution.disown(invoked.child)
            raise operation_error(InvokeError, failure)
        error = invoked.handle.exception()
        if error is not None:
            failure = to_failure(error)
            self.commit(self.add(FAILED, error=failure))
            raise operation_error(InvokeError, failure)
        data = invoked.handle.payload()
        self.commit(self.add(SUCCEEDED, data))
        return None if data is None else load(data, self.serdes, self.serdes_context)
