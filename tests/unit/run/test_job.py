"""Jobs: in whichever order things happen, one outcome, and nothing is left over."""

from __future__ import annotations

import random
import threading

import pytest

from fastflow.base.timers import VirtualClock
from fastflow.errors import TaskTimeout
from fastflow.run.attempts import Attempts, State
from fastflow.run.job import Job
from fastflow.run.loop import Loop
from fastflow.run.retry import RetryPolicy

OOPS = ValueError("oops")


class UnderWay:
    """An attempt that a fake backend has taken."""

    def __init__(self, job, ticket):
        self.job, self.ticket = job, ticket
        self.has_begun = False
        self.given_up = 0
        self.taken_back = 0

    def begin(self):
        self.has_begun = True
        return self.job.begun(self.ticket)

    def cancel(self):
        if self.has_begun or self.taken_back:
            return False
        self.taken_back += 1
        self.job.left(self.ticket)
        return True

    def give_up(self):
        self.given_up += 1


class Backend:
    """Takes attempts, and leaves it to the test what becomes of them."""

    def __init__(self):
        self.sent = []
        self.kept_late = False
        self.refusal = None

    def launch(self, job, ticket):
        if self.refusal is not None:
            raise self.refusal
        under_way = UnderWay(job, ticket)
        self.sent.append(under_way)
        if not self.kept_late:
            job.keep(ticket, under_way)

    recover = launch


class Call(Job):
    __slots__ = ("told_late",)

    def limit_error(self):
        return TaskTimeout("late")

    def time_is_up(self, ticket):
        self.told_late = ticket


class Rig:
    def __init__(self, retries=0, timeout=None, delay=0.0, *, fallback=False):
        self.backend = Backend()
        self.clock = VirtualClock()
        self.ends = []
        self.job = Call(
            Attempts(
                RetryPolicy(retries, delay=1, jitter=0), timeout, delay,
                fallback=fallback,
            ),
            self.backend,
            self.clock,
            lambda job: self.ends.append(job.attempts.state),
        )  # fmt: skip

    @property
    def last(self):
        return self.backend.sent[-1]


def test_an_attempt_and_its_end():
    rig = Rig()
    rig.job.start()
    assert rig.last.begin()
    assert rig.job.returned(1, 5)
    assert not rig.job.returned(1, 6)
    assert rig.ends == [State.SUCCEEDED]
    assert rig.job.attempts.value == 5


def test_the_time_of_an_attempt_begins_with_it():
    rig = Rig(retries=1, timeout=3.0)
    rig.job.start()
    rig.clock.advance(100)
    rig.last.begin()
    rig.clock.advance(2.9)
    assert rig.ends == []
    rig.clock.advance(0.2)  # late; the second attempt is due in a second
    assert rig.last.given_up == 1
    assert rig.job.told_late == 1
    assert not rig.job.returned(1, "late")
    rig.clock.advance(1)
    assert len(rig.backend.sent) == 2
    rig.last.begin()
    assert rig.job.returned(2, "good")
    assert rig.ends == [State.SUCCEEDED]
    assert rig.clock.pending == 0


def test_a_call_that_is_kept_after_its_time_is_given_up():
    rig = Rig(retries=1, timeout=1.0)
    rig.backend.kept_late = True
    rig.job.start()
    rig.last.begin()
    rig.clock.advance(1)
    rig.job.keep(1, rig.last)
    assert rig.last.given_up == 1


def test_a_call_that_is_kept_after_its_own_end_is_left_alone():
    rig = Rig()
    rig.backend.kept_late = True
    rig.job.start()
    rig.last.begin()
    rig.job.returned(1, None)
    rig.job.keep(1, rig.last)
    assert rig.last.given_up == 0


@pytest.mark.parametrize("late", [False, True])
def test_a_cancelled_call_is_given_up(late):
    rig = Rig()
    rig.backend.kept_late = late
    rig.job.start()
    assert rig.job.cancel()
    assert not rig.job.cancel()
    if late:
        rig.job.keep(1, rig.last)
    assert rig.last.given_up == 1
    assert not rig.last.begin()
    rig.job.returned(1, 5)
    assert rig.ends == []


def test_what_a_call_has_led_to_is_kept_even_if_the_call_is_kept_later():
    rig = Rig()
    rig.backend.kept_late = True
    rig.job.start()
    rig.last.begin()
    coroutine = UnderWay(rig.job, 1)
    rig.job.keep(1, coroutine, replace=True)
    rig.job.keep(1, rig.last)
    rig.job.cancel()
    assert (coroutine.given_up, rig.last.given_up) == (1, 0)


@pytest.mark.parametrize("late", [False, True])
def test_stop_takes_back_what_has_not_begun(late):
    rig = Rig(retries=3)
    rig.backend.kept_late = late
    rig.job.start()
    rig.job.stop()
    if late:
        rig.job.keep(1, rig.last)
    assert rig.last.taken_back == 1
    assert rig.ends == [State.DROPPED]


def test_after_stop_the_attempt_that_runs_is_the_last():
    rig = Rig(retries=3)
    rig.job.start()
    rig.last.begin()
    rig.job.stop()
    assert rig.ends == []
    rig.job.raised(1, OOPS)
    assert rig.ends == [State.FAILED]
    assert len(rig.backend.sent) == 1


def test_a_backend_that_refuses():
    rig = Rig(retries=1)
    rig.backend.refusal = RuntimeError("shut down")
    rig.job.start()
    rig.clock.advance(1)
    assert rig.ends == [State.FAILED]
    assert rig.job.attempts.error is rig.backend.refusal
    assert rig.job.attempts.count == 2


def test_without_timers_a_pause_is_the_end():
    rig = Rig(retries=1)
    broken = RuntimeError("can't start new thread")

    def call_later(*_):
        raise broken

    rig.clock.call_later = call_later
    rig.job.start()
    rig.job.raised(1, OOPS)
    assert rig.ends == [State.FAILED]
    assert rig.job.attempts.error is broken


def test_a_pause_that_is_over_before_it_is_kept_does_not_hide_the_next():
    rig = Rig(retries=2)
    call_later = rig.clock.call_later

    def at_once(seconds, fn):
        rig.clock.call_later = call_later
        timer = call_later(seconds, fn)
        rig.clock.advance(seconds)  # the second attempt is sent
        rig.job.raised(2, OOPS)  # and fails: the second pause
        return timer

    rig.clock.call_later = at_once
    rig.job.start()
    rig.job.raised(1, OOPS)
    assert rig.clock.pending == 1
    rig.job.cancel()
    assert rig.clock.pending == 0


def test_a_coroutine_whose_limit_cannot_begin_ends_with_that_error():
    ended = threading.Event()

    class NoTimers(VirtualClock):
        def call_later(self, *_):
            raise RuntimeError("can't start new thread")

    class Coroutine(Call):
        __slots__ = ()
        is_async = True

    class OnLoop:
        loop = Loop()

        def launch(self, job, ticket):
            self.loop.launch(job, ticket)

    job = Coroutine(
        Attempts(None, 1.0), OnLoop(), NoTimers(), lambda _: ended.set()
    )  # fmt: skip
    job.start()
    assert ended.wait(60)
    assert "new thread" in str(job.attempts.error)


def test_the_activity_of_a_coroutine_is_counted_before_it_can_end():
    counts = []

    class Activity:
        def __init__(self):
            self.count = 0

        def enter(self):
            assert not loop._waiting  # nobody else can have taken it
            self.count += 1

        def leave(self):
            self.count -= 1
            counts.append(self.count)
            left.set()

    class Coroutine(Call):
        __slots__ = ()
        is_async = True

        async def coroutine(self, _):
            return 5

    class OnLoop:
        def launch(self, job, ticket):
            loop.launch(job, ticket)

    left = threading.Event()
    loop = Loop(Activity())
    job = Coroutine(Attempts(), OnLoop(), VirtualClock(), lambda _: None)
    job.start()
    assert left.wait(60)
    assert counts == [0]
    assert job.attempts.value == 5


@pytest.mark.parametrize("seed", range(60))
def test_events_from_several_threads(seed):
    """One outcome at most, none after a cancel that came first; no timer is left."""
    chance = random.Random(seed)
    rig = Rig(
        retries=chance.randrange(3),
        timeout=chance.choice([None, 1.0]),
        delay=chance.choice([0.0, 1.0]),
        fallback=chance.random() < 0.5,
    )
    rig.backend.kept_late = late = chance.random() < 0.5
    job, sent = rig.job, rig.backend.sent
    plans = [
        [chance.choice(("begin", "end", "raise", "time", "keep")) for _ in range(30)]
        for _ in range(3)
    ]
    for word in chance.choice([(), ("stop",), ("cancel",), ("stop", "cancel")]):
        plans[0].insert(chance.randrange(30), word)
    lock, cancelled, began = threading.Lock(), [], threading.Barrier(3)

    def act(word):
        under_way = sent[-1] if sent else None
        if word == "time":
            with lock:
                rig.clock.advance(1)
        elif word == "stop":
            job.stop()
        elif word == "cancel":
            cancelled.append(job.cancel())
        elif under_way is None:
            return
        elif word == "begin":
            under_way.begin()
        elif word == "end":
            job.returned(under_way.ticket, under_way.ticket)
        elif word == "raise":
            job.raised(under_way.ticket, OOPS)
        elif late:
            job.keep(under_way.ticket, under_way)

    def play(plan):
        began.wait()
        for word in plan:
            act(word)

    job.start()
    threads = [threading.Thread(target=play, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(20):  # whatever is still open comes to its end
        if sent:
            job.raised(sent[-1].ticket, OOPS)
        rig.clock.advance(70)
    machine = job.attempts
    assert machine.ended
    assert len(rig.ends) == (not any(cancelled))
    assert machine.count <= 3
    assert rig.clock.pending == 0
    assert [under_way.ticket for under_way in sent] == list(range(1, len(sent) + 1))
