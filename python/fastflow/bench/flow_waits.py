"""Flows whose tasks wait: on threads, and in the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from fastflow.bench import subject as ff
from fastflow.bench.measure import interleave
from fastflow.bench.rows import Row, Settings, Skip, figure_below
from fastflow.flows.flow import Flow


def sleep(_: object) -> None:
    """Wait for a tenth of a second in a thread."""
    time.sleep(0.1)


def sleep_shortly(_: object) -> None:
    """Wait for ten milliseconds in a thread."""
    time.sleep(0.01)


async def branch(_: object) -> None:
    """Wait for ten milliseconds in the event loop."""
    await asyncio.sleep(0.01)


async def gather(count: int) -> None:
    """Await so many branches, as a program without flows does."""
    await asyncio.gather(*(branch(None) for _ in range(count)))


def independent(names: list[str], fn: object) -> Flow:
    """A flow of tasks that don't wait for each other."""
    text = "flow Waits:\n" + "\n".join(f"    {name}" for name in names)
    return Flow(text, registry=dict.fromkeys(names, fn))  # type: ignore[arg-type]


def sleeping_tasks(settings: Settings) -> Iterator[Row | Skip]:
    """Four sleeps in four workers take as long as one."""
    flow = independent([f"t{i}" for i in range(4)], sleep)
    with ff.Executor(4) as executor, ThreadPoolExecutor(4) as pool:
        times = interleave(
            {
                "ours": lambda: flow.run(executor=executor),
                "theirs": lambda: list(pool.map(sleep, range(4))),
            },
            settings.repeats,
        )
    yield Row(
        "flow, 4 × sleep(0.1) side by side",
        "ThreadPoolExecutor.map",
        times.median("theirs"),
        times.median("ours"),
        "s",
        times.ratio("theirs", "ours"),
        figure_below(0.105),
    )


def async_branches(settings: Settings) -> Iterator[Row | Skip]:
    """A thousand coroutines of 10 ms each."""
    flow = independent([f"t{i}" for i in range(1_000)], branch)
    times = interleave(
        {
            "ours": lambda: flow.run(),
            "theirs": lambda: asyncio.run(gather(1_000)),
        },
        settings.repeats,
    )
    yield Row(
        "flow, 1,000 async branches of 10 ms",
        "asyncio.gather",
        times.median("theirs"),
        times.median("ours"),
        "s",
        times.ratio("theirs", "ours"),
        figure_below(0.05),
    )
