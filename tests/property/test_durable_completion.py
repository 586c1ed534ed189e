"""When batches are complete, against the rules written down a second time.

Branches wait on a virtual clock, each for a time of its own, then succeed or fail; so
which branch ends when is known, and with it all that a batch may return.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest

import fastflow
from fastflow.durable import (
    CompletionConfig,
    CompletionOutcome,
    ParallelConfig,
    ValidationError,
    complete_batch,
    continue_batch,
    durable_execution,
)
from fastflow.testing import DurableFunctionTestRunner


@dataclass(frozen=True)
class Case:
    failing: tuple[bool, ...]
    least: int | None
    count: int | None
    share: float | None
    limit: int | None
    predicate: str | None = None


#: Name -> what a predicate says after s successes and f failures of n, and the outcome.
PREDICATES = {
    "two": (lambda s, f, n: s >= 2, "SUCCEEDED"),
    "any": (lambda s, f, n: s + f >= 1, "SUCCEEDED"),
    "bad": (lambda s, f, n: f >= 1, "FAILED"),
    "at once": (lambda s, f, n: True, "FAILED"),
    "never": (lambda s, f, n: False, "SUCCEEDED"),
}


def verdict(case, s, f):
    """Why a batch with s successes and f failures is complete; None: it isn't."""
    n = len(case.failing)
    if case.predicate is not None:
        says, outcome = PREDICATES[case.predicate]
        if says(s, f, n):
            return f"CUSTOM_COMPLETION_{outcome}"
    else:
        limits = []
        if case.count is not None:
            limits.append(case.count)
        if case.share is not None and n:
            # The most failures whose share isn't above the limit.
            limits.append(max(k for k in range(n + 1) if k * 100 <= case.share * n))
        if not limits and case.least is None:
            limits.append(0)
        if limits and f > min(limits):
            return "FAILURE_TOLERANCE_EXCEEDED"
    if s + f == n:
        return "ALL_COMPLETED"
    if case.least is not None and s >= case.least:
        return "MIN_SUCCESSFUL_REACHED"
    return None


def expected(case, times):
    """Return (reason, state of each branch that was begun), by simulation."""
    states = {}
    under_way = []  # (end, index)
    now = 0.0
    waiting = list(range(len(case.failing)))
    while True:
        done = list(states.values())
        reason = verdict(case, done.count("SUCCEEDED"), done.count("FAILED"))
        if reason is not None:
            states |= {index: "STARTED" for _, index in under_way}
            return reason, dict(sorted(states.items()))
        while waiting and (case.limit is None or len(under_way) < case.limit):
            index = waiting.pop(0)
            under_way.append((now + times[index], index))
        now, index = first = min(under_way)
        under_way.remove(first)
        states[index] = "FAILED" if case.failing[index] else "SUCCEEDED"


def config_of(case):
    should = None
    if case.predicate is not None:
        says, outcome = PREDICATES[case.predicate]

        def should(status):
            assert status.completed_count == len(
                [i for i in status.items if i.status and i.status.value != "STARTED"]
            )
            if says(status.success_count, status.failure_count, status.total_count):
                return complete_batch(CompletionOutcome(outcome))
            return continue_batch()

    return ParallelConfig(
        max_concurrency=case.limit,
        completion_config=CompletionConfig(case.least, case.count, case.share, should),
    )


def cases():
    for n in range(5):
        for failing in itertools.product((False, True), repeat=n):
            for limit in (None, 1, 2, 3):
                for least, count, share in itertools.product(
                    (None, *range(1, n + 1)), (None, 0, 1, 2), (None, 0, 25, 50, 100)
                ):
                    yield Case(failing, least, count, share, limit)
                for name in PREDICATES:
                    yield Case(failing, None, None, None, limit, name)


def branch(index, fails, seconds, ran):
    def run(context):
        context.wait(seconds)
        context.step(lambda _: ran.append(index))
        if fails:
            raise ValueError(f"branch {index}")
        return index * 10

    return run


def check(case, times, batch, ran):
    reason, states = expected(case, times)
    found = {item.index: item.status.value for item in batch.all}
    assert (batch.completion_reason.value, found) == (reason, states), case
    assert list(found) == sorted(found)
    ended = [index for index, state in states.items() if state != "STARTED"]
    assert sorted(ran) == ended, case
    for item in batch.all:
        if item.status.value == "SUCCEEDED":
            assert item.result == item.index * 10
        elif item.status.value == "FAILED":
            assert (item.error.type, item.error.message) == (
                "ValueError", f"branch {item.index}",
            )  # fmt: skip
    failed = "FAILED" in states.values()
    if case.predicate is not None and reason.startswith("CUSTOM"):
        failed = reason.endswith("FAILED")
    assert (batch.status.value == "FAILED") == failed, case


ALL = list(cases())
PARTS = 20


def test_there_are_enough_cases():
    assert len(ALL) > 10_000


@pytest.mark.parametrize("part", range(PARTS))
def test_every_combination(part):
    rng = random.Random(part)
    mine = ALL[part::PARTS]

    @durable_execution
    def handler(event, context):
        for case in mine:
            ran = []
            times = [rng.uniform(1, 100) for _ in case.failing]
            functions = [
                branch(index, fails, times[index], ran)
                for index, fails in enumerate(case.failing)
            ]
            batch = context.parallel(functions, config=config_of(case))
            check(case, times, batch, ran)
        return len(mine)

    with fastflow.Executor(2) as executor:
        runner = DurableFunctionTestRunner(handler, executor=executor)
        result = runner.run(timeout=100)
        assert result.error is None, result.error
        assert result.result == len(mine)
        runner.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_successful": 3}, "only 2 branches"),
        ({"min_successful": 0}, "greater than 0"),
        ({"min_successful": True}, "must be an int"),
        ({"tolerated_failure_count": -1}, "not be negative"),
        ({"tolerated_failure_percentage": 101}, "0 to 100"),
        ({"tolerated_failure_percentage": float("nan")}, "0 to 100"),
        ({"should_complete": 1}, "callable"),
        ({"should_complete": bool, "min_successful": 1}, "decides alone"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(wrong, message):
    @durable_execution
    def handler(event, context):
        config = ParallelConfig(completion_config=CompletionConfig(**wrong))
        with pytest.raises(ValidationError, match=message):
            context.parallel([str, str], config=config)

    runner = DurableFunctionTestRunner(handler)
    if "3" not in str(wrong):
        with pytest.raises(ValidationError, match=message):
            CompletionConfig(**wrong)
    else:
        result = runner.run()
        assert (result.error, result.operations) == (None, [])
    runner.close()


def test_a_predicate_that_returns_nonsense_ends_the_run():
    @durable_execution
    def handler(event, context):
        config = CompletionConfig(should_complete=lambda status: True)
        context.parallel([str], config=ParallelConfig(completion_config=config))

    runner = DurableFunctionTestRunner(handler)
    with pytest.raises(ValidationError, match="continue_batch"):
        runner.run()
    runner.close()
