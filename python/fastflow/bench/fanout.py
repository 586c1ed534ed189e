"""Fan-out over many small items: ``map``, ``imap`` and ``for_each``."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool

from fastflow.bench import subject as ff
from fastflow.bench.measure import interleave
from fastflow.bench.memory import in_fresh_process
from fastflow.bench.rows import NOT_SLOWER, Row, Settings, Skip, cost, figure_below
from fastflow.bench.workloads import drain, noop


def map_of(settings: Settings, n: int) -> Iterator[Row]:
    """``fastflow.map`` over ``n`` items against bare ``list(map)`` and a peer."""
    items = range(n)
    # Small sizes are repeated inside one timed section: the clock has its limits.
    loops = max(1, 100_000 // n)

    def ours() -> None:
        for _ in range(loops):
            ff.map(noop, items, executor=executor)

    def bare() -> None:
        for _ in range(loops):
            list(builtins.map(noop, items))

    def threads() -> None:
        for _ in range(loops):
            pool.map(noop, items)

    with (
        ff.Executor(settings.workers) as executor,
        ThreadPool(settings.workers) as pool,
    ):
        times = interleave(
            {"ours": ours, "bare": bare, "threads": threads}, settings.repeats
        )
    per_item = 1e9 / (n * loops)
    for name, peer, goal in (
        ("bare", "bare list(map)", cost(1.5)),
        ("threads", "multiprocessing ThreadPool.map", NOT_SLOWER),
    ):
        yield Row(
            f"map no-op, {n:,} items",
            peer,
            times.median(name) * per_item,
            times.median("ours") * per_item,
            "ns",
            times.ratio("ours", name),
            goal,
        )


def map_noop(settings: Settings) -> Iterator[Row | Skip]:
    """``fastflow.map`` from a thousand items to a million."""
    for n in (1_000, 10_000, 100_000, settings.size(1_000_000, 300_000)):
        yield from map_of(settings, n)


def imap_endless(settings: Settings) -> Iterator[Row | Skip]:
    """``fastflow.imap`` over an endless generator: time and memory."""
    n = settings.size(1_000_000, 100_000)
    with ff.Executor(settings.workers) as executor:
        times = interleave(
            {
                "ours": lambda: drain(
                    itertools.islice(
                        ff.imap(noop, itertools.count(), executor=executor), n
                    )
                ),
                "bare": lambda: drain(
                    itertools.islice(builtins.map(noop, itertools.count()), n)
                ),
            },
            settings.repeats,
        )
    title = f"imap no-op over an endless generator, {n:,} taken"
    per_item = 1e9 / n
    yield Row(
        title,
        "bare map",
        times.median("bare") * per_item,
        times.median("ours") * per_item,
        "ns",
        times.ratio("ours", "bare"),
        cost(2.0),
    )
    small, large = n // 10, n
    ours = in_fresh_process("imap", small, large)
    bare = in_fresh_process("bare", small, large)
    yield Row(
        f"imap, memory growth from {small:,} to {large:,} items",
        "bare map",
        bare,
        ours,
        "B/item",
        None,
        figure_below(1.0),
        "peak resident memory in fresh processes",
    )


def for_each_scaling(settings: Settings) -> Iterator[Row | Skip]:
    """Whether an item of ten million costs what an item of one million costs."""
    large = settings.size(10_000_000, 1_000_000)
    small = large // 10
    with ff.Executor(settings.workers) as executor:

        def ten_times() -> None:
            for _ in range(10):
                ff.for_each(noop, range(small), executor=executor)

        times = interleave(
            {
                "large": lambda: ff.for_each(noop, range(large), executor=executor),
                "small": ten_times,
            },
            settings.repeats,
        )
    yield Row(
        f"for_each no-op, {large:,} items",
        f"itself, {small:,} items",
        times.median("small") / large * 1e9,
        times.median("large") / large * 1e9,
        "ns",
        times.ratio("large", "small"),
        cost(1.1),
    )
