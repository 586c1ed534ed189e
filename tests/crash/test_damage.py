"""Every byte of a small journal is flipped once: that is noticed, or does no harm.

*Noticed*: an error that says so, or a report in the log.  *No harm*: what is read is
what was written.  Never is a wrong value read in silence, or an execution taken over
whose owner lives.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastflow.durable import (
    DurableRunner,
    ExecutionInProgress,
    JournalError,
    SqliteJournal,
    durable_execution,
)
from fastflow.durable.history import operations
from fastflow.journal.sqlite_file import log_of
from support import figure

HERE = Path(__file__).resolve().parent
#: Every byte takes 12 minutes: FASTFLOW_EVERY_BYTE=1.
ALL = bool(os.environ.get("FASTFLOW_EVERY_BYTE"))
PARTS = 96 if ALL else figure(4, 12)
EVERY = 1 if ALL else figure(8, 4)  # byte
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes"),
    pytest.mark.slow,
]


class Reports(logging.Handler):
    """Counts what is reported."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record):
        self.count += 1


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Journals whose owners live, elsewhere: bytes of file and log."""
    folder = tmp_path_factory.mktemp("damage")
    found, processes = {}, []
    for logged in ("none", "last"):
        path = folder / f"{logged}.db"
        process = subprocess.Popen(
            [sys.executable, str(HERE / "holder.py"), str(path), logged],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        found[logged] = path.read_bytes(), log_of(path).read_bytes()
    yield found
    for process in processes:
        process.communicate()


@pytest.fixture
def reports():
    logger = logging.getLogger("fastflow.durable")
    handler = Reports()
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    yield handler
    logger.propagate = propagate
    logger.removeHandler(handler)


def look(journal):
    """Read all that there is; of what can't be read, None."""

    def read(what):
        try:
            return what()
        except JournalError:
            return None

    def frames(entry):
        found = []
        for frame in journal.frames(entry.number):
            for record in frame:
                whole = record.payload
                if record.blob is not None:
                    whole = journal.blob(record.blob)
                found.append((record.id, record.name, record.action, whole))
        newest = [r.id for f in journal.newest(entry.number, entry.frames) for r in f]
        assert sorted(newest) == sorted(row[0] for row in found)
        return found

    seen = {"list": read(lambda: list(journal.summaries()))}
    for name in ("done", "failed", "live"):
        entry = read(lambda name=name: journal.find(name))
        # How many frames there are is what reading them says.
        seen[name] = entry and entry._replace(frames=0)
        seen[f"frames of {name}"] = entry and read(lambda e=entry: frames(e))
    seen["messages"] = read(lambda: journal.messages(3, 0))
    return seen


def open_copy(path, data, log=b""):
    for name in path.parent.iterdir():
        name.unlink()
    path.write_bytes(data)
    log_of(path).write_bytes(log)
    journal = SqliteJournal(path)
    journal._db.execute("PRAGMA synchronous = OFF")  # it is not the disk that fails
    return journal


def try_damage(path, reports, good, data, log=b""):
    """Return what came of it: "opening refused", "noticed" or "harmless"."""
    reports.count = 0
    try:
        journal = open_copy(path, data, log)
    except JournalError:
        return "opening refused"
    try:
        seen = look(journal)
        lost = [k for k, v in seen.items() if v is None]
        wrong = [k for k, v in seen.items() if v is not None and v != good[k]]
        assert not wrong or reports.count, (wrong, [seen[k] for k in wrong])
        for key in wrong:  # what is reported is left out, but never another
            if isinstance(good[key], list):
                assert set(seen[key]) <= set(good[key]), seen[key]
        try:
            owner = journal.enter(10)
            assert journal.claim(3, owner) is None, "taken over"
            journal.begin("live", "f", b"0", owner)
        except ExecutionInProgress:
            pass
        except JournalError:
            lost.append("live")
        else:
            raise AssertionError("begun again")
        return "noticed" if lost or reports.count else "harmless"
    finally:
        journal.close()


def undamaged(stores, logged, path, reports):
    """Return the bytes of file and log, and what is read of them."""
    data, log = stores[logged]
    path.parent.mkdir()
    journal = open_copy(path, data, log)
    seen = look(journal)
    journal.close()
    assert None not in seen.values()
    more = 0 if logged == "none" else 2
    assert len(seen["list"]) == 3
    assert len(seen["frames of live"]) == 3 + more
    assert len(seen["messages"]) == 3 + more // 2
    assert try_damage(path, reports, seen, data, log) == "harmless"
    return data, log, seen


def flip(data, at, bit):
    flipped = bytearray(data)
    flipped[at] ^= 1 << bit
    return flipped


@pytest.mark.parametrize("part", range(PARTS))
def test_every_byte_of_the_file(stores, tmp_path, reports, part):
    path = tmp_path / "copies" / "runs.db"
    data, _, seen = undamaged(stores, "none", path, reports)
    assert len(data) < 64 * 1024
    found = {"opening refused": 0, "noticed": 0, "harmless": 0}
    for number, at in enumerate(range(part, len(data), PARTS * EVERY)):
        try:
            flipped = flip(data, at, number % 8)
            found[try_damage(path, reports, seen, flipped)] += 1
        except AssertionError as error:
            raise AssertionError(f"byte {at}: {error}") from error
    assert min(found.values()) > 0, found


@pytest.mark.parametrize("part", range(PARTS))
def test_every_byte_of_the_write_ahead_log(stores, tmp_path, reports, part):
    path = tmp_path / "copies" / "runs.db"
    data, log, seen = undamaged(stores, "last", path, reports)
    assert 4_000 < len(log) < 64 * 1024
    found = {"opening refused": 0, "noticed": 0, "harmless": 0}
    for number, at in enumerate(range(part, len(log), PARTS * EVERY)):
        try:
            flipped = flip(log, at, number % 8)
            found[try_damage(path, reports, seen, data, flipped)] += 1
        except AssertionError as error:
            raise AssertionError(f"byte {at} of the log: {error}") from error
    assert found["noticed"] > 0, found


@durable_execution(name="tests.damage-waits")
def waits(event, context):
    return context.wait_for_callback(lambda key, _: event.append(key), "cb")


@pytest.mark.parametrize(
    "columns",
    [
        (1, "callback", b"k" * 16, b"\0v", None, 7, 7),
        (1, b"\xff", 5, "text", "text", "text", 7),
        ("x", "cancel", b"", b"\1not a reference", b"\xc1", -1, None),
        (1, "cancel", b"", None, b"\x91" * 5_000, 7, 7),
    ],
    ids=["checksum", "types", "values", "depth"],
)
def test_bad_messages_cost_no_execution_its_owner(tmp_path, reports, columns):
    path, lease = tmp_path / "runs.db", 0.4
    with DurableRunner(path, lease=lease) as runner:
        handle = runner.start(waits, [], "it")
        db = sqlite3.connect(path)
        db.execute("PRAGMA ignore_check_constraints = ON")
        query = "INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, ?, coalesce(?, 0))"
        db.execute(query, columns)
        db.commit()
        # Until the lease has been renewed more than once after that.
        [before] = db.execute("SELECT until FROM owners").fetchone()
        until = before
        while until < before + 3 * lease * 1e6:
            time.sleep(0.01)
            [until] = db.execute("SELECT until FROM owners").fetchone()
        db.close()
        assert reports.count > 0
        assert runner._keeper._thread.is_alive()
        pid = os.fork()
        if pid == 0:  # another process
            try:
                other = SqliteJournal(path)
                other.begin("it", waits.function_name, b"[]", other.enter(10))
            except ExecutionInProgress:
                os._exit(0)
            except BaseException:
                os._exit(1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        [operation] = [
            o.operation_id
            for o in operations(runner.journal, runner.journal.find("it"))
            if o.operation_type.value == "CALLBACK"
        ]
        runner.send_callback_success(f"cb-1-{operation}", "yes")
        assert handle.result(60) == "yes"
