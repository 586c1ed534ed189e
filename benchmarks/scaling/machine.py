"""A machine of many cores, as far as a scheduler's words can feel it.

Deterministic discrete events: a core is a generator that yields how many nanoseconds it
is busy, or ``None`` to wait until another one calls :meth:`Machine.resume`.  Times are
exact, ties are settled by the order of their making, and there is no chance in it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Generator
from dataclasses import dataclass

Core = Generator[float | None, None, None]


@dataclass(frozen=True)
class Costs:
    """What the machine's steps take, in nanoseconds; the defaults were measured here.

    ``scaling line``, ``swap`` and ``wake`` measure them anew (validate.py prints them).
    """

    hit: float = 1  # a word in the own cache
    own: float = 5  # an atomic read-modify-write there
    foreign: float = 75  # a line that another core wrote last: 50 to 100
    turn: float = 50  # a contended line stays with each core for so long
    issue: float = 5_000  # the waker's part of a wake-up: 2 to 9 us
    land: float = 20_000  # from the call to the woken thread's first step: 7 to 30 us
    push: float = 20  # a job onto the own stack, its part in the pool included
    pop: float = 22  # and off again
    submit: float = 25  # a job from outside
    visit: float = 5  # a job in a list taken over as a whole: turned round and put up
    node: float = 7  # a graph's node: taking it, its edges, the lock
    spin: float = 40_000  # how long a worker without work looks on
    grain: float = 20_000  # aimed-at length of a piece of a range


class Line:
    """A line of the cache: who has it, and until when it is under way."""

    __slots__ = ("busy", "owner", "readers")

    def __init__(self) -> None:
        self.busy = 0.0
        self.owner = -1
        self.readers: set[int] = set()


class Machine:
    """Cores and the time."""

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        self.now = 0.0
        self._events: list[tuple[float, int, Core]] = []
        self._order = itertools.count()

    def resume(self, core: Core, after: float = 0) -> None:
        """Let a core go on; it waits, or has not begun."""
        heapq.heappush(self._events, (self.now + after, next(self._order), core))

    def run(self) -> None:
        """Until nothing happens any more."""
        while self._events:
            self.now, _, core = heapq.heappop(self._events)
            delay = next(core, None)
            if delay is not None:
                self.resume(core, delay)

    def write(self, line: Line, core: int) -> float:
        """How long a read-modify-write by this core takes; it gets the line."""
        if line.owner == core and len(line.readers) <= 1:
            return self.costs.own
        line.owner = core
        line.readers = {core}
        return self._fetch(line, self.costs.turn)

    def read(self, line: Line, core: int) -> float:
        """How long a read takes."""
        if core in line.readers or line.owner < 0:
            return self.costs.hit
        line.readers.add(core)
        return self._fetch(line, self.costs.own)

    def _fetch(self, line: Line, keeps: float) -> float:
        begin = max(self.now, line.busy)
        line.busy = begin + keeps
        return begin - self.now + self.costs.foreign
