"""Files that are no journal, or not the whole of one: refused or reported, and why."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fastflow.durable import (
    CompletionConfig,
    DurableRunner,
    Duration,
    MapConfig,
    RetryStrategyConfig,
    ValidationError,
    durable_execution,
)
from fastflow.durable.exceptions import (
    JournalDamagedError,
    JournalError,
    JournalIOError,
    JournalVersionError,
)
from fastflow.durable.history import events, operations
from fastflow.journal import sqlite_file
from fastflow.journal.journal import Change
from fastflow.journal.records import SUCCEEDED, Record
from fastflow.journal.sqlite import SqliteJournal
from fastflow.journal.sqlite_file import log_of

HUGE = 10**5000  # Python refuses to show it


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


def record(number, **changed):
    values = {"kind": "STEP", "subtype": "Step", "action": SUCCEEDED} | changed
    return Record(
        number.to_bytes(16, "big"), bytes(16), values["kind"], values["subtype"], "s",
        values["action"], 7, payload=b"1",
    )  # fmt: skip


def make(path):
    """Make a journal that was closed properly."""
    journal = SqliteJournal(path)
    entry = journal.begin("a", "f", b"0", journal.enter(10))
    journal.write([Change(entry.number, entry.fence, 0, [record(1)])])
    journal.close()


# What kind of a file it is


@pytest.mark.parametrize("which", ["file", "log"])
@pytest.mark.parametrize("what", ["pipe", "socket"])
@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_no_regular_file_is_not_opened(tmp_path, which, what, read_only):
    path = tmp_path / "r.db"
    if which == "log":
        make(path)
    odd = path if which == "file" else log_of(path)
    if what == "pipe":
        os.mkfifo(odd)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(odd))
    with pytest.raises(JournalError, match="a pipe, a socket or a device"):
        SqliteJournal(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_hard_link_is_not_opened_under_either_name(tmp_path, path, read_only):
    make(path)
    other = tmp_path / "other.db"
    os.link(path, other)
    before = path.read_bytes()
    for name in (path, other):
        with pytest.raises(JournalError, match=r"2 names \(hard links\)"):
            SqliteJournal(name, read_only=read_only)
    assert path.read_bytes() == before
    other.unlink()
    SqliteJournal(path, read_only=read_only).close()


def test_a_symbolic_link_is_the_file_itself(tmp_path, path):
    make(path)
    (tmp_path / "link.db").symlink_to(path)
    link = SqliteJournal(tmp_path / "link.db")
    journal = SqliteJournal(path)
    link.begin("b", "f", b"0", link.enter(10))
    assert journal.find("b").owned
    link.close()
    journal.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW endless AS WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL "
        "SELECT x + 1 FROM n) SELECT x FROM n",
        "CREATE TRIGGER more AFTER INSERT ON frames BEGIN DELETE FROM frames; END",
        "DROP TABLE messages",
        "ALTER TABLE executions ADD COLUMN more",
        "DROP INDEX unfinished",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_tables_that_are_none_are_refused(path, statement, read_only):
    make(path)
    db = sqlite3.connect(path)
    db.execute(statement)
    db.close()
    before = path.read_bytes()
    with pytest.raises(JournalDamagedError, match="restore the file from a copy"):
        SqliteJournal(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_view_in_the_place_of_a_table_is_never_asked(path):
    make(path)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE executions")
    db.execute(
        "CREATE VIEW executions AS WITH RECURSIVE n(number) AS (VALUES (1) UNION ALL "
        "SELECT number + 1 FROM n) SELECT number FROM n"
    )
    db.close()
    with pytest.raises(JournalDamagedError, match="has a view 'executions'"):
        SqliteJournal(path, read_only=True)


@pytest.mark.parametrize("version", [-1, 0, 3, 2**31 - 1])
def test_versions_that_are_none(path, version):
    make(path)
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    kind = JournalVersionError if version > 2 else JournalDamagedError
    with pytest.raises(kind, match=f"version {version}"):
        SqliteJournal(path)


def test_nothing_that_a_file_brings_along_is_trusted(path):
    make(path)
    journal = SqliteJournal(path)
    assert journal._db.execute("PRAGMA trusted_schema").fetchone() == (0,)
    journal.close()


def test_ctrl_c_ends_a_query_that_takes_too_long(path):
    make(path)
    # The signal comes in the middle of the query, where nothing of Python's sees it:
    # the query itself sends it, by a function of C.
    program = textwrap.dedent("""
        import ctypes, functools, os, signal, sys
        from fastflow.durable.sqlite import SqliteJournal

        journal = SqliteJournal(sys.argv[1])
        kill = functools.partial(ctypes.CDLL(None).kill, os.getpid(), signal.SIGINT)
        journal._db.create_function("interrupt", 0, kill)
        try:
            with journal._use() as db:
                db.execute(
                    "WITH RECURSIVE n(x) AS (VALUES (interrupt()) "
                    "UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"
                ).fetchall()
        except KeyboardInterrupt:
            print(journal.find("a").name, flush=True)  # it can be used as before
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "a\n", done.stderr


# The write-ahead log


def killed(path, count=3):
    """Make a journal whose process is killed while it has it open."""
    pid = os.fork()
    if pid == 0:
        journal = SqliteJournal(path)
        entry = journal.begin("a", "f", b"0", journal.enter(1000))
        for n in range(count):
            journal.write([Change(entry.number, entry.fence, n, [record(n + 1)])])
        os._exit(0)
    os.waitpid(pid, 0)


def frames(path):
    journal = SqliteJournal(path)
    try:
        return len(list(journal.frames(1)))
    finally:
        journal.close()


def test_after_a_kill_nothing_is_missing_and_nothing_is_reported(path, caplog):
    killed(path)
    with caplog.at_level(logging.WARNING, "fastflow.durable"):
        assert frames(path) == 3
        assert frames(path) == 3
    assert caplog.records == []


def test_a_copy_without_its_log_is_reported(tmp_path, path, caplog):
    killed(path)
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with caplog.at_level(logging.WARNING, "fastflow.durable"):
        SqliteJournal(copy).close()
    [report] = caplog.messages
    assert f"its write-ahead log {copy}-wal is missing" in report


def test_two_that_open_a_journal_at_the_same_moment(tmp_path, monkeypatch):
    """The other one begins the log when this one has just looked for it."""
    path = tmp_path / "runs.db"
    SqliteJournal(path).close()
    assert not log_of(path).exists()
    prepare, others = sqlite_file._prepare, []

    def late(*args, **options):
        if not others:
            others.append(None)
            others[0] = SqliteJournal(path)
            others[0].enter(60)
        return prepare(*args, **options)

    monkeypatch.setattr(sqlite_file, "_prepare", late)
    SqliteJournal(path).close()
    others[0].close()


def test_a_copy_with_its_log_is_whole(tmp_path, path, caplog):
    killed(path)
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    shutil.copy(log_of(path), log_of(copy))
    with caplog.at_level(logging.WARNING, "fastflow.durable"):
        assert frames(copy) == 3
    assert caplog.records == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_copy_without_the_log_of_one_in_use_is_refused(tmp_path, path, read_only):
    journal = SqliteJournal(path)
    journal.begin("a", "f", b"0", journal.enter(1000))
    copy = tmp_path / "copy.db"
    script = "import sys, shutil; shutil.copy(*sys.argv[1:])"
    # In another process: closing a file lets go of this one's locks on it.
    subprocess.run([sys.executable, "-c", script, path, copy], check=True)
    pid = os.fork()
    if pid == 0:  # whose owner is another process, which lives
        try:
            SqliteJournal(copy, read_only=read_only)
        except JournalDamagedError as error:
            os._exit(0 if "log" in str(error) and "missing" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    journal.close()


def test_a_log_that_is_removed_while_it_is_used_ends_that(path):
    journal = SqliteJournal(path)
    entry = journal.begin("a", "f", b"0", journal.enter(10))
    log_of(path).unlink()
    journal._looked = 0.0  # else it looks a little later
    with pytest.raises(JournalIOError, match=r"write-ahead log .* was removed"):
        journal.write([Change(entry.number, entry.fence, 0, [record(1)])])
    journal.close()


@pytest.mark.parametrize("at", ["header", "frame", "salt", "last"])
def test_a_damaged_log_is_reported(path, caplog, at):
    killed(path, 20)
    log = log_of(path)
    data = bytearray(log.read_bytes())
    size = 24 + 2048
    where = {
        "header": 5, "frame": 32 + 5 * size + 500, "salt": 32 + 5 * size + 9,
        "last": len(data) - 30,
    }[at]  # fmt: skip
    data[where] ^= 16
    log.write_bytes(data)
    with caplog.at_level(logging.WARNING, "fastflow.durable"):
        assert frames(path) < 20
    assert [m for m in caplog.messages if f"log {log} is damaged, or" in m]


def test_a_log_whose_end_is_missing_is_what_a_kill_leaves(path, caplog):
    killed(path, 20)
    log = log_of(path)
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - 1000)
    with caplog.at_level(logging.WARNING, "fastflow.durable"):
        assert frames(path) == 19
    assert caplog.records == []


# Errors that have a name


@durable_execution(name="tests.journal-files")
def program(event, context):
    return context.step(lambda _: event, name="s")


class Name(str):
    __slots__ = ()


BAD_CALLS = {
    "a number": lambda r: r.run(program, 1, 5),
    "half a character": lambda r: r.run(program, 1, "\ud800"),
    "a control character": lambda r: r.run(program, 1, "a\0b"),
    "nothing": lambda r: r.run(program, 1, ""),
    "resume a number": lambda r: r.resume(5),
    "resume half a character": lambda r: r.resume("\ud800"),
    "cancel a number": lambda r: r.cancel(5),
    "cancel half a character": lambda r: r.cancel("\ud800"),
    "an id of a number": lambda r: r.send_callback_success(5),
    "an id of too many digits": lambda r: r.send_callback_success(
        f"cb-{'9' * 5000}-{'00' * 16}"
    ),
    "an id beyond 64 bits": lambda r: r.send_callback_heartbeat(
        f"cb-{'9' * 30}-{'00' * 16}"
    ),
    "a message for a huge number": lambda r: r.journal.post(HUGE, "cancel"),
    "a status that is none": lambda r: r.journal.entries("\ud800"),
    "a status of a number": lambda r: list(r.journal.summaries(5)),
    "a huge duration": lambda r: Duration(-HUGE),
    "a huge count": lambda r: MapConfig(max_concurrency=-HUGE),
    "huge attempts": lambda r: RetryStrategyConfig(max_attempts=-HUGE),
    "a huge minimum": lambda r: CompletionConfig(min_successful=-HUGE),
    "a huge share": lambda r: CompletionConfig(tolerated_failure_percentage=HUGE),
}


@pytest.mark.parametrize("what", BAD_CALLS)
def test_bad_arguments_have_one_error(path, what):
    with DurableRunner(path) as runner:
        with pytest.raises(ValidationError):
            BAD_CALLS[what](runner)
        assert runner.journal.entries() == []
        assert runner.run(program, 1, "it") == 1


@pytest.mark.parametrize(
    "lease", [0, -1, 1e30, float("nan"), float("inf"), pytest.param(HUGE, id="huge")]
)
def test_a_lease_has_bounds(path, lease):
    with pytest.raises(ValueError, match="lease: "):
        DurableRunner(path, lease=lease)
    assert not path.exists() or SqliteJournal(path).close() is None


def test_a_name_of_a_subclass_is_a_name(path):
    with DurableRunner(path) as runner:
        assert runner.run(program, 1, Name("it")) == 1
        assert runner.run(program, 1, "it") == 1
        assert type(runner.journal.find("it").name) is str


def test_a_huge_number_is_a_value(path):
    with DurableRunner(path) as runner:
        assert runner.run(program, HUGE, "it") == HUGE
        assert runner.run(program, HUGE, "it") == HUGE


@pytest.mark.parametrize("name", ["a\0b.db", "\ud800.db", "x" * 5000])
def test_names_that_no_file_has(tmp_path, name):
    for read_only in (False, True):
        with pytest.raises(JournalError):
            SqliteJournal(tmp_path / name, read_only=read_only)


def test_a_name_that_is_no_text_is_the_name_of_a_file(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9 100%?#.db")
    make(path)
    journal = SqliteJournal(path)
    assert journal.find("a").frames == 1
    journal.close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_directory_that_may_not_be_entered(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    make(folder / "runs.db")
    folder.chmod(0)
    pid = os.fork()
    if pid == 0:
        if os.geteuid() == 0:
            os.setuid(65_534)  # root may enter any
        try:
            SqliteJournal(folder / "runs.db")
        except JournalError:
            os._exit(0)
        except BaseException:
            os._exit(1)
        os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    folder.chmod(0o755)
    assert code == 0


@pytest.mark.parametrize("odd", [{"kind": "MAGIC"}, {"action": 77}])
def test_operations_that_are_not_known_are_damage(path, odd):
    journal = SqliteJournal(path)
    entry = journal.begin("a", "f", b"0", journal.enter(10))
    journal.write([Change(entry.number, entry.fence, 0, [record(1, **odd)])])
    for read in (operations, events):
        with pytest.raises(JournalDamagedError, match="does not know"):
            read(journal, entry)
    journal.close()


def test_a_bad_message_is_set_aside_and_reported_once(path, caplog):
    journal = SqliteJournal(path)
    entry = journal.begin("a", "f", b"0", journal.enter(10))
    for n in range(4):
        journal.post(entry.number, "callback", bytes([n]) * 16, b'"v"')
    db = sqlite3.connect(path)
    db.execute("UPDATE messages SET payload = x'0022' WHERE number = 2")
    db.execute("UPDATE messages SET kind = CAST(x'ff' AS TEXT) WHERE number = 3")
    db.commit()
    db.close()
    with caplog.at_level(logging.WARNING, "fastflow.durable"):
        for _ in range(3):
            assert [m.number for m in journal.messages(None, 0)] == [1, 4]
    assert [m[:9] for m in caplog.messages] == ["message 2", "message 3"]
    assert all("set aside" in m for m in caplog.messages)
    assert Path(path).exists()
    journal.close()
