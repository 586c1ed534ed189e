"""Random programs, killed at random commits and resumed, end as if nothing had been.

A program is a tree of steps, waits, child contexts and batches.  What it returns is
worked out a second time without any of the machinery.  Crashes come before or after a
commit, one or several in a run, on a journal in memory or in a file.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

import fastflow
from fastflow.base.timers import VirtualClock
from fastflow.durable import (
    ChildContextError,
    CompletionConfig,
    DurableRunner,
    JournalError,
    MapConfig,
    NestingType,
    ParallelConfig,
    RetryPresets,
    SqliteJournal,
    StepConfig,
    StepError,
    StepSemantics,
    durable_execution,
)
from fastflow.journal.memory import MemoryJournal
from fastflow.journal.records import FAILED, SUCCEEDED


@dataclass
class Step:
    name: str
    fails: int
    """Attempts that fail; 9: all."""
    once: bool
    is_async: bool


@dataclass
class Wait:
    seconds: float


@dataclass
class Child:
    body: list
    virtual: bool


@dataclass
class Parallel:
    branches: list
    limit: int | None
    flat: bool
    one_by_one: bool


@dataclass
class Map:
    items: list
    body: list
    limit: int | None


@dataclass
class Book:
    """What has happened outside of the program, crashes or not."""

    runs: Counter = field(default_factory=Counter)
    committed: set = field(default_factory=set)
    wrong: list = field(default_factory=list)


RETRY = RetryPresets.fixed(interval=5, max_attempts=3)


def program(rng, names, depth=0):
    return [node(rng, names, depth) for _ in range(rng.randint(1, 3))]


def node(rng, names, depth):
    kind = rng.random()
    if depth >= 3 or kind < 0.5:
        fails = rng.choice((0, 0, 0, 0, 1, 2, 9))
        return Step(next(names), fails, rng.random() < 0.3, rng.random() < 0.2)
    if kind < 0.6:
        return Wait(rng.uniform(0.1, 50))
    if kind < 0.7:
        return Child(program(rng, names, depth + 1), rng.random() < 0.3)
    limit = rng.choice((None, 1, 2))
    if kind < 0.85:
        branches = [program(rng, names, depth + 1) for _ in range(rng.randint(0, 4))]
        one_by_one = limit == 1 and rng.random() < 0.5
        return Parallel(branches, limit, rng.random() < 0.3, one_by_one)
    body = program(rng, names, depth + 1)
    return Map(list(range(rng.randint(0, 3))), body, limit)


# What the program returns, without any machinery.


class Failed(Exception):  # noqa: N818
    pass


def expect(body, suffix=""):
    found = []
    for part in body:
        if isinstance(part, Step):
            if part.fails >= 3:
                if part.once:  # in this program: not caught
                    raise Failed
                found.append(["failed", part.name + suffix])
            else:
                found.append(part.name + suffix)
        elif isinstance(part, Child):
            try:
                found.append(expect(part.body, suffix))
            except Failed:
                found.append("child failed")
        elif isinstance(part, Parallel):
            outcomes = []
            for branch in part.branches:
                try:
                    outcomes.append(expect(branch, suffix))
                except Failed:
                    outcomes.append("branch failed")
                    if part.one_by_one:
                        break
            found.append(outcomes)
        elif isinstance(part, Map):
            outcomes = []
            for item in part.items:
                try:
                    outcomes.append(expect(part.body, f"{suffix}/{item}"))
                except Failed:
                    outcomes.append("branch failed")
            found.append(outcomes)
    return found


# The program itself.


def step_of(book, part, name):
    def run(step):
        if name in book.committed:
            book.wrong.append(f"{name} ran again after it was committed")
        book.runs[name, step.attempt] += 1
        if part.once and book.runs[name, step.attempt] > 1:
            book.wrong.append(f"attempt {step.attempt} of {name} ran twice")
        if step.attempt <= part.fails:
            raise ValueError(name)
        return name

    async def run_async(step):
        await asyncio.sleep(0.0005)  # long enough for its branch to be left
        return run(step)

    return run_async if part.is_async else run


def execute(context, book, body, suffix=""):
    found = []
    for part in body:
        if isinstance(part, Step):
            name = part.name + suffix
            # An interrupted at-most-once attempt counts as a failed one, so it gets
            # another one where its program would have succeeded.
            semantics = (
                StepSemantics.AT_MOST_ONCE_PER_RETRY
                if part.once
                else StepSemantics.AT_LEAST_ONCE_PER_RETRY
            )
            attempts = (
                RetryPresets.fixed(5, 8) if part.once and part.fails < 3 else RETRY
            )
            config = StepConfig(retry_strategy=attempts, step_semantics=semantics)
            try:
                found.append(context.step(step_of(book, part, name), name, config))
            except StepError as error:
                if error.error_type not in ("ValueError", _INTERRUPTED) or part.once:
                    raise
                found.append(["failed", name])
        elif isinstance(part, Wait):
            context.wait(part.seconds)
        elif isinstance(part, Child):
            found.append(child(context, book, part, suffix))
        elif isinstance(part, Parallel):
            found.append(parallel(context, book, part, suffix))
        else:
            found.append(mapped(context, book, part, suffix))
    return found


_INTERRUPTED = "fastflow.durable.exceptions.StepInterruptedError"


def child(context, book, part, suffix):
    from fastflow.durable import ChildConfig

    try:
        return context.run_in_child_context(
            lambda inner: execute(inner, book, part.body, suffix),
            config=ChildConfig(is_virtual=part.virtual),
        )
    except ChildContextError:
        return "child failed"


def outcomes(batch):
    return [
        item.result if item.status.value == "SUCCEEDED" else "branch failed"
        for item in batch.all
    ]


def parallel(context, book, part, suffix):
    config = ParallelConfig(
        max_concurrency=part.limit,
        nesting_type=NestingType.FLAT if part.flat else NestingType.NESTED,
        completion_config=(
            CompletionConfig.all_successful()
            if part.one_by_one
            else CompletionConfig.all_completed()
        ),
    )
    functions = [
        lambda inner, branch=branch: execute(inner, book, branch, suffix)
        for branch in part.branches
    ]
    return outcomes(context.parallel(functions, config=config))


def mapped(context, book, part, suffix):
    config = MapConfig(
        max_concurrency=part.limit, completion_config=CompletionConfig.all_completed()
    )

    def run(inner, item, index, items):
        return execute(inner, book, part.body, f"{suffix}/{item}")

    return outcomes(context.map(part.items, run, config=config))


class Crash(BaseException):
    pass


class Crasher:
    """A probe that crashes at one of the next commits."""

    def __init__(self, rng, book):
        self.rng = rng
        self.book = book
        self.left = None
        self.moment = ""

    def arm(self, most):
        self.left = self.rng.randint(0, most)
        self.moment = self.rng.choice(("before_commit", "after_commit"))

    def __call__(self, moment, records):
        if moment == "after_commit":
            for record in records:
                if record.kind == "STEP" and record.action in (SUCCEEDED, FAILED):
                    self.book.committed.add(record.name)
        if self.left is not None and moment == self.moment:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash(moment)


def run_with_crashes(handler, journal, crasher, executor, crashes):
    """Run to the end, as often as it takes; return the result."""
    for attempt in itertools.count():
        if attempt < crashes:
            crasher.arm(3 * (attempt + 1) ** 2)
        with DurableRunner(
            journal, executor=executor, _clock=VirtualClock(), _probe=crasher
        ) as runner:
            try:
                return runner.run(handler, None, "it")
            except (Crash, JournalError) as error:
                # Whoever met the crash has it, the others what it has led to.
                crashed = isinstance(error, Crash) or isinstance(error.__cause__, Crash)
                if not crashed:
                    raise
    raise AssertionError


@pytest.mark.parametrize("seed", range(120))
def test_a_crashed_program_ends_like_any_other(seed, tmp_path):
    rng = random.Random(seed)
    names = (f"s{n}" for n in itertools.count())
    body = program(rng, names)
    book = Book()

    @durable_execution(name=f"random-{seed}")
    def handler(event, context):
        return execute(context, book, body)

    try:
        expected = expect(body)
    except Failed:
        expected = Failed
    file = seed % 3 == 0
    journal = SqliteJournal(tmp_path / "runs.db") if file else MemoryJournal()
    crasher = Crasher(rng, book)
    with fastflow.Executor(rng.choice((1, 2, 4))) as executor:
        try:
            found = run_with_crashes(handler, journal, crasher, executor, seed % 6)
        except StepError:
            found = Failed
        assert book.wrong == []
        assert found == expected
        # Once more: the stored result, without a step.
        before = Counter(book.runs)
        with DurableRunner(journal, executor=executor) as runner:
            if expected is not Failed:
                assert runner.run(handler, None, "it") == expected
            else:
                with pytest.raises(StepError):
                    runner.run(handler, None, "it")
        assert book.runs == before
    journal.close()


def test_the_generator_makes_all_kinds_of_nodes():
    kinds = Counter()

    def count(body):
        for part in body:
            kinds[type(part).__name__] += 1
            if isinstance(part, Parallel):
                for branch in part.branches:
                    count(branch)
            elif isinstance(part, Child | Map):
                count(part.body)

    for seed in range(120):
        count(program(random.Random(seed), (f"s{n}" for n in itertools.count())))
    assert min(kinds[kind.__name__] for kind in (Step, Wait, Child, Parallel, Map)) > 20
