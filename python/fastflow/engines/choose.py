"""Which engine runs a plan."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastflow.engines.base import Engine, RunOptions
from fastflow.engines.hosted import run_hosted
from fastflow.engines.native import can_run, run_native
from fastflow.engines.serial import run_serial
from fastflow.pool.executor import Executor, default_executor
from fastflow.pool.named import SERIAL, executor_of
from fastflow.run.plan import FlowPlan

__all__ = ["choose_engine"]


def choose_engine(
    plan: FlowPlan, executor: Any, options: RunOptions, *, sequential: bool
) -> Engine:
    """Return the engine for a run.

    Parameters
    ----------
    plan : FlowPlan
    executor : executor or str, optional
    options : RunOptions
    sequential : bool
        One task at a time, in the calling thread if there is no executor.
    """
    executor = executor_of(executor, options.max_workers)
    in_caller = executor == SERIAL
    if sequential and executor is None and not plan.names_executors:
        in_caller = True
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
