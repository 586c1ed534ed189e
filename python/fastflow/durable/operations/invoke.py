"""``invoke``: another durable function, as an execution of its own."""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from fastflow.base.timers import Timer, system_clock
from fastflow.durable.config import InvokeConfig, to_seconds
from fastflow.durable.exceptions import (
    ExecutionConflictError,
    ExecutionInProgress,
    InvocationError,
    InvokeError,
    LeaseLostError,
)
from fastflow.durable.operations.operation import Operation
from fastflow.durable.runtime.failures import (
    leaves_unfinished,
    operation_error,
    to_failure,
)
from fastflow.durable.runtime.replay import Pending, Replay
from fastflow.errors import add_note, shown
from fastflow.journal.identity import invoked_name
from fastflow.journal.payloads import dump, load
from fastflow.journal.records import (
    BEGUN,
    FAILED,
    SUCCEEDED,
    TIMED_OUT,
    Failure,
    Record,
)
from fastflow.journal.statuses import ExecutionStatus
from fastflow.pool.dispatch import Dispatch, expire, given_up

if TYPE_CHECKING:
    from fastflow.durable.handle import Handle
    from fastflow.durable.operations.position import Position

__all__ = ["Invoke"]

_FIRST_LOOK, _LAST_LOOK = 0.01, 0.25  # seconds between looks at what runs elsewhere


class Invoked(Pending):
    """Waits for another execution, wherever it runs.

    Parameters
    ----------
    child : str
        The name of the execution.
    begin : callable
        Starts it, or joins it if it runs in this runner already, and returns a handle.
        Raises `ExecutionInProgress` if it runs elsewhere, as in another process or
        while it is just being recovered: then it is asked again from time to time.
    """

    __slots__ = ("_begin", "_delay", "_look", "_over", "_rejoined", "_timer",
                 "child", "handle", "timed_out", "trouble")  # fmt: skip

    def __init__(
        self, replay: Replay, child: str, begin: Callable[[], Handle[Any]]
    ) -> None:
        super().__init__(replay)
        self.child = child
        self._begin = begin
        self.handle: Handle[Any] | None = None
        self.timed_out = False
        self.trouble: BaseException | None = None
        """Why nobody will know how it ends, for now."""
        self._timer: Timer | None = None
        self._look: Timer | None = None
        self._delay = _FIRST_LOOK
        self._rejoined = False
        self._over = False  # nobody waits any more

    def start(self, due: int, most: float) -> None:
        """Settle when the execution has ended, or at `due`."""
        if due:
            self._timer = self.replay.execution.runtime.call_at(
                due, most, expire, self._expire
            )
        try:
            self._join()
        except BaseException:
            self._drop_timers()
            raise

    def _join(self) -> None:
        try:
            self.handle = self._begin()
        except ExecutionInProgress:
            self._look_later()
        else:
            self.handle.add_done_callback(self._ended)

    def _look_later(self) -> None:
        # Not on the runtime's clock: what runs elsewhere doesn't know that one.
        try:
            self._look = system_clock.call_later(self._delay, expire, self._look_again)
        except Exception as error:  # no thread for the timers
            self._fail(error)
            return
        self._delay = min(2 * self._delay, _LAST_LOOK)
        if self._over:
            self._look.cancel()

    def _look_again(self) -> None:
        # The journal may keep one waiting, and the timers' thread mustn't.
        try:
            self.replay.execution.runtime.calls.submit(
                self._try, self._tried, quiet=True
            )
        except RuntimeError as error:
            self._fail(error)

    def _try(self) -> None:
        if not self._over:
            self._join()

    def _tried(self, dispatch: Dispatch) -> None:
        self._fail(dispatch.exception() or given_up())

    def _fail(self, trouble: BaseException) -> None:
        self.trouble = trouble
        self._settle_once()

    def _ended(self, handle: Handle[Any]) -> None:
        if handle.end is None:
            self.trouble = handle.exception()
            if isinstance(self.trouble, LeaseLostError) and not self._rejoined:
                self._rejoined, self.trouble = True, None
                self._look_later()  # another process goes on with it
                return
        self._settle_once()

    def _settle_once(self) -> None:
        self._drop_timers()
        if not self.done:
            self.settle()

    def _expire(self) -> None:
        if not self.done:
            self.timed_out = True
            self._settle_once()

    def _drop_timers(self) -> None:
        self._over = True
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()

    def cancel(self) -> None:
        """Drop the timers; the other execution ends if nobody wants it any more."""
        self._drop_timers()
        if not self.done and self.replay.scope.over:
            self.replay.execution.disown(self.child)


class Invoke(Operation):
    """``context.invoke()``."""

    __slots__ = ("_config", "_function", "_payload")

    kind = "CHAINED_INVOKE"
    is_scope = True
    error_kind = InvokeError

    def __init__(
        self,
        context: Position,
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
        replay = self.context._replay
        runtime = replay.execution.runtime
        limit = None if self._config.timeout is None else to_seconds(
            self._config.timeout
        )  # fmt: skip
        due = record.due if record is not None else 0
        if record is None:
            if limit:
                due = runtime.now_us() + round(limit * 1e6)
            self.commit(self.add(BEGUN, due=due))
        invoked = replay.pending.get(self.id)
        if invoked is None:
            assert runtime.start_function is not None
            data = dump(self._payload, None, self.serdes_context)
            begin = partial(runtime.start_function, self._function, self._child, data)
            replay.execution.may_have_invoked = True
            invoked = Invoked(replay, self._child, begin)
            replay.begin(self.id, invoked)
            try:
                invoked.start(due, limit or 0.0)
            except ExecutionConflictError as conflict:  # the program has changed
                self._interrupted(conflict)
        assert isinstance(invoked, Invoked)
        replay.wait_for(invoked)
        replay.pending.pop(self.id, None)
        return self._end(invoked)

    def _end(self, invoked: Invoked) -> Any:
        if invoked.timed_out:
            failure = Failure(f"{self.describe_now()} took too long", "TimeoutError")
            self.commit(self.add(TIMED_OUT, error=failure))
            self.context._replay.execution.disown(invoked.child)
            raise operation_error(InvokeError, failure)
        handle = invoked.handle
        end = None if handle is None else handle.end
        if end is None:
            # It has no outcome, so neither has this: both go on when they are resumed.
            self._interrupted(invoked.trouble or given_up())
        if end.status != ExecutionStatus.SUCCEEDED:
            failure = end.error or to_failure(_cancelled(self._child))
            self.commit(self.add(FAILED, error=failure))
            raise operation_error(InvokeError, failure)
        self.commit(self.add(SUCCEEDED, end.result))
        if end.result is None:
            return None
        return load(end.result, self.serdes, self.serdes_context)

    def _interrupted(self, reason: BaseException) -> NoReturn:
        if leaves_unfinished(reason):
            add_note(reason, f"in the invoked execution {self._child!r}")
            raise reason
        raise InvocationError(
            f"the invoked execution {self._child!r} was interrupted: {shown(reason)}"
        ) from reason

    @property
    def _child(self) -> str:
        """The name of the invoked execution."""
        return invoked_name(self.context._replay.execution.name, self.id)


def _cancelled(name: str) -> cf.CancelledError:
    return cf.CancelledError(f"execution {name!r} was cancelled")
