"""The machine of one call: every event in every state, with live and stale tickets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastflow.run.attempts import TRANSITIONS, Attempts, Do, State
from fastflow.run.retry import RetryPolicy

DRAWING = Path(__file__).resolve().parents[3] / "docs" / "attempts.md"

OOPS = ValueError("oops")
LATE = TimeoutError("late")

EVENTS = (
    "start", "recalled", "due", "refused", "begun", "returned", "raised", "expired",
    "stop", "left", "cancel",
)  # fmt: skip
WITH_TICKET = ("begun", "returned", "raised", "expired", "left")


def machine(*, retries=0, timeout=None, delay=0.0, fallback=False):
    policy = RetryPolicy(retries, delay=2, backoff=3, jitter=0)
    return Attempts(policy, timeout, delay, fallback=fallback)


def brought_to(state, **options):
    """A machine in a state, by way of the usual events."""
    if state is State.PAUSED:
        options["delay"] = 5.0
    if state is State.RECOVERING:
        options |= {"fallback": True, "retries": 0}
    made = machine(**options)
    if state is State.NEW:
        return made
    made.start()
    if state is State.RUNNING or state is State.RECOVERING:
        made.begun(made.live)
    if state is State.RECOVERING:
        made.raised(made.live, OOPS)
    if state is State.SUCCEEDED:
        made.returned(made.live, 1)
    if state is State.FAILED:
        made._retry = None
        made._fallback = False
        made.raised(made.live, OOPS)
    if state is State.DROPPED:
        made.cancel()
    assert made.state is state
    return made


def tell(made, event, ticket=0):
    more = {"returned": (7,), "raised": (OOPS,), "expired": (LATE,)}.get(event, ())
    if event in WITH_TICKET:
        return getattr(made, event)(ticket, *more)
    told = {"refused": (OOPS,), "recalled": (7,)}.get(event, ())
    return getattr(made, event)(*told)


def snapshot(made):
    return {name: getattr(made, name) for name in Attempts.__slots__}


# What follows if there is another attempt and a limit, without `stop` before.
LIVE = {
    (State.NEW, "start"): (State.SENT, Do.CALL),
    (State.NEW, "recalled"): (State.SUCCEEDED, Do.DELIVER),
    (State.NEW, "refused"): (State.FAILED, Do.DELIVER),
    (State.NEW, "stop"): (State.DROPPED, Do.DROP),
    (State.NEW, "cancel"): (State.DROPPED, Do.DROP),
    (State.PAUSED, "due"): (State.SENT, Do.CALL),
    (State.PAUSED, "refused"): (State.FAILED, Do.DELIVER),
    (State.PAUSED, "stop"): (State.DROPPED, Do.DROP),
    (State.PAUSED, "cancel"): (State.DROPPED, Do.DROP),
    (State.SENT, "begun"): (State.RUNNING, Do.LIMIT),
    (State.SENT, "returned"): (State.SUCCEEDED, Do.DELIVER),
    (State.SENT, "raised"): (State.PAUSED, Do.PAUSE),
    (State.SENT, "expired"): (State.PAUSED, Do.PAUSE),
    (State.SENT, "cancel"): (State.DROPPED, Do.DROP),
    (State.RUNNING, "returned"): (State.SUCCEEDED, Do.DELIVER),
    (State.RUNNING, "raised"): (State.PAUSED, Do.PAUSE),
    (State.RUNNING, "expired"): (State.PAUSED, Do.PAUSE),
    (State.RUNNING, "cancel"): (State.DROPPED, Do.DROP),
    (State.RECOVERING, "returned"): (State.SUCCEEDED, Do.DELIVER),
    (State.RECOVERING, "raised"): (State.FAILED, Do.DELIVER),
    (State.RECOVERING, "cancel"): (State.DROPPED, Do.DROP),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", State)
def test_what_follows_an_event(state, event):
    made = brought_to(state, retries=1, timeout=4.0)
    before = snapshot(made)
    expected = LIVE.get((state, event), (state, Do.NOTHING))
    action = tell(made, event, made.live)
    assert (made.state, action) == expected
    if expected == (state, Do.NOTHING) and event != "stop":
        assert snapshot(made) == before


@pytest.mark.parametrize("event", WITH_TICKET)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("stopped", [False, True])
def test_of_a_ticket_that_is_not_live_nothing_follows(state, event, stopped):
    made = brought_to(state, retries=1, timeout=4.0, fallback=True)
    if stopped:
        made.stop()
    before = snapshot(made)
    for ticket in {0, made.live - 1, made.live + 1} - {made.live or None}:
        assert tell(made, event, ticket) is Do.NOTHING
        assert snapshot(made) == before


@pytest.mark.parametrize("state", [State.SENT, State.RUNNING, State.RECOVERING])
def test_left_counts_after_stop_only(state):
    made = brought_to(state, retries=1)
    assert made.left(made.live) is Do.NOTHING
    assert made.state is state
    assert made.stop() is Do.NOTHING
    assert made.left(made.live) is Do.DROP
    assert made.state is State.DROPPED
    assert made.live == 0


@pytest.mark.parametrize("state", [State.SENT, State.RUNNING])
@pytest.mark.parametrize("event", ["raised", "expired"])
def test_after_stop_there_is_no_further_attempt(state, event):
    made = brought_to(state, retries=9)
    made.stop()
    assert made.stopping
    assert tell(made, event, made.live) is Do.DELIVER
    assert made.state is State.FAILED
    assert made.count == 1


@pytest.mark.parametrize("event", ["raised", "expired"])
def test_the_fallback_comes_after_the_last_attempt(event):
    made = machine(retries=1, fallback=True)
    made.start()
    first = made.live
    assert tell(made, event, first) is Do.PAUSE
    made.due()
    second = made.live
    assert tell(made, event, second) is Do.RECOVER
    third = made.live
    assert len({0, first, second, third}) == 4
    assert made.count == 2
    assert made.error is (OOPS if event == "raised" else LATE)
    assert made.returned(second, "late") is Do.NOTHING
    assert made.returned(third, "instead") is Do.DELIVER
    assert made.value == "instead"


def test_a_fallback_that_raises_is_the_end():
    made = brought_to(State.RECOVERING)
    other = KeyError()
    assert made.raised(made.live, other) is Do.DELIVER
    assert (made.state, made.error) == (State.FAILED, other)


def test_a_fallback_has_no_limit():
    made = brought_to(State.RECOVERING, timeout=1.0)
    assert not made.is_limited
    assert made.begun(made.live) is Do.NOTHING
    assert made.expired(made.live, LATE) is Do.NOTHING
    assert made.state is State.RECOVERING


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_is_no_exception_is_neither_retried_nor_recovered(error):
    made = machine(retries=5, fallback=True)
    made.start()
    assert made.raised(made.live, error) is Do.DELIVER
    assert made.error is error


def test_a_final_error_is_not_retried_but_recovered():
    made = machine(retries=5, fallback=True)
    made.start()
    assert made.raised(made.live, OOPS, final=True) is Do.RECOVER
    made = machine(retries=5)
    made.start()
    assert made.raised(made.live, OOPS, final=True) is Do.DELIVER


def test_delays_are_those_of_the_policy():
    made = machine(retries=3, delay=0.5)
    pauses = []
    action = made.start()
    while action is not Do.DELIVER:
        if action is Do.PAUSE:
            pauses.append(made.pause)
            action = made.due()
        else:
            assert action is Do.CALL
            action = made.raised(made.live, OOPS)
    assert pauses == [0.5, 2.0, 6.0, 18.0]
    assert made.count == 4


def test_without_a_policy_there_is_one_attempt():
    made = Attempts()
    assert made.start() is Do.CALL
    assert made.begun(made.live) is Do.NOTHING
    assert made.raised(made.live, OOPS) is Do.DELIVER


@pytest.mark.parametrize("fallback", [False, True])
def test_a_policy_that_raises_ends_the_call_with_its_error(fallback):
    broken = ZeroDivisionError()

    class Policy:
        def decide(self, error, attempt):
            raise broken

    made = Attempts(Policy(), fallback=fallback)
    made.start()
    expected = (Do.RECOVER, State.RECOVERING) if fallback else (
        Do.DELIVER, State.FAILED
    )  # fmt: skip
    assert (made.raised(made.live, OOPS), made.state) == expected
    assert made.error is broken


def test_a_policy_is_asked_with_the_number_of_the_attempt():
    asked = []

    class Policy:
        def decide(self, error, attempt):
            asked.append((error, attempt))
            return 0.0 if attempt < 2 else None

    made = Attempts(Policy())
    made.start()
    made.raised(made.live, OOPS)
    made.due()
    made.expired(made.live, LATE)
    assert asked == [(OOPS, 1), (LATE, 2)]


@pytest.mark.parametrize("limited", [False, True])
def test_going_on_with_a_pause(limited):
    made = machine(retries=2, timeout=3.0 if limited else None)
    made.resume(2, sent=False)
    assert (made.state, made.live, made.count) == (State.PAUSED, 0, 2)
    assert made.start() is Do.NOTHING
    assert made.due() is Do.CALL
    assert made.count == 3
    assert made.begun(made.live) is (Do.LIMIT if limited else Do.NOTHING)
    assert made.raised(made.live, OOPS) is Do.DELIVER


def test_going_on_with_an_attempt_whose_end_nobody_knows():
    made = machine(retries=2)
    made.resume(2, sent=True)
    assert (made.state, made.count) == (State.SENT, 2)
    assert made.start() is Do.NOTHING
    assert made.due() is Do.NOTHING
    assert made.raised(made.live, OOPS) is Do.PAUSE
    assert made.pause == 6.0
    assert made.due() is Do.CALL
    assert made.raised(made.live, OOPS) is Do.DELIVER


@pytest.mark.parametrize("state", State)
def test_whether_it_has_ended(state):
    made = brought_to(state)
    assert made.ended == (state in (State.SUCCEEDED, State.FAILED, State.DROPPED))
    assert (made.live == 0) == (made.ended or state in (State.NEW, State.PAUSED))


def flat(transitions):
    return {
        (state.value, event, after.value, do.value)
        for (state, event), ends in transitions.items()
        for after, do in ends
    }


def test_the_table_in_the_docs_is_that_of_the_code():
    rows = re.findall(
        r"^\| (\w+) \| (\w+) \| (\w+) \| (\w+) \|", DRAWING.read_text("utf-8"), re.M
    )
    rows = rows[1:]  # the head
    assert len(rows) == len(set(rows))
    assert set(rows) == flat(TRANSITIONS)


def test_the_drawing_in_the_docs_is_that_of_the_code():
    arrows = re.findall(
        r"^ +(\w+) --> (\w+): (.+) / (\w+)$", DRAWING.read_text("utf-8"), re.M
    )
    drawn = {
        (state, event, after, do)
        for state, after, events, do in arrows
        for event in events.split(", ")
    }
    assert drawn == flat(TRANSITIONS)
