"""Executions that are committed together don't suffer from each other's mistakes."""

from __future__ import annotations

import enum
import os

import pytest

from fastflow.durable import (
    CallbackConfig,
    ChildConfig,
    DurableRunner,
    Duration,
    JournalError,
    StepConfig,
    ValidationError,
    durable_execution,
)
from fastflow.journal.journal import Change
from fastflow.journal.records import SUCCEEDED, Record
from fastflow.journal.sqlite import SqliteJournal
from fastflow.journal.writer import Stream, Writer


class Name(str):
    """A str that is none for encoders."""

    __slots__ = ()


class Kind(enum.StrEnum):
    ONE = "one"


def failing(_):
    raise OSError("can't open " + os.fsdecode(b"caf\xe9"))


#: What one execution does, and the error that is its own alone (None: none at all).
ODDITIES = {
    "a name of a subclass": (lambda c: c.step(lambda _: 1, name=Name("n")), None),
    "a name of an enumeration": (lambda c: c.step(lambda _: 1, name=Kind.ONE), None),
    "a sub-type of a subclass": (
        lambda c: c.run_in_child_context(
            lambda inner: inner.step(lambda _: 1), "child",
            ChildConfig(sub_type=Name("Mine")),
        ),
        None,
    ),
    "a wait for longer than there are times": (
        lambda c: c.wait(1e30), ValidationError,
    ),
    "a duration of as many digits as can't be shown": (
        lambda c: c.wait(Duration(10**4400)), ValidationError,
    ),
    "a time limit of longer than there are times": (
        lambda c: c.create_callback("x", CallbackConfig(timeout=1e30)), ValidationError,
    ),
    "a delay of longer than there are times": (
        lambda c: c.step(
            failing, "s", StepConfig(retry_strategy=lambda e, n: _retry(1e300))
        ),
        Exception,
    ),
    "an error that is no text": (lambda c: c.step(failing, "s"), Exception),
}  # fmt: skip


def _retry(delay):
    from fastflow.durable import RetryDecision

    return RetryDecision.retry(Duration(delay))


def make(odd):
    @durable_execution(name="tests.neighbours")
    def program(event, context):
        for n in range(3):
            context.step(lambda _, n=n: n, name=f"s{n}")
        if event == "odd":
            odd(context)
        context.wait(0.001)
        return context.step(lambda _: event, name="last")

    return program


@pytest.mark.parametrize("what", ODDITIES)
def test_an_execution_that_is_odd_harms_no_other(tmp_path, what):
    odd, expected = ODDITIES[what]
    program = make(odd)
    events = [*range(50), "odd", *range(50, 99)]
    with DurableRunner(tmp_path / "runs.db") as runner:
        handles = [runner.start(program, e, f"x{e}") for e in events]
        outcomes = {h.name: h.exception(60) for h in handles}
        odd_one = outcomes.pop("xodd")
        assert set(outcomes.values()) == {None}
        if expected is None:
            assert odd_one is None
        else:
            assert isinstance(odd_one, expected)
            assert not isinstance(odd_one, JournalError)
            assert runner.journal.find("xodd").status == "FAILED"


def record(number, name="s"):
    return Record(number.to_bytes(16, "big"), bytes(16), "STEP", "Step", name,
                  SUCCEEDED, 7, payload=b"1")  # fmt: skip


BAD = {
    "a name that is no text": record(1, "\ud800"),
    "a name of a subclass": record(1, Name("n")),
    "a time beyond 64 bits": Record(
        bytes(16), bytes(16), "STEP", "Step", "s", SUCCEEDED, 10**30
    ),
    "no record at all": object(),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("large", [False, True])
def test_what_can_not_be_encoded_stays_with_its_execution(tmp_path, what, large):
    journal = SqliteJournal(tmp_path / "runs.db")
    owner = journal.enter(10)
    entries = [journal.begin(f"e{n}", "f", b"0", owner) for n in range(100)]
    payload = os.urandom(300_000) if large else b"1"
    good = [Record(bytes(16), bytes(16), "STEP", "Step", "s", SUCCEEDED, 7,
                   payload=payload) for _ in entries]  # fmt: skip
    changes = [
        Change(e.number, e.fence, 0, [BAD[what] if n == 37 else good[n]])
        for n, e in enumerate(entries)
    ]
    assert journal.write(changes) == []
    assert [n for n, c in enumerate(changes) if c.error is not None] == [37]
    for n, (entry, change) in enumerate(zip(entries, changes, strict=True)):
        frames = list(journal.frames(entry.number))
        assert (len(frames), change.frame) == ((0, 0) if n == 37 else (1, 1))
        if large and n != 37:
            assert journal.blob(frames[0][0].blob) == payload
    journal.close()


def test_a_frame_that_is_there_already_is_the_fault_of_one(tmp_path):
    journal = SqliteJournal(tmp_path / "runs.db")
    owner = journal.enter(10)
    a, b = (journal.begin(name, "f", b"0", owner) for name in "ab")
    journal.write([Change(a.number, a.fence, 0, [record(1)])])
    changes = [Change(e.number, e.fence, 0, [record(2)]) for e in (a, b)]
    assert journal.write(changes) == []
    assert isinstance(changes[0].error, JournalError)
    assert changes[1].error is None
    assert len(list(journal.frames(b.number))) == 1
    journal.close()


@pytest.mark.parametrize("alone", [True, False])
def test_only_its_own_stream_is_broken(tmp_path, alone):
    journal = SqliteJournal(tmp_path / "runs.db")
    owner = journal.enter(10)
    entries = [journal.begin(name, "f", b"0", owner) for name in "abc"]
    streams = [Stream(e.number, e.fence, 0) for e in entries]
    writer = Writer(journal)
    numbers = [
        writer.add(s, record(1, Name("n") if s is streams[1] else "n"))
        for s in streams
        if not alone or s is streams[1]
    ]
    if alone:
        with pytest.raises(JournalError, match="can't be written"):
            writer.commit(streams[1], numbers[0])
        writer.commit(streams[0], writer.add(streams[0], record(1)))
    else:
        # Whoever writes for all isn't told of what is others' matter.
        writer.commit(streams[0], numbers[0])
        assert streams[2].committed == numbers[2]
    with pytest.raises(JournalError, match="can't be written"):
        writer.add(streams[1], record(2))
    assert [s.broken is None for s in streams] == [True, False, True]
    journal.close()
