"""Limits where there can't be a thread for timers: errors of their tasks."""

from __future__ import annotations

import pytest

import fastflow
from fastflow import Flow
from fastflow.base.timers import SystemClock
from fastflow.engines import native
from fastflow.engines.base import Run, RunOptions
from fastflow.flows import calls


class Refusing(SystemClock):
    def call_later(self, seconds, fn, /, *args):
        raise RuntimeError("can't start new thread")


@fastflow.task(timeout="1m")
def same(value=1):
    return value


@pytest.mark.parametrize("text", ["same", "numbers -> same[*]"])
def test_of_a_flow(text):
    registry = {"same": same, "numbers": lambda: [1, 2, 3]}
    flow = Flow(f"flow F:\n    {text}", registry=registry)
    run = Run(flow._plan, None, RunOptions(keep_going=True))
    with fastflow.Executor(2) as executor:
        native.run_native(run, executor, clock=Refusing())
    number = flow._plan.index["same"]
    assert run.track.errors[number]
    assert all("new thread" in str(error) for error in run.track.errors[number])


def test_of_a_flow_function(monkeypatch):
    monkeypatch.setattr(calls, "system_clock", Refusing())

    @fastflow.flow
    def body():
        return same(3)

    with pytest.raises(fastflow.TaskError, match="new thread"):
        body()
