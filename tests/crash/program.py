"""The durable function that the crash tests kill, and what they know of it.

Each step writes a line to a log *before* its result is recorded, and the program writes
one when it has seen the result; both with one ``write`` to a file opened for appending,
so they survive a SIGKILL.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from fastflow.durable import (
    CompletionConfig,
    MapConfig,
    NestingType,
    ParallelConfig,
    RetryPresets,
    SqliteJournal,
    StepConfig,
    StepSemantics,
    durable_execution,
)
from fastflow.durable.exceptions import JournalVersionError
from fastflow.journal.records import finished

ONCE = StepConfig(
    retry_strategy=RetryPresets.fixed(interval=0, max_attempts=1000),
    step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY,
)
AGAIN = StepConfig(retry_strategy=RetryPresets.fixed(interval=0.001, max_attempts=1000))
EXPECTED = {
    "first": "first",
    "map": [[f"m{i}.a", f"m{i}.b"] for i in range(6)],
    "nested": [[f"n{i}.{j}" for j in range(3)] for i in range(3)],
    "flaky": "flaky",
    "child": ["c1", "c2"],
    "large": 300_000,
    "last": "last",
}


class Log:
    """What happened, in order, over all processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what: str, name: str, attempt: int = 0) -> None:
        os.write(self._file, f"{what} {name} {attempt}\n".encode())

    def close(self) -> None:
        os.close(self._file)


def make(log: Log, after_effect: Callable[[], None] = lambda: None):
    """Return the durable function."""

    def step(context, name, config=None, value=None):
        def body(inner):
            log.write("run", name, inner.attempt)
            after_effect()
            if name == "flaky" and inner.attempt < 3:
                raise OSError("not yet")
            return name if value is None else value

        found = context.step(body, name=name, config=config)
        log.write("ack", name)
        return found

    def item(context, index, _, __):
        first = step(context, f"m{index}.a")
        if index % 2:
            context.wait(0.001)
        return [first, step(context, f"m{index}.b", ONCE if index % 3 == 0 else None)]

    def group(context, i):
        functions = [lambda inner, j=j: step(inner, f"n{i}.{j}") for j in range(3)]
        flat = NestingType.FLAT if i == 1 else NestingType.NESTED
        return context.parallel(
            functions, config=ParallelConfig(nesting_type=flat)
        ).get_results()

    @durable_execution(name="crash-program")
    def program(event, context):
        found = {"first": step(context, "first")}
        config = MapConfig(
            max_concurrency=2, completion_config=CompletionConfig.all_completed()
        )
        found["map"] = context.map(range(6), item, config=config).get_results()
        groups = [lambda inner, i=i: group(inner, i) for i in range(3)]
        found["nested"] = context.parallel(groups).get_results()
        found["flaky"] = step(context, "flaky", AGAIN)
        found["child"] = context.run_in_child_context(
            lambda inner: [step(inner, "c1"), step(inner, "c2", ONCE)], name="child"
        )
        found["large"] = len(step(context, "large", value="x" * 300_000))
        found["last"] = step(context, "last")
        return found

    return program


class Violation(AssertionError):  # noqa: N818
    """A promise that was not kept."""


def committed(path: Path) -> set[str]:
    """Return the steps whose end is in the journal; check that none is there twice."""
    try:
        journal = SqliteJournal(path, read_only=True)
    except JournalVersionError:  # killed before there were tables
        return set()
    try:
        ends: Counter[bytes] = Counter()
        names = set()
        for entry in journal.entries():
            for frame in journal.frames(entry.number):
                for record in frame:
                    if finished(record):
                        ends[record.id] += 1
                        if record.kind == "STEP":
                            names.add(record.name)
        twice = [key.hex() for key, count in ends.items() if count > 1]
        if twice:
            raise Violation(f"recorded twice: {twice}")
        return names
    finally:
        journal.close()


class Auditor:
    """Reads the log after each death and compares it with the journal."""

    def __init__(self, log: Path, journal: Path) -> None:
        self._log = log
        self._journal = journal
        self._read = 0
        self._acknowledged: set[str] = set()
        self._committed: set[str] = set()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self.runs: dict[str, int] = defaultdict(int)

    def look(self) -> None:
        """Check all that was promised.

        Raises
        ------
        Violation
            If something acknowledged was lost or ran again, or was recorded twice.
        """
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        for line in lines[self._read :]:
            what, name, attempt = line.split()
            if what == "ack":
                self._acknowledged.add(name)
                continue
            self.runs[name] += 1
            self._attempts[name, attempt] += 1
            if name in self._acknowledged:
                raise Violation(f"{name} ran after it was acknowledged")
            if name in self._committed:
                raise Violation(f"{name} ran after it was committed")
            once = name == "c2" or name in ("m0.b", "m3.b")
            if once and self._attempts[name, attempt] > 1:
                raise Violation(f"attempt {attempt} of {name} ran twice")
        self._read = len(lines)
        if self._journal.exists() and self._journal.stat().st_size:
            self._committed = committed(self._journal)
        lost = self._acknowledged - self._committed
        if lost:
            raise Violation(f"acknowledged, but not in the journal: {sorted(lost)}")
