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
import os
import pickle
import sys
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from fastflow.processes.messages import CALL

__all__ = ["Functions", "NUMBERLESS", "dumps", "main_is_hidden", "pack_call"]

NUMBERLESS = -1
_MOST = 4096  # functions with a number
_PLAIN = (FunctionType, BuiltinFunctionType)


def main_is_hidden() -> bool:
    """Tell whether ``__main__`` is nothing that another process could import."""
    main = sys.modules.get("__main__")
    if main is None or getattr(main, "__spec__", None) is not None:
        return main is None
    file = getattr(main, "__file__", None)
    return not isinstance(file, str) or not os.path.exists(file)


def dumps(value: Any, *, hidden_main: bool = False) -> bytes:
    """Pickle, in whichever way it can be done.

    Raises
    ------
    Exception
        What pickle raised, with a note of what can be done about it.
    """
    try:
        data = pickle.dumps(value, 5)
    except Exception as error:
        return _otherwise(value, error)
    if hidden_main and b"__main__" in data:
        return _by_value(value, _hidden_error)
    return data


def _otherwise(value: Any, error: Exception) -> bytes:
    try:
        return bytes(ForkingPickler.dumps(value, 5))
    except Exception:
        return _by_value(value, lambda: error)


def _by_value(value: Any, failure: Callable[[], Exception]) -> bytes:
    if importlib.util.find_spec("cloudpickle") is None:
        error = failure()
        error.add_note(
            "Functions that aren't found by name (lambda, those within others, those of "
            "a console or notebook) reach other processes by cloudpickle: "
            "pip install 'fastflow[processes]'; or define them in a module."
        )
        raise error
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, 5)
    return data


def _hidden_error() -> Exception:
    return pickle.PicklingError(
        "the call has something of __main__, which other processes can't import here"
    )


class Functions:
    """The functions of one executor that have numbers.

    Parameters
    ----------
    hidden_main : bool
        Whether workers can't import ``__main__``.
    """

    def __init__(self, *, hidden_main: bool) -> None:
        self.hidden_main = hidden_main
        self.pickled: list[bytes] = []
        """By number."""
        self.numbers: dict[Any, int] = {}
        """Of plain functions only, whose identity is their equality."""

    def number_of(self, fn: Any) -> int:
        """Return the number of a function, or `NUMBERLESS`."""
        if type(fn) not in _PLAIN:
            return NUMBERLESS
        found = self.numbers.get(fn)
        return self._number(fn) if found is None else found

    def _number(self, fn: Any) -> int:
        number = NUMBERLESS
        if len(self.pickled) < _MOST and _stands_in_module(fn):
            try:
                data = pickle.dumps(fn, 5)
            except Exception:
                data = b""
            if data and not (self.hidden_main and b"__main__" in data):
                number = len(self.pickled)
                self.pickled.append(data)
                self.numbers[fn] = number
        return number


def _stands_in_module(fn: Any) -> bool:
    owner = getattr(fn, "__self__", None)  # of a builtin: its module, if it's no method
    return owner is None or isinstance(owner, ModuleType)


def pack_call(
    functions: Functions, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[int, bytes]:
    """Return a function's number, and the message that calls it."""
    number = functions.number_of(fn)
    if number >= 0:
        call: Any = (number, args, kwargs) if kwargs else (number, args)
    else:
        call = (CALL, fn, args, kwargs)
    return number, dumps(call, hidden_main=functions.hidden_main)
