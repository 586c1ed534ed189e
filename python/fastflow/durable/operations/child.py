"""Child contexts: operations that are grouped, numbered apart, and recorded as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastflow.durable.config import ChildConfig
from fastflow.durable.exceptions import ChildContextError
from fastflow.durable.operations.operation import Operation
from fastflow.durable.runtime.failures import (
    leaves_unfinished,
    operation_error,
    to_failure,
)
from fastflow.durable.runtime.replay import finish_call
from fastflow.journal.payloads import through
from fastflow.journal.records import BEGUN, FAILED, SUCCEEDED, Failure, Record

if TYPE_CHECKING:
    from fastflow.durable.operations.position import Position

__all__ = ["Child", "VirtualChild"]


class Child(Operation):
    """``context.run_in_child_context()``."""

    __slots__ = ("_fn",)

    kind = "CONTEXT"
    is_scope = True
    error_kind = ChildContextError

    def __init__(
        self,
        context: Position,
        fn: Callable[[Any], Any],
        name: str | None,
        config: ChildConfig[Any] | None = None,
        subtype: str = "RunInChildContext",
    ) -> None:
        serdes = None
        if config is not None:
            subtype = config.sub_type or subtype
            serdes = config.serdes
        super().__init__(context, subtype, name, serdes)
        self._fn = fn

    def advance(self, record: Record | None) -> Any:
        """Call the function with a context of its own."""
        if record is None:
            self.started = self.context._replay.execution.runtime.now_us()
            self.add(BEGUN)
        child = self.context._child(self.id, self.id)
        value, failure = _outcome(self._fn, child)
        if failure is not None:
            self.commit(self.add(FAILED, error=failure))
            raise operation_error(ChildContextError, failure)
        data, value = through(value, self.serdes, self.serdes_context)
        self.commit(self.add(SUCCEEDED, data))
        return value


def _outcome(fn: Callable[[Any], Any], child: Position) -> tuple[Any, Failure | None]:
    """Call a child context's function; return its value, or what is kept of its error.

    The error itself is not passed on: a replay has only what is kept.
    """
    try:
        value = finish_call(fn(child))
        child._check_leftover()
    except BaseException as error:
        if leaves_unfinished(error):
            raise
        return None, to_failure(error)
    return value, None


class VirtualChild(Operation):
    """A child context that is not recorded: only its operations are numbered apart."""

    __slots__ = ("_fn",)

    kind = "CONTEXT"

    def __init__(
        self,
        context: Position,
        fn: Callable[[Any], Any],
        name: str | None,
    ) -> None:
        super().__init__(context, "RunInChildContext", name)
        self._fn = fn

    def advance(self, _: Record | None) -> Any:
        """Call the function with a context of its own."""
        child = self.context._child(self.id, self.context._reported_parent)
        value, failure = _outcome(self._fn, child)
        if failure is not None:
            raise operation_error(ChildContextError, failure)
        return value
