"""How calls and values are pickled, and functions numbered.

A function that is found by its name in a module is pickled once in a program, sent once
to each worker, and named by a number from then on. All others (methods, partial
objects, whatever has contents that may change) are pickled with each call.

What plain pickle can't do is tried with what multiprocessing adds to it, and then by
value, with cloudpickle. So is what is of a ``__main__`` that no other process can
import: that of ``python -c``, a console, a notebook.
"""

from __future__ import annotations

import importlib.util
import itertools
import pickle
import sys
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from fastflow.processes.buffers import LargeBufferError, Packed, Shares, refusal_from
from fastflow.processes.messages import CALL, DEFINE
from fastflow.processes.undisturbed import is_stray

__all__ = ["NUMBERLESS", "Numbered", "Packer", "dumps", "main_is_hidden"]

NUMBERLESS = -1
_MOST = 4096  # functions with a number
_dumps = pickle.dumps
_PLAIN = (FunctionType, BuiltinFunctionType)


def main_is_hidden() -> bool:
    """Tell whether ``__main__`` is nothing that another process could import."""
    main = sys.modules.get("__main__")
    if main is None or getattr(main, "__spec__", None) is not None:
        return main is None
    file = getattr(main, "__file__", None)
    return not isinstance(file, str) or not Path(file).exists()


Buffers = Callable[[Any], bool] | None


def dumps(value: Any, buffers: Buffers = None, *, hidden_main: bool = False) -> bytes:
    """Pickle, in whichever way it can be done.

    Parameters
    ----------
    value
    buffers : callable, optional
        As ``buffer_callback`` of `pickle.dumps`.
    hidden_main : bool
        Whether what is of ``__main__`` has to travel by value.

    Raises
    ------
    Exception
        What pickle raised, with a note of what can be done about it.
    """
    try:
        data = pickle.dumps(value, 5, buffer_callback=buffers)
    except LargeBufferError:
        raise
    except Exception as error:
        if is_stray(lambda: pickle.dumps(value, 5, buffer_callback=buffers)):
            raise
        return _otherwise(value, error)
    if hidden_main and b"__main__" in data:
        return _by_value(value, buffers, _hidden_error)
    return data


def _otherwise(value: Any, error: Exception) -> bytes:
    # All in one piece: buffers were given to the callback before it failed.
    try:
        return bytes(ForkingPickler.dumps(value, 5))
    except Exception:
        return _by_value(value, None, lambda: error)


def _by_value(value: Any, buffers: Buffers, failure: Callable[[], Exception]) -> bytes:
    if importlib.util.find_spec("cloudpickle") is None:
        error = failure()
        error.add_note(
            "Functions that aren't found by name (lambda, those within others, those "
            "of a console or notebook) reach other processes by cloudpickle: "
            "pip install 'fastflow[processes]'; or define them in a module."
        )
        raise error
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, 5, buffer_callback=buffers)
    return data


def _hidden_error() -> Exception:
    return pickle.PicklingError(
        "the call has something of __main__, which other processes can't import here"
    )


class Numbered:
    """A callable that is pickled once, as a function is: its contents never change."""


class Packer:
    """Makes messages of calls; has the functions of one executor that have numbers.

    Parameters
    ----------
    shares : Shares
    least : int, optional
        Bytes of a buffer that is shared.
    hidden_main : bool
        Whether workers can't import ``__main__``.
    """

    def __init__(self, shares: Shares, least: int | None, *, hidden_main: bool) -> None:
        self.shares = shares
        self.hidden_main = hidden_main
        self.definitions: dict[int, bytes] = {}
        """By the number of a function, the message that tells a worker of it."""
        self.numbers: dict[Any, int] = {}
        """Of plain functions only, whose identity is their equality."""
        self.seconds: dict[int, float] = {}
        """That an item of a map has taken, by the number of the function."""
        self._fresh = itertools.count()
        self._refuse = refusal_from(least)
        self._most = shares.most

    def number_of(self, fn: Any) -> int:
        """Return the number of a function, or `NUMBERLESS`."""
        if type(fn) not in _PLAIN and not isinstance(fn, Numbered):
            return NUMBERLESS
        found = self.numbers.get(fn)
        return self._number(fn) if found is None else found

    def name_of(self, number: int) -> str:
        """Return what a message calls a function."""
        for fn, found in self.numbers.items():
            if found == number:
                name = getattr(fn, "__qualname__", None) or type(fn).__name__
                return f"{fn.__module__}.{name}"
        return "a call"

    def call(
        self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[int, bytes | Packed]:
        """Return a function's number, and the message that calls it."""
        number = self.numbers.get(fn, NUMBERLESS) if type(fn) is FunctionType else -1
        if number >= 0 and not self.hidden_main:  # the usual case, in few steps
            call: Any = (number, args, kwargs) if kwargs else (number, args)
            try:
                data = _dumps(call, 5, buffer_callback=self._refuse)
            except LargeBufferError:
                return number, self.message(call)
            except Exception:
                if is_stray(lambda: _dumps(call, 5, buffer_callback=self._refuse)):
                    raise
                return number, self.message(call)
            return number, data if len(data) < self._most else Packed(data, [])
        number = self.number_of(fn)
        if number >= 0:
            call = (number, args, kwargs) if kwargs else (number, args)
        else:
            call = (CALL, fn, args, kwargs)
        return number, self.message(call)

    def message(self, content: Any) -> bytes | Packed:
        """Return what to send for a tuple of `messages`."""
        try:
            data = dumps(content, self._refuse, hidden_main=self.hidden_main)
        except LargeBufferError:
            return self.shares.pack(self._dumps, content)
        return data if len(data) < self._most else Packed(data, [])

    def _dumps(self, content: Any, collect: Callable[[Any], bool]) -> bytes:
        return dumps(content, collect, hidden_main=self.hidden_main)

    def _number(self, fn: Any) -> int:
        number = NUMBERLESS
        if len(self.definitions) < _MOST and _stands_in_module(fn):
            try:
                data = pickle.dumps(fn, 5)
            except Exception:
                data = b""
            if data and not (self.hidden_main and b"__main__" in data):
                number = next(self._fresh)
                self.definitions[number] = _dumps((DEFINE, number, data), 5)
                self.numbers[fn] = number
        return number


def _stands_in_module(fn: Any) -> bool:
    owner = getattr(fn, "__self__", None)  # of a builtin: its module, if it's no method
    return owner is None or isinstance(owner, ModuleType)
