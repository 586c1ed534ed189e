"""Containers that `nested` looks into: what is in them, and how they are made anew."""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import sys
import types
import weakref
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

__all__ = ["LEAVES", "STATIC_CONTAINERS", "Kind", "Make", "Opened", "open_container"]


class Kind(NamedTuple):
    """A kind of references.

    Attributes
    ----------
    type : type
        Of them all, exactly; hashable.
    describe : callable
        Makes the words for one of them.
    fix : str
        What to do in place of what was refused.
    """

    type: type
    describe: Callable[[Any], str]
    fix: str


Make = Callable[[list[Any]], Any]


class Opened(NamedTuple):
    """A container: what is in it, and how to make another one of other things."""

    value: Any
    inside: Collection[Any]
    prepare: Callable[[], Make]
    """Called once if references are in it; what it returns, whenever it is made."""
    fixed: Collection[Any] = ()
    """What else is in it, which can't be replaced."""
    place: str = ""
    """Where these are, in words."""


# Nothing is in these.  Looked up first: most arguments are of such types.
LEAVES = frozenset(
    (
        type(None), bool, int, float, complex, str, bytes, bytearray, range, type,
        types.FunctionType, types.BuiltinFunctionType, types.ModuleType,
    )
)  # fmt: skip


def open_container(value: Any, kind: Kind) -> Opened | None:
    """Return what is in a container; None for everything else."""
    own = type(value)
    known = _openers.get(id(own))
    opener = known[1] if known is not None else _choose(own)
    return opener(value, kind)


def _choose(own: type) -> _Open:
    """Return how objects of a class are opened; it is remembered while it lives."""
    opener = _EXACT.get(own)
    if opener is None:
        opener = next((_BASES[b] for b in own.__mro__ if b in _BASES), _open_object)
        numpy = sys.modules.get("numpy")
        if opener is _open_object and hasattr(own, "__dataclass_fields__"):
            opener = _open_dataclass
        elif opener is _open_object and issubclass(own, _WRAPPERS):
            opener = _open_wrapper
        elif numpy is not None and issubclass(own, numpy.ndarray):
            opener = _open_array
    number = id(own)
    forget = weakref.ref(own, lambda _: _openers.pop(number, None))
    _openers[number] = (forget, opener)
    return opener


def _open_plain(value: Any, _: Kind) -> Opened:
    own = type(value)
    return Opened(value, value, lambda: own)


def _open_dict(value: Any, _: Kind) -> Opened:
    keys = [*value]

    def make(items: list[Any]) -> Any:
        return dict(zip(keys, items, strict=True))

    return Opened(value, [value[k] for k in keys], lambda: make, keys, _KEY)


def _open_mapping_proxy(value: Any, kind: Kind) -> Opened:
    opened = _open_dict(value, kind)

    def prepare() -> Make:
        make = opened.prepare()
        return lambda items: types.MappingProxyType(make(items))

    return opened._replace(prepare=prepare)


def _open_fixed(value: Any, _: Kind) -> Opened:
    place = f"in {type(value).__name__}: make a list of it"
    return Opened(value, (), lambda: list, [*value], place)


def _open_slice(value: slice, _: Kind) -> Opened:
    parts = (value.start, value.stop, value.step)
    return Opened(value, parts, lambda: lambda items: slice(*items))


def _open_partial(value: functools.partial[Any], kind: Kind) -> Opened:
    _check_attributes(value, kind)
    own: Any = type(value)
    count, names = 1 + len(value.args), [*value.keywords]

    def make(items: list[Any]) -> Any:
        named = dict(zip(names, items[count:], strict=True))
        return own(*items[:count], **named)

    inside = [value.func, *value.args, *value.keywords.values()]
    return Opened(value, inside, lambda: make)


# Subclasses: a copy keeps what else they have, such as the function of a defaultdict.


def _open_list_subclass(value: list[Any], kind: Kind) -> Opened:
    _check_attributes(value, kind)

    def replace(made: list[Any], items: list[Any]) -> None:
        list.__setitem__(made, slice(None), items)

    return Opened(value, [*list.__iter__(value)], _copier(value, replace, kind))


def _open_deque(value: collections.deque[Any], kind: Kind) -> Opened:
    _check_attributes(value, kind)

    def replace(made: collections.deque[Any], items: list[Any]) -> None:
        collections.deque.clear(made)
        collections.deque.extend(made, items)

    inside = [*collections.deque.__iter__(value)]
    return Opened(value, inside, _copier(value, replace, kind))


def _open_dict_subclass(value: dict[Any, Any], kind: Kind) -> Opened:
    _check_attributes(value, kind)
    pairs = [*dict.items(value)]
    keys = [key for key, _ in pairs]

    def replace(made: dict[Any, Any], items: list[Any]) -> None:
        for key, item in zip(keys, items, strict=True):
            made[key] = item

    inside = [item for _, item in pairs]
    return Opened(value, inside, _copier(value, replace, kind), keys, _KEY)


def _open_set_subclass(value: set[Any], kind: Kind) -> Opened:
    _check_attributes(value, kind)

    def replace(made: set[Any], items: list[Any]) -> None:
        set.clear(made)
        set.update(made, items)

    return Opened(value, [*set.__iter__(value)], _copier(value, replace, kind))


def _open_tuple_subclass(value: tuple[Any, ...], kind: Kind) -> Opened:
    """Open a named tuple, say."""
    return _open_frozen(value, tuple, kind)


def _open_frozenset_subclass(value: frozenset[Any], kind: Kind) -> Opened:
    return _open_frozen(value, frozenset, kind)


def _open_frozen(value: Any, base: Any, kind: Kind) -> Opened:
    _check_attributes(value, kind)
    own, rest = type(value), dict(getattr(value, "__dict__", {}))

    def make(items: list[Any]) -> Any:
        try:
            made = base.__new__(own, items)
        except TypeError:  # a type of C, such as time.struct_time
            return own(items)
        if rest:
            made.__dict__.update(rest)
        return made

    return Opened(value, [*base.__iter__(value)], lambda: make)


# Objects with attributes.


def _open_namespace(value: types.SimpleNamespace, kind: Kind) -> Opened:
    names = [*vars(value)]

    def replace(made: types.SimpleNamespace, items: list[Any]) -> None:
        vars(made).update(zip(names, items, strict=True))

    inside = [*vars(value).values()]
    return Opened(value, inside, _copier(value, replace, kind))


def _open_wrapper(value: Any, kind: Kind) -> Opened | None:
    """Open an object of ``collections`` that wraps a plain list or dict, or some."""
    _check_attributes(value, kind)
    name = "maps" if isinstance(value, collections.ChainMap) else "data"
    if name not in getattr(value, "__dict__", {}):
        return None  # a subclass that keeps what it holds elsewhere

    def replace(made: Any, items: list[Any]) -> None:
        setattr(made, name, items[0])

    return Opened(value, [getattr(value, name)], _copier(value, replace, kind))


def _open_object(value: Any, kind: Kind) -> None:
    _check_attributes(value, kind)


def _open_dataclass(value: Any, kind: Kind) -> Opened:
    names = [
        field.name for field in dataclasses.fields(value) if hasattr(value, field.name)
    ]
    _check_attributes(value, kind, names)

    def replace(made: Any, items: list[Any]) -> None:
        for name, item in zip(names, items, strict=True):
            object.__setattr__(made, name, item)  # also of frozen ones

    inside = [getattr(value, name) for name in names]
    return Opened(value, inside, _copier(value, replace, kind))


def _open_array(value: Any, kind: Kind) -> Opened | None:
    if not value.dtype.hasobject:
        return None
    if value.dtype != object:
        place = "in an array of records: pass the fields one by one"
        return Opened(value, (), lambda: list, value.tolist(), place)

    def replace(made: Any, items: list[Any]) -> None:
        flat = made.reshape(-1)  # a view: the copy is contiguous
        for i, item in enumerate(items):  # not at once: it would look into the items
            flat[i] = item

    return Opened(value, [*value.flat], _copier(value, replace, kind))


def _copier(
    value: Any, replace: Callable[[Any, list[Any]], None], kind: Kind
) -> Callable[[], Make]:
    """Return how to make copies of a value in which `replace` puts the items."""

    def prepare() -> Make:
        try:
            like = copy.copy(value)  # which nobody changes
        except Exception as error:
            raise TypeError(
                f"references are in a {type(value).__name__}, which can't be copied, "
                f"so their results can't be put there; {kind.fix}"
            ) from error

        def make(items: list[Any]) -> Any:
            made = copy.copy(like)
            replace(made, items)
            return made

        return make

    return prepare


def _check_attributes(value: Any, kind: Kind, apart: Collection[str] = ()) -> None:
    """Refuse an object that keeps a reference in an attribute."""
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except Exception:
        return
    if not attributes or type(attributes) is not dict:
        return
    wanted = kind.type
    for name, item in [*attributes.items()]:
        if type(item) is wanted and name not in apart:
            raise TypeError(
                f"{kind.describe(item)} is in the attribute {name!r} of a "
                f"{type(value).__name__}, where its result can't be put; {kind.fix}, "
                "or make the object a dataclass"
            )


_KEY = "the key of a dict: give pairs"

_Open = Callable[[Any, Kind], Opened | None]

_EXACT: dict[type, _Open] = {
    list: _open_plain,
    tuple: _open_plain,
    set: _open_plain,
    frozenset: _open_plain,
    dict: _open_dict,
    types.MappingProxyType: _open_mapping_proxy,
    slice: _open_slice,
    type({}.keys()): _open_fixed,
    type({}.values()): _open_fixed,
    type({}.items()): _open_fixed,
}

_openers: dict[int, tuple[weakref.ref[type], _Open]] = {}

_BASES: dict[type, _Open] = {
    list: _open_list_subclass,
    tuple: _open_tuple_subclass,
    dict: _open_dict_subclass,
    set: _open_set_subclass,
    frozenset: _open_frozenset_subclass,
    collections.deque: _open_deque,
    functools.partial: _open_partial,
    types.SimpleNamespace: _open_namespace,
    type: lambda *_: None,
}

_WRAPPERS = (collections.UserList, collections.UserDict, collections.ChainMap)

#: What else `open_container` opens exactly: types of C, to be told at a glance.
STATIC_CONTAINERS = tuple({*_EXACT, *_BASES} - {type})
