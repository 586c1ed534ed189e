"""What subscribers are told, whoever makes the calls."""

from __future__ import annotations

import threading
from typing import Any

from contract.behaviour import calls
from contract.behaviour.calls import Scratch
from contract.behaviour.machines import EVENTS, RETRIES, TIMEOUT, Machine
from contract.behaviour.table import row
from fastflow.run.events import LISTENING, Events, JobKey

ITEMS = "flow items: *"
NOT_EACH = "a fan-out may have millions of items: its beginning and end are told"

WORK = [("started", 1), ("retrying", 1), ("started", 2), ("ended", 2, None)]


class Told:
    """A subscriber that remembers, of the jobs that a machine makes for one call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.jobs: dict[JobKey, list[Any]] = {}
        self.runs: list[Any] = []

    def _tell(self, key: JobKey, *what: Any) -> None:
        with self._lock:
            self.jobs.setdefault(key, []).append(what)

    def run_started(self, run: str, time: float) -> None:
        self.runs.append(("started", run))

    def run_ended(self, run: str, time: float, error: BaseException | None) -> None:
        self.runs.append(("ended", run))

    def job_started(self, key: JobKey, attempt: int, time: float) -> None:
        self._tell(key, "started", attempt)

    def job_retrying(
        self, key: JobKey, attempt: int, time: float, error: BaseException
    ) -> None:
        self._tell(key, "retrying", attempt)

    def job_ended(
        self, key: JobKey, attempt: int, time: float, error: BaseException | None
    ) -> None:
        kind = None if error is None else type(error).__name__
        self._tell(key, "ended", attempt, kind)

    @property
    def most(self) -> list[Any]:
        """What was told of the job of which most was told, the last of these."""
        return max(reversed(self.jobs.values()), key=len)


def _told(m: Machine, fn: Any, item: Any, **options: Any) -> Told:
    told = Told()
    token = LISTENING.set(Events.of([told]))
    try:
        m.one(fn, item, **options)
    finally:
        LISTENING.reset(token)
    assert [run for what, run in told.runs if what == "started"] == list(
        dict.fromkeys(run for _, run in told.runs)
    )
    assert {key.run for key in told.jobs} <= {run for _, run in told.runs}
    return told


@row(
    WORK,
    EVENTS,
    RETRIES,
    differs={ITEMS: ([("started", 1), ("ended", 2, None)], NOT_EACH)},
)
def who_listens_is_told_of_each_attempt(m: Machine, scratch: Scratch):
    return _told(m, calls.fail_at_first, (scratch, 1), retries=1).most


@row([("started", 1), ("ended", 1, "ValueError")], EVENTS)
def who_listens_is_told_of_a_failure(m: Machine, _: Scratch):
    return _told(m, calls.fail_if, ("ValueError", 0)).most


@row([("started", 1), ("ended", 1, "TaskTimeout")], EVENTS, TIMEOUT)
def who_listens_is_told_of_a_limit(m: Machine, scratch: Scratch):
    return _told(m, calls.hang_if, (scratch, True, 0), timeout="100ms").most


@row("same", EVENTS)
def one_that_raises_is_told_nothing_more(m: Machine, _: Scratch):
    class Broken:
        calls = 0

        def job_started(self, *_: Any) -> None:
            Broken.calls += 1
            raise ArithmeticError

        job_ended = job_started

    token = LISTENING.set(Events.of([Broken()]))
    try:
        found = m.one(calls.same, "same").value
    finally:
        LISTENING.reset(token)
    assert Broken.calls == 1
    return found
