from __future__ import annotations

import threading

import pytest

from fastflow.durable.exceptions import JournalFullError, LeaseLostError
from fastflow.errors import Cancelled
from fastflow.journal.journal import Change, End
from fastflow.journal.memory import MemoryJournal
from fastflow.journal.records import Record
from fastflow.journal.writer import Stream, Writer
from fastflow.run.scope import Scope


def record(number):
    return Record(number.to_bytes(16, "big"), b"", "STEP", "Step", str(number), 1, 0)


class Journal(MemoryJournal):
    """Tells what was written together; may be told to wait or to fail."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.entered, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.failure = None

    def write(self, changes):
        self.entered.set()
        self.go.wait(10)
        if self.failure is not None:
            raise self.failure
        self.writes.append([[r.name for r in c.records] for c in changes])
        return super().write(changes)


@pytest.fixture
def journal():
    return Journal()


def stream_of(journal, name="a"):
    entry = journal.begin(name, "f", b"", journal.enter(1))
    return Stream(entry.number, entry.fence, 0)


def test_alone_each_commit_is_one_write(journal):
    writer, stream = Writer(journal), stream_of(journal)
    for number in range(3):
        writer.commit(stream, writer.add(stream, record(number)))
    assert journal.writes == [[["0"]], [["1"]], [["2"]]]


def test_records_that_nobody_waits_for_go_with_the_next_commit(journal):
    writer, stream = Writer(journal), stream_of(journal)
    writer.add(stream, record(0))
    writer.add(stream, record(1))
    assert (journal.writes, writer.waiting) == ([], 2)
    writer.commit(stream, writer.add(stream, record(2)))
    assert (journal.writes, writer.waiting) == ([[["0", "1", "2"]]], 0)


def test_who_comes_during_a_write_is_written_with_all_who_did(journal):
    writer = Writer(journal)
    streams = [stream_of(journal, name) for name in "abc"]
    journal.go.clear()

    def commit(number, queued):
        ticket = writer.add(streams[number], record(number))
        queued.set()
        writer.commit(streams[number], ticket)

    threads = []
    for number in range(3):
        queued = threading.Event()
        threads.append(threading.Thread(target=commit, args=(number, queued)))
        threads[-1].start()
        queued.wait(10)
        journal.entered.wait(10)
    journal.go.set()
    for thread in threads:
        thread.join()
    assert journal.writes == [[["0"]], [["1"], ["2"]]]


def test_a_failed_write_breaks_its_executions_and_no_others(journal):
    writer = Writer(journal)
    a, b = stream_of(journal, "a"), stream_of(journal, "b")
    told = []
    a.on_broken = lambda: told.append("a")
    journal.failure = JournalFullError("full")
    number = writer.add(a, record(0))
    with pytest.raises(JournalFullError):
        writer.commit(a, number)
    with pytest.raises(JournalFullError):
        writer.add(a, record(1))
    assert told == ["a"]
    journal.failure = None
    writer.commit(b, writer.add(b, record(2)))
    assert journal.writes == [[["2"]]]


def test_a_lost_lease_is_found_at_the_next_write(journal):
    writer, stream = Writer(journal), stream_of(journal)
    other = stream_of(journal, "b")
    journal.release(stream.number, stream.fence)
    writer.add(other, record(1))
    number = writer.add(stream, record(0))
    with pytest.raises(LeaseLostError):
        writer.commit(stream, number)
    assert other.broken is None
    assert other.committed == 1


def test_nothing_of_a_closed_scope_follows_what_closed_it(journal):
    writer, stream = Writer(journal), stream_of(journal)
    outer = Scope()
    inner = Scope(outer)
    writer.add(stream, record(0), inner)
    writer.add(stream, record(1), outer, closing=inner)
    with pytest.raises(Cancelled):
        writer.add(stream, record(2), inner)
    writer.add(stream, record(3), outer)
    outer.closed = True
    assert Scope(inner).over
    writer.flush()
    assert journal.writes == [[["0", "1", "3"]]]


def test_the_end_is_written_with_what_is_left(journal):
    writer, stream = Writer(journal), stream_of(journal)
    writer.add(stream, record(0))
    writer.finish(stream, End("SUCCEEDED", b"1", None, 5))
    assert journal.writes == [[["0"]]]
    assert journal.find("a").status == "SUCCEEDED"


def test_a_probe_is_told_of_each_moment(journal):
    moments = []
    writer = Writer(journal, lambda moment, records: moments.append(moment))
    stream = stream_of(journal)
    writer.commit(stream, writer.add(stream, record(0)))
    assert moments == ["before_commit", "after_commit"]


def test_many_threads_lose_nothing_and_keep_their_order(journal):
    writer = Writer(journal)
    streams = [stream_of(journal, name) for name in "abcd"]

    def work(number):
        for i in range(200):
            ticket = writer.add(streams[number], record(i))
            if i % 3 == 0:
                writer.commit(streams[number], ticket)
                assert streams[number].committed >= ticket

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.flush()
    for stream in streams:
        names = [r.name for f in journal.frames(stream.number) for r in f]
        assert names == [str(i) for i in range(200)]


def test_changes_are_independent():
    assert Change(1, 1, 0).records is not Change(1, 1, 0).records
