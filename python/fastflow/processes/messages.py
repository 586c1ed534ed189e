"""What the two sides tell each other, and how it is marked.

To a worker go pickled tuples. Their first item is the number of a function, for a call
``(number, args[, kwargs])``; or one of the negative numbers below.

From a worker comes, for each call and in the order in which it took them, the pickled
value; pickles begin with the byte `PICKLE`. All else begins with another byte.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any, NamedTuple

__all__ = [
    "CALL",
    "CHUNK",
    "DEFINE",
    "FAILED",
    "FORGET",
    "GIVEN_BACK",
    "LARGE",
    "LOG",
    "PICKLE",
    "READY",
    "REFUSED",
    "RETIRES",
    "SHARED",
    "STARTED",
    "STOP",
    "TIMES",
    "LongNote",
    "note",
    "read_note",
    "times",
]

# To a worker.
DEFINE = -1  # number, pickled function
CALL = -2  # function, args, kwargs: one that has no number
CHUNK = -3  # number or function, columns of arguments
STOP = -4  # nothing more comes
LARGE = -5  # a call, parts of which lie in segments; see `buffers`
FORGET = -6  # inodes of segments that are not needed any more

# From a worker: the first byte.
PICKLE = 0x80
FAILED = ord("F")  # the call's exception
READY = ord("R")  # begins to take calls
REFUSED = ord("X")  # can't begin: the exception of the initializer
TIMES = ord("T")  # calls made, and seconds for them: two doubles
SHARED = ord("S")  # a value, parts of which lie in segments
GIVEN_BACK = ord("B")  # items of the running chunk that it does not make
STARTED = ord("A")  # the call that it has taken last has asked to tell so
RETIRES = ord("M")  # has grown too large
LOG = ord("L")  # a record for the loggers


class LongNote(NamedTuple):
    """A note that is too long for the transport; it comes as the value of a call."""

    message: bytes


def note(kind: int, *content: Any) -> bytes:
    """Return what a worker tells besides the values of calls."""
    return bytes((kind,)) + pickle.dumps(content, 5)


def times(count: int, seconds: float) -> bytes:
    """Return the message `TIMES`."""
    return struct.pack("=Bdd", TIMES, count, seconds)


def read_note(message: bytes) -> Any:
    """Return the content of a note."""
    return pickle.loads(memoryview(message)[1:])
