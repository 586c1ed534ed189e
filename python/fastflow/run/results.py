"""``FlowResult``: what came out of a run."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from fastflow.base.drawn import Drawn
from fastflow.base.topology import Structure
from fastflow.errors import TaskError, portable, shown
from fastflow.run.kept import here
from fastflow.run.status import Status

__all__ = ["FlowResult", "Result", "Shape", "Span", "TaskRecord", "Track"]

_STATES = tuple(Status)
# How a column of bytes has them.
PENDING, RUNNING, COMPLETED, FAILED, SKIPPED, CANCELLED = range(len(_STATES))


_NOTHING: Mapping[int, Any] = MappingProxyType({})


class _Rare:
    """An attribute that few records have; all others pay nothing for it."""

    def __init__(self, default: Any) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, record: TaskRecord | None, owner: type | None = None) -> Any:
        if record is None:
            return self
        try:
            return record._rare.get(self._name, self._default)
        except AttributeError:  # it has none
            return self._default

    def __set__(self, record: TaskRecord, value: Any) -> None:
        try:
            record._rare[self._name] = value
        except AttributeError:
            record._rare = {self._name: value}


class TaskRecord:
    """What became of one call: a task of a flow, a step of a workflow, a node.

    Inside, times are those of the run's clock (``time.perf_counter`` or, for what a
    virtual clock may replace, ``time.monotonic``). What is shown, here and in a `Span`,
    are seconds after the start of the run; with the `started` of its result they are
    seconds since the epoch. (As one number, those would tell apart no calls of less
    than a quarter of a microsecond.)

    Attributes
    ----------
    name : str
    status : Status
    output
        What was returned; None before.
    error : BaseException or None
        What made it fail.
    attempts : int
        0 if it was not called, as the output came from a cache.
    worker : str
        The thread or process that ran it, where that is known.
    winner : int or None
        Of a race: the position of the branch that decided it.
    partial : Mapping of int to object
        Of a task that runs once per item and has not completed: the results of the
        items that did finish, by index.
    """

    __slots__ = (
        "_rare", "attempts", "began", "ended", "error", "name", "origin", "output",
        "status",
    )  # fmt: skip

    _rare: dict[str, Any]
    worker = _Rare("")
    winner = _Rare(None)
    partial = _Rare(_NOTHING)

    def __init__(
        self,
        name: str,
        status: Status = Status.RUNNING,
        began: float | None = None,
        origin: float = 0.0,
        attempts: int = 0,
    ) -> None:
        self.name = name
        self.status = status
        self.output: Any = None
        self.error: BaseException | None = None
        self.attempts = attempts
        self.began = began
        self.ended: float | None = None
        self.origin = origin

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        names = (*TaskRecord.__slots__, "worker", "winner", "partial")
        state = {name: getattr(self, name) for name in names if name != "_rare"}
        if self.error is not None:
            state["error"] = portable(self.error)
        state["partial"] = dict(self.partial)
        return None, state

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        for name, value in state[1].items():
            setattr(self, name, value)

    @property
    def start(self) -> float | None:
        """Seconds after the start of the run; None if it did not start."""
        return None if self.began is None else self.began - self.origin

    @property
    def end(self) -> float | None:
        """Seconds after the start of the run; None before."""
        return None if self.ended is None else self.ended - self.origin

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, waits and retries included; None before."""
        if self.began is None or self.ended is None:
            return None
        return self.ended - self.began

    def close(self, status: Status, error: BaseException | None, now: float) -> None:
        """Note how it ended, at a time of the run's clock."""
        self.status = status
        self.error = error
        self.ended = now

    def to_dict(self) -> dict[str, Any]:
        """Return all but name and results; the error becomes a text."""
        return {
            "status": self.status,
            "start": self.start,
            "end": self.end,
            "attempts": self.attempts,
            "worker": self.worker,
            "error": None if self.error is None else shown(self.error),
            "duration": self.duration,
        }

    def __repr__(self) -> str:
        return f"<{self.name!r} {self.status}>"


class _KeptRecord(TaskRecord):
    """One of a task whose result, or a part of it, has not been fetched."""

    __slots__ = ("_number", "_track")

    def __init__(self, track: Track, number: int, status: Status, began: float | None):
        super().__init__(track.names[number], status, began, track.origin)
        self._track = track
        self._number = number

    @property
    def output(self) -> Any:
        """What was returned; None before."""
        completed = self.status is Status.COMPLETED
        return self._track.result(self._number) if completed else None

    @output.setter
    def output(self, value: Any) -> None:
        """Take it from the run."""

    @property
    def partial(self) -> Mapping[int, Any]:
        """Results of the items that did finish."""
        partial: Mapping[int, Any] = here(
            self._track.partial.get(self._number, _NOTHING)
        )
        return partial

    def __reduce__(self) -> tuple[Any, ...]:
        return _plain_record, self.__getstate__()


def _plain_record(_: None, state: dict[str, Any]) -> TaskRecord:
    record = TaskRecord(state["name"])
    record.__setstate__((None, state))
    return record


class Span(NamedTuple):
    """A task on the time line of a run."""

    task: str
    start: float
    """Seconds after the start of the run."""
    end: float
    worker: str
    status: Status


class Shape(NamedTuple):
    """Which tasks of a run waited for which."""

    structure: Structure
    per_item: tuple[int, ...]
    """Tasks that were run item by item."""


class Track:
    """What a run writes down, by number of the task: columns, no object per task."""

    __slots__ = (
        "attempts", "ends", "errors", "failed_items", "kept", "names", "origin",
        "partial", "results", "starts", "states", "threads", "workers",
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
        self.kept: set[int] = set()
        """Of whose results something is kept elsewhere; see `fastflow.run.kept`."""

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        state = {name: getattr(self, name) for name in self.__slots__}
        state["kept"] = set()  # what is pickled is fetched
        state["errors"] = {
            number: [portable(error) for error in errors]
            for number, errors in self.errors.items()
        }
        return None, state

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        self.kept = set()  # tracks that were pickled earlier have none
        for name, value in state[1].items():
            setattr(self, name, value)

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

    def result(self, number: int) -> Any:
        """Return the result of a task, of a run that is over."""
        if number in self.kept:
            # Always the same object from now on, and nothing stays elsewhere for it.
            # In this order: another thread may read it, too.
            self.results[number] = here(self.results[number])
            self.kept.discard(number)
        return self.results[number]

    def record(self, number: int) -> TaskRecord:
        """Return the record of one task."""
        start, end = self.starts[number], self.ends[number]
        state = _STATES[self.states[number]]
        if state is Status.PENDING and start:
            state = Status.RUNNING
        worker = self.workers[number] if start else None
        errors = self.errors.get(number)
        record: TaskRecord
        if number in self.kept:
            record = _KeptRecord(self, number, state, start or None)
        else:
            record = TaskRecord(self.names[number], state, start or None, self.origin)
            record.partial = self.partial.get(number, _NOTHING)
            if state is Status.COMPLETED:
                record.output = self.results[number]
        record.ended = end or None
        record.attempts = self.attempts.get(number, 1 if start else 0)
        if isinstance(worker, int):
            worker = self.threads.get(worker, f"thread {worker}")
        record.worker = worker or ""
        if errors:
            record.error = errors[0]
        return record


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


class Result(Drawn):
    """What a run ends with, of a flow, a workflow or a graph.

    Attributes
    ----------
    status : Status
        COMPLETED, FAILED or CANCELLED.
    started : float
        Seconds since the epoch.
    duration : float
        Seconds.
    errors
        The exceptions of what failed; by node in a graph, else a tuple.
    """

    __slots__ = ()

    status: Status
    started: float
    duration: float
    errors: Any

    @property
    def name(self) -> str:
        """Of what has run."""
        raise NotImplementedError

    @property
    def value(self) -> Any:
        """What came out."""
        raise NotImplementedError

    @property
    def records(self) -> Mapping[Any, TaskRecord]:
        """What became of each task, step or node."""
        raise NotImplementedError

    def timeline(self) -> list[Span]:
        """Return what has run, in the order of the starts."""
        spans = [
            Span(record.name, record.start, record.end, record.worker, record.status)
            for record in self.records.values()
            if record.start is not None and record.end is not None
        ]
        spans.sort(key=lambda span: span.start)
        return spans

    def summary(self) -> dict[str, Any]:
        """Return status, times and errors, but no results."""
        return {
            "flow": self.name,
            "status": self.status,
            "started": self.started,
            "duration": self.duration,
            "tasks": {
                record.name: record.to_dict() for record in self.records.values()
            },
        }


class FlowResult(Result, Mapping[str, Any]):
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
    recording : Recording or None
        That of the ``with fastflow.record()`` block that it was run in.
    """

    _shape: Shape | None = None  # results that were pickled earlier have none

    def __init__(
        self,
        flow: str,
        index: Mapping[str, int],
        track: Track,
        status: str,
        started: float,
        duration: float,
        shape: Shape | None = None,
    ) -> None:
        self.flow = flow
        self.status = Status(status)
        self.started = started
        self.duration = duration
        self.errors: tuple[TaskError, ...] = ()
        self.recording: Any = None
        self._index = index
        self._track = track
        self._shape = shape

    @property
    def name(self) -> str:
        """That of the flow."""
        return self.flow

    @property
    def value(self) -> Any:
        """The results by name, as the result itself has them."""
        return dict(self)

    @property
    def tasks(self) -> Mapping[str, TaskRecord]:
        """What became of each task."""
        return _Records(self._track, self._index)

    @property
    def records(self) -> Mapping[str, TaskRecord]:
        """Another name of `tasks`."""
        return self.tasks

    def __getitem__(self, name: str) -> Any:
        number = self._index[name]
        state = self._track.states[number]
        if state != COMPLETED:
            raise KeyError(f"{name} (it is {_STATES[state]}, so it has no result)")
        track = self._track
        return track.result(number) if track.kept else track.results[number]

    def __iter__(self) -> Iterator[str]:
        states = self._track.states
        return (name for name, i in self._index.items() if states[i] == COMPLETED)

    def __len__(self) -> int:
        return self._track.states.count(COMPLETED)

    def __contains__(self, name: object) -> bool:
        number = self._index.get(name)  # type: ignore[call-overload]
        return number is not None and self._track.states[number] == COMPLETED

    def to_dict(self) -> dict[str, Any]:
        """Return status, times and results; errors become texts."""
        return {**self.summary(), "results": dict(self)}

    def __repr__(self) -> str:
        return (
            f"<FlowResult {self.flow!r} {self.status}: {len(self):,} of "
            f"{len(self._index):,} tasks completed in {self.duration:.3g} s>"
        )
