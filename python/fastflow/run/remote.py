"""What runs in another process, and how it comes back.

What a call raises comes back as a value, so whatever an executor's future raises is the
executor's own trouble: it is broken or shut down, or what it was given can't travel.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import time
import traceback
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

from fastflow import _core
from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.errors import add_note, portable, text_of
from fastflow.pool.blas import limited, look_again
from fastflow.processes.packing import Numbered
from fastflow.processes.place import tell_begun
from fastflow.run.clocks import CLOCKS, Where
from fastflow.run.task import task_of

__all__ = [
    "Failure",
    "OneCall",
    "Outcome",
    "Packing",
    "Returned",
    "Run",
    "attempt_task",
    "explained",
    "opened",
    "packed",
    "process_id",
    "run_chunk",
    "run_one",
]

Run = Callable[..., Any]
"""A function of a module: ``run(fn, *arguments)`` makes one attempt."""

_MOST = 50  # errors of one chain of causes


class Outcome(NamedTuple):
    """What came of one call."""

    value: Any
    failure: Failure | None
    began: float
    """By ``time.perf_counter`` there."""
    seconds: float
    process: int
    where: Where | None = None
    """None: as its chunk says, else in a process of this machine."""

    def seen_here(
        self, sent: float, where: Where | None = None
    ) -> tuple[float, float, str | int]:
        """Return when it began and ended by ``time.perf_counter`` here, and where.

        Parameters
        ----------
        sent : float
            When the call left, by the same clock: it did not begin before.
        where : Where, optional
            What its chunk says.
        """
        where = self.where or where
        if where is None:
            name: str | int = f"process {self.process}"
            return self.began, self.began + self.seconds, name
        start = CLOCKS.start(
            where.machine, self.began, self.seconds, sent, time.perf_counter()
        )
        return start, start + self.seconds, CLOCKS.name(where)


class Returned(NamedTuple):
    """What came of a chunk: the outcomes of its first calls, packed."""

    outcomes: list[bytes]
    seconds: float
    """That these took together."""
    where: Where | None = None
    kept: Any = None
    """Where the value of the last of them is, if it did not come along."""


class Failure:
    """An exception on its way: itself, what it was caused by, and where it was raised.

    Pickled by itself an exception loses its cause, its context and its traceback.

    Parameters
    ----------
    error : BaseException
    """

    __slots__ = ("_errors", "_links", "_suppressed", "_trace")

    def __init__(self, error: BaseException) -> None:
        self._trace = "".join(traceback.format_exception(error))
        errors = [error]
        self._links: list[tuple[int, str, int]] = []
        for number, each in enumerate(errors):  # grows while it is read
            for name in ("__cause__", "__context__"):
                other = getattr(each, name)
                if other is not None and len(errors) < _MOST:
                    self._links.append((number, name, _index(other, errors)))
        self._suppressed = [each.__suppress_context__ for each in errors]
        self._errors = [packed(portable(each)) for each in errors]

    def error(self) -> BaseException:
        """Return the exception as it was, with the traceback's text as first cause."""
        error = _loaded(self._errors[0])
        errors = [error, *map(_loaded_cause, self._errors[1:])]
        for number, name, other in self._links:
            each = errors[number]
            # One that sees to its cause itself has it by now.
            if each is not None and getattr(each, name) is None:
                setattr(each, name, errors[other])
        for each, suppressed in zip(errors, self._suppressed, strict=True):
            if each is not None:
                each.__suppress_context__ = suppressed
        first = error
        for _ in range(_MOST):
            if first.__cause__ is None:
                first.__cause__ = RemoteTraceback(self._trace)
                break
            first = first.__cause__
        return error


def _index(error: BaseException, errors: list[BaseException]) -> int:
    """Return where an error is among others; add it if need be."""
    for number, each in enumerate(errors):
        if each is error:
            return number
    errors.append(error)
    return len(errors) - 1


def _loaded(data: bytes) -> BaseException:
    try:
        error = pickle.loads(data)
    except Exception as failed:
        return failed
    assert isinstance(error, BaseException)  # `portable` has tried
    return error


def _loaded_cause(data: bytes) -> BaseException | None:
    try:
        return pickle.loads(data)  # type: ignore[no-any-return]
    except Exception:  # the one that it has caused comes without
        return None


class RemoteTraceback(Exception):  # noqa: N818  (shown as the cause of an error)
    """Where an exception was raised in the other process."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def packed(value: object) -> bytes:
    """Return a value as it travels between processes."""
    return bytes(ForkingPickler.dumps(value))


_PICKLING = (
    "In other processes functions are found by their name, so they must be functions "
    "of a module; their arguments and results are pickled (of a generator return a "
    "list)."
)


def explained(error: BaseException) -> BaseException:
    """Return an error, with what helps against it."""
    if isinstance(error, pickle.PicklingError) or (
        isinstance(error, TypeError | AttributeError) and "pickle" in text_of(error)
    ):
        add_note(error, _PICKLING)
    return error


def opened(data: bytes) -> Outcome:
    """Return what came of one call of a chunk."""
    try:
        return pickle.loads(data)  # type: ignore[no-any-return]
    except Exception as error:
        return Outcome(None, Failure(error), 0.0, 0.0, 0)


# In the other process.


def attempt_task(
    reference: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Make one attempt at a task, which travels as the function it decorates."""
    return task_of(reference, "task").attempt(args, kwargs)


def process_id(function: bytes) -> int:
    """Say that a process is there, once it has the modules that a function needs."""
    if function:
        with contextlib.suppress(Exception):  # its calls will tell
            pickle.loads(function)
    return os.getpid()


class Packing:
    """How calls are unpacked where they are made, and outcomes packed."""

    full = False
    """Whether no more is to come along."""

    def load(self, call: bytes) -> tuple[Any, ...]:
        """Return the arguments of a call."""
        return pickle.loads(call)  # type: ignore[no-any-return]

    def dump(self, outcome: Outcome) -> bytes:
        """Return an outcome as it travels."""
        return packed(outcome)


_PLAIN = Packing()


def run_chunk(
    function: bytes,
    calls: list[bytes],
    seconds: float,
    size: int,
    threads: int | None = None,
    packing: Packing = _PLAIN,
) -> Returned:
    """Make calls one after another, until their time or their results are over.

    Parameters
    ----------
    function : bytes
        `Run` and what it runs, packed.
    calls : list of bytes
        Tuples of arguments, each packed by itself: one that can't be unpacked, or whose
        result can't be packed, leaves its neighbours alone.
    seconds, size : float, int
        Of the calls and of their results; the first call is made in any case.
    threads : int, optional
        Of BLAS, that these calls may use.
    packing : Packing
    """
    outcomes: list[bytes] = []
    passed, start = 0.0, time.perf_counter()
    with limited(threads):
        try:
            run, fn = pickle.loads(function)
        except BaseException as error:  # of its module
            failed = packed(_failed(error, start))
            return Returned([failed] * len(calls), passed, Where.here())
        for call in calls:
            outcome, ends = _run_packed(run, fn, call, packing)
            outcomes.append(outcome)
            size -= len(outcome)
            passed = time.perf_counter() - start
            if ends or size < 0 or passed > seconds or packing.full:
                break
    return Returned(outcomes, passed, Where.here())


def _run_packed(
    run: Run, fn: Callable[..., Any], call: bytes, packing: Packing
) -> tuple[bytes, bool]:
    """Return what came of a call, and whether it was meant to end the program."""
    start = time.perf_counter()
    try:
        arguments = packing.load(call)
        look_again()  # arrays bring their library with them
        start = time.perf_counter()
        value = _core.task_context().run(run, fn, *arguments)
        seconds = time.perf_counter() - start
        return packing.dump(Outcome(value, None, start, seconds, os.getpid())), False
    except BaseException as error:
        failed = _failed(error, start)
        return packed(failed), isinstance(error, ENDS_PROGRAM)


def _failed(error: BaseException, start: float, where: Where | None = None) -> Outcome:
    seconds = time.perf_counter() - start
    return Outcome(None, Failure(error), start, seconds, os.getpid(), where)


def run_one(
    run: Run,
    fn: Callable[..., Any],
    arguments: tuple[Any, ...],
    key: str,
    threads: int | None = None,
) -> Outcome:
    """Make one call, whose parts are pickled by the executor in its own way.

    Parameters
    ----------
    key : str
        Tells equal calls apart; empty: they are, and this machine's.
    """
    where = Where.here() if key else None
    start = time.perf_counter()
    try:
        with limited(threads):
            value = _core.task_context().run(run, fn, *arguments)
    except BaseException as error:
        return _failed(error, start, where)
    seconds = time.perf_counter() - start
    return Outcome(value, None, start, seconds, os.getpid(), where)


class OneCall(Numbered):
    """A function that is called in our processes: what travels is the arguments.

    Parameters
    ----------
    run : Run
    fn : callable
    tells : bool
        Whether whoever has sent a call is to hear when it begins.
    """

    def __init__(self, run: Run, fn: Callable[..., Any], *, tells: bool) -> None:
        self._run = run
        self._fn = fn
        self._tells = tells
        self.__module__ = getattr(fn, "__module__", None) or type(fn).__module__
        self.__qualname__ = getattr(fn, "__qualname__", type(fn).__name__)

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        """Make one call; returns what makes an `Outcome`."""
        if self._tells:
            tell_begun()
        return tuple(run_one(self._run, self._fn, arguments, ""))
