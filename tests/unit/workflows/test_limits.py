"""Concurrency and rate, by a virtual clock."""

from __future__ import annotations

import pytest

from fastflow import FlowError
from fastflow.base.timers import VirtualClock
from fastflow.workflows.limits import Gate, parse_rate


@pytest.fixture
def clock():
    return VirtualClock()


def entering(gate, log, n):
    for name in range(n):
        gate.enter(lambda name=name: log.append(name))


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("10/s", (10, 1)),
        ("100/5m", (100, 300)),
        ("3 / 500ms", (3, 0.5)),
        ((2, "1h"), (2, 3600)),
        ([2, 60], (2, 60)),
        (5, (5, 1)),
        (0.5, (0.5, 1)),
    ],
)
def test_rates(value, rate):
    assert parse_rate(value) == rate


@pytest.mark.parametrize(
    "value",
    ["", "10", "10/", "/s", "x/s", "10/x", "-1/s", "0/s", 0, -1, True, None, (1,),
     ("a", "1s"), (1, 0), (1, -1), (float("nan"), 1), float("inf"), {}],
)  # fmt: skip
def test_wrong_rates(value):
    with pytest.raises(FlowError, match="rate limit"):
        parse_rate(value)


def test_concurrency_lets_in_in_order(clock):
    gate, log = Gate(2, None, clock), []
    entering(gate, log, 5)
    assert log == [0, 1]
    gate.leave()
    assert log == [0, 1, 2]
    gate.leave()
    gate.leave()
    assert log == [0, 1, 2, 3, 4]


def test_rate_is_a_token_bucket(clock):
    gate, log = Gate(None, (2, 10.0), clock), []
    entering(gate, log, 5)
    assert log == [0, 1]  # the bucket was full
    clock.advance(4.9)
    assert log == [0, 1]
    clock.advance(0.1)
    assert log == [0, 1, 2]
    clock.advance(10)
    assert log == [0, 1, 2, 3, 4]


def test_the_bucket_does_not_overflow(clock):
    gate, log = Gate(None, (2, 1.0), clock), []
    clock.advance(1000)
    entering(gate, log, 3)
    assert log == [0, 1]


def test_less_than_one_per_period(clock):
    gate, log = Gate(None, (0.5, 1.0), clock), []
    entering(gate, log, 2)
    assert log == [0]
    clock.advance(1.9)
    assert log == [0]
    clock.advance(0.1)
    assert log == [0, 1]


def test_both(clock):
    gate, log = Gate(1, (10, 1.0), clock), []
    entering(gate, log, 2)
    clock.advance(10)
    assert log == [0]
    gate.leave()
    assert log == [0, 1]


def test_who_withdraws_is_passed_over(clock):
    gate, log = Gate(1, None, clock), []
    calls = [lambda n=n: log.append(n) for n in range(3)]
    for call in calls:
        gate.enter(call)
    assert gate.withdraw(calls[1])
    assert not gate.withdraw(calls[0])
    gate.leave()
    assert log == [0, 2]


def test_rounding_loses_nobody(clock):
    gate, log = Gate(None, (3, 0.7), clock), []
    entering(gate, log, 1000)
    while clock.advance_to_next():
        pass
    assert log == list(range(1000))
    assert clock.now() == pytest.approx(997 * 0.7 / 3)
