"""Any executor: the calling thread alone has the graph, and all calls are jobs."""

from __future__ import annotations

import concurrent.futures

from fastflow.backends.choose import backend_of
from fastflow.backends.routed import routed
from fastflow.base.timers import Clock, system_clock
from fastflow.engines.base import Run, check_loop
from fastflow.engines.host import Host
from fastflow.engines.native import ALONE, drive
from fastflow.pool.dispatch import expire
from fastflow.pool.executor import Executor, default_executor
from fastflow.run.admission import Admission
from fastflow.run.job import Backend

__all__ = ["run_hosted"]


def run_hosted(
    run: Run,
    executor: concurrent.futures.Executor,
    *,
    one_at_a_time: bool = False,
    clock: Clock = system_clock,
) -> None:
    """Run the tasks on an executor; see `fastflow.engines.base.Engine`."""
    tasks = [node.task for node in run.plan.kinds]
    backend: Backend = routed(backend_of(executor), tasks)
    places = 1 if one_at_a_time else run.options.max_workers
    if places is not None:
        backend = Admission(backend, places, counts_async=one_at_a_time)
    check_loop(run.plan.name, tasks)
    own = executor if isinstance(executor, Executor) else default_executor()
    host = Host(run, backend, clock, own._context())
    timer = None
    if run.options.timeout is not None:
        timer = clock.call_later(run.options.timeout, expire, host.expire)
    try:
        drive(host, own, host.begin, ALONE)
    finally:
        if timer is not None:
            timer.cancel()
