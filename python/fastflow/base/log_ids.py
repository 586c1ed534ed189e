"""Which run, task and attempt a log record belongs to: the names, and who finds out.

`NAMES` are the attributes of records.  What fastflow writes itself says them where it
knows them (`extra`).  For all other records they are looked up when somebody asks,
that is, in a filter: nothing is kept for it while tasks are called, as calls are short.

How: a function that logs was called by somebody of ours, whose frame is further down on
the stack of the thread and has what is needed among its variables.  `_FRAMES` has these
functions.  The innermost one counts: a flow may be run by a task of another one.  Where
a call has no such frame below it, as the coroutine that a step has returned,
`CURRENT` says whose it is.  `tests/seeing/test_log_ids.py` looks that all functions of
the table exist, and the records of each kind of call have the right ids.
"""

from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NamedTuple, Protocol

__all__ = ["CURRENT", "NAMES", "NOBODY", "HasIds", "Ids", "extra", "id_of", "ids_here"]

NAMES = ("fastflow_run", "fastflow_task", "fastflow_attempt")
"""Attributes of log records, in the order of `Ids`."""


class Ids(NamedTuple):
    """What a record belongs to."""

    run: str | None = None
    """The id of a run, or the name of an execution."""
    task: str | None = None
    """The name of a task, step or operation."""
    attempt: int | None = None
    """From 1."""


NOBODY = Ids()


class HasIds(Protocol):
    """A call, or what makes one."""

    def ids(self) -> Ids:
        """Return what records of it belong to."""


CURRENT: contextvars.ContextVar[HasIds | None] = contextvars.ContextVar(
    "fastflow.log_ids", default=None
)
"""Whose function is running here, where its frames don't tell."""


def extra(
    run: str | None = None, task: str | None = None, attempt: int | None = None
) -> dict[str, Any]:
    """Return the attributes of a record, for ``extra=``."""
    return dict(zip(NAMES, (run, task, attempt), strict=True))


def id_of(run: object, name: str) -> str:
    """Return the id of a run, which is made when somebody asks first."""
    mine = vars(run)
    found: str | None = mine.get("_id")
    # Of two that ask at the same time, both get what the first has made.
    return found or mine.setdefault("_id", f"{name}-{os.urandom(6).hex()}")


def ids_here() -> Ids:
    """Return what a record that is made here and now belongs to."""
    attempt: int | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = _FRAMES.get(frame.f_code.co_qualname)
        if found is not None and frame.f_globals.get("__name__") == found[0]:
            ids = _read(found[1], frame)
            attempt = attempt or ids.attempt
            if ids.run is not None or ids.task is not None:
                return ids._replace(attempt=attempt)
        frame = frame.f_back
    current = CURRENT.get()
    return NOBODY if current is None else current.ids()


def _read(finder: Callable[[Mapping[str, Any]], Ids], frame: FrameType) -> Ids:
    try:
        return finder(frame.f_locals)
    except (AttributeError, LookupError, TypeError):  # it has only just begun
        return NOBODY


def _task(variables: Mapping[str, Any]) -> Ids:
    """Of a run of a plan, and the number of a task."""
    return _numbered(variables["run"], variables["number"])


def _item(variables: Mapping[str, Any]) -> Ids:
    """Of a call for one item, which has the number of its task."""
    return _numbered(*variables["task"])


def _unit(variables: Mapping[str, Any]) -> Ids:
    return _numbered(variables["self"].run, variables["first"].number)


def _numbered(run: Any, number: int) -> Ids:
    found: Ids = run.ids(number, run.track.attempts.get(number) or 1)
    return found


def _call(variables: Mapping[str, Any]) -> Ids:
    """Of a call of a task in a flow function."""
    return variables["self"].ids_of(variables["call"])  # type: ignore[no-any-return]


def _own(name: str) -> Callable[[Mapping[str, Any]], Ids]:
    """Of an object that knows its ids."""
    return lambda variables: variables[name].ids()


def _run(name: str) -> Callable[[Mapping[str, Any]], Ids]:
    """Of a run, outside of its tasks."""
    return lambda variables: Ids(variables[name].id)


#: Qualified name of a function -> its module, and how its variables are read.
_FRAMES: dict[str, tuple[str, Callable[[Mapping[str, Any]], Ids]]] = {
    # Flows.
    "_direct_body.<locals>.body": ("fastflow.engines.native", _task),
    "_mixed_body.<locals>.body": ("fastflow.engines.native", _task),
    "_items_on.<locals>.run_items.<locals>.one": ("fastflow.engines.native", _item),
    "WorkerHost._attempt_item": ("fastflow.engines.workers", _unit),
    "_loop": ("fastflow.engines.serial", _task),
    "FirstCoroutine.run": ("fastflow.engines.coroutines", _own("self")),
    "Flow._run": ("fastflow.flows.flow", _run("run")),
    # Flow functions.
    "SerialCalls.start": ("fastflow.flows.calls", _call),
    "ParallelCalls._attempt": ("fastflow.flows.calls", _call),
    "_called": ("fastflow.flows.function", _run("calls")),
    # Jobs.
    "make": ("fastflow.backends.local", _own("job")),
    "_Attempt.run": ("fastflow.run.loop", lambda found: found["self"].job.ids()),
    "_attempt": (
        "fastflow.run.inline",
        lambda found: Ids(attempt=found["attempts"].count),
    ),
    # Workflows.
    "Fiber.advance": ("fastflow.workflows.fiber", _own("self")),
    "HookCall.make": (
        "fastflow.workflows.hooks",
        lambda found: Ids(found["self"]._ctx.run.id),
    ),
    # Durable functions.
    "_begun": ("fastflow.durable.operations.calls", _own("operation")),
    "Replay._attempt": ("fastflow.durable.runtime.replay", _own("self")),
    "BlockingReplay.call": ("fastflow.durable.runtime.replay", _own("self")),
    # In other processes.
    "attempt_task": (
        "fastflow.run.remote",
        lambda found: Ids(task=found["reference"].__name__),
    ),
    "call_step": ("fastflow.workflows.jobs", lambda found: Ids(found["ctx"].run.id)),
}
