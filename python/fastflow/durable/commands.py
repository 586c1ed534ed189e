"""``fastflow runs``: durable executions from the shell."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from fastflow.durable.exceptions import DurableExecutionsError, ValidationError
from fastflow.durable.history import events, operations
from fastflow.durable.journal import RUNNING, Entry
from fastflow.durable.runner import DurableRunner
from fastflow.durable.sqlite import SqliteJournal
from fastflow.errors import shown
from fastflow.modules import import_target, standing_in

__all__ = ["cancel", "collect", "ls", "resume", "show"]

_GOOD, _FAILED, _BAD = 0, 1, 2


def _say(*parts: object) -> None:
    print(*parts)  # noqa: T201  (the command's output)


def _complain(error: object) -> int:
    print(f"fastflow runs: {error}", file=sys.stderr)  # noqa: T201
    return _BAD


def _time(us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(us / 1e6))


def _status(entry: Entry) -> str:
    if entry.status != RUNNING:
        return entry.status
    return RUNNING if entry.owned else "INTERRUPTED"


def _text(data: bytes | None, longest: int = 200) -> str:
    text = "-" if data is None else data.decode("utf-8", "replace")
    # What a stranger has stored must not move the cursor.
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _as_dict(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "function": entry.function,
        "status": _status(entry),
        "created": entry.created / 1e6,
        "updated": entry.updated / 1e6,
        "input": _text(entry.input, 100_000),
        "result": None if entry.result is None else _text(entry.result, 100_000),
        "error": None if entry.error is None else entry.error.message,
    }


def _find(journal: SqliteJournal, name: str) -> Entry:
    entry = journal.find(name)
    if entry is None:
        raise ValidationError(f"there is no execution {name!r} in {journal.path}")
    return entry


def ls(store: Path, status: str | None, as_json: bool) -> int:
    """List executions."""
    try:
        journal = SqliteJournal(store, read_only=True)
        try:
            found = journal.entries()
        finally:
            journal.close()
    except DurableExecutionsError as error:
        return _complain(error)
    found = [e for e in found if status is None or _status(e) == status]
    if as_json:
        _say(json.dumps([_as_dict(entry) for entry in found], indent=1))
        return _GOOD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in ("name", "function", "status", "begun", "changed"):
        table.add_column(title, overflow="fold")
    for entry in found:
        table.add_row(
            Text(_text(entry.name.encode())),
            Text(_text(entry.function.encode())),
            _status(entry),
            _time(entry.created),
            _time(entry.updated),
        )
    Console(soft_wrap=True).print(table)
    return _GOOD


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
            found["operations"] = [
                {
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
                for op in made
            ]
        _say(json.dumps(found, indent=1))
        return _GOOD
    head = f"{_text(entry.name.encode())}: {_status(entry)}"
    _say(f"{head}, {_text(entry.function.encode())}")
    _say(f"  input   {_text(entry.input)}")
    _say(f"  result  {_text(entry.result)}")
    if entry.error is not None:
        message = _text((entry.error.message or "").encode())
        _say(f"  error   {entry.error.type}: {message}")
    depths: dict[str | None, int] = {None: 0}
    for op in made:
        depth = depths.get(op.parent_id, 0)
        depths[op.operation_id] = depth + 1
        label = _text((op.name or "-").encode())
        attempt = f" (attempt {op.attempt})" if op.attempt > 1 else ""
        why = f"  {_text((op.error.message or '').encode(), 80)}" if op.error else ""
        _say(f"  {'  ' * depth}{op.sub_type} {label}: {op.status.value}{attempt}{why}")
    for event in happened:
        label = _text((event.name or "-").encode())
        _say(f"  {event.number:>5} {_time(round(event.time * 1e6))} "
             f"{event.event_type} {label}")  # fmt: skip
    return _GOOD


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
        print(shown(error), file=sys.stderr)  # noqa: T201
        return _FAILED
    _say(_text(payload, 10_000_000))
    return _GOOD


def _check_there(store: Path) -> None:
    """Raise if there is no journal: only looking must not make one."""
    SqliteJournal(store, read_only=True).close()


def cancel(store: Path, name: str) -> int:
    """Have an execution end, wherever it runs."""
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
                for entry in journal.entries()
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
