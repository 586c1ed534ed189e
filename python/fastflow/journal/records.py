"""What the journal keeps of an operation, and how it is written down.

A `Record` says that something happened to an operation.  Records travel in frames: the
records of one execution that were committed together, as one MessagePack array with a
checksum.  docs/journal-format.md is the description for readers of the file.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence

import msgspec

from fastflow.journal.errors import JournalDamagedError

__all__ = [
    "BEGUN",
    "CANCELLED",
    "FAILED",
    "RETRYING",
    "SUCCEEDED",
    "TIMED_OUT",
    "BlobRef",
    "Failure",
    "Record",
    "checksum",
    "decode_frame",
    "decode_frames",
    "encode_frame",
    "finished",
    "now_us",
    "storable",
]

# What happened to an operation.
BEGUN = 0
SUCCEEDED = 1
FAILED = 2
RETRYING = 3
"""An attempt has failed, the next one begins at `due`."""
CANCELLED = 4
TIMED_OUT = 5


_set = msgspec.structs.force_setattr


def storable(text: str) -> str:
    """Return a text that can be encoded: no subclass, halves of surrogates escaped."""
    if type(text) is not str:
        text = str.__str__(text)
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


class BlobRef(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where the payload is that was too large for its frame."""

    first: int
    parts: int
    size: int
    """In bytes."""
    crc: int | None = None
    """Of the whole, begun with its size; None in what version 1 has written."""


class Failure(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The error that ended an operation or an attempt: all that is seen of it again."""

    message: str | None = None
    type: str | None = None
    data: str | None = None
    stack_trace: tuple[str, ...] | None = None
    notes: tuple[str, ...] | None = None
    cause: Failure | None = None
    """Of its ``__cause__``."""
    error_type: str | None = None
    """Of an operation's error: its own `error_type`; None in older records."""

    def __post_init__(self) -> None:
        # Whatever an error says of itself, it can be written down.
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str):
                _set(self, name, storable(value))
            elif isinstance(value, tuple):
                _set(self, name, tuple(storable(text) for text in value))


class Record(msgspec.Struct, array_like=True, gc=False):
    """One thing that happened to one operation.

    Times are in microseconds since 1970.
    """

    id: bytes
    parent: bytes
    kind: str
    """An `OperationType`, by value."""
    subtype: str
    name: str | None
    action: int
    at: int
    """When it happened."""
    started: int = 0
    """When the attempt (of an action that ends one) or the operation began."""
    attempt: int = 0
    due: int = 0
    """When the wait, the delay or the time limit is over; 0: never."""
    payload: bytes | None = None
    error: Failure | None = None
    blob: BlobRef | None = None
    since: int = 0
    """Of a batch's end: all frames from this one up to its own hold nothing but what
    its branches did.  0: not known."""


_ENDS = frozenset((SUCCEEDED, FAILED, CANCELLED, TIMED_OUT))


def finished(record: Record) -> bool:
    """Whether nothing more happens to the operation."""
    return record.action in _ENDS


def now_us() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000


# The last one: causes that are nested too deeply.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Record])
_many = msgspec.msgpack.Decoder(list[list[Record]])


def encode_frame(records: Sequence[Record]) -> bytes:
    """Return the bytes of a frame."""
    return _encoder.encode(records)


def checksum(key: int, data: bytes | memoryview) -> int:
    """Return the CRC-32 of a row, begun with its key, so that rows can't be swapped."""
    return zlib.crc32(data, (key ^ key >> 32) & 0xFFFFFFFF)


def decode_frame(key: int, data: bytes, crc: int) -> list[Record]:
    """Return the records of a frame.

    Raises
    ------
    JournalDamagedError
        If the bytes are not those that were written.
    """
    if type(data) is not bytes or checksum(key, data) != crc:
        raise JournalDamagedError(
            f"frame {key >> 32}:{key & 0xFFFFFFFF} of the journal is damaged: its "
            "checksum does not match; restore the file from a copy"
        )
    try:
        return _decoder.decode(data)
    except _UNREADABLE as error:
        raise JournalDamagedError(
            f"frame {key >> 32}:{key & 0xFFFFFFFF} can't be read: {error}"
        ) from error


def decode_frames(rows: Sequence[tuple[int, int, bytes]]) -> list[list[Record]]:
    """Return the records of frames, given key, checksum and bytes of each.

    Raises
    ------
    JournalDamagedError
        If the bytes are not those that were written.
    """
    for key, crc, data in rows:
        if type(data) is not bytes or checksum(key, data) != crc:
            decode_frame(key, data, crc)  # says what is wrong
    # As one array of arrays: a call for each would take longer than the decoding.
    head = b"\xdd" + len(rows).to_bytes(4, "big")
    try:
        return _many.decode(head + b"".join([data for _, _, data in rows]))
    except _UNREADABLE:
        return [decode_frame(key, data, crc) for key, crc, data in rows]
