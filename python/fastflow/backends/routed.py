"""Tasks that say where they are to run, in a run whose others run elsewhere."""

from __future__ import annotations

import concurrent.futures as cf
import threading
from collections.abc import Iterable
from typing import Any

from fastflow.backends.choose import backend_of
from fastflow.pool.named import executor_of
from fastflow.run.job import Backend, Job
from fastflow.run.loop import Loop
from fastflow.run.task import Task

__all__ = ["Routed", "routed"]


def routed(backend: Backend, tasks: Iterable[Task]) -> Backend:
    """Return a backend for tasks of which some may have an executor of their own."""
    if any(task.executor is not None for task in tasks):
        return Routed(backend)
    return backend


class Routed(Backend):
    """Makes attempts at tasks where these say, and all others in one place.

    Fallbacks are called where all others are made.

    Parameters
    ----------
    others : Backend
    """

    def __init__(self, others: Backend) -> None:
        self._others = others
        self._lock = threading.Lock()
        self._backends: dict[Any, Backend] = {}
        self._loop = Loop()

    def launch(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        self.of(job.executor).launch(job, ticket)

    def recover(self, job: Job, ticket: int) -> None:
        """See `fastflow.run.job.Backend`."""
        self._others.recover(job, ticket)

    def of(self, executor: cf.Executor | str | None) -> Backend:
        """Return where the attempts are made that are to run on an executor."""
        if executor is None:
            return self._others
        key = executor if isinstance(executor, str) else id(executor)
        with self._lock:
            found = self._backends.get(key)
        if found is None:
            made = backend_of(executor_of(executor), loop=self._loop)
            with self._lock:
                found = self._backends.setdefault(key, made)
        return found
