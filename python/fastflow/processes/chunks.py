"""`map` over processes: consecutive items travel together, as many as time tells."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, InvalidStateError
from itertools import chain, repeat
from typing import Any, NamedTuple, Protocol

from fastflow.pool.future import Future
from fastflow.processes.buffers import Packed, Shared
from fastflow.processes.messages import CHUNK, read_note
from fastflow.processes.packing import NUMBERLESS, Packer
from fastflow.processes.recorded import note_call
from fastflow.processes.undisturbed import is_stray

__all__ = ["Chunk", "MapRun", "Recorded"]

_SECONDS = 0.003
"""That a chunk should take, about."""
_LEAST_SECONDS = 0.0001
"""What takes less is not divided: it would take longer to send."""
_FIRST = 64  # items at most, as long as nothing is known of the time they take
_MOST = 1 << 15  # items
_AHEAD = 3  # chunks that a worker has, at least
_AHEAD_SECONDS = 0.004
_MOST_AHEAD = 256


class _Waiter(Protocol):
    def wait_for(self, future: Future[Any], seconds: float | None) -> None:
        """Wait until a future is done, or the time is over."""


class Recorded(NamedTuple):
    """What who records is told of a map."""

    name: str
    run: int
    """Its number."""
    failure_in: Callable[[list[Any]], BaseException | None] | None
    """Finds what an item has raised among values, where that is returned."""


class Chunk:
    """Consecutive items of a map; to the desk a call like others."""

    __slots__ = ("run", "start", "stop")

    def __init__(self, run: MapRun, start: int, stop: int) -> None:
        self.run = run
        self.start = start
        self.stop = stop

    def set_result(self, answer: tuple[float, float, int, list[Any]]) -> None:
        """Take the values of the items."""
        began, ended, process, values = answer
        self.run.time_of(len(values), ended - began)
        recorded = self.run.recorded
        if recorded is not None:
            found = recorded.failure_in
            self._tell(began, ended, process, None if found is None else found(values))
        self.run.deliver(self.start, values, None)

    def set_exception(self, error: BaseException) -> None:
        """Take why there are no values."""
        self.run.deliver(self.start, [], error)

    def set_partial(
        self,
        values: list[Any],
        error: BaseException,
        began: float,
        ended: float,
        process: int,
    ) -> None:
        """Take the values of the first items, and what the next has raised."""
        if self.run.recorded is not None:
            self._tell(began, ended, process, error)
        self.run.deliver(self.start, values, error)

    def _tell(
        self, began: float, ended: float, process: int, error: BaseException | None
    ) -> None:
        """Tell who records; a chunk is one span, with the number of its first item."""
        assert self.run.recorded is not None
        name, run = self.run.recorded[:2]
        note_call(name, began, ended, process, item=self.start, run=run, error=error)

    def cancel(self) -> None:
        """Note that it is not made."""
        self.run.deliver(self.start, [], CancelledError())

    def give_back(self, note: bytes) -> tuple[Chunk, int, bytes | Packed, int] | None:
        """Return the last items as a chunk of their own, for the desk to put in place.

        None if they can't be pickled, which is told.

        Returns
        -------
        Chunk
        int
            The number of its function.
        message
        int
            Where this chunk ends when the other one is there.
        """
        (count,) = read_note(note)
        start = self.stop - count
        try:
            message = self.run.pack(start, self.stop)
        except Exception as error:  # no signal handler's: the main thread leaves this
            self.run.deliver(start, [], error)
            return None
        return Chunk(self.run, start, self.stop), self.run.number, message, start


class MapRun:
    """One call of `map`.

    Parameters
    ----------
    waiter
        Who waits for futures.
    packer : Packer
    fn : callable
    columns : tuple of sequences
        The arguments, of the same length `n`.
    n : int
    chunksize : int, optional
        Items in a chunk; None: by measured time.
    workers : int
    """

    def __init__(
        self,
        waiter: _Waiter,
        packer: Packer,
        fn: Callable[..., Any],
        columns: tuple[Any, ...],
        n: int,
        chunksize: int | None,
        workers: int,
    ) -> None:
        self._waiter = waiter
        self._packer = packer
        self._shares: dict[int, Shared] = {}  # so that each array is sent once
        self.number = packer.number_of(fn)
        self._fn = fn if self.number == NUMBERLESS else self.number
        self._columns = columns
        self._n = n
        self._chunksize = chunksize
        self._workers = workers
        self.next = 0
        """The first item that has no chunk. The desk moves it with a chunk's place."""
        # Per item; of a function that was mapped before, as it was then.
        self._seconds: float | None = packer.seconds.get(self.number)
        self._results: dict[int, tuple[list[Any], BaseException | None]] = {}
        self._awaited = -1
        self._bell: Future[None] | None = None
        self._over = False
        self._parts: weakref.ref[_Parts] | None = None
        self.recorded: Recorded | None = None

    @property
    def stopped(self) -> bool:
        """Whether nobody wants the results any more."""
        return self._over or (self._parts is not None and self._parts() is None)

    def stop(self) -> None:
        """Note that nobody wants the results any more."""
        self._over = True

    def pack(self, start: int, stop: int) -> bytes | Packed:
        """Return the message for some items."""
        columns = tuple(column[start:stop] for column in self._columns)
        message = self._packer.message((CHUNK, self._fn, columns))
        if type(message) is Packed and self.number == NUMBERLESS:
            for share in message.shares:
                self._shares[share.inode] = share
        return message

    def next_chunk(self) -> tuple[Chunk, int, bytes | Packed, int, bool] | None:
        """Return the next items, for the desk to put in place.

        None if there are no more, or if they can't be pickled, which is told.

        Returns
        -------
        Chunk
        int
            The number of its function.
        message
        int
            The item behind it: `next`, once it is in place.
        bool
            Whether it is the last one.
        """
        start = self.next
        if self.stopped or start >= self._n:
            return None
        stop = min(start + self._size(), self._n)
        try:
            message = self.pack(start, stop)
        except Exception as error:
            if is_stray(lambda: self.pack(start, stop)):
                raise
            self.deliver(start, [], error)
            return None
        return Chunk(self, start, stop), self.number, message, stop, stop >= self._n

    def _size(self) -> int:
        if self._chunksize is not None:
            return self._chunksize
        left = self._n - self.next
        fair = left // (2 * self._workers) + 1  # the later, the smaller
        if self._seconds is None:
            return min(max(self._n // (4 * self._workers), 1), _FIRST)
        least = int(_LEAST_SECONDS / self._seconds) + 1
        return min(max(min(int(_SECONDS / self._seconds), fair), least), _MOST)

    def cancel(self) -> None:
        """Note that what has no chunk yet is not made."""
        self.fail(CancelledError())

    def fail(self, error: BaseException) -> None:
        """Note why what has no chunk yet is not made."""
        start, self.next = self.next, self._n
        self.deliver(start, [], error)

    def time_of(self, count: int, seconds: float) -> None:
        """Note how long some items took."""
        if count:
            each = max(seconds / count, 1e-9)
            before = self._seconds
            self._seconds = each if before is None else (before + each) / 2
            if self.number != NUMBERLESS:
                self._packer.seconds[self.number] = self._seconds

    def deliver(
        self, start: int, values: list[Any], error: BaseException | None
    ) -> None:
        """Take values, and what the item after them has raised."""
        self._results[start] = values, error
        bell = self._bell
        # It may have been told before, up to here.
        if bell is not None and start == self._awaited and not bell.done():
            with contextlib.suppress(InvalidStateError):
                bell.set_result(None)

    def results(self, deadline: float | None) -> Iterator[Any]:
        """Return an iterator over the values, in order; each is let go of."""
        parts = _Parts(self, self._n, deadline)
        self._parts = weakref.ref(parts)
        return chain.from_iterable(parts)

    def measures(self) -> tuple[int, int]:
        """Return how many chunks should leave together, and be at a worker."""
        if self._seconds is None:
            return 1, _AHEAD
        each = self._seconds * (self._chunksize or self._size())
        ahead = min(max(int(_AHEAD_SECONDS / each), _AHEAD), _MOST_AHEAD)
        return max(ahead // 8, 1), ahead

    def take(
        self, at: int, deadline: float | None
    ) -> tuple[list[Any], BaseException | None]:
        """Wait for the values from some item on, and what ended them."""
        while True:
            found = self._results.pop(at, None)
            if found is not None:
                return found
            bell: Future[None] = Future()
            self._awaited, self._bell = at, bell
            found = self._results.pop(at, None)  # it came before the bell
            if found is not None:
                return found
            left = None if deadline is None else deadline - time.monotonic()
            self._waiter.wait_for(bell, left)
            if not bell.done() and left is not None:
                raise TimeoutError


class _Parts:
    """Iterators over the values of one chunk after the other.

    Nobody else has it: when it is gone, the results are awaited no more.
    """

    def __init__(self, run: MapRun, n: int, deadline: float | None) -> None:
        self._run = run
        self._n = n
        self._deadline = deadline
        self._at = 0
        self._error: BaseException | None = None

    def __iter__(self) -> _Parts:
        """See `Iterator`."""
        return self

    def __next__(self) -> Iterator[Any]:
        if self._error is not None:
            error, self._error = self._error, None
            self._at = self._n
            self._run.stop()
            try:
                if isinstance(error, StopIteration):  # would end the iterator silently
                    raise RuntimeError("a call has raised StopIteration") from error
                raise error
            finally:
                del error  # its traceback has this frame
        if self._at >= self._n:
            raise StopIteration
        values, self._error = self._run.take(self._at, self._deadline)
        self._at += len(values)
        values.reverse()
        return map(values.pop, repeat(-1, len(values)))
