"""The roads that are modelled, each as it is in cpp/core, and as it was or could be."""

from __future__ import annotations

from collections.abc import Callable

from machine import Costs
from pool_model import PACE, Load, Outcome, Queue, Stack
from run_model import Claim, Range, Wavefront

Scenario = Callable[[Load, Costs], Outcome]

# As it is.
ROADS: dict[str, Scenario] = {
    "stack": lambda load, costs: Stack(load, costs, PACE).run(),
    "queue": lambda load, costs: Queue(load, costs, PACE).run(),
    "range": lambda load, costs: Range(load, costs, 2, PACE, first_victim=False).run(),
    "claim": lambda load, costs: Claim(load, costs, 1).run(),
    "wavefront": lambda load, costs: Wavefront(load, costs, 1, one_victim=True).run(),
}
# With the wake-up chain, and with all that was mended undone.
BEFORE: dict[str, Scenario] = {
    "stack": lambda load, costs: Stack(load, costs, 0).run(),
    "queue": lambda load, costs: Queue(load, costs, 0).run(),
    "range": lambda load, costs: Range(load, costs, 1, 0, first_victim=True).run(),
    "wavefront": lambda load, costs: Wavefront(load, costs, 1, one_victim=False).run(),
}
# Runs whose participants call two each: not built yet.
COULD_BE: dict[str, Scenario] = {
    "claim": lambda load, costs: Claim(load, costs, 2).run(),
    "claim of 16": lambda load, costs: Claim(load, costs, 2, chunk=16).run(),
    "wavefront": lambda load, costs: Wavefront(load, costs, 2, one_victim=True).run(),
}
