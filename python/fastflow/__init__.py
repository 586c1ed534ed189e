"""fastflow: run many things, fast.

A native thread pool behind the interface of ``concurrent.futures``, with fan-out
functions, task groups and native kernels.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from fastflow._core import current_task
from fastflow.base.drawn import register_painter
from fastflow.errors import (
    BrokenPoolError,
    Cancelled,
    CycleError,
    DslError,
    FastflowError,
    FlowError,
    GraphError,
    KernelError,
    KernelFailedError,
    ParameterError,
    QueueFullError,
    TaskError,
    TaskErrorGroup,
    TaskTimeout,
    ValidationError,
)
from fastflow.pool.executor import Executor, ExecutorStats, default_executor
from fastflow.pool.fanout import for_each, imap, map, map_array, starmap  # noqa: A004
from fastflow.pool.future import Future
from fastflow.pool.named import register, register_fans
from fastflow.pool.taskgroup import TaskGroup
from fastflow.pool.waiting import as_completed, wait

if TYPE_CHECKING:
    from fastflow.backends.dask_cluster import dask
    from fastflow.backends.joblib_door import register_joblib
    from fastflow.backends.ray_cluster import ray
    from fastflow.dsl.reader import parse_dsl
    from fastflow.dsl.spec import FlowSpec
    from fastflow.engines.graph import Graph, GraphResult
    from fastflow.errors import BrokenProcessesError, TransferError, WorkerDiedError
    from fastflow.flows.files import load_dsl, save_dsl
    from fastflow.flows.flow import (
        Flow,
        run_flow_from_dsl,
        run_parallel_flow_from_dsl,
    )
    from fastflow.flows.function import flow
    from fastflow.flows.history import list_flows
    from fastflow.pool.kernel import Kernel, kernels
    from fastflow.processes.executor import ProcessExecutor
    from fastflow.processes.executor import ProcessExecutor as ProcessPoolExecutor
    from fastflow.run.registry import TaskRegistry, default_registry, task
    from fastflow.run.results import FlowResult
    from fastflow.run.retry import RetryDecision, RetryPolicy
    from fastflow.run.status import FlowStatus
    from fastflow.seeing.logs import LogFilter
    from fastflow.seeing.otel.telemetry import telemetry
    from fastflow.seeing.recording import Recording, record
    from fastflow.workflows import RunResult, Workflow, workflow

__version__ = "0.1.0"

ThreadPoolExecutor = Executor
"""``from fastflow import ThreadPoolExecutor`` is the whole port."""

__all__ = [
    "BrokenPoolError",
    "BrokenProcessesError",
    "Cancelled",
    "CycleError",
    "DslError",
    "Executor",
    "ExecutorStats",
    "FastflowError",
    "Flow",
    "FlowError",
    "FlowResult",
    "FlowSpec",
    "FlowStatus",
    "Future",
    "Graph",
    "GraphError",
    "GraphResult",
    "Kernel",
    "KernelError",
    "KernelFailedError",
    "LogFilter",
    "ParameterError",
    "ProcessExecutor",
    "ProcessPoolExecutor",
    "QueueFullError",
    "Recording",
    "RetryDecision",
    "RetryPolicy",
    "RunResult",
    "TaskError",
    "TaskErrorGroup",
    "TaskGroup",
    "TaskRegistry",
    "TaskTimeout",
    "ThreadPoolExecutor",
    "TransferError",
    "ValidationError",
    "WorkerDiedError",
    "Workflow",
    "as_completed",
    "current_task",
    "dask",
    "default_executor",
    "default_registry",
    "flow",
    "for_each",
    "imap",
    "kernels",
    "list_flows",
    "load_dsl",
    "map",
    "map_array",
    "parse_dsl",
    "ray",
    "record",
    "register_joblib",
    "run_flow_from_dsl",
    "run_parallel_flow_from_dsl",
    "save_dsl",
    "starmap",
    "task",
    "telemetry",
    "wait",
    "workflow",
]

# What knows more than the pool does, loaded when it is needed.
register_fans(lambda: importlib.import_module("fastflow.backends.fans"))
register_painter(lambda: importlib.import_module("fastflow.seeing.notebook"))
register(
    "processes",
    lambda max_workers: importlib.import_module(
        "fastflow.processes.shared"
    ).default_processes(max_workers),
)

_MODULES = frozenset(("benchmarks", "durable", "testing"))

# Imported when first used: `import fastflow` stays quick.  Not so what waits for tasks
# that run already: a Ctrl-C in the middle of an import can be lost.
_LAZY = {
    "BrokenProcessesError": "fastflow.errors",
    "ProcessExecutor": "fastflow.processes.executor",
    "TransferError": "fastflow.errors",
    "WorkerDiedError": "fastflow.errors",
    "dask": "fastflow.backends.dask_cluster",
    "ray": "fastflow.backends.ray_cluster",
    "register_joblib": "fastflow.backends.joblib_door",
    "Graph": "fastflow.engines.graph",
    "LogFilter": "fastflow.seeing.logs",
    "Recording": "fastflow.seeing.recording",
    "record": "fastflow.seeing.recording",
    "GraphResult": "fastflow.engines.graph",
    "Flow": "fastflow.flows.flow",
    "FlowResult": "fastflow.run.results",
    "FlowSpec": "fastflow.dsl.spec",
    "FlowStatus": "fastflow.run.status",
    "TaskRegistry": "fastflow.run.registry",
    "default_registry": "fastflow.run.registry",
    "flow": "fastflow.flows.function",
    "list_flows": "fastflow.flows.history",
    "load_dsl": "fastflow.flows.files",
    "save_dsl": "fastflow.flows.files",
    "parse_dsl": "fastflow.dsl.reader",
    "run_flow_from_dsl": "fastflow.flows.flow",
    "run_parallel_flow_from_dsl": "fastflow.flows.flow",
    "task": "fastflow.run.registry",
    "telemetry": "fastflow.seeing.otel.telemetry",
    "Kernel": "fastflow.kernel",
    "kernels": "fastflow.kernel",
    "RetryDecision": "fastflow.run.retry",
    "RetryPolicy": "fastflow.run.retry",
    "RunResult": "fastflow.workflows",
    "Workflow": "fastflow.workflows",
    "workflow": "fastflow.workflows",
}


class _FormerNames:
    """Finds modules by the names that they had, when nobody else knows them."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        if not name.startswith("fastflow."):
            return None
        from fastflow.base.former import spec_of

        return spec_of(name)


sys.meta_path.append(_FormerNames())


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"fastflow.{name}")
    if name == "ProcessPoolExecutor":  # the whole port, too
        return __getattr__("ProcessExecutor")
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'fastflow' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
