"""Child contexts: operations that are grouped, numbered apart, and recorded as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastflow.durable.config import ChildConfig
from fastflow.durable.exceptions import ChildContextError, SerDesError
from fastflow.durable.failures import is_fatal, operation_error, to_failure
from fastflow.durable.line import finish_call
from fastflow.durable.operation import Operation
from fastflow.durable.payloads import through
from fastflow.durable.records import BEGUN, FAILED, SUCCEEDED, Record

if TYPE_CHECKING:
    from fastflow.durable.context import DurableContext

__all__ = ["Child", "VirtualChild"]


class Child(Operation):
    """``context.run_in_child_context()``."""

    __slots__ = ("_fn",)

    kind = "CONTEXT"
    error_kind = ChildContextError

    def __init__(
        self,
        context: DurableContext,
        fn: Callable[[DurableContext], Any],
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
            self.started = self.context._line.execution.engine.now_us()
            self.add(BEGUN)
        child = self.context._child(self.id, self.id)
        try:
            value = finish_call(self._fn(child))
            child._check_leftover()
            data, value = through(value, self.serdes, self.serdes_context)
        except BaseException as error:
            if is_fatal(error):
                raise
            failure = to_failure(error)
            self.commit(self.add(FAILED, error=failure))
            if isinstance(error, SerDesError):
                raise
            raise operation_error(ChildContextError, failure) from error
        self.commit(self.add(SUCCEEDED, data))
        return value


class VirtualChild(Operation):
    """A child context that is not recorded: only its operations are numbered apart."""

    __slots__ = ("_fn",)

    kind = "CONTEXT"

    def __init__(
        self,
        context: DurableContext,
        fn: Callable[[DurableContext], Any],
        name: str | None,
    ) -> None:
        super().__init__(context, "RunInChildContext", name)
        self._fn = fn

    def advance(self, _: Record | None) -> Any:
        """Call the function with a context of its own."""
        child = self.context._child(self.id, self.context._reported_parent)
        try:
            value = finish_call(self._fn(child))
            child._check_leftover()
        except Exception as error:
            if is_fatal(error):
                raise
            raise operation_error(ChildContextError, to_failure(error)) from error
        return value
