"""``wait`` and ``as_completed``: like the standard library's, for many more futures."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import queue
import time
from collections.abc import Iterable, Iterator
from typing import Any

from fastflow import _core
from fastflow.base.durations import Time, wait_of

__all__ = ["as_completed", "wait"]


class _Finished:
    """Futures in the order in which they end."""

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[cf.Future[Any]] = queue.SimpleQueue()
        self._put = self._ended.put

    def watch(self, futures: Iterable[cf.Future[Any]]) -> None:
        for future in futures:
            future.add_done_callback(self._put)

    def get(self, deadline: float | None) -> cf.Future[Any]:
        """Return the next; raises queue.Empty when the deadline passes."""
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        with _core.Blocking():
            return self._ended.get(timeout=left)

    def forget(self, futures: Iterable[cf.Future[Any]]) -> None:
        """Take the callbacks back: a wait that gave up leaves nothing behind."""
        for future in futures:
            if isinstance(future, _core.FutureBase):
                future._forget_callback(self._put)
                continue
            with contextlib.suppress(ValueError, AttributeError):  # no future at all
                future._done_callbacks.remove(self._put)  # type: ignore[attr-defined]


def as_completed(
    fs: Iterable[cf.Future[Any]], timeout: Time | None = None
) -> Iterator[cf.Future[Any]]:
    """Yield the futures as they end; each of them once.

    Parameters
    ----------
    fs : iterable of Future
        Of any executors; duplicates count once.
    timeout : time, optional
        From this call on.

    Raises
    ------
    TimeoutError
        If not all have ended when the time is up.

    Notes
    -----
    A future that was yielded is not kept, so its result can be freed while others are
    awaited.
    """
    seconds = wait_of(timeout)
    deadline = None if seconds is None else time.monotonic() + seconds
    pending = set(fs)
    return _as_completed(pending, deadline)


def _as_completed(
    pending: set[cf.Future[Any]], deadline: float | None
) -> Iterator[cf.Future[Any]]:
    total = len(pending)
    finished = _Finished()
    try:
        # Not before the first is asked for: a generator that was never started cleans
        # nothing up.
        finished.watch(pending)
        while pending:
            try:
                future = finished.get(deadline)
            except queue.Empty:
                raise cf.TimeoutError(
                    f"{len(pending)} (of {total}) futures unfinished"
                ) from None
            pending.discard(future)
            yield future
            del future
    finally:
        finished.forget(pending)


def wait(
    fs: Iterable[cf.Future[Any]],
    timeout: Time | None = None,
    return_when: str = cf.ALL_COMPLETED,
) -> cf._base.DoneAndNotDoneFutures[Any]:
    """Wait for futures; return the named tuple of sets ``(done, not_done)``.

    Parameters
    ----------
    fs : iterable of Future
        Of any executors.
    timeout : time, optional
        To wait at most.
    return_when : {ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION}
        The standard library's constants.
    """
    futures = set(fs)
    seconds = wait_of(timeout)
    deadline = None if seconds is None else time.monotonic() + seconds
    if return_when == cf.ALL_COMPLETED:
        _wait_for_all(futures, deadline)
    elif return_when in (cf.FIRST_COMPLETED, cf.FIRST_EXCEPTION):
        _wait_for_first(futures, deadline, return_when == cf.FIRST_EXCEPTION)
    else:
        raise ValueError(f"Invalid return condition: {return_when!r}")
    done = {future for future in futures if future.done()}
    return cf._base.DoneAndNotDoneFutures(done, futures - done)


def _wait_for_all(futures: set[cf.Future[Any]], deadline: float | None) -> None:
    for future in futures:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        try:
            future.exception(left)
        except cf.CancelledError:
            continue
        except cf.TimeoutError:
            if not future.done():
                return


def _wait_for_first(
    futures: set[cf.Future[Any]], deadline: float | None, only_failures: bool
) -> None:
    pending = set(futures)
    finished = _Finished()
    try:
        finished.watch(pending)
        while pending:
            future = finished.get(deadline)
            pending.discard(future)
            if not only_failures or (not future.cancelled() and future.exception()):
                return
    except queue.Empty:
        return
    finally:
        finished.forget(pending)
