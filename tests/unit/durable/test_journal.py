"""What every journal must do, and what the one in a file must do besides."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from pathlib import Path

import pytest

from fastflow.durable.exceptions import (
    ExecutionConflictError,
    ExecutionInProgress,
    JournalDamagedError,
    JournalError,
    JournalIOError,
    JournalReadOnlyError,
    JournalVersionError,
)
from fastflow.journal.journal import RUNNING, Change, End
from fastflow.journal.memory import MemoryJournal
from fastflow.journal.records import BEGUN, SUCCEEDED, Failure, Record
from fastflow.journal.sqlite import SqliteJournal


def record(number, *, action=SUCCEEDED, payload=b"1", **more):
    key = number.to_bytes(16, "big")
    return Record(
        key, bytes(16), "STEP", "Step", f"s{number}", action, 7, payload=payload, **more
    )


@pytest.fixture(params=["memory", "sqlite"])
def journal(request, tmp_path):
    if request.param == "memory":
        made = MemoryJournal()
    else:
        made = SqliteJournal(tmp_path / "runs.db")
    yield made
    made.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


def all_records(journal, number):
    return [record for frame in journal.frames(number) for record in frame]


class TestEveryJournal:
    def test_a_new_execution_is_owned_and_empty(self, journal):
        owner = journal.enter(10)
        entry = journal.begin("order-1", "m.f", b'"in"', owner)
        assert (entry.status, entry.owner, entry.frames) == (RUNNING, owner, 0)
        assert journal.find("order-1") == entry
        assert journal.find("order-2") is None

    def test_records_come_back_in_order(self, journal):
        entry = journal.begin("a", "f", b"0", journal.enter(10))
        change = Change(entry.number, entry.fence, 0, [record(1), record(2)])
        assert journal.write([change]) == []
        second = Change(entry.number, entry.fence, change.frame, [record(3)])
        assert journal.write([second]) == []
        names = [r.name for r in all_records(journal, entry.number)]
        assert names == ["s1", "s2", "s3"]

    def test_frames_can_be_read_from_the_newest_on(self, journal):
        owner = journal.enter(10)
        entry = journal.begin("a", "f", b"0", owner)
        other = journal.begin("b", "f", b"0", owner)
        for n in range(200):
            for of in (entry, other):
                journal.write([Change(of.number, of.fence, n, [record(n)])])
        for before in (200, 17, 16, 1):
            found = [r.name for f in journal.newest(entry.number, before) for r in f]
            assert found == [f"s{n}" for n in range(before - 1, -1, -1)]
        assert list(journal.newest(entry.number, 0)) == []

    def test_several_executions_in_one_write(self, journal):
        owner = journal.enter(10)
        entries = [journal.begin(name, "f", b"0", owner) for name in "ab"]
        changes = [Change(e.number, e.fence, 0, [record(e.number)]) for e in entries]
        assert journal.write(changes) == []
        for entry in entries:
            assert [r.name for r in all_records(journal, entry.number)] == [
                f"s{entry.number}"
            ]

    def test_the_end_is_kept(self, journal):
        entry = journal.begin("a", "f", b"0", journal.enter(10))
        failure = Failure("no", "ValueError", None, ("line 1",))
        end = End("FAILED", None, failure, 99)
        journal.write([Change(entry.number, entry.fence, 0, [record(1)], end)])
        found = journal.find("a")
        assert (found.status, found.error, found.updated) == ("FAILED", failure, 99)
        assert journal.begin("a", "f", b"0", journal.enter(10)) == found

    def test_who_is_running_it_is_not_disturbed(self, journal):
        journal.begin("a", "f", b"0", journal.enter(10))
        other = journal.enter(10)
        with pytest.raises(ExecutionInProgress, match="'a'"):
            journal.begin("a", "f", b"0", other)
        assert journal.claim(journal.find("a").number, other) is None

    def test_another_function_or_input_is_a_conflict(self, journal):
        owner = journal.enter(10)
        journal.begin("a", "f", b"0", owner)
        with pytest.raises(ExecutionConflictError, match="another input: 0, not 1"):
            journal.begin("a", "f", b"1", owner)
        with pytest.raises(ExecutionConflictError, match="another function: f, not g"):
            journal.begin("a", "g", b"0", owner)

    def test_a_former_owner_is_refused(self, journal):
        first = journal.enter(10)
        entry = journal.begin("a", "f", b"0", first)
        journal.write([Change(entry.number, entry.fence, 0, [record(1)])])
        journal.leave(first)
        taken = journal.claim(entry.number, journal.enter(10))
        assert taken.fence > entry.fence
        late = Change(entry.number, entry.fence, 1, [record(2)])
        assert journal.write([late]) == [entry.number]
        assert len(all_records(journal, entry.number)) == 1
        good = Change(taken.number, taken.fence, taken.frames, [record(3)])
        assert journal.write([good]) == []

    def test_a_refused_execution_does_not_hold_up_others(self, journal):
        owner = journal.enter(10)
        a, b = (journal.begin(name, "f", b"0", owner) for name in "ab")
        journal.release(a.number, a.fence)
        changes = [Change(e.number, e.fence, 0, [record(1)]) for e in (a, b)]
        assert journal.write(changes) == [a.number]
        assert all_records(journal, a.number) == []
        assert len(all_records(journal, b.number)) == 1

    def test_a_released_execution_can_be_begun_again(self, journal):
        owner = journal.enter(10)
        entry = journal.begin("a", "f", b"0", owner)
        journal.release(entry.number, entry.fence)
        assert not journal.find("a").owned
        assert journal.begin("a", "f", b"0", owner).fence > entry.fence

    def test_entries_by_status(self, journal):
        owner = journal.enter(10)
        a = journal.begin("a", "f", b"0", owner)
        journal.begin("b", "f", b"0", owner)
        end = End("SUCCEEDED", b"1", None, 5)
        journal.write([Change(a.number, a.fence, 0, [], end)])
        assert [e.name for e in journal.entries()] == ["a", "b"]
        assert [e.name for e in journal.entries(RUNNING)] == ["b"]
        assert [e.result for e in journal.entries("SUCCEEDED")] == [b"1"]

    def test_messages_wait_for_their_reader(self, journal):
        entry = journal.begin("a", "f", b"0", journal.enter(10))
        journal.post(entry.number, "callback", b"k" * 16, b'"v"')
        journal.post(entry.number + 1, "cancel")
        journal.post(entry.number, "callback", b"l" * 16, None, Failure("no"))
        first, second = journal.messages(entry.number, 0)
        assert (first.kind, first.operation, first.payload) == (
            "callback", b"k" * 16, b'"v"',
        )  # fmt: skip
        assert second.error == Failure("no")
        assert journal.messages(None, first.number)[0].kind == "cancel"

    def test_only_finished_executions_are_deleted(self, journal):
        owner = journal.enter(10)
        a = journal.begin("a", "f", b"0", owner)
        b = journal.begin("b", "f", b"0", owner)
        end = End("SUCCEEDED", None, None, 5)
        journal.write([Change(a.number, a.fence, 0, [record(1)], end)])
        assert journal.delete([a.number, b.number]) == 1
        assert [e.name for e in journal.entries()] == ["b"]


class TestTheFile:
    def test_what_was_written_is_there_for_the_next(self, path):
        first = SqliteJournal(path)
        entry = first.begin("a", "f", b"0", first.enter(10))
        first.write([Change(entry.number, entry.fence, 0, [record(1), record(2)])])
        first.close()
        second = SqliteJournal(path)
        assert len(all_records(second, entry.number)) == 2
        assert second.find("a").frames == 1
        second.close()

    def test_only_its_owner_may_read_it(self, path):
        journal = SqliteJournal(path)
        journal.begin("a", "f", b"0", journal.enter(10))
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        journal.close()

    @pytest.mark.parametrize("size", [256 * 1024, 20 * 1024 * 1024 + 1])
    def test_large_values_are_stored_apart(self, path, size):
        journal = SqliteJournal(path)
        large = os.urandom(size)
        entry = journal.begin("a", "f", large, journal.enter(10))
        change = Change(
            entry.number, entry.fence, 0, [record(1), record(2, payload=large)]
        )
        journal.write([change])
        end = End("SUCCEEDED", large, None, 5)
        journal.write([Change(entry.number, entry.fence, change.frame, [], end)])
        found = journal.find("a")
        assert found.input == large
        assert found.result == large
        small, big = all_records(journal, entry.number)
        assert small.payload == b"1"
        assert big.payload is None
        assert journal.blob(big.blob) == large
        journal.delete([entry.number])
        db = sqlite3.connect(path)
        assert db.execute("SELECT count(*) FROM blobs").fetchone() == (0,)
        db.close()
        journal.close()

    def test_many_large_payloads_make_several_frames(self, path):
        journal = SqliteJournal(path)
        entry = journal.begin("a", "f", b"0", journal.enter(10))
        records = [record(n, payload=bytes(200_000)) for n in range(1, 50)]
        change = Change(entry.number, entry.fence, 0, records)
        journal.write([change])
        assert change.frame > 1
        assert [r.name for r in all_records(journal, entry.number)] == [
            r.name for r in records
        ]
        journal.close()

    def test_a_missing_directory_is_named(self, tmp_path):
        with pytest.raises(JournalError, match="nowhere does not exist"):
            SqliteJournal(tmp_path / "nowhere" / "runs.db")

    def test_a_directory_is_no_journal(self, tmp_path):
        with pytest.raises(JournalError, match="is a directory"):
            SqliteJournal(tmp_path)

    def test_other_files_are_left_as_they_are(self, path):
        path.write_bytes(b"not a database, but long enough for a header" * 30)
        before = path.read_bytes()
        with pytest.raises(JournalDamagedError, match="not an SQLite database"):
            SqliteJournal(path)
        assert path.read_bytes() == before

    def test_another_database_is_left_as_it_is(self, path):
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE t (x)")
        db.close()
        before = path.read_bytes()
        with pytest.raises(JournalError, match="not a journal of fastflow"):
            SqliteJournal(path)
        assert path.read_bytes() == before

    def test_a_newer_journal_is_left_as_it_is(self, path):
        SqliteJournal(path).close()
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 9")
        db.close()
        before = path.read_bytes()
        with pytest.raises(JournalVersionError, match="version 9"):
            SqliteJournal(path)
        assert path.read_bytes() == before

    def test_a_truncated_file_is_damaged(self, path):
        journal = SqliteJournal(path)
        entry = journal.begin("a", "f", b"0", journal.enter(10))
        for n in range(200):
            journal.write(
                [Change(entry.number, entry.fence, n, [record(n, payload=bytes(500))])]
            )
        journal.close()
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(JournalDamagedError):
            journal = SqliteJournal(path)
            try:
                all_records(journal, entry.number)
            finally:
                journal.close()

    def test_no_flipped_bit_goes_unnoticed(self, path):
        journal = SqliteJournal(path)
        entry = journal.begin("a", "f", b'"input"', journal.enter(10))
        marks = [b"payload-%03d-" % n * 5 for n in range(20)]
        for n, mark in enumerate(marks):
            change = Change(entry.number, entry.fence, n, [record(n + 1, payload=mark)])
            journal.write([change])
        journal.close()
        whole = path.read_bytes()
        noticed = 0
        for n, mark in enumerate(marks):
            at = whole.index(mark) + 3 * n % len(mark)
            flipped = bytearray(whole)
            flipped[at] ^= 1 << n % 8
            path.write_bytes(flipped)
            with pytest.raises(JournalDamagedError, match=r"frame 1:\d+"):
                journal = SqliteJournal(path)
                try:
                    all_records(journal, entry.number)
                finally:
                    journal.close()
            noticed += 1
        assert noticed == len(marks)

    def test_a_changed_input_is_noticed(self, path):
        journal = SqliteJournal(path)
        journal.begin("a", "f", b'"the input"', journal.enter(10))
        journal.close()
        path.write_bytes(path.read_bytes().replace(b"the input", b"The input"))
        journal = SqliteJournal(path)
        with pytest.raises(JournalDamagedError, match="execution 1"):
            journal.find("a")
        journal.close()

    def test_a_missing_frame_is_noticed(self, path):
        journal = SqliteJournal(path)
        entry = journal.begin("a", "f", b"0", journal.enter(10))
        for n in range(3):
            journal.write([Change(entry.number, entry.fence, n, [record(n + 1)])])
        db = sqlite3.connect(path)
        db.execute("DELETE FROM frames WHERE id = ?", (entry.number << 32 | 1,))
        db.commit()
        db.close()
        with pytest.raises(JournalDamagedError, match="frame 1:1 is missing"):
            all_records(journal, entry.number)
        with pytest.raises(JournalDamagedError, match="frame 1:1 is missing"):
            list(journal.newest(entry.number, 3))
        with pytest.raises(JournalDamagedError, match="frame 1:1 is missing"):
            list(journal.newest(entry.number, 2))
        journal.close()

    def test_a_file_that_was_removed_takes_nothing_more(self, path):
        journal = SqliteJournal(path)
        entry = journal.begin("a", "f", b"0", journal.enter(10))
        path.unlink()
        journal._looked = 0.0  # else it looks a little later
        change = Change(entry.number, entry.fence, 0, [record(1)])
        with pytest.raises(JournalIOError, match="removed or replaced"):
            journal.write([change])
        assert not path.exists()
        journal.close()

    def test_a_journal_is_not_carried_over_a_fork(self, path):
        journal = SqliteJournal(path)
        pid = os.fork()
        if pid == 0:
            try:
                journal.entries()
            except JournalError as error:
                os._exit(0 if "before a fork" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        journal.close()

    def test_a_read_only_file_says_so(self):
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "runs.db"
            SqliteJournal(path).close()
            path.chmod(0o444)
            path.parent.chmod(0o555)
            pid = os.fork()
            if pid == 0:
                if os.geteuid() == 0:
                    os.setuid(65_534)  # root may write anything
                try:
                    journal = SqliteJournal(path)
                    journal.enter(10)
                except JournalReadOnlyError:
                    os._exit(0)
                os._exit(1)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            path.parent.chmod(0o755)
            assert code == 0

    def test_looking_changes_nothing(self, path):
        journal = SqliteJournal(path)
        journal.begin("a", "f", b"0", journal.enter(10))
        reader = SqliteJournal(path, read_only=True)
        assert [e.name for e in reader.entries()] == ["a"]
        with pytest.raises(JournalReadOnlyError):
            reader.enter(10)
        reader.close()
        journal.close()

    def test_there_must_be_something_to_look_at(self, path):
        with pytest.raises(JournalError, match="no journal"):
            SqliteJournal(path, read_only=True)
        assert not path.exists()

    def test_a_closed_journal_says_so(self, path):
        journal = SqliteJournal(path)
        journal.close()
        journal.close()
        with pytest.raises(JournalError, match="is closed"):
            journal.entries()

    def test_the_owner_of_a_dead_process_owns_nothing(self, path):
        SqliteJournal(path).close()
        pid = os.fork()
        if pid == 0:
            child = SqliteJournal(path)
            child.begin("a", "f", b"0", child.enter(1000))
            os._exit(0)
        os.waitpid(pid, 0)
        journal = SqliteJournal(path)
        entry = journal.begin("a", "f", b"0", journal.enter(10))
        assert entry.fence > 1
        journal.close()

    def test_a_lease_that_ran_out_is_nobodys(self, path):
        journal = SqliteJournal(path)
        first = journal.enter(0.0)
        journal.begin("a", "f", b"0", first)
        assert not journal.find("a").owned
        journal.enter(10)  # forgets those who are gone
        assert not journal.renew(first)
        journal.close()


def test_actions_are_what_the_format_says():
    assert (BEGUN, SUCCEEDED) == (0, 1)
