"""The machine of one call against a plain model, in virtual time.

The model is written from what is promised (docs/attempts.md), not from the machine.
"""

from __future__ import annotations

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fastflow.run.attempts import TRANSITIONS, Attempts, Do

PAUSES = (1.0, 0.0, 7.0)
ERRORS = {
    "again": ValueError("worth another attempt"),
    "hopeless": KeyError("not worth one"),
    "end": KeyboardInterrupt(),
    "late": TimeoutError(),
    "broken": ArithmeticError("the policy's own"),
}


class Policy:
    """`retries` more attempts for some errors."""

    def __init__(self, retries, *, broken=False):
        self.retries = retries
        self.broken = broken

    def decide(self, error, attempt):
        if self.broken:
            raise ERRORS["broken"]
        wanted = isinstance(error, ValueError | TimeoutError)
        return PAUSES[attempt - 1] if wanted and attempt <= self.retries else None


class Model:
    """What should come of a call."""

    def __init__(self, retries, timeout, delay, *, fallback, broken):
        self.retries, self.timeout, self.delay = retries, timeout, delay
        self.fallback, self.broken = fallback, broken
        self.attempts = 0
        self.recovered = 0
        self.stopped = False
        self.started = False
        self.open = None  # "attempt" or "fallback", while its end is waited for
        self.has_begun = False
        self.began = 0.0  # when
        self.wake = None  # when the pause is over
        self.end = None  # ("value", ...), ("error", ...) or ("nothing",)

    def start(self, now):
        if self.started or self.end:
            return Do.NOTHING
        self.started = True
        if self.delay:
            self.wake = now + self.delay
            return Do.PAUSE
        return self.next_attempt()

    def next_attempt(self):
        self.attempts += 1
        self.open, self.has_begun, self.wake = "attempt", False, None
        return Do.CALL

    def due(self):
        return Do.NOTHING if self.wake is None else self.next_attempt()

    @property
    def is_new(self):
        return not (self.started or self.end)

    def recalled(self, value):
        return self.over("value", value) if self.is_new else Do.NOTHING

    def refused(self, error):
        if self.wake is None and not self.is_new:
            return Do.NOTHING
        return self.over("error", error)

    def begun(self, now):
        if self.open != "attempt" or self.has_begun:
            return Do.NOTHING
        self.has_begun, self.began = True, now
        return Do.LIMIT if self.timeout else Do.NOTHING

    def returned(self, value):
        return self.over("value", value) if self.open else Do.NOTHING

    def raised(self, error, now, final=False):
        if not self.open:
            return Do.NOTHING
        if self.open == "fallback":
            return self.over("error", error)
        worth_it = isinstance(error, ValueError | TimeoutError)
        if not (final or self.stopped):
            if self.broken:
                error = ERRORS["broken"]
            elif worth_it and self.attempts < 1 + self.retries:
                self.open = None
                self.wake = now + PAUSES[self.attempts - 1]
                return Do.PAUSE
        if self.fallback and isinstance(error, Exception):
            self.open = "fallback"
            self.recovered += 1
            return Do.RECOVER
        return self.over("error", error)

    def expired(self, error, now):
        return self.raised(error, now) if self.open == "attempt" else Do.NOTHING

    def stop(self):
        self.stopped = True
        if self.open or self.end:
            return Do.NOTHING
        return self.over("nothing")

    def left(self):
        return self.over("nothing") if self.open and self.stopped else Do.NOTHING

    def cancel(self):
        return Do.NOTHING if self.end else self.over("nothing")

    def over(self, *end):
        assert self.end is None
        self.started = True
        self.end, self.open, self.wake = end, None, None
        return Do.DROP if end == ("nothing",) else Do.DELIVER


class Pair:
    """The machine and the model, told the same; they must say the same."""

    def __init__(self, retries, timeout, delay, *, fallback, broken):
        policy = None if retries is None else Policy(retries, broken=broken)
        self.machine = Attempts(policy, timeout, delay, fallback=fallback)
        self.model = Model(
            retries or 0, timeout, delay,
            fallback=fallback, broken=broken and policy is not None,
        )  # fmt: skip
        self.now = 0.0
        self.tickets = []  # all that there were
        self.values = 0
        self.told = []  # what the caller was told: once at most

    def tell(self, event, ticket=None, observed=None, **more):
        """Tell both; `ticket`: None is the live one."""
        machine, model = self.machine, self.model
        before = machine.state
        if event in ("begun", "returned", "raised", "expired", "left"):
            live = machine.live if ticket is None else ticket
            counts = bool(live) and live == machine.live
            given = [live, *more.get("args", ())]
        else:
            counts, given = True, list(more.get("args", ()))
        final = {"final": True} if more.get("final") else {}
        action = getattr(machine, event)(*given, **final)
        expected = Do.NOTHING
        if counts:
            timed = event in ("start", "begun", "raised", "expired")
            expected = getattr(model, event)(
                *more.get("args", ()), *([self.now] if timed else []), **final
            )
        assert action is expected, (event, before)
        nothing = frozenset({(before, Do.NOTHING)})
        if event == "left" and not model.stopped:
            counts = False  # the host tells `raised` then
        if counts:
            allowed = TRANSITIONS.get((before, event), nothing)
            assert (machine.state, action) in allowed, (event, before)
            if observed is not None and (before, event) in TRANSITIONS:
                observed.add((before, event, machine.state, action))
        else:
            assert (machine.state, action) == (before, Do.NOTHING)
        if action in (Do.CALL, Do.RECOVER):
            assert machine.live not in (0, *self.tickets)
            self.tickets.append(machine.live)
        if action in (Do.DELIVER, Do.DROP):
            self.told.append(action)
        self.check()
        return action

    def pass_time(self, seconds):
        """What a host does: pauses end, limits expire, in their order."""
        end = self.now + seconds
        while True:
            model, machine = self.model, self.machine
            if model.wake is not None:
                assert machine.pause >= 0
                when, event, args = model.wake, "due", ()
            elif model.open == "attempt" and model.has_begun and model.timeout:
                when, event = model.began + model.timeout, "expired"
                args = (ERRORS["late"],)
            else:
                break
            if when > end:
                break
            self.now = max(self.now, when)
            assert event == "due" or machine.is_limited
            self.tell(event, args=args)
        self.now = end

    def check(self):
        machine, model = self.machine, self.model
        assert machine.count == model.attempts <= 1 + model.retries
        assert model.recovered <= 1
        assert len(self.told) == (model.end is not None) == machine.ended
        assert bool(machine.live) == (model.open is not None)
        assert machine.stopping == model.stopped
        if model.open == "attempt":
            assert machine.is_limited == bool(model.timeout)
        if model.wake is not None and self.machine.pause:
            assert model.wake > self.now - 1e-9
        if model.end and model.end[0] == "value":
            assert machine.value == model.end[1]
        if model.end and model.end[0] == "error":
            assert machine.error is model.end[1]

    def value(self):
        self.values += 1
        return self.values


class CallMachine(RuleBasedStateMachine):
    """Any events in any order, of any ticket."""

    @initialize(
        retries=st.sampled_from([None, 0, 1, 3]),
        timeout=st.sampled_from([None, 4.0]),
        delay=st.sampled_from([0.0, 2.0]),
        fallback=st.booleans(),
        broken=st.sampled_from([False, False, False, True]),
    )
    def begin(self, retries, timeout, delay, fallback, broken):
        self.pair = Pair(retries, timeout, delay, fallback=fallback, broken=broken)

    def tell(self, event, ticket=None, **more):
        before = self.pair.model.wake
        action = self.pair.tell(event, ticket, **more)
        if action is Do.PAUSE:
            seconds = self.pair.model.wake - self.pair.now
            assert self.pair.machine.pause == seconds
        elif event != "due" and self.pair.model.wake is not None:
            assert self.pair.model.wake == before

    @rule()
    def start(self):
        self.tell("start")

    @rule(often=st.integers(0, 4))
    def the_result_is_known(self, often):
        if often == 4:
            self.tell("recalled", args=(self.pair.value(),))

    @rule()
    def due_too_often(self):
        """A timer that comes twice, or too late, does not shorten the next pause."""
        if self.pair.model.wake is None:
            self.tell("due")

    @rule(stale=st.integers(0, 5), live=st.sampled_from([True, True, True, False]))
    def begins(self, stale, live):
        self.tell("begun", self.ticket(stale, live))

    @rule(stale=st.integers(0, 5), live=st.sampled_from([True, False]))
    def returns(self, stale, live):
        self.tell("returned", self.ticket(stale, live), args=(self.pair.value(),))

    @rule(
        stale=st.integers(0, 5),
        live=st.sampled_from([True, True, True, False]),
        error=st.sampled_from(["again", "again", "again", "hopeless", "end"]),
        final=st.sampled_from([False, False, False, True]),
    )
    def raises(self, stale, live, error, final):
        self.tell(
            "raised", self.ticket(stale, live), args=(ERRORS[error],), final=final
        )

    @rule(stale=st.integers(0, 5))
    def a_stale_limit(self, stale):
        self.tell("expired", self.ticket(stale, False), args=(ERRORS["late"],))

    @precondition(lambda self: self.pair.model.open)
    @rule()
    def a_limit_that_began_earlier(self):
        """A backend may let the time begin before it sees an attempt begin."""
        self.tell("expired", args=(ERRORS["late"],))

    @rule(seconds=st.sampled_from([0.0, 1.0, 3.0, 4.0, 20.0]))
    def time_passes(self, seconds):
        self.pair.pass_time(seconds)

    @rule(often=st.integers(0, 4))
    def there_are_no_timers(self, often):
        if often == 4:
            self.tell("refused", args=(ERRORS["hopeless"],))

    @rule(often=st.integers(0, 4))
    def stop(self, often):
        if often == 4:
            self.tell("stop")

    @rule(stale=st.integers(0, 5), live=st.booleans())
    def is_left(self, stale, live):
        self.tell("left", self.ticket(stale, live))

    @rule(often=st.integers(0, 4))
    def cancel(self, often):
        if often == 4:
            self.tell("cancel")

    def ticket(self, stale, live):
        """None for the live one; else one of all others there were, or none."""
        others = [t for t in self.pair.tickets if t != self.pair.machine.live]
        return None if live else [0, -1, 10**6, *others][stale % (3 + len(others))]

    @invariant()
    def nothing_runs_longer_than_its_limit(self):
        if not hasattr(self, "pair"):
            return
        model = self.pair.model
        if model.open == "attempt" and model.has_begun and model.timeout:
            assert self.pair.now < model.began + model.timeout


def test_any_events_in_any_order():
    run_state_machine_as_test(
        CallMachine, settings=settings(max_examples=150, stateful_step_count=25)
    )


EVERYTHING = (
    ("start", {}),
    ("recalled", {"args": ("known",)}),
    ("due", {}),
    ("refused", {"args": (ERRORS["hopeless"],)}),
    ("begun", {}),
    ("returned", {"args": ("value",)}),
    *(("raised", {"args": (ERRORS[name],)}) for name in ("again", "hopeless", "end")),
    ("raised", {"args": (ERRORS["again"],), "final": True}),
    ("expired", {"args": (ERRORS["late"],)}),
    ("stop", {}),
    ("left", {}),
    ("cancel", {}),
)


def test_every_way_that_two_attempts_can_go():
    """All sequences of events, without those that lead to what was met before."""
    observed = set()
    met = set()
    todo = [
        Pair(retries, timeout, delay, fallback=fallback, broken=broken)
        for retries in (0, 1)
        for timeout in (None, 4.0)
        for delay in (0.0, 2.0)
        for fallback in (False, True)
        for broken in (False, True)
    ]
    while todo:
        pair = todo.pop()
        for event, more in EVERYTHING:
            after = copy.deepcopy(pair, {id(e): e for e in ERRORS.values()})
            after.tell(event, observed=observed, **more)
            key = repr([vars(after.model), after.machine.state, after.machine.live])
            if key not in met:
                met.add(key)
                todo.append(after)
    assert observed == {
        (state, event, after, do)
        for (state, event), ends in TRANSITIONS.items()
        for after, do in ends
    }
