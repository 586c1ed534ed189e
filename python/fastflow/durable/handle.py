"""What ``start()`` returns: an execution in the background."""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from fastflow.durable.running import Execution

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
        self._payload: bytes | None = None

    def result(self, timeout: float | None = None) -> T:
        """Return what the function returned; wait for it up to `timeout` seconds.

        Raises
        ------
        TimeoutError
            If it hasn't ended by then.
        concurrent.futures.CancelledError
            If it was cancelled.
        Exception
            What the function raised.
        """
        return self._future.result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the function raised, or None; wait for it like `result`."""
        try:
            return self._future.exception(timeout)
        except cf.CancelledError as error:
            return error

    def cancel(self) -> bool:
        """Have it end at its next operation; False if it has ended already."""
        if self._future.done() or self._execution is None:
            return False
        self._execution.cancel()
        return True

    @property
    def status(self) -> str:
        """``"RUNNING"``, ``"SUCCEEDED"``, ``"FAILED"`` or ``"CANCELLED"``."""
        if not self._future.done():
            return "RUNNING"
        error = self.exception()
        if error is None:
            return "SUCCEEDED"
        return "CANCELLED" if isinstance(error, cf.CancelledError) else "FAILED"

    def done(self) -> bool:
        """Whether it has ended, at least in this process."""
        return self._future.done()

    def add_done_callback(self, fn: Callable[[Handle[T]], object]) -> None:
        """Call ``fn(handle)`` when it has ended, or at once."""
        self._future.add_done_callback(lambda _: fn(self))

    def payload(self) -> bytes | None:
        """Return the result as it is stored."""
        return self._payload

    def _settle(
        self, value: Any, error: BaseException | None, payload: bytes | None = None
    ) -> None:
        self._payload = payload
        if error is not None:
            self._future.set_exception(error)
        else:
            self._future.set_result(value)

    def __repr__(self) -> str:
        return f"<durable execution {self.name!r} {self.status}>"
