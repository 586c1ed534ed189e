"""What it costs to look on: recordings, progress, reports."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fastflow.base.bars import TerminalBar
from fastflow.base.progress import Monitor, Progress
from fastflow.bench import subject as ff
from fastflow.bench.measure import Spread, Times, interleave
from fastflow.bench.rows import Row, Settings, cost, figure_below
from fastflow.bench.submit import submit_all
from fastflow.bench.workloads import count_down, noop, steps_of
from fastflow.seeing.recording import record

_BODY = 10e-6  # seconds


def recording(settings: Settings) -> Iterator[Row]:
    """Calls that are recorded, against the same calls without."""
    n = settings.size(50_000, 10_000)
    items = [steps_of(_BODY)] * n
    with ff.Executor(settings.workers) as executor:
        times = _paired(lambda: ff.map(count_down, items, executor=executor), settings)
        yield Row(
            f"recording {n:,} calls of 10 µs, map", "not recorded",
            times.median("bare"), times.median("recorded"), "s",
            times.ratio("recorded", "bare"), cost(1.05),
        )  # fmt: skip
        n = settings.size(1_000_000, 100_000)
        calls: dict[str, Callable[[], object]] = {
            "map": lambda: ff.map(noop, range(n), executor=executor),
            "submit": lambda: submit_all(executor, n),
        }
        for way, run in calls.items():
            times = _paired(run, settings)
            pairs = zip(times.seconds["recorded"], times.seconds["bare"], strict=True)
            more = Spread.of([(on - off) / n * 1e9 for on, off in pairs])
            yield Row(
                f"recording, per no-op, {way}", "-", more.median, more.median, "ns",
                None, figure_below(25), f"{more.low:.1f} to {more.high:.1f}",
            )  # fmt: skip


def _paired(run: Callable[[], object], settings: Settings) -> Times:
    def recorded() -> None:
        with record():
            run()

    return interleave({"bare": run, "recorded": recorded}, settings.repeats)


def progress(settings: Settings) -> Iterator[Row]:
    """The processor time of progress, while nothing else runs."""
    seconds = settings.size(20, 5) / 10
    ways: dict[str, Progress] = {"bar": True, "callable": lambda _done, _total: None}
    with contextlib.redirect_stderr(_Terminal()):
        TerminalBar("warm up", 1).close()
        for way, shown in ways.items():
            shares = [_share(shown, seconds) for _ in range(settings.rounds(3))]
            found = Spread.of([share * 100 for share in shares])
            yield Row(
                f"progress, {way}, processor time in {seconds:g} s", "-",
                found.median, found.median, "%", None, figure_below(1),
            )  # fmt: skip


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Work:
    """Goes on by itself."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    @property
    def done(self) -> int:
        return int((time.monotonic() - self.began) * 1e6)


def _share(shown: Progress, seconds: float) -> float:
    before = time.process_time()
    with Monitor(shown, _Work(), 10**7, "bench"):
        time.sleep(seconds)
    return (time.process_time() - before) / seconds


def report(settings: Settings) -> Iterator[Row]:
    """From the end of a recording to its report."""
    n = settings.size(1_000_000, 100_000)
    figures = []
    with ff.Executor(settings.workers) as executor, tempfile.TemporaryDirectory() as at:
        for _ in range(settings.rounds(3)):
            with record(size=n) as seen:
                ff.map(noop, range(n), executor=executor)
            began = time.perf_counter()
            seen.report(Path(at) / "report.html")
            figures.append(time.perf_counter() - began)
    took = Spread.of(figures)
    yield Row(
        f"report of {n:,} calls", "-", took.median, took.median, "s", None,
        figure_below(5), f"{took.low:.2f} to {took.high:.2f}",
    )  # fmt: skip
