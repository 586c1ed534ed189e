"""Configurations refuse what they can't use, and say what is wrong and where."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal

import numpy as np
import pytest

from fastflow.durable import config as module
from fastflow.durable.config import (
    CallbackConfig,
    ChildConfig,
    CompletionConfig,
    Duration,
    InvokeConfig,
    ItemBatcher,
    JitterStrategy,
    MapConfig,
    NestingType,
    ParallelBranch,
    ParallelConfig,
    StepConfig,
    StepSemantics,
    WaitForCallbackConfig,
    to_seconds,
)
from fastflow.durable.exceptions import ValidationError
from fastflow.journal.serdes import JsonSerDes


class TestDuration:
    def test_units(self):
        assert Duration.from_seconds(1.5) == Duration(1.5)
        assert Duration.from_minutes(2).to_seconds() == 120
        assert Duration.from_hours(0.5).to_seconds() == 1800
        assert Duration.from_days(1).to_seconds() == 86400
        assert Duration().to_seconds() == 0

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (Duration(3), 3), (3, 3), (0.25, 0.25), ("30s", 30), ("2m", 120),
            (dt.timedelta(milliseconds=5), 0.005), (np.float32(2), 2), (0, 0),
        ],
    )  # fmt: skip
    def test_what_is_taken_for_one(self, value, seconds):
        assert to_seconds(value) == seconds
        assert type(to_seconds(value)) in (int, float)

    @pytest.mark.parametrize(
        "value",
        [-1, "soon", None, True, float("nan"), float("inf"), [], "-1s", 10**400],
    )
    def test_what_is_not(self, value):
        with pytest.raises(ValidationError, match="duration"):
            to_seconds(value)

    @pytest.mark.parametrize("value", [-1, "30s", None, True, float("nan"), "1"])
    @pytest.mark.parametrize("make", ["from_minutes", "from_days", "from_seconds"])
    def test_one_is_made_of_a_number(self, make, value):
        with pytest.raises(ValidationError, match=r"[Dd]uration"):
            getattr(Duration, make)(value)
        with pytest.raises(ValidationError):
            Duration(value)

    @pytest.mark.parametrize("value", [Decimal("1.5"), np.float64(1.5), np.int64(2)])
    def test_other_numbers_become_plain_ones(self, value):
        assert type(Duration(value).seconds) is float
        assert type(Duration.from_minutes(value).seconds) is float

    def test_too_long_for_a_float(self):
        with pytest.raises(ValidationError, match="10,000 years"):
            Duration.from_days(1e305)


class TestJitter:
    def test_ranges(self):
        full = [JitterStrategy.FULL.apply_jitter(10) for _ in range(2000)]
        half = [JitterStrategy.HALF.apply_jitter(10) for _ in range(2000)]
        assert 0 <= min(full) < 1
        assert 9 < max(full) <= 10
        assert 5 <= min(half) < 5.5
        assert 9.5 < max(half) <= 10
        assert JitterStrategy.NONE.apply_jitter(10) == 10


class NoSerDes:
    def serialize(self, value, context):
        return ""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepConfig(retry_strategy=3), "StepConfig.retry_strategy"),
        (lambda: StepConfig(step_semantics="AT_MOST_ONCE"), "step_semantics"),
        (lambda: StepConfig(serdes=NoSerDes()), "deserialize"),
        (lambda: StepConfig(serdes=JsonSerDes), None),  # a class has the methods
        (lambda: StepConfig(timeout=-1), "StepConfig.timeout"),
        (lambda: StepConfig(timeout="soon"), "StepConfig.timeout"),
        (lambda: StepConfig(sub_type="a b"), "sub_type"),
        (lambda: StepConfig(sub_type="x" * 33), "sub_type"),
        (lambda: StepConfig(sub_type=5), "sub_type"),
        (lambda: ParallelConfig(max_concurrency=0), "must be greater than 0, not 0"),
        (lambda: ParallelConfig(max_concurrency=2.0), "must be an int"),
        (lambda: ParallelConfig(max_concurrency=True), "must be an int"),
        (lambda: ParallelConfig(completion_config=None), "completion_config"),
        (lambda: ParallelConfig(item_serdes=1), "item_serdes"),
        (lambda: ParallelConfig(summary_generator=1), "summary_generator"),
        (lambda: ParallelConfig(nesting_type="FLAT"), "nesting_type"),
        (lambda: ParallelConfig(timeout="-3s"), "ParallelConfig.timeout"),
        (lambda: MapConfig(item_namer="x"), "MapConfig.item_namer"),
        (lambda: MapConfig(item_batcher=5), "ItemBatcher"),
        (lambda: MapConfig(max_concurrency=-1), "MapConfig.max_concurrency"),
        (lambda: ItemBatcher(-1), "max_items_per_batch"),
        (lambda: ParallelBranch("x"), "func must be callable"),
        (lambda: ParallelBranch(print, 3), "ParallelBranch.name"),
        (lambda: ChildConfig(serdes=1), "ChildConfig.serdes"),
        (lambda: ChildConfig(sub_type="ü"), "sub_type"),
        (lambda: ChildConfig(is_virtual=1), "is_virtual"),
        (lambda: CallbackConfig(timeout=-1), "CallbackConfig.timeout"),
        (lambda: CallbackConfig(heartbeat_timeout="x"), "heartbeat_timeout"),
        (lambda: WaitForCallbackConfig(retry_strategy=1), "retry_strategy"),
        (lambda: WaitForCallbackConfig(serdes=1), "serdes"),
        (lambda: InvokeConfig(timeout=[]), "InvokeConfig.timeout"),
        (lambda: CompletionConfig(min_successful=0), "greater than 0"),
        (
            lambda: CompletionConfig(tolerated_failure_count=-1),
            "must not be negative: -1",
        ),
        (lambda: CompletionConfig(tolerated_failure_percentage="5"), "0 to 100"),
        (lambda: CompletionConfig(tolerated_failure_percentage=-0.1), "0 to 100"),
        (lambda: CompletionConfig(should_complete=5), "callable"),
        (lambda: CompletionConfig(None, 1, None, bool), "decides alone"),
    ],
)
def test_what_is_refused(make, message):
    if message is None:
        make()
        return
    with pytest.raises(ValidationError, match=message):
        make()


def test_defaults():
    step = StepConfig()
    assert step.retry_strategy is step.timeout is step.serdes is None
    assert step.step_semantics is StepSemantics.AT_LEAST_ONCE_PER_RETRY
    parallel = ParallelConfig()
    assert parallel.completion_config == CompletionConfig.all_successful()
    assert parallel.nesting_type is NestingType.NESTED
    assert parallel.max_concurrency is None
    assert MapConfig().item_batcher is None
    assert ItemBatcher().max_items_per_batch == 0
    callback = CallbackConfig()
    assert callback.timeout_seconds == callback.heartbeat_timeout_seconds == 0


def test_the_three_constructors():
    first = CompletionConfig.first_successful()
    assert dataclasses.astuple(first) == (1, None, None, None)
    assert dataclasses.astuple(CompletionConfig.all_successful()) == (None, 0, 0, None)
    assert dataclasses.astuple(CompletionConfig.all_completed()) == (
        None, None, 100, None,
    )  # fmt: skip


def test_more_successes_wanted_than_there_are_branches():
    config = CompletionConfig(min_successful=3)
    config.validate_for_total(3)
    with pytest.raises(ValidationError, match="3, but there are only 2"):
        config.validate_for_total(2)


def test_times_of_callbacks():
    config = CallbackConfig(timeout="2m", heartbeat_timeout=Duration(0.5))
    assert config.timeout_seconds == 120
    assert config.heartbeat_timeout_seconds == 0.5


def test_positions_are_those_of_the_sdk():
    config = WaitForCallbackConfig(1, 2, None, len)
    assert config.retry_strategy is len
    assert StepConfig(len, StepSemantics.AT_MOST_ONCE_PER_RETRY).retry_strategy is len
    with pytest.raises(TypeError):
        StepConfig(None, StepSemantics.AT_MOST_ONCE_PER_RETRY, None, None, "sub")


def test_a_branch_is_called_as_its_function():
    assert ParallelBranch(lambda a, b: a + b, name="sum")(1, b=2) == 3


CONFIGS = [
    value
    for name in module.__all__
    if dataclasses.is_dataclass(value := getattr(module, name))
]


@pytest.mark.parametrize("kind", CONFIGS, ids=lambda kind: kind.__name__)
def test_they_are_frozen(kind):
    assert kind.__dataclass_params__.frozen
