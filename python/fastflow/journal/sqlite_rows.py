"""Rows of an SQLite journal and their checksums.

The checksum of a row covers all that it says, its key included.  That of an execution
is in two parts: its *head*, which a list needs, has a checksum that covers the
checksums of its values, so a list need not read these.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from fastflow.journal.errors import JournalDamagedError
from fastflow.journal.records import checksum

__all__ = [
    "DAMAGE",
    "HEAD",
    "Head",
    "cells_crc",
    "head_crc",
    "message_crc",
    "owner_crc",
    "read_head",
    "set_end",
    "set_head",
]

_Number = Annotated[int, msgspec.Meta(gt=0, lt=1 << 31)]
_pack = msgspec.msgpack.Encoder().encode

DAMAGE = (
    JournalDamagedError,
    msgspec.MsgspecError,
    RecursionError,  # of what is nested too deeply
    TypeError,
    ValueError,
)
"""What reading a row raises that is not as it was written."""


class Head(NamedTuple):
    """An execution without its values."""

    number: _Number
    name: str
    function: str
    status: str
    created: int
    updated: int
    owner: int
    fence: int
    input_crc: int
    end_crc: int


HEAD = ", ".join((*Head._fields, "crc"))
"""The columns of a head and its checksum."""
_SET = (
    "UPDATE executions SET status = ?, updated = ?, owner = ?, fence = ?, "
    "input_crc = ?, end_crc = ?, crc = ?{more} WHERE number = ?"
)
_SET_HEAD = _SET.format(more="")
_SET_END = _SET.format(more=", result = ?, error = ?")


def head_crc(head: Head) -> int:
    """Return the checksum of a head."""
    return checksum(head.number, _pack(head[1:]))


def read_head(row: Sequence[Any]) -> Head:
    """Return the head that a row begins with.

    Raises
    ------
    JournalDamagedError
        If it is not as it was written.
    """
    try:
        head = msgspec.convert(row[: len(Head._fields)], Head)
        if head_crc(head) == row[len(Head._fields)]:
            return head
    except (msgspec.MsgspecError, TypeError, ValueError):
        pass
    raise JournalDamagedError(
        f"execution {row[0]} of the journal is damaged: its checksum does not match; "
        "restore the file from a copy"
    )


def set_head(db: sqlite3.Connection, head: Head) -> None:
    """Change an execution's head.  REQUIRES: a transaction in which it was read."""
    db.execute(_SET_HEAD, (*_changing(head), head.number))


def set_end(
    db: sqlite3.Connection, head: Head, result: bytes | None, error: bytes | None
) -> None:
    """Write how an execution ended, as `set_head` does; its values as they are stored.

    `head.end_crc` need not be right yet.
    """
    head = head._replace(end_crc=cells_crc(head.number, result, error))
    db.execute(_SET_END, (*_changing(head), result, error, head.number))


def _changing(head: Head) -> tuple[Any, ...]:
    return (
        head.status, head.updated, head.owner, head.fence, head.input_crc,
        head.end_crc, head_crc(head),
    )  # fmt: skip


def cells_crc(number: int, *cells: bytes | None) -> int:
    """Return the checksum of values, as they are stored, of an execution."""
    return checksum(number, _pack(cells))


def message_crc(row: Sequence[Any]) -> int:
    """Return the checksum of a message, given its columns before that."""
    return checksum(row[0], _pack(row[1:7]))


def owner_crc(row: Sequence[Any]) -> int:
    """Return the checksum of an owner, given its columns before that."""
    return checksum(row[0], _pack(row[1:7]))
