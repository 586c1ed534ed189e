"""The completion policy, against its rules written down a second time."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from fastflow.durable.completion import (
    BatchItemStatus,
    CompletionDecision,
    CompletionItemStatus,
    CompletionOutcome,
    CompletionPolicy,
    CompletionStatus,
    complete_batch,
    continue_batch,
)
from fastflow.durable.config import CompletionConfig
from fastflow.durable.exceptions import ValidationError

#: What a predicate says after s successes and f failures of n: an outcome, or None.
SAYINGS = {
    "never": lambda s, f, n: None,
    "at once": lambda s, f, n: "SUCCEEDED",
    "two": lambda s, f, n: "SUCCEEDED" if s >= 2 else None,
    "bad": lambda s, f, n: "FAILED" if f else None,
    "hopeless": lambda s, f, n: "FAILED" if n - f < 2 else None,
}


def oracle(n, least, count, share, saying, s, f):
    """The specified reason after s successes and f failures, or None: it goes on."""
    reasons = {}
    if saying is None:
        most = []
        if count is not None:
            most.append(Fraction(count))
        if share is not None:
            most.append(Fraction(str(share)) * n / 100)
        if least is None and not most:
            most.append(Fraction(0))
        if any(f > limit for limit in most):
            reasons[1] = "FAILURE_TOLERANCE_EXCEEDED"
    elif (outcome := SAYINGS[saying](s, f, n)) is not None:
        reasons[2] = "CUSTOM_COMPLETION_" + outcome
    if not n - s - f:
        reasons[3] = "ALL_COMPLETED"
    if least is not None and not s < least:
        reasons[4] = "MIN_SUCCESSFUL_REACHED"
    return reasons[min(reasons)] if reasons else None


def predicate(saying):
    if saying is None:
        return None

    def ask(status):
        says = SAYINGS[saying](
            status.success_count, status.failure_count, status.total_count
        )
        if says is None:
            return continue_batch()
        return complete_batch(CompletionOutcome(says))

    return ask


def cases():
    for n in (0, 1, 2, 3, 4, 7):
        states = [(s, f) for s in range(n + 1) for f in range(n + 1 - s)]
        for criteria in itertools.product(
            (None, *range(1, n + 1)),
            (None, 0, 1, 2, n),
            (None, 0, 0.5, 14.3, 25, 33.3, 50, 100),
        ):
            for s, f in states:
                yield n, *criteria, None, s, f
        for saying in SAYINGS:
            for s, f in states:
                yield n, None, None, None, saying, s, f


def test_every_combination():
    seen = {}
    for case in cases():
        n, least, count, share, saying, s, f = case
        config = CompletionConfig(least, count, share, predicate(saying))
        config.validate_for_total(n)
        found = CompletionPolicy.from_config(n, config).decide(s, f)
        expected = oracle(*case)
        assert (found and found.value) == expected, case
        seen[expected] = seen.get(expected, 0) + 1
    assert sum(seen.values()) > 10_000
    assert len(seen) == 6  # the five reasons, and none
    assert min(seen.values()) > 20


def test_a_share_is_compared_exactly():
    # 7 / 100 * 100 is 7.000000000000001 in floating point.
    for total in range(1, 200):
        for failed in range(total + 1):
            policy = CompletionPolicy(total, tolerated_failure_percentage=7)
            assert policy.tolerance_exceeded(failed) == (failed * 100 > 7 * total)


def test_no_branches_are_complete_at_once():
    for config in (
        CompletionConfig(),
        CompletionConfig.all_successful(),
        CompletionConfig.all_completed(),
    ):
        policy = CompletionPolicy.from_config(0, config)
        assert policy.decide(0, 0).value == "ALL_COMPLETED"


def test_tolerance():
    assert CompletionPolicy(5).tolerance_exceeded(1)
    assert not CompletionPolicy(5).tolerance_exceeded(0)
    assert not CompletionPolicy(5, min_successful=1).tolerance_exceeded(5)
    assert not CompletionPolicy(5, tolerated_failure_count=2).tolerance_exceeded(2)
    assert CompletionPolicy(5, tolerated_failure_count=2).tolerance_exceeded(3)


class TestPredicates:
    def test_items_are_made_only_when_they_are_read(self):
        made = []

        def items():
            made.append(1)
            return (CompletionItemStatus(0, "a", BatchItemStatus.FAILED),)

        CompletionPolicy(
            2, should_complete=lambda status: continue_batch()
        ).decide(0, 1, items)  # fmt: skip
        assert made == []
        seen = []

        def read(status):
            seen.extend((status.items, status.items))
            return continue_batch()

        CompletionPolicy(2, should_complete=read).decide(0, 1, items)
        assert made == [1]
        assert seen[0] is seen[1]
        assert seen[0][0].status is BatchItemStatus.FAILED

    def test_it_is_asked_once(self):
        asked = []

        def ask(status):
            asked.append((status.success_count, status.failure_count))
            return complete_batch(CompletionOutcome.FAILED)

        reason = CompletionPolicy(9, should_complete=ask).decide(2, 1)
        assert reason.value == "CUSTOM_COMPLETION_FAILED"
        assert asked == [(2, 1)]

    @pytest.mark.parametrize("nonsense", [True, None, "SUCCEEDED", object()])
    def test_nonsense_is_refused(self, nonsense):
        policy = CompletionPolicy(2, should_complete=lambda status: nonsense)
        with pytest.raises(ValidationError, match=r"continue_batch\(\)"):
            policy.decide(0, 1)

    def test_its_own_error_is_told_with_the_counts(self):
        policy = CompletionPolicy(4, should_complete=lambda status: 1 // 0)
        with pytest.raises(ValidationError, match=r"ZeroDivisionError.*count=3") as got:
            policy.decide(3, 0)
        assert isinstance(got.value.__cause__, ZeroDivisionError)

    def test_signals_pass(self):
        def stop(status):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            CompletionPolicy(4, should_complete=stop).decide(3, 0)


def test_decisions():
    assert continue_batch() == CompletionDecision(complete=False)
    assert complete_batch().outcome is CompletionOutcome.SUCCEEDED
    for wrong in ((True, None), (False, CompletionOutcome.FAILED)):
        with pytest.raises(ValidationError, match="complete_batch"):
            CompletionDecision(*wrong)


def test_a_status_tells_its_counts():
    status = CompletionStatus(3, 2, 9)
    assert (status.completed_count, status.items) == (5, ())
    assert repr(status).endswith("(success_count=3, failure_count=2, total_count=9)")


def test_a_policy_can_not_be_changed():
    with pytest.raises(AttributeError):
        CompletionPolicy(3).total = 4
