"""Other libraries' flows, where they are installed: Taskinity and Prefect."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from fastflow.bench.measure import interleave
from fastflow.bench.rows import Row, Settings, Skip, faster
from fastflow.flows.flow import Flow, run_flow_from_dsl
from fastflow.flows.function import flow as flow_of
from fastflow.run.registry import TaskRegistry

TASKINITY = "Taskinity, one after another"
PREFECT = "Prefect, its own server in a temporary directory"


def nothing() -> None:
    """Do nothing."""


def ignore(_: object) -> None:
    """Do nothing with a value."""


def nap(_: object) -> None:
    """Wait for a tenth of a second in a thread."""
    time.sleep(0.1)


def chain(tasks: int) -> str:
    """A flow of tasks, each after the one before, as both libraries write it."""
    lines = [f"    t{i} -> t{i + 1}" for i in range(tasks - 1)]
    return "\n".join(["flow Chain:", *lines])


@contextmanager
def taskinity() -> Iterator[Any]:
    """Load Taskinity's core by its path: the package itself can't be imported.

    It needs three packages that it doesn't ask for. Its logging is kept off, and its
    files out of the place where it is installed.
    """
    found = importlib.util.find_spec("taskinity")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0], "core", "taskinity_core.py")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with tempfile.TemporaryDirectory() as folder:
        folders = {"FLOW_DIR": folder, "LOG_DIR": folder}
        with mock.patch.dict(os.environ, folders):
            module = _load("taskinity_core", path)
        root.handlers[:], root.level = handlers, level
        logging.getLogger("taskinity").setLevel(logging.CRITICAL)
        yield module


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def taskinity_flow(settings: Settings) -> Iterator[Row | Skip]:
    """A text of no-op tasks in a chain: read and run, and compiled once."""
    tasks = 1_000
    if importlib.util.find_spec("taskinity") is None:
        yield Skip("flow against Taskinity", "not installed (pip install taskinity)")
        return
    text = chain(tasks)
    registry: dict[str, Callable[..., Any]]
    registry = dict.fromkeys((f"t{i}" for i in range(tasks)), nothing)
    compiled = Flow(text, registry=registry)
    with taskinity() as peer:
        peer.REGISTRY.update((name, {"function": nothing}) for name in registry)
        if set(peer.run_flow_from_dsl(text)) != set(compiled.run(executor="serial")):
            raise ValueError("the libraries have not run the same tasks")
        times = interleave(
            {
                "theirs": lambda: peer.run_flow_from_dsl(text),
                "text": lambda: run_flow_from_dsl(text, registry=registry),
                "compiled": lambda: compiled.run(executor="serial"),
            },
            settings.rounds(9),
        )
    for title, name, goal in (
        ("text read and run each time", "text", 1.0),
        ("text read once", "compiled", 3.0),
    ):
        yield Row(
            f"flow, {tasks:,} no-op tasks, {title}",
            TASKINITY,
            times.median("theirs") / tasks * 1e6,
            times.median(name) / tasks * 1e6,
            "µs",
            times.ratio("theirs", name),
            faster(goal),
            "it reads the text in each run; its parallel run fails on any edge",
        )


@contextmanager
def prefect() -> Iterator[Any]:
    """Import Prefect, with a server of its own and without a word from it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        settings = {
            "PREFECT_HOME": home,
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        with mock.patch.dict(os.environ, settings), _quiet():
            module = importlib.import_module("prefect")
            testing = importlib.import_module("prefect.testing.utilities")
            with testing.prefect_test_harness(server_startup_timeout=120):
                yield module


@contextmanager
def _quiet() -> Iterator[None]:
    """Send what this process and its children say into nothing."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {stream: os.dup(stream) for stream in (1, 2)}
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in kept:
            os.dup2(null, stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, saved in kept.items():
            os.dup2(saved, stream)
            os.close(saved)
        os.close(null)


def prefect_flow(settings: Settings) -> Iterator[Row | Skip]:
    """A function as a flow: tasks that do nothing, and tasks that wait."""
    if importlib.util.find_spec("prefect") is None:
        yield Skip("flow against Prefect", "not installed (pip install prefect)")
        return
    count = settings.size(50, 10)
    registry = TaskRegistry()
    our_nothing, our_nap = registry.task(ignore), registry.task(nap)

    def calls() -> None:
        for i in range(count):
            our_nothing(i)

    def naps() -> None:
        for i in range(4):
            our_nap(i)

    with prefect() as peer:
        their_nothing, their_nap = peer.task(ignore), peer.task(nap)

        def their_calls() -> None:
            for future in [their_nothing.submit(i) for i in range(count)]:
                future.result()

        def their_naps() -> None:
            for future in [their_nap.submit(i) for i in range(4)]:
                future.result()

        times = interleave(
            {
                "our calls": flow_of(calls),
                "their calls": peer.flow(their_calls),
                "our naps": flow_of(naps).with_options(max_workers=4),
                "their naps": peer.flow(their_naps),
            },
            settings.rounds(3),
        )
    for title, name, unit, scale, goal in (
        (f"{count} no-op tasks", "calls", "µs", 1e6 / count, 10),
        ("4 × sleep(0.1)", "naps", "s", 1, 1),
    ):
        yield Row(
            f"function as a flow, {title}",
            PREFECT,
            times.median(f"their {name}") * scale,
            times.median(f"our {name}") * scale,
            unit,
            times.ratio(f"their {name}", f"our {name}"),
            faster(goal),
        )
