"""Durable executions on a file: batches, steps, replay, waits."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastflow.bench.durable_peer import PEER, aws_steps, installed
from fastflow.bench.measure import Spread, Times, interleave, stopwatch
from fastflow.bench.memory import resident_bytes
from fastflow.bench.rows import Row, Settings, Skip, cost, faster, figure_below
from fastflow.durable import DurableRunner, durable_execution
from fastflow.pool.executor import Executor

_MISSING = f"{PEER}: pip install aws-durable-execution-sdk-python{{,-testing}}"


@durable_execution(name="fastflow.bench.parallel")
def parallel(event: int, context: Any) -> int:
    """One step per branch."""
    functions = [lambda c: c.step(lambda _: 1)] * event
    return int(context.parallel(functions).success_count)


@durable_execution(name="fastflow.bench.steps")
def steps(event: int, context: Any) -> int:
    """One step after the other."""
    for _ in range(event):
        context.step(lambda _: 1)
    return event


@durable_execution(name="fastflow.bench.waits")
def waits(event: int, context: Any) -> int:
    """Branches that wait for a second each."""
    functions = [lambda c: c.wait(1.0)] * event
    return int(context.parallel(functions).success_count)


class _Die(BaseException):
    """Ends a run without an end."""


@contextmanager
def _runner(workers: int) -> Iterator[DurableRunner]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Executor(workers) as executor,
        DurableRunner(Path(folder) / "runs.db", executor=executor) as runner,
    ):
        yield runner


def _us_per_item(times: Times, name: str, count: int) -> float:
    return times.median(name) / count * 1e6


def _against_aws(
    settings: Settings, kind: str, ours: Any, count: int, goal: float, times: float
) -> Iterator[Row | Skip]:
    """Compare one program with the SDK; `times`: how often ours is faster."""
    label = f"durable {kind}, {count:,} no-op steps"
    with _runner(settings.workers) as runner:
        alone = interleave({"ours": lambda: runner.run(ours, count)}, settings.repeats)
        figure = _us_per_item(alone, "ours", count)
        yield Row(label, "-", figure, figure, "µs", None, figure_below(goal))
        if not installed():
            yield Skip(label, _MISSING)
            return
        theirs = min(count, 200 if settings.quick else count)
        with aws_steps() as run:
            both = interleave(
                {
                    "ours": lambda: runner.run(ours, count),
                    "aws": lambda: run(kind, theirs),
                },
                1 if settings.quick else min(settings.repeats, 3),
                warmup=0,
            )
        scale = count / theirs
        ratio = both.ratio("aws", "ours")
        yield Row(
            label,
            PEER,
            _us_per_item(both, "aws", theirs),
            _us_per_item(both, "ours", count),
            "µs",
            Spread(ratio.median * scale, ratio.low * scale, ratio.high * scale),
            faster(times),
        )


def batches(settings: Settings) -> Iterator[Row | Skip]:
    """A thousand branches with a step each."""
    yield from _against_aws(settings, "parallel", parallel, 1_000, 40, 50)


def sequential(settings: Settings) -> Iterator[Row | Skip]:
    """Steps, one after the other."""
    count = 200 if settings.quick else 500
    yield from _against_aws(settings, "steps", steps, count, 60, 50)


def growth(settings: Settings) -> Iterator[Row | Skip]:
    """The cost of a branch in large batches, against a thousand."""
    sizes = (5_000, 20_000) if settings.quick else (5_000, 100_000, 1_000_000)
    for size in sizes:
        rounds = settings.repeats if size <= 5_000 else 1
        with _runner(settings.workers) as runner:
            runner.run(parallel, 1_000)
            small: list[float] = []
            ratios = []
            for _ in range(rounds):
                before = stopwatch(lambda: runner.run(parallel, 1_000)) / 1_000
                large = stopwatch(lambda n=size: runner.run(parallel, n)) / size  # type: ignore[misc]
                after = stopwatch(lambda: runner.run(parallel, 1_000)) / 1_000
                small.append((before + after) / 2)
                ratios.append(large / small[-1])
        yield Row(
            f"durable parallel, {size:,} against 1,000 branches",
            "1,000 branches",
            sorted(small)[len(small) // 2] * 1e6,
            sorted(ratios)[len(ratios) // 2] * sorted(small)[len(small) // 2] * 1e6,
            "µs",
            Spread.of(ratios),
            cost(1.3),
        )


def memory(settings: Settings) -> Iterator[Row | Skip]:
    """Bytes per branch while a batch runs, results and all."""
    count = 20_000 if settings.quick else 200_000
    peak = 0

    @durable_execution(name="fastflow.bench.memory")
    def program(event: int, context: Any) -> int:
        def branch(inner: Any) -> int:
            nonlocal peak
            number = inner.step(lambda _: 1)
            if next(seen) % 1_000 == 0:
                peak = max(peak, resident_bytes())
            return int(number)

        return int(context.parallel([branch] * event).success_count)

    seen = itertools.count()
    with _runner(settings.workers) as runner:
        runner.run(program, 1_000)
        before = resident_bytes()
        runner.run(program, count)
    figure = max(peak - before, 0) / count
    yield Row(
        f"durable parallel, memory of {count:,} branches",
        "-", figure, figure, "B", None, figure_below(1_024),
    )  # fmt: skip


def replay(settings: Settings) -> Iterator[Row | Skip]:
    """Going on with an execution that was interrupted after its last step."""
    count = 2_000 if settings.quick else 10_000
    items = 20_000 if settings.quick else 100_000
    yield _replayed("steps", steps, count, settings)
    yield _replayed("parallel", parallel, items, settings)


def _replayed(
    kind: str, body: Callable[..., Any], count: int, settings: Settings
) -> Row:
    alive = False

    @durable_execution(name=f"fastflow.bench.replay.{kind}")
    def program(event: int, context: Any) -> int:
        found = body(event, context)
        if not alive:
            raise _Die
        return int(found)

    figures = []
    with _runner(settings.workers) as runner:
        for number in range(settings.repeats):
            alive = False
            try:
                runner.run(program, count, f"it-{number}")
            except _Die:
                alive = True
            again = stopwatch(lambda n=number: runner.run(program, count, f"it-{n}"))  # type: ignore[misc]
            figures.append(again)
    spread = Spread.of(figures)
    if kind == "steps":
        figure = spread.median / count * 1e6
        label = f"durable replay, per step of {count:,}"
        return Row(label, "-", figure, figure, "µs", None, figure_below(5))
    figure = spread.median * 100_000 / count
    label = f"durable replay of a finished batch of {count:,} (per 100,000)"
    return Row(label, "-", figure, figure, "s", None, figure_below(0.2))


def floor(settings: Settings) -> Iterator[Row | Skip]:
    """A run with one step."""
    with _runner(settings.workers) as runner:
        times = interleave(
            {"ours": lambda: runner.run(steps, 1)}, max(settings.repeats, 20)
        )
    figure = times.median("ours") * 1e3
    yield Row("durable run of one step", "-", figure, figure, "ms", None,
              figure_below(2))  # fmt: skip


def waiting(settings: Settings) -> Iterator[Row | Skip]:
    """Ten thousand branches that wait for a second each, and the threads for it."""
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.05):
            most = max(most, threading.active_count() - 1)  # less this one

    with _runner(settings.workers) as runner:
        before = threading.active_count()
        watcher = threading.Thread(target=watch)
        watcher.start()
        times = interleave(
            {"ours": lambda: runner.run(waits, 10_000)},
            1 if settings.quick else min(settings.repeats, 3),
            warmup=0,
        )
        done.set()
        watcher.join()
    figure = times.median("ours")
    yield Row("durable, 10,000 branches wait 1 s", "-", figure, figure, "s", None,
              figure_below(1.5))  # fmt: skip
    threads = float(most - before + 1)  # the caller's is one of them
    yield Row("durable, threads meanwhile", "-", threads, threads, "", None,
              figure_below(settings.workers + 4))  # fmt: skip
