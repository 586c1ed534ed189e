"""Reading and compiling the text of a large flow: time, and memory in a new process.

``python -m fastflow.bench.flow_text N`` prints the bytes per edge.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from fastflow.bench.measure import Spread, interleave
from fastflow.bench.memory import resident_bytes
from fastflow.bench.rows import Goal, Row, Settings, Skip, figure_below
from fastflow.bench.workloads import noop
from fastflow.flows.flow import Flow

PEER = "str.split() of each line"


def random_text(edges: int) -> tuple[str, dict[str, Callable[..., Any]]]:
    """A flow in which each task waits for an earlier one, and its tasks."""
    rng = random.Random(edges)
    lines = [f"    task_{rng.randrange(i)} -> task_{i}" for i in range(1, edges + 1)]
    registry: dict[str, Callable[..., Any]]
    registry = dict.fromkeys((f"task_{i}" for i in range(edges + 1)), noop)
    return "flow Large:\n" + "\n".join(lines), registry


def split_all(text: str) -> None:
    """Look at every line, and do nothing with it."""
    for line in text.split("\n"):
        line.split()


def parse_and_compile(settings: Settings) -> Iterator[Row | Skip]:
    """Edges per second from text to a flow that could run."""
    edges = settings.size(1_000_000, 100_000)
    text, registry = random_text(edges)
    times = interleave(
        {
            "split": lambda: split_all(text),
            "flow": lambda: Flow(text, registry=registry),
        },
        settings.rounds(3),
        warmup=0,
    )
    yield Row(
        f"flow, parse + compile, {edges:,} edges",
        PEER,
        edges / times.median("split"),
        edges / times.median("flow"),
        "edges/s",
        times.ratio("split", "flow"),
        Goal(200_000, at_least=True, figure=True),
    )


def bytes_per_edge(settings: Settings) -> Iterator[Row | Skip]:
    """Memory of a compiled flow."""
    edges = settings.size(1_000_000, 100_000)
    title = f"flow, bytes per edge, {edges:,} edges"
    command = [sys.executable, "-m", "fastflow.bench.flow_text", str(edges)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        yield Skip(title, done.stderr.strip()[-200:])
        return
    text_bytes, ours = map(float, done.stdout.split())
    yield Row(
        title,
        "the text itself",
        text_bytes,
        ours,
        "B",
        Spread.of([ours / text_bytes]),
        figure_below(2_048),
        "resident memory while it is compiled included",
    )


def main(edges: int) -> None:
    """Print bytes per edge: of the text, and of the flow with all that made it."""
    text, registry = random_text(edges)
    before = resident_bytes()
    flow = Flow(text, registry=registry)
    after = resident_bytes()
    assert flow.name == "Large"
    sys.stdout.write(f"{len(text) / edges} {(after - before) / edges}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
