"""What is told to a recording, kept in memory of a bounded size.

As in the native rings: when there is no more room, every second span goes, and from
then on every second one is kept. Those that have failed stay as long as there are not
too many. Totals are exact.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastflow.base.recorders import Columns, Noted
from fastflow.seeing.pictures.dag import dag_of
from fastflow.seeing.trace import Kind, Run, State

__all__ = ["Notes", "RunNotes", "Told"]

_TOLD_IN_FULL = 200
_TOLD = 10_000
_LONGEST = 10_000  # characters


class Told(NamedTuple):
    """An error, in words."""

    type: str
    message: str
    traceback: str


class RunNotes:
    """What is known of a run."""

    __slots__ = ("drawn", "end", "error", "kind", "name", "parent", "start")

    def __init__(self, name: str, kind: str, parent: int) -> None:
        self.name = name
        self.kind = kind
        self.parent = parent
        self.start = time.monotonic_ns()
        self.end = 0
        self.error: str | None = None
        self.drawn: object = None

    def run(
        self, began: int, last: int, parent: int, name: str, labels: Sequence[str]
    ) -> Run:
        """Return it for a trace; `last`: when its last call has ended."""
        start = max(self.start - began, 0)
        end = self.end - began if self.end else last
        drawn = self.drawn
        return Run(
            self.name,
            self.kind,
            name,
            start,
            max(end, start),
            self.error,
            parent,
            dag_of(drawn, most=None, labels=labels) if drawn is not None else None,
        )


class Notes:
    """Spans, runs and failures that were told.

    Parameters
    ----------
    owner
        What results of runs refer to.
    size : int
        Spans to be kept.
    """

    def __init__(self, owner: Any, size: int) -> None:
        self.owner = owner
        self.runs: dict[int, RunNotes] = {}
        self.failures: dict[int, Told] = {}
        self.totals: dict[str, list[int]] = {}
        self.made = 0
        self.size = size
        self._lock = threading.Lock()
        self._kept: list[Noted] = []
        self._failed: list[Noted] = []
        self._step = 1
        self.columns: list[Columns] = []

    @property
    def spans(self) -> list[Noted]:
        """What is kept."""
        with self._lock:
            return self._kept + self._failed

    def run_began(self, number: int, name: str, kind: str, parent: int) -> None:
        """See `Recorder`."""
        self.runs[number] = RunNotes(name, kind, parent)

    def run_ended(
        self, number: int, error: BaseException | None, drawn: object
    ) -> None:
        """See `Recorder`."""
        run = self.runs.get(number)
        if run is not None:
            run.end = time.monotonic_ns()
            run.error = None if error is None else f"{type(error).__name__}: {error}"
            run.drawn = drawn

    def failed(self, number: int, error: BaseException) -> None:
        """See `Recorder`; the first ones with their tracebacks."""
        count = len(self.failures)
        if count >= _TOLD:
            return
        lines = ""
        if count < _TOLD_IN_FULL:
            try:
                lines = "".join(traceback.format_exception(error))[-_LONGEST:]
            except Exception as other:  # of the error's own methods
                lines = f"(its traceback can't be shown: {type(other).__name__})"
        try:
            message = str(error)[:_LONGEST]
        except Exception as other:
            message = f"(its text can't be had: {type(other).__name__})"
        self.failures[number] = Told(type(error).__qualname__, message, lines)

    def note(self, spans: list[Noted]) -> None:
        """See `Recorder`."""
        with self._lock:
            for span in spans:
                if span.kind == Kind.CALL and span.label is not None:
                    self._count(span.label, span)
                if self.made % self._step == 0:
                    self._kept.append(span)
                    if len(self._kept) >= self.size:
                        self._halve()
                else:
                    self._keep_failed(span)
                self.made += 1

    def note_columns(self, columns: Columns) -> None:
        """See `Recorder`; they become spans when somebody asks for these."""
        self.columns.append(columns)

    def _halve(self) -> None:
        for span in self._kept[1::2]:
            self._keep_failed(span)
        del self._kept[1::2]
        self._step *= 2

    def _keep_failed(self, span: Noted) -> None:
        failed = span.state in (State.FAILED, State.RETRIED)
        if failed and len(self._failed) < max(self.size // 8, 16):
            self._failed.append(span)

    def _count(self, label: str, span: Noted) -> None:
        total = self.totals.setdefault(label, [0, 0, 0, 0])
        took = span.end - span.start
        total[0] += 1
        total[1] += span.state in (State.FAILED, State.RETRIED)
        total[2] += took
        total[3] = max(total[3], took)
