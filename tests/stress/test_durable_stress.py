"""Batches that are decided while their branches run: races, limits, nested, on threads.

Nobody knows how such a program ends; but once it has, going on with it from the journal
must end the same, without running anything that was recorded.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

import fastflow
from fastflow.durable import (
    ChildContextError,
    CompletionConfig,
    DurableRunner,
    ParallelConfig,
    durable_execution,
)
from fastflow.journal.memory import MemoryJournal

POLICIES = [
    CompletionConfig.all_successful(),
    CompletionConfig.all_completed(),
    CompletionConfig.first_successful(),
    CompletionConfig(min_successful=2, tolerated_failure_count=1),
    CompletionConfig(tolerated_failure_percentage=40),
]


def plan(rng, depth=0):
    """A batch: its policy and limit, and what each branch does."""
    branches = []
    for _ in range(rng.randint(2, 5)):
        kind = rng.random()
        nested = plan(rng, depth + 1) if depth < 3 and kind < 0.4 else None
        branches.append((rng.random(), rng.random() < 0.2, rng.random() < 0.3, nested))
    policy = rng.choice(POLICIES)
    limit = rng.choice([None, 1, 2, 3])
    return policy, limit, branches, rng.random() < 0.2


def spin(rng_value):
    for _ in range(int(rng_value * 300)):
        pass


def batch(context, plan_, runs, path):
    policy, limit, branches, race = plan_
    functions = [
        lambda inner, n=n, b=b: branch(inner, b, runs, f"{path}.{n}")
        for n, b in enumerate(branches)
    ]
    if race:
        try:
            return ["race", context.race(functions)]
        except ChildContextError as error:
            return ["lost", str(error)]
    config = ParallelConfig(max_concurrency=limit, completion_config=policy)
    found = context.parallel(functions, config=config)
    return [
        found.completion_reason.value,
        [[item.index, item.status.value, item.result] for item in found.all],
    ]


def branch(context, branch_, runs, path):
    work, fails, waits, nested = branch_

    def body(step):
        spin(work)
        runs[path] += 1
        return path

    value = context.step(body, name=path)
    if waits:
        context.wait(work / 1000)
    if nested is not None:
        value = [value, batch(context, nested, runs, path)]
    if fails:
        raise ValueError(path)
    return [value, context.step(lambda _: spin(work) or path, name=f"{path}/end")]


@pytest.mark.parametrize("seed", range(60))
def test_a_decision_is_kept(seed):
    rng = random.Random(seed)
    plans = [plan(rng) for _ in range(3)]
    runs = Counter()
    seen = []
    journal = MemoryJournal()

    @durable_execution(name=f"stress-{seed}")
    def handler(event, context):
        found = [batch(context, p, runs, f"p{n}") for n, p in enumerate(plans)]
        seen.append(found)
        if len(seen) == 1:
            raise KeyboardInterrupt
        return found

    with fastflow.Executor(rng.choice([1, 2, 4, 8])) as executor:
        with DurableRunner(journal, executor=executor) as runner:
            with pytest.raises(KeyboardInterrupt):
                runner.run(handler, None, "it")
        recorded = {
            record.name
            for frame in journal.frames(journal.find("it").number)
            for record in frame
            if record.kind == "STEP"
        }
        before = Counter(runs)
        with DurableRunner(journal, executor=executor) as runner:
            assert runner.run(handler, None, "it") == seen[0]
        assert runs == before
    assert all(count == 1 for name, count in before.items() if name in recorded)
