"""The records of a durable step are what the pure machine of its call says.

A step is run by a real runner, whose process dies in attempts and at commits; what it
records is worked out a second time, from the machine alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from fastflow.base.timers import VirtualClock
from fastflow.durable import (
    DurableRunner,
    RetryDecision,
    StepConfig,
    StepError,
    StepSemantics,
    durable_execution,
)
from fastflow.durable.retries import StepPolicy
from fastflow.journal.memory import MemoryJournal
from fastflow.journal.records import BEGUN, FAILED, RETRYING, SUCCEEDED
from fastflow.run.attempts import Attempts, Do

PAUSES = (1.0, 0.0, 7.25)
INTERRUPTED = "whether it took effect is not known"


class Died(BaseException):
    """The process is killed."""


def strategy(error, attempt):
    """Try three times again, but not what is hopeless."""
    if isinstance(error, KeyError) or attempt > len(PAUSES):
        return RetryDecision.no_retry()
    if isinstance(error, LookupError):
        raise ArithmeticError("the strategy's own")
    return RetryDecision.retry(PAUSES[attempt - 1])


ERRORS = {"again": ValueError, "hopeless": KeyError, "puzzling": LookupError}


@dataclass
class Script:
    """What happens: in each call of the function, and at each commit of a record.

    After its end everything goes well.
    """

    calls: list
    commits: list
    called: int = 0
    committed: int = 0
    kept: list = field(default_factory=list)
    """(action, attempt, pause in seconds) of each record in the journal."""
    outcome: object = None
    """What the machine has come to."""

    def call(self):
        """Be the function of the step."""
        self.called += 1
        what = self.calls[self.called - 1] if self.called <= len(self.calls) else "well"
        if what == "dies":
            raise Died
        if what in ERRORS:
            raise ERRORS[what](what)
        return what

    def commit(self, record):
        """Keep a record, unless the process dies before."""
        self.committed += 1
        number = self.committed
        what = self.commits[number - 1] if number <= len(self.commits) else ""
        if what == "dies before":
            raise Died
        self.kept.append(record)
        if what == "dies after":
            raise Died

    def probe(self, moment, records):
        """Be the writer's probe."""
        found = [record for record in records if record.name == "it"]
        assert len(found) <= 1
        if not found:
            return
        number = self.committed + (moment == "before_commit")
        what = self.commits[number - 1] if number <= len(self.commits) else ""
        if moment == "before_commit":
            self.committed = number
            if what == "dies before":
                raise Died
            return
        record = found[0]
        pause = (record.due - record.at) / 1e6 if record.action == RETRYING else None
        self.kept.append((record.action, record.attempt, pause))
        if what == "dies after":
            raise Died


def really(script, *, once, limit):
    """Run it until it has ended; return its outcome."""
    journal = MemoryJournal()
    semantics = [
        StepSemantics.AT_LEAST_ONCE_PER_RETRY, StepSemantics.AT_MOST_ONCE_PER_RETRY
    ][once]  # fmt: skip
    config = StepConfig(strategy, semantics, timeout=60 if limit else None)

    @durable_execution(name="tests.attempts")
    def program(_, context):
        return context.step(lambda _: script.call(), "it", config)

    for _ in range(len(script.calls) + len(script.commits) + 1):
        with DurableRunner(
            journal, _clock=VirtualClock(), _probe=script.probe
        ) as runner:
            try:
                return runner.run(program, None, "x")
            except Died:
                continue
            except StepError as error:
                return error.error_type
    raise AssertionError("it goes on for ever")


def by_the_machine(script, *, once):
    """Do what the machine says, and no more; return the outcome."""
    while True:
        try:
            return _one_life(script, once)
        except Died:
            continue


def _one_life(script, once):
    attempts = Attempts(StepPolicy(strategy))
    last = script.kept[-1] if script.kept else None
    if last is None:
        action = attempts.start()
    elif last[0] == RETRYING:
        attempts.resume(last[1], sent=False)
        action = attempts.due()
    elif last[0] == BEGUN:
        attempts.resume(last[1], sent=True)
        action = attempts.raised(attempts.live, InterruptedError(INTERRUPTED))
    else:
        return _outcome(script, last)
    while action is not Do.DELIVER:
        if action is Do.CALL:
            if once:
                script.commit((BEGUN, attempts.count, None))
            try:
                action = attempts.returned(attempts.live, script.call())
            except Exception as error:
                action = attempts.raised(attempts.live, error)
        else:
            assert action is Do.PAUSE
            script.commit((RETRYING, attempts.count, attempts.pause))
            action = attempts.due()
    last = (SUCCEEDED if attempts.succeeded else FAILED, attempts.count, None)
    script.outcome = attempts.value if attempts.succeeded else attempts.error
    script.commit(last)
    return _outcome(script, last)


def _outcome(script, last):
    if last[0] == SUCCEEDED:
        return script.outcome
    if isinstance(script.outcome, InterruptedError):
        return "fastflow.durable.exceptions.StepInterruptedError"
    return type(script.outcome).__name__


CALLS = st.lists(
    st.sampled_from(["again", "again", "again", "dies", "well", *ERRORS]), max_size=7
)
COMMITS = st.lists(
    st.sampled_from(["", "", "", "dies before", "dies after"]), max_size=7
)


@settings(max_examples=150, deadline=None)
@given(calls=CALLS, commits=COMMITS, once=st.booleans(), limit=st.booleans())
@example(calls=["again"] * 3 + ["dies"], commits=[""] * 7, once=True, limit=False)
@example(calls=["again", "dies", "again"], commits=["dies after"] * 3, once=True,
         limit=True)  # fmt: skip
@example(calls=["puzzling"], commits=["dies before"], once=False, limit=False)
def test_records_are_what_the_machine_says(calls, commits, once, limit):
    real, model = Script(calls, commits), Script(calls, commits)
    outcome = really(real, once=once, limit=limit)
    assert outcome == by_the_machine(model, once=once)
    assert real.kept == model.kept
    assert (real.called, real.committed) == (model.called, model.committed)
    event(f"{len(real.kept)} records")
