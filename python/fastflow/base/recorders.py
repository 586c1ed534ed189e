"""Who records what happens, for those who have something to tell.

What the native pool does it writes down by itself (`_core.Tape`); whatever else makes
calls tells the recorders here. While nobody records, ``RECORDERS`` is empty, and a run
looks at it once.

Times are nanoseconds of ``time.monotonic_ns`` (the clock of ``time.perf_counter``,
too). Numbers of runs and failures are the process's: one call has the same in all
recordings that see it.

On free-threaded builds: the tuple of recorders is never changed, but replaced.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fastflow import _core
from fastflow.base import lifetime

__all__ = [
    "RECORDERS",
    "Columns",
    "Noted",
    "Recorder",
    "add",
    "begin_fan",
    "begin_run",
    "end_run",
    "failure_of",
    "name_of",
    "newest",
    "now",
    "remove",
    "tell",
    "tell_columns",
    "within",
]


class Noted(NamedTuple):
    """A span of something that the native pool does not see; see `seeing.trace`."""

    label: str | None
    start: int
    end: int
    lane: tuple[str, str, int] | int | None = None
    """Name, kind and process; or a thread's number; None: this thread."""
    item: int = -1
    run: int = 0
    attempt: int = 1
    kind: int = 0
    state: int = 0
    failure: int = 0
    ready: int = -1
    cpu: int = -1


class Columns(NamedTuple):
    """Calls of a run that has them in columns anyway, by number of the task."""

    run: int
    names: Sequence[str]
    starts: Sequence[float]
    """Seconds, of ``time.perf_counter``; 0: it has not."""
    ends: Sequence[float]
    workers: Sequence[str | int | None]
    """Threads by number, processes by name, or "cache"."""
    states: bytes
    attempts: Mapping[int, int]
    """Where it is not 1."""
    failures: Mapping[int, int]
    """See `failure_of`."""
    is_told: Callable[[int], bool]
    """Whether a task was told of otherwise."""
    over: int
    """ns: when the run was over."""


class Recorder(Protocol):
    """Is told what happens."""

    owner: Any
    """What results of runs refer to."""

    def run_began(self, number: int, name: str, kind: str, parent: int) -> None:
        """A run begins."""

    def run_ended(
        self, number: int, error: BaseException | None, drawn: object
    ) -> None:
        """A run is over; `drawn`: what its graph can be drawn from, or None."""

    def note(self, spans: list[Noted]) -> None:
        """Keep spans."""

    def note_columns(self, columns: Columns) -> None:
        """Keep the calls of a run."""

    def failed(self, number: int, error: BaseException) -> None:
        """Keep what became of a call."""


RECORDERS: tuple[Recorder, ...] = ()
"""Those that are open, the newest last."""

_lock = threading.Lock()
_runs = itertools.count(1)
_failures = itertools.count(1)


def newest() -> Any:
    """Return what results refer to that are made now, or None."""
    recorders = RECORDERS
    return recorders[-1].owner if recorders else None


def add(recorder: Recorder) -> None:
    """Let a recorder be told from now on."""
    global RECORDERS
    with _lock:
        RECORDERS = (*RECORDERS, recorder)


def remove(recorder: Recorder) -> None:
    """Tell a recorder nothing more."""
    global RECORDERS
    with _lock:
        RECORDERS = tuple(each for each in RECORDERS if each is not recorder)


def _begin_anew() -> None:
    global RECORDERS, _lock
    RECORDERS, _lock = (), threading.Lock()


lifetime.in_forked_child(lifetime.WORKERS, _begin_anew)


def now() -> int:
    """Return the time, on the clock of all spans."""
    return time.monotonic_ns()


def name_of(fn: Any) -> str:
    """Return what a callable is called, for people: without where it was defined."""
    while True:
        inner = getattr(fn, "__wrapped__", None) or getattr(fn, "func", None)
        if not callable(inner) or inner is fn:
            break
        fn = inner
    name = getattr(fn, "name", None)
    if not isinstance(name, str):
        name = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    if not isinstance(name, str):
        name = type(fn).__qualname__
    return name.rpartition("<locals>.")[2]


def begin_fan(fn: Any) -> int:
    """Tell of a map; returns its number, or 0 if nobody records."""
    return begin_run(name_of(fn), "map") if RECORDERS else 0


_around = threading.local()


@contextlib.contextmanager
def within(run: int) -> Iterator[None]:
    """Have the runs that begin here, in this thread, be parts of a run."""
    before = getattr(_around, "run", 0)
    _around.run = run
    try:
        yield
    finally:
        _around.run = before


def begin_run(name: str, kind: str, parent: int = 0) -> int:
    """Tell of a run; returns its number, or 0 if nobody records.

    Its parent is, if not given, the run of the native call that this thread is in, or
    what it is `within`.
    """
    recorders = RECORDERS
    if not recorders:
        return 0
    parent = parent or _core.recording_run() or getattr(_around, "run", 0)
    number = next(_runs)
    for recorder in recorders:
        recorder.run_began(number, name, kind, parent)
    return number


def end_run(
    number: int,
    error: BaseException | None = None,
    drawn: object = None,
) -> None:
    """Tell that a run is over; `drawn`: what its graph can be drawn from."""
    for recorder in RECORDERS if number else ():
        recorder.run_ended(number, error, drawn)


def tell(spans: list[Noted]) -> None:
    """Tell of what was done."""
    if not spans:
        return
    here = threading.get_ident()
    spans = [each._replace(lane=here) if each.lane is None else each for each in spans]
    for recorder in RECORDERS:
        recorder.note(spans)


def tell_columns(columns: Columns) -> None:
    """Tell of the calls of a run; what they are, is looked at when it is asked for."""
    for recorder in RECORDERS:
        recorder.note_columns(columns)


def failure_of(error: BaseException) -> int:
    """Return the number under which an error is kept, or 0."""
    recorders = RECORDERS
    if not recorders:
        return 0
    number = next(_failures)
    for recorder in recorders:
        recorder.failed(number, error)
    return number


_core.recording_on_failure(failure_of)
