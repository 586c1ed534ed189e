"""At interpreter exit, started runs and background actions are finished."""

from __future__ import annotations

import logging
import sys
import time
import weakref

from fastflow.base import aio, lifetime
from fastflow.base.log_ids import extra
from fastflow.base.timers import system_clock
from fastflow.workflows.run import Run
from fastflow.workflows.shared import Shared
from fastflow.workflows.state import global_state

__all__ = ["finish_at_exit"]

_LOGGER = logging.getLogger("fastflow")
_runs: weakref.WeakSet[Run] = weakref.WeakSet()
_services: weakref.WeakSet[Shared] = weakref.WeakSet()
_POLL = 0.02  # seconds


def finish_at_exit(what: Run | Shared) -> None:
    """Let the interpreter wait for a run, or for the actions of a workflow."""
    if isinstance(what, Run):
        _runs.add(what)
        if sys.version_info[:2] == (3, 12):
            # This version refuses new threads from the very beginning of the exit on.
            aio.start()
            system_clock.start()
    else:
        _services.add(what)


def _at_exit() -> None:
    for run in list(_runs):
        while not run.done():
            expected = run.inbox.expected
            if run.clock is not system_clock:
                expected.append("a clock that nobody advances")
            if expected:
                # Nobody is left who could send it.
                _LOGGER.warning(
                    "%s is cancelled at exit; it waits for: %s",
                    run.label,
                    ", ".join(expected),
                    extra=extra(run.id),
                )
                run.cancel()
            time.sleep(_POLL)
    for shared in list(_services):
        shared.actions.wait(None)


def _after_fork_in_child() -> None:
    _runs.clear()  # their threads are the parent's
    for shared in list(_services):
        shared.start_over()
        shared.state.renew_lock()
    global_state.renew_lock()


lifetime.at_exit(lifetime.RUNS, _at_exit)
lifetime.in_forked_child(lifetime.RUNS, _after_fork_in_child)
