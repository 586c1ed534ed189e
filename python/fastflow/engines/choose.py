"""Which engine runs a plan."""

from __future__ import annotations

import concurrent.futures
from functools import partial
from typing import Any

from fastflow.engines.base import Engine, RunOptions
from fastflow.engines.hosted import run_hosted
from fastflow.engines.native import can_run, run_native
from fastflow.engines.serial import run_serial
from fastflow.pool.executor import Executor, default_executor
from fastflow.run.plan import FlowPlan

__all__ = ["check_executor", "choose_engine"]


def check_executor(executor: Any) -> None:
    """Refuse what is no executor.

    Raises
    ------
    TypeError, ValueError
        With what can be given.
    """
    if executor is None or isinstance(executor, concurrent.futures.Executor):
        return
    wanted = (
        "executor must be None, a fastflow.Executor, another "
        "concurrent.futures.Executor, 'processes' or 'serial'"
    )
    if isinstance(executor, str):
        if executor not in ("processes", "serial"):
            raise ValueError(f"{wanted}; not {executor!r}")
        return
    raise TypeError(f"{wanted}; not {type(executor).__name__}")


def choose_engine(
    plan: FlowPlan, executor: Any, options: RunOptions, *, sequential: bool
) -> Engine:
    """Return the engine for a run.

    Parameters
    ----------
    plan : FlowPlan
    executor : None, "serial", "processes" or an executor
    options : RunOptions
    sequential : bool
        One task at a time, in the calling thread if there is no executor.
    """
    check_executor(executor)
    if executor == "processes":
        from fastflow.processes.shared import default_processes  # few runs need it

        executor = default_processes(options.max_workers)
    in_caller = executor == "serial" or (sequential and executor is None)
    if in_caller and options.timeout is None:
        return run_serial
    if in_caller or executor is None:
        # A limit of the whole time needs somebody who watches while a task runs.
        executor = default_executor(None if in_caller else options.max_workers)
    one = sequential or in_caller
    watched = one or options.timeout is not None
    if (
        isinstance(executor, Executor)
        and not watched
        and can_run(plan, options.max_workers, executor)
    ):
        return partial(run_native, executor=executor)
    return partial(run_hosted, executor=executor, one_at_a_time=one)
