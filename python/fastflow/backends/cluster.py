"""Executors whose calls are made by a cluster: what they share, how calls travel.

A cluster has a scheduler of its own, for which a task costs some tenths of a
millisecond or more; so short calls leave in chunks, as to other processes.  It makes
tasks again whose worker has died.  How many calls it makes at a time may change while
it is used: it is asked now and then.
"""

from __future__ import annotations

import concurrent.futures as cf
import pickle
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from fastflow.backends.lanes import Lane
from fastflow.backends.references import Parcel, lost, parcel_of, value_of, with_kept
from fastflow.backends.travel import BYTES, Together
from fastflow.run.clocks import Where
from fastflow.run.kept import Kept
from fastflow.run.remote import Outcome, Returned

__all__ = ["ClusterExecutor", "Far", "by_value", "call"]


class ClusterExecutor(cf.Executor):
    """What senders and users want of a cluster; see `fastflow.dask` and `fastflow.ray`.

    Subclasses say how a call gets there, and how many are made at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[cf.Future[Any]] = weakref.WeakSet()
        self._shut = False

    def capacity(self) -> int:
        """Ask the cluster how many calls it makes at a time, now."""
        raise NotImplementedError

    def send(self, fn: Callable[..., Any], args: tuple[Any, ...],
             kwargs: dict[str, Any]) -> cf.Future[Any]:  # fmt: skip
        """Have a call made, also if an equal one was."""
        raise NotImplementedError

    def send_chunk(
        self, args: tuple[Any, ...], kept: Sequence[Kept]
    ) -> cf.Future[Returned]:
        """Have ``run_far(*args, *held)`` called; see `fastflow.backends.references`.

        Where the value of the last call stays, the result's ``kept`` is a reference.

        Parameters
        ----------
        kept
            Earlier results, for whose references what these stand for is to be given.
            Should one be gone, the future has `lost`.
        """
        raise NotImplementedError

    def get(self, references: list[Any]) -> list[Any]:
        """Return what references stand for."""
        raise NotImplementedError

    @property
    def place(self) -> Any:
        """Where references are good: those of another executor, too, if it is there."""
        return self

    def has(self, kept: Kept) -> bool:
        """Say whether a value is where the calls are made."""
        keeper = kept.keeper
        return isinstance(keeper, ClusterExecutor) and keeper.place is self.place

    def fetch(self, many: Sequence[Kept]) -> list[Any]:
        """See `fastflow.run.kept.Keeper`."""
        try:
            held = self.get([kept.reference for kept in many])
        except Exception as error:
            raise lost(*[kept.task for kept in many]) from error
        return [
            value_of(part, kept.index, kept.task)
            for part, kept in zip(held, many, strict=True)
        ]

    def put(self, data: bytes) -> Any:
        """Return what stands for data in the arguments of a call."""
        return data

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> cf.Future[Any]:
        """Have a call made on the cluster; see ``concurrent.futures.Executor``.

        Raises
        ------
        RuntimeError
            After `shutdown`.
        """
        return self._taken(lambda: self.send(fn, args, kwargs))

    def submit_chunk(
        self, args: tuple[Any, ...], kept: Sequence[Kept]
    ) -> cf.Future[Returned]:
        """Have a chunk of calls made; see `send_chunk` and `submit`."""
        return self._taken(lambda: self.send_chunk(args, kept))

    def _taken(self, send: Callable[[], cf.Future[Any]]) -> cf.Future[Any]:
        with self._lock:
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            future = send()
            self._open.add(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the cluster itself goes on."""
        with self._lock:
            self._shut = True
            open_ = [future for future in self._open if not future.done()]
        if cancel_futures:
            for future in open_:
                future.cancel()
        if wait:
            cf.wait(open_)


def call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make a call, on the cluster: its own keywords are not those of `fn`."""
    return fn(*args, **kwargs)


def by_value(value: object) -> bytes:
    """Return a value as it travels to machines that may not have what defines it.

    Functions and classes of the main program, lambdas and closures go with it.
    """
    import cloudpickle  # clusters have it

    return cloudpickle.dumps(value)  # type: ignore[no-any-return]


class Far(Together):
    """Several calls in one, each packed by itself, with what defines them.

    Parameters
    ----------
    executor : ClusterExecutor
    """

    def __init__(self, executor: ClusterExecutor) -> None:
        super().__init__()
        # The sender, which has this, must not keep the executor.
        self._executor = weakref.ref(executor)

    def pack(self, lane: Lane, arguments: tuple[Any, ...]) -> Parcel:  # type: ignore[override]
        """See `fastflow.backends.travel.Travel`."""
        if lane.packed is None:
            lane.packed = by_value((lane.run, lane.fn))
        try:
            return parcel_of(arguments, self._there())
        except pickle.PicklingError:
            raise
        except Exception as error:  # of somebody's __reduce__
            raise pickle.PicklingError(f"arguments: {error}") from error

    def submit(  # type: ignore[override]
        self, lane: Lane, calls: list[Parcel], *, alone: bool
    ) -> cf.Future[Any]:
        """See `fastflow.backends.travel.Travel`."""
        executor = self._there()
        # A parcel that refers to something counts as full: it is the last.
        kept = [each for call in calls for each in call.kept]
        assert not any(call.kept for call in calls[:-1])
        placed = [
            executor.put(call.data) if len(call.data) > BYTES else call.data
            for call in calls
        ]
        seconds, size = self.limits(alone=alone)
        args = (lane.packed, placed, seconds, size, lane.keeps)
        return executor.submit_chunk(args, kept)

    def opened(self, result: Returned) -> tuple[list[Outcome], float, Where | None]:
        """See `fastflow.backends.travel.Travel`."""
        outcomes, seconds, where = super().opened(result)
        if result.kept is not None:
            last = len(outcomes) - 1
            outcomes[last] = with_kept(outcomes[last], last, result.kept, self._there())
        return outcomes, seconds, where

    def _there(self) -> ClusterExecutor:
        executor = self._executor()
        assert executor is not None  # a lane has its `submit` while calls are there
        return executor
