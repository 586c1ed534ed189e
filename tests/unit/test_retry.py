"""Retry policies: delays, their cap and their spread, and what is refused."""

from __future__ import annotations

import pickle
import random

import pytest

from fastflow.retry import RetryPolicy


def test_delays_grow_up_to_the_cap():
    policy = RetryPolicy(retries=9, delay="1s", backoff=3, max_delay=20, jitter=0)
    assert [policy.delay(n) for n in range(1, 6)] == [1.0, 3.0, 9.0, 20.0, 20.0]


def test_attempts_without_end_do_not_overflow():
    policy = RetryPolicy(retries=10**9, max_delay="1m", jitter=0)
    assert policy.delay(10**6) == 60.0
    assert RetryPolicy(delay=0, jitter=0).delay(10**6) == 0.0


def test_jitter_is_a_fraction_of_the_delay_on_both_sides():
    policy = RetryPolicy(retries=1, delay=10, jitter=0.2)
    rng = random.Random(7)
    delays = [policy.delay(1, rng) for _ in range(1000)]
    assert 8 <= min(delays) < 9 < 11 < max(delays) <= 12
    assert delays[:3] == [policy.delay(1, again) for again in [random.Random(7)] * 3]


def test_jitter_respects_the_cap():
    policy = RetryPolicy(delay=10, max_delay=10, jitter=1)
    assert max(policy.delay(1) for _ in range(1000)) <= 10


def test_wants():
    policy = RetryPolicy(retries=2, retry_on=(OSError, KeyError))
    assert policy.wants(KeyError(), 1)
    assert policy.wants(FileNotFoundError(), 2)
    assert not policy.wants(KeyError(), 3)
    assert not policy.wants(ValueError(), 1)
    assert not RetryPolicy().wants(KeyError(), 1)
    assert not RetryPolicy(retries=1).wants(KeyboardInterrupt(), 1)


def test_it_is_a_value():
    policy = RetryPolicy(3, 0.5, retry_on=OSError)
    assert policy == RetryPolicy(retries=3, delay="500ms", retry_on=(OSError,))
    assert hash(policy) == hash(pickle.loads(pickle.dumps(policy)))
    with pytest.raises(AttributeError):
        policy.retries = 4


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"retries": -1}, ValueError, "retries must not be negative"),
        ({"retries": 1.5}, TypeError, "retries must be an int"),
        ({"retries": True}, TypeError, "retries must be an int"),
        ({"delay": -1}, ValueError, "negative"),
        ({"max_delay": "forever"}, ValueError, "not a duration"),
        ({"backoff": 0.5}, ValueError, "backoff must be finite and at least 1"),
        ({"backoff": float("inf")}, ValueError, "backoff"),
        ({"backoff": "2"}, TypeError, "backoff must be a number"),
        ({"jitter": 1.5}, ValueError, "at most 1"),
        ({"jitter": float("nan")}, ValueError, "jitter"),
        ({"retry_on": "OSError"}, TypeError, "retry_on"),
        ({"retry_on": (KeyboardInterrupt,)}, TypeError, "retry_on"),
    ],
)
def test_wrong_options(options, error, words):
    with pytest.raises(error, match=words):
        RetryPolicy(**options)


def test_attempts_count_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        RetryPolicy().delay(0)
