"""The critical path of recorded flows goes through the items of their tasks."""

from __future__ import annotations

import time

import pytest

import fastflow
from fastflow.seeing.traces.arrows import dependencies

REGISTRY = {
    "numbers": lambda: range(6),
    "half": lambda n: time.sleep(0.002) or n,
    "slow": lambda n: time.sleep(0.02 if n == 3 else 0.001),
    "last": len,
}


@pytest.mark.parametrize("executor", ["native", "serial"])
def test_items_are_nodes_of_the_flow(executor):
    flow = fastflow.Flow(
        "flow Items:\n    numbers -> half[*] -> slow[*] -> last", registry=REGISTRY
    )
    with fastflow.record() as recording:
        flow.run(executor=None if executor == "native" else executor)
    found = recording.explain()
    assert "(from the graph)" in found.text()
    names = ("numbers", "half[*]", "slow[*]", "last")
    assert tuple(name for name, _ in found.critical_path.steps) == names
    trace = recording.data
    led = {
        (trace.labels[trace.spans["label"][a]], trace.labels[trace.spans["label"][b]])
        for a, b in dependencies(trace).tolist()
    }
    assert led == {("numbers", "half"), ("half", "slow"), ("slow", "last")}
