"""Bytes per node, one figure per process: ``python -m fastflow.bench.graph_memory``.

What counts is the largest resident memory during a run, above that of a process that
has run a small graph: the built graph with all that a run adds. Memory that was needed
for building alone does not count, nor do the arrays of edges, which are gone by then.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fastflow.bench.graph_peer import VARIABLE, PeerGraph, load_peers
from fastflow.bench.graph_shapes import SHAPES, Shape
from fastflow.bench.measure import Spread
from fastflow.bench.memory import resident_bytes
from fastflow.bench.peer_library import PeerMissingError
from fastflow.bench.rows import Row, Settings, Skip, cost, figure_below

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_since_reset(run: Callable[[], object]) -> int:
    """Largest resident memory during a call, in bytes.

    Raises
    ------
    OSError
        Elsewhere than on Linux, where the peak can't be reset.
    """
    _RESET.write_text("5")
    kept = run()
    line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM"))
    del kept
    return int(line.split()[1]) * 1024


def prepare(kind: str, shape: Shape, workers: int) -> Callable[[], object]:
    """Build the graph as "ours" or for a peer; return a way to run it."""
    if kind == "ours":
        from fastflow.bench import subject as ff

        graph = ff.Graph.from_edges(shape.n, shape.src, shape.dst)
        kernel = ff.kernels.noop
        return lambda: graph.run(kernel, max_workers=workers)
    peers = load_peers()
    engine = PeerGraph(peers, shape).engine(kind, workers)
    return lambda: engine.run(peers.noop)


def footprint(kind: str, key: str, n: int, workers: int) -> float:
    """Bytes per node of a graph that runs."""
    prepare(kind, SHAPES[key](64), workers)()
    before = resident_bytes()
    run = prepare(kind, SHAPES[key](n), workers)
    run()
    return (peak_since_reset(run) - before) / SHAPES[key](n).n


def in_fresh_process(kind: str, key: str, n: int, workers: int) -> float:
    """Take one figure of this module in a new interpreter.

    Raises
    ------
    OSError
        Where it can't be taken; the message says why.
    """
    arguments = [kind, key, str(n), str(workers)]
    command = [sys.executable, "-m", "fastflow.bench.graph_memory", *arguments]
    # What is freed goes back to the system: else glibc would keep freed arrays.
    special = {"MALLOC_MMAP_THRESHOLD_": "65536"}
    try:
        special[VARIABLE] = load_peers().path
    except PeerMissingError as error:
        if kind != "ours":
            raise OSError(str(error)) from error
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | special,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OSError(reason)
    return float(done.stdout)


def graph_bytes(settings: Settings) -> Iterator[Row | Skip]:
    """Bytes per node of every shape, plan and run."""
    from fastflow.bench import subject as ff

    n = settings.size(1_000_000, 200_000)
    for key, make in SHAPES.items():
        shape = make(n)
        title = f"bytes per node, {shape.name}, {shape.n:,} nodes, plan + run"
        own = ff.Graph.from_edges(shape.n, shape.src, shape.dst).nbytes / shape.n
        try:
            ours = in_fresh_process("ours", key, n, settings.workers)
        except OSError as error:
            yield Skip(title, str(error))
            continue
        theirs, note = {}, [f"nbytes says {own:.1f}"]
        for kind, name in (("taskflow", "Taskflow"), ("tbb_flow", "oneTBB flow graph")):
            if settings.quick and key != "random":
                continue
            try:
                theirs[name] = in_fresh_process(kind, key, n, settings.workers)
            except OSError:
                continue
        peer = min(theirs, key=theirs.__getitem__, default="")
        note += [f"{name} {theirs[name]:.0f}" for name in theirs if name != peer]
        yield Row(
            title,
            peer or "no peer measured",
            theirs.get(peer, 0.0),
            ours,
            "B",
            Spread.of([theirs[peer] / ours]) if peer else None,
            figure_below(round(4 * shape.edges / shape.n + 12, 2)),
            ", ".join(note),
        )


def graph_bytes_growth(settings: Settings) -> Iterator[Row | Skip]:
    """Whether ten times the nodes take ten times the memory."""
    large = settings.size(10_000_000, 1_000_000)
    small = large // 10
    title = f"bytes per node, random, {large:,} nodes"
    try:
        figures = {
            n: statistics.median(
                in_fresh_process("ours", "random", n, settings.workers)
                for _ in range(settings.rounds(3))
            )
            for n in (large, small)
        }
    except OSError as error:
        yield Skip(title, str(error))
        return
    yield Row(
        title,
        f"itself, {small:,} nodes",
        figures[small],
        figures[large],
        "B",
        Spread.of([figures[large] / figures[small]]),
        cost(1.05),
    )


if __name__ == "__main__":
    _kind, _key, *_numbers = sys.argv[1:]
    _figure = footprint(_kind, _key, *map(int, _numbers))
    sys.stdout.write(f"{_figure}\n")
