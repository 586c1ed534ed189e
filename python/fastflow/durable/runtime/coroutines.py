"""Coroutines that functions of users have returned, as jobs on the event loop."""

from __future__ import annotations

from typing import Any

from fastflow.run.job import Backend, Job
from fastflow.run.loop import Loop

__all__ = ["CoroutineJob", "Coroutines"]


class CoroutineJob(Job):
    """A job that may be a coroutine in place of a call."""

    __slots__ = ("made",)

    made: Any
    """The coroutine, until the loop has it."""


class Coroutines(Backend):
    """The event loop, for coroutines that a function has returned."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def launch(self, job: Job, ticket: int) -> None:
        """See `Backend`."""
        assert isinstance(job, CoroutineJob)
        coroutine, job.made = job.made, None
        job.context.run(self._loop.launch, job, ticket, coroutine)
