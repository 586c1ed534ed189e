"""A journal of version 1, made by the fastflow of that time, and how it becomes 2."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from fastflow.durable import DurableRunner, durable_execution
from fastflow.durable.exceptions import JournalDamagedError, JournalVersionError
from fastflow.durable.history import operations
from fastflow.journal import sqlite_schema
from fastflow.journal.leases import lease_end, this_process
from fastflow.journal.sqlite import SqliteJournal

OLD = Path(__file__).resolve().parents[2] / "data" / "journals" / "version-1.db"
PAYLOAD = b'"yes"'  # of the message that is in it


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "runs.db"
    shutil.copy(OLD, path)
    return path


def content(path):
    journal = SqliteJournal(path)
    try:
        entries = {
            e.name: (e.status, e.input, e.result, e.error, e.created, e.updated)
            for e in journal.entries()
        }
        made = {
            e.name: [
                (o.operation_id, o.name, o.status, o.raw_result, o.started, o.ended)
                for o in operations(journal, e)
            ]
            for e in journal.entries()
        }
        messages = [m[:6] for m in journal.messages(None, 0)]
        return entries, made, messages
    finally:
        journal.close()


def version_of(path):
    db = sqlite3.connect(path)
    try:
        return db.execute("PRAGMA user_version").fetchone()[0]
    finally:
        db.close()


def test_the_old_one_is_an_old_one():
    db = sqlite3.connect(f"file:{OLD}?mode=ro&immutable=1", uri=True)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_all_that_it_says_is_there_afterwards(path):
    db = sqlite3.connect(path)
    times = dict(db.execute("SELECT name, created FROM executions"))
    db.close()
    entries, made, messages = content(path)
    assert version_of(path) == 2
    assert {name: e[0] for name, e in entries.items()} == {
        "order-1": "SUCCEEDED", "order-2": "RUNNING", "order-3": "FAILED",
        "order-4": "SUCCEEDED",
    }  # fmt: skip
    assert entries["order-1"][1:3] == (b'{"n":1}', b"[2,3000]")
    assert entries["order-4"][1] == b'{"n":4,"pad":"' + b"y" * 3000 + b'"}'
    assert (entries["order-3"][3].message, entries["order-3"][3].type) == (
        "no stock", "ValueError",
    )  # fmt: skip
    assert {name: e[4] for name, e in entries.items()} == times
    assert [o[1:4:2] for o in made["order-1"]] == [
        ("charge", b"2"), ("receipt", b'"' + b"x" * 3000 + b'"'),
    ]  # fmt: skip
    assert [(m[1], m[2], m[4]) for m in messages] == [(2, "callback", PAYLOAD)]
    assert content(path) == (entries, made, messages)


def test_what_is_unfinished_in_it_goes_on(path):
    calls = []

    @durable_execution(name="orders.order")
    def order(event, context):
        paid = context.step(lambda _: calls.append("charge"), name="charge")
        text = context.step(lambda _: calls.append("receipt"), name="receipt")
        answer = context.wait_for_callback(
            lambda callback, step: calls.append("submit"), name="approval"
        )
        return [paid, len(text), answer]

    with DurableRunner(path) as runner:
        runner.register(order)
        assert [h.result(60) for h in runner.recover()] == [[4, 3000, "yes"]]
    assert calls == []


def test_numbers_go_on_where_they_were(path):
    db = sqlite3.connect(path)
    before = dict(db.execute("SELECT name, seq FROM sqlite_sequence"))
    db.close()
    journal = SqliteJournal(path)
    assert journal.enter(10) == before["owners"] + 1
    journal.post(2, "cancel")
    assert journal.messages(None, 0)[-1].number == before["messages"] + 1
    journal.close()


def test_the_tables_are_those_of_a_new_one(path, tmp_path):
    SqliteJournal(path).close()
    SqliteJournal(tmp_path / "new.db").close()

    def schema(of):
        db = sqlite3.connect(of)
        rows = db.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
        db.close()
        return sorted(rows)

    assert schema(path) == schema(tmp_path / "new.db")


def test_what_was_damaged_before_is_damaged_afterwards(path):
    db = sqlite3.connect(path)
    db.execute("UPDATE executions SET result = x'0032' WHERE name = 'order-1'")
    db.commit()
    db.close()
    journal = SqliteJournal(path)
    with pytest.raises(JournalDamagedError, match="execution 1"):
        journal.find("order-1")
    assert journal.find("order-4").status == "SUCCEEDED"
    journal.close()


def test_who_only_looks_is_told_and_changes_nothing(path):
    before = path.read_bytes()
    with pytest.raises(JournalVersionError, match="version 1, older"):
        SqliteJournal(path, read_only=True)
    assert path.read_bytes() == before


def test_it_is_not_changed_under_an_older_fastflow_that_uses_it(path):
    db = sqlite3.connect(path)
    pid = os.getppid()
    start = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    here = this_process()
    db.execute(
        "UPDATE owners SET boot = ?, space = ?, pid = ?, start = ?, until = ?",
        (here.boot, here.space, pid, start, lease_end(1000)),
    )
    db.commit()
    db.close()
    with pytest.raises(JournalVersionError, match=f"process {pid} with an older"):
        SqliteJournal(path)
    assert version_of(path) == 1


def test_a_process_that_is_killed_while_it_migrates_leaves_one_or_the_other(tmp_path):
    expected = None
    seen = set()
    for count in range(1000):
        path = tmp_path / f"{count}.db"
        shutil.copy(OLD, path)
        pid = os.fork()
        if pid == 0:
            kill_at_statement(count, path)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        seen.add(version_of(path))
        if expected is None:
            expected = content(path)
        assert content(path) == expected
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert count > 30
    assert seen == {1, 2}


def kill_at_statement(count, path):
    """Migrate; die when SQLite begins statement `count` of it.  Ends the process."""
    migrate = sqlite_schema.MIGRATIONS[1]

    def watched(db):
        left = [count]

        def trace(_):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        db.set_trace_callback(trace)  # until COMMIT, and what comes after it
        migrate(db)

    try:
        sqlite_schema.MIGRATIONS[1] = watched
        SqliteJournal(path)
        os._exit(0)
    except BaseException:
        os._exit(1)
