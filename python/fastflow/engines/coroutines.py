"""First attempts at async tasks: coroutines of which the event loop runs many.

One that returns is written down and settled here; what follows a failure is a job's, as
with the calls of `fastflow.engines.workers`.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from fastflow import _core
from fastflow.base.log_ids import Ids
from fastflow.engines.items import Items
from fastflow.run.loop import OnLoop

__all__ = ["FirstCoroutine"]


class _Host(Protocol):
    """What it needs of its `fastflow.engines.workers.WorkerHost`."""

    closed: bool

    def ids_of(self, tag: Any, attempt: int) -> Ids:
        """Return what log records of a task belong to."""

    def coroutine_returned(self, attempt: FirstCoroutine, value: Any) -> None:
        """Write down what a task has returned."""

    def coroutine_raised(self, attempt: FirstCoroutine, error: BaseException) -> None:
        """Let a job decide what follows."""

    def coroutine_left(self, attempt: FirstCoroutine) -> None:
        """Write down that nothing comes of it, as the run stops."""


class FirstCoroutine(OnLoop):
    """The first attempt at a task.

    Parameters
    ----------
    host : WorkerHost
    tag
        Of the task, as the host has it.
    coroutine : coroutine
        That its call has led to.
    context : contextvars.Context
        Of which it has a copy.
    group : Items, optional
        Of which it is an item.
    item
        That is the task's argument then.

    Attributes
    ----------
    began : float
        By ``time.perf_counter``; 0: it hasn't.
    worker : int
        The thread that runs it.
    """

    __slots__ = ("_host", "began", "coroutine", "group", "item", "tag", "worker")

    def __init__(
        self,
        host: _Host,
        tag: Any,
        coroutine: Coroutine[Any, Any, Any],
        context: contextvars.Context,
        group: Items | None = None,
        item: Any = None,
    ) -> None:
        super().__init__(_core.task_context(context))
        self._host = host
        self.tag = tag
        self.coroutine = coroutine
        self.group = group
        self.item = item
        self.began = 0.0
        self.worker = 0

    def ids(self) -> Ids:
        """Return what log records of it belong to."""
        return self._host.ids_of(self.tag, 1)

    @property
    def wanted(self) -> bool:
        """See `OnLoop`."""
        return not self._host.closed

    def refuse(self, error: Exception | None) -> bool:
        """See `OnLoop`."""
        if not self.take():
            return False
        self.coroutine.close()
        if error is None:
            self._host.coroutine_left(self)
        else:
            self._host.coroutine_raised(self, error)
        return True

    def stop(self) -> None:
        """See `fastflow.engines.host.UnderWay`."""
        self.refuse(None)

    def cancel(self) -> None:
        """See `fastflow.engines.host.UnderWay`."""
        self.give_up()

    async def run(self) -> None:
        """See `OnLoop`."""
        self.began = time.perf_counter()
        self.worker = threading.get_ident()
        try:
            value = await self.coroutine
        except BaseException as error:
            self._host.coroutine_raised(self, error)
            import asyncio

            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._host.coroutine_returned(self, value)

    def cut_off(self, error: BaseException) -> None:
        """See `OnLoop`."""
        self.coroutine.close()
        self._host.coroutine_raised(self, error)
