"""Log records that tell which operation they belong to, under the SDK's names."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from fastflow.base import log_ids
from fastflow.base.log_ids import Ids
from fastflow.durable.runtime.replay import current_operation
from fastflow.journal.identity import ROOT

if TYPE_CHECKING:
    from fastflow.durable.operations.position import Position
    from fastflow.durable.runtime.recorder import Recorded

__all__ = ["DurableLogFilter", "ReplayLogger"]

_LOGGER = logging.getLogger("fastflow.durable")
_NOWHERE: dict[str, Any] = {
    "executionArn": None,
    "operationId": None,
    "operationName": None,
    "parentId": None,
    "attempt": None,
}


def _place(context: Position, operation: Recorded | None) -> dict[str, Any]:
    """Return where a record comes from, as attributes of it."""
    parent = context._reported_parent
    found = {
        **_NOWHERE,
        "executionArn": context._replay.execution.name,
        "parentId": None if parent == ROOT else parent.hex(),
    }
    if operation is not None:
        found["operationId"] = operation.id.hex()
        found["operationName"] = operation.name
        found["attempt"] = operation.attempt or None
    return found


class ReplayLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry ids, and which writes each line once.

    That of a context is silent as long as the next operation existed when this pass
    through the program began: then the replay was written in an earlier one.  That of a
    step always writes.

    Records have the attributes ``executionArn``, ``operationId``, ``operationName``,
    ``parentId`` and ``attempt``, those that say nothing being None; and
    ``durable_execution`` and, of steps, ``operation_id``; and those of all parts of
    fastflow, see `fastflow.base.log_ids`.
    """

    def __init__(
        self,
        context: Position,
        logger: logging.Logger | None = None,
        operation: Recorded | None = None,
    ) -> None:
        extra = _place(context, operation)
        extra["durable_execution"] = extra["executionArn"]
        if operation is not None:
            extra["operation_id"] = extra["operationId"]
            ids = operation.ids()
        else:
            ids = Ids(extra["executionArn"])
        extra.update(log_ids.extra(*ids))
        super().__init__(logger or _LOGGER, extra)
        self._context = context if operation is None else None

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the ids to what the caller gives as ``extra``."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  (logging's name)
        """Whether a message of that level would be logged now."""
        if self._context is not None and self._context._was_here():
            return False
        return super().isEnabledFor(level)


class DurableLogFilter(logging.Filter):
    """Puts the ids on ordinary log records, those of any logger, made in a step.

    Lets all records pass.  Each gets the attributes that those of ``context.logger``
    have, None outside of steps, so a format may name them.

    Examples
    --------
    >>> import logging
    >>> handler = logging.StreamHandler()
    >>> handler.addFilter(DurableLogFilter())
    >>> handler.setFormatter(logging.Formatter("%(executionArn)s %(message)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing."""
        operation = current_operation.get()
        place = _NOWHERE
        if operation is not None:
            place = _place(operation.context, operation)
        for name, value in place.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True
