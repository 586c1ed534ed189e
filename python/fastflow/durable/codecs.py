"""Tags for the values that JSON doesn't have.

A tagged value is an object with one key, `MARK`, and a list: the tag, then what it is
made of.  An object that happens to have such a key is itself written with a tag.

Subclasses of dict, list, str, int and float without a tag of their own are written as
what they derive from.

Reading is safe: a class is looked up by its name among the modules that have been
imported already, it must be of the kind that the tag says, and is filled without
running code of its own where Python lets one do so.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import math
import pathlib
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from fastflow.durable.exceptions import SerDesError

__all__ = ["MARK", "Unencodable", "tagged", "untagged"]

MARK = "$ff"
_DEEPEST = 400  # levels of nesting; more are taken for a value that contains itself
_LEAST, _MOST = -(2**63), 2**63 - 1
_LONGEST_INT = 100_000  # hexadecimal digits


class Unencodable(Exception):  # noqa: N818  (control flow inside of this package)
    """Something that has no tag, and where in the value it is."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path: list[str] = []

    def __str__(self) -> str:
        place = "result" + "".join(reversed(self.path))
        if len(self.path) >= _DEEPEST:
            place = "somewhere in the result"
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
        return value if _has_bytes(value) else _tag("str", _surrogates(value))
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if _LEAST <= value <= _MOST else _tag("int", hex(value))
    if kind is float:
        return value if math.isfinite(value) else _tag("float", repr(value))
    if depth > _DEEPEST:
        raise Unencodable("is nested too deeply, or contains itself")
    if kind is dict:
        return _tagged_dict(value, depth)
    if kind is list:
        return _tagged_items(value, depth)
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value, depth)
    return _tagged_other(value, depth)


def _tag(name: str, *parts: Any) -> dict[str, Any]:
    return {MARK: [name, *parts]}


def _has_bytes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _surrogates(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _tagged_items(value: Any, depth: int) -> list[Any]:
    found = []
    for index, item in enumerate(value):
        try:
            found.append(tagged(item, depth + 1))
        except Unencodable as error:
            error.path.append(f"[{index}]")
            raise
    return found


def _tagged_dict(value: dict[Any, Any], depth: int) -> Any:
    plain = MARK not in value
    found: dict[Any, Any] = {}
    for key, item in value.items():
        try:
            found[key] = tagged(item, depth + 1)
        except Unencodable as error:
            error.path.append(f"[{key!r}]")
            raise
        if type(key) is not str or not _has_bytes(key):
            plain = False
    if plain:
        return found
    return _tag("dict", [[_tagged_key(k, depth), v] for k, v in found.items()])


def _tagged_key(key: Any, depth: int) -> Any:
    try:
        return tagged(key, depth + 1)
    except Unencodable as error:
        error.path.append(f", key {key!r}")
        raise


def _class_name(kind: type) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        found = _find_class(name)
    except SerDesError:
        found = None
    if found is not kind:
        raise Unencodable(
            f"is a {kind.__qualname__}, which can't be found again as {name}: define "
            "the class at the top of a module"
        )
    return name


def _find_class(name: str) -> type:
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    if found is None:
        raise SerDesError(
            f"the class {name} can't be found: import its module {module!r} first"
        )
    for part in path.split("."):
        # vars(), not getattr(): no code of a module or class is to run.
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    if not isinstance(found, type):
        raise SerDesError(f"there is no class {name}")
    return found


def _tagged_fields(value: Any, names: list[str], depth: int) -> list[Any]:
    found = []
    for name in names:
        try:
            found.append([name, tagged(getattr(value, name), depth + 1)])
        except Unencodable as error:
            error.path.append(f".{name}")
            raise
    return found


def _tagged_other(value: Any, depth: int) -> Any:
    """Write what is known by its base class."""
    kind = type(value)
    if isinstance(value, enum.Enum):
        return _tagged_enum(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        fields = _tagged_fields(value, names, depth)
        return _tag("dataclass", _class_name(kind), fields)
    if isinstance(value, msgspec.Struct):
        fields = _tagged_fields(value, list(kind.__struct_fields__), depth)
        return _tag("struct", _class_name(kind), fields)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        items = _tagged_items(value, depth)
        return _tag("namedtuple", _class_name(kind), items)
    if kind.__module__ == "fastflow.durable.results" and kind.__name__ == "BatchResult":
        reason = value.completion_reason.value
        return _tag("batch", reason, _tagged_items(value.all, depth))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return _tagged_numpy(value, numpy)
    if isinstance(value, pathlib.PurePath):
        pure = not isinstance(value, pathlib.Path)
        return _tag("path", str(value), pure)
    bases: tuple[Any, ...] = (str, int, float, dict, list)
    for base in bases:
        if isinstance(value, base):
            return tagged(base(value), depth)
    raise Unencodable(
        f"is a {kind.__module__}.{kind.__qualname__}, which can't be stored: return "
        "plain data, or give the operation a serdes"
    )


def _tagged_enum(value: enum.Enum) -> Any:
    kind = type(value)
    if value.name is None or kind.__members__.get(value.name) is not value:
        raise Unencodable(f"is a combination of members of {kind.__qualname__}")
    return _tag("enum", _class_name(kind), value.name)


def _tagged_numpy(value: Any, numpy: Any) -> Any:
    dtype = value.dtype
    if dtype.hasobject:
        raise Unencodable("is a numpy array of objects: only numbers can be stored")
    form = dtype.descr if dtype.names else dtype.str
    data = base64.b64encode(numpy.ascontiguousarray(value).tobytes()).decode()
    if isinstance(value, numpy.ndarray):
        if type(value) is not numpy.ndarray:
            raise Unencodable(f"is a {type(value).__name__}: give a plain array")
        return _tag("ndarray", form, list(value.shape), data)
    return _tag("number", form, data)


def _bytes(value: Any) -> str:
    return base64.b64encode(value).decode()


def _zone(value: Any) -> str | None:
    return getattr(value.tzinfo, "key", None)


_WRITERS: dict[type, Callable[[Any, int], Any]] = {
    bytes: lambda v, _: _tag("bytes", _bytes(v)),
    bytearray: lambda v, _: _tag("bytearray", _bytes(v)),
    tuple: lambda v, d: _tag("tuple", _tagged_items(v, d)),
    set: lambda v, d: _tag("set", _tagged_items(v, d)),
    frozenset: lambda v, d: _tag("frozenset", _tagged_items(v, d)),
    dt.datetime: lambda v, _: _tag("datetime", v.isoformat(), v.fold, _zone(v)),
    dt.date: lambda v, _: _tag("date", v.isoformat()),
    dt.time: lambda v, _: _tag("time", v.isoformat(), v.fold, _zone(v)),
    dt.timedelta: lambda v, _: _tag("timedelta", v.days, v.seconds, v.microseconds),
    uuid.UUID: lambda v, _: _tag("uuid", v.hex),
    Decimal: lambda v, _: _tag("decimal", str(v)),
    complex: lambda v, d: _tag("complex", tagged(v.real, d), tagged(v.imag, d)),
    range: lambda v, d: _tag("range", *_tagged_items((v.start, v.stop, v.step), d)),
}


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
        name, *parts = value[MARK]
        read = _READERS.get(name)
        if read is None:
            raise SerDesError(f"unknown tag {name!r}")
        return read(*parts)
    return {key: untagged(item) for key, item in value.items()}


def _read_int(text: str) -> int:
    if len(text) > _LONGEST_INT:
        raise SerDesError(f"an int of {len(text):,} digits")
    return int(text, 16)


def _read_float(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        raise SerDesError("not NaN, and not infinite")
    return value


def _read_datetime(text: str, fold: int, zone: str | None) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    if zone is not None:
        from zoneinfo import ZoneInfo

        value = value.replace(tzinfo=ZoneInfo(zone))
    return value.replace(fold=fold)


def _read_time(text: str, fold: int, zone: str | None) -> dt.time:
    value = dt.time.fromisoformat(text)
    if zone is not None:
        from zoneinfo import ZoneInfo

        value = value.replace(tzinfo=ZoneInfo(zone))
    return value.replace(fold=fold)


def _read_enum(name: str, member: str) -> Any:
    kind = _find_class(name)
    if not issubclass(kind, enum.Enum):
        raise SerDesError(f"{name} is not an Enum")
    return kind.__members__[member]


def _read_dataclass(name: str, fields: list[Any]) -> Any:
    kind = _find_class(name)
    if not dataclasses.is_dataclass(kind):
        raise SerDesError(f"{name} is not a dataclass")
    known = {field.name for field in dataclasses.fields(kind)}
    # As pickle does, without __init__: its arguments need not be the fields.
    value = object.__new__(kind)
    for field, item in fields:
        if field not in known:
            raise SerDesError(f"{name} has no field {field!r}")
        object.__setattr__(value, field, untagged(item))
    return value


def _read_struct(name: str, fields: list[Any]) -> Any:
    kind = _find_class(name)
    if not issubclass(kind, msgspec.Struct):
        raise SerDesError(f"{name} is not a Struct")
    return kind(**{field: untagged(item) for field, item in fields})


def _read_namedtuple(name: str, items: list[Any]) -> Any:
    kind = _find_class(name)
    names = vars(kind).get("_fields")
    if not issubclass(kind, tuple) or type(names) is not tuple:
        raise SerDesError(f"{name} is not a named tuple")
    if len(names) != len(items):
        raise SerDesError(f"{name} has {len(names)} fields, not {len(items)}")
    return tuple.__new__(kind, [untagged(item) for item in items])


def _read_batch(reason: str, items: list[Any]) -> Any:
    from fastflow.durable.results import BatchItem, BatchResult, CompletionReason

    found = untagged(items)
    if not all(isinstance(item, BatchItem) for item in found):
        raise SerDesError("a batch consists of BatchItems")
    return BatchResult(found, CompletionReason(reason))


def _dtype(form: Any) -> Any:
    import numpy

    if isinstance(form, list):
        form = [tuple(_shape(part) for part in field) for field in form]
    dtype = numpy.dtype(form)
    if dtype.hasobject:
        raise SerDesError("arrays of objects are not read")
    return dtype


def _shape(part: Any) -> Any:
    """Return a part of a field's description: lists of numbers are shapes."""
    if not isinstance(part, list):
        return part
    if all(isinstance(n, int) for n in part):
        return tuple(part)
    return [tuple(_shape(inner) for inner in field) for field in part]


def _read_ndarray(form: Any, shape: list[int], text: str) -> Any:
    import numpy

    dtype, data = _dtype(form), _raw(text)
    count = math.prod(shape)
    if any(n < 0 for n in shape) or count * dtype.itemsize != len(data):
        raise SerDesError(f"{len(data)} bytes are no array of shape {shape}")
    if not data:
        return numpy.empty(shape, dtype)
    return numpy.frombuffer(data, dtype).reshape(shape).copy()


def _read_number(form: Any, text: str) -> Any:
    return _read_ndarray(form, [1], text)[0]


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


_READERS: dict[str, Callable[..., Any]] = {
    "str": lambda text: _raw(text).decode("utf-8", "surrogatepass"),
    "int": _read_int,
    "float": _read_float,
    "dict": lambda pairs: {untagged(k): untagged(v) for k, v in pairs},
    "bytes": _raw,
    "bytearray": lambda text: bytearray(_raw(text)),
    "tuple": lambda items: tuple(untagged(items)),
    "set": lambda items: set(untagged(items)),
    "frozenset": lambda items: frozenset(untagged(items)),
    "datetime": _read_datetime,
    "date": dt.date.fromisoformat,
    "time": _read_time,
    "timedelta": dt.timedelta,
    "uuid": lambda text: uuid.UUID(hex=text),
    "decimal": Decimal,
    "complex": lambda real, imag: complex(untagged(real), untagged(imag)),
    "range": lambda *parts: range(*untagged(list(parts))),
    "enum": _read_enum,
    "dataclass": _read_dataclass,
    "struct": _read_struct,
    "namedtuple": _read_namedtuple,
    "batch": _read_batch,
    "ndarray": _read_ndarray,
    "number": _read_number,
    "path": lambda text, pure: (pathlib.PurePath if pure else pathlib.Path)(text),
}
