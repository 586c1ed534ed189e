"""The workflow builder: ``fastflow.workflow(name).step(...).parallel(...).run()``.

docs/architecture.md says what each module is for, and ``tests/contract/test_layers.py``
which may import which.
"""

from __future__ import annotations

from fastflow.workflows.builder import Workflow, workflow
from fastflow.workflows.context import Context
from fastflow.workflows.harness import Harness
from fastflow.workflows.records import RunResult, StepRecord
from fastflow.workflows.run import Run
from fastflow.workflows.state import State

__all__ = [
    "Context",
    "Harness",
    "Run",
    "RunResult",
    "State",
    "StepRecord",
    "Workflow",
    "workflow",
]
