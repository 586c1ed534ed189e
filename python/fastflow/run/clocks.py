"""Where and when calls were made in other processes, as it is told here.

All processes of a machine have one clock, that of ``time.perf_counter``. Other machines
have others: what is known of one is that a call began after it was sent and ended
before it was back. Each call says so again; where all of them agree, the clock can only
be in a narrow range, and its middle is taken.
"""

from __future__ import annotations

import itertools
import os
import platform
import threading
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["CLOCKS", "Clocks", "Where"]

_MOST = 10_000  # workers whose names are known; then they are given anew


class Where(NamedTuple):
    """Where calls were made."""

    machine: str
    process: int
    thread: int

    @classmethod
    def here(cls) -> Where:
        """Return this one."""
        return cls(platform.node(), os.getpid(), threading.get_ident())


class Clocks:
    """The clocks of other machines, and the names of workers.

    Threads: dictionaries only, and what is lost where two write at the same time is a
    number, or how narrow a range has become.
    """

    def __init__(self) -> None:
        self._ranges: dict[str, tuple[float, float]] = {}
        """By machine: what is to be added to its times, at least and at most."""
        self._names: dict[Where, str] = {}
        self._threads: dict[tuple[str, int], Iterator[int]] = {}

    def start(
        self, machine: str, began: float, seconds: float, sent: float, back: float
    ) -> float:
        """Return when a call began, by ``time.perf_counter`` here.

        Parameters
        ----------
        machine : str
        began, seconds : float
            By its ``time.perf_counter``.
        sent, back : float
            When the call left and when it was back, by the one here.
        """
        if machine == platform.node():
            return began
        least, most = sent - began, back - seconds - began
        known = self._ranges.get(machine)
        if known is not None:
            low, high = max(known[0], least), min(known[1], most)
            # Else clocks have run apart, or it is another machine of that name.
            if low <= high:
                least, most = low, high
        self._ranges[machine] = least, most
        # Containers are machines by name, and have our clock.
        return began + (0.0 if least <= 0 <= most else (least + most) / 2)

    def name(self, where: Where) -> str | int:
        """Return what a worker is called; of a thread of this process, its number."""
        machine = platform.node()
        if where.machine == machine and where.process == os.getpid():
            return where.thread
        name = self._names.get(where)
        if name is None:
            if len(self._names) >= _MOST:
                self._names.clear()
                self._threads.clear()
            numbers = self._threads.setdefault(where[:2], itertools.count(1))
            number = next(numbers)
            name = f"process {where.process}"
            if where.machine != machine:
                name = f"{where.machine} {name}"
            if number > 1:
                name += f" thread {number}"
            self._names[where] = name
        return name


CLOCKS = Clocks()
"""Those of this process."""
