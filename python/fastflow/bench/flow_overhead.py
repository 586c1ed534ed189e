"""Flows of no-ops: what a task costs beyond its call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from fastflow.bench import subject as ff
from fastflow.bench.measure import Spread, interleave
from fastflow.bench.rows import Row, Settings, Skip, cost, figure_below
from fastflow.bench.workloads import noop
from fastflow.flows.flow import Flow

PEER = "the calls in a loop"
ENGINES = ("native", "serial")


def tree(tasks: int) -> Flow:
    """A compiled binary tree of no-ops, each of which takes its parent's result."""
    lines = ["flow Tree:", "    t0"]
    lines += [f"    t{(i - 1) // 2} -> t{i}" for i in range(1, tasks)]
    registry = dict.fromkeys((f"t{i}" for i in range(tasks)), noop)
    return Flow("\n".join(lines), registry=registry)


def chain_of_different(tasks: int) -> Flow:
    """A compiled chain, each task a function of its own that names its parent."""
    scope: dict[str, Callable[..., None]] = {}
    lines = ["def t0(): pass"]
    lines += [f"def t{i}(t{i - 1}_result): pass" for i in range(1, tasks)]
    exec("\n".join(lines), scope)
    edges = [f"    t{i - 1} -> t{i}" for i in range(1, tasks)]
    return Flow("\n".join(["flow Chain:", *edges]), registry=scope)


def call_all(functions: Sequence[Callable[[object], None]]) -> None:
    """Make the same calls without a flow, keeping the values."""
    [fn(None) for fn in functions]


def task_overhead(settings: Settings) -> Iterator[Row | Skip]:
    """No-op tasks on the native engine and one after another, up to a million."""
    sizes = (1_000, 100_000) if settings.quick else (1_000, 100_000, 1_000_000)
    each: dict[tuple[str, int], float] = {}
    with ff.Executor(settings.workers) as executor:
        for tasks in sizes:
            flow, title = tree(tasks), f"{tasks:,} no-op tasks"
            rows = _on_both(executor, flow, tasks, title, settings.rounds(5))
            for engine, row in zip(ENGINES, rows, strict=True):
                each[engine, tasks] = row.our_figure
                yield row
    yield from _linear(each, sizes[-1])


def different_functions(settings: Settings) -> Iterator[Row | Skip]:
    """A thousand different functions, filled by the names of their parameters."""
    tasks = 1_000
    flow, title = chain_of_different(tasks), f"{tasks:,} different functions"
    title += ", named parameters"
    with ff.Executor(settings.workers) as executor:
        yield from _on_both(executor, flow, tasks, title, settings.rounds(9))


def _on_both(
    executor: ff.Executor, flow: Flow, tasks: int, title: str, rounds: int
) -> Iterator[Row]:
    """Compare a flow with calls in a loop, on the native and the serial engine."""
    times = interleave(
        {
            "calls": partial(call_all, [noop] * tasks),
            "native": partial(flow.run, executor=executor),
            "serial": partial(flow.run, executor="serial"),
        },
        rounds,
    )
    for engine in ENGINES:
        yield Row(
            f"flow, {engine} engine, {title}",
            PEER,
            times.median("calls") / tasks * 1e6,
            times.median(engine) / tasks * 1e6,
            "µs",
            times.ratio(engine, "calls"),
            figure_below(2),
        )


def _linear(each: dict[tuple[str, int], float], most: int) -> Iterator[Row]:
    """The cost of a task must not grow with their number."""
    for engine in ENGINES:
        small, large = each[engine, 1_000], each[engine, most]
        yield Row(
            f"flow, {engine} engine, per task at {most:,}",
            "at 1,000",
            small,
            large,
            "µs",
            Spread.of([large / small]),
            cost(1.5),
        )
