"""Shared state: expiry, atomic operations, bounded memory."""

from __future__ import annotations

import threading

import pytest

from fastflow.base.timers import VirtualClock
from fastflow.workflows.state import State


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def state(clock):
    return State(clock)


def test_get_set_delete(state):
    assert state.get("x") is None
    assert state.get("x", 5) == 5
    value = []
    state.set("x", value)
    assert state.get("x") is value
    assert state.keys() == ["x"]
    assert state.delete("x")
    assert not state.delete("x")


@pytest.mark.parametrize("falsy", [None, 0, "", False, []])
def test_falsy_values_are_values(state, falsy):
    state.set("x", falsy)
    assert state.get("x", "default") == falsy
    assert state.delete("x")


def test_values_expire(state, clock):
    state.set("x", 1, ttl="10s")
    clock.advance(9)
    assert state.get("x") == 1
    clock.advance(1)
    assert state.get("x") is None
    assert state.keys() == []


def test_setting_again_replaces_the_expiry(state, clock):
    state.set("x", 1, ttl=10)
    state.set("x", 2)
    clock.advance(100)
    assert state.get("x") == 2


def test_incr(state, clock):
    assert [state.incr("n"), state.incr("n", 2), state.incr("n", -0.5)] == [1, 3, 2.5]
    assert state.incr("limited", ttl=10) == 1
    clock.advance(5)
    assert state.incr("limited", ttl=10) == 2
    clock.advance(5)  # ten seconds after it was made, not after the last change
    assert state.incr("limited", ttl=10) == 1


def test_update_keeps_the_expiry(state, clock):
    state.set("x", [1], ttl=10)
    assert state.update("x", lambda old: [*old, 2]) == [1, 2]
    assert state.update("y", lambda old: old + 1, default=0) == 1
    clock.advance(10)
    assert state.get("x") is None
    assert state.get("y") == 1


def test_update_of_an_expired_value_starts_anew(state, clock):
    state.set("x", 5, ttl=1)
    clock.advance(1)
    assert state.update("x", lambda old: old + 1, default=0) == 1
    clock.advance(100)
    assert state.get("x") == 1


def test_incr_is_atomic(state):
    def work():
        for _ in range(2000):
            state.incr("n")
            state.update("m", lambda old: old + 1, 0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (state.get("n"), state.get("m")) == (8000, 8000)


def test_expired_values_do_not_pile_up(state, clock):
    for n in range(10_000):
        state.set(n, n, ttl=1)
        clock.advance(0.5)
    assert len(state._values) < 1000


@pytest.mark.parametrize("ttl", [-1, "soon"])
def test_wrong_ttl(state, ttl):
    with pytest.raises(ValueError):
        state.set("x", 1, ttl=ttl)
    assert state.get("x") is None
