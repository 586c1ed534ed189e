"""Traces of runs that are over: of a store, a saved trace, or the record of a flow."""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path

from fastflow.base.textfiles import read_text
from fastflow.errors import FlowError, shortened
from fastflow.flows.history import list_flows
from fastflow.journal.journal import Entry
from fastflow.journal.sqlite import SqliteJournal
from fastflow.seeing.past.durable import trace_of_execution
from fastflow.seeing.past.flow import trace_of_record
from fastflow.seeing.saved import trace_of_json
from fastflow.seeing.trace import Trace

__all__ = ["past"]

_LISTED = 5  # executions that an error names
_SQLITE = b"SQLite format 3\0"


def past(path: str | os.PathLike[str], run: str | None = None) -> Trace:
    """Return the trace of a run that has been.

    Parameters
    ----------
    path : path
        A store of durable executions; a trace that `save_trace` has written; the
        record of a flow (``history=``), or the directory of such records.
    run : str, optional
        Of a store: the execution's name or number; of a directory: the run's id, or the
        beginning of it. Default: the last one that began.

    Raises
    ------
    FlowError
        If there is no such file, it is nothing of these, or there is no such run.
    DurableExecutionsError
        If a store can't be read.
    """
    place = Path(path)
    if not place.exists():
        raise FlowError(f"can't read {place}: there is no such file")
    if place.is_dir():
        return _of_directory(place, run)
    if _begins_with(place, _SQLITE):
        return _of_store(place, run)
    return _of_text(place, run)


def _begins_with(path: Path, begin: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(begin)) == begin
    except OSError as error:
        raise FlowError(f"can't read {path}: {error.strerror}") from None


def _of_store(path: Path, run: str | None) -> Trace:
    journal = SqliteJournal(path, read_only=True)
    try:
        return trace_of_execution(journal, _entry(journal, run))
    finally:
        journal.close()


def _entry(journal: SqliteJournal, run: str | None) -> Entry:
    """Return the execution of that name or number, or the last one."""
    last = deque(journal.summaries(), _LISTED)
    if not last:
        raise FlowError(f"the store {journal.path} has no executions")
    found = journal.find(last[-1].name if run is None else run)
    if found is None and run is not None and run.isdecimal():
        wanted = int(run)
        names = [one.name for one in journal.summaries() if one.number == wanted]
        found = journal.find(names[0]) if names else None
    if found is None:
        names = [repr(shortened(one.name, 60)) for one in reversed(last)]
        raise FlowError(
            f"there is no execution {run!r} in {journal.path}; the last ones are "
            f"{', '.join(names)}"
        )
    return found


def _of_text(path: Path, run: str | None) -> Trace:
    if run is not None:
        raise FlowError(f"{path} has one run only: leave the name of a run away")
    name = str(path)
    text = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        if "format" in found:
            return trace_of_json(text, name)
        if "flow" in found and "tasks" in found:
            return trace_of_record(found, name)
    raise FlowError(
        f"{path} is no store of durable executions, no saved trace and no record of a "
        "flow; these are made by DurableRunner(path), save_trace(trace, path) and "
        "history=directory"
    )


def _of_directory(path: Path, run: str | None) -> Trace:
    records = list_flows(path)
    if not records:
        raise FlowError(f"the directory {path} has no records of flows (*.flow.json)")
    chosen = [one for one in records if run is None or str(one["run"]).startswith(run)]
    if not chosen:
        last = ", ".join([str(one["run"])[:12] for one in records[: -_LISTED - 1 : -1]])
        raise FlowError(f"there is no run {run!r} in {path}; the last ones are {last}")
    return trace_of_record(chosen[-1], str(chosen[-1]["file"]))
