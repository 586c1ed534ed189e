"""The file under `SqliteJournal`: opening, checking, migrating; what errors mean.

docs/journal-format.md describes the tables.  Opening changes nothing in a file that is
not ours, damaged, or newer than this program.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastflow.durable.exceptions import (
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalIOError,
    JournalLockedError,
    JournalReadOnlyError,
    JournalVersionError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["VERSION", "connect", "translated"]

VERSION = 1
_APPLICATION = 0x66666C77  # "fflw"
_BUSY = 10.0  # seconds to wait for another process's transaction
_PAGE = 2048  # bytes: a commit writes whole pages, and most frames are small
_SETTINGS = {"normal": "NORMAL", "full": "FULL"}

_SCHEMA = (
    """CREATE TABLE executions (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        function TEXT NOT NULL,
        status TEXT NOT NULL,
        input BLOB NOT NULL,
        result BLOB,
        error BLOB,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        owner INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        crc INTEGER NOT NULL)""",
    "CREATE TABLE frames (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB)",
    """CREATE TABLE blobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        execution INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        data BLOB NOT NULL)""",
    """CREATE TABLE owners (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        boot TEXT NOT NULL,
        space TEXT NOT NULL,
        pid INTEGER NOT NULL,
        start INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        until INTEGER NOT NULL)""",
    """CREATE TABLE messages (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        execution INTEGER NOT NULL,
        kind TEXT NOT NULL,
        operation BLOB NOT NULL,
        payload BLOB,
        error BLOB,
        at INTEGER NOT NULL)""",
    "CREATE INDEX unfinished ON executions (number) WHERE status = 'RUNNING'",
    "CREATE INDEX blobs_of ON blobs (execution)",
    "CREATE INDEX messages_of ON messages (execution, operation)",
)


def _to_version_1(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION}")


#: Version -> how to get there from the one before, within a transaction.
MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _to_version_1}


def connect(
    path: Path, durability: str = "normal", *, read_only: bool = False
) -> sqlite3.Connection:
    """Open a journal's file; make it if there is none and `read_only` is False.

    Raises
    ------
    JournalError
        Of a kind that says what is wrong: no such directory, damaged, newer, in use by
        something else, read-only, no space.
    """
    if durability not in _SETTINGS:
        raise ValueError(
            f"durability must be one of {', '.join(_SETTINGS)}; not {durability!r}"
        )
    _check_path(path, read_only)
    if not read_only and not path.exists():
        # SQLite gives its other files the same permissions.
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise JournalError(f"the journal {path} can't be made: {error}") from error
    with translated(path):
        mode = "ro" if read_only else "rw"
        db = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}",
            uri=True,
            timeout=_BUSY,
            isolation_level=None,
            check_same_thread=False,
        )
    try:
        with translated(path):
            _prepare(db, path, read_only)
            db.execute(f"PRAGMA synchronous = {_SETTINGS[durability]}")
            db.execute("PRAGMA wal_autocheckpoint = 0")  # the journal sees to it
    except BaseException:
        db.close()
        raise
    return db


def _check_path(path: Path, read_only: bool) -> None:
    if path.is_dir():
        raise JournalError(f"{path} is a directory; a journal is a file")
    if path.exists() and not path.is_file():
        raise JournalError(
            f"{path} is a pipe, a socket or a device; a journal is a regular file"
        )
    if not path.parent.is_dir():
        raise JournalError(
            f"the directory {path.parent} does not exist; make it first, or give "
            "another path for the journal"
        )
    if read_only and not path.exists():
        raise JournalError(f"there is no journal at {path}")


def _prepare(db: sqlite3.Connection, path: Path, read_only: bool) -> None:
    version = _version(db, path)
    if version == VERSION:
        if not read_only:
            _set_wal(db)
        return
    if read_only:
        raise JournalVersionError(
            f"{path} is of version {version}, older than this program's {VERSION}; "
            "open it for writing once to bring it up to date",
        )
    if version == 0:
        db.execute(f"PRAGMA page_size = {_PAGE}")
    _set_wal(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it meanwhile.
        for step in range(_version(db, path) + 1, VERSION + 1):
            MIGRATIONS[step](db)
            db.execute(f"PRAGMA user_version = {step}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection, path: Path) -> int:
    """Return the version of a journal, 0 for an empty file; raise if it isn't one."""
    # In one transaction: another process may be making the tables right now.
    inside = db.in_transaction
    if not inside:
        db.execute("BEGIN")
    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if not inside:
        db.execute("COMMIT")
    if application != _APPLICATION:
        if tables or version:
            raise JournalError(
                f"{path} is an SQLite database, but not a journal of fastflow; give "
                "another path"
            )
        return 0
    if version > VERSION:
        raise JournalVersionError(
            f"{path} was written by a newer fastflow (journal version {version}, this "
            f"program knows {VERSION}); upgrade fastflow",
        )
    return version


def _set_wal(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, if the file isn't in that mode already."""
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode").fetchone()[0]
            if mode != "wal":
                mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # Another process is switching, too, and SQLite does not wait for that.
            locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not locked or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    if mode != "wal":
        raise JournalError(
            f"this file system does not support SQLite's write-ahead log (it stays in "
            f"mode {mode!r}); put the journal on a local disk"
        )


_MEANING: dict[int, tuple[type[JournalError], str]] = {
    sqlite3.SQLITE_FULL: (
        JournalFullError,
        "no space is left for the journal {path}; what was acknowledged is safe; free "
        "space, then resume",
    ),
    sqlite3.SQLITE_IOERR: (
        JournalIOError,
        "the journal {path} can't be read or written ({error}); reopen it once the "
        "disk works",
    ),
    sqlite3.SQLITE_READONLY: (
        JournalReadOnlyError,
        "the journal {path} is read-only; check the permissions of the file and of its "
        "directory",
    ),
    sqlite3.SQLITE_PERM: (JournalReadOnlyError, "no permission to use {path}"),
    sqlite3.SQLITE_CANTOPEN: (
        JournalError,
        "the journal {path} can't be opened ({error}); check that the path exists and "
        "may be written",
    ),
    sqlite3.SQLITE_CORRUPT: (
        JournalDamagedError,
        "the journal {path} is damaged ({error}); restore it from a copy",
    ),
    sqlite3.SQLITE_NOTADB: (
        JournalDamagedError,
        "{path} is not a journal: it is not an SQLite database, or its beginning is "
        "damaged",
    ),
    sqlite3.SQLITE_BUSY: (
        JournalLockedError,
        "another process holds the journal {path} for longer than 10 s",
    ),
    sqlite3.SQLITE_LOCKED: (JournalLockedError, "the journal {path} is locked"),
}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the journal's."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: Path) -> JournalError:
    """Return the journal's error for one of SQLite."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    kind, text = _MEANING.get(code, (JournalError, "the journal {path}: {error}"))
    return kind(text.format(path=path, error=error))
