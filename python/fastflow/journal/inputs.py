"""Whether two inputs are the same, as they are stored.

Bytes are compared first.  Where these differ, both are brought into one form, without
making any value of them: the keys of a dict and the items of a set have no order, and a
class goes by two names if it is a script's (`fastflow.base.modules`), or if its module
has moved (`fastflow.base.former`).  Numbers of different types remain different, and so
does everything whose type a program could tell apart.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fastflow.base.former import now_called
from fastflow.base.modules import MAIN, main_name
from fastflow.journal.decoding import MARK

__all__ = ["same_input"]

_sorted_json = msgspec.json.Encoder(order="deterministic").encode
_parse = msgspec.json.Decoder().decode

_CLASSES = frozenset(("dataclass", "struct", "namedtuple", "enum", "flag"))
_UNORDERED = frozenset(("set", "frozenset", "dict"))


def same_input(one: bytes, other: bytes) -> bool:
    """Whether two stored inputs mean equal values; False for what can't be read."""
    if one == other:
        return True
    try:
        return _canonical(one) == _canonical(other)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False


def _canonical(data: bytes) -> bytes:
    return _sorted_json(_normal(_parse(data)))


def _normal(value: Any) -> Any:
    if type(value) is list:
        return [_normal(item) for item in value]
    if type(value) is not dict:
        return value
    found = {key: _normal(item) for key, item in value.items()}
    parts = found.get(MARK)
    if len(found) == 1 and type(parts) is list and len(parts) > 1:
        _normalize_tag(parts)
    return found


def _normalize_tag(parts: list[Any]) -> None:
    """Bring a tag and what belongs to it into one form, in place."""
    tag, first = parts[0], parts[1]
    if tag in _CLASSES and type(first) is str:
        module, colon, name = first.partition(":")
        own = MAIN if module == main_name() else now_called(module)
        parts[1] = own + colon + name
    elif tag in _UNORDERED and type(first) is list:
        first.sort(key=_sorted_json)
