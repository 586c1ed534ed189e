"""Compares the models with this machine, at one worker and at two.

python benchmarks/scaling/validate.py [--driver build/.../benchmarks/cpp/scaling]

The costs of the machine's steps are measured first; what a task costs by itself is
taken from one worker with empty bodies.  Everything else is predicted.  Runs are short
and many, one worker and two by turns, and the fastest fiftieth counts: on a shared
machine the others tell how busy it was, and whether there was a second core to
be had.
"""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import replace
from pathlib import Path

from machine import Costs
from pool_model import Load
from scenarios import ROADS

LENGTHS = (250, 1_000, 10_000)
SWAPS = 300
TURN = 14  # ns: a word that two cores add to all the time, on a quiet machine
SPAN = 1_000_000  # ns: how long one worker takes for what is measured at once


class Driver:
    """The program that takes the roads, benchmarks/cpp/scaling.cpp."""

    def __init__(self, path: Path, repeats: int) -> None:
        self._path = path
        self._repeats = repeats

    def samples(
        self, road: str, tasks: int, ns: float, workers: int, n: int
    ) -> list[list[float]]:
        """What each repeat printed."""
        words = [self._path, road, str(tasks), str(round(ns)), str(workers), str(n)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return [
            [float(word) for word in row.split()] for row in done.stdout.splitlines()
        ]

    def fastest(self, road: str, tasks: int, ns: float, *workers: int) -> list[float]:
        """For each number of workers, by turns: ns from the first task to the last.

        As if the bodies had the length that they should have, since the machine has
        times at which it is slower.
        """
        found: list[list[float]] = [[] for _ in workers]
        for _ in range(self._repeats):
            for samples, k in zip(found, workers, strict=True):
                for body, took in self.samples(road, tasks, ns, k, 8):
                    samples.append(took * ns / body if ns else took)
        return [sorted(samples)[len(samples) // 50] for samples in found]

    def wake(self) -> tuple[float, float]:
        """Medians of the waker's part and of the whole."""
        rows = [
            row
            for _ in range(self._repeats)
            for row in self.samples("wake", 1, 0, 1, 4)
        ]
        _, issue, land = (
            sorted(column)[len(rows) // 2] for column in zip(*rows, strict=True)
        )
        return issue, land


def measured_costs(driver: Driver) -> Costs:
    """Of this machine, at this time."""
    n = 20_000
    (own,) = driver.fastest("line", n, 0, 1)
    (swapped,) = driver.fastest("swap", SWAPS, 0, 2)
    issue, land = driver.wake()
    (stack,) = driver.fastest("stack", n, 0, 1)
    (queue,) = driver.fastest("queue", n, 0, 1)
    (wavefront,) = driver.fastest("wavefront", n, 0, 1)
    costs = replace(
        Costs(),
        own=own / n,
        turn=TURN,
        # More is a thread that was not running.
        foreign=min(swapped / (2 * SWAPS), Costs.foreign),
        issue=issue,
        land=land,
    )
    push = stack / n / 2
    return replace(
        costs,
        push=push,
        pop=push,
        submit=max(queue / n - push - costs.visit, costs.own),
        node=wavefront / n,
    )


def main() -> None:
    """Prints the costs, and predicted and measured times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--driver", type=Path, default=Path("build/dev/benchmarks/cpp/scaling")
    )
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS, help="ns")
    options = parser.parse_args()
    driver = Driver(options.driver.resolve(), options.repeats)
    costs = measured_costs(driver)
    print(costs, end="\n\n")
    print("| road | task | workers | predicted, ns per task | measured | ratio |")
    print("|---|---|---|---|---|---|")
    for length in options.lengths:
        tasks = SPAN // length
        for road, scenario in ROADS.items():
            for workers, took in zip(
                (1, 2), driver.fastest(road, tasks, length, 1, 2), strict=True
            ):
                outcome = scenario(Load(tasks, length, workers), costs)
                predicted, measured = outcome.took / tasks, took / tasks
                print(
                    f"| {road} | {length / 1000:g} µs | {workers} | {predicted:.0f} "
                    f"| {measured:.0f} | {predicted / measured:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
