"""Results that are used again: of tasks by their arguments, of steps by a key."""

from __future__ import annotations

import inspect
import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import Any

from fastflow.base.durations import seconds_of
from fastflow.base.signatures import signature

__all__ = [
    "MISSING",
    "SIZE",
    "Cache",
    "Recent",
    "ResultCache",
    "make_cache",
    "reusable",
]

SIZE = 1_024
"""Results that a task keeps, unless it is given a mapping to keep them in."""

MISSING: Any = object()
"""What ``get`` returns when there is nothing."""


class Recent(MutableMapping[Any, Any]):
    """As many entries as were used last; thread-safe."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[Any, Any] = OrderedDict()

    def __getitem__(self, key: Any) -> Any:
        with self._lock:
            value = self._entries[key]
            self._entries.move_to_end(key)
            return value

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value, and count it as used."""
        with self._lock:
            value = self._entries.get(key, MISSING)
            if value is MISSING:
                return default
            self._entries.move_to_end(key)
            return value

    def __setitem__(self, key: Any, value: Any) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            dropped = len(self._entries) > self._size and self._entries.popitem(False)
        del dropped  # not under the lock: its end may run code of the user's

    def __delitem__(self, key: Any) -> None:
        with self._lock:
            dropped = self._entries.pop(key)
        del dropped

    def __iter__(self) -> Iterator[Any]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)


class Cache:
    """Keeps values in a mapping, each for a time.

    Parameters
    ----------
    store : MutableMapping
        Key -> (time, value).
    ttl : float, optional
        Seconds for which a value is good, on the clock of who asks: all must have the
        same one.
    """

    def __init__(self, store: MutableMapping[Any, Any], ttl: float | None) -> None:
        self._store = store
        self._ttl = ttl

    def get(self, key: Hashable | None, now: float | None = None) -> Any:
        """Return the value, or `MISSING`; without `now`, by the time of day."""
        if key is None:
            return MISSING
        entry = self._store.get(key)
        if entry is None:
            return MISSING
        when, value = entry
        if self._ttl is not None:
            now = time.time() if now is None else now
            if not 0 <= now - when < self._ttl:
                self._store.pop(key, None)
                return MISSING
        return value

    def put(self, key: Hashable | None, value: Any, now: float | None = None) -> None:
        """Keep a value, unless there is no key for it."""
        if key is not None:
            self._store[key] = (time.time() if now is None else now, value)


class ResultCache(Cache):
    """Keeps results of calls.

    Calls are the same if the parameters get the same, however that is written: by
    position, by name, or by default. Arguments that can't be hashed are compared by
    their pickled form; results of calls whose arguments can't be pickled either are not
    kept.

    Parameters
    ----------
    store : MutableMapping
        Key -> (time, value).
    ttl : float, optional
        Seconds for which a result is good.
    fn : callable, optional
        Whose results they are.
    first : tuple
        Arguments that come before those of each call.
    """

    def __init__(
        self,
        store: MutableMapping[Any, Any],
        ttl: float | None = None,
        fn: Callable[..., Any] | None = None,
        first: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(store, ttl)
        self._fn = fn
        self._first = first
        self._signature: inspect.Signature | None = None
        self._names: tuple[str, ...] | None = None
        """The parameters, if all of them may be given by position and by name."""
        self._defaults: dict[str, Any] = {}

    def bound_to(self, instance: Any) -> ResultCache:
        """Return the same for the calls of a method of an object."""
        return ResultCache(self._store, self._ttl, self._fn, (instance, *self._first))

    def _normal(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arguments as they would be with all defaults, and without names."""
        if self._first:
            args = (*self._first, *args)
        if self._fn is None:
            return args, kwargs
        try:
            if self._signature is None:
                self._look()
            if self._names is not None:
                return self._by_position(args, kwargs, self._names)
            assert self._signature is not None
            bound = self._signature.bind(*args, **kwargs)
        except (TypeError, ValueError):  # the call will fail, or nothing is known
            return args, kwargs
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def _look(self) -> None:
        assert self._fn is not None
        found = signature(self._fn)
        parameters = found.parameters.values()
        if all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters):
            self._defaults = {
                p.name: p.default for p in parameters if p.default is not p.empty
            }
            self._names = tuple(found.parameters)
        self._signature = found

    def _by_position(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], names: tuple[str, ...]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Do what `bind` does, in a tenth of its time."""
        rest = names[len(args) :]
        if not rest and not kwargs:
            return args, kwargs
        values, defaults, used = list(args), self._defaults, 0
        for name in rest:
            if name in kwargs:
                values.append(kwargs[name])
                used += 1
            elif name in defaults:
                values.append(defaults[name])
            else:
                return args, kwargs  # the call will fail
        return (tuple(values), {}) if used == len(kwargs) else (args, kwargs)

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable | None:
        """Return what stands for the arguments, None if nothing can."""
        args, kwargs = self._normal(args, kwargs)
        named = tuple(sorted(kwargs.items()))
        types = tuple(
            [_types(value) for value in (*args, *[value for _, value in named])]
        )
        key = (args, named, types)
        try:
            hash(key)
        except TypeError:
            try:
                return pickle.dumps((args, named))
            except Exception:  # whatever an object's own pickling raises
                return None
        return key

    def put(self, key: Hashable | None, value: Any, now: float | None = None) -> Any:
        """Keep a value, and return it; an iterator as a list, to be read often."""
        value = reusable(value)
        super().put(key, value, now)
        return value


def reusable(value: Any) -> Any:
    """Return a list in place of an iterator, which could be read but once."""
    return list(value) if isinstance(value, Iterator) else value


def _types(value: Any) -> Any:
    """Return what tells values apart that are equal: 2 and 2.0, also in tuples."""
    if type(value) is tuple:
        return tuple([_types(item) for item in value])
    return type(value)


def make_cache(option: Any, fn: Callable[..., Any] | None = None) -> ResultCache | None:
    """Return the cache that the option ``cache=`` of a function means.

    Parameters
    ----------
    option : None, bool, float, str or MutableMapping
        True keeps the results that were used last, `SIZE` of them, a duration does so
        as long as they are good; a mapping is where all are kept.

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    if option is None or option is False:
        return None
    if option is True:
        return ResultCache(Recent(), None, fn)
    if isinstance(option, MutableMapping):
        return ResultCache(option, None, fn)
    try:
        ttl = seconds_of("cache", option)
    except TypeError:
        raise TypeError(
            "cache must be True, a duration such as '5m', or a mapping; not "
            f"{type(option).__name__}"
        ) from None
    return ResultCache(Recent(), ttl, fn)
