"""The figures of the workflow builder."""

from __future__ import annotations

from fastflow.bench.rows import Settings
from fastflow.bench.workflow_steps import builder_step


def test_every_size_and_the_payload_are_reported():
    rows = list(builder_step(Settings(repeats=1)))
    assert [row.workload.split(", ", 1)[1] for row in rows] == [
        "no-op, 10 in a workflow",
        "no-op, 1,000 in a workflow",
        "no-op, 10,000 in a workflow",
        "10,000 in a workflow",
        "payload of 64 MB",
    ]
    assert all(row.our_figure > 0 and row.goal is not None for row in rows)
