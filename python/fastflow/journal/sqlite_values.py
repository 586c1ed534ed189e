"""Values in an SQLite journal: small ones in their row, large ones in parts apart.

A stored value begins with a byte: 0, and it follows; or 1, and a reference follows.
"""

from __future__ import annotations

import sqlite3

import msgspec

from fastflow.journal.errors import JournalDamagedError
from fastflow.journal.records import BlobRef, checksum

__all__ = ["LARGE", "fetch", "read_blob", "store", "store_blob"]

LARGE = 256 * 1024
"""Values of so many bytes are stored apart."""
_PART = 8 * 1024 * 1024  # bytes of a blob in one row

_pack = msgspec.msgpack.Encoder().encode
_reference = msgspec.msgpack.Decoder(BlobRef).decode


def store(db: sqlite3.Connection, execution: int, data: bytes) -> bytes:
    """Return what is kept of a value in its row.  REQUIRES: a transaction."""
    if len(data) < LARGE:
        return b"\0" + data
    return b"\1" + _pack(store_blob(db, execution, data))


def fetch(db: sqlite3.Connection, stored: bytes) -> bytes:
    """Return the value that `store` was called with.

    Raises
    ------
    JournalDamagedError
        If it is not what was stored.
    """
    if stored[:1] == b"\1":
        return read_blob(db, _reference(stored[1:]))
    return stored[1:]


def store_blob(db: sqlite3.Connection, execution: int, data: bytes) -> BlobRef:
    """Keep a value apart; return where.  REQUIRES: a transaction."""
    view = memoryview(data)
    first = 0
    parts = range(0, len(data), _PART)
    for start in parts:
        part = view[start : start + _PART]
        cursor = db.execute(
            "INSERT INTO blobs (execution, crc, data) VALUES (?, ?, ?)",
            (execution, checksum(start, part), part),
        )
        assert cursor.lastrowid is not None
        first = first or cursor.lastrowid
    return BlobRef(first, len(parts), len(data), checksum(len(data), data))


def read_blob(db: sqlite3.Connection, ref: BlobRef) -> bytes:
    """Return a value that is kept apart.

    Raises
    ------
    JournalDamagedError
        If it is not what was stored.
    """
    rows = db.execute(
        "SELECT crc, data FROM blobs WHERE id BETWEEN ? AND ? ORDER BY id",
        (ref.first, ref.first + ref.parts - 1),
    ).fetchall()
    good = all(checksum(n * _PART, data) == crc for n, (crc, data) in enumerate(rows))
    whole = b"".join(data for _, data in rows)
    # The parts' own checksums don't tell whose parts they are.
    good = good and ref.crc in (None, checksum(ref.size, whole))
    if not good or len(whole) != ref.size:
        raise JournalDamagedError(
            f"blob {ref.first} of the journal is damaged: it is not what was stored; "
            "restore the file from a copy"
        )
    return whole
