"""`SqliteJournal`: executions in one SQLite file in WAL mode.

A commit of one execution is one row of one table: its frame.  The row's key is the
execution's number in the upper, and the frame's in the lower 32 bits, so the frames of
an execution lie together and in order, and a commit touches one page.  One statement
checks the fence and writes the row; what is more than that goes into an explicit
transaction.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from fastflow.durable import sqlite_values as values
from fastflow.durable.exceptions import (
    ExecutionInProgress,
    JournalDamagedError,
    JournalError,
    JournalIOError,
)
from fastflow.durable.journal import (
    ABANDONED,
    RUNNING,
    Change,
    Entry,
    Message,
    Summary,
    check_same,
    may_claim,
)
from fastflow.durable.leases import Process, lease_end, lives, this_process
from fastflow.durable.records import (
    BlobRef,
    Failure,
    Record,
    checksum,
    decode_frames,
    encode_frame,
    now_us,
)
from fastflow.durable.sqlite_file import connect, translate

__all__ = ["SqliteJournal"]

_FEW = 4096  # records that are one frame, unless their payloads are large
_LOOK = 0.02  # seconds between looks whether the file still has its name
_EVERY = 500  # frames between checkpoints
_FRAME = 4 * 1024 * 1024  # bytes of payload in one frame, about

_AT_A_TIME = 4096  # frames that are read together, at most
_FIRST = 16  # of the newest, at first
_FRAMES = (
    "SELECT id, crc, data FROM frames WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
)
_NEWEST = (
    "SELECT id, crc, data FROM frames WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?"
)
_APPEND = (
    "INSERT INTO frames SELECT ?, ?, ? FROM executions WHERE number = ? AND fence = ?"
)
_OPEN = (
    "SELECT 1 FROM executions WHERE number = ?1 AND status = 'RUNNING' AND NOT EXISTS ("
    "SELECT 1 FROM messages WHERE execution = ?1 AND operation = ?2 "
    "AND kind IN ('callback', 'expired'))"
)
_SUMMARIES = (
    "SELECT number, name, function, status, created, updated, owner FROM executions "
    "WHERE number > ?1 AND (?2 IS NULL OR status = ?2) ORDER BY number LIMIT ?3"
)
_COLUMNS = (
    "number, name, function, status, input, result, error, created, updated, owner, "
    "fence, crc"
)
#: (device, inode, owner) of those in this process that have not been closed.
_here: set[tuple[int, int, int]] = set()

_open_here: weakref.WeakSet[SqliteJournal] = weakref.WeakSet()

_failure = msgspec.msgpack.Decoder(Failure | None)
_pack = msgspec.msgpack.Encoder().encode


class SqliteJournal:
    """A `Journal` in a file.

    Parameters
    ----------
    path : str or Path
        Made, readable by its owner only, if it does not exist; its directory must.
    durability : {"normal", "full"}
        With "normal", what was acknowledged survives the death of the process; with
        "full", which syncs each commit to the disk, a power failure, too.
    read_only : bool
        For looking at it.

    Raises
    ------
    JournalError
        If it can't be used; nothing has been changed then.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        durability: str = "normal",
        *,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self._db = connect(self.path, durability, read_only=read_only)
        self._lock = threading.RLock()
        self._pid = os.getpid()
        status = self.path.stat()
        self._inode = status.st_ino
        self._device = status.st_dev
        self._entered: set[tuple[int, int, int]] = set()
        self._looked = 0.0
        self._broken: JournalError | None = None
        self._since = 0  # frames since the last checkpoint, about
        self._every = _EVERY
        self._closed = False
        _open_here.add(self)

    # Every access is within one of these two.

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """Have the connection alone, after a look whether it is still good."""
        with self._lock:
            self._check()
            try:
                yield self._db
            except sqlite3.Error as error:
                raise self._failed(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._use() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._closed:
            raise JournalError(f"the journal {self.path} is closed")
        now = time.monotonic()
        if now < self._looked + _LOOK:
            return
        self._looked = now
        # SQLite would go on with a file that has no name any more.
        try:
            inode = self.path.stat().st_ino
        except FileNotFoundError:
            inode = 0
        if inode != self._inode:
            self._broken = JournalIOError(
                f"the journal {self.path} was removed or replaced while it was in use"
            )
            raise self._broken

    def _failed(self, error: sqlite3.Error) -> JournalError:
        found = translate(error, self.path)
        # After a failed sync nobody knows what is on the disk.
        if isinstance(found, JournalIOError | JournalDamagedError):
            self._broken = found
        return found

    # Owners

    def enter(self, lease: float) -> int:
        """Register this process as an owner; leases last `lease` seconds."""
        process = this_process()
        with self._transaction() as db:
            for row in db.execute("SELECT * FROM owners").fetchall():
                if not self._lives(row):
                    self._forget(db, row[0])
            cursor = db.execute(
                "INSERT INTO owners (boot, space, pid, start, lease, until) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*process, round(lease * 1e6), lease_end(lease)),
            )
            owner = cursor.lastrowid
            assert owner is not None
        key = (self._device, self._inode, owner)
        self._entered.add(key)
        _here.add(key)
        return owner

    def _lives(self, row: tuple[Any, ...]) -> bool:
        """Whether an owner, given its row, still owns what it owned."""
        process = Process(*row[1:5])
        if process == this_process():
            # Closed, perhaps without having been able to say so in the file.
            key = (self._device, self._inode, row[0])
            return key in _here and lives(process, row[6])
        return lives(process, row[6])

    @staticmethod
    def _forget(db: sqlite3.Connection, owner: int) -> None:
        db.execute(
            "UPDATE executions SET owner = ?, fence = fence + 1 "
            "WHERE owner = ? AND status = ?",
            (ABANDONED, owner, RUNNING),
        )
        db.execute("DELETE FROM owners WHERE id = ?", (owner,))

    def renew(self, owner: int) -> bool:
        """Let the owner's lease last from now on; False if it was taken away."""
        with self._use() as db:
            cursor = db.execute(
                "UPDATE owners SET until = lease + ? WHERE id = ?",
                (lease_end(0), owner),
            )
            return cursor.rowcount == 1

    def leave(self, owner: int) -> None:
        """Give up all that this owner has."""
        _here.discard((self._device, self._inode, owner))
        with self._transaction() as db:
            self._forget(db, owner)

    def _holds(self, db: sqlite3.Connection, owner: int) -> bool:
        if owner == ABANDONED:
            return False
        row = db.execute("SELECT * FROM owners WHERE id = ?", (owner,)).fetchone()
        return row is not None and self._lives(row)

    # Executions

    def begin(self, name: str, function: str, data: bytes, owner: int) -> Entry:
        """Make an execution, or take over the one of that name."""
        with self._transaction() as db:
            found = self._select(db, "name = ?", name)
            if not found:
                now = now_us()
                crc = _entry_crc(name, function, RUNNING, data, None, None)
                cursor = db.execute(
                    "INSERT INTO executions (name, function, status, input, created, "
                    "updated, owner, fence, crc) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
                    (name, function, RUNNING, b"", now, now, owner, crc),
                )
                number = cursor.lastrowid
                assert number is not None
                db.execute(
                    "UPDATE executions SET input = ? WHERE number = ?",
                    (values.store(db, number, data), number),
                )
                return Entry(
                    number, name, function, RUNNING, data, None, None, now, now,
                    owner, 1, 0, True,
                )  # fmt: skip
            entry = found[0]
            check_same(entry, function, data)
            if entry.status != RUNNING:
                return entry
            if entry.owned and entry.owner != owner:
                raise ExecutionInProgress(
                    f"execution {name!r} is running already; wait for it, or give "
                    "this one another name",
                )
            return self._take(db, entry, owner)

    def claim(self, number: int, owner: int) -> Entry | None:
        """Take over an unfinished execution; None if it is owned or has ended."""
        with self._transaction() as db:
            found = self._select(db, "number = ?", number)
            if not found or not may_claim(found[0], owner):
                return None
            return self._take(db, found[0], owner)

    @staticmethod
    def _take(db: sqlite3.Connection, entry: Entry, owner: int) -> Entry:
        db.execute(
            "UPDATE executions SET owner = ?, fence = ? WHERE number = ?",
            (owner, entry.fence + 1, entry.number),
        )
        return entry._replace(owner=owner, fence=entry.fence + 1, owned=True)

    def release(self, number: int, fence: int) -> None:
        """Own an execution no longer; it can be claimed at once."""
        with self._use() as db:
            db.execute(
                "UPDATE executions SET owner = ?, fence = fence + 1 "
                "WHERE number = ? AND fence = ? AND status = ?",
                (ABANDONED, number, fence, RUNNING),
            )

    def find(self, name: str) -> Entry | None:
        """Return the execution of that name."""
        with self._use() as db:
            found = self._select(db, "name = ?", name)
            return found[0] if found else None

    def entries(self, status: str | None = None) -> list[Entry]:
        """Return all executions, oldest first."""
        with self._use() as db:
            if status is None:
                return self._select(db, "1")
            if status == RUNNING:  # spelled out: only so its index is used
                return self._select(db, "status = 'RUNNING'")
            return self._select(db, "status = ?", status)

    def summaries(self, status: str | None = None) -> Iterator[Summary]:
        """Return all executions, oldest first, without reading their values."""
        last = 0
        rows: list[tuple[Any, ...]] = [()]
        while rows:
            with self._use() as db:
                owners = db.execute("SELECT * FROM owners").fetchall()
                living = {row[0] for row in owners if self._lives(row)}
                rows = db.execute(_SUMMARIES, (last, status, _AT_A_TIME)).fetchall()
            for last, name, function, status_now, created, updated, owner in rows:
                owned = status_now == RUNNING and owner in living
                yield Summary(last, name, function, status_now, created, updated, owned)

    def below(self, name: str) -> list[str]:
        """Return the names of unfinished executions that begin with `name` and a /."""
        with self._use() as db:
            # "0" follows "/"; with +status, the index of the names is used.
            rows = db.execute(
                "SELECT name FROM executions WHERE name > ? AND name < ? "
                "AND +status = ? ORDER BY number",
                (f"{name}/", f"{name}0", RUNNING),
            )
            return [row[0] for row in rows.fetchall()]

    def _select(self, db: sqlite3.Connection, where: str, *args: Any) -> list[Entry]:
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM executions WHERE {where} ORDER BY number", args
        ).fetchall()
        try:
            return [self._entry(db, row) for row in rows]
        except (TypeError, ValueError, msgspec.DecodeError) as error:
            raise JournalDamagedError(
                f"the executions in {self.path} can't be read ({error}); restore the "
                "file from a copy"
            ) from error

    def _entry(self, db: sqlite3.Connection, row: tuple[Any, ...]) -> Entry:
        number, name, function, status, data, result, error = row[:7]
        created, updated, owner, fence, crc = row[7:]
        data = values.fetch(db, data)
        result = None if result is None else values.fetch(db, result)
        if _entry_crc(name, function, status, data, result, error) != crc:
            raise JournalDamagedError(
                f"execution {number} in {self.path} is damaged: its checksum does not "
                "match; restore the file from a copy"
            )
        first = number << 32
        last = db.execute(
            "SELECT max(id) FROM frames WHERE id BETWEEN ? AND ?",
            (first, first | 0xFFFFFFFF),
        ).fetchone()[0]
        return Entry(
            number, name, function, status, data, result,
            None if error is None else _failure.decode(error),
            created, updated, owner, fence,
            0 if last is None else last - first + 1,
            status == RUNNING and self._holds(db, owner),
        )  # fmt: skip

    def delete(self, numbers: Iterable[int]) -> int:
        """Remove finished executions; return how many there were."""
        removed = 0
        with self._transaction() as db:
            for number in numbers:
                cursor = db.execute(
                    "DELETE FROM executions WHERE number = ? AND status != ?",
                    (number, RUNNING),
                )
                if not cursor.rowcount:
                    continue
                removed += 1
                first = number << 32
                db.execute(
                    "DELETE FROM frames WHERE id BETWEEN ? AND ?",
                    (first, first | 0xFFFFFFFF),
                )
                db.execute("DELETE FROM blobs WHERE execution = ?", (number,))
                db.execute("DELETE FROM messages WHERE execution = ?", (number,))
        return removed

    def shrink(self) -> None:
        """Give the space of what was deleted back to the file system."""
        with self._use() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            db.execute("VACUUM")

    # Frames

    def write(self, changes: Sequence[Change]) -> list[int]:
        """Write changes; when this returns, they are there to stay, all of them."""
        if len(changes) == 1 and _is_small(changes[0]):
            change = changes[0]
            with self._lock:  # as in _use(), which would take as long as the rest
                self._check()
                try:
                    written = self._append(self._db, change, change.records)
                except sqlite3.Error as error:
                    raise self._failed(error) from error
                self._checkpoint(1)
            return [] if written else [change.number]
        with self._lock:
            with self._transaction() as db:
                lost = [c.number for c in changes if not self._write_one(db, c)]
            self._checkpoint(sum(len(change.records) for change in changes) // 8 + 1)
        return lost

    def _checkpoint(self, written: int) -> None:
        """Move what the write-ahead log has into the file, from time to time.

        SQLite would do that by itself, but not tell if it failed.  What has been
        committed is good in any case; after a failure nothing more will be.
        """
        self._since += written
        if self._since < self._every:
            return
        self._since = 0
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            self._failed(error)

    @staticmethod
    def _append(
        db: sqlite3.Connection, change: Change, records: Sequence[Record]
    ) -> bool:
        """Write one frame; False if the execution is another owner's."""
        key = change.number << 32 | change.frame
        data = encode_frame(records)
        row = (key, checksum(key, data), data, change.number, change.fence)
        change.frame += 1
        return db.execute(_APPEND, row).rowcount == 1

    def _write_one(self, db: sqlite3.Connection, change: Change) -> bool:
        owned = db.execute(
            "SELECT name, function, input FROM executions "
            "WHERE number = ? AND fence = ?",
            (change.number, change.fence),
        ).fetchone()
        if owned is None:
            return False
        for record in change.records:
            if record.payload is not None and len(record.payload) >= values.LARGE:
                record.blob = values.store_blob(db, change.number, record.payload)
                record.payload = None
        for records in _portions(change.records):
            self._append(db, change, records)
        end = change.end
        if end is not None:
            name, function, data = owned
            error = None if end.error is None else _pack(end.error)
            data = values.fetch(db, data)
            crc = _entry_crc(name, function, end.status, data, end.result, error)
            stored = (
                None
                if end.result is None
                else values.store(db, change.number, end.result)
            )
            db.execute(
                "UPDATE executions SET status = ?, result = ?, error = ?, updated = ?, "
                "owner = ?, crc = ? WHERE number = ?",
                (end.status, stored, error, end.at, ABANDONED, crc, change.number),
            )
        return True

    def frames(self, number: int) -> Iterator[list[Record]]:
        """Return the frames of an execution in the order of their writing."""
        first, last = number << 32, number << 32 | 0xFFFFFFFF
        while True:
            with self._use() as db:
                rows = db.execute(_FRAMES, (first, last, _AT_A_TIME)).fetchall()
            self._check_rows(rows, count(first))
            yield from decode_frames(rows)
            if len(rows) < _AT_A_TIME:
                return
            first = rows[-1][0] + 1

    def newest(self, number: int, before: int) -> Iterator[list[Record]]:
        """Return the frames before the one of that number, the newest first."""
        first, last, some = number << 32, (number << 32) + before - 1, _FIRST
        while last >= first:
            with self._use() as db:
                rows = db.execute(_NEWEST, (first, last, some)).fetchall()
            self._check_rows(rows or [(-1,)], count(last, -1))
            yield from decode_frames(rows)
            last -= len(rows)
            some = min(4 * some, _AT_A_TIME)

    def _check_rows(self, rows: list[Any], expected: Iterable[int]) -> None:
        for key, row in zip(expected, rows, strict=False):
            if row[0] != key:
                raise JournalDamagedError(
                    f"frame {key >> 32}:{key & 0xFFFFFFFF} is missing from "
                    f"{self.path}; restore the file from a copy"
                )

    def blob(self, ref: BlobRef) -> bytes:
        """Return a large payload."""
        with self._use() as db:
            return values.read_blob(db, ref)

    # Messages

    def post(
        self,
        execution: int,
        kind: str,
        operation: bytes = b"",
        payload: bytes | None = None,
        error: Failure | None = None,
    ) -> bool:
        """Leave a message; False if its operation has an outcome, or nobody runs it."""
        with self._transaction() as db:
            if (
                operation
                and db.execute(_OPEN, (execution, operation)).fetchone() is None
            ):
                return False
            packed = None if error is None else _pack(error)
            stored = None if payload is None else values.store(db, execution, payload)
            db.execute(
                "INSERT INTO messages (execution, kind, operation, payload, error, at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (execution, kind, operation, stored, packed, now_us()),
            )
        return True

    def messages(self, execution: int | None, after: int) -> list[Message]:
        """Return messages of one or of all executions with higher numbers."""
        with self._use() as db:
            rows = db.execute(
                "SELECT * FROM messages WHERE number > ? AND (? IS NULL OR "
                "execution = ?) ORDER BY number",
                (after, execution, execution),
            ).fetchall()
            return [
                Message(
                    row[0],
                    row[1],
                    row[2],
                    row[3],
                    None if row[4] is None else values.fetch(db, row[4]),
                    None if row[5] is None else _failure.decode(row[5]),
                    row[6],
                )
                for row in rows
            ]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if not self._closed and os.getpid() == self._pid:
                self._closed = True
                _here.difference_update(self._entered)
                self._db.close()


def _is_small(change: Change) -> bool:
    """Whether a change is one frame and nothing else."""
    if change.end is not None or len(change.records) > _FEW:
        return False
    size = 0
    for record in change.records:
        if record.payload is not None:
            size += len(record.payload)
    return size < values.LARGE


def _portions(records: list[Record]) -> Iterator[list[Record]]:
    portion: list[Record] = []
    size = 0
    for record in records:
        portion.append(record)
        size += len(record.payload or b"")
        if size >= _FRAME:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _entry_crc(
    name: str,
    function: str,
    status: str,
    data: bytes,
    result: bytes | None,
    error: bytes | None,
) -> int:
    return checksum(0, _pack((name, function, status, data, result, error)))


def _after_fork_in_child() -> None:
    # SQLite's connections and locks must not be carried over.
    for journal in list(_open_here):
        journal._lock = threading.RLock()
        journal._broken = JournalError(
            f"the journal {journal.path} was opened before a fork; open it anew in the "
            "child process"
        )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
