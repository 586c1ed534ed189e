"""`SqliteJournal`: executions in one SQLite file in WAL mode.

A commit of one execution is one row of one table: its frame.  The row's key is the
execution's number in the upper, and the frame's in the lower 32 bits, so the frames of
an execution lie together and in order, and a commit touches one page.  One statement
checks the fence and writes the row; what is more than that goes into an explicit
transaction.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from fastflow.base import lifetime
from fastflow.base.names import plain_text
from fastflow.errors import described
from fastflow.journal import sqlite_values as values
from fastflow.journal.errors import (
    ExecutionInProgress,
    JournalDamagedError,
    JournalError,
    JournalIOError,
    ValidationError,
)
from fastflow.journal.journal import (
    ABANDONED,
    RUNNING,
    Change,
    Entry,
    Message,
    Summary,
    check_same,
    may_claim,
)
from fastflow.journal.records import (
    BlobRef,
    Failure,
    Record,
    checksum,
    decode_frames,
    encode_frame,
    now_us,
)
from fastflow.journal.sqlite_file import WHOLE, connect, log_of, translate
from fastflow.journal.sqlite_messages import Messages
from fastflow.journal.sqlite_owners import Owners
from fastflow.journal.sqlite_rows import (
    DAMAGE,
    HEAD,
    Head,
    cells_crc,
    head_crc,
    read_head,
    set_end,
    set_head,
)

__all__ = ["SqliteJournal"]

_LOGGER = logging.getLogger("fastflow.durable")
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
_HEAD = f"SELECT {HEAD} FROM executions WHERE number = ?"
_OWNED = "SELECT 1 FROM executions WHERE number = ? AND fence = ?"
_INSERT = (
    f"INSERT INTO executions ({HEAD}, input) "
    f"VALUES ({', '.join('?' * (len(Head._fields) + 2))})"
)
_SUMMARIES = (
    f"SELECT {HEAD} FROM executions WHERE {{condition}} AND number > ? "
    "ORDER BY number LIMIT ?"
)
_ENTRIES = (
    f"SELECT {HEAD}, input, result, error, (SELECT max(id) FROM frames WHERE id "
    "BETWEEN number << 32 AND number << 32 | 4294967295) "
    "FROM executions WHERE {condition} ORDER BY number"
)

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
        self._read_only = read_only
        self._looked = 0.0
        self._broken: JournalError | None = None
        self._since = 0  # frames since the last checkpoint, about
        self._every = _EVERY
        self._closed = False
        self._messages = Messages(self.path)
        self._log = log_of(self.path)
        try:
            status = self.path.stat()
            self._inode = status.st_ino
            self._log_inode = _inode_of(self._log)
            self._owners = Owners(self.path, status.st_dev, status.st_ino)
            if status.st_size <= WHOLE:
                with self._use() as db:
                    self._messages.check(db)
        except BaseException as error:
            self._db.close()
            if isinstance(error, OSError):
                raise JournalIOError(
                    f"the journal {self.path} was removed while it was opened"
                ) from error
            raise
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
        # SQLite would go on with files that have no name any more.
        if _inode_of(self.path) != self._inode:
            self._broken = JournalIOError(
                f"the journal {self.path} was removed or replaced while it was in use"
            )
            raise self._broken
        log = _inode_of(self._log)
        if self._log_inode == 0:
            self._log_inode = log  # made meanwhile
        elif log != self._log_inode:
            self._broken = JournalIOError(
                f"the write-ahead log {self._log} was removed or replaced while the "
                "journal was in use: what was committed last is lost"
            )
            raise self._broken

    def _failed(self, error: sqlite3.Error) -> BaseException:
        stopped = self._db.interruption(error)
        if stopped is not None:
            return stopped
        found = translate(error, self.path)
        # After a failed sync nobody knows what is on the disk.
        if isinstance(found, JournalIOError | JournalDamagedError):
            self._broken = found
        return found

    # Owners

    def enter(self, lease: float) -> int:
        """Register this process as an owner; leases last `lease` seconds."""
        with self._lock:
            with self._transaction() as db:
                owner = self._owners.enter(db, lease)
            self._owners.entered(owner)
            # The file itself says now that it is in use: if its log is missing one
            # day, that is seen.
            self._checkpoint(self._every)
        return owner

    def renew(self, owner: int) -> bool:
        """Let the owner's lease last from now on; False if it was taken away."""
        with self._use() as db:
            return self._owners.renew(db, owner)

    def leave(self, owner: int) -> None:
        """Give up all that this owner has."""
        self._owners.left(owner)
        with self._transaction() as db:
            self._owners.forget(db, owner)

    # Executions

    def begin(self, name: str, function: str, data: bytes, owner: int) -> Entry:
        """Make an execution, or take over the one of that name."""
        name, function = _plain(name), _plain(function)
        with self._transaction() as db:
            found = self._select(db, "name = ?", name)
            if not found:
                return self._insert(db, name, function, data, owner)
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

    @staticmethod
    def _insert(
        db: sqlite3.Connection, name: str, function: str, data: bytes, owner: int
    ) -> Entry:
        last = db.execute("SELECT max(number) FROM executions").fetchone()[0]
        number, now = (last or 0) + 1, now_us()
        stored = values.store(db, number, data)
        head = Head(
            number, name, function, RUNNING, now, now, owner, 1,
            cells_crc(number, stored), cells_crc(number, None, None),
        )  # fmt: skip
        db.execute(_INSERT, (*head, head_crc(head), stored))
        return Entry(
            number, name, function, RUNNING, data, None, None, now, now, owner, 1, 0,
            True,
        )  # fmt: skip

    def claim(self, number: int, owner: int) -> Entry | None:
        """Take over an unfinished execution; None if it is owned or has ended."""
        if not 0 < number < 1 << 31:
            return None
        with self._transaction() as db:
            found = self._select(db, "number = ?", number)
            if not found or not may_claim(found[0], owner):
                return None
            return self._take(db, found[0], owner)

    @staticmethod
    def _take(db: sqlite3.Connection, entry: Entry, owner: int) -> Entry:
        head = _head_of(db, entry.number)
        assert head is not None
        set_head(db, head._replace(owner=owner, fence=head.fence + 1))
        return entry._replace(owner=owner, fence=head.fence + 1, owned=True)

    def release(self, number: int, fence: int, reason: Failure | None = None) -> None:
        """Own an unfinished execution no longer; it can be claimed at once."""
        with self._transaction() as db:
            head = _head_of(db, number)
            if head is None or (head.fence, head.status) != (fence, RUNNING):
                return
            head = head._replace(owner=ABANDONED, fence=fence + 1)
            if reason is None:
                set_head(db, head)
            else:
                set_end(db, head._replace(updated=now_us()), None, _pack(reason))

    def find(self, name: str) -> Entry | None:
        """Return the execution of that name."""
        name = _plain(name)
        with self._use() as db:
            found = self._select(db, "name = ?", name)
            return found[0] if found else None

    def entries(self, status: str | None = None) -> list[Entry]:
        """Return all executions with their values, oldest first."""
        with self._use() as db:
            if status is None:
                return self._select(db, "1")
            return self._select(db, _where(status), _plain(status))

    def summaries(self, status: str | None = None) -> Iterator[Summary]:
        """Return all executions, oldest first, without reading their values.

        One that is damaged is left out and reported.
        """
        last = 0
        rows: list[tuple[Any, ...]] = [()]
        condition = "1" if status is None else _where(status)
        query = _SUMMARIES.format(condition=condition)
        arguments = () if status is None else (_plain(status),)
        while rows:
            with self._use() as db:
                living = self._owners.living(db)
                rows = db.execute(query, (*arguments, last, _AT_A_TIME)).fetchall()
            for row in rows:
                if row[0] <= last:  # or it would never end
                    raise JournalDamagedError(
                        f"the executions in {self.path} are not in order; restore the "
                        "file from a copy"
                    )
                last = row[0]
                try:
                    head = read_head(row)
                except JournalDamagedError as error:
                    self._owners.report(row[0], error)
                    continue
                owned = head.status == RUNNING and living(head.owner)
                yield Summary(
                    head.number, head.name, head.function, head.status, head.created,
                    head.updated, owned,
                )  # fmt: skip

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
        rows = db.execute(_ENTRIES.format(condition=where), args).fetchall()
        # Of many, the owners are read once.
        living = self._owners.living(db) if len(rows) > 1 else None
        return [self._entry(db, row, living) for row in rows]

    def _entry(
        self,
        db: sqlite3.Connection,
        row: tuple[Any, ...],
        living: Callable[[int], bool] | None,
    ) -> Entry:
        head = read_head(row)
        data, result, error, last = row[-4:]
        number, owner = head.number, head.owner
        try:
            good = head.input_crc == cells_crc(number, data)
            if not good or head.end_crc != cells_crc(number, result, error):
                raise JournalDamagedError("its checksum does not match")
            data = values.fetch(db, data)
            result = None if result is None else values.fetch(db, result)
            failure = None if error is None else _failure.decode(error)
        except DAMAGE as problem:
            raise JournalDamagedError(
                f"execution {number} in {self.path} is damaged ({problem}); restore "
                "the file from a copy"
            ) from problem
        owned = head.status == RUNNING and (
            self._owners.hold(db, owner) if living is None else living(owner)
        )
        return Entry(
            number, head.name, head.function, head.status, data, result, failure,
            head.created, head.updated, owner, head.fence,
            0 if last is None else last - (number << 32) + 1, owned,
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
                    written = _append(self._db, change, change.frame, change.records)
                except sqlite3.Error as error:
                    raise self._failed(error) from error
                change.frame += 1
                self._checkpoint(1)
            return [] if written else [change.number]
        with self._lock:
            lost = self._write_group(changes)
            self._checkpoint(sum(len(change.records) for change in changes) // 8 + 1)
        return lost

    def _write_group(self, changes: Sequence[Change]) -> list[int]:
        """Write changes in one transaction, or else each in one of its own."""
        try:
            return self._write_together(changes)
        except Exception as error:
            if len(changes) == 1 or not _is_of_one(error):
                raise
        # What is wrong with one of them is no matter of the others.
        lost: list[int] = []
        failed: Exception | None = None
        for change in changes:
            try:
                if failed is not None:
                    raise failed
                lost += self._write_together([change])
            except Exception as error:
                change.error = error
                if not _is_of_one(error):
                    failed = error  # of the disk, and so of all that are left
        return lost

    def _write_together(self, changes: Sequence[Change]) -> list[int]:
        """Write changes in one transaction; change them only once that is over."""
        done = []
        with self._transaction() as db:
            for change in changes:
                done.append(_write_one(db, change))
        lost = []
        for change, written in zip(changes, done, strict=True):
            if written is None:
                lost.append(change.number)
                continue
            change.frame, records = written
            for before, after in zip(change.records, records, strict=True):
                if after is not before:  # whoever has it need not keep the payload
                    before.blob, before.payload = after.blob, None
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
        if not 0 < execution < 1 << 31:
            raise ValidationError(
                f"there is no execution {described(execution)} in {self.path}"
            )
        with self._transaction() as db:
            if operation and not self._messages.is_open(db, execution, operation):
                return False
            self._messages.post(db, execution, kind, operation, payload, error)
        return True

    def messages(self, execution: int | None, after: int) -> list[Message]:
        """Return messages of one or of all executions with higher numbers."""
        with self._use() as db:
            return self._messages.read(db, execution, after)

    def close(self) -> None:
        """Close the file; give up what was not given up before."""
        with self._lock:
            if self._closed or os.getpid() != self._pid:
                return
            try:
                for owner in self._owners.mine:
                    self.leave(owner)
                self._forget_dead()
            except JournalError:
                _LOGGER.debug("the owners could not leave", exc_info=True)
            self._closed = True
            self._db.close()

    def _forget_dead(self) -> None:
        # Without owners in the file, nobody misses the log that goes with the last
        # connection.
        if self._read_only:
            return
        with self._use() as db:
            dead = self._owners.any_dead(db)
        if dead:
            with self._transaction() as db:
                self._owners.forget_dead(db)


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


def _append(
    db: sqlite3.Connection, change: Change, frame: int, records: Sequence[Record]
) -> bool:
    """Write one frame; False if the execution is another owner's."""
    key = change.number << 32 | frame
    data = encode_frame(records)
    row = (key, checksum(key, data), data, change.number, change.fence)
    return db.execute(_APPEND, row).rowcount == 1


def _write_one(
    db: sqlite3.Connection, change: Change
) -> tuple[int, list[Record]] | None:
    """Write a change; return its next frame and records, None if another has it.

    REQUIRES: a transaction.
    """
    end = change.end
    number, frame = change.number, change.frame
    head: Head | None = None
    if end is None:
        row = (number, change.fence)
        if db.execute(_OWNED, row).fetchone() is None:
            return None
    else:
        head = _head_of(db, number)
        if head is None or head.fence != change.fence:
            return None
    records = [_without_large(db, number, record) for record in change.records]
    for portion in _portions(records):
        _append(db, change, frame, portion)
        frame += 1
    if end is not None and head is not None:
        error = None if end.error is None else _pack(end.error)
        result = None if end.result is None else values.store(db, number, end.result)
        ended = head._replace(status=end.status, updated=end.at, owner=ABANDONED)
        set_end(db, ended, result, error)
    return frame, records


def _without_large(db: sqlite3.Connection, execution: int, record: Record) -> Record:
    """Return a record whose payload, if that is large, is stored apart."""
    if record.payload is None or len(record.payload) < values.LARGE:
        return record
    blob = values.store_blob(db, execution, record.payload)
    return msgspec.structs.replace(record, payload=None, blob=blob)


def _is_of_one(error: Exception) -> bool:
    """Whether an error is of what was to be written, and not of the store."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return isinstance(cause, sqlite3.IntegrityError | sqlite3.DataError)
    return True


def _head_of(db: sqlite3.Connection, number: int) -> Head | None:
    row = db.execute(_HEAD, (number,)).fetchone()
    return None if row is None else read_head(row)


def _where(status: str) -> str:
    # Spelled out, so that its index is used.
    return "status = 'RUNNING' AND status = ?" if status == RUNNING else "status = ?"


def _plain(name: str) -> str:
    """Return a text that can be looked up.

    Raises
    ------
    ValidationError
        If there can't be one.
    """
    try:
        return plain_text(name)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"nothing in a journal is called so: {error}") from None


def _inode_of(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _after_fork_in_child() -> None:
    # SQLite's connections and locks must not be carried over.
    for journal in list(_open_here):
        journal._lock = threading.RLock()
        journal._broken = JournalError(
            f"the journal {journal.path} was opened before a fork; open it anew in the "
            "child process"
        )


lifetime.in_forked_child(lifetime.RUNS, _after_fork_in_child)
