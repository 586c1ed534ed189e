"""A trace as a JSON file, for another day or another machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fastflow.base.textfiles import read_text, write_text
from fastflow.errors import FlowError
from fastflow.seeing.trace import COUNTER, SPAN, Dag, Failure, Lane, Run, Total, Trace

__all__ = ["load_trace", "save_trace", "trace_of_json"]

_FORMAT = "fastflow trace"
_VERSION = 1
_Columns = dict[str, list[float]]


class _Dag(msgspec.Struct):
    names: tuple[str, ...]
    edges: list[tuple[int, int]]
    counts: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()


class _Run(msgspec.Struct):
    name: str
    kind: str
    id: str = ""
    start: int = 0
    end: int = 0
    error: str | None = None
    parent: int = -1
    dag: _Dag | None = None


class _Saved(msgspec.Struct):
    """The file: the fields of `Trace`, spans and counters by column."""

    format: str
    version: int
    spans: dict[str, list[int]]
    labels: tuple[str, ...] = ()
    lanes: list[tuple[str, str, int]] = []
    runs: list[_Run] = []
    failures: list[tuple[int, str, str, str]] = []
    counters: dict[str, _Columns] = {}
    began: float = 0.0
    length: int = -1
    dropped: int = 0
    totals: list[tuple[int, int, int, int]] = []
    machine: dict[str, Any] = {}


def save_trace(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace to a JSON file, from which `load_trace` makes an equal one.

    Parameters
    ----------
    trace : Trace
    path : path
        Written as a whole.

    Raises
    ------
    OSError
        If it can't be written; what was there is as it was.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     file = Path(directory, "run.json")
    ...     save_trace(Trace(np.zeros(0, SPAN), labels=("work",)), file)
    ...     load_trace(file).labels
    ('work',)
    """
    saved = _Saved(
        format=_FORMAT,
        version=_VERSION,
        spans={str(name): trace.spans[name].tolist() for name in SPAN.names or ()},
        labels=tuple(map(_plain, trace.labels)),
        lanes=[(_plain(name), kind, int(pid)) for name, kind, pid in trace.lanes],
        runs=[_of_run(run) for run in trace.runs],
        failures=[(int(f.span), *map(_plain, f[1:])) for f in trace.failures],  # type: ignore[misc]
        counters={
            _plain(name): {key: rows[key].tolist() for key in ("time", "value")}
            for name, rows in trace.counters.items()
        },
        began=float(trace.began),
        length=int(trace.length),
        dropped=int(trace.dropped),
        totals=[
            (int(n), int(bad), int(t), int(most)) for n, bad, t, most in trace.totals
        ],
        machine=_known(trace.machine),
    )
    write_text(Path(path), msgspec.json.encode(saved).decode() + "\n")


def load_trace(path: str | os.PathLike[str]) -> Trace:
    """Return the trace that `save_trace` has written.

    Raises
    ------
    FlowError
        If the file can't be read, or is not such a trace.
    """
    return trace_of_json(read_text(Path(path)), str(path))


def trace_of_json(text: str, name: str) -> Trace:
    """Return the trace that a text holds; `name` is the file's, for errors.

    Raises
    ------
    FlowError
        If it is none.
    """
    try:
        saved = msgspec.json.decode(text, type=_Saved)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FlowError(f"{name} is not a saved trace: {error}") from None
    if saved.format != _FORMAT:
        raise FlowError(f"{name} is not a saved trace: its format is {saved.format!r}")
    if saved.version != _VERSION:
        raise FlowError(
            f"{name} has version {saved.version} of a saved trace, and this program "
            f"knows {_VERSION}; upgrade fastflow"
        )
    try:
        trace = _made(saved)
    except (KeyError, ValueError, OverflowError) as error:
        raise FlowError(f"{name} is damaged: {error!r}") from None
    _check(trace, name)
    return trace


def _made(saved: _Saved) -> Trace:
    spans = np.zeros(len(saved.spans["start"]), SPAN)
    for column in SPAN.names or ():
        spans[column] = saved.spans[column]
    counters = {}
    for name, columns in saved.counters.items():
        rows = np.zeros(len(columns["time"]), COUNTER)
        rows["time"], rows["value"] = columns["time"], columns["value"]
        counters[name] = rows
    return Trace(
        spans,
        labels=saved.labels,
        lanes=tuple(Lane(*lane) for lane in saved.lanes),
        runs=tuple(_to_run(run) for run in saved.runs),
        failures=tuple(Failure(*failure) for failure in saved.failures),
        counters=counters,
        began=saved.began,
        length=saved.length,
        dropped=saved.dropped,
        totals=tuple(Total(*total) for total in saved.totals),
        machine=saved.machine,
    )


def _check(trace: Trace, name: str) -> None:
    """Raise if a number of a span means nothing: the file may be a stranger's."""
    for column, known in (
        ("lane", trace.lanes),
        ("label", trace.labels),
        ("run", trace.runs),
    ):
        numbers = trace.spans[column]
        lowest = 0 if column == "lane" else -1
        if len(numbers) and not lowest <= numbers.min() <= numbers.max() < len(known):
            raise FlowError(f"{name} is damaged: of a span, the {column} is not there")


def _of_run(run: Run) -> _Run:
    dag = run.dag
    names = (_plain(run.name), run.kind, _plain(run.id), int(run.start), int(run.end))
    error = None if run.error is None else _plain(run.error)
    if dag is None:
        return _Run(*names, error, run.parent)
    edges = [(int(a), int(b)) for a, b in dag.edges]
    counts, labels = tuple(map(int, dag.counts)), tuple(map(int, dag.labels))
    drawn = _Dag(tuple(map(_plain, dag.names)), edges, counts, labels)
    return _Run(*names, error, run.parent, drawn)


def _to_run(run: _Run) -> Run:
    dag = None
    if run.dag is not None:
        edges = np.array(run.dag.edges, np.int64).reshape(-1, 2)
        dag = Dag(run.dag.names, edges, run.dag.counts, run.dag.labels)
    return Run(
        run.name, run.kind, run.id, run.start, run.end, run.error, run.parent, dag
    )


def _plain(text: str) -> str:
    """Return a text that can be encoded: halves of characters are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _known(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a machine as JSON has them; others as their text."""
    return {_plain(str(name)): _fact(value) for name, value in machine.items()}


def _fact(value: Any) -> Any:
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return _known(value)
    if isinstance(value, list | tuple):
        return [_fact(part) for part in value]
    return _plain(str(value))
