"""Timing that survives a noisy machine: contestants take turns, pairs are compared.

A shared machine changes speed from one minute to the next, so a figure taken alone
says little. Here all contestants of a comparison run once per round, in an order that
rotates from round to round, and a ratio is formed inside each round. The median of
those ratios is reported with its smallest and largest value.

The cyclic garbage collector treats all contestants alike: a full collection before each
timed section, and the collector enabled inside it, as in a user's program.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Thunk = Callable[[], object]

#: A difference below this factor is not a difference on a shared machine.
SAME = 1.02


@dataclass(frozen=True)
class Spread:
    """Median of repeated figures with the smallest and the largest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """Summarise ``figures`` (at least one)."""
        return cls(statistics.median(figures), min(figures), max(figures))


@dataclass(frozen=True)
class Times:
    """Seconds per contestant and round, in the order of the rounds."""

    seconds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Median time of one contestant, in seconds."""
        return statistics.median(self.seconds[name])

    def ratio(self, numerator: str, denominator: str) -> Spread:
        """Ratio of two contestants, formed inside each round."""
        pairs = zip(self.seconds[numerator], self.seconds[denominator], strict=True)
        return Spread.of([top / bottom for top, bottom in pairs])


def stopwatch(run: Thunk, *, collect: bool = True) -> float:
    """Seconds that one call of ``run`` takes, after a full garbage collection.

    A call that makes no Python objects needs none: ``collect=False`` saves its time.
    """
    if collect:
        gc.collect()
    start = time.perf_counter_ns()
    kept = run()
    elapsed = time.perf_counter_ns() - start
    del kept  # results are freed outside the timed section
    return elapsed * 1e-9


def interleave(
    contestants: Mapping[str, Thunk],
    repeats: int,
    *,
    warmup: int = 1,
    collect: bool = True,
) -> Times:
    """Time every contestant once per round.

    Parameters
    ----------
    contestants : mapping of str to callable
        What to run, by name. Return values are dropped after the clock has stopped.
    repeats : int
        Number of timed rounds.
    warmup : int
        Number of rounds before them that are not timed.
    collect : bool
        See `stopwatch`.

    Returns
    -------
    Times
        One figure per contestant and timed round.
    """
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warmup + repeats):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            elapsed = stopwatch(contestants[name], collect=collect)
            if turn >= warmup:
                seconds[name].append(elapsed)
    return Times(seconds)


def contest(
    contestants: Mapping[str, Thunk],
    repeats: int,
    *,
    warmup: int = 0,
    beside: Mapping[str, Thunk] | None = None,
) -> Times:
    """Time contestants that must all give the same result.

    The run that checks the results serves as the warm-up.  What is timed `beside` them,
    in the same rounds, may give another one.

    Raises
    ------
    ValueError
        When a contestant's result differs from the first one's.
    """
    names = list(contestants)
    expected = contestants[names[0]]()
    for name in names[1:]:
        if contestants[name]() != expected:
            raise ValueError(f"{name!r} gives another result than {names[0]!r}")
    return interleave({**contestants, **(beside or {})}, repeats, warmup=warmup)
