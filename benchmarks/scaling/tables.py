"""Prints the tables of docs/scaling.md: ``python benchmarks/scaling/tables.py``."""

from __future__ import annotations

from collections.abc import Iterable

from machine import Costs
from pool_model import Load, Outcome
from scenarios import BEFORE, COULD_BE, ROADS, Scenario

WORKERS = (1, 2, 8, 32, 128)
LENGTHS = (100, 1_000, 10_000, 100_000, 1_000_000)
TASKS = 25_600  # 200 for each of 128 workers


def length_name(ns: float) -> str:
    """As people write it."""
    return f"{ns / 1000:g} µs" if ns < 1_000_000 else f"{ns / 1_000_000:g} ms"


def bar(share: float) -> str:
    """Ten steps of text."""
    return "#" * round(10 * share) + "." * (10 - round(10 * share))


def row(cells: Iterable[object]) -> None:
    """A row of a table."""
    print("| " + " | ".join(map(str, cells)) + " |")


def outcomes(scenario: Scenario, length: float) -> list[Outcome]:
    """For each number of workers."""
    return [scenario(Load(TASKS, length, workers), Costs()) for workers in WORKERS]


def efficiencies(title: str, roads: dict[str, Scenario]) -> None:
    """Efficiency at each size and number of workers."""
    print(f"\n{title}\n")
    row(["road", "task", *WORKERS, f"at {WORKERS[-1]}", "tasks per µs there"])
    row(["---"] * (4 + len(WORKERS)))
    for name, scenario in roads.items():
        for length in LENGTHS:
            found = outcomes(scenario, length)
            shares = [f"{outcome.efficiency:.2f}" for outcome in found]
            last = found[-1]
            plot, speed = bar(last.efficiency), f"{last.throughput:.1f}"
            row([name, length_name(length), *shares, f"`{plot}`", speed])


def ramp(outcome: Outcome, share: float) -> str:
    """When so many of the workers had work, in microseconds; a dash for never."""
    wanted = max(1, round(share * outcome.load.workers))
    return (
        f"{outcome.awake[wanted - 1] / 1000:.0f}"
        if len(outcome.awake) >= wanted
        else "–"
    )


def ramps(title: str, roads: dict[str, Scenario]) -> None:
    """How long it takes until workers are awake, with tasks long enough for all."""
    print(f"\n{title}\n")
    row(["road", *(f"{n}: half / all" for n in WORKERS[1:])])
    row(["---"] * len(WORKERS))
    for name, scenario in roads.items():
        found = outcomes(scenario, 100_000)[1:]
        row(
            [name, *(f"{ramp(outcome, 0.5)} / {ramp(outcome, 1)}" for outcome in found)]
        )


def main() -> None:
    """All tables."""
    efficiencies("Efficiency, as it is", ROADS)
    efficiencies("Efficiency, as it was", BEFORE)
    efficiencies("Efficiency, as it could be", COULD_BE)
    ramps("µs until workers have work, as it is", ROADS)
    ramps("As it was", BEFORE)
    ramps("As it could be", COULD_BE)


if __name__ == "__main__":
    main()
