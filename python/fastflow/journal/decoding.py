"""Tags for the values that JSON doesn't have: reading.

Reading is safe whatever the data says.  A class is looked up by its name among the
modules that have been imported already, and must be of the kind that the tag says; no
module is imported (but the files of ``tzdata``, for the name of a time zone), and no
code of a class runs but what makes a member of an Enum or a ``Struct``, or a field's
``default_factory``.  Time and memory are bounded by the length of the data: nothing
that is described by a few numbers (a range, a shape) is expanded.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import math
import pathlib
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from fastflow.base.former import now_called
from fastflow.base.modules import module_called
from fastflow.journal.errors import SerDesError

__all__ = [
    "LONGEST_INT",
    "MARK",
    "add_reader",
    "dtype_of",
    "expect_items",
    "expect_list",
    "find_class",
    "untagged",
]

MARK = "$ff"
LONGEST_INT = 100_000  # hexadecimal digits
_DIMENSIONS = 64  # numpy's own limit
_DTYPE = re.compile(r"[<>|=][biufcmMSUV][0-9]{1,9}(\[[0-9]{0,9}[a-zA-Zμ]{1,2}\])?")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,60}(/[A-Za-z0-9_+-]{1,60}){0,3}")


def untagged(value: Any) -> Any:
    """Return the value that `tagged` was called with.

    Raises
    ------
    SerDesError
        If a tag is unknown, or what follows it doesn't fit; other exceptions, too.
    """
    if type(value) is list:
        return [untagged(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1 and MARK in value:
        name, *parts = expect_list(value[MARK])
        read = _READERS.get(name)
        if read is None:
            raise SerDesError(f"unknown tag {_short(name)}")
        return read(*parts)
    return {key: untagged(item) for key, item in value.items()}


def _short(value: Any) -> str:
    return repr(str(value)[:60])


def add_reader(tag: str, read: Callable[..., Any]) -> None:
    """Let a tag of a layer above be read: `read` is called with its parts."""
    _READERS[tag] = read


def expect_list(value: Any) -> list[Any]:
    """Return a list of what was read, as it is."""
    if type(value) is not list:
        raise SerDesError(f"a list was expected, not {type(value).__name__}")
    return value


def expect_items(value: Any) -> list[Any]:
    """Return the values in a list of what was read."""
    # Not what a tag makes: that could be a range of any length.
    return [untagged(item) for item in expect_list(value)]


def find_class(name: str) -> type:
    """Return the class that ``module:qualified.name`` means, if it is imported.

    Raises
    ------
    SerDesError
        If it isn't, or there is no such class.
    """
    module, _, path = name.partition(":")
    found: Any = module_called(now_called(module))
    if found is None:
        raise SerDesError(
            f"the class {_short(name)} can't be found: import its module "
            f"{_short(module)} first"
        )
    # Past all hooks: asking a lazy module for an attribute would import it.
    names = object.__getattribute__(found, "__dict__")
    for part in path.split("."):
        found = names.get(part)
        if not issubclass(type(found), type):
            raise SerDesError(f"there is no class {_short(name)}")
        names = type.__getattribute__(found, "__dict__")
    return found  # type: ignore[no-any-return]


def _read_int(text: str) -> int:
    if len(text) > LONGEST_INT + 3:  # -0x
        raise SerDesError(f"an int of {len(text):,} digits")
    return int(text, 16)


def _read_float(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        raise SerDesError("not NaN, and not infinite")
    return value


def _read_datetime(text: str, fold: int, zone: Any) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    return value.replace(fold=fold, tzinfo=_zone(value, zone))


def _read_time(text: str, fold: int, zone: Any) -> dt.time:
    value = dt.time.fromisoformat(text)
    return value.replace(fold=fold, tzinfo=_zone(value, zone))


def _zone(value: dt.datetime | dt.time, zone: Any) -> dt.tzinfo | None:
    if zone is None:
        return value.tzinfo
    if type(zone) is list:
        offset = value.utcoffset()
        if offset is None:
            raise SerDesError("a time zone with a name, but without an offset")
        return dt.timezone(offset, *zone)
    # A key with dots could name a module below tzdata.
    if not _ZONE.fullmatch(zone):
        raise SerDesError(f"no name of a time zone: {_short(zone)}")
    from zoneinfo import ZoneInfo

    return ZoneInfo(zone)


def _read_enum(name: str, member: str) -> Any:
    kind = find_class(name)
    if not issubclass(kind, enum.Enum):
        raise SerDesError(f"{_short(name)} is not an Enum")
    found = kind.__members__.get(member)
    if found is None:
        raise SerDesError(f"{_short(name)} has no member {_short(member)}")
    return found


def _read_flag(name: str, value: Any) -> Any:
    kind = find_class(name)
    if not issubclass(kind, enum.Flag):
        raise SerDesError(f"{_short(name)} is not a Flag")
    return kind(untagged(value))


def _read_dataclass(name: str, pairs: list[Any]) -> Any:
    kind = find_class(name)
    if not dataclasses.is_dataclass(kind):
        raise SerDesError(f"{_short(name)} is not a dataclass")
    given = {field: untagged(item) for field, item in expect_list(pairs)}
    known = {field.name: field for field in dataclasses.fields(kind)}
    if not known.keys() >= given.keys():
        extra = next(field for field in given if field not in known)
        raise SerDesError(f"{_short(name)} has no field {_short(extra)}")
    # As pickle does, without __init__: its arguments need not be the fields.
    value = object.__new__(kind)
    for field in known.values():
        if field.name in given:
            item = given[field.name]
        elif field.default is not dataclasses.MISSING:
            item = field.default
        elif field.default_factory is not dataclasses.MISSING:
            item = field.default_factory()
        else:
            raise SerDesError(
                f"{_short(name)} now has a field {field.name!r}, which was not stored: "
                "give it a default"
            )
        object.__setattr__(value, field.name, item)
    return value


def _read_struct(name: str, pairs: list[Any]) -> Any:
    kind = find_class(name)
    if not issubclass(kind, msgspec.Struct):
        raise SerDesError(f"{_short(name)} is not a Struct")
    return kind(**{field: untagged(item) for field, item in expect_list(pairs)})


def _read_namedtuple(name: str, items: list[Any]) -> Any:
    kind = find_class(name)
    names = getattr(kind, "_fields", None)
    if not issubclass(kind, tuple) or type(names) is not tuple:
        raise SerDesError(f"{_short(name)} is not a named tuple")
    if len(names) != len(expect_list(items)):
        raise SerDesError(f"{_short(name)} has {len(names)} fields, not {len(items)}")
    return tuple.__new__(kind, expect_items(items))


def dtype_of(form: Any) -> Any:
    """Return the numpy type that a text or a list of fields describes.

    Raises
    ------
    SerDesError
        If it isn't one of numbers, texts, or structures of them.
    """
    import numpy

    dtype = numpy.dtype(_dtype_form(form))
    if dtype.hasobject or not dtype.itemsize:
        raise SerDesError("only arrays of numbers are read")
    return dtype


def _dtype_form(form: Any) -> Any:
    if type(form) is list:
        return [_dtype_field(*field) for field in form]
    if not _DTYPE.fullmatch(form):
        raise SerDesError(f"not the type of an array: {_short(form)}")
    return form


def _dtype_field(name: str, form: Any, *shape: list[int]) -> tuple[Any, ...]:
    if type(name) is not str or len(shape) > 1:
        raise SerDesError("not a field of a structure")
    return (name, _dtype_form(form), *map(_shape, shape))


def _shape(shape: Any) -> tuple[int, ...]:
    if len(expect_list(shape)) > _DIMENSIONS or any(
        type(n) is not int or n < 0 for n in shape
    ):
        raise SerDesError(f"not the shape of an array: {_short(shape)}")
    return tuple(shape)


def _read_ndarray(form: Any, shape: list[int], text: str) -> Any:
    import numpy

    dtype, sizes, data = dtype_of(form), _shape(shape), _raw(text)
    if math.prod(sizes) * dtype.itemsize != len(data):
        raise SerDesError(
            f"{len(data)} bytes are no array of shape {_short(list(sizes))}"
        )
    if not data:
        return numpy.empty(sizes, dtype)
    return numpy.frombuffer(data, dtype).reshape(sizes).copy()


def _read_number(form: Any, text: str) -> Any:
    return _read_ndarray(form, [1], text)[0]


def _read_numpy_str(text: str) -> Any:
    import numpy

    return numpy.str_(_read_str(text))


def _read_numpy_bytes(text: str) -> Any:
    import numpy

    return numpy.bytes_(_raw(text))


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _read_str(text: str) -> str:
    return _raw(text).decode("utf-8", "surrogatepass")


def _read_dict(pairs: list[Any]) -> dict[Any, Any]:
    return {
        untagged(key): untagged(item)
        for key, item in map(expect_list, expect_list(pairs))
    }


_READERS: dict[str, Callable[..., Any]] = {
    "str": _read_str,
    "int": _read_int,
    "float": _read_float,
    "dict": _read_dict,
    "bytes": _raw,
    "bytearray": lambda text: bytearray(_raw(text)),
    "tuple": lambda items: tuple(expect_items(items)),
    "set": lambda items: set(expect_items(items)),
    "frozenset": lambda items: frozenset(expect_items(items)),
    "datetime": _read_datetime,
    "date": dt.date.fromisoformat,
    "time": _read_time,
    "timedelta": dt.timedelta,
    "uuid": lambda text: uuid.UUID(hex=text),
    "decimal": lambda text: Decimal(text),
    "complex": lambda real, imag: complex(untagged(real), untagged(imag)),
    "range": lambda *parts: range(*expect_items(list(parts))),
    "enum": _read_enum,
    "flag": _read_flag,
    "dataclass": _read_dataclass,
    "struct": _read_struct,
    "namedtuple": _read_namedtuple,
    "ndarray": _read_ndarray,
    "number": _read_number,
    "npstr": _read_numpy_str,
    "npbytes": _read_numpy_bytes,
    "path": lambda text, pure: (pathlib.PurePath if pure else pathlib.Path)(text),
}
