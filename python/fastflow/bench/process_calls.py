"""What the benchmarks of processes call: other processes import it from here."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def same(item: object) -> object:
    """Return the item."""
    return item


def nothing() -> None:
    """Do nothing."""


def spin(seconds: float) -> None:
    """Compute in pure Python for so long, by the processor's time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def loop(count: int) -> int:
    """Compute in pure Python: `count` rounds."""
    total = 0
    for number in range(count):
        total += number & 3
    return total


def part_of(array: np.ndarray, index: int) -> float:
    """Read a little of a large array."""
    return float(array[index])


def megabytes(count: int) -> np.ndarray:
    """Return an array of so many MB."""
    import numpy as np

    return np.full(count * 131_072, 1.0)


def increased(array: np.ndarray) -> np.ndarray:
    """Return another one as large."""
    return array + 1


def die() -> None:
    """End the process that this runs in."""
    os.kill(os.getpid(), signal.SIGKILL)


def process_id(_: object = None) -> int:
    """Return the process's number."""
    return os.getpid()
