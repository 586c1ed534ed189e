"""Traces of runs that were never made, for the tests of reports."""

from __future__ import annotations

import numpy as np

from fastflow.seeing.trace import (
    COUNTER,
    SPAN,
    Dag,
    Failure,
    Kind,
    Lane,
    Run,
    State,
    Total,
    Trace,
)

MS = 1_000_000
BAD_NAMES = (
    "<script>window.broken = 1</script>",
    "</script><img src=x onerror='window.broken=1'>",
    "\"quoted' `name` {{data}} \\u003c & &lt;",
    "\u202eright to left\u2067 \u05d0\u05d1",
    "long " * 2000,
    "=cmd|' /C calc'!A0",
    "half \ud800 of a character\x00\x1b[31m",
)


def spans_of(rows):
    """Spans from dictionaries, sorted by start."""
    spans = np.zeros(len(rows), SPAN)
    for name in ("ready", "cpu", "item", "run"):
        spans[name] = -1
    spans["attempt"] = 1
    for number, row in enumerate(rows):
        for name, value in row.items():
            spans[name][number] = value
    return spans[np.argsort(spans["start"], kind="stable")]


def many(n, workers=4, seed=0):
    """A fan-out of calls of eight functions, back to back on some workers."""
    rng = np.random.default_rng(seed)
    spans = np.zeros(n, SPAN)
    spans["lane"] = rng.integers(0, workers, n)
    took = rng.lognormal(np.log(40_000), 1.1, n).astype("i8") + 200
    gap = rng.integers(80, 900, n)
    for worker in range(workers):
        mine = np.flatnonzero(spans["lane"] == worker)
        end = np.cumsum(took[mine] + gap[mine])
        spans["start"][mine], spans["end"][mine] = end - took[mine], end
    spans["cpu"] = (took * rng.uniform(0.3, 1, n)).astype("i8")
    spans["ready"] = np.maximum(0, spans["start"] - rng.integers(0, 5 * MS, n))
    spans["label"] = rng.integers(0, 8, n)
    spans["attempt"] = 1
    spans["state"][:: max(1, n // 50)] = State.FAILED
    spans = spans[np.argsort(spans["start"], kind="stable")]
    spans["item"] = np.arange(n)
    bad = np.flatnonzero(spans["state"] == State.FAILED)
    end = spans["end"].max()  # as numpy has it: recorders may leave it so
    ready = np.zeros(1000, COUNTER)
    ready["time"] = np.linspace(0, end, 1000)
    ready["value"] = np.linspace(n, 0, 1000)
    names = ("load", "parse", "clean", "resize", "hash", "upload", "score", "merge")
    trace_back = "Traceback (most recent call last):\n  File 'x.py', line 3\nValueError"
    return Trace(
        spans,
        labels=names,
        lanes=tuple(Lane(f"worker {w}", "worker", 17) for w in range(workers)),
        runs=(
            Run(
                "nightly",
                "flow",
                "r-1",
                0,
                end,
                dag=Dag(
                    names,
                    np.array([(i, i + 1) for i in range(7)]),
                    labels=tuple(range(8)),
                ),
            ),
        ),
        failures=tuple(
            Failure(int(i), "ValueError", f"item {i} is bad", trace_back) for i in bad
        ),
        counters={"ready": ready},
        began=1_700_000_000.0,
        machine={"cpus": workers, "workers": workers, "gil": True, "python": "3.11.7"},
    )


def durable():
    """Steps with waits between their attempts: long gaps in which nobody works."""
    hour = 3_600_000 * MS
    rows = [
        {"start": 0, "end": 5 * MS, "label": 0, "state": State.RETRIED},
        {"start": 5 * MS, "end": hour, "label": 0, "kind": Kind.PAUSE, "lane": 1},
        {"start": hour, "end": hour + 4 * MS, "label": 0, "attempt": 2,
         "state": State.RETRIED},
        {"start": hour + 4 * MS, "end": 3 * hour, "label": 0, "kind": Kind.PAUSE,
         "lane": 1},
        {"start": 2 * hour, "end": 3 * hour, "label": 2, "kind": Kind.PAUSE, "lane": 1},
        {"start": 3 * hour, "end": 3 * hour + 9 * MS, "label": 0, "attempt": 3},
        {"start": 3 * hour + 9 * MS, "end": 3 * hour + 20 * MS, "label": 1,
         "state": State.CACHED},
    ]  # fmt: skip
    return Trace(
        spans_of(rows),
        labels=("charge card", "send mail", "approval"),
        lanes=(Lane("steps", "thread"), Lane("waits", "waits")),
        runs=(Run("order-17", "durable", "order-17", 0, 3 * hour + 20 * MS),),
        failures=(
            Failure(0, "ConnectionError", "no answer"),
            Failure(2, "ConnectionError", "no answer"),
        ),
    )


def processes():
    """Calls on two processes, with what was sent; nested calls and an event loop."""
    rows = []
    for number in range(40):
        lane, at = number % 2, (number // 2) * 10 * MS
        rows += [
            {"start": at, "end": at + MS, "kind": Kind.SEND, "lane": lane, "label": -1},
            {"start": at + MS, "end": at + 9 * MS, "lane": lane, "item": number},
            {"start": at + 3 * MS, "end": at + 6 * MS, "lane": lane, "label": 1},
            {"start": at + 4 * MS, "end": at + 5 * MS, "lane": 2, "label": 2},
            {"start": at + 2 * MS, "end": at + 25 * MS, "lane": 2, "label": 2},
        ]
    rows.append({"start": 30 * MS, "end": 30 * MS, "kind": Kind.STEAL, "label": -1})
    rows.append({"start": 199 * MS, "end": 200 * MS, "state": State.RUNNING})
    return Trace(
        spans_of(rows),
        labels=("outer", "inner", "fetch"),
        lanes=(
            Lane("process 1", "process", 101),
            Lane("process 2", "process", 102),
            Lane("event loop", "loop", 100),
        ),
    )


def hostile():
    """Names and messages that would like to be something else."""
    rows = [
        {"start": n * MS, "end": n * MS + MS // 2, "label": n,
         "state": State.FAILED if n < 3 else State.DONE}
        for n in range(len(BAD_NAMES))
    ]  # fmt: skip
    return Trace(
        spans_of(rows),
        labels=BAD_NAMES,
        lanes=(Lane(BAD_NAMES[0], "worker"),),
        runs=(Run(BAD_NAMES[1], "flow", BAD_NAMES[2], 0, 7 * MS, BAD_NAMES[0]),),
        failures=tuple(
            Failure(n, BAD_NAMES[n], BAD_NAMES[0], BAD_NAMES[1]) for n in range(3)
        ),
        counters={BAD_NAMES[1]: np.ones(3, COUNTER), "__proto__": np.ones(2, COUNTER)},
        machine={BAD_NAMES[0]: BAD_NAMES[1]},
        dropped=12_345,
        totals=tuple(Total(1000 + n, n, 9 * MS, MS) for n in range(len(BAD_NAMES))),
    )


def failed():
    """A run that has ended with an error, and a call that nobody waited for."""
    rows = [
        {"start": 0, "end": 5 * MS, "state": State.FAILED},
        {"start": 2 * MS, "end": 3 * MS, "lane": 1, "label": 1,
         "state": State.CANCELLED},
    ]  # fmt: skip
    return Trace(
        spans_of(rows),
        labels=("fetch", "parse"),
        lanes=(Lane("worker 0", "worker"), Lane("worker 1", "worker")),
        runs=(Run("etl", "flow", "", 0, 5 * MS, "TaskError: task 'fetch' has failed"),),
        failures=(Failure(0, "OSError", "disk full", "Traceback ...\nOSError"),),
    )


def one():
    """One span."""
    return Trace(
        spans_of([{"start": 0, "end": 2 * MS}]),
        labels=("only",),
        lanes=(Lane("worker 0", "worker"),),
    )


def empty():
    """Nothing at all."""
    return Trace(np.zeros(0, SPAN))
