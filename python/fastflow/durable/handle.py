"""What ``start()`` returns: an execution in the background."""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from fastflow.base.durations import Time, wait_of
from fastflow.base.interrupts import wait_until
from fastflow.durable.runtime.execution_state import Execution
from fastflow.durable.runtime.scheduler import blocking
from fastflow.journal.journal import End
from fastflow.journal.statuses import ExecutionStatus

__all__ = ["Handle"]

T = TypeVar("T")


class Handle(Generic[T]):
    """An execution that runs in the background, or has run.

    Attributes
    ----------
    name : str
        Of the execution.
    """

    def __init__(self, name: str, execution: Execution | None = None) -> None:
        self.name = name
        self._execution = execution
        self._future: cf.Future[T] = cf.Future()
        self.end: End | None = None
        """How it ended, as the journal has it; None while it is unfinished."""

    def result(self, timeout: Time | None = None) -> T:
        """Return what the function returned; wait for it up to `timeout`.

        Raises
        ------
        TimeoutError
            If it hasn't ended by then.
        concurrent.futures.CancelledError
            If it was cancelled.
        Exception
            What the function raised, or what interrupted it; see `status`.
        """
        self._wait(wait_of(timeout))
        return self._future.result(0)

    def exception(self, timeout: Time | None = None) -> BaseException | None:
        """Return what the function raised, or None; wait for it like `result`."""
        self._wait(wait_of(timeout))
        try:
            return self._future.exception(0)
        except cf.CancelledError as error:
            return error

    def _wait(self, timeout: float | None) -> None:
        future = self._future
        if not future.done():
            with blocking():
                wait_until(lambda most: bool(cf.wait([future], most).done), timeout)

    def cancel(self) -> bool:
        """Have it end at its next operation; False if it has ended already."""
        if self._future.done() or self._execution is None:
            return False
        self._execution.cancel()
        return True

    @property
    def status(self) -> ExecutionStatus:
        """RUNNING, SUCCEEDED, FAILED or CANCELLED.

        Or INTERRUPTED: unfinished, for a reason that is no outcome of the function;
        `exception` tells it, and the execution can be resumed.
        """
        if not self._future.done():
            return ExecutionStatus.RUNNING
        if self.end is None:
            return ExecutionStatus.INTERRUPTED
        return ExecutionStatus(self.end.status)

    def done(self) -> bool:
        """Whether it has ended, or was interrupted, in this process."""
        return self._future.done()

    def add_done_callback(self, fn: Callable[[Handle[T]], object]) -> None:
        """Call ``fn(handle)`` when it has ended, or at once."""
        self._future.add_done_callback(lambda _: fn(self))

    def payload(self) -> bytes | None:
        """Return the result as it is stored."""
        return None if self.end is None else self.end.result

    def _settle(self, value: Any, error: BaseException | None, end: End | None) -> None:
        self.end = end
        if error is not None:
            self._future.set_exception(error)
        else:
            self._future.set_result(value)

    def __repr__(self) -> str:
        return f"<durable execution {self.name!r} {self.status}>"
