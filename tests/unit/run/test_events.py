"""Subscribers: who is told what, and that nothing goes wrong because somebody looks."""

from __future__ import annotations

import logging
import threading

import pytest

from fastflow.base.timers import VirtualClock
from fastflow.errors import Cancelled, TaskTimeout
from fastflow.run.attempts import Attempts
from fastflow.run.events import Events, JobKey
from fastflow.run.job import Job
from fastflow.run.retry import RetryPolicy

KEY = JobKey("run", "1", "load")
OOPS = ValueError("oops")


class Everything:
    """Keeps all that it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        if not name.startswith(("run_", "job_")):
            raise AttributeError(name)
        return lambda *what: self.told.append((name, *what))


class Ends:
    def __init__(self):
        self.ends = []

    def job_ended(self, key, attempt, time, error):
        self.ends.append((key, attempt, time, error))


class Broken(Ends):
    def job_started(self, key, attempt, time):
        raise RuntimeError("can't stand it")


def tell_all(events):
    events.run_started("run")
    events.job_started(KEY, 1)
    events.job_retrying(KEY, 1, OOPS)
    events.job_ended(KEY, 2, None)
    events.job_recalled(KEY, 2)
    events.run_ended("run", OOPS)


def test_everybody_is_told_what_he_wants_to_know():
    everything, ends = Everything(), Ends()
    times = iter(range(100))
    tell_all(Events([everything, ends], lambda: next(times)))
    assert everything.told == [
        ("run_started", "run", 0),
        ("job_started", KEY, 1, 1),
        ("job_retrying", KEY, 1, 2, OOPS),
        ("job_ended", KEY, 2, 3, None),
        ("job_recalled", KEY, 2, 4),
        ("run_ended", "run", 5, OOPS),
    ]
    assert ends.ends == [(KEY, 2, 3, None)]


def test_one_that_raises_is_told_nothing_any_more(caplog):
    broken, ends = Broken(), Ends()
    events = Events([broken, ends], lambda: 0)
    with caplog.at_level(logging.ERROR, "fastflow"):
        tell_all(events)
        tell_all(events)
    assert broken.ends == []
    assert len(ends.ends) == 2
    (record,) = caplog.records
    assert record.name == "fastflow"
    assert "Broken" in record.message
    assert "can't stand it" in str(record.exc_info[1])


def test_one_that_raises_in_many_threads_is_logged_once(caplog):
    inside = threading.Barrier(4)

    class Together:
        def job_started(self, key, attempt, time):
            inside.wait(30)
            raise RuntimeError

    events = Events([Together()], lambda: 0)
    threads = [
        threading.Thread(target=events.job_started, args=(KEY, 1)) for _ in range(4)
    ]
    with caplog.at_level(logging.ERROR, "fastflow"):
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert len(caplog.records) == 1


def test_ctrl_c_passes():
    class Interrupted:
        def run_started(self, run, time):
            raise KeyboardInterrupt

    events = Events([Interrupted()])
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            events.run_started("run")


def test_without_subscribers_there_is_nothing():
    assert Events.of([]) is None
    assert Events.of([Ends()]) is not None
    with pytest.raises(TypeError, match="no subscriber"):
        Events.of([Ends(), print])


# Jobs


class Backend:
    def __init__(self):
        self.refusal = None

    def launch(self, job, ticket):
        if self.refusal is not None:
            raise self.refusal

    recover = launch


class Call(Job):
    __slots__ = ("events", "key")

    def limit_error(self):
        return TaskTimeout("late")


class Rig:
    def __init__(self, retries=0, timeout=None, *, fallback=False):
        self.clock = VirtualClock()
        self.backend = Backend()
        self.subscriber = Everything()
        policy = RetryPolicy(retries, delay=1, jitter=0)
        attempts = Attempts(policy, timeout, fallback=fallback)
        self.job = Call(attempts, self.backend, self.clock, self.done)
        self.job.events = Events([self.subscriber], self.clock.now)
        self.job.key = KEY

    def done(self, job):
        self.subscriber.told.append("done")

    @property
    def told(self):
        return [
            each if each == "done" else (each[0].removeprefix("job_"), *each[2:])
            for each in self.subscriber.told
        ]


def test_a_job_tells_of_its_attempts():
    rig = Rig(retries=1, timeout=5)
    rig.job.start()
    assert rig.told == []
    rig.clock.advance(3)  # it waits for a worker
    rig.job.begun(1)
    rig.job.begun(1)  # who makes it may say so, too
    rig.job.raised(1, OOPS)
    rig.job.returned(1, "late")
    rig.clock.advance(1)
    rig.job.begun(2)
    rig.job.returned(2, "well")
    rig.job.cancel()
    assert rig.told == [
        ("started", 1, 3.0),
        ("retrying", 1, 3.0, OOPS),
        ("started", 2, 4.0),
        ("ended", 2, 4.0, None),
        "done",
    ]


def test_a_job_tells_of_limits_and_of_its_error():
    rig = Rig(retries=1, timeout=5)
    rig.job.start()
    rig.job.begun(1)
    rig.clock.advance(6)
    rig.job.begun(2)
    rig.clock.advance(5)
    assert [each[:2] for each in rig.told[:-1]] == [
        ("started", 1), ("retrying", 1), ("started", 2), ("ended", 2),
    ]  # fmt: skip
    late = rig.told[1][-1], rig.told[3][-1]
    assert [str(each) for each in late] == ["late", "late"]
    assert rig.told[-1] == "done"


def test_the_fallback_is_no_attempt():
    rig = Rig(fallback=True)
    rig.job.start()
    rig.job.begun(1)
    rig.job.raised(1, OOPS)
    rig.job.begun(2)
    rig.job.returned(2, "instead")
    assert rig.told == [("started", 1, 0.0), ("ended", 1, 0.0, None), "done"]


@pytest.mark.parametrize("begins", [False, True])
def test_what_is_cancelled_says_so_once(begins):
    rig = Rig()
    rig.job.start()
    if begins:
        rig.job.begun(1)
    assert rig.job.cancel()
    assert not rig.job.cancel()
    rig.job.returned(1, "late")
    *_, (what, attempt, _, error) = rig.told
    assert (what, attempt, type(error)) == ("ended", 1, Cancelled)
    assert len(rig.told) == 1 + begins


def test_what_is_stopped_before_it_begins_says_so():
    rig = Rig(retries=1)
    rig.job.start()
    rig.job.raised(1, OOPS)
    rig.job.stop()
    what, attempt, _, error = rig.told[-2]
    assert (what, attempt, type(error)) == ("ended", 1, Cancelled)
    assert rig.told[-1] == "done"


def test_a_backend_that_refuses_is_told_as_the_end():
    rig = Rig()
    rig.backend.refusal = OOPS
    rig.job.start()
    assert rig.told == [("ended", 1, 0.0, OOPS), "done"]
