"""What was seen of runs, as columns: pictures, reports and answers are made of it.

A `Trace` is data only. Whoever records makes one; whoever draws, explains or writes
takes one and asks nobody else. Times are nanoseconds since the trace began; numbers of
lanes, labels and runs are positions in its tuples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from fastflow.base.drawn import Drawn

__all__ = [
    "COUNTER",
    "SPAN",
    "Dag",
    "Failure",
    "Kind",
    "Lane",
    "Run",
    "State",
    "Total",
    "Trace",
]


class Kind(IntEnum):
    """What went on during a span."""

    CALL = 0
    """A call of a user's function."""
    LOCK = 1
    """A worker had something to do and waited for the interpreter lock."""
    IDLE = 2
    """A worker had nothing to do."""
    BLOCKED = 3
    """A call waited for something that the executor knows of: another result, say."""
    PAUSE = 4
    """Nobody worked on it: between two attempts, a wait for a time or a callback."""
    SEND = 5
    """Arguments or results were packed, sent and unpacked, for another process."""
    STEAL = 6
    """A worker took over what another one had; start and end are the same."""


class State(IntEnum):
    """How a span ended."""

    DONE = 0
    FAILED = 1
    RETRIED = 2
    """It has failed, and was made again."""
    CANCELLED = 3
    CACHED = 4
    """Nothing was called: the result was known."""
    RUNNING = 5
    """It had not ended when the trace did."""


SPAN = np.dtype(
    [
        ("start", "i8"),  # ns
        ("end", "i8"),  # ns
        ("ready", "i8"),  # ns: when it could have begun; -1: not known
        ("cpu", "i8"),  # ns of processor time of its thread; -1: not measured
        ("item", "i8"),  # which item of a fan-out, or node of a graph; -1: none
        ("lane", "i4"),
        ("label", "i4"),  # -1: none (spans of workers themselves)
        ("run", "i4"),  # -1: of none
        ("attempt", "i4"),  # from 1
        ("kind", "u1"),
        ("state", "u1"),
    ]
)

COUNTER = np.dtype([("time", "i8"), ("value", "f8")])


class Lane(NamedTuple):
    """Where spans follow each other: a worker, a thread, a process."""

    name: str
    kind: str
    """"worker" (of the native pool), "thread", "process", "loop" (an event loop: its
    spans overlap), "remote" (a cluster's worker) or "waits" (spans overlap)."""
    pid: int = 0


class Run(NamedTuple):
    """One execution of something: a map, a flow, a workflow, a durable function."""

    name: str
    kind: str
    """"executor", "map", "graph", "flow", "workflow" or "durable"."""
    id: str = ""
    start: int = 0
    end: int = 0
    error: str | None = None
    parent: int = -1
    """The run in which it was begun."""
    dag: Dag | None = None


class Dag(NamedTuple):
    """What depends on what, a node per task; fan-outs are one node."""

    names: tuple[str, ...]
    edges: np.ndarray
    """(n, 2) of node numbers: from, to."""
    counts: tuple[int, ...] = ()
    """How many calls each node stands for; empty: one each."""
    labels: tuple[int, ...] = ()
    """The label in the trace of each node; empty: there is no trace."""


class Failure(NamedTuple):
    """The error of a span."""

    span: int
    type: str
    message: str
    traceback: str = ""


class Total(NamedTuple):
    """All calls of one label: exact, also where not all of their spans were kept."""

    count: int = 0  # type: ignore[assignment]
    failed: int = 0
    """Attempts that were followed by another one are among them."""
    time: int = 0
    """ns, of all together."""
    longest: int = 0
    """ns."""


@dataclass(frozen=True, eq=False)
class Trace(Drawn):
    """What was seen between two moments.

    Examples
    --------
    >>> spans = np.zeros(1, SPAN)
    >>> spans["end"] = 2_000_000_000
    >>> Trace(spans, labels=("work",), lanes=(Lane("worker 0", "worker"),)).seconds
    2.0
    """

    spans: np.ndarray
    """Of type `SPAN`, by start."""
    labels: tuple[str, ...] = ()
    """Names of what was called, as people know it."""
    lanes: tuple[Lane, ...] = ()
    runs: tuple[Run, ...] = ()
    failures: tuple[Failure, ...] = ()
    counters: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of type `COUNTER`. Known names: "cpu" (cores in use), "lock" (share of the time
    in which somebody had the interpreter lock), "starved" (threads that could go on and
    had no core), "ready" and "running" (calls)."""
    began: float = 0.0
    """Seconds since 1970."""
    length: int = -1
    """ns; -1: until the last span ends."""
    dropped: int = 0
    """Spans that were made and not kept, as the rings were full."""
    totals: tuple[Total, ...] = ()
    """By label; empty: to be had from the spans, as all were kept."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    """"cpus" (that this process may use), "workers", "gil" (whether there is a lock),
    "python", "fastflow", "blas" (threads of each pool), "overhead" (ns: what one call
    costs beside its function on each kind of executor, as measured, by name)."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        if self.length >= 0:
            return self.length / 1e9
        return float(self.spans["end"].max()) / 1e9 if len(self.spans) else 0.0

    def of_kind(self, kind: Kind) -> np.ndarray:
        """Return the spans of a kind."""
        found: np.ndarray = self.spans[self.spans["kind"] == kind]
        return found

    @property
    def calls(self) -> np.ndarray:
        """The calls of users' functions."""
        return self.of_kind(Kind.CALL)
