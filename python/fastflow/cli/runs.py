"""``fastflow runs``: durable executions from the shell.

Whatever a store holds may be a stranger's: `fastflow.base.terminal` reads it on its way
to the terminal.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastflow.base.modules import import_target, standing_in
from fastflow.base.terminal import CleanHandler, printable, printable_json, write_lines
from fastflow.durable.exceptions import DurableExecutionsError, ValidationError
from fastflow.durable.history import Operation, events, operations
from fastflow.errors import shown
from fastflow.journal.journal import RUNNING, Entry, Summary
from fastflow.journal.sqlite import SqliteJournal
from fastflow.journal.statuses import ExecutionStatus

__all__ = ["cancel", "clean_log", "collect", "ls", "resume", "show"]

_GOOD, _FAILED, _BAD = 0, 1, 2
_SHORT = 200  # characters of a value that are shown
_TOGETHER = 500  # lines that are written together


def _say(*lines: str) -> None:
    write_lines(*[printable(line) for line in lines])


def _say_json(found: Any) -> None:
    write_lines(printable_json(json.dumps(found, indent=1)))


def _complain(error: object) -> int:
    lines = f"fastflow runs: {error}".split("\n")
    write_lines(*[printable(line) for line in lines], to=sys.stderr)
    return _BAD


def clean_log() -> None:
    """Let what is logged of a store reach the terminal like all else, cleaned."""
    logger = logging.getLogger("fastflow.durable")
    if not logger.hasHandlers():  # else somebody has seen to it
        logger.addHandler(CleanHandler(logging.WARNING))


@functools.lru_cache(1024)  # what follows each other has often the same second
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _time(us: int) -> str:
    try:
        return _second(us // 1_000_000)
    except (OverflowError, ValueError, OSError):
        return "?"  # no time that there can be


def _status(entry: Entry | Summary) -> str:
    if entry.status != RUNNING:
        return entry.status
    return RUNNING if entry.owned else ExecutionStatus.INTERRUPTED


def _text(data: bytes | str | None, longest: int | None = _SHORT) -> str:
    return "-" if data is None else printable(data, longest)


def _whole(data: bytes | None) -> str | None:
    return None if data is None else printable(data, 100_000)


def _head_as_dict(entry: Entry | Summary) -> dict[str, Any]:
    return {
        "name": entry.name,
        "function": entry.function,
        "status": _status(entry),
        "created": entry.created / 1e6,
        "updated": entry.updated / 1e6,
    }


def _find(journal: SqliteJournal, name: str) -> Entry:
    entry = journal.find(name)
    if entry is None:
        raise ValidationError(f"there is no execution {name!r} in {journal.path}")
    return entry


def ls(store: Path, status: str | None, as_json: bool) -> int:
    """List executions, one line each, as they are read."""
    try:
        journal = SqliteJournal(store, read_only=True)
        try:
            if as_json:
                _list_json(_of_status(journal, status))
            else:
                _list_lines(_of_status(journal, status))
        finally:
            journal.close()
    except DurableExecutionsError as error:
        return _complain(error)
    return _GOOD


def _of_status(journal: SqliteJournal, status: str | None) -> Iterator[Summary]:
    recorded = RUNNING if status == ExecutionStatus.INTERRUPTED else status
    for entry in journal.summaries(recorded):
        if status is None or _status(entry) == status:
            yield entry


def _list_lines(found: Iterator[Summary]) -> None:
    lines = []
    if sys.stdout.isatty():
        lines.append(f"{'status':<11}  {'begun':<19}  {'changed':<19}  name  function")
    for entry in found:
        lines.append(
            f"{_status(entry):<11}  {_time(entry.created):<19}  "
            f"{_time(entry.updated):<19}  {entry.name}  {entry.function}"
        )
        if len(lines) >= _TOGETHER:
            _say(*lines)
            lines = []
    _say(*lines)


def _list_json(found: Iterator[Summary]) -> None:
    before = "["
    for entry in found:
        text = printable_json(json.dumps(_head_as_dict(entry)))
        write_lines(f"{before}{text}")
        before = ","
    write_lines("[]" if before == "[" else "]")


def show(store: Path, name: str, as_json: bool, with_events: bool) -> int:
    """Show one execution with its operations or events."""
    try:
        journal = SqliteJournal(store, read_only=True)
        try:
            entry = _find(journal, name)
            happened = events(journal, entry) if with_events else []
            made = [] if with_events else operations(journal, entry)
        finally:
            journal.close()
    except DurableExecutionsError as error:
        return _complain(error)
    if as_json:
        found = _as_dict(entry)
        if with_events:
            found["events"] = [event.to_dict() for event in happened]
        else:
            found["operations"] = [_operation_as_dict(op) for op in made]
        _say_json(found)
        return _GOOD
    _say(f"{_text(entry.name, None)}: {_status(entry)}, {_text(entry.function, None)}")
    _say(f"  input   {_text(entry.input)}")
    _say(f"  result  {_text(entry.result)}")
    if entry.error is not None:
        label = "stopped" if entry.status == RUNNING else "error  "
        kind, message = _text(entry.error.type), _text(entry.error.message or "")
        _say(f"  {label} {kind}: {message}")
    _show_operations(made)
    for event in happened:
        at = _time(round(event.time * 1e6))
        _say(f"  {event.number:>5} {at} {event.event_type} {_text(event.name)}")
    return _GOOD


def _show_operations(made: list[Operation]) -> None:
    depths: dict[str | None, int] = {None: 0}
    for op in made:
        depth = depths.get(op.parent_id, 0)
        depths[op.operation_id] = depth + 1
        kind, label = _text(op.sub_type), _text(op.name)
        attempt = f" (attempt {op.attempt})" if op.attempt > 1 else ""
        why = f"  {_text(op.error.message or '', 80)}" if op.error else ""
        _say(f"  {'  ' * depth}{kind} {label}: {op.status.value}{attempt}{why}")


def _as_dict(entry: Entry) -> dict[str, Any]:
    return {
        **_head_as_dict(entry),
        "input": _whole(entry.input),
        "result": _whole(entry.result),
        "error": None if entry.error is None else entry.error.message,
    }


def _operation_as_dict(op: Operation) -> dict[str, Any]:
    return {
        "id": op.operation_id,
        "parent": op.parent_id,
        "type": op.operation_type.value,
        "sub_type": op.sub_type,
        "name": op.name,
        "status": op.status.value,
        "attempt": op.attempt,
        "started": op.started,
        "ended": op.ended,
        "error": None if op.error is None else op.error.to_dict(),
    }


def _import(module: str) -> None:
    """Import the module, or .py file, that has the durable functions."""
    try:
        import_target(module)
    except (Exception, SystemExit) as error:
        raise ValidationError(
            f"{module!r} can't be imported: {shown(error)}; what a script does when it "
            "is run belongs below: if __name__ == '__main__'"
        ) from error


def resume(store: Path, name: str, module: str) -> int:
    """Go on with an unfinished execution and print its result."""
    from fastflow.durable.runner import DurableRunner

    try:
        _check_there(store)
        # What `python orders.py` has begun is recorded as of ``__main__``.
        with standing_in(module):
            _import(module)
            with DurableRunner(store) as runner:
                handle = runner.resume(name)
                error = handle.exception()
                payload = handle.payload()
    except DurableExecutionsError as problem:
        return _complain(problem)
    if error is not None:
        lines = shown(error).split("\n")
        write_lines(*[printable(line) for line in lines], to=sys.stderr)
        return _FAILED
    result = "-" if payload is None else payload.decode("utf-8", "replace")
    write_lines(printable_json(result))
    return _GOOD


def _check_there(store: Path) -> None:
    """Raise if there is no journal: only looking must not make one."""
    SqliteJournal(store, read_only=True).close()


def cancel(store: Path, name: str) -> int:
    """Have an execution end, wherever it runs."""
    from fastflow.durable.runner import DurableRunner

    try:
        _check_there(store)
        with DurableRunner(store) as runner:
            done = runner.cancel(name)
    except DurableExecutionsError as error:
        return _complain(error)
    if not done:
        return _complain(f"execution {name!r} has ended already")
    return _GOOD


def collect(store: Path, seconds: float, dry_run: bool) -> int:
    """Remove executions that ended longer ago than `seconds`."""
    try:
        _check_there(store)
        journal = SqliteJournal(store)
        try:
            limit = (time.time() - seconds) * 1e6
            old = [
                entry
                for entry in journal.summaries()
                if entry.status != RUNNING and entry.updated <= limit
            ]
            if not dry_run:
                journal.delete(entry.number for entry in old)
                journal.shrink()
        finally:
            journal.close()
    except DurableExecutionsError as error:
        return _complain(error)
    word = "would be removed" if dry_run else "removed"
    _say(f"{len(old)} executions {word}")
    return _GOOD
