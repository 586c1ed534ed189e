"""``record()``: see what a block of code does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastflow import _core
from fastflow.base import recorders
from fastflow.base.drawn import Drawn
from fastflow.base.options import check_count
from fastflow.seeing.counters import Sampler
from fastflow.seeing.machine import machine, overhead
from fastflow.seeing.notes import Notes
from fastflow.seeing.tape import thread_names
from fastflow.seeing.tracing import trace_of

if TYPE_CHECKING:
    from types import TracebackType

    from fastflow.seeing.trace import Trace

__all__ = ["Recording", "record"]


def record(*, size: int = 100_000, counters: bool = True) -> Recording:
    """Return a recording of the with block that follows.

    It sees what the whole process does meanwhile: the calls that its threads make by
    way of fastflow, those that its executors make in other processes, flows, workflows
    and durable functions, and what workers do between calls. What is under way when the
    block begins is seen from its next call, or participant, on; calls that go on when
    it ends are shown as running. Several recordings, also within each other, see the
    same.

    Parameters
    ----------
    size : int
        Spans that are kept of each thread. When there are more, every second one is
        dropped, then every second one of the rest, and so on; failures and the longest
        calls are kept in any case, and the totals of each function are exact. A span
        takes 56 bytes.
    counters : bool
        Whether cores in use, the interpreter lock and the queue are looked at, some 20
        times a second, by a thread.

    Raises
    ------
    RuntimeError
        By the with block, if eight recordings are open already.

    Examples
    --------
    >>> import fastflow
    >>> with fastflow.record() as rec:
    ...     squares = fastflow.map(lambda x: x * x, range(100))
    >>> len(rec.data.calls)
    100
    """
    return Recording(size=size, counters=counters)


class Recording(Drawn):
    """What a block of code did; see `record`.

    While the block runs there is nothing to look at.
    """

    def __init__(self, *, size: int = 100_000, counters: bool = True) -> None:
        self._size = check_count("size", size)
        self._sampler = Sampler() if counters else None
        self._notes = Notes(self, self._size)
        self._tape: _core.Tape | None = None
        self._began = 0.0
        self._open = False
        self._names: dict[int, str] = {}
        self._data: Trace | None = None

    def __enter__(self) -> Recording:
        if self._tape is not None:
            raise RuntimeError("a recording is made once; call record() again")
        self._tape = _core.Tape(size=self._size)
        self._began = time.time()
        self._names = thread_names()
        self._open = True
        recorders.add(self._notes)
        if self._sampler is not None:
            self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._tape is not None
        recorders.remove(self._notes)
        self._tape.close()
        self._open = False
        self._names |= thread_names()
        if self._sampler is not None:
            self._sampler.end()

    @property
    def data(self) -> Trace:
        """What was seen.

        Raises
        ------
        RuntimeError
            Before the end of the block.
        """
        if self._tape is None or self._open:
            raise RuntimeError(
                "the recording goes on; what it has seen can be had after its with "
                "block"
            )
        if self._data is None:
            names, counters = dict(self._names), {}
            if self._sampler is not None:
                names = self._sampler.names | names
                counters = self._sampler.counters(self._tape.clock[1])
            where = machine()
            self._data = trace_of(
                self._tape, self._notes, names, counters, self._began, where
            )
            if any(lane.kind == "process" for lane in self._data.lanes):
                where["overhead"] = overhead(processes=True)
        return self._data

    def explain(self) -> Any:
        """Return where the time went, and what to change.

        See `fastflow.seeing.explain.answer.explain`.
        """
        from fastflow.seeing.explain import explain

        return explain(self.data)

    def report(self, path: Any, *, title: str | None = None) -> None:
        """Write a page for the browser: one file, which needs no network."""
        from fastflow.seeing.report import write_report

        write_report(self.data, path, title=title)

    def trace(self, path: Any) -> None:
        """Write a trace for Perfetto; of Chrome's kind if the path ends with .json."""
        from fastflow.seeing.traces.perfetto import write_trace

        write_trace(self.data, path)

    def timeline(self, path: Any) -> None:
        """Write a picture of who did what when, as SVG."""
        from fastflow.base.textfiles import write_text
        from fastflow.seeing.pictures.gantt import gantt_svg

        write_text(Path(path), gantt_svg(self.data))

    def dag(self) -> Any:
        """Return what depended on what in the first run that says so.

        Raises
        ------
        ValueError
            If none does.
        """
        for run in self.data.runs:
            if run.dag is not None:
                return run.dag
        raise ValueError("nothing that was recorded has a graph: no flow, no Graph")

    def __reduce__(self) -> Any:
        return _no_recording, ()  # results that refer to it can be pickled

    def __repr__(self) -> str:
        if self._tape is None:
            return "<Recording, not begun>"
        if self._open:
            return "<Recording, open>"
        trace = self.data
        return f"<Recording of {len(trace.calls)} calls in {trace.seconds:.6g} s>"


def _no_recording() -> None:
    """Stand for a recording in what was pickled: it stays where it was made."""
