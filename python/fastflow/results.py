"""``FlowResult``: what came out of a run."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fastflow.errors import TaskError, portable, shown
from fastflow.status import Status

__all__ = ["FlowResult", "Span", "TaskRecord", "Track"]

_STATES = tuple(Status)
# How a column of bytes has them.
PENDING, RUNNING, COMPLETED, FAILED, SKIPPED, CANCELLED = range(len(_STATES))


class TaskRecord(NamedTuple):
    """What became of one task."""

    name: str
    status: Status
    start: float | None
    """Seconds after the start of the run; None if it did not start."""
    end: float | None
    attempts: int
    worker: str
    """The thread or process that ran it."""
    error: BaseException | None
    partial: Mapping[int, Any] = {}
    """Of a task that runs once per item and has not completed: the results of the items
    that did finish, by index."""

    @property
    def duration(self) -> float | None:
        """Seconds from start to end."""
        if self.start is None or self.end is None:
            return None
        return self.end - self.start


class Span(NamedTuple):
    """A task on the time line of a run."""

    task: str
    start: float
    """Seconds after the start of the run."""
    end: float
    worker: str
    status: Status


class Track:
    """What a run writes down, by number of the task: columns, no object per task."""

    __slots__ = (
        "attempts", "ends", "errors", "failed_items", "names", "origin", "partial",
        "results", "starts", "states", "threads", "workers",
    )  # fmt: skip

    def __init__(self, names: Sequence[str], origin: float) -> None:
        count = len(names)
        self.names = names
        self.origin = origin
        self.results: list[Any] = [None] * count
        self.states = bytearray(count)
        self.starts = array("d", bytes(8 * count))
        self.ends = array("d", bytes(8 * count))
        self.workers: list[int | str | None] = [None] * count
        """Names, or idents of threads."""
        self.threads: dict[int, str] = {}
        """Names of threads by ident."""
        self.attempts: dict[int, int] = {}
        """Where it is not 1."""
        self.errors: dict[int, list[BaseException]] = {}
        """Of failed tasks; several if a task runs once per item."""
        self.failed_items: dict[int, list[int]] = {}
        """Indexes of the items that the errors belong to."""
        self.partial: dict[int, dict[int, Any]] = {}
        """Results of other items of such tasks, by index."""

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        state = {name: getattr(self, name) for name in self.__slots__}
        state["errors"] = {
            number: [portable(error) for error in errors]
            for number, errors in self.errors.items()
        }
        return None, state

    def note_attempts(self, number: int, count: int, *, item: bool) -> None:
        """Write down the attempts of a task, or of an item: the most of all items."""
        if item:
            if count > 1:
                self.attempts[number] = max(self.attempts.get(number, 1), count)
        elif count != 1:
            self.attempts[number] = count

    def note_threads(self) -> None:
        """Remember the names of the threads."""
        self.threads.update(
            (thread.ident or 0, thread.name) for thread in threading.enumerate()
        )

    def record(self, number: int) -> TaskRecord:
        """Return the record of one task."""
        start, end = self.starts[number], self.ends[number]
        state = _STATES[self.states[number]]
        if state is Status.PENDING and start:
            state = Status.RUNNING
        worker = self.workers[number] if start else None
        errors = self.errors.get(number)
        return TaskRecord(
            self.names[number],
            state,
            start - self.origin if start else None,
            end - self.origin if end else None,
            self.attempts.get(number, 1 if start else 0),
            self.threads.get(worker, f"thread {worker}")
            if isinstance(worker, int)
            else worker or "",
            errors[0] if errors else None,
            self.partial.get(number, {}),
        )


class _Records(Mapping[str, TaskRecord]):
    """Task name -> `TaskRecord`, made when asked for."""

    def __init__(self, track: Track, index: Mapping[str, int]) -> None:
        self._track = track
        self._index = index

    def __getitem__(self, name: str) -> TaskRecord:
        return self._track.record(self._index[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"<records of {len(self)} tasks>"


class FlowResult(Mapping[str, Any]):
    """Results of the tasks that have completed, by name, and what became of all tasks.

    Attributes
    ----------
    flow : str
        Name of the flow.
    status : Status
        ``COMPLETED`` or ``FAILED``.
    duration : float
        Seconds.
    tasks : Mapping of str to TaskRecord
        All tasks: status, start, end, attempts, worker, error.
    started : float
        Seconds since the epoch.
    errors : tuple of TaskError
        One per failure.
    """

    def __init__(
        self,
        flow: str,
        index: Mapping[str, int],
        track: Track,
        status: str,
        started: float,
        duration: float,
    ) -> None:
        self.flow = flow
        self.status = Status(status)
        self.started = started
        self.duration = duration
        self.errors: tuple[TaskError, ...] = ()
        self._index = index
        self._track = track

    @property
    def tasks(self) -> Mapping[str, TaskRecord]:
        """What became of each task."""
        return _Records(self._track, self._index)

    def __getitem__(self, name: str) -> Any:
        number = self._index[name]
        state = self._track.states[number]
        if state != COMPLETED:
            raise KeyError(f"{name} (it is {_STATES[state]}, so it has no result)")
        return self._track.results[number]

    def __iter__(self) -> Iterator[str]:
        states = self._track.states
        return (name for name, i in self._index.items() if states[i] == COMPLETED)

    def __len__(self) -> int:
        return self._track.states.count(COMPLETED)

    def __contains__(self, name: object) -> bool:
        number = self._index.get(name)  # type: ignore[call-overload]
        return number is not None and self._track.states[number] == COMPLETED

    def timeline(self) -> list[Span]:
        """Return the tasks that have run, in the order of their starts."""
        track = self._track
        ran = [i for i, start in enumerate(track.starts) if start and track.ends[i]]
        ran.sort(key=track.starts.__getitem__)
        records = map(track.record, ran)
        return [
            Span(r.name, r.start or 0.0, r.end or 0.0, r.worker, r.status)
            for r in records
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return status, times and results; errors become texts."""
        return {**self.summary(), "results": dict(self)}

    def summary(self) -> dict[str, Any]:
        """Return what `to_dict` does, without the results."""
        tasks = {}
        for name, record in self.tasks.items():
            entry = {**record._asdict(), "duration": record.duration}
            del entry["name"], entry["partial"]
            error = record.error
            entry["error"] = None if error is None else shown(error)
            tasks[name] = entry
        return {
            "flow": self.flow,
            "status": self.status,
            "started": self.started,
            "duration": self.duration,
            "tasks": tasks,
        }

    def __repr__(self) -> str:
        return (
            f"<FlowResult {self.flow!r} {self.status}: {len(self):,} of "
            f"{len(self._index):,} tasks completed in {self.duration:.3g} s>"
        )
