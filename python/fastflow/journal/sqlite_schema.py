"""The tables of an SQLite journal, and how an older journal gets them.

docs/journal-format.md describes them.  In version 2 every row has a checksum over all
that it says, and what a list needs of an execution stands before its values, so that
listing reads none of these.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fastflow.journal import sqlite_values as values
from fastflow.journal.errors import (
    JournalDamagedError,
    JournalError,
    JournalVersionError,
)
from fastflow.journal.journal import ABANDONED, RUNNING
from fastflow.journal.leases import Process, lives
from fastflow.journal.records import checksum
from fastflow.journal.sqlite_rows import (
    HEAD,
    Head,
    cells_crc,
    message_crc,
    set_head,
)

__all__ = ["APPLICATION", "MIGRATIONS", "VERSION", "check_tables", "migrate"]

VERSION = 2
APPLICATION = 0x66666C77  # "fflw"

_FRAMES = (
    "CREATE TABLE frames (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB)"
)
_BLOBS = """CREATE TABLE blobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        execution INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        data BLOB NOT NULL)"""
_UNFINISHED = "CREATE INDEX unfinished ON executions (number) WHERE status = 'RUNNING'"
_MESSAGES_OF = "CREATE INDEX messages_of ON messages (execution, operation)"
_BLOBS_OF = "CREATE INDEX blobs_of ON blobs (execution)"

_SCHEMA_1 = {
    "executions": """CREATE TABLE executions (
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
    "frames": _FRAMES,
    "blobs": _BLOBS,
    "owners": """CREATE TABLE owners (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        boot TEXT NOT NULL,
        space TEXT NOT NULL,
        pid INTEGER NOT NULL,
        start INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        until INTEGER NOT NULL)""",
    "messages": """CREATE TABLE messages (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        execution INTEGER NOT NULL,
        kind TEXT NOT NULL,
        operation BLOB NOT NULL,
        payload BLOB,
        error BLOB,
        at INTEGER NOT NULL)""",
    "unfinished": _UNFINISHED,
    "blobs_of": _BLOBS_OF,
}
_SCHEMA_2 = {
    "executions": """CREATE TABLE executions (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        function TEXT NOT NULL,
        status TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        owner INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        input_crc INTEGER NOT NULL,
        end_crc INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        input BLOB NOT NULL,
        result BLOB,
        error BLOB)""",
    "frames": _FRAMES,
    "blobs": _BLOBS,
    "owners": """CREATE TABLE owners (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        boot TEXT NOT NULL,
        space TEXT NOT NULL,
        pid INTEGER NOT NULL,
        start INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        until INTEGER NOT NULL,
        crc INTEGER NOT NULL)""",
    "messages": """CREATE TABLE messages (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        execution INTEGER NOT NULL,
        kind TEXT NOT NULL,
        operation BLOB NOT NULL,
        payload BLOB,
        error BLOB,
        at INTEGER NOT NULL,
        crc INTEGER NOT NULL)""",
    "unfinished": _UNFINISHED,
    "blobs_of": _BLOBS_OF,
    "messages_of": _MESSAGES_OF,
}
_SCHEMAS = {1: _SCHEMA_1, 2: _SCHEMA_2}

_pack = msgspec.msgpack.Encoder().encode


def check_tables(db: sqlite3.Connection, version: int, path: Path) -> None:
    """Raise unless the tables are tables, and those of their version.

    A view in the place of a table may never end, and a trigger does what its author
    wants.
    """
    found = {
        name: (kind, sql)
        for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema")
    }
    for name, (kind, _) in found.items():
        if kind in ("view", "trigger"):
            raise JournalDamagedError(
                f"{path} is not a journal as fastflow makes it: it has a {kind} "
                f"{name!r}; restore the file from a copy"
            )
    for name, sql in _SCHEMAS.get(version, {}).items():
        if found.get(name, ("", ""))[1] != sql:
            raise JournalDamagedError(
                f"the journal {path} is damaged: {name!r} is not what version "
                f"{version} has there; restore the file from a copy"
            )


def _make(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA_2.values():
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION}")


def _to_version_2(db: sqlite3.Connection) -> None:
    """Give every row a checksum; what was damaged before remains so."""
    _refuse_owners(db)
    db.execute("DROP INDEX unfinished")
    for table in ("executions", "owners", "messages"):
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
        db.execute(_SCHEMA_2[table])
    numbers = db.execute("SELECT number FROM executions_1 ORDER BY number").fetchall()
    for (number,) in numbers:
        _copy_execution(db, number)
    for (number,) in db.execute("SELECT number FROM messages_1").fetchall():
        row = db.execute(
            "SELECT * FROM messages_1 WHERE number = ?", (number,)
        ).fetchone()
        db.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, message_crc(row)),
        )
    for table in ("owners", "messages"):
        # The next number must still be higher than any before.
        db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        db.execute(
            "UPDATE sqlite_sequence SET name = ? WHERE name = ?", (table, f"{table}_1")
        )
    for table in ("executions", "owners", "messages"):
        db.execute(f"DROP TABLE {table}_1")
    db.execute(_UNFINISHED)
    db.execute(_MESSAGES_OF)


def _refuse_owners(db: sqlite3.Connection) -> None:
    """Raise if a process that knows version 1 only has the file open."""
    for row in db.execute("SELECT * FROM owners").fetchall():
        process = Process(*row[1:5])
        if lives(process, row[6]):
            raise JournalVersionError(
                f"the journal is of version 1, and process {process.pid} with an older "
                "fastflow is using it; end that one first, then open it again"
            )


def _copy_execution(db: sqlite3.Connection, number: int) -> None:
    row = db.execute(
        "SELECT name, function, status, created, updated, owner, fence, crc, input, "
        "result, error FROM executions_1 WHERE number = ?",
        (number,),
    ).fetchone()
    name, function, status, created, updated, owner, fence, crc = row[:8]
    cells = row[8:]
    wrong = 0 if _was_good(db, name, function, status, crc, *cells) else 1
    if status == RUNNING:  # whoever had it can't write here any more
        owner, fence = ABANDONED, fence + 1
    head = Head(
        number, name, function, status, created, updated, owner, fence,
        cells_crc(number, cells[0]) ^ wrong, cells_crc(number, *cells[1:]) ^ wrong,
    )  # fmt: skip
    marks = ", ".join("?" * (len(Head._fields) + 1 + len(cells)))
    db.execute(
        f"INSERT INTO executions ({HEAD}, input, result, error) VALUES ({marks})",
        (*head, 0, *cells),
    )
    set_head(db, head)


def _was_good(
    db: sqlite3.Connection,
    name: str,
    function: str,
    status: str,
    crc: int,
    data: bytes,
    result: bytes | None,
    error: bytes | None,
) -> bool:
    """Whether a row of version 1 is as it was written."""
    try:
        whole = values.fetch(db, data)
        end = None if result is None else values.fetch(db, result)
        packed = _pack((name, function, status, whole, end, error))
        return checksum(0, packed) == crc
    except (JournalError, msgspec.DecodeError, TypeError, ValueError):
        return False


Migration = Callable[[sqlite3.Connection], Any]

#: Version -> how to get from there, within a transaction: from an empty file (0) to the
#: newest one, else to the next.
MIGRATIONS: dict[int, Migration] = {0: _make, 1: _to_version_2}


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring a journal up to date.  REQUIRES: a transaction."""
    while version < VERSION:
        MIGRATIONS[version](db)
        version = VERSION if version == 0 else version + 1
        db.execute(f"PRAGMA user_version = {version}")
