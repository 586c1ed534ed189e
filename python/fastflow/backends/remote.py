"""Attempts in other processes, or wherever else a foreign executor makes its calls."""

from __future__ import annotations

import concurrent.futures as cf
from types import MethodType
from typing import Any

from fastflow.backends.local import ThreadBackend
from fastflow.backends.sender import Sender
from fastflow.pool.executor import default_executor
from fastflow.run.job import Backend, Job
from fastflow.run.loop import Loop

__all__ = ["RemoteBackend"]


class RemoteBackend(Backend):
    """An executor that pickles what it is given, as one run uses it.

    Context variables don't travel: a call has a copy of those of the process it is made
    in.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    sender : Sender
        That all share who use the executor.
    local : bool
        Whether its processes are on this machine.
    loop : Loop, optional
        For functions that are async; these are called in this process.
    """

    remote = True
    sees_start = False
    by_value = True
    nested = False

    def __init__(
        self,
        executor: cf.Executor,
        sender: Sender,
        *,
        local: bool,
        loop: Loop | None = None,
    ) -> None:
        self.executor = executor
        self.loop = loop or Loop()
        self.local = local
        self._submit = executor.submit
        self._sender = sender

    def capacity(self) -> int | None:
        """See `fastflow.run.job.Backend`."""
        return self._sender.capacity

    def launch(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        if job.is_async:
            self.loop.launch(job, ticket)
            return
        run, fn = job.remote_function()
        key = id(self), job.keeps, id(run), *_identity(fn)
        self._sender.launch(key, self._submit, run, fn, job, ticket)

    def recover(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        ThreadBackend(default_executor(), loop=self.loop).recover(job, ticket)


def _identity(fn: Any) -> tuple[int, ...]:
    """Return what tells functions apart; methods are made anew at each look."""
    if type(fn) is MethodType:
        return id(fn.__func__), id(fn.__self__)
    return (id(fn),)
