"""`map` and its relatives on executors that are not ours: consecutive items together.

What a call takes is not known before some have come back; then as many leave together
as should take the time of a chunk, and fewer towards the end, so that all workers end
at about the same time.  A chunk that takes much longer comes back early, and its other
items leave again, first.  Only a few chunks are under way: one for each worker, and one
that is there next.

All is done by the thread that calls; futures that are done are put into a queue by
whoever sets them.
"""

from __future__ import annotations

import concurrent.futures as cf
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from fastflow.base import recorders
from fastflow.base.recorders import Noted
from fastflow.errors import add_note
from fastflow.run.clocks import CLOCKS
from fastflow.run.items import Manner, Part, run_items
from fastflow.run.job_spans import lane_of
from fastflow.run.remote import explained

__all__ = ["Columns", "Fan", "Place", "Rows", "note_number", "raised"]

_FIRST = 16  # items, as long as nothing is known of the time they take
_MOST = 1 << 16  # items in a chunk
_LATE = 2.0  # times what a chunk should take: then it comes back


class Place(NamedTuple):
    """An executor, as a fan-out uses it."""

    submit: Callable[..., cf.Future[Any]]
    workers: int
    seconds: float
    """That a chunk should take; the more, the longer its way."""
    maps: bool = False
    """Whether its own `map` sizes chunks by measured time."""


class Source(Protocol):
    """Where items come from."""

    left: int | None
    """How many there are still; None: that is not known."""

    def take(self, count: int) -> tuple[Any, ...]:
        """Return the next items, as columns; without any, there are none."""


class Columns:
    """Items that are there.

    Parameters
    ----------
    columns : tuple of sequences
    """

    def __init__(self, columns: tuple[Any, ...]) -> None:
        self._columns = columns
        self._next = 0
        self.left: int | None = min(map(len, columns))

    def take(self, count: int) -> tuple[Any, ...]:
        """See `Source`."""
        assert self.left is not None
        start, count = self._next, min(count, self.left)
        self._next += count
        self.left -= count
        return tuple(column[start : start + count] for column in self._columns)


class Rows:
    """Items that are read when they are needed.

    Parameters
    ----------
    iterators : tuple of iterators
        The shortest ends them all.
    """

    def __init__(self, iterators: tuple[Iterator[Any], ...]) -> None:
        self._rows = zip(*iterators, strict=False)
        self.left: int | None = None
        self.error: BaseException | None = None
        """What reading has raised; what was read before it is taken first."""

    def take(self, count: int) -> tuple[Any, ...]:
        """See `Source`."""
        rows: list[Any] = []
        try:
            while len(rows) < count:
                rows.append(next(self._rows))
        except StopIteration:
            self.left = 0
        except BaseException as error:
            self.left = 0
            self.error = error
        return tuple(map(list, zip(*rows, strict=True)))


class _Chunk:
    """Items under way."""

    __slots__ = ("columns", "sent", "start")

    def __init__(self, start: int, columns: tuple[Any, ...]) -> None:
        self.start = start
        self.columns = columns
        self.sent = 0.0

    def __len__(self) -> int:
        return len(self.columns[0])

    def rest(self, count: int) -> _Chunk:
        """Return what comes after some items."""
        columns = tuple(column[count:] for column in self.columns)
        return _Chunk(self.start + count, columns)


class Fan:
    """The items of one call.

    Parameters
    ----------
    place : Place
    fn : callable
    source : Source
    manner : Manner
    chunksize : int, optional
        Items in a chunk; None: by measured time.
    most : int
        Chunks under way.
    run : int
        Its number, if it is recorded.

    Attributes
    ----------
    done : int
        Items that have come back.
    read : int
        Items that were read.
    """

    def __init__(
        self,
        place: Place,
        fn: Callable[..., Any],
        source: Source,
        manner: Manner,
        chunksize: int | None,
        most: int,
        run: int = 0,
    ) -> None:
        self._run = run
        self._place = place
        self._fn = fn
        self._source = source
        self._manner = manner
        self._chunksize = chunksize
        self._most = most
        self._back: deque[_Chunk] = deque()  # they leave again, first
        self.read = 0
        self._seconds = 0.0  # that an item takes; 0: not known
        self._largest = _FIRST
        self._under_way: dict[cf.Future[Any], _Chunk] = {}
        self._ended: queue.SimpleQueue[cf.Future[Any]] = queue.SimpleQueue()
        self._failed_at: int | None = None
        self.done = 0

    def fill(self, room: Callable[[], int] | None = None) -> bool:
        """Send what may leave; returns whether anything is under way.

        Parameters
        ----------
        room : callable, optional
            Returns how many items more may be read.
        """
        while len(self._under_way) < self._most:
            chunk = self._next_chunk(room)
            if chunk is None:
                break
            self._send(chunk)
        return bool(self._under_way)

    @property
    def under_way(self) -> int:
        """How many chunks are under way."""
        return len(self._under_way)

    def close(self) -> None:
        """Give up what is under way."""
        for future in list(self._under_way):
            future.cancel()

    def _next_chunk(self, room: Callable[[], int] | None) -> _Chunk | None:
        if self._back:
            return self._back.popleft()
        if self._failed_at is not None or self._source.left == 0:
            return None
        size = self._size()
        if room is not None:
            size = min(size, room())
            if size <= 0:
                return None
        columns = self._source.take(size)
        if not columns or not len(columns[0]):
            return None
        chunk = _Chunk(self.read, columns)
        self.read += len(chunk)
        return chunk

    def _size(self) -> int:
        if self._chunksize is not None:
            return self._chunksize
        left, workers = self._source.left, self._place.workers
        if not self._seconds:
            return 1 if left is None else max(min(left // (4 * workers), _FIRST), 1)
        size = int(self._place.seconds / self._seconds)
        if left is not None:
            size = min(size, left // (2 * workers) + 1)
        self._largest = min(4 * self._largest, _MOST)
        return max(min(size, self._largest), 1)

    def _send(self, chunk: _Chunk) -> None:
        seconds = _LATE * self._place.seconds if self._chunksize is None else 1e9
        chunk.sent = time.perf_counter()
        future = self._place.submit(
            run_items, self._fn, chunk.columns, self._manner, seconds
        )
        self._under_way[future] = chunk
        future.add_done_callback(self._ended.put)

    def next_part(self, deadline: float | None) -> tuple[int, Part] | None:
        """Wait for what comes first: the number of its first item, and the part.

        None: it was given up.

        Raises
        ------
        TimeoutError
            At the deadline, by ``time.monotonic``.
        Exception
            What has kept the executor from making the calls.
        """
        wait = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        try:
            future = self._ended.get(timeout=wait)
        except queue.Empty:
            raise TimeoutError from None
        chunk = self._under_way.pop(future)
        if future.cancelled():
            return None
        error = future.exception()
        if error is not None:
            raise explained(error)
        part: Part = future.result()
        self._note(chunk, part)
        return chunk.start, part

    def _note(self, chunk: _Chunk, part: Part) -> None:
        self.done += part.number
        if self._run:
            recorders.tell([self._span(chunk, part)])
        # Behind others it has waited for them: so a third of that.
        way = (time.perf_counter() - chunk.sent) / 3
        each = max(part.seconds, way, 1e-9) / part.number
        self._seconds = (self._seconds + each) / 2 if self._seconds else each
        if part.failures and not self._manner.goes_on:
            self._stop(chunk.start + part.number - 1)
        elif part.number < len(chunk):
            self._back.append(chunk.rest(part.number))

    def _span(self, chunk: _Chunk, part: Part) -> Noted:
        """Return what those who record are told of a chunk."""
        start = CLOCKS.start(
            part.place.machine, part.began, part.seconds, chunk.sent,
            time.perf_counter(),
        )  # fmt: skip
        lane = lane_of(CLOCKS.name(part.place))
        failure = 0
        if part.failures:
            failure = recorders.failure_of(part.failures[min(part.failures)].error())
        return Noted(
            recorders.name_of(self._fn), round(start * 1e9),
            round((start + part.seconds) * 1e9), lane, chunk.start, self._run,
            state=1 if failure else 0, failure=failure, ready=round(chunk.sent * 1e9),
        )  # fmt: skip

    def _stop(self, number: int) -> None:
        """Let no item begin any more that comes after a failed one."""
        if self._failed_at is None or number < self._failed_at:
            self._failed_at = number
        kept = [chunk for chunk in self._back if chunk.start < number]
        self._back = deque(kept)
        for future, chunk in list(self._under_way.items()):
            if chunk.start > number:
                future.cancel()


def note_number(
    error: BaseException, fn: object, kind: str, number: int
) -> BaseException:
    """Return what an item has raised, with a note that says which it was."""
    if isinstance(error, Exception) and not getattr(error, "__notes__", None):
        name = getattr(fn, "__name__", type(fn).__name__)
        add_note(error, f"{kind} {name!r} #{number}")
    return error


def raised(
    part: Part, position: int, fn: object, kind: str, number: int
) -> BaseException:
    """Return what an item of a part has raised; see `note_number`."""
    return note_number(part.failures[position].error(), fn, kind, number)
