"""What a journal knows of an execution, as a trace.

A journal tells when an attempt of a step began and ended, and how long something was
waited for; not which thread did it. So there are three lanes: the steps, what went on
in contexts (a child, a map, its iterations), and the waits.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastflow.journal.journal import RUNNING, Entry, Journal
from fastflow.journal.records import (
    BEGUN,
    CANCELLED,
    FAILED,
    RETRYING,
    SUCCEEDED,
    TIMED_OUT,
    Failure,
    Record,
)
from fastflow.seeing.past.builder import Builder
from fastflow.seeing.trace import Kind, Run, State, Trace

__all__ = ["trace_of_execution"]

_STATE = {
    BEGUN: State.RUNNING,
    SUCCEEDED: State.DONE,
    FAILED: State.FAILED,
    RETRYING: State.RETRIED,
    CANCELLED: State.CANCELLED,
    TIMED_OUT: State.FAILED,
}
_STEPS = ("steps", "loop")
_CONTEXTS = ("contexts", "loop")
_WAITS = ("waits", "waits")


def trace_of_execution(journal: Journal, entry: Entry) -> Trace:
    """Return the trace of one execution: attempts, waits, errors.

    Raises
    ------
    JournalDamagedError
        If its records can't be read.
    """
    by_id: dict[bytes, list[Record]] = {}
    last = entry.updated
    for frame in journal.frames(entry.number):
        for record in frame:
            by_id.setdefault(record.id, []).append(record)
            last = max(last, record.at)
    builder = Builder()
    items = _items(by_id)
    for records in by_id.values():
        item = items.get(records[0].id, -1)
        if records[0].kind == "STEP":
            _add_step(builder, records, item, last)
        else:
            _add_other(builder, records, item, last)
    error = None
    if entry.error is not None:
        kind, message, _ = _told(entry.error)
        error = f"{kind}: {message}" if entry.status != RUNNING else None
    run = Run(
        entry.name,
        "durable",
        str(entry.number),
        entry.created * 1000,
        last * 1000,
        error,
    )
    return builder.trace(run, began=entry.created * 1000)


def _items(by_id: dict[bytes, list[Record]]) -> dict[bytes, int]:
    """Return the index of the iteration or branch that each operation is of."""
    found: dict[bytes, int] = {}
    parents = {key: records[-1].parent for key, records in by_id.items()}
    for key, records in by_id.items():
        if _is_branch(records[-1]):
            found[key] = records[-1].attempt
    for key in by_id:
        path: dict[bytes, None] = {}
        above: bytes | None = key
        # A stranger's file may have a circle.
        while above is not None and above not in found and above not in path:
            path[above] = None
            above = parents.get(above)
        item = found.get(above, -1) if above is not None else -1
        found.update(dict.fromkeys(path, item))
    return found


def _is_branch(record: Record) -> bool:
    return record.kind == "CONTEXT" and record.subtype in (
        "MapIteration",
        "ParallelBranch",
    )


def _label(record: Record) -> str:
    if record.name is None:
        return record.subtype
    if _is_branch(record):
        return record.name.removesuffix(f"-{record.attempt}")
    return record.name


def _told(failure: Failure) -> tuple[str, str, str]:
    """Return type, message and traceback of a failure."""
    lines = "".join(failure.stack_trace or ())
    return failure.error_type or failure.type or "error", failure.message or "", lines


def _add_step(
    builder: Builder, records: Iterable[Record], item: int, last: int
) -> None:
    """Add the attempts of a step, and the waits between them."""
    rest = list(records)
    for number, record in enumerate(rest):
        following = rest[number + 1] if number + 1 < len(rest) else None
        if record.action == BEGUN and following is not None:
            continue  # the record of its end says when it began
        start = record.started or record.at
        end = last if record.action == BEGUN else record.at
        label = _label(record)
        builder.add(
            start * 1000,
            end * 1000,
            label,
            _STEPS,
            state=_STATE.get(record.action, State.DONE),
            attempt=max(1, record.attempt),
            item=item,
            error=None if record.error is None else _told(record.error),
        )
        if record.action == RETRYING:
            until = last if following is None else following.started or following.at
            builder.add(
                record.at * 1000,
                until * 1000,
                label,
                _WAITS,
                kind=Kind.PAUSE,
                state=State.RUNNING if following is None else State.DONE,
                attempt=max(1, record.attempt),
                item=item,
            )


def _add_other(
    builder: Builder, records: Iterable[Record], item: int, last: int
) -> None:
    """Add a context or a wait: one span, from its first record to its last one."""
    rest = list(records)
    record = rest[-1]
    under_way = record.action in (BEGUN, RETRYING)
    context = record.kind == "CONTEXT"
    builder.add(
        min(one.started or one.at for one in rest) * 1000,
        (last if under_way else record.at) * 1000,
        _label(record),
        _CONTEXTS if context else _WAITS,
        kind=Kind.BLOCKED if context else Kind.PAUSE,
        state=State.RUNNING if under_way else _STATE.get(record.action, State.DONE),
        item=item,
        error=None if record.error is None else _told(record.error),
    )
