"""How results are written: JSON by default, with tags for what JSON doesn't have.

`encode`, `decode` and `roundtrip` are the default.  Values that JSON can hold as they
are take the fast road: one look at the types, then msgspec.  All others go through
`fastflow.journal.codecs`, and `fastflow.journal.decoding` reads them.  Never pickle:
reading a store runs nobody's code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from fastflow.errors import shown
from fastflow.journal.codecs import Unencodable, tagged
from fastflow.journal.decoding import MARK, untagged
from fastflow.journal.errors import SerDesError

__all__ = [
    "ExtendedTypeSerDes",
    "JsonSerDes",
    "PassThroughSerDes",
    "SerDes",
    "SerDesContext",
    "decode",
    "encode",
    "roundtrip",
]

T = TypeVar("T")

_MARKED = b'"' + MARK.encode() + b'"'
_DEEPEST = 200  # levels of nesting on the fast road; the other one counts for itself
_LEAST, _MOST = -(2**63), 2**63 - 1
_SCALARS = frozenset((str, bool, type(None)))

_json = msgspec.json.Encoder().encode
_parse = msgspec.json.Decoder().decode


class SerDesContext(NamedTuple):
    """What a serdes may know of the operation whose result it gets."""

    operation_id: str = ""
    durable_execution_arn: str = ""
    name: str = ""
    """The operation, for messages."""


class SerDes(ABC, Generic[T]):
    """Turns results of one kind into text or bytes, and back."""

    @abstractmethod
    def serialize(self, value: T, serdes_context: SerDesContext) -> str | bytes:
        """Return a value as text or bytes."""

    @abstractmethod
    def deserialize(self, data: Any, serdes_context: SerDesContext) -> T:
        """Return the value that `serialize` made text or bytes of."""


class PassThroughSerDes(SerDes[Any]):
    """For results that are text or bytes already."""

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str | bytes:  # noqa: ARG002
        """Return the value."""
        if not isinstance(value, str | bytes):
            raise SerDesError(
                f"PassThroughSerDes takes str or bytes, not {type(value).__name__}"
            )
        return value

    def deserialize(self, data: Any, serdes_context: SerDesContext) -> Any:  # noqa: ARG002
        """Return the data."""
        return data


class JsonSerDes(SerDes[Any]):
    """Plain JSON without tags: tuples become lists, keys become text."""

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:  # noqa: ARG002
        """Return a value as JSON."""
        import json

        try:
            return json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise SerDesError(f"not JSON: {_text(error)}") from error

    def deserialize(self, data: Any, serdes_context: SerDesContext) -> Any:  # noqa: ARG002
        """Return the value of a JSON text."""
        import json

        try:
            return json.loads(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise SerDesError(f"not JSON: {_text(error)}") from error


class ExtendedTypeSerDes(SerDes[Any]):
    """The default serdes, as an object."""

    def serialize(
        self,
        value: Any,
        serdes_context: SerDesContext | None = None,  # noqa: ARG002
    ) -> str:
        """Return a value as JSON with tags."""
        return encode(value).decode()

    def deserialize(
        self,
        data: Any,
        serdes_context: SerDesContext | None = None,  # noqa: ARG002
    ) -> Any:
        """Return the value of a text that `serialize` made."""
        return decode(data.encode() if isinstance(data, str) else data)


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether JSON holds a value just as it is."""
    kind = type(value)
    if kind is dict:
        if MARK in value:
            return False
        for key in value:
            if type(key) is not str:
                return False
        items = value.values()
    elif kind is list:
        items = value
    elif kind is int:
        return bool(_LEAST <= value <= _MOST)
    else:
        return kind in _SCALARS or (kind is float and bool(value - value == 0))
    if depth > _DEEPEST:
        return False
    for item in items:
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is int:
            if not _LEAST <= item <= _MOST:
                return False
        elif kind is float:
            if item - item != 0:  # infinite or NaN
                return False
        elif not _is_plain(item, depth + 1):
            return False
    return True


def encode(value: Any) -> bytes:
    """Return a value as JSON with tags.

    Equal values of the same types give the same bytes, but for the order of dicts.

    Raises
    ------
    SerDesError
        If it holds something that can't be written; the message names the place in it.
    """
    try:
        if _is_plain(value):
            try:
                return _json(value)
            except UnicodeEncodeError:
                pass  # half a surrogate pair: there is a tag for that
        return _json(tagged(value))
    except Unencodable as error:
        raise SerDesError(str(error)) from None
    except RecursionError:
        raise SerDesError(
            "the result is nested too deeply, or contains itself"
        ) from None
    except Exception as error:  # from code of its classes, too
        raise SerDesError(f"the result can't be written: {_text(error)}") from error


def _text(error: Exception) -> str:
    return shown(error)[:300]


def decode(data: bytes) -> Any:
    """Return the value of what `encode` returned.

    Raises
    ------
    SerDesError
        If it isn't that.
    """
    try:
        value = _parse(data)
        return untagged(value) if _MARKED in data else value
    except SerDesError:
        raise
    except RecursionError:
        raise SerDesError("what was stored is nested too deeply") from None
    except Exception as error:
        raise SerDesError(f"what was stored can't be read: {_text(error)}") from error


_SAME = frozenset((str, int, bool, float, type(None)))


def roundtrip(value: Any) -> tuple[bytes, Any]:
    """Return a value as `encode` does, and as `decode` will return it.

    Raises
    ------
    SerDesError
        As they do.
    """
    kind = type(value)
    if kind is bool or value is None or (kind is int and _LEAST <= value <= _MOST):
        return _json(value), value
    if kind in _SAME:
        return encode(value), value
    try:
        if _is_plain(value):
            data = _json(value)
            return data, _parse(data)
    except Exception:
        pass  # the slow road says what is wrong, or has a tag for it
    data = encode(value)
    return data, decode(data)
