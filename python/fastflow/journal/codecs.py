"""Tags for the values that JSON doesn't have: writing.

A tagged value is an object with one key, `MARK`, and a list: the tag, then what it is
made of.  An object that happens to have such a key is itself written with a tag.
`fastflow.journal.decoding` reads them.

What is written can be read, as a value of the same type, or it is refused: so nesting
is limited by what reading needs, and a class is written only if it is found again.
Subclasses of dict, list, str, int and float without a tag of their own are written as
what they derive from.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import functools
import math
import pathlib
import sys
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from fastflow.journal.decoding import (
    LONGEST_INT,
    MARK,
    dtype_of,
    find_class,
)
from fastflow.journal.errors import SerDesError

__all__ = ["MARK", "Unencodable", "add_writer", "tagged", "with_tag"]

# A level of nesting costs one frame and one level of JSON for each of these, or less,
# in writing and reading; Python allows 1000, of which the caller has used some.
_DEEPEST = 400
_PLAIN_LEVEL = 2  # a list, or a dict without tag
_TAGGED_LEVEL = 4
_LEAST, _MOST = -(2**63), 2**63 - 1
_SHOWN = 12  # parts of a path in a message
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement

_json = msgspec.json.Encoder().encode


class Unencodable(Exception):  # noqa: N818  (control flow inside of this package)
    """Something that has no tag, and where in the value it is."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str] = []

    def __str__(self) -> str:
        path = self.path[::-1]
        place = "result" + "".join(path[:_SHOWN])
        if len(path) > _SHOWN:
            place = f"something far inside of {place}"
        return f"{place} {self.what}"


def tagged(value: Any, depth: int = 0) -> Any:
    """Return a value as plain JSON data with tags.

    Raises
    ------
    Unencodable
        If there is no tag for something in it.
    """
    kind = type(value)
    if kind is str:
        return value if _has_bytes(value) else with_tag("str", _surrogates(value))
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if _LEAST <= value <= _MOST else _tagged_int(value)
    if kind is float:
        return value if math.isfinite(value) else with_tag("float", repr(value))
    if depth > _DEEPEST:
        raise Unencodable("is nested too deeply, or contains itself")
    if kind is dict:
        return _tagged_dict(value, depth)
    if kind is list:
        return _tagged_items(value, depth + _PLAIN_LEVEL)
    write = _WRITERS.get(kind) or _tagged_other
    return write(value, depth + _TAGGED_LEVEL)


def add_writer(kind: type, write: Callable[[Any, int], Any]) -> None:
    """Let a class of a layer above be written: by `write(value, depth)`."""
    _WRITERS[kind] = write


def with_tag(name: str, *parts: Any) -> dict[str, Any]:
    """Return what stands for a value: a tag, and what the value is made of."""
    return {MARK: [name, *parts]}


def _tagged_int(value: int) -> Any:
    if value.bit_length() > 4 * LONGEST_INT:
        raise Unencodable(
            f"is an int of {value.bit_length():,} bits, more than can be stored: give "
            "the operation a serdes"
        )
    return with_tag("int", hex(value))


def _has_bytes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _surrogates(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _tagged_items(value: Iterable[Any], depth: int) -> list[Any]:
    found = []
    for index, item in enumerate(value):
        try:
            found.append(tagged(item, depth))
        except Unencodable as error:
            error.path.append(f"[{index}]")
            raise
    return found


def _tagged_set(value: Iterable[Any], depth: int) -> list[Any]:
    """Write items in an order that is the same in each process."""
    found = []
    for item in value:
        try:
            found.append(tagged(item, depth))
        except Unencodable as error:
            error.path.append(f", item {_short(item)}")
            raise
    if len(found) > 1:
        found.sort(key=_json)
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tagged_dict(value: dict[Any, Any], depth: int) -> Any:
    plain = MARK not in value and all(
        type(key) is str and _has_bytes(key) for key in value
    )
    depth += _PLAIN_LEVEL if plain else _TAGGED_LEVEL
    keys: list[Any] = []
    items: list[Any] = []
    for key, item in value.items():
        try:
            items.append(tagged(item, depth))
        except Unencodable as error:
            error.path.append(f"[{_short(key)}]")
            raise
        try:
            keys.append(key if plain else tagged(key, depth))
        except Unencodable as error:
            error.path.append(f", key {_short(key)}")
            raise
    if plain:
        return dict(zip(keys, items, strict=True))
    return with_tag("dict", [list(pair) for pair in zip(keys, items, strict=True)])


def _class_name(kind: type) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        found = find_class(name)
    except SerDesError:
        found = None
    if found is not kind:
        raise Unencodable(
            f"is a {kind.__qualname__}, which can't be found again as {name}: define "
            "the class at the top of a module"
        )
    return name


def _tagged_fields(value: Any, names: Iterable[str], depth: int) -> list[Any]:
    found = []
    for name in names:
        try:
            found.append([name, tagged(_field(value, name), depth)])
        except Unencodable as error:
            error.path.append(f".{name}")
            raise
    return found


def _field(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except AttributeError:
        raise Unencodable("has no value") from None


def _tagged_other(value: Any, depth: int) -> Any:
    """Write what is known by its base class."""
    kind = type(value)
    if isinstance(value, enum.Enum):
        return _tagged_enum(value, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _tagged_dataclass(value, depth)
    if isinstance(value, msgspec.Struct):
        fields = _tagged_fields(value, kind.__struct_fields__, depth)
        return with_tag("struct", _class_name(kind), fields)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        items = _tagged_items(value, depth)
        return with_tag("namedtuple", _class_name(kind), items)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return _tagged_numpy(value, numpy)
    if kind in (type(pathlib.PurePath()), type(pathlib.Path())):
        return with_tag("path", str(value), not isinstance(value, pathlib.Path))
    bases: tuple[Any, ...] = (str, int, float, dict, list)
    for base in bases:
        if isinstance(value, base):
            return tagged(_as_base(value, base), depth)
    raise Unencodable(
        f"is a {kind.__module__}.{kind.__qualname__}, which can't be stored: return "
        "plain data, or give the operation a serdes"
    )


def _as_base(value: Any, base: Any) -> Any:
    """Return the content of a subclass, whatever its own conversions say."""
    if base is str:
        return str.__str__(value)
    return base.__int__(value) if base is int else base(value)


def _tagged_enum(value: enum.Enum, depth: int) -> Any:
    kind = type(value)
    if value.name is not None and kind.__members__.get(value.name) is value:
        return with_tag("enum", _class_name(kind), value.name)
    if isinstance(value, enum.Flag):
        return with_tag("flag", _class_name(kind), tagged(value.value, depth))
    raise Unencodable(f"is no member of {kind.__qualname__}")


def _tagged_dataclass(value: Any, depth: int) -> Any:
    kind = type(value)
    for base in kind.__mro__[:-1]:
        if not base.__flags__ & _HEAP_TYPE:
            raise Unencodable(
                f"is a dataclass that derives from {base.__name__}, of which only the "
                "fields would be stored: give the operation a serdes"
            )
    names = [field.name for field in dataclasses.fields(value)]
    for name in getattr(value, "__dict__", ()):
        if name not in names and not _is_derived(kind, name):
            raise Unencodable(
                f"has an attribute {name!r} that is not a field of the dataclass and "
                "would be lost: declare it as field(init=False)"
            )
    return with_tag("dataclass", _class_name(kind), _tagged_fields(value, names, depth))


def _is_derived(kind: type, name: str) -> bool:
    """Whether an attribute needs no storing: it is computed when it is missing."""
    if name == "__orig_class__":  # the arguments of a generic class, for checkers
        return True
    return any(
        isinstance(vars(base).get(name), functools.cached_property)
        for base in kind.__mro__
    )


def _tagged_numpy(value: Any, numpy: Any) -> Any:
    kind = type(value)
    # These have a type of array that drops zeros at their end, and can't be empty.
    if kind is numpy.str_:
        return with_tag("npstr", _surrogates(str.__str__(value)))
    if kind is numpy.bytes_:
        return with_tag("npbytes", _bytes(value))
    form = _tagged_dtype(value.dtype)
    data = _bytes(value.tobytes())
    if isinstance(value, numpy.ndarray):
        if kind is not numpy.ndarray:
            raise Unencodable(f"is a {kind.__name__}: give a plain array")
        return with_tag("ndarray", form, list(value.shape), data)
    return with_tag("number", form, data)


def _tagged_dtype(dtype: Any) -> Any:
    if dtype.hasobject:
        raise Unencodable("is a numpy array of objects: only numbers can be stored")
    try:
        form = _listed(dtype.descr) if dtype.names else dtype.str
        same = dtype_of(form) == dtype
    except (SerDesError, TypeError, ValueError):
        same = False
    if not same:
        raise Unencodable(
            f"has the numpy type {_short(dtype)}, which can't be stored: convert it to "
            "numbers or to a structure of them without padding"
        )
    return form


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    return value


def _bytes(value: Any) -> str:
    return base64.b64encode(value).decode()


def _zone(value: dt.datetime | dt.time) -> str | list[str] | None:
    """Return what ``isoformat`` doesn't tell: a zone's key, or an offset's name."""
    zone: Any = value.tzinfo
    if zone is None:
        return None
    if type(zone) is dt.timezone:
        name = zone.tzname(None)
        return (
            None if name == dt.timezone(zone.utcoffset(None)).tzname(None) else [name]
        )
    zoneinfo = sys.modules.get("zoneinfo")
    if zoneinfo is not None and type(zone) is zoneinfo.ZoneInfo and zone.key:
        return str(zone.key)
    raise Unencodable(
        f"has a time zone of type {type(zone).__module__}.{type(zone).__qualname__}, "
        "which can't be stored: use zoneinfo.ZoneInfo or datetime.timezone"
    )


_WRITERS: dict[type, Callable[[Any, int], Any]] = {
    bytes: lambda v, _: with_tag("bytes", _bytes(v)),
    bytearray: lambda v, _: with_tag("bytearray", _bytes(v)),
    tuple: lambda v, d: with_tag("tuple", _tagged_items(v, d)),
    set: lambda v, d: with_tag("set", _tagged_set(v, d)),
    frozenset: lambda v, d: with_tag("frozenset", _tagged_set(v, d)),
    dt.datetime: lambda v, _: with_tag("datetime", v.isoformat(), v.fold, _zone(v)),
    dt.date: lambda v, _: with_tag("date", v.isoformat()),
    dt.time: lambda v, _: with_tag("time", v.isoformat(), v.fold, _zone(v)),
    dt.timedelta: lambda v, _: with_tag("timedelta", v.days, v.seconds, v.microseconds),
    uuid.UUID: lambda v, _: with_tag("uuid", v.hex),
    Decimal: lambda v, _: with_tag("decimal", str(v)),
    complex: lambda v, d: with_tag("complex", tagged(v.real, d), tagged(v.imag, d)),
    range: lambda v, d: with_tag("range", *_tagged_items((v.start, v.stop, v.step), d)),
}
