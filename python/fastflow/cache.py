"""Results of tasks, kept by their arguments."""

from __future__ import annotations

import pickle
import time
from collections.abc import Hashable, Iterator, MutableMapping
from typing import Any

from fastflow.durations import parse_duration

__all__ = ["MISSING", "ResultCache", "make_cache", "reusable"]

MISSING: Any = object()
"""What ``get`` returns when there is nothing."""


class ResultCache:
    """Keeps results in a mapping.

    Arguments that can't be hashed are compared by their pickled form; results of calls
    whose arguments can't be pickled either are not kept.

    Parameters
    ----------
    store : MutableMapping
        Key -> (time, value).
    ttl : float, optional
        Seconds for which a result is good.
    """

    def __init__(
        self, store: MutableMapping[Any, Any], ttl: float | None = None
    ) -> None:
        self._store = store
        self._ttl = ttl

    @staticmethod
    def key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable | None:
        """Return what stands for the arguments, None if nothing can."""
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

    def get(self, key: Hashable | None) -> Any:
        """Return the value, or `MISSING`."""
        if key is None:
            return MISSING
        entry = self._store.get(key)
        if entry is None:
            return MISSING
        when, value = entry
        if self._ttl is not None and not 0 <= time.time() - when < self._ttl:
            self._store.pop(key, None)
            return MISSING
        return value

    def put(self, key: Hashable | None, value: Any) -> Any:
        """Keep a value, and return it; an iterator as a list, to be read often."""
        value = reusable(value)
        if key is not None:
            self._store[key] = (time.time(), value)
        return value


def reusable(value: Any) -> Any:
    """Return a list in place of an iterator, which could be read but once."""
    return list(value) if isinstance(value, Iterator) else value


def _types(value: Any) -> Any:
    """Return what tells values apart that are equal: 2 and 2.0, also in tuples."""
    if type(value) is tuple:
        return tuple([_types(item) for item in value])
    return type(value)


def make_cache(option: Any) -> ResultCache | None:
    """Return the cache that the option ``cache=`` means.

    Parameters
    ----------
    option : None, bool, float, str or MutableMapping
        True keeps results as long as the process lives, a duration so long, a mapping
        is where they are kept.

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    if option is None or option is False:
        return None
    if option is True:
        return ResultCache({})
    if isinstance(option, MutableMapping):
        return ResultCache(option)
    try:
        ttl = parse_duration(option)
    except TypeError:
        raise TypeError(
            "cache must be True, a duration such as '5m', or a mapping; not "
            f"{type(option).__name__}"
        ) from None
    return ResultCache({}, ttl)
