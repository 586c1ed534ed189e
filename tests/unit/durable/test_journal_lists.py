"""Lists of executions read no values, and one damaged execution hides no other."""

from __future__ import annotations

import logging
import sqlite3
import tracemalloc

import pytest

from fastflow.journal.journal import RUNNING, Change, End, Summary
from fastflow.journal.memory import MemoryJournal
from fastflow.journal.records import Failure
from fastflow.journal.sqlite import SqliteJournal


@pytest.fixture(params=["memory", "sqlite"])
def journal(request, tmp_path):
    made = (
        MemoryJournal()
        if request.param == "memory"
        else SqliteJournal(tmp_path / "runs.db")
    )
    yield made
    made.close()


def fill(journal, count, data=b"0"):
    owner = journal.enter(10)
    return [journal.begin(f"e{n}", "f", data, owner) for n in range(count)]


def test_a_summary_says_what_the_entry_does(journal):
    one, two = fill(journal, 2)
    end = End("SUCCEEDED", b"1", None, 5)
    journal.write([Change(one.number, one.fence, 0, [], end)])
    assert list(journal.summaries()) == [
        Summary(one.number, "e0", "f", "SUCCEEDED", one.created, 5, False),
        Summary(two.number, "e1", "f", RUNNING, two.created, two.created, True),
    ]
    assert [s.name for s in journal.summaries(RUNNING)] == ["e1"]
    assert [s.name for s in journal.summaries("SUCCEEDED")] == ["e0"]
    assert list(journal.summaries("FAILED")) == []


def test_a_list_is_a_few_statements_and_reads_no_values(tmp_path):
    journal = SqliteJournal(tmp_path / "runs.db")
    large = bytes(200_000)
    for entry in fill(journal, 300, large):
        end = End("SUCCEEDED", large, None, 5)
        journal.write([Change(entry.number, entry.fence, 0, [], end)])
    statements = []
    journal._db.set_trace_callback(statements.append)
    tracemalloc.start()
    try:
        assert sum(1 for _ in journal.summaries()) == 300
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000, "of 120 MB of values"
    assert len(statements) <= 6
    assert not any("input," in text for text in statements)
    journal.close()


def test_entries_are_read_by_one_statement_and_their_owners_by_another(tmp_path):
    journal = SqliteJournal(tmp_path / "runs.db")
    fill(journal, 300)
    statements = []
    journal._db.set_trace_callback(statements.append)
    assert len(journal.entries()) == 300
    assert len(statements) == 2
    journal.close()


def test_a_list_of_more_than_is_read_at_a_time_is_whole(tmp_path):
    journal = SqliteJournal(tmp_path / "runs.db")
    with journal._transaction():  # as one
        owner = 7
        for n in range(10_000):
            journal._insert(journal._db, f"e{n}", "f", b"0", owner)
    assert [s.name for s in journal.summaries()] == [f"e{n}" for n in range(10_000)]
    journal.close()


def test_a_damaged_execution_is_reported_and_hides_no_other(tmp_path, caplog):
    journal = SqliteJournal(tmp_path / "runs.db")
    fill(journal, 3)
    db = sqlite3.connect(tmp_path / "runs.db")
    db.execute("UPDATE executions SET created = created + 1 WHERE number = 2")
    db.commit()
    db.close()
    with caplog.at_level(logging.WARNING, "fastflow.durable"):
        assert [s.name for s in journal.summaries(RUNNING)] == ["e0", "e2"]
        assert [s.name for s in journal.summaries()] == ["e0", "e2"]
    assert [r.message for r in caplog.records if "execution 2" in r.message] == [
        f"{tmp_path / 'runs.db'} is left alone: execution 2 of the journal is damaged: "
        "its checksum does not match; restore the file from a copy"
    ]
    journal.close()


def test_names_below_another(journal):
    owner = journal.enter(10)
    names = ["a", "a/1", "a/1/2", "a0", "a.", "ab/1", "a/2"]
    made = {name: journal.begin(name, "f", b"0", owner) for name in names}
    end = End("SUCCEEDED", None, None, 5)
    journal.write([Change(made["a/2"].number, made["a/2"].fence, 0, [], end)])
    assert journal.below("a") == ["a/1", "a/1/2"]


def test_why_an_execution_was_given_up_is_kept(journal):
    owner = journal.enter(10)
    entry = journal.begin("a", "f", b"0", owner)
    journal.release(entry.number, entry.fence, Failure("no space", "JournalFullError"))
    found = journal.find("a")
    assert (found.status, found.owned, found.error.message) == (
        RUNNING, False, "no space",
    )  # fmt: skip
    again = journal.claim(entry.number, owner)
    journal.release(entry.number, entry.fence, Failure("late"))  # not its owner's
    end = End("SUCCEEDED", b"1", None, 5)
    journal.write([Change(again.number, again.fence, 0, [], end)])
    found = journal.find("a")
    assert (found.status, found.result, found.error) == ("SUCCEEDED", b"1", None)
