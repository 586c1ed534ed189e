"""Messages in an SQLite journal.

One that is damaged, or that a stranger has written, is set aside: it stays in the file,
nobody is given it, and the log says so, once.  Whoever waits for it goes on waiting,
and it can be sent again.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from fastflow.journal import sqlite_values as values
from fastflow.journal.errors import JournalDamagedError
from fastflow.journal.journal import OUTCOMES, RUNNING, Message
from fastflow.journal.records import Failure, now_us
from fastflow.journal.sqlite_rows import DAMAGE, message_crc

__all__ = ["Messages"]

_LOGGER = logging.getLogger("fastflow.durable")
_failure = msgspec.msgpack.Decoder(Failure | None)
_pack = msgspec.msgpack.Encoder().encode


class Messages:
    """The messages of one file.  Methods need the journal's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside: set[int] = set()

    @staticmethod
    def is_open(db: sqlite3.Connection, execution: int, operation: bytes) -> bool:
        """Whether a callback's execution runs, and no outcome of it has come yet.

        A damaged message is none.  REQUIRES: a transaction.
        """
        running = "SELECT 1 FROM executions WHERE number = ? AND status = ?"
        if db.execute(running, (execution, RUNNING)).fetchone() is None:
            return False
        rows = db.execute(
            "SELECT * FROM messages WHERE execution = ? AND operation = ?",
            (execution, operation),
        )
        return not any(row[2] in OUTCOMES and _is_good(row) for row in rows.fetchall())

    @staticmethod
    def post(
        db: sqlite3.Connection,
        execution: int,
        kind: str,
        operation: bytes,
        payload: bytes | None,
        error: Failure | None,
    ) -> None:
        """Add a message.  REQUIRES: a transaction."""
        packed = None if error is None else _pack(error)
        stored = None if payload is None else values.store(db, execution, payload)
        row = (execution, kind, operation, stored, packed, now_us())
        cursor = db.execute(
            "INSERT INTO messages (execution, kind, operation, payload, error, at, crc)"
            " VALUES (?, ?, ?, ?, ?, ?, 0)",
            row,
        )
        number = cursor.lastrowid
        db.execute(
            "UPDATE messages SET crc = ? WHERE number = ?",
            (message_crc((number, *row)), number),
        )

    def check(self, db: sqlite3.Connection) -> None:
        """Set aside what is damaged, for whomever it was."""
        for row in db.execute("SELECT * FROM messages"):
            try:
                _check(row)
            except DAMAGE as error:
                self._set_aside(row[0], row[1], error)

    def read(
        self, db: sqlite3.Connection, execution: int | None, after: int
    ) -> list[Message]:
        """Return the good ones with higher numbers than `after`."""
        rows = db.execute(
            "SELECT * FROM messages WHERE number > ? AND (? IS NULL OR execution = ?) "
            "ORDER BY number",
            (after, execution, execution),
        )
        found = []
        for row in rows.fetchall():
            try:
                found.append(_message(db, row))
            except DAMAGE as error:
                self._set_aside(row[0], row[1], error)
        return found

    def _set_aside(self, number: int, execution: Any, error: Exception) -> None:
        if number not in self._aside:
            self._aside.add(number)
            _LOGGER.warning(
                "message %s, for execution %s, in the journal %s is damaged and set "
                "aside (%s); send it again",
                number, execution, self._path, error,
            )  # fmt: skip


def _is_good(row: tuple[Any, ...]) -> bool:
    try:
        _check(row)
    except DAMAGE:
        return False
    return True


def _check(row: tuple[Any, ...]) -> None:
    if message_crc(row) != row[7]:
        raise JournalDamagedError("its checksum does not match")


def _message(db: sqlite3.Connection, row: tuple[Any, ...]) -> Message:
    _check(row)
    number, execution, kind, operation, stored, packed, at = row[:7]
    payload = None if stored is None else values.fetch(db, stored)
    error = None if packed is None else _failure.decode(packed)
    found = (number, execution, kind, operation, payload, error, at)
    return msgspec.convert(found, Message)
