"""One policy decides when a fan-out is complete; its kinds differ in numbers only."""

import pytest

from fastflow.durable import CompletionConfig
from fastflow.durable.completion import CompletionPolicy as BatchPolicy
from fastflow.run.completion import CompletionPolicy, CompletionReason

EXCEEDED = CompletionReason.FAILURE_TOLERANCE_EXCEEDED
ENOUGH = CompletionReason.MIN_SUCCESSFUL_REACHED
ALL = CompletionReason.ALL_COMPLETED

#: Kind -> what it says of (succeeded, failed), of an unknown number of branches.
SAYS = {
    "fail_fast": {(0, 0): None, (9, 0): None, (0, 1): EXCEEDED, (9, 1): EXCEEDED},
    "settle": {(0, 0): None, (9, 0): None, (0, 9): None, (9, 9): None},
    "first_successful": {(0, 0): None, (0, 9): None, (1, 0): ENOUGH, (1, 9): ENOUGH},
    "first": {(0, 0): None, (1, 0): ALL, (0, 1): EXCEEDED},
}


@pytest.mark.parametrize("kind", SAYS)
def test_a_kind_is_a_policy_with_other_numbers(kind):
    policy = getattr(CompletionPolicy, kind)()
    assert {counts: policy.decide(*counts) for counts in SAYS[kind]} == SAYS[kind]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (CompletionConfig(), "fail_fast"),
        (CompletionConfig.all_successful(), "fail_fast"),
        (CompletionConfig.all_completed(), "settle"),
        (CompletionConfig.first_successful(), "first_successful"),
    ],
)
def test_what_aws_calls_a_configuration_makes_the_same_policies(config, kind):
    total = 5
    ours = CompletionPolicy(
        total,
        *[
            getattr(getattr(CompletionPolicy, kind)(), name)
            for name in (
                "min_successful",
                "tolerated_failure_count",
                "tolerated_failure_percentage",
            )
        ],
    )
    theirs = BatchPolicy.from_config(total, config)
    for succeeded in range(total + 1):
        for failed in range(total + 1 - succeeded):
            assert ours.decide(succeeded, failed) is theirs.decide(succeeded, failed)
