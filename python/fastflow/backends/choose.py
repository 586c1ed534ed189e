"""Which backend serves an executor: the one place that looks at its class."""

from __future__ import annotations

import concurrent.futures as cf
import os
import sys
from typing import TYPE_CHECKING
from weakref import WeakMethod

from fastflow.backends.local import ThreadBackend
from fastflow.pool.blas import share_of
from fastflow.pool.executor import Executor
from fastflow.run.loop import Activity, Loop

if TYPE_CHECKING:
    from fastflow.backends.fan import Place
    from fastflow.backends.processes import ProcessBackend
    from fastflow.backends.remote import RemoteBackend
    from fastflow.backends.sender import Sender

__all__ = ["backend_of", "place_of", "workers_of"]

_THREADS: tuple[type, ...] = (Executor, cf.ThreadPoolExecutor)
_INTERPRETERS: tuple[type, ...] = ()
if hasattr(cf, "InterpreterPoolExecutor"):
    _INTERPRETERS = (cf.InterpreterPoolExecutor,)


def backend_of(
    executor: cf.Executor, activity: Activity | None = None, loop: Loop | None = None
) -> ThreadBackend | RemoteBackend | ProcessBackend:
    """Return where attempts are made, for one run that uses an executor.

    Executors that are not known to be threads get calls that can be pickled, which is
    right for processes, other interpreters and clusters.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    activity : Activity, optional
        Told of every call on threads.
    loop : Loop, optional
        For functions that are async.
    """
    if isinstance(executor, _THREADS) and not isinstance(executor, _INTERPRETERS):
        nested = isinstance(executor, Executor)
        return ThreadBackend(
            executor, activity, loop, workers_of(executor), nested=nested
        )
    if _is_ours(executor):
        from fastflow.backends.processes import ProcessBackend

        return ProcessBackend(executor, loop)  # type: ignore[arg-type]
    from fastflow.backends.remote import RemoteBackend  # most runs need no process
    from fastflow.backends.sender import sender_of

    local = isinstance(executor, cf.ProcessPoolExecutor)
    sender = sender_of(executor, lambda: _sender(executor))
    return RemoteBackend(executor, sender, local=local, loop=loop)


def place_of(executor: cf.Executor) -> Place:
    """Return an executor as fan-outs use it."""
    from fastflow.backends.cluster import ClusterExecutor
    from fastflow.backends.fan import Place

    if isinstance(executor, ClusterExecutor):
        return Place(executor.submit, max(executor.capacity(), 1), 0.1)
    workers = workers_of(executor) or os.cpu_count() or 1
    if _is_ours(executor):
        return Place(executor.submit, workers, 0.003, maps=True)
    return Place(executor.submit, workers, 0.02)


def _is_ours(executor: cf.Executor) -> bool:
    """Whether it is a `ProcessExecutor`, of which not all programs have heard."""
    module = sys.modules.get("fastflow.processes.executor")
    return module is not None and isinstance(executor, module.ProcessExecutor)


def workers_of(executor: cf.Executor) -> int | None:
    """Return how many calls an executor makes at a time, if it says so."""
    found = getattr(executor, "_max_workers", None)
    return found if isinstance(found, int) and found > 0 else None


def _sender(executor: cf.Executor) -> Sender:
    from fastflow.backends.cluster import ClusterExecutor, Far
    from fastflow.backends.sender import Sender
    from fastflow.backends.travel import MANY, Alone, Together

    if isinstance(executor, ClusterExecutor):
        ask = WeakMethod(executor.capacity)
        # A worker may be started for a call, or be on its way.
        return Sender(Far(executor), executor.capacity(), starts=True, ask=ask)
    workers = workers_of(executor)
    if not isinstance(executor, cf.ProcessPoolExecutor):
        return Sender(Alone(), workers)
    # One whose processes are replaced after some calls counts what is submitted.
    counts = getattr(executor, "_max_tasks_per_child", None) is not None
    travel = Together(share_of(workers or 1), 1 if counts else MANY)
    return Sender(travel, workers, starts=not counts)
