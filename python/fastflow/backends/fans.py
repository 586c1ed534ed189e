"""What `map` and its relatives do on executors that are not ours; see `fan`."""

from __future__ import annotations

import concurrent.futures as cf
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from fastflow.backends.choose import place_of
from fastflow.backends.fan import Columns, Fan, Rows, note_number, raised
from fastflow.base import recorders
from fastflow.base.progress import Monitor, Progress
from fastflow.run.items import Manner, OneItem, Part
from fastflow.run.remote import Failure

__all__ = ["collect", "stream"]


def collect(
    executor: cf.Executor,
    fn: Callable[..., Any],
    columns: tuple[Any, ...],
    *,
    star: bool,
    keep: bool,
    return_exceptions: bool,
    chunksize: int | None,
    max_workers: int | None,
    seconds: float | None,
    progress: Progress,
) -> list[Any]:
    """Call a function for all items; return the results in order, if they are kept.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    fn : callable
    columns : tuple of sequences
        The arguments.
    star : bool
        Whether there is one column, of tuples of arguments.
    keep : bool
        Whether results are wanted.
    return_exceptions, chunksize, max_workers, progress
        See `fastflow.map`.
    seconds : float, optional
        For all of it.

    Raises
    ------
    Exception
        That of the failed item with the lowest number.
    TimeoutError
        When the time is over.
    """
    manner = Manner(star, keep, return_exceptions)
    place = place_of(executor)
    if place.maps and (max_workers is None or max_workers >= place.workers):
        return _map(executor, fn, columns, manner, chunksize, seconds, progress)
    most, run = max_workers or 2 * place.workers, recorders.begin_fan(fn)
    source = Columns(columns)
    fan = Fan(place, fn, source, manner, chunksize, most, run)
    error: BaseException | None = None
    try:
        return _collected(fan, fn, source.left, manner, seconds, progress)
    except BaseException as raised_:
        error = raised_
        raise
    finally:
        recorders.end_run(run, error)
        del error


def _collected(
    fan: Fan,
    fn: Callable[..., Any],
    total: int | None,
    manner: Manner,
    seconds: float | None,
    progress: Progress,
) -> list[Any]:
    deadline = None if seconds is None else time.monotonic() + seconds
    parts: list[tuple[int, Part]] = []
    try:
        with Monitor(progress, fan, total, "map"):
            while fan.fill():
                found = fan.next_part(deadline)
                if found is not None and (manner.keep or found[1].failures):
                    parts.append(found)
    finally:
        fan.close()
    parts.sort(key=lambda found: found[0])
    for start, part in parts:
        for position in part.failures:
            error = raised(part, position, fn, "item", start + position)
            if not manner.goes_on or not isinstance(error, Exception):
                raise error
            part.values[position] = error
    return list(chain.from_iterable(part.values for _, part in parts))


class _Found:
    """Results that are there."""

    def __init__(self) -> None:
        self.results: list[Any] = []

    @property
    def done(self) -> int:
        return len(self.results)


def _map(
    executor: cf.Executor,
    fn: Callable[..., Any],
    columns: tuple[Any, ...],
    manner: Manner,
    chunksize: int | None,
    seconds: float | None,
    progress: Progress,
) -> list[Any]:
    """Let an executor that sizes chunks itself do it."""
    call = fn if manner == Manner() else OneItem(fn, manner)
    found = _Found()
    results = executor.map(call, *columns, timeout=seconds, chunksize=chunksize)  # type: ignore[arg-type]
    total = min(map(len, columns))
    with Monitor(progress, found, total, "map"):
        try:
            found.results.extend(results)
        except Exception as error:
            if not isinstance(error, TimeoutError) or error.__cause__ is not None:
                note_number(error, fn, "item", len(found.results))
            raise
    if not manner.keep:
        return []
    if not manner.goes_on:
        return found.results
    return [
        note_number(value.error(), fn, "item", number)
        if type(value) is Failure
        else value
        for number, value in enumerate(found.results)
    ]


def stream(
    executor: cf.Executor,
    fn: Callable[..., Any],
    iterators: tuple[Iterator[Any], ...],
    *,
    buffersize: int | None,
    ordered: bool,
    max_workers: int | None,
    return_exceptions: bool,
    seconds: float | None,
) -> Stream:
    """Return an iterator over the results; see `fastflow.imap`."""
    place = place_of(executor)
    rows = Rows(iterators)
    most, run = max_workers or 2 * place.workers, recorders.begin_fan(fn)
    fan = Fan(place, fn, rows, Manner(goes_on=True), None, most, run)
    kept = _Kept(fan, rows, buffersize, 4 * place.workers)
    return Stream(_results(kept, fn, ordered, return_exceptions, seconds), fan)


class _Kept:
    """Parts of a stream that wait for their turn."""

    def __init__(
        self, fan: Fan, rows: Rows, buffersize: int | None, chunks: int
    ) -> None:
        self.fan = fan
        self.rows = rows
        self.parts: dict[int, Part] = {}
        self.next = 0
        """The number of the item that is handed out next."""
        self._buffersize = buffersize
        self._chunks = chunks

    def room(self) -> int:
        """Return how many items more may be read."""
        if self._buffersize is not None:
            return self._buffersize - (self.fan.read - self.next)
        few = len(self.parts) + self.fan.under_way < self._chunks
        return self.fan.read + 1 if few else 0  # any number, at the beginning not many

    def take(self, ordered: bool, deadline: float | None) -> tuple[int, Part] | None:
        """Return the part that is next, waiting for it; None: there is none."""
        while True:
            start = self.next
            if not ordered and self.parts:
                start = next(iter(self.parts))
            part = self.parts.pop(start, None)
            if part is not None:
                self.fan.fill(self.room)
                return start, part
            if not self.fan.fill(self.room):
                return None
            found = self.fan.next_part(deadline)
            if found is not None:
                self.parts[found[0]] = found[1]


class Stream:
    """Results as they come; closing it gives up what is under way."""

    def __init__(self, results: Iterator[Any], fan: Fan) -> None:
        self._results = results
        self._fan = fan

    @property
    def done(self) -> int:
        """Items that have come back."""
        return self._fan.done

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        result, error = next(self._results)
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Give up what is under way."""
        self._results.close()  # type: ignore[attr-defined]


def _results(
    kept: _Kept,
    fn: object,
    ordered: bool,
    return_exceptions: bool,
    seconds: float | None,
) -> Iterator[tuple[Any, BaseException | None]]:
    """Yield results, or what is to be raised in their place."""
    try:
        while True:
            deadline = None if seconds is None else time.monotonic() + seconds
            try:
                found = kept.take(ordered, deadline)
            except TimeoutError as late:
                yield None, late
                continue
            if found is None:
                break
            start, part = found
            for position, value in enumerate(part.values):
                kept.next += 1
                if position not in part.failures:
                    yield value, None
                    continue
                error = raised(part, position, fn, "item of", start + position)
                if return_exceptions and isinstance(error, Exception):
                    yield error, None
                else:
                    yield None, error
        if kept.rows.error is not None:
            yield None, kept.rows.error
    finally:
        kept.fan.close()
