"""What the rows have called, found by name in other processes; and how it tells."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import contextvars
import decimal
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastflow

LONGEST = 15.0  # seconds; whatever waits longer was forgotten
_TICK = 0.002


class Scratch:
    """A directory that calls write into, in whichever process they are."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def note(self, what: object = "") -> int:
        """Note that something has happened; return how often that did."""
        line = f"{what}\n"
        with open(f"{self.path}/notes", "ab", buffering=0) as file:
            file.write(line.encode())
        return self.notes().count(str(what))

    def notes(self) -> list[str]:
        """Return what was noted, in order."""
        try:
            return Path(f"{self.path}/notes").read_text().splitlines()
        except FileNotFoundError:
            return []

    def until(self, what: object, count: int = 1) -> None:
        """Wait until something was noted."""
        self._wait(lambda: self.notes().count(str(what)) >= count)

    def hang(self) -> str:
        """Wait until the row lets go."""
        self._wait(lambda: self.released)
        return "late"

    def release(self) -> None:
        """Let go of what hangs."""
        Path(f"{self.path}/released").touch()

    @property
    def released(self) -> bool:
        """Whether the row has let go."""
        return os.path.exists(f"{self.path}/released")

    def _wait(self, over: Callable[[], bool]) -> None:
        end = time.monotonic() + LONGEST
        while not over():
            if time.monotonic() > end:
                raise RuntimeError("nobody let go")
            time.sleep(_TICK)


# Values


def same(value: Any) -> Any:
    """Return what was given."""
    return value


def nothing(_: Any) -> None:
    """Return None."""


def noted(item: tuple[Scratch, Any]) -> Any:
    """Note the value, and return it."""
    scratch, value = item
    scratch.note(value)
    return value


def in_turn(item: tuple[Scratch, int]) -> int:
    """End after the call of the next higher number, if that is not the last."""
    scratch, number = item
    if number % 2 == 0:
        scratch.until(number + 1)
    scratch.note(number)
    return number


def takes(item: tuple[float, int]) -> str:
    """Take some seconds."""
    time.sleep(item[0])
    return "well"


async def awaited(value: Any) -> Any:
    """Be a coroutine function."""
    await asyncio.sleep(0)
    return value


def coroutine_of(value: Any) -> Any:
    """Be a plain function that returns a coroutine."""
    return awaited(value)


# Hanging


def hang_if(item: tuple[Scratch, bool, int]) -> str:
    """Hang, or not; the number makes calls differ."""
    scratch, hangs, _ = item
    if not hangs:
        return "well"
    scratch.note("begun")
    return scratch.hang()


def hang_first(scratch: Scratch) -> str:
    """Hang at the first attempt, whose result comes in the middle of the second."""
    if scratch.note("attempt") == 1:
        value = scratch.hang()
        scratch.note("late")
        return value
    scratch.release()
    scratch.until("late")
    return "second"


# Errors


class Custom(Exception):
    """An exception with a constructor of its own."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Hostile(Exception):
    """An exception that can't be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Unpicklable:
    """A value that can't travel."""

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle this")


class UnpicklableError(Exception):
    """An exception that can't travel."""

    def __init__(self) -> None:
        super().__init__("stays here")
        self.value = Unpicklable()


SPECIAL = {
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "GeneratorExit": GeneratorExit,
    "asyncio.CancelledError": asyncio.CancelledError,
    "futures.CancelledError": concurrent.futures.CancelledError,
    "fastflow.Cancelled": fastflow.Cancelled,
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": SystemExit,
}


def fail(name: str) -> None:
    """Raise an exception by its name."""
    kind = SPECIAL.get(name) or getattr(builtins, name)
    raise kind("special")


def fail_if(item: tuple[str, Any]) -> Any:
    """Raise the exception of a name, or return the value."""
    name, value = item
    if name:
        fail(name)
    return value


def fail_noted(item: tuple[Scratch, str]) -> None:
    """Note the call and fail."""
    scratch, name = item
    scratch.note("call")
    fail(name)


def fail_at_first(item: tuple[Scratch, int]) -> str:
    """Fail so many times, then return how many calls it took."""
    scratch, times = item
    count = scratch.note("call")
    if count <= times:
        raise ValueError(f"call {count}")
    return f"call {count}"


def fail_with_notes(_: Any) -> None:
    """Raise an error that has a cause and a note."""
    try:
        raise KeyError("the cause")
    except KeyError as cause:
        error = ValueError("the error")
        error.add_note("the user's note")
        raise error from cause


def fail_custom(_: Any) -> None:
    """Raise an exception whose constructor does not take its args."""
    raise Custom(7, detail="seven")


def fail_hostile(_: Any) -> None:
    """Raise an exception that can't be shown."""
    raise Hostile


def unpicklable_result(bad: bool) -> Any:
    """Return what can't travel, or not."""
    return Unpicklable() if bad else "well"


def unpicklable_error(bad: bool) -> str:
    """Raise what can't travel, or not."""
    if bad:
        raise UnpicklableError
    return "well"


def is_there(value: Any) -> str:
    """Be content with any argument."""
    return "there" if isinstance(value, Unpicklable) else "well"


# Surroundings

VARIABLE = contextvars.ContextVar("variable", default="default")


def variable(_: Any) -> str:
    """Return the variable's value and set another."""
    found = VARIABLE.get()
    VARIABLE.set("set by a task")
    return found


def precision(_: Any) -> int:
    """Return the precision of decimals and set another."""
    found = decimal.getcontext().prec
    decimal.getcontext().prec = 3
    return found


# Tasks with retries of their own


def fail_once(scratch: Scratch) -> str:
    """Fail at the first call."""
    return fail_at_first((scratch, 1))


def retried(fn: Callable[..., Any]) -> Any:
    """Return a task with retries of its own."""
    options = {"retries": 1, "retry_delay": 0.05, "jitter": 0}
    return fastflow.TaskRegistry().task(name="retried_task", **options)(fn)


@retried
def retried_task(scratch: Scratch) -> str:
    """Fail at the first call."""
    return fail_once(scratch)
