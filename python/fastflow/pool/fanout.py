"""Fan-out: one function over many items."""

from __future__ import annotations

import concurrent.futures as cf
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from fastflow import _core
from fastflow.base import recorders
from fastflow.base.durations import Time, limit_of
from fastflow.base.options import check_callable, check_limit
from fastflow.base.progress import Monitor, Progress
from fastflow.pool.columns import Column, columns_of
from fastflow.pool.named import elsewhere, engine_of

if TYPE_CHECKING:
    from typing import TypedDict, Unpack

    import numpy as np

    from fastflow.pool.named import Fans

    class _Options(TypedDict, total=False):
        """What all take; see `map`."""

        executor: cf.Executor | str | None
        max_workers: int | None
        timeout: Time | None
        progress: Progress

    class _MapOptions(_Options, total=False):
        chunksize: int | None

    class _StreamOptions(_Options, total=False):
        buffersize: int | None
        ordered: bool


__all__ = ["for_each", "imap", "map", "map_array", "starmap"]

T = TypeVar("T")


@overload
def map(  # noqa: A001
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    return_exceptions: Literal[False] = False,
    **options: Unpack[_MapOptions],
) -> list[T]: ...
@overload
def map(  # noqa: A001
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    return_exceptions: bool,
    **options: Unpack[_MapOptions],
) -> list[T | BaseException]: ...
def map(  # noqa: A001  (the name is the point)
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    executor: cf.Executor | str | None = None,
    max_workers: int | None = None,
    chunksize: int | None = None,
    timeout: Time | None = None,
    return_exceptions: bool = False,
    progress: Progress = None,
) -> list[Any]:
    """Return ``[fn(*items) for items in zip(*iterables)]``, computed in parallel.

    The calling thread takes part in the work (unless the executor has an initializer or
    a `timeout` is given), so a map of tiny calls costs no thread crossing.

    Parameters
    ----------
    fn : callable
        Takes as many arguments as there are iterables.
    *iterables
        Lists, tuples and ranges are used as they are, others are read first.
    executor : Executor or str, optional
        Default: ``default_executor(max_workers)``, also called ``"threads"``;
        ``"serial"``: the calling thread alone; or any other
        ``concurrent.futures.Executor``, where consecutive items leave together.
    max_workers : int, optional
        Calls at a time, the calling thread's included.
    chunksize : int, optional
        Consecutive items that a worker takes at a time, >= 1.  By default this adapts:
        slow items are taken one by one.
    timeout : time, optional
        For all of it: seconds, a text such as ``"30s"``, or a timedelta;
        calls that run at that time go on in the background.
    return_exceptions : bool
        Put exceptions into the result in place of raising the first one.
    progress : bool or callable, optional
        True shows a bar on a terminal; a callable gets (done, total) now and then.

    Returns
    -------
    list
        Length of the shortest iterable, in the order of the items.

    Raises
    ------
    Exception
        That of the failed item with the lowest index, once the calls that run have
        ended; items that have not started never will.  It has a note with the index.
    TimeoutError
        If `timeout` passed.

    Examples
    --------
    >>> import fastflow
    >>> fastflow.map(pow, [2, 3, 4], [5, 2, 3])
    [32, 9, 64]
    """
    return _fan_out(  # type: ignore[no-any-return]
        fn, columns_of(iterables), executor, max_workers, chunksize, timeout, progress,
        star=False, keep=True, return_exceptions=return_exceptions,
    )  # fmt: skip


@overload
def starmap(
    fn: Callable[..., T],
    iterable: Iterable[Iterable[Any]],
    *,
    return_exceptions: Literal[False] = False,
    **options: Unpack[_MapOptions],
) -> list[T]: ...
@overload
def starmap(
    fn: Callable[..., T],
    iterable: Iterable[Iterable[Any]],
    *,
    return_exceptions: bool,
    **options: Unpack[_MapOptions],
) -> list[T | BaseException]: ...
def starmap(
    fn: Callable[..., T],
    iterable: Iterable[Iterable[Any]],
    *,
    executor: cf.Executor | str | None = None,
    max_workers: int | None = None,
    chunksize: int | None = None,
    timeout: Time | None = None,
    return_exceptions: bool = False,
    progress: Progress = None,
) -> list[Any]:
    """Return ``[fn(*args) for args in iterable]``, computed in parallel.

    Parameters, result and errors are those of :func:`map`.
    """
    return _fan_out(  # type: ignore[no-any-return]
        fn, columns_of((iterable,)), executor, max_workers, chunksize, timeout,
        progress, star=True, keep=True, return_exceptions=return_exceptions,
    )  # fmt: skip


def for_each(
    fn: Callable[[Any], object],
    iterable: Iterable[Any],
    *,
    executor: cf.Executor | str | None = None,
    max_workers: int | None = None,
    chunksize: int | None = None,
    timeout: Time | None = None,
    progress: Progress = None,
) -> None:
    """Call ``fn(item)`` for every item, in parallel; results are dropped.

    A :class:`Kernel` over a range runs without touching the interpreter.

    Parameters and errors are those of :func:`map`.
    """
    if isinstance(fn, _core.Kernel) and timeout is None and not progress:
        column = columns_of((iterable,))[0]
        if isinstance(column, range):
            _kernel_loop(fn, column, *engine_of(executor, max_workers))
            return
        iterable = column
    _fan_out(
        fn, columns_of((iterable,)), executor, max_workers, chunksize, timeout,
        progress, star=False, keep=False, return_exceptions=False,
    )  # fmt: skip


def _kernel_loop(
    kernel: _core.Kernel, items: range, engine: _core.Engine, most: int
) -> None:
    def loop(run: int = 0) -> None:
        _core.kernel_loop(
            engine=engine,
            kernel=kernel,
            start=items.start,
            step=items.step,
            n=len(items),
            most=most,
            caller_helps=engine.caller_may_run,
            run=run,
        )

    if recorders.RECORDERS:
        run = recorders.begin_run(kernel.__name__, "map")
        _recorded(run, lambda: loop(run))
    else:
        loop()


@overload
def imap(
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    return_exceptions: Literal[False] = False,
    **options: Unpack[_StreamOptions],
) -> Iterator[T]: ...
@overload
def imap(
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    return_exceptions: bool,
    **options: Unpack[_StreamOptions],
) -> Iterator[T | BaseException]: ...
def imap(
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    buffersize: int | None = None,
    ordered: bool = True,
    executor: cf.Executor | str | None = None,
    max_workers: int | None = None,
    timeout: Time | None = None,
    return_exceptions: bool = False,
    progress: Progress = None,
) -> Iterator[Any]:
    """Return a lazy iterator over ``fn(*items)``; inputs may be endless.

    The inputs are read by the thread that iterates, a bounded number of items ahead.

    Parameters
    ----------
    fn : callable
        Takes as many arguments as there are iterables.
    *iterables
        The shortest ends the iteration.
    buffersize : int, optional
        Items under way at most: read but not yet handed out.  Default: 4 for each
        worker, at least 16.
    ordered : bool
        False hands results out as they come.
    executor, max_workers
        As for :func:`map`.
    timeout : time, optional
        To wait for each result.
    return_exceptions : bool
        Hand exceptions out in place of raising them.
    progress : bool or callable, optional
        As for :func:`map`; the total is unknown.

    Raises
    ------
    Exception
        That of an item, in its place; iterating may go on afterwards.

    Examples
    --------
    >>> import itertools, fastflow
    >>> squares = fastflow.imap(lambda x: x * x, itertools.count())
    >>> [next(squares) for _ in range(4)]
    [0, 1, 4, 9]
    """
    check_callable("fn", fn)
    size = check_limit("buffersize", buffersize)
    seconds = limit_of("timeout", timeout)
    if not iterables:
        raise TypeError("imap() needs at least one iterable")
    away = None if executor is None else elsewhere(executor, max_workers)
    iterators = tuple(iter(it) for it in iterables)
    stream: Iterator[Any]
    if away is not None:
        fans, foreign = away
        stream = fans.stream(
            foreign, fn, iterators, buffersize=size, ordered=ordered,
            max_workers=check_limit("max_workers", max_workers),
            return_exceptions=return_exceptions, seconds=seconds,
        )  # fmt: skip
    else:
        engine, most = engine_of(executor, max_workers)
        stream = _core.Stream(
            engine=engine,
            fn=fn,
            iterators=iterators,
            capacity=size or max(16, 4 * most),
            ordered=ordered,
            return_exceptions=return_exceptions,
            caller_helps=engine.caller_may_run and seconds is None,
            most=most,
            timeout=seconds,
            run=recorders.begin_fan(fn),
        )
    return _shown(stream, progress) if progress else stream


def _shown(stream: Any, progress: Progress) -> Iterator[Any]:
    with Monitor(progress, stream, None, "imap"):
        yield from stream


def map_array(
    fn: Callable[..., Any],
    array: np.ndarray[Any, Any],
    *,
    out: np.ndarray[Any, Any] | None = None,
    axis: int = 0,
    chunks: int | None = None,
    executor: cf.Executor | str | None = None,
    max_workers: int | None = None,
    progress: Progress = None,
) -> np.ndarray[Any, Any]:
    """Apply `fn` to slices of an array along one axis, in parallel, into one result.

    Parameters
    ----------
    fn : callable or numpy.ufunc
        Gets views of `array`, never copies, and returns an array of the same length
        along `axis`.  A unary ufunc writes into the result without a temporary.
    array : array_like
        Length n along `axis`.  Subclasses are kept, as by ``numpy.concatenate``; of a
        memory map, the elements only.
    out : ndarray, optional
        Where to put the result, of its very shape and of a type that
        ``casting="same_kind"`` allows.  May lie anywhere, also in the memory of
        `array` (where it overlaps, the result is made apart first); may be `array`
        itself if `fn` looks at nothing but its slice.
    axis : int
        The axis to cut.
    chunks : int, optional
        Length of a slice along `axis`, >= 1.  Default: 4 slices for each worker.
    executor, max_workers, progress
        As for :func:`map`.

    Returns
    -------
    ndarray
        `out`, or a new array: what ``numpy.concatenate`` makes of the slices' results,
        so its type is the common one of them all.

    Raises
    ------
    ValueError
        If a slice's result has another length along `axis` than the slice, or another
        shape than those of other slices, or does not fit into `out`.
    TypeError
        If a slice's result is a tuple, or of a type that can't be cast to that of
        `out`, or of a subclass that `out` is not of; if there is no common type.

    Examples
    --------
    >>> import numpy as np, fastflow
    >>> fastflow.map_array(np.sqrt, np.array([1.0, 4.0, 9.0]))
    array([1., 2., 3.])
    """
    from fastflow.pool.arrays import run_chunks

    check_callable("fn", fn)
    away = None if executor is None else elsewhere(executor, max_workers)
    if away is not None:
        return _map_array_elsewhere(  # type: ignore[no-any-return]
            away, fn, array, out, axis, chunks, max_workers, progress
        )
    _, most = engine_of(executor, max_workers)

    def run(task: Callable[[int], None], count: int) -> None:
        if recorders.RECORDERS:
            task.__qualname__ = recorders.name_of(fn)
        for_each(
            task,
            range(count),
            executor=executor,
            max_workers=max_workers,
            progress=progress,
        )

    return run_chunks(fn, array, out, axis, chunks, most, run)


def _map_array_elsewhere(
    away: tuple[Fans, Any],
    fn: Callable[..., Any],
    array: Any,
    out: Any,
    axis: int,
    chunks: int | None,
    max_workers: int | None,
    progress: Progress,
) -> Any:
    from fastflow.pool.arrays import gather_chunks

    fans, foreign = away

    def run(views: list[Any]) -> Iterator[Any]:
        results = fans.collect(
            foreign, fn, (views,), star=False, keep=True, return_exceptions=False,
            chunksize=1, max_workers=most, seconds=None, progress=progress,
        )  # fmt: skip
        return iter(results)

    most = check_limit("max_workers", max_workers)
    return gather_chunks(array, out, axis, chunks, most or os.cpu_count() or 1, run)


def _fan_out(
    fn: Callable[..., Any],
    columns: tuple[Column, ...],
    executor: Any,
    max_workers: int | None,
    chunksize: int | None,
    timeout: Time | None,
    progress: Progress,
    *,
    star: bool,
    keep: bool,
    return_exceptions: bool,
) -> Any:
    check_callable("fn", fn)
    size = check_limit("chunksize", chunksize)
    if not columns:
        raise TypeError("map() needs at least one iterable")
    seconds = limit_of("timeout", timeout)
    away = None if executor is None else elsewhere(executor, max_workers)
    if away is not None:
        fans, foreign = away
        most = check_limit("max_workers", max_workers)
        return fans.collect(
            foreign, fn, columns, star=star, keep=keep,
            return_exceptions=return_exceptions, chunksize=size, max_workers=most,
            seconds=seconds, progress=progress,
        )  # fmt: skip
    engine, most = engine_of(executor, max_workers)
    run = recorders.begin_fan(fn)
    work = _core.Map(
        engine=engine,
        fn=fn,
        columns=columns,
        star=star,
        keep=keep,
        return_exceptions=return_exceptions,
        stop_on_error=True,
        chunk=size or 0,
        most=most,
        run=run,
    )
    help_ = engine.caller_may_run and seconds is None
    if run:
        return _recorded(run, lambda: _to_end(work, help_, seconds, progress))
    return _to_end(work, help_, seconds, progress)


def _to_end(
    work: _core.Map, help_: bool, seconds: float | None, progress: Progress
) -> Any:
    if not progress:
        return work.run(help_, seconds)
    with Monitor(progress, work, work.n, "map"):
        return work.run(help_, seconds)


def _recorded(run: int, body: Callable[[], T]) -> T:
    """Return what `body` does, and tell the recorders of its end."""
    try:
        value = body()
    except BaseException as error:
        recorders.end_run(run, error)
        raise
    recorders.end_run(run)
    return value
