"""What a benchmark reports: a row with both figures, their ratio and the goal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastflow.bench.measure import SAME, Spread


@dataclass(frozen=True)
class Goal:
    """A bound on the ratio of a row, or on our own figure.

    Attributes
    ----------
    bound : float
        The limit itself.
    at_least : bool
        Whether the measured value must reach the bound (else: stay below it).
    figure : bool
        Whether the bound is on our figure in the row's unit (else: on the ratio).
    """

    bound: float
    at_least: bool
    figure: bool = False

    @property
    def text(self) -> str:
        """The goal as printed in the table."""
        sign = "≥" if self.at_least else "≤"
        if self.figure:
            return f"ours {sign} {self.bound:g}"
        if not self.at_least and self.bound == SAME:
            return "not slower"
        return f"{sign} {self.bound:g} ×"


def faster(times: float) -> Goal:
    """Goal: at least ``times`` as fast as the peer."""
    return Goal(times, at_least=True)


def cost(times: float) -> Goal:
    """Goal: at most ``times`` the peer's time."""
    return Goal(times, at_least=False)


def figure_below(bound: float) -> Goal:
    """Goal: our own figure at most ``bound``."""
    return Goal(bound, at_least=False, figure=True)


def figure_above(bound: float) -> Goal:
    """Goal: our own figure at least ``bound``."""
    return Goal(bound, at_least=True, figure=True)


NOT_SLOWER = cost(SAME)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    workload : str
        What was run.
    peer : str
        Against whom.
    peer_figure, our_figure : float
        Medians in ``unit``.
    unit : str
        Unit of both figures.
    ratio : Spread or None
        ``peer / ours`` for a goal of the form "so many times faster" (and without a
        goal), ``ours / peer`` for one of the form "at most so many times the cost".
        None where a ratio means nothing.
    goal : Goal or None
        None where the row is for information.
    note : str
        What else a reader has to know.
    """

    workload: str
    peer: str
    peer_figure: float
    our_figure: float
    unit: str
    ratio: Spread | None
    goal: Goal | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        if self.goal.figure or self.ratio is None:
            value = self.our_figure
        else:
            value = self.ratio.median
        if self.goal.at_least:
            return value >= self.goal.bound
        return value <= self.goal.bound


@dataclass(frozen=True)
class Skip:
    """A comparison that did not run, and why."""

    workload: str
    why: str


@dataclass(frozen=True)
class Settings:
    """How to run the benchmarks.

    Attributes
    ----------
    workers : int
        Worker threads on both sides.
    repeats : int
        Timed rounds of each comparison.
    quick : bool
        Smaller sizes: less steady, done within a minute.
    """

    workers: int = 2
    repeats: int = 7
    quick: bool = False

    def size(self, full: int, quick: int) -> int:
        """Pick the number of items for this run."""
        return quick if self.quick else full

    def rounds(self, most: int) -> int:
        """Pick the number of rounds of a comparison that is slow by itself."""
        return min(most, self.repeats)


Benchmark = Callable[[Settings], Iterator[Row | Skip]]
