"""fastflow: run many things, fast.

A native thread pool behind the interface of ``concurrent.futures``, with fan-out
functions, task groups and native kernels.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastflow._core import current_task
from fastflow.errors import (
    BrokenPoolError,
    Cancelled,
    CycleError,
    FastflowError,
    FlowError,
    GraphError,
    KernelError,
    QueueFullError,
    TaskError,
    TaskErrorGroup,
    TaskTimeout,
)
from fastflow.executor import Executor, ExecutorStats, default_executor
from fastflow.fanout import for_each, imap, map, map_array, starmap  # noqa: A004
from fastflow.future import Future
from fastflow.taskgroup import TaskGroup

if TYPE_CHECKING:
    from fastflow.kernel import Kernel, kernels
    from fastflow.retry import RetryPolicy
    from fastflow.waiting import as_completed, wait
    from fastflow.workflows import RunResult, Workflow, workflow

__version__ = "0.1.0"

ThreadPoolExecutor = Executor
"""``from fastflow import ThreadPoolExecutor`` is the whole port."""

__all__ = [
    "BrokenPoolError",
    "Cancelled",
    "CycleError",
    "Executor",
    "ExecutorStats",
    "FastflowError",
    "FlowError",
    "Future",
    "GraphError",
    "Kernel",
    "KernelError",
    "QueueFullError",
    "RetryPolicy",
    "RunResult",
    "TaskError",
    "TaskErrorGroup",
    "TaskGroup",
    "TaskTimeout",
    "ThreadPoolExecutor",
    "Workflow",
    "as_completed",
    "current_task",
    "default_executor",
    "for_each",
    "imap",
    "kernels",
    "map",
    "map_array",
    "starmap",
    "wait",
    "workflow",
]

# Imported when first used: `import fastflow` stays quick.
_LAZY = {
    "Kernel": "fastflow.kernel",
    "kernels": "fastflow.kernel",
    "as_completed": "fastflow.waiting",
    "wait": "fastflow.waiting",
    "RetryPolicy": "fastflow.retry",
    "RunResult": "fastflow.workflows",
    "Workflow": "fastflow.workflows",
    "workflow": "fastflow.workflows",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'fastflow' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
