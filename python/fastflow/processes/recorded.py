"""Calls in other processes that are timed there, for those who record."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from fastflow import errors
from fastflow.base import recorders
from fastflow.base.recorders import Noted
from fastflow.processes.future import ProcessFuture
from fastflow.processes.packing import Numbered
from fastflow.processes.remote_traceback import with_traceback

__all__ = ["RecordedFuture", "Timed", "is_told_by_nobody", "note_call", "timed"]

T = TypeVar("T")

_CALL, _SEND = 0, 5  # kinds, and states, of seeing.trace
_DONE, _FAILED = 0, 1


class Timed:
    """A function that is called in our processes, and returns when that was, too."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = fn
        self.__module__ = getattr(fn, "__module__", None) or type(fn).__module__
        self.__qualname__ = getattr(fn, "__qualname__", type(fn).__name__)

    def __call__(
        self, *args: Any, **kwargs: Any
    ) -> tuple[float, float, int, Any, BaseException | None, str]:
        """Return when it began and ended, the process, the value; error and traceback.

        Times are those of ``time.perf_counter``: all processes of a machine have it.
        """
        began = time.perf_counter()
        try:
            value = self._fn(*args, **kwargs)
        except Exception as error:
            ended = time.perf_counter()
            text = "".join(traceback.format_exception(error))
            return began, ended, os.getpid(), None, errors.portable(error), text
        return began, time.perf_counter(), os.getpid(), value, None, ""


class _TimedFunction(Timed, Numbered):
    """The same of a plain function: it is pickled once."""


def is_told_by_nobody(fn: Callable[..., Any]) -> bool:
    """Return whether a call is the user's own: others are told by who sends them."""
    module = getattr(fn, "__module__", None) or ""
    return not isinstance(fn, Numbered) and not module.startswith("fastflow.")


def timed(
    fn: Callable[..., Any], known: dict[Callable[..., Any], Timed]
) -> Callable[..., Any]:
    """Return a function timed; the same object for the same plain function."""
    if type(fn) is not FunctionType:
        return Timed(fn)
    found = known.get(fn)
    if found is None:
        found = known[fn] = _TimedFunction(fn)
    return found


class RecordedFuture(ProcessFuture[T]):
    """The future of a timed call."""

    __slots__ = ("_name", "_sent")

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__()
        self._name = recorders.name_of(fn)
        self._sent = recorders.now()

    def set_result(self, result: Any) -> None:
        """Take what a `Timed` has returned."""
        began, ended, process, value, error, text = result
        if error is not None:
            error = with_traceback(error, text)
        note_call(self._name, began, ended, process, self._sent, error=error)
        if error is None:
            super().set_result(value)
        else:
            super().set_exception(error)


def note_call(
    name: str,
    began: float,
    ended: float,
    process: int,
    sent: int = -1,
    *,
    item: int = -1,
    run: int = 0,
    error: BaseException | None = None,
) -> None:
    """Tell of a call, or a chunk of them, that is back from another process."""
    start, end, now = round(began * 1e9), round(ended * 1e9), recorders.now()
    failure = 0 if error is None else recorders.failure_of(error)
    lane = f"process {process}", "process", process
    state = _DONE if error is None else _FAILED
    recorders.tell(
        [
            Noted(
                name, start, end, lane, item, run, 1, _CALL, state, failure, sent
            ),
            Noted(
                name, end, max(now, end), ("answers", "waits", os.getpid()), item, run,
                kind=_SEND,
            ),
        ]
    )  # fmt: skip
