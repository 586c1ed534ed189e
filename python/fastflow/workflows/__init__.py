"""The workflow builder: ``fastflow.workflow(name).step(...).parallel(...).run()``.

The layers, lowest first: `records`, `state`, `limits`, `mailbox`, `actions`, `failures`
(data); `context`, `parcel` (what functions see, here and in other processes); `places`,
`calls` (one call of a user's function); `program`, `line` (instructions and who
executes them); `steps`, `branches`, `items`, `policies`, `fan`, `fans`, `waits` (the
instructions); `hooks`, `run`, `service` (a run, and what runs share); `verbs`,
`builder` (the public face) and `mocks`, `differences`, `harness` (tests).
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
