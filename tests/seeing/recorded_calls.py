"""Functions that recordings are made of, and what must hold for every trace."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import numpy as np

import fastflow
from fastflow.durable import (
    Duration,
    RetryDecision,
    StepConfig,
    durable_execution,
)
from fastflow.seeing.trace import Kind, State

FLOW = """flow Shop:
    load -> check -> sum_up
    load -> fetch -> sum_up
    sum_up -> double[*]
"""
NODES = 7  # calls of that flow: double runs three times


def square(x):
    return x * x


def fails_at_three(x):
    if x == 3:
        raise ValueError("no three, please")
    return x


def load():
    return 3


def check(load):
    return load


async def fetch(load):
    await asyncio.sleep(0)
    return load


def sum_up(check, fetch):
    return [check, fetch, check + fetch]


def double(sum_up):
    return 2 * sum_up


REGISTRY = {f.__name__: f for f in (load, check, fetch, sum_up, double)}


@durable_execution
def order(event, context):
    """A step that is tried three times, a wait, and a step for each item."""
    tries = []

    def charge(_):
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("no answer")

    config = StepConfig(
        retry_strategy=lambda error, n: RetryDecision.retry(Duration.from_seconds(1))
    )
    context.step(charge, name="charge <card>", config=config)
    context.wait(Duration.from_seconds(1), name="cool down")
    context.map(event, lambda c, n, i, every: c.step(lambda _: n * n, name="square"))


class Flaky:
    """Fails so many times, then returns."""

    __name__ = "flaky"

    def __init__(self, failures):
        self.left = failures
        self._lock = threading.Lock()

    def __call__(self, *_):
        with self._lock:
            self.left -= 1
            if self.left >= 0:
                raise ConnectionError(f"{self.left} left")
        return "there"


def recorded(body, **options):
    """Run a function while recording, and return the trace, checked."""
    with fastflow.record(counters=False, **options) as recording:
        body()
    check_trace(recording.data)
    return recording.data


def calls_by_name(trace):
    """Count calls by label."""
    return Counter(trace.labels[label] for label in trace.calls["label"].tolist())


def check_trace(trace):
    """Check what holds for any trace."""
    spans = trace.spans
    assert (spans["end"] >= spans["start"]).all()
    assert (spans["start"] >= 0).all()
    assert (spans["end"] <= trace.length).all()
    assert (spans["ready"] <= spans["start"]).all()
    assert (np.diff(spans["start"]) >= 0).all()
    assert ((spans["lane"] >= 0) & (spans["lane"] < len(trace.lanes))).all()
    assert ((spans["run"] >= -1) & (spans["run"] < len(trace.runs))).all()
    calls = trace.calls
    assert ((calls["label"] >= 0) & (calls["label"] < len(trace.labels))).all()
    assert len(trace.totals) == len(trace.labels)
    for failure in trace.failures:
        assert spans[failure.span]["state"] in (State.FAILED, State.RETRIED)
    for number, lane in enumerate(trace.lanes):
        if lane.kind not in ("loop", "waits"):
            check_nesting(spans[spans["lane"] == number])


def check_nesting(spans):
    """Spans of one lane follow each other, or lie within each other."""
    open_ends = []
    for span in spans[spans["kind"] != Kind.STEAL]:
        while open_ends and open_ends[-1] <= span["start"]:
            open_ends.pop()
        assert not open_ends or span["end"] <= open_ends[-1], span
        open_ends.append(span["end"])
