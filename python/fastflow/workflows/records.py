"""What became of the steps of a run, and of the run."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastflow.base.names import composed
from fastflow.run.results import Result, TaskRecord
from fastflow.run.status import Status

__all__ = [
    "CANCELLED",
    "COMPLETED",
    "FAILED",
    "PENDING",
    "RUNNING",
    "SKIPPED",
    "RunResult",
    "StepRecord",
    "Steps",
]

PENDING, RUNNING, COMPLETED, FAILED, SKIPPED, CANCELLED = Status


StepRecord = TaskRecord
"""What is known about one step of a run."""


class Steps(Mapping[str, StepRecord]):
    """Step records by name.

    Iteration yields the steps that have started, in that order.  The record of one that
    has not is PENDING, or SKIPPED once the run has ended.
    """

    __slots__ = ("_absent", "_names", "_outer", "_records")

    def __init__(self, names: frozenset[str], outer: Steps | None = None) -> None:
        self._names = names
        self._records: dict[str, StepRecord] = {}
        self._outer = outer
        self._absent = PENDING

    def __getitem__(self, name: str) -> StepRecord:
        record = self._records.get(name)
        if record is not None:
            return record
        if name in self._names:
            return StepRecord(name, status=self._absent)
        if self._outer is not None:
            return self._outer[name]
        if isinstance(name, str) and composed(name) != name:
            return self[composed(name)]
        near = difflib.get_close_matches(str(name), self._names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise KeyError(f"the workflow has no step {name!r}{hint}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._records.copy())

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, name: object) -> bool:
        return name in self._records

    @property
    def opened(self) -> dict[str, StepRecord]:
        """The records of steps that have started, where `open` adds them."""
        return self._records

    def open(self, record: StepRecord) -> None:
        """Add the record of a step that starts."""
        self._records[record.name] = record

    def finish(self) -> None:
        """From now on, what has not started is SKIPPED."""
        self._absent = SKIPPED

    def closed(self, status: Status, now: float, apart: Iterable[StepRecord]) -> Steps:
        """Return a copy in which what is still running has ended with this status.

        The records of `apart` go on, and are not copied.
        """
        going_on = {id(record) for record in apart}
        other = Steps(self._names, self._outer)
        for record in list(self._records.values()):
            if id(record) not in going_on:
                record = copy.copy(record)
                if record.status == RUNNING or record.ended is None:
                    record.close(status, None, now)
            other.open(record)
        other.finish()
        return other

    def outputs(self) -> dict[str, Any]:
        """Return the outputs of the completed steps, the outer ones' included."""
        found = self._outer.outputs() if self._outer is not None else {}
        for record in list(self._records.values()):
            if record.status == COMPLETED:
                found[record.name] = record.output
        return found

    @classmethod
    def of_outputs(cls, outputs: Mapping[str, Any], names: Iterable[str]) -> Steps:
        """Make completed records with these outputs."""
        steps = cls(frozenset(names))
        for name, output in outputs.items():
            record = StepRecord(name, status=COMPLETED)
            record.output = output
            steps.open(record)
        return steps

    def names(self) -> frozenset[str]:
        """Return the names of all steps, the outer ones' included."""
        outer = self._outer.names() if self._outer is not None else frozenset()
        return self._names | outer

    def __repr__(self) -> str:
        inside = ", ".join(f"{r.name}: {r.status}" for r in self._records.values())
        return f"<steps {inside}>"


@dataclass(frozen=True, slots=True, repr=False)
class RunResult(Result):
    """A finished run.

    Attributes
    ----------
    id : str
        The run's own name.
    workflow : str
        Name of the workflow.
    status : Status
        COMPLETED, FAILED or CANCELLED.
    last
        The last value: that of the step which ran last.
    steps : Mapping of str to StepRecord
        By name; steps that never ran are SKIPPED.  Background actions may still go on.
    duration : float
        Seconds, waiting for admission included.
    started : float
        Seconds since the epoch.
    error : BaseException or None
        Why it is not COMPLETED.
    recording : Recording or None
        That of the ``with fastflow.record()`` block that it was run in.
    """

    id: str
    workflow: str
    status: Status
    last: Any
    steps: Steps
    duration: float
    error: BaseException | None = None
    started: float = 0.0
    recording: Any = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """That of the workflow."""
        return self.workflow

    @property
    def value(self) -> Any:
        """The last value."""
        return self.last

    @property
    def records(self) -> Mapping[str, StepRecord]:
        """Another name of `steps`."""
        return self.steps

    @property
    def errors(self) -> tuple[BaseException, ...]:
        """Why it is not COMPLETED: one error, or none."""
        return () if self.error is None else (self.error,)

    def __repr__(self) -> str:
        return f"<run {self.id} {self.status} in {self.duration:.3g} s>"
