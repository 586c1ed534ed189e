"""At interpreter exit, runs and background actions are finished."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref

from fastflow import aio, workers
from fastflow.timers import system_clock
from fastflow.workflows.service import Service

__all__ = ["keep"]

# Handlers run in the reverse order of their registration: the pool and the event loop,
# which the runs need, must have registered theirs before.
assert aio
assert workers

_LOGGER = logging.getLogger("fastflow")
_services: weakref.WeakSet[Service] = weakref.WeakSet()
_POLL = 0.02  # seconds


def keep(service: Service) -> None:
    """Finish the service's runs before the interpreter ends."""
    _services.add(service)


def _at_exit() -> None:
    for service in list(_services):
        for run in service.runs:
            while not run.done():
                expected = run.mailbox.expected
                if run.clock is not system_clock:
                    expected.append("a clock that nobody advances")
                if expected:
                    # Nobody is left who could send it.
                    _LOGGER.warning(
                        "%s is cancelled at exit; it waits for: %s",
                        run.label,
                        ", ".join(expected),
                    )
                    run.cancel()
                time.sleep(_POLL)
        service.actions.wait(None)


def _after_fork_in_child() -> None:
    _services.clear()  # their threads are the parent's


threading._register_atexit(_at_exit)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
