"""The workflow builder: a step costs the same for any length and payload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from fastflow.bench.measure import interleave
from fastflow.bench.rows import Row, Settings, Skip, cost, figure_below
from fastflow.bench.workloads import noop
from fastflow.workflows.builder import Workflow, workflow

PEER = "the calls in a loop"
CRONFLOW = "Cronflow's published figures: 17 to 36 µs per step, 117 at 1,000 steps"
LARGE = 64 * 1024 * 1024  # bytes


def chain(steps: int) -> Workflow:
    """A workflow of no-ops, compiled."""
    made = workflow("bench")
    for n in range(steps):
        made.step(f"step {n}", noop)
    made.program()
    return made


def run_often(made: Workflow, payload: object, times: int) -> None:
    """Run a workflow again and again."""
    for _ in range(times):
        made.run(payload)


def call_often(functions: list[Callable[[object], None]], times: int) -> None:
    """Make the same calls without a workflow, keeping the values."""
    for _ in range(times):
        [fn(None) for fn in functions]


def builder_step(settings: Settings) -> Iterator[Row | Skip]:
    """No-op steps one after another: 10, 1,000 and 10,000 of them in a workflow."""
    total = 10_000  # steps in each measurement
    contestants: dict[str, Callable[[], object]] = {
        "calls": partial(call_often, [noop] * total, 1)
    }
    sizes = (10, 1_000, 10_000)
    for steps in sizes:
        contestants[str(steps)] = partial(run_often, chain(steps), None, total // steps)
    contestants["large"] = partial(run_often, chain(10), bytes(LARGE), total // 10)
    times = interleave(contestants, settings.repeats)
    for steps in sizes:
        yield Row(
            f"builder step, no-op, {steps:,} in a workflow",
            PEER,
            times.median("calls") / total * 1e6,
            times.median(str(steps)) / total * 1e6,
            "µs",
            times.ratio(str(steps), "calls"),
            figure_below(5),
            CRONFLOW,
        )
    for title, peer, name, base in (
        ("builder step, 10,000 in a workflow", "1,000 in it", "10000", "1000"),
        ("builder step, payload of 64 MB", "no payload", "large", "10"),
    ):
        yield Row(
            title,
            peer,
            times.median(base) / total * 1e6,
            times.median(name) / total * 1e6,
            "µs",
            times.ratio(name, base),
            cost(1.25),
            "the cost of a step does not depend on it",
        )
