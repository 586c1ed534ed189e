"""How calls travel to other processes: together, or one by one."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import itertools
import os
from typing import Any, Protocol

from fastflow.backends.lanes import Lane
from fastflow.run.clocks import Where
from fastflow.run.kept import here
from fastflow.run.remote import (
    Outcome,
    Returned,
    opened,
    packed,
    process_id,
    run_chunk,
    run_one,
)

__all__ = ["BYTES", "MANY", "Alone", "Together", "Travel"]

MANY = 4096
"""Calls in one chunk, at most."""
BYTES = 1 << 20
"""Of arguments, or of results, in one chunk, about."""
_OVERDUE = 0.2  # seconds; twice what a chunk should take: then it comes back
_NO_LIMIT = 1 << 62


class Travel(Protocol):
    """How calls travel."""

    most: int
    """So many together at most."""

    def pack(self, lane: Lane, arguments: tuple[Any, ...]) -> Any:
        """Return a call's arguments as `submit` takes them."""

    def submit(self, lane: Lane, calls: list[Any], *, alone: bool) -> cf.Future[Any]:
        """Give calls to the executor."""

    def ask(self, lane: Lane) -> cf.Future[int]:
        """Ask whether a process is there that has what a lane's calls need."""

    def opened(self, result: Any) -> tuple[list[Outcome], float, Where | None]:
        """Return outcomes of the first calls, the seconds these took together, where.

        The latter is None if the outcomes say it.
        """


class Together:
    """Several calls in one, each packed by itself.

    So one that can't be pickled, either way, fails alone, and what the executor is
    given can always be.

    Parameters
    ----------
    threads : int, optional
        Of BLAS, that each process may use.
    most : int
    """

    def __init__(self, threads: int | None = None, most: int = MANY) -> None:
        self._threads = threads
        self.most = most

    def pack(self, lane: Lane, arguments: tuple[Any, ...]) -> bytes:
        """See `Travel`."""
        self._pack_function(lane)
        return packed(arguments)

    def _pack_function(self, lane: Lane) -> None:
        if lane.packed is None:
            lane.packed = packed((lane.run, lane.fn))

    def submit(self, lane: Lane, calls: list[bytes], *, alone: bool) -> cf.Future[Any]:
        """See `Travel`."""
        seconds, size = self.limits(alone=alone)
        return lane.submit(run_chunk, lane.packed, calls, seconds, size, self._threads)

    def limits(self, *, alone: bool) -> tuple[float, int]:
        """Return seconds and bytes of results after which a chunk comes back."""
        return (_NO_LIMIT, _NO_LIMIT) if alone else (_OVERDUE, BYTES)

    def ask(self, lane: Lane) -> cf.Future[int]:
        """See `Travel`."""
        with contextlib.suppress(Exception):  # the calls will tell
            self._pack_function(lane)
        return lane.submit(process_id, lane.packed or b"")

    def opened(self, result: Returned) -> tuple[list[Outcome], float, Where | None]:
        """See `Travel`."""
        outcomes = [opened(outcome) for outcome in result.outcomes]
        return outcomes, result.seconds, result.where


class Alone:
    """One call in one, which the executor pickles in its own way.

    Some can do more than ``pickle``.  To some, equal calls are one; so each has a key.
    """

    most = 1

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        self._numbers = itertools.count()

    def pack(self, lane: Lane, arguments: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ARG002
        """See `Travel`; it may be given the objects themselves."""
        return here(arguments)  # type: ignore[no-any-return]

    def submit(
        self,
        lane: Lane,
        calls: list[tuple[Any, ...]],
        *,
        alone: bool,  # noqa: ARG002  (all are)
    ) -> cf.Future[Any]:
        """See `Travel`."""
        (arguments,) = calls
        key = f"{self._prefix}-{next(self._numbers)}"
        return lane.submit(run_one, lane.run, lane.fn, arguments, key)

    def ask(self, lane: Lane) -> cf.Future[int]:
        """See `Travel`."""
        return lane.submit(process_id, b"")

    def opened(self, result: Outcome) -> tuple[list[Outcome], float, Where | None]:
        """See `Travel`."""
        return [result], result.seconds, None
