"""Memory figures, one per process: ``python -m fastflow.bench.memory``."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastflow.bench.workloads import drain, noop, nothing


def resident_bytes() -> int:
    """Resident memory of this process, in bytes (elsewhere than Linux: its peak)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return peak_bytes()


def peak_bytes() -> int:
    """Largest resident memory so far, in bytes.

    Raises
    ------
    OSError
        Where the platform has no ``resource`` module (Windows).
    """
    try:
        import resource
    except ImportError:
        raise OSError("memory is measured on Linux and macOS only") from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def pending(executor_type: Callable[[int], ThreadPoolExecutor], n: int) -> float:
    """Bytes per pending submit: ``n`` tasks queued behind two that block."""
    gate = threading.Event()
    with executor_type(2) as executor:
        started = threading.Barrier(3)

        def block() -> None:
            started.wait()
            gate.wait()

        blockers = [executor.submit(block) for _ in range(2)]
        started.wait()  # both workers exist and are busy: nothing runs from here on
        futures: list[object] = [None] * n
        before = resident_bytes()
        for i in range(n):
            futures[i] = executor.submit(nothing)
        after = resident_bytes()
        gate.set()
        for blocker in blockers:
            blocker.result()
    return (after - before) / n


def growth(kind: str, small: int, large: int) -> float:
    """Bytes per item by which the peak grows between two lengths of a lazy map."""
    from fastflow.bench import subject as ff

    def take(n: int) -> None:
        lazy = ff.imap if kind == "imap" else map
        drain(itertools.islice(lazy(noop, itertools.count()), n))

    take(small)
    before = peak_bytes()
    take(large)
    return (peak_bytes() - before) / (large - small)


def in_fresh_process(kind: str, *sizes: int) -> float:
    """Run one measurement of this module in a new interpreter.

    Parameters
    ----------
    kind : {"ours", "stdlib", "imap", "bare"}
        What to measure.
    *sizes : int
        One number of tasks, or two lengths for the lazy kinds.

    Returns
    -------
    float
        Bytes per item.
    """
    command = [sys.executable, "-m", "fastflow.bench.memory", kind, *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return float(done.stdout)


def main(arguments: list[str]) -> None:
    """Print one figure: bytes per item."""
    kind, *sizes = arguments
    numbers = [int(size) for size in sizes]
    if kind == "ours":
        from fastflow.bench import subject as ff

        figure = pending(ff.Executor, numbers[0])
    elif kind == "stdlib":
        figure = pending(ThreadPoolExecutor, numbers[0])
    else:
        figure = growth(kind, *numbers)
    sys.stdout.write(f"{figure}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
