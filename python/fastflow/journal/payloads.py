"""Results on their way into the journal and back, through the right serdes.

A custom serdes may return text or bytes; the first byte of what is stored tells
which.  The default one stores its JSON as it is, which never begins with these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastflow.errors import text_of
from fastflow.journal.errors import SerDesError
from fastflow.journal.serdes import SerDes, SerDesContext, decode, encode, roundtrip

__all__ = ["Describe", "dump", "load", "reread", "through"]

Describe = Callable[[], SerDesContext]
"""Tells, when asked, whose result it is."""

_TEXT = b"\x01"
_BYTES = b"\x02"


def dump(value: Any, serdes: SerDes[Any] | None, describe: Describe) -> bytes:
    """Return a value as it is stored.

    Raises
    ------
    SerDesError
        Naming the operation.
    """
    try:
        if serdes is None:
            return encode(value)
        text = serdes.serialize(value, describe())
        if isinstance(text, str):
            return _TEXT + text.encode("utf-8", "surrogatepass")
        if isinstance(text, bytes | bytearray | memoryview):
            return _BYTES + bytes(text)
        raise SerDesError(
            f"{type(serdes).__name__}.serialize() must return str or bytes, not "
            f"{type(text).__name__}"
        )
    except Exception as error:
        raise _named(error, "can't be stored", describe) from error


def load(data: bytes, serdes: SerDes[Any] | None, describe: Describe) -> Any:
    """Return the value that was stored.

    Raises
    ------
    SerDesError
        Naming the operation.
    """
    try:
        head = data[:1]
        if serdes is None:
            return decode(data)
        if head == _TEXT:
            return serdes.deserialize(
                data[1:].decode("utf-8", "surrogatepass"), describe()
            )
        return serdes.deserialize(data[1:], describe())
    except Exception as error:
        raise _named(error, "can't be read back", describe) from error


def reread(data: bytes, serdes: SerDes[Any] | None, describe: Describe) -> Any:
    """Return what a stranger has sent: by the default serdes, then by one's own.

    Raises
    ------
    SerDesError
        Naming the operation.
    """
    value = load(data, None, describe)
    if serdes is None or value is None:
        return value
    try:
        return serdes.deserialize(value, describe())
    except Exception as error:
        raise _named(error, "can't be read back", describe) from error


def through(
    value: Any, serdes: SerDes[Any] | None, describe: Describe
) -> tuple[bytes, Any]:
    """Return a value as it is stored, and as a replay will see it."""
    if serdes is not None:
        data = dump(value, serdes, describe)
        return data, load(data, serdes, describe)
    try:
        return roundtrip(value)
    except Exception as error:
        raise _named(error, "can't be stored", describe) from error


def _named(error: Exception, what: str, describe: Describe) -> SerDesError:
    context = describe()
    name = context.name or context.operation_id
    whole = context.operation_id in ("input", "result")  # of the execution itself
    whose = f"the execution's {name}" if whole else f"the result of {name!r}"
    return SerDesError(f"{whose} {what}: {text_of(error)}")
